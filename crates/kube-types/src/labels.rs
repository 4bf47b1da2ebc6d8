//! Label selectors: the string form of query parameters and the object form of specs.
//! (`k8s.io/apimachinery/pkg/labels/selector.go`.)

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::names::{is_label_value, is_qualified_name};

/// Labels in whichever map they are.
pub trait LabelLookup {
    /// The value of `key`, if it is there.
    fn label(&self, key: &str) -> Option<&str>;
}

/// All requirements must hold; none selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How its value is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub values: BTreeSet<String>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`
    NotEquals,
    /// `in`
    In,
    /// `notin`
    NotIn,
    /// The bare key.
    Exists,
    /// `!key`
    DoesNotExist,
    /// `>`
    GreaterThan,
    /// `<`
    LessThan,
}

/// Why a selector is not understood, as upstream words it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl LabelSelector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object: what an absent `spec.selector` means.
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// These labels with these values.
    pub fn from_labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut requirements: Vec<_> = labels
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.into(),
                operator: Operator::Equals,
                values: BTreeSet::from([value.into()]),
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            requirements,
            nothing: false,
        }
    }

    /// The object form (`matchLabels`, `matchExpressions`). Null or absent selects nothing, `{}` everything.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        let Some(object) = selector.as_object() else {
            return Ok(Self::nothing());
        };
        let mut requirements = Vec::new();
        if let Some(labels) = object.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                let values = [value.as_str().unwrap_or_default().to_owned()];
                requirements.push(Requirement::new(key, Operator::Equals, values)?);
            }
        }
        let expressions = object.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned);
            requirements.push(Requirement::new(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &(impl LabelLookup + ?Sized)) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether an object (with `metadata.labels`) is selected.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(object.pointer("/metadata/labels").unwrap_or(&Value::Null))
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether it selects nothing.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Its conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// A checked condition.
    pub fn new(
        key: &str,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Self, SelectorError> {
        let values: BTreeSet<String> = values.into_iter().collect();
        let mut errors = Vec::new();
        if let Some(error) = key_error("key", key) {
            errors.push(error);
        }
        let list = || {
            format!(
                "[{}]",
                values
                    .iter()
                    .map(|v| format!("{v:?}"))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        let complaint = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        if let Some(complaint) = complaint {
            errors.push(format!("values: Invalid value: {}: {complaint}", list()));
        }
        for (i, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err()
            {
                errors.push(format!(
                    "values[{i}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ));
            }
        }
        for (i, value) in values.iter().enumerate() {
            let complaints = is_label_value(value);
            if !complaints.is_empty() {
                errors.push(format!(
                    "values[{i}][{key}]: Invalid value: {value:?}: {}",
                    complaints.join("; ")
                ));
            }
        }
        match errors.len() {
            0 => Ok(Self {
                key: key.to_owned(),
                operator,
                values,
            }),
            1 => Err(SelectorError(errors.remove(0))),
            _ => Err(SelectorError(format!("[{}]", errors.join(", ")))),
        }
    }

    /// Whether it holds for these labels.
    pub fn matches(&self, labels: &(impl LabelLookup + ?Sized)) -> bool {
        let value = labels.label(&self.key);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => {
                value.is_some_and(|v| self.values.contains(v))
            }
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
                match (number(value), number(self.values.first().map(String::as_str))) {
                    (Some(found), Some(bound)) if self.operator == Operator::GreaterThan => found > bound,
                    (Some(found), Some(bound)) => found < bound,
                    _ => false,
                }
            }
        }
    }
}

impl FromStr for LabelSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Parser {
            tokens: scan(text),
            position: 0,
        }
        .parse()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements,
            nothing: false,
        })
    }
}

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

struct Parser {
    tokens: Vec<(Token, String)>,
    position: usize,
}

impl Parser {
    fn parse(mut self) -> Result<Vec<Requirement>, SelectorError> {
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

fn key_error(path: &str, key: &str) -> Option<String> {
    let complaints = is_qualified_name(key);
    (!complaints.is_empty()).then(|| format!("{path}: Invalid value: {key:?}: {}", complaints.join("; ")))
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nothing {
            return f.write_str("<nil>");
        }
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self
            .values
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl LabelLookup for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<S: std::hash::BuildHasher> LabelLookup for HashMap<String, String, S> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl LabelLookup for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl LabelLookup for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl<T: LabelLookup> LabelLookup for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<T: LabelLookup + ?Sized> LabelLookup for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(selector: &str, labels: Value) -> bool {
        selector.parse::<LabelSelector>().unwrap().matches(&labels)
    }

    #[test]
    fn matching() {
        let labels = json!({"a": "1", "b": "x", "n": "7", "e": ""});
        for (selector, expected) in [
            ("", true),
            ("a=1", true),
            ("a==1,b=x", true),
            ("a=2", false),
            ("a!=2", true),
            ("z!=2", true),
            ("a in (1,2)", true),
            ("a notin (1,2)", false),
            ("z notin (1)", true),
            ("a", true),
            ("!a", false),
            ("!z", true),
            ("n>6", true),
            ("n<7", false),
            ("b>1", false),
            ("e=", true),
            ("e in ()", true),
            ("e in (,a)", true),
            ("b in (in,x)", true),
            (" a = 1 , b in ( x ) ", true),
        ] {
            assert_eq!(selects(selector, labels.clone()), expected, "{selector}");
        }
    }

    #[test]
    fn errors_as_upstream() {
        for (selector, message) in [
            (
                "a===b",
                "unable to parse requirement: found '=', expected: identifier",
            ),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a=b,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "a in (b",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ] {
            assert_eq!(
                selector.parse::<LabelSelector>().unwrap_err().to_string(),
                message,
                "{selector}"
            );
        }
        let error = "a=b@".parse::<LabelSelector>().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "unable to parse requirement: values[0][a]: Invalid value: \"b@\": a valid label must"
            ),
            "{error}"
        );
        let error = "a@=b".parse::<LabelSelector>().unwrap_err().to_string();
        assert!(
            error.starts_with("unable to parse requirement: <nil>: Invalid value: \"a@\": name part must"),
            "{error}"
        );
    }

    #[test]
    fn object_form() {
        let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["x", "y"]}]});
        let parsed = LabelSelector::from_object(&selector).unwrap();
        assert!(parsed.matches(&json!({"a": "1", "b": "y"})));
        assert!(!parsed.matches(&json!({"a": "1"})));
        assert_eq!(parsed.to_string(), "a=1,b in (x,y)");
        assert!(LabelSelector::from_object(&Value::Null).unwrap().is_nothing());
        assert!(!LabelSelector::nothing().matches(&json!({})));
        assert!(
            LabelSelector::from_object(&json!({}))
                .unwrap()
                .matches(&json!({}))
        );
        assert!(
            LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}))
                .is_err()
        );
    }
}
