//! Tokens to a tree (cel-go `parser/parser.go`).
//!
//! Nesting, length and number of nodes are bounded, so that whatever walks a tree needs no care for the stack.
use std::sync::{Arc, OnceLock};

use crate::{
    ast::{Call, Entry, FieldValue, Kind, Node, Selection},
    issue::Issue,
    lexer::{Lexed, Token, tokens},
    macros,
    recovery::{ARGUMENT, BEGINNINGS, ELEMENT, ENTRY, FIELD, INDEX, PRIMARY, begins},
    types::RESERVED,
    value::{Text, Value},
};

/// `defaultMaxRecursionDepth` and `expressionSizeCodePointLimit` of `parser/options.go`.
const DEEPEST: usize = 250;
const LONGEST: usize = 100_000;
/// Brackets within brackets. Go's stacks grow, those of a worker are 2 MiB: an unoptimised parser needs half of that for so many.
const NESTED: usize = 100;

pub(crate) type Parsed<T = Node> = Result<T, Issue>;

/// The tree of an expression.
pub fn parse(source: &str) -> Result<Node, Vec<Issue>> {
    let size = source.chars().count();
    if size > LONGEST {
        return Err(vec![Issue {
            at: None,
            message: format!("expression code point size exceeds limit: size: {size}, limit {LONGEST}"),
        }]);
    }
    let mut issues = Vec::new();
    let mut parser = Parser {
        source,
        tokens: tokens(source, &mut issues),
        issues,
        next: 0,
        depth: 0,
        recovering: false,
        closers: Vec::new(),
    };
    let root = parser.expression();
    if root.is_ok() {
        parser.end();
    }
    match root {
        Ok(root) if parser.issues.is_empty() => Ok(root),
        Ok(_) => Err(parser.issues),
        Err(issue) => {
            parser.issues.push(issue);
            Err(parser.issues)
        }
    }
}

/// A node over others, unless that is too deep.
pub(crate) fn node(at: usize, kind: Kind) -> Parsed {
    let mut node = Node { at, height: 1, kind };
    node.height += node
        .children()
        .iter()
        .map(|child| child.height)
        .max()
        .unwrap_or(0);
    if node.height > DEEPEST {
        Err(too_deep(DEEPEST))
    } else {
        Ok(node)
    }
}

fn too_deep(limit: usize) -> Issue {
    Issue {
        at: None,
        message: format!("expression recursion limit exceeded: {limit}"),
    }
}

/// A call of a function or an operator.
pub(crate) fn call(at: usize, function: &str, target: Option<Node>, args: Vec<Node>) -> Parsed {
    let call = Call {
        function: function.to_owned(),
        target: target.map(Box::new),
        args,
        pattern: OnceLock::new(),
    };
    node(at, Kind::Call(call))
}

/// A parser that goes on after an error (`recovery.rs`).
pub(crate) struct Parser<'s> {
    pub(crate) source: &'s str,
    pub(crate) tokens: Vec<Lexed>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) next: usize,
    depth: usize,
    /// Since the last error no token has fitted.
    pub(crate) recovering: bool,
    /// What ends the expressions around.
    pub(crate) closers: Vec<&'static [&'static str]>,
}

impl Parser<'_> {
    pub(crate) fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > NESTED {
            return Err(too_deep(NESTED));
        }
        let condition = self.or()?;
        let at = self.at();
        let whole = if self.eat("?") {
            self.closers.push(&[":"]);
            let yes = self.or()?;
            self.closers.pop();
            self.want(":");
            let no = self.expression()?;
            node(at, Kind::Conditional(Box::new([condition, yes, no])))?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(whole)
    }

    fn or(&mut self) -> Parsed {
        let first = self.and()?;
        if !self.is("||") {
            return Ok(first);
        }
        let at = self.at();
        let mut terms = vec![first];
        while self.eat("||") {
            terms.push(self.and()?);
        }
        node(at, Kind::Or(terms))
    }

    fn and(&mut self) -> Parsed {
        let first = self.binary(0)?;
        if !self.is("&&") {
            return Ok(first);
        }
        let at = self.at();
        let mut terms = vec![first];
        while self.eat("&&") {
            terms.push(self.binary(0)?);
        }
        node(at, Kind::And(terms))
    }

    /// Relations, sums and products, which all go from left to right: those that bind at least so tightly.
    fn binary(&mut self, least: usize) -> Parsed {
        const OPERATORS: [(&str, &str, usize); 11] = [
            ("<", "_<_", 0),
            ("<=", "_<=_", 0),
            (">", "_>_", 0),
            (">=", "_>=_", 0),
            ("==", "_==_", 0),
            ("!=", "_!=_", 0),
            ("+", "_+_", 1),
            ("-", "_-_", 1),
            ("*", "_*_", 2),
            ("/", "_/_", 2),
            ("%", "_%_", 2),
        ];
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            let found = match self.peek() {
                Token::Mark(mark) => OPERATORS
                    .iter()
                    .find(|(is, ..)| is == mark)
                    .map(|(_, name, tight)| (*name, *tight)),
                Token::Ident(name) if name == "in" => Some(("@in", 0)),
                _ => None,
            };
            let Some((function, tight)) = found.filter(|(_, tight)| *tight >= least) else {
                return Ok(left);
            };
            self.advance();
            let right = self.binary(tight + 1)?;
            left = call(at, function, None, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        for (mark, function) in [("!", "!_"), ("-", "-_")] {
            let mut count = 0_usize;
            while self.is(mark) {
                // A minus before a number belongs to the number.
                if mark == "-" && matches!(self.token(1), Token::Int(_) | Token::Double(_)) {
                    break;
                }
                self.advance();
                count += 1;
            }
            if count > 0 {
                if !begins(self.peek()) {
                    self.complain("extraneous", &format!("{PRIMARY}{BEGINNINGS}"));
                }
                self.depth += 1;
                if self.depth > NESTED {
                    return Err(too_deep(NESTED));
                }
                let operand = if mark == "-" && self.is("-") {
                    self.member()?
                } else {
                    self.unary()?
                };
                self.depth -= 1;
                // Two of them cancel out.
                return if count % 2 == 1 {
                    call(at, function, None, vec![operand])
                } else {
                    Ok(operand)
                };
            }
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut operand = self.primary()?;
        loop {
            let at = self.at();
            if self.eat(".") {
                let optional = self.eat("?");
                let name = match self.peek().clone() {
                    Token::Ident(name) => name,
                    Token::Escaped(name) => {
                        self.tell(self.at(), "unsupported syntax: '`'".to_owned());
                        name
                    }
                    _ => {
                        self.no_alternative(at);
                        return Ok(operand);
                    }
                };
                self.advance();
                if !optional && self.is("(") {
                    let at = self.at();
                    self.advance();
                    let args = self.arguments()?;
                    operand = self.made(macros::member(at, operand, &name, args))?;
                } else {
                    let how = if optional {
                        Selection::Optional
                    } else {
                        Selection::Plain
                    };
                    let operand_box = Box::new(operand);
                    operand = node(
                        at,
                        Kind::Select {
                            operand: operand_box,
                            field: name,
                            how,
                        },
                    )?;
                }
            } else if self.eat("[") {
                let function = if self.eat("?") { "_[?_]" } else { "_[_]" };
                self.first_of(&format!("{INDEX}{BEGINNINGS}"), &[]);
                let index = self.within(&["]"])?;
                self.want("]");
                operand = call(at, function, None, vec![operand, index])?;
            } else if self.is("{")
                && let Some(name) = operand.dotted()
            {
                self.advance();
                operand = self.structure(at, name)?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// A macro's complaint does not end the reading.
    fn made(&mut self, made: Parsed) -> Parsed {
        match made {
            Err(issue) if issue.at.is_some() => {
                let at = issue.at.unwrap_or_default();
                self.issues.push(issue);
                node(at, Kind::Literal(Value::Null))
            }
            made => made,
        }
    }

    /// The fields of an object up to the closing bracket.
    fn structure(&mut self, at: usize, name: String) -> Parsed {
        let mut fields = Vec::new();
        loop {
            if self.eat("}") {
                break;
            }
            if self.eat(",") {
                self.want("}");
                break;
            }
            let optional = self.eat("?");
            let (Token::Ident(name) | Token::Escaped(name)) = self.peek().clone() else {
                self.complain("mismatched", FIELD);
                self.recover();
                break;
            };
            self.advance();
            let at = self.at();
            self.want(":");
            let value = self.within(&["}", ","])?;
            fields.push(FieldValue {
                at,
                name,
                value,
                optional,
            });
            if !self.another("}") {
                break;
            }
        }
        node(at, Kind::Struct { name, fields })
    }

    /// Up to the closing bracket.
    fn arguments(&mut self) -> Parsed<Vec<Node>> {
        let mut all = Vec::new();
        if self.eat(")") || !self.first_of(&format!("{ARGUMENT}{BEGINNINGS}"), &[")"]) || self.eat(")") {
            return Ok(all);
        }
        loop {
            all.push(self.within(&[")", ","])?);
            if !self.eat(",") {
                self.want(")");
                return Ok(all);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        if !self.first_of(&format!("{PRIMARY}{BEGINNINGS}"), &[]) {
            return node(self.at(), Kind::Literal(Value::Null));
        }
        let at = self.at();
        let token = self.peek().clone();
        self.advance();
        let literal = |value: Value<'static>| node(at, Kind::Literal(value));
        match token {
            Token::Int(n) => match i64::try_from(n) {
                Ok(n) => literal(Value::Int(n)),
                Err(_) => Err(invalid_int(at)),
            },
            Token::Uint(n) => literal(Value::Uint(n)),
            Token::Double(n) => literal(Value::Double(n)),
            Token::String(text) => literal(Value::String(Text::Made(text.into()))),
            Token::Bytes(bytes) => literal(Value::Bytes(Arc::from(bytes))),
            Token::Mark("-") => match self.peek().clone() {
                Token::Int(n) => {
                    self.advance();
                    let n = 0_i64.checked_sub_unsigned(n).ok_or_else(|| invalid_int(at))?;
                    literal(Value::Int(n))
                }
                Token::Double(n) => {
                    self.advance();
                    literal(Value::Double(-n))
                }
                _ => self.unary(),
            },
            Token::Mark("(") => {
                let inner = self.within(&[")"])?;
                self.want(")");
                Ok(inner)
            }
            Token::Mark("[") => self.list(at),
            Token::Mark("{") => self.map(at),
            // A name from the root, which is where all names are.
            Token::Mark(".") if matches!(self.peek(), Token::Ident(_)) => self.primary(),
            Token::Mark(".") => {
                self.no_alternative(at);
                literal(Value::Null)
            }
            Token::Ident(name) => self.named(at, name),
            // One operator too much was left out before these.
            Token::Mark("!") => self.unary(),
            _ => node(at, Kind::Literal(Value::Null)),
        }
    }

    fn named(&mut self, at: usize, name: String) -> Parsed {
        let literal = |value: Value<'static>| node(at, Kind::Literal(value));
        match name.as_str() {
            "true" => return literal(Value::Bool(true)),
            "false" => return literal(Value::Bool(false)),
            "null" => return literal(Value::Null),
            reserved if RESERVED.contains(&reserved) => {
                self.issues.push(Issue {
                    at: Some(at),
                    message: format!("reserved identifier: {reserved}"),
                });
            }
            _ => {}
        }
        let open = self.at();
        if self.eat("(") {
            let args = self.arguments()?;
            let made = macros::global(open, &name, args);
            return self.made(made);
        }
        node(at, Kind::Ident(name))
    }

    fn list(&mut self, at: usize) -> Parsed {
        let (mut items, mut optional) = (Vec::new(), Vec::new());
        let empty = self.is(",") || !self.first_of(&format!("{ELEMENT}{BEGINNINGS}"), &["]", ",", "?"]);
        if empty || self.is(",") {
            self.eat(",");
            self.want("]");
        } else if !self.eat("]") {
            loop {
                optional.push(self.eat("?"));
                items.push(self.within(&["]", ","])?);
                if !self.another("]") {
                    break;
                }
            }
        }
        node(at, Kind::List { items, optional })
    }

    fn map(&mut self, at: usize) -> Parsed {
        let mut entries = Vec::new();
        let empty = self.is(",") || !self.first_of(&format!("{ENTRY}{BEGINNINGS}"), &["}", ",", "?"]);
        if empty || self.is(",") {
            self.eat(",");
            self.want("}");
        } else if !self.eat("}") {
            loop {
                let optional = self.eat("?");
                let key = self.within(&[":"])?;
                self.want(":");
                let value = self.within(&["}", ","])?;
                entries.push(Entry { key, value, optional });
                if !self.another("}") {
                    break;
                }
            }
        }
        node(at, Kind::Map(entries))
    }
}

fn invalid_int(at: usize) -> Issue {
    Issue {
        at: Some(at),
        message: "invalid int literal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| {
            [
                "(".repeat(n) + "1" + &")".repeat(n),
                "[".repeat(n) + &"]".repeat(n),
                "!-".repeat(n / 2) + "1",
                "1".to_owned() + &"+1".repeat(n),
                "a".to_owned() + &".b".repeat(n),
                "a".to_owned() + &"[0]".repeat(n),
                "a?b:".repeat(n) + "1",
                "f(".repeat(n) + &")".repeat(n),
                "a".to_owned() + &".f(1)".repeat(n),
            ]
        };
        for source in deep(99) {
            assert!(parse(&source).is_ok(), "{source}");
        }
        for source in deep(10_000) {
            let found = parse(&source).map(|_| ()).unwrap_err();
            assert!(
                found[0]
                    .message
                    .starts_with("expression recursion limit exceeded: "),
                "{found:?}"
            );
        }
        // Terms of one conjunction are beside each other.
        assert!(parse(&("a".to_owned() + &"&&a".repeat(10_000))).is_ok());
        assert!(parse(&"1".repeat(100_001)).is_err());
    }

    #[test]
    fn what_is_no_expression() {
        for (bad, message) in [
            ("", "Syntax error: mismatched input '<EOF>' expecting"),
            ("a b", "Syntax error: extraneous input 'b' expecting <EOF>"),
            ("a b c", "Syntax error: mismatched input 'b' expecting <EOF>"),
            ("a.", "no viable alternative at input '.'"),
            ("..", "no viable alternative at input '..'"),
            ("f(1", "missing ')' at '<EOF>'"),
            ("((1", "mismatched input '<EOF>' expecting ')'"),
            ("[1", "mismatched input '<EOF>' expecting {']', ','}"),
            ("[1,", "missing ']' at '<EOF>'"),
            ("(1 2)", "extraneous input '2' expecting ')'"),
            ("1 + + 2", "extraneous input '+' expecting {'[',"),
            ("f(1,)", "mismatched input ')' expecting {'[',"),
            ("f(,)", "extraneous input ',' expecting {'[', '{', '(', ')',"),
            ("for", "reserved identifier: for"),
            ("{1}", "expecting ':'"),
            ("a = b", "token recognition error at: '= '"),
            ("\"\\q\"", "token recognition error at: '\"\\q'"),
            ("9223372036854775808", "invalid int literal"),
            ("has(a)", "invalid argument to has() macro"),
            ("a.all(b.c, true)", "argument must be a simple name"),
        ] {
            let found = parse(bad).map(|_| ()).unwrap_err();
            assert!(found[0].message.contains(message), "{bad}: {found:?}");
        }
        assert!(parse("-9223372036854775808").is_ok());
        for fine in [
            "[1,]",
            "{1: 2,}",
            "a{b: 1,}",
            "[]",
            "{}",
            "[,]",
            "f()",
            "-a.b(c, d)[?e]",
        ] {
            assert!(parse(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn goes_on_after_an_error() {
        let of = |source: &str| {
            let found = parse(source).map(|_| ()).unwrap_err();
            found
                .iter()
                .map(|issue| issue.at.unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a ? : c"), [4, 7]);
        assert_eq!(of("a ++"), [3, 4]);
        assert_eq!(of("in"), [0, 2]);
        assert_eq!(of("has(a"), [5, 4]);
        assert_eq!(of("a # b"), [2, 4]);
        assert_eq!(of("'a"), [0, 2]);
        assert_eq!(of("((((1"), [5]);
    }
}
