//! The grammar of label selectors, token for token as upstream's, so that its complaints are the same.

use std::collections::BTreeSet;

use crate::labels::{Operator, Requirement, SelectorError, key_error};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Error,
    End,
    ClosedParenthesis,
    OpenParenthesis,
    Comma,
    Not,
    Operator(Operator),
    Identifier,
}

fn is_special(c: u8) -> bool {
    b"=!(),><".contains(&c)
}

/// All tokens with their texts, the end of the text last.
fn scan(text: &str) -> Vec<(Token, String)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        while at < bytes.len() && b" \t\r\n".contains(&bytes[at]) {
            at += 1;
        }
        // A zero byte ends the text, as it does upstream.
        let Some(&first) = bytes.get(at).filter(|b| **b != 0) else {
            tokens.push((Token::End, String::new()));
            return tokens;
        };
        let rest = &text[at..];
        if is_special(first) {
            let (token, length) = symbol(rest);
            let literal = match token {
                Token::Error => format!("error expected: keyword found '{}'", &rest[..length]),
                _ => rest[..length].to_owned(),
            };
            tokens.push((token, literal));
            at += length;
        } else {
            let end = rest
                .bytes()
                .position(|b| is_special(b) || b" \t\r\n\0".contains(&b))
                .unwrap_or(rest.len());
            let token = match &rest[..end] {
                "in" => Token::Operator(Operator::In),
                "notin" => Token::Operator(Operator::NotIn),
                _ => Token::Identifier,
            };
            tokens.push((token, rest[..end].to_owned()));
            at += end;
        }
    }
}

/// The longest operator that `text` starts with.
fn symbol(text: &str) -> (Token, usize) {
    for (literal, token) in [
        ("==", Token::Operator(Operator::DoubleEquals)),
        ("!=", Token::Operator(Operator::NotEquals)),
        ("=", Token::Operator(Operator::Equals)),
        ("!", Token::Not),
        (">", Token::Operator(Operator::GreaterThan)),
        ("<", Token::Operator(Operator::LessThan)),
        ("(", Token::OpenParenthesis),
        (")", Token::ClosedParenthesis),
        (",", Token::Comma),
    ] {
        if text.starts_with(literal) {
            return (token, literal.len());
        }
    }
    (Token::Error, 1)
}

pub(crate) struct Parser {
    tokens: Vec<(Token, String)>,
    position: usize,
}

impl Parser {
    pub fn new(text: &str) -> Self {
        Self {
            tokens: scan(text),
            position: 0,
        }
    }

    pub fn parse(mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.look_ahead() {
                Token::Identifier | Token::Not => {
                    let requirement = self.requirement();
                    requirements
                        .push(requirement.map_err(|e| fail(format!("unable to parse requirement: {e}")))?);
                    let (token, literal) = self.value_token();
                    match token {
                        Token::End => return Ok(requirements),
                        Token::Comma => {
                            if !matches!(self.look_ahead(), Token::Identifier | Token::Not) {
                                let found = self.ahead_literal();
                                return Err(fail(format!("found '{found}', expected: identifier after ','")));
                            }
                        }
                        _ => {
                            return Err(fail(format!(
                                "found '{literal}', expected: ',' or 'end of string'"
                            )));
                        }
                    }
                }
                Token::End => return Ok(requirements),
                _ => {
                    let found = self.ahead_literal();
                    return Err(fail(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    )));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut key) = self.value_token();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.value_token();
        }
        if token != Token::Identifier {
            return Err(fail(format!("found '{key}', expected: identifier")));
        }
        if let Some(error) = key_error("<nil>", &key) {
            return Err(fail(error));
        }
        // `!key` is complete whatever follows; a bare key only before a comma or the end.
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, []);
        }
        if matches!(self.look_ahead(), Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, []);
        }
        let (token, literal) = self.token();
        let Token::Operator(operator) = token else {
            return Err(fail(format!(
                "found '{literal}', expected: in, notin, =, ==, !=, gt, lt"
            )));
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(&key, operator, values)
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let (token, literal) = self.value_token();
        if token != Token::OpenParenthesis {
            return Err(fail(format!("found '{literal}' expected: '('")));
        }
        match self.look_ahead() {
            Token::Identifier | Token::Comma => {
                let first = self.ahead_literal();
                let values = self.identifiers()?;
                match self.value_token().0 {
                    Token::ClosedParenthesis => Ok(values),
                    _ => Err(fail(format!("found '{first}', expected: ')'"))),
                }
            }
            Token::ClosedParenthesis => {
                self.position += 1;
                Ok(BTreeSet::from([String::new()]))
            }
            _ => {
                let found = self.ahead_literal();
                Err(fail(format!("found '{found}', expected: ',', ')' or identifier")))
            }
        }
    }

    fn identifiers(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let mut values = BTreeSet::new();
        loop {
            let (token, literal) = self.value_token();
            match token {
                Token::Identifier => {
                    values.insert(literal);
                    match self.look_ahead() {
                        Token::Comma => {}
                        Token::ClosedParenthesis => return Ok(values),
                        _ => {
                            let found = self.ahead_literal();
                            return Err(fail(format!("found '{found}', expected: ',' or ')'")));
                        }
                    }
                }
                Token::Comma => {
                    let next = self.look_ahead();
                    if values.is_empty() || matches!(next, Token::ClosedParenthesis | Token::Comma) {
                        values.insert(String::new());
                    }
                    if next == Token::ClosedParenthesis {
                        return Ok(values);
                    }
                }
                _ => return Err(fail(format!("found '{literal}', expected: ',', or identifier"))),
            }
        }
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if matches!(self.look_ahead(), Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.value_token() {
            (Token::Identifier, value) => Ok(BTreeSet::from([value])),
            (_, literal) => Err(fail(format!("found '{literal}', expected: identifier"))),
        }
    }

    /// The next token where values are expected: `in` and `notin` are words there.
    fn look_ahead(&self) -> Token {
        match self.tokens.get(self.position).map(|t| t.0) {
            Some(Token::Operator(Operator::In | Operator::NotIn)) => Token::Identifier,
            Some(token) => token,
            None => Token::End,
        }
    }

    fn ahead_literal(&self) -> String {
        self.tokens
            .get(self.position)
            .map(|t| t.1.clone())
            .unwrap_or_default()
    }

    fn value_token(&mut self) -> (Token, String) {
        let token = self.look_ahead();
        (token, self.token().1)
    }

    fn token(&mut self) -> (Token, String) {
        let token = self
            .tokens
            .get(self.position)
            .cloned()
            .unwrap_or((Token::End, String::new()));
        self.position += 1;
        token
    }
}

fn fail(message: String) -> SelectorError {
    SelectorError(message)
}
