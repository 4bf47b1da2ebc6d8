//! Tokens to a tree (cel-go `parser/parser.go`).
//!
//! Nesting, length and number of nodes are bounded, so that whatever walks a tree needs no care for the stack.
use std::sync::{Arc, OnceLock};

use crate::{
    ast::{Call, Entry, FieldValue, Kind, Node, Selection},
    issue::Issue,
    lexer::{Token, tokens},
    macros,
    types::RESERVED,
    value::{Text, Value},
};

/// `defaultMaxRecursionDepth` and `expressionSizeCodePointLimit` of `parser/options.go`.
const DEEPEST: usize = 250;
const LONGEST: usize = 100_000;
/// Brackets within brackets. Go's stacks grow, those of a worker are 2 MiB: an unoptimised parser needs half of that for so many.
const NESTED: usize = 100;

type Parsed<T = Node> = Result<T, Issue>;

/// The tree of an expression.
pub fn parse(source: &str) -> Result<Node, Vec<Issue>> {
    let size = source.chars().count();
    if size > LONGEST {
        return Err(vec![Issue {
            at: None,
            message: format!("expression code point size exceeds limit: size: {size}, limit {LONGEST}"),
        }]);
    }
    let all = || {
        let tokens = tokens(source)?;
        let mut parser = Parser {
            tokens,
            next: 0,
            depth: 0,
        };
        let root = parser.expression()?;
        match parser.peek() {
            Token::End => Ok(root),
            _ => Err(parser.unexpected("<EOF>")),
        }
    };
    all().map_err(|issue| vec![issue])
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

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.next.min(last)).map_or(0, |(_, at)| *at)
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(is) if *is == mark)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        self.next += usize::from(is);
        is
    }

    fn want(&mut self, mark: &'static str) -> Parsed<()> {
        if self.eat(mark) {
            Ok(())
        } else {
            Err(self.unexpected(mark))
        }
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        let shown = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Mark(mark) => (*mark).to_owned(),
            Token::Ident(name) => name.clone(),
            Token::Int(n) => n.to_string(),
            Token::Uint(n) => format!("{n}u"),
            Token::Double(n) => n.to_string(),
            Token::String(text) => format!("{text:?}"),
            Token::Bytes(_) => "b\"...\"".to_owned(),
        };
        // ANTLR leaves out one token when what it wants comes after it.
        let alone = wanted == "<EOF>" && self.next + 2 == self.tokens.len();
        let how = if alone { "extraneous" } else { "mismatched" };
        Issue {
            at: Some(self.at()),
            message: format!("Syntax error: {how} input '{shown}' expecting {wanted}"),
        }
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > NESTED {
            return Err(too_deep(NESTED));
        }
        let condition = self.or()?;
        let at = self.at();
        let whole = if self.eat("?") {
            let yes = self.or()?;
            self.want(":")?;
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
            self.next += 1;
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
                if mark == "-"
                    && matches!(
                        self.tokens.get(self.next + 1),
                        Some((Token::Int(_) | Token::Double(_), _))
                    )
                {
                    break;
                }
                self.next += 1;
                count += 1;
            }
            if count > 0 {
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
                let Token::Ident(name) = self.peek().clone() else {
                    return Err(self.unexpected("IDENTIFIER"));
                };
                self.next += 1;
                if !optional && self.is("(") {
                    let at = self.at();
                    self.next += 1;
                    let args = self.arguments(")")?;
                    operand = macros::member(at, operand, &name, args)?;
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
                let index = self.expression()?;
                self.want("]")?;
                operand = call(at, function, None, vec![operand, index])?;
            } else if self.is("{")
                && let Some(name) = operand.dotted()
            {
                self.next += 1;
                operand = self.structure(at, name)?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// The fields of an object up to the closing bracket.
    fn structure(&mut self, at: usize, name: String) -> Parsed {
        let mut fields = Vec::new();
        while !self.eat("}") {
            let optional = self.eat("?");
            let Token::Ident(name) = self.peek().clone() else {
                return Err(self.unexpected("IDENTIFIER"));
            };
            self.next += 1;
            let at = self.at();
            self.want(":")?;
            let value = self.expression()?;
            fields.push(FieldValue {
                at,
                name,
                value,
                optional,
            });
            if !self.eat(",") {
                self.want("}")?;
                break;
            }
        }
        node(at, Kind::Struct { name, fields })
    }

    /// Up to the closing bracket.
    fn arguments(&mut self, close: &'static str) -> Parsed<Vec<Node>> {
        let mut all = Vec::new();
        while !self.eat(close) {
            all.push(self.expression()?);
            if !self.eat(",") {
                self.want(close)?;
                break;
            }
        }
        Ok(all)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
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
                    self.next += 1;
                    let n = 0_i64.checked_sub_unsigned(n).ok_or_else(|| invalid_int(at))?;
                    literal(Value::Int(n))
                }
                Token::Double(n) => {
                    self.next += 1;
                    literal(Value::Double(-n))
                }
                _ => Err(self.unexpected("a number")),
            },
            Token::Mark("(") => {
                let inner = self.expression()?;
                self.want(")")?;
                Ok(inner)
            }
            Token::Mark("[") => self.list(at),
            Token::Mark("{") => self.map(at),
            // A name from the root, which is where all names are.
            Token::Mark(".") if matches!(self.peek(), Token::Ident(_)) => self.primary(),
            Token::Ident(name) => self.named(at, name),
            _ => {
                self.next -= 1;
                Err(self.unexpected("{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"))
            }
        }
    }

    fn named(&mut self, at: usize, name: String) -> Parsed {
        let literal = |value: Value<'static>| node(at, Kind::Literal(value));
        match name.as_str() {
            "true" => return literal(Value::Bool(true)),
            "false" => return literal(Value::Bool(false)),
            "null" => return literal(Value::Null),
            reserved if RESERVED.contains(&reserved) => {
                return Err(Issue {
                    at: Some(at),
                    message: format!("reserved identifier: {reserved}"),
                });
            }
            _ => {}
        }
        let open = self.at();
        if self.eat("(") {
            let args = self.arguments(")")?;
            return macros::global(at, open, &name, args);
        }
        node(at, Kind::Ident(name))
    }

    fn list(&mut self, at: usize) -> Parsed {
        let (mut items, mut optional) = (Vec::new(), Vec::new());
        while !self.eat("]") {
            optional.push(self.eat("?"));
            items.push(self.expression()?);
            if !self.eat(",") {
                self.want("]")?;
                break;
            }
        }
        node(at, Kind::List { items, optional })
    }

    fn map(&mut self, at: usize) -> Parsed {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let optional = self.eat("?");
            let key = self.expression()?;
            self.want(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if !self.eat(",") {
                self.want("}")?;
                break;
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
            ("a.", "expecting IDENTIFIER"),
            ("f(1", "expecting )"),
            ("for", "reserved identifier: for"),
            ("{1}", "expecting :"),
            ("9223372036854775808", "invalid int literal"),
            ("has(a)", "invalid argument to has() macro"),
            ("a.all(b.c, true)", "argument must be a simple name"),
        ] {
            let found = parse(bad).map(|_| ()).unwrap_err();
            assert!(found[0].message.contains(message), "{bad}: {found:?}");
        }
        assert!(parse("-9223372036854775808").is_ok());
        assert!(parse("f(1,)").is_ok());
    }
}
