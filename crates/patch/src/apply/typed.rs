//! Objects as structured-merge-diff sees them: what owns as a whole, how list elements are named, and the fields that
//! Go's structs always have.
use schema::{Definition, ListKind, Scalar, Shape, Type};
use serde_json::{Map, Value};

use super::element::Element;

/// The type of a place in an object; `None` where the schema says nothing and the structure is taken from the value.
pub(crate) type Ty = Option<Type>;

/// How a value is owned and merged.
#[derive(Clone, Copy)]
pub(crate) enum Atom {
    /// As one value: a scalar, or an atomic list or map.
    Leaf,
    /// By element.
    List(Ty, &'static ListKind),
    /// By field.
    Struct(&'static Definition),
    /// By key.
    Map(Ty),
}

impl Atom {
    /// How a place with one or two values is owned; a null or absent value takes the form of the other.
    pub(crate) fn of(ty: Ty, values: [Option<&Value>; 2]) -> Self {
        let Some(ty) = ty else {
            return Self::deduced(values);
        };
        match ty.shape() {
            Shape::Scalar(Scalar::FieldsV1) => Self::deduced(values),
            Shape::Object {
                definition,
                atomic: false,
            } => Self::Struct(definition),
            Shape::List {
                kind: ListKind::Atomic,
                ..
            } => Self::Leaf,
            Shape::List { item, kind } => Self::List(Some(item), kind),
            Shape::Map { value, atomic: false } => Self::Map(Some(value)),
            Shape::Scalar(_) | Shape::Object { .. } | Shape::Map { .. } => Self::Leaf,
        }
    }

    fn deduced(values: [Option<&Value>; 2]) -> Self {
        let mut present = values.into_iter().flatten().filter(|v| !v.is_null()).peekable();
        let maps = present.peek().is_some() && present.all(Value::is_object);
        if maps { Self::Map(None) } else { Self::Leaf }
    }

    /// The type of a field or key.
    pub(crate) fn child(self, key: &str) -> Ty {
        match self {
            Self::Struct(definition) => definition.field(key).map(schema::Field::ty),
            Self::Map(ty) => ty,
            _ => None,
        }
    }

    /// Whether a key is a declared field.
    pub(crate) fn declares(self, key: &str) -> bool {
        matches!(self, Self::Struct(definition) if definition.field(key).is_some())
    }
}

/// The name of a list element.
pub(crate) fn element_of(item: Ty, kind: &ListKind, value: &Value) -> Result<Element, String> {
    let ListKind::Map(keys) = kind else {
        return match value {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(Element::Value(scalar.clone())),
        };
    };
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut fields = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || {
            item.and_then(|ty| ty.field(key))
                .and_then(schema::Field::key_default)
        };
        if let Some(value) = map.get(*key).cloned().or_else(default) {
            fields.push(((*key).to_owned(), value));
        }
    }
    if fields.is_empty() {
        let names: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Element::Key(fields))
}

/// A list's elements, if it is one.
pub(crate) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A map's entries, if it is one.
pub(crate) fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// An object as Go's reflection shows it: fields that are always written are there, with their zero values; those that
/// are left out when empty are not there when empty.
pub(crate) fn go_view(definition: &str, object: &Value) -> Value {
    let mut view = object.clone();
    // An object that does not decode is not stored; its view is of no consequence.
    let _ = schema::normalise(definition, &mut view);
    view
}
