//! Types of expressions (cel-go `common/types`, `checker/format.go`).
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything: decided at run time.
    Dyn,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `timestamp`
    Timestamp,
    /// `duration`
    Duration,
    /// `list(T)`
    List(Arc<ListType>),
    /// `map(K, V)`
    Map(Arc<MapType>),
    /// Fields by name.
    Object(Arc<ObjectType>),
    /// A type of a library, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// `optional_type(T)`
    Optional(Arc<Type>),
    /// The type of types.
    Kind,
    /// A type parameter of a function's declaration.
    Param(char),
}

/// By what the elements of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// By their place.
    #[default]
    Place,
    /// By their value: `x-kubernetes-list-type: set`.
    Value,
    /// By some of their fields: `x-kubernetes-list-type: map`.
    Keys(Vec<String>),
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListType {
    /// Type of the elements.
    pub element: Type,
    /// By what they are told apart.
    pub identity: Identity,
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapType {
    /// Type of the keys.
    pub key: Type,
    /// Type of the values.
    pub value: Type,
}

/// An object with known fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectType {
    /// As messages name it.
    pub name: String,
    /// Fields, by the names that expressions use.
    pub fields: BTreeMap<String, Field>,
}

impl ObjectType {
    /// The type of a field, if there is one. What patches are made of takes any (`k8s.io/apiserver/pkg/cel/mutation/dynamic`).
    pub(crate) fn field(&self, name: &str) -> Option<Type> {
        match self.fields.get(name) {
            Some(field) => Some(field.kind.clone()),
            None => is_patched(&self.name).then_some(Type::Dyn),
        }
    }
}

/// Whether this is the type of the object that is patched, or of a part of it.
fn is_patched(name: &str) -> bool {
    name == "Object" || name.starts_with("Object.")
}

/// The types of which patches are made, by name: `Object` and its parts, and `JSONPatch` (`k8s.io/apiserver/pkg/cel/mutation`).
pub(crate) fn patch_type(name: &str) -> Option<Arc<ObjectType>> {
    let fields: &[(&str, Type)] = match name {
        "JSONPatch" => &[
            ("op", Type::String),
            ("path", Type::String),
            ("from", Type::String),
            ("value", Type::Dyn),
        ],
        _ if is_patched(name) => &[],
        _ => return None,
    };
    let fields = fields.iter().map(|(name, kind)| {
        let json = (*name).to_owned();
        let kind = kind.clone();
        (json.clone(), Field { json, kind })
    });
    Some(Arc::new(ObjectType {
        name: name.to_owned(),
        fields: fields.collect(),
    }))
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub json: String,
    /// Its type.
    pub kind: Type,
}

impl Type {
    /// A list whose elements are told apart by their place.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(ListType {
            element,
            identity: Identity::Place,
        }))
    }

    /// A map.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(MapType { key, value }))
    }

    /// An object, of fields whose JSON names are the keys; those that expressions cannot name are left out.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (String, Self)>) -> Self {
        let fields = fields.into_iter().filter_map(|(json, kind)| {
            let name = escape(&json)?;
            Some((name, Field { json, kind }))
        });
        Self::Object(Arc::new(ObjectType {
            name: name.to_owned(),
            fields: fields.collect(),
        }))
    }

    /// Perhaps a value of that type.
    pub fn optional(kind: Self) -> Self {
        Self::Optional(Arc::new(kind))
    }

    /// Whether it is made of at most so many types, which are taken off. A type may hold another twice (`map(T, T)`), so that a short
    /// expression can make one that takes forever to walk through. Objects count once: expressions do not make them.
    pub(crate) fn is_within(&self, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else {
            return false;
        };
        *left = less;
        match self {
            Self::List(list) => list.element.is_within(left),
            Self::Map(map) => map.key.is_within(left) && map.value.is_within(left),
            Self::Optional(inner) => inner.is_within(left),
            _ => true,
        }
    }

    /// Whether nothing is known of it.
    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn)
    }

    /// Whether a value of `from` can be where one of this type is wanted.
    pub fn takes(&self, from: &Self) -> bool {
        match (self, from) {
            (Self::Dyn, _)
            | (_, Self::Dyn)
            | (Self::Object(_) | Self::Opaque(_) | Self::Timestamp | Self::Duration, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a.element.takes(&b.element),
            (Self::Map(a), Self::Map(b)) => a.key.takes(&b.key) && a.value.takes(&b.value),
            (Self::Optional(a), Self::Optional(b)) => a.takes(b),
            _ => self == from,
        }
    }

    /// The type of either.
    pub fn join(&self, other: &Self) -> Self {
        if self.takes(other) && !other.is_dyn() {
            self.clone()
        } else if other.takes(self) && !self.is_dyn() {
            other.clone()
        } else {
            Self::Dyn
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dyn => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Kind => "type",
            Self::Opaque(name) => name,
            Self::Object(object) => &object.name,
            Self::List(list) => return write!(f, "list({})", list.element),
            Self::Map(map) => return write!(f, "map({}, {})", map.key, map.value),
            Self::Optional(inner) => return write!(f, "optional_type({inner})"),
            Self::Param(name) => return write!(f, "{name}"),
        })
    }
}

/// Words that cannot be names (`k8s.io/apiserver/pkg/cel/escaping.go` celReservedSymbols).
pub const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name by which expressions know a JSON field, if they can name it at all (`escaping.go` Escape).
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '_' if chars.peek() == Some(&'_') => {
                chars.next();
                escaped.push_str("__underscores__");
            }
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => escaped.push(c),
            _ => return None,
        }
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields() {
        for (json, name) in [
            ("namespace", Some("__namespace__")),
            ("foo-bar", Some("foo__dash__bar")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("my_field", Some("my_field")),
            ("a__b", Some("a__underscores__b")),
            ("a$", None),
            ("1a", None),
            ("", None),
        ] {
            assert_eq!(escape(json).as_deref(), name, "{json}");
        }
    }

    #[test]
    fn words_of_types() {
        let of = Type::map(Type::String, Type::list(Type::optional(Type::Int)));
        assert_eq!(of.to_string(), "map(string, list(optional_type(int)))");
        assert!(Type::list(Type::Dyn).takes(&Type::list(Type::Int)));
        assert!(!Type::list(Type::String).takes(&Type::list(Type::Int)));
    }
}
