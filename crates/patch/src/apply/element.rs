//! Path elements: how a field, a keyed list element or a set member is named (structured-merge-diff `fieldpath/element.go`).
use std::{cmp::Ordering, fmt};

use serde_json::Value;

use crate::go;

/// One step of a path into an object.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    /// A field of a struct or a key of a map: `f:name`.
    Field(String),
    /// The element of a keyed list with these key fields, sorted by name: `k:{"name":"c"}`.
    Key(Vec<(String, Value)>),
    /// The member of a set: `v:"x"`.
    Value(Value),
    /// The element of a list at an index: `i:0`.
    Index(i64),
}

impl Element {
    pub(crate) fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// As it is written in `fieldsV1`.
    pub(crate) fn serialise(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let mut out = "k:{".to_owned();
                for (n, (name, value)) in fields.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    go::string_into(&mut out, name);
                    out.push(':');
                    go::json_into(&mut out, value);
                }
                out.push('}');
                out
            }
            Self::Value(value) => format!("v:{}", go::json(value)),
            Self::Index(at) => format!("i:{at}"),
        }
    }

    /// From `fieldsV1`; `Ok(None)` for a kind that a future version may know.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        let json = || serde_json::from_str(rest).map_err(|e| format!("parsing key as path element: {e}"));
        Ok(Some(match kind {
            "f:" => Self::field(rest),
            "v:" => Self::Value(json()?),
            "k:" => {
                let Value::Object(fields) = json()? else {
                    return Err(format!("not a key: {text}"));
                };
                let mut fields: Vec<_> = fields.into_iter().collect();
                fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                Self::Key(fields)
            }
            "i:" => Self::Index(rest.parse().map_err(|_| format!("not an index: {text}"))?),
            _ if !kind.ends_with(':') => return Err(format!("missing colon: {text}")),
            _ => return Ok(None),
        }))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (n, (name, value)) in fields.iter().enumerate() {
                    let separator = if n > 0 { "," } else { "" };
                    write!(f, "{separator}{name}={value}")?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// A path as a conflict shows it: `.spec.containers[name="c"].image`.
pub(crate) fn show(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for ((name, value), (other_name, other)) in a.iter().zip(b) {
                    let order = name.cmp(other_name).then_with(|| compare(value, other));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

/// The order of values: numbers, strings, booleans, lists, maps, null (structured-merge-diff `value/value.go`).
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a
                .as_f64()
                .unwrap_or_default()
                .total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a
                .iter()
                .zip(b)
                .map(|(a, b)| compare(a, b))
                .find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(_), Value::Object(_)) => go::json(a).cmp(&go::json(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Equal values; 1 and 1.0 are the same number.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}
