//! Values. What comes from JSON stays there until an expression touches it.
use std::{cmp::Ordering, collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    functions::Opaque,
    types::{Identity, Type},
};

/// So many bytes are compared as quickly as two values.
const BYTES_A_STEP: u64 = 64;
/// Of so many values a document may be made; one of 1.5 MB has half as many.
const MOST_JSON: u64 = 1 << 20;

/// A text, of the JSON or made.
#[derive(Clone)]
pub enum Text<'a> {
    /// Of the JSON.
    Here(&'a str),
    /// Made.
    Made(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Here(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A list, of the JSON or made.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Of the JSON, with the type of its elements and by what they are told apart.
    Here(&'a [Json], Type, Identity),
    /// Made.
    Made(Arc<Vec<Value<'a>>>, Identity),
}

/// A map, of the JSON or made.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Of the JSON, with its type: a map, an object, or anything.
    Here(&'a serde_json::Map<String, Json>, Type),
    /// Made.
    Made(Arc<BTreeMap<Key, Value<'a>>>),
}

/// A key of a map that an expression made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// What is too big for an `int`.
    Uint(u64),
    /// `"a"`
    String(String),
}

/// An object that an expression made by the name of its type.
#[derive(Debug)]
pub struct Struct<'a> {
    /// The name of the type.
    pub name: String,
    /// What its fields were given.
    pub fields: BTreeMap<String, Value<'a>>,
}

impl Struct<'_> {
    fn equals(&self, other: &Self, left: &mut u64) -> bool {
        self.name == other.name
            && self.fields.len() == other.fields.len()
            && self.fields.iter().all(|(name, value)| {
                let theirs = other.fields.get(name);
                theirs.is_some_and(|theirs| value.equals(theirs, left))
            })
    }

    /// What is wrong with the names of types below: each has to be that of the field it stands in
    /// (`k8s.io/apiserver/pkg/cel/mutation/dynamic/objects.go` CheckTypeNamesMatchFieldPathNames).
    pub fn misnamed(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check(&self.name, &mut wrong);
        wrong
    }

    fn check(&self, wanted: &str, wrong: &mut Vec<String>) {
        if self.name != wanted {
            wrong.push(format!(
                "unexpected type name {:?}, expected {wanted:?}, which matches field name path from root Object type",
                self.name
            ));
        }
        for (field, value) in &self.fields {
            check_below(value, &format!("{wanted}.{field}"), wrong);
        }
    }
}

/// Lists and maps have no names of their own.
fn check_below(value: &Value<'_>, wanted: &str, wrong: &mut Vec<String>) {
    match value {
        Value::Struct(inner) => inner.check(wanted, wrong),
        Value::List(List::Made(items, _)) => items.iter().for_each(|item| check_below(item, wanted, wrong)),
        Value::Map(Map::Made(map)) => map.values().for_each(|item| check_below(item, wanted, wrong)),
        _ => {}
    }
}

/// What an expression works with.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`
    Double(f64),
    /// `"a"`
    String(Text<'a>),
    /// `b"a"`
    Bytes(Arc<[u8]>),
    /// A point in time.
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map or an object.
    Map(Map<'a>),
    /// An object that an expression made by the name of its type.
    Struct(Arc<Struct<'a>>),
    /// Perhaps a value.
    Optional(Option<Arc<Value<'a>>>),
    /// A type, by its name.
    Type(&'static str),
    /// Of a library.
    Opaque(Opaque),
}

impl From<bool> for Value<'_> {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<i64> for Value<'_> {
    fn from(is: i64) -> Self {
        Self::Int(is)
    }
}

impl From<String> for Value<'_> {
    fn from(is: String) -> Self {
        Self::String(Text::Made(is.into()))
    }
}

impl From<&str> for Value<'_> {
    fn from(is: &str) -> Self {
        Self::String(Text::Made(is.into()))
    }
}

impl<'a> Value<'a> {
    /// A list of these.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Made(Arc::new(items), Identity::Place))
    }

    /// A value of JSON, as its type has it (`k8s.io/apiserver/pkg/cel/common/values.go` UnstructuredToVal).
    pub fn of(json: &'a Json, kind: &Type) -> Self {
        match (json, kind) {
            (Json::Null, _) => Self::Null,
            (Json::Bool(is), _) => Self::Bool(*is),
            (Json::Number(n), Type::Double) => Self::Double(n.as_f64().unwrap_or_default()),
            (Json::Number(n), _) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => Self::Int(n),
                (None, Some(n)) => Self::Uint(n),
                (None, None) => match n.as_f64().unwrap_or_default() {
                    whole if *kind == Type::Int && whole.fract() == 0.0 && whole.abs() < 9e15 => {
                        Self::Int(whole as i64)
                    }
                    n => Self::Double(n),
                },
            },
            (Json::String(text), Type::Timestamp) => match timestamp(text) {
                Some(time) => Self::Timestamp(time),
                None => Self::String(Text::Here(text)),
            },
            (Json::String(text), Type::Duration) => match kube_types::parse_duration(text) {
                Ok(nanos) => Self::Duration(nanos),
                Err(_) => Self::String(Text::Here(text)),
            },
            (Json::String(text), Type::Bytes) => {
                use base64::{Engine as _, engine::general_purpose::STANDARD};
                match STANDARD.decode(text) {
                    Ok(bytes) => Self::Bytes(bytes.into()),
                    Err(_) => Self::String(Text::Here(text)),
                }
            }
            (Json::String(text), _) => Self::String(Text::Here(text)),
            (Json::Array(items), Type::List(list)) => {
                Self::List(List::Here(items, list.element.clone(), list.identity.clone()))
            }
            (Json::Array(items), _) => Self::List(List::Here(items, Type::Dyn, Identity::Place)),
            (Json::Object(map), Type::Map(_) | Type::Object(_)) => Self::Map(Map::Here(map, kind.clone())),
            (Json::Object(map), _) => Self::Map(Map::Here(map, Type::Dyn)),
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(Map::Here(_, Type::Object(_))) | Self::Struct(_) => "object",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Opaque(opaque) => opaque.type_name(),
        }
    }

    /// How big it is, in elements, characters or bytes; 1 when that means nothing (cel-go `interpreter/runtimecost.go` actualSize).
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(inner)) => return inner.size(),
            Self::Opaque(opaque) => opaque.size(),
            _ => 1,
        };
        size as u64
    }

    /// As JSON, where it has such a form that is not too long: a list that was made may hold another many times.
    pub fn json(&self) -> Option<Json> {
        self.json_within(&mut { MOST_JSON })
    }

    fn json_within(&self, left: &mut u64) -> Option<Json> {
        *left = left.checked_sub(1 + self.bytes() / BYTES_A_STEP)?;
        Some(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(is) => (*is).into(),
            Self::Int(n) => (*n).into(),
            Self::Uint(n) => (*n).into(),
            Self::Double(n) => (*n).into(),
            Self::String(text) => (**text).into(),
            Self::Bytes(bytes) => {
                use base64::{Engine as _, engine::general_purpose::STANDARD};
                STANDARD.encode(bytes).into()
            }
            Self::Timestamp(time) => time.to_string().into(),
            Self::Duration(nanos) => kube_types::format_duration(*nanos).into(),
            Self::List(List::Here(items, ..)) => {
                let item = |item| Self::of(item, &Type::Dyn).json_within(left);
                Json::Array(items.iter().map(item).collect::<Option<_>>()?)
            }
            Self::List(List::Made(items, _)) => {
                let item = |item: &Self| item.json_within(left);
                Json::Array(items.iter().map(item).collect::<Option<_>>()?)
            }
            Self::Map(Map::Here(map, _)) => {
                let entry = |(key, value): (&String, _)| {
                    Some((key.clone(), Self::of(value, &Type::Dyn).json_within(left)?))
                };
                Json::Object(map.iter().map(entry).collect::<Option<_>>()?)
            }
            Self::Map(Map::Made(map)) => {
                let entry = |(key, value): (&Key, &Self)| Some((key.text(), value.json_within(left)?));
                Json::Object(map.iter().map(entry).collect::<Option<_>>()?)
            }
            Self::Struct(made) => {
                let field = |(name, value): (&String, &Self)| Some((name.clone(), value.json_within(left)?));
                Json::Object(made.fields.iter().map(field).collect::<Option<_>>()?)
            }
            Self::Optional(Some(inner)) => return inner.json_within(left),
            Self::Type(_) | Self::Opaque(_) => return None,
        })
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::String(text) => text.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Whether both are the same to `==`. What is looked at is taken off `left`; once nothing is left the answer means nothing.
    pub fn equals(&self, other: &Self, left: &mut u64) -> bool {
        *left = left.saturating_sub(1);
        match (self, other) {
            _ if *left == 0 => false,
            (Self::Null, Self::Null) | (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => {
                *left = left.saturating_sub(a.len().min(b.len()) as u64 / BYTES_A_STEP);
                **a == **b
            }
            (Self::Bytes(a), Self::Bytes(b)) => {
                *left = left.saturating_sub(a.len().min(b.len()) as u64 / BYTES_A_STEP);
                a == b
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => a.equals(b, left),
            (Self::List(a), Self::List(b)) => a.equals(b, left),
            (Self::Map(a), Self::Map(b)) => a.equals(b, left),
            (Self::Struct(a), Self::Struct(b)) => a.equals(b, left),
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// Which of two comes first, where that means something. Numbers of all types are compared by value.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let wide = |n: &u64| i128::from(*n);
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&wide(b))),
            (Self::Uint(a), Self::Int(b)) => Some(wide(a).cmp(&i128::from(*b))),
            (Self::Int(a), Self::Double(b)) => against(i128::from(*a), *b),
            (Self::Uint(a), Self::Double(b)) => against(wide(a), *b),
            (Self::Double(_), Self::Int(_) | Self::Uint(_)) => other.compare(self).map(Ordering::reverse),
            (Self::String(a), Self::String(b)) => Some((**a).cmp(&**b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Opaque(a), Self::Opaque(b)) => a.compare(b),
            _ => None,
        }
    }
}

/// A whole number beside one that need not be.
fn against(whole: i128, other: f64) -> Option<Ordering> {
    if other.is_nan() {
        return None;
    }
    // Nothing of 64 bits is beyond these, and what is within has an exact integer part.
    if other >= 1e30 {
        return Some(Ordering::Less);
    }
    if other <= -1e30 {
        return Some(Ordering::Greater);
    }
    let floor = other.floor();
    let order = whole.cmp(&(floor as i128));
    Some(match order {
        Ordering::Equal if floor < other => Ordering::Less,
        order => order,
    })
}

/// A time or a date.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(time) = kube_types::parse_seconds(text) {
        return Some(time);
    }
    let date = text.parse::<jiff::civil::Date>().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

impl<'a> List<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Here(items, ..) => items.len(),
            Self::Made(items, _) => items.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            Self::Here(items, kind, _) => items.get(at).map(|item| Value::of(item, kind)),
            Self::Made(items, _) => items.get(at).cloned(),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// By what the elements are told apart.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Here(_, _, identity) | Self::Made(_, identity) => identity,
        }
    }

    /// Sets and maps have no order (`values.go` unstructuredSetList and unstructuredMapList).
    fn equals(&self, other: &Self, left: &mut u64) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let identity = match self.identity() {
            Identity::Place => other.identity(),
            own => own,
        };
        if *identity == Identity::Place {
            return self.iter().zip(other.iter()).all(|(a, b)| a.equals(&b, left));
        }
        let theirs: BTreeMap<String, Value<'a>> = other
            .iter()
            .map(|item| (name_of(identity, &item), item))
            .collect();
        self.iter().all(|item| {
            theirs
                .get(&name_of(identity, &item))
                .is_some_and(|their| their.equals(&item, left))
        })
    }

    /// Both, one after the other; in sets and maps what the second has replaces what the first has.
    pub fn plus(&self, other: &Self) -> Self {
        let identity = self.identity();
        let mut all: Vec<Value<'a>> = self.iter().collect();
        if *identity == Identity::Place {
            all.extend(other.iter());
        } else {
            let mut places: BTreeMap<String, usize> = all
                .iter()
                .enumerate()
                .map(|(at, item)| (name_of(identity, item), at))
                .collect();
            for item in other.iter() {
                let name = name_of(identity, &item);
                match places.get(&name) {
                    Some(at) => all[*at] = item,
                    None => {
                        places.insert(name, all.len());
                        all.push(item);
                    }
                }
            }
        }
        Self::Made(Arc::new(all), identity.clone())
    }
}

/// By what an element of a set or a map is known, as text.
fn name_of(identity: &Identity, item: &Value<'_>) -> String {
    match (identity, item) {
        (Identity::Keys(keys), Value::Map(map)) => {
            let own = keys.iter().map(|key| match map {
                Map::Here(map, _) => map.get(key).cloned(),
                Map::Made(map) => map.get(&Key::String(key.clone())).and_then(Value::json),
            });
            Json::Array(own.map(Option::unwrap_or_default).collect()).to_string()
        }
        _ => item.json().unwrap_or_default().to_string(),
    }
}

impl<'a> Map<'a> {
    /// How many entries; of an object, the fields that its type knows.
    pub fn len(&self) -> usize {
        match self {
            Self::Here(map, Type::Object(_)) => self.keys().count().min(map.len()),
            Self::Here(map, _) => map.len(),
            Self::Made(map) => map.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands under a text: a key, or the name of a field.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Here(map, Type::Object(object)) => {
                let field = object.fields.get(name)?;
                map.get(&field.json).map(|value| Value::of(value, &field.kind))
            }
            Self::Here(map, Type::Map(kind)) => map.get(name).map(|value| Value::of(value, &kind.value)),
            Self::Here(map, _) => map.get(name).map(|value| Value::of(value, &Type::Dyn)),
            Self::Made(map) => map.get(&Key::String(name.to_owned())).cloned(),
        }
    }

    /// What stands under a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (_, Value::String(name)) => self.field(name),
            (Self::Made(map), key) => map.get(&Key::of(key)?).cloned(),
            (Self::Here(..), _) => None,
        }
    }

    /// All keys in order.
    pub fn keys(&self) -> Box<dyn Iterator<Item = Value<'a>> + '_> {
        match self {
            Self::Here(map, Type::Object(object)) => {
                let there = object
                    .fields
                    .iter()
                    .filter(|(_, field)| map.contains_key(&field.json));
                Box::new(there.map(|(name, _)| name.as_str().into()))
            }
            Self::Here(map, _) => {
                let map: &'a serde_json::Map<String, Json> = map;
                Box::new(map.keys().map(|key| Value::String(Text::Here(key))))
            }
            Self::Made(map) => Box::new(map.keys().map(Key::value)),
        }
    }

    fn equals(&self, other: &Self, left: &mut u64) -> bool {
        self.len() == other.len()
            && self.keys().all(|key| match (self.get(&key), other.get(&key)) {
                (Some(a), Some(b)) => a.equals(&b, left),
                _ => false,
            })
    }
}

impl Key {
    /// A key, if such a value can be one. Equal numbers are equal keys.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(is) => Self::Bool(*is),
            Value::Int(n) => Self::Int(*n),
            Value::Uint(n) => match i64::try_from(*n) {
                Ok(n) => Self::Int(n),
                Err(_) => Self::Uint(*n),
            },
            Value::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Self::Int(*n as i64),
            Value::String(text) => Self::String((**text).to_owned()),
            _ => return None,
        })
    }

    fn value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(is) => Value::Bool(*is),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
            Self::String(text) => text.as_str().into(),
        }
    }

    /// As messages show it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Bool(is) => is.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Uint(n) => n.to_string(),
            Self::String(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ENOUGH: u64 = 100;

    #[test]
    fn numbers_are_compared_by_value() {
        let greater = [
            (Value::Int(2), Value::Double(1.5)),
            (Value::Uint(u64::MAX), Value::Int(-1)),
            (Value::Double(-0.5), Value::Int(-1)),
            (Value::Uint(u64::MAX), Value::Double(1e19)),
            (Value::Double(1e300), Value::Uint(u64::MAX)),
        ];
        for (a, b) in greater {
            assert_eq!(a.compare(&b), Some(Ordering::Greater), "{a:?} {b:?}");
            assert_eq!(b.compare(&a), Some(Ordering::Less), "{b:?} {a:?}");
        }
        assert!(Value::Int(1).equals(&Value::Double(1.0), &mut { ENOUGH }));
        assert_eq!(Value::Int(1).compare(&Value::Double(f64::NAN)), None);
    }

    #[test]
    fn sets_and_maps_have_no_order() {
        let of = |identity, json| {
            let kind = Type::List(Arc::new(crate::types::ListType {
                element: Type::Dyn,
                identity,
            }));
            Value::of(json, &kind)
        };
        let (ab, ba) = (json!(["a", "b"]), json!(["b", "a"]));
        assert!(!of(Identity::Place, &ab).equals(&of(Identity::Place, &ba), &mut { ENOUGH }));
        assert!(of(Identity::Value, &ab).equals(&of(Identity::Value, &ba), &mut { ENOUGH }));
        let keys = || Identity::Keys(vec!["n".to_owned()]);
        let (one, two) = (
            json!([{"n": 1, "v": 1}, {"n": 2}]),
            json!([{"n": 2}, {"n": 1, "v": 1}]),
        );
        assert!(of(keys(), &one).equals(&of(keys(), &two), &mut { ENOUGH }));
        let (Value::List(a), Value::List(b)) = (of(keys(), &one), of(keys(), &two)) else {
            panic!("lists");
        };
        assert_eq!(a.plus(&b).len(), 2);
    }

    #[test]
    fn json_as_its_type_has_it() {
        let text = json!("2026-01-01");
        assert!(matches!(Value::of(&text, &Type::Timestamp), Value::Timestamp(_)));
        assert!(matches!(Value::of(&text, &Type::Dyn), Value::String(_)));
        let hour = json!("1h");
        assert!(matches!(
            Value::of(&hour, &Type::Duration),
            Value::Duration(3_600_000_000_000)
        ));
        let one = json!(1);
        assert!(matches!(Value::of(&one, &Type::Double), Value::Double(_)));
    }
}
