//! Objects as structured-merge-diff sees them: what owns as a whole, how list elements are named, and the fields that
//! Go's structs always have.
use schema::{ListKind, Scalar, Shape, Type};
use serde_json::{Map, Value};

use super::element::Element;

/// What says how an object is owned and merged.
#[derive(Debug, Clone, Copy)]
pub enum Typing<'a> {
    /// A kind of the schema, by the name of its definition; of an unknown one the structure is taken from the values.
    Definition(&'a str),
    /// A custom resource.
    Structural {
        /// The structural schema of whole objects (`openAPIV3Schema`).
        schema: &'a Value,
        /// Whether its status is written through a subresource only.
        has_status: bool,
    },
}

impl<'a> From<&'a str> for Typing<'a> {
    fn from(definition: &'a str) -> Self {
        Self::Definition(definition)
    }
}

impl<'a> Typing<'a> {
    pub(crate) fn root(self) -> Ty<'a> {
        match self {
            Self::Definition(name) => schema::type_of(name).map_or(Ty::Deduced, Ty::Known),
            Self::Structural { schema, .. } => Ty::Custom(Custom {
                whole: true,
                ..Custom::new(schema, false)
            }),
        }
    }

    /// An object as Go's reflection shows it: fields that are always written are there, with their zero values; those that
    /// are left out when empty are not there when empty. Custom resources are what they are.
    pub(crate) fn go_view(self, object: &Value) -> Value {
        let mut view = object.clone();
        if let Self::Definition(name) = self {
            // An object that does not decode is not stored; its view is of no consequence.
            let _ = schema::normalise(name, &mut view);
        }
        view
    }

    /// The same of an object that was stored: upstream stores protobuf, which has no list or map without entries.
    pub(crate) fn stored_view(self, object: &Value) -> Value {
        let mut stored = object.clone();
        if matches!(self, Self::Definition(_)) {
            as_stored(self.root(), &mut stored);
        }
        self.go_view(&stored)
    }
}

/// Leaves out fields that are lists or maps without entries.
fn as_stored(ty: Ty<'_>, object: &mut Value) {
    let is_map = |ty: Ty<'_>| matches!(ty, Ty::Known(known) if matches!(known.shape(), Shape::Map { .. }));
    retain_fields(ty, object, &|ty, value| match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !(entries.is_empty() && is_map(ty)),
        _ => true,
    });
}

/// Keeps those fields of Go's structs that are wanted, the innermost first. JSON that no struct holds and custom resources are left alone.
pub(crate) fn retain_fields(ty: Ty<'_>, value: &mut Value, wanted: &impl Fn(Ty<'_>, &Value) -> bool) {
    let Ty::Known(known) = ty else { return };
    match (known.shape(), value) {
        (Shape::Object { .. }, Value::Object(fields)) => fields.retain(|name, value| {
            retain_fields(ty.child(name), value, wanted);
            wanted(ty.child(name), value)
        }),
        (Shape::Map { .. }, Value::Object(entries)) => {
            for (key, value) in entries {
                retain_fields(ty.child(key), value, wanted);
            }
        }
        (Shape::List { .. }, Value::Array(items)) => {
            for item in items {
                retain_fields(ty.item(), item, wanted);
            }
        }
        _ => {}
    }
}

/// The type of a place in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ty<'a> {
    /// The schema says nothing, and the structure is taken from the value.
    Deduced,
    Known(Type),
    Custom(Custom<'a>),
}

/// A place in a custom resource (kube-openapi `schemaconv/openapi.go`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Custom<'a> {
    schema: &'a Value,
    /// Whether an object with a type and metadata is here.
    whole: bool,
    /// Whether fields that the schema does not name are kept here; what is said further up counts too.
    open: bool,
}

impl<'a> Custom<'a> {
    fn new(schema: &'a Value, open: bool) -> Self {
        Self {
            schema,
            whole: schema["x-kubernetes-embedded-resource"] == true,
            open: open || schema["x-kubernetes-preserve-unknown-fields"] == true,
        }
    }

    /// Its OpenAPI type, if it has one.
    pub(crate) fn type_name(self) -> Option<&'a str> {
        self.schema["type"].as_str()
    }

    /// Its OpenAPI format.
    pub(crate) fn format(self) -> &'a str {
        self.schema["format"].as_str().unwrap_or_default()
    }

    fn property(self, name: &str) -> Option<&'a Value> {
        self.schema["properties"].get(name)
    }

    fn child(self, key: &str) -> Ty<'a> {
        if self.whole && key == "metadata" {
            return schema::type_of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
                .map_or(Ty::Deduced, Ty::Known);
        }
        let others = &self.schema["additionalProperties"];
        let schema = self
            .property(key)
            .or_else(|| Some(others).filter(|s| s.is_object()));
        schema.map_or(Ty::Deduced, |schema| Ty::Custom(Self::new(schema, self.open)))
    }

    fn atom(self, values: [Option<&Value>; 2]) -> Atom<'a> {
        let schema = self.schema;
        let present = || values.into_iter().flatten().filter(|v| !v.is_null());
        let all = |is: fn(&Value) -> bool| present().next().is_some() && present().all(is);
        // Without a type anything is accepted, and merged by what it is.
        let (is_map, is_list) = match schema["type"].as_str() {
            Some(name) => (name == "object", name == "array"),
            None => (all(Value::is_object), all(Value::is_array)),
        };
        let items = &schema["items"];
        match schema["x-kubernetes-list-type"].as_str() {
            _ if is_map && schema["x-kubernetes-map-type"] != "atomic" => Atom::Map(Ty::Custom(self)),
            Some(kind @ ("set" | "map")) if is_list && items.is_object() => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array();
                let names = Names {
                    custom: keys.filter(|_| kind == "map").map_or(&[], Vec::as_slice),
                    ..Names::THEMSELVES
                };
                Atom::List(Ty::Custom(Self::new(items, self.open)), names)
            }
            _ => Atom::Leaf,
        }
    }
}

impl Ty<'_> {
    /// The type of a field or key.
    pub(crate) fn child(self, key: &str) -> Self {
        match self {
            Self::Deduced => Self::Deduced,
            Self::Known(ty) => ty.child(key).map_or(Self::Deduced, Self::Known),
            Self::Custom(custom) => custom.child(key),
        }
    }

    /// Whether a key is a declared field.
    pub(crate) fn declares(self, key: &str) -> bool {
        match self {
            Self::Deduced => false,
            Self::Known(ty) => ty.field(key).is_some(),
            Self::Custom(custom) => {
                custom.property(key).is_some()
                    || custom.whole && matches!(key, "apiVersion" | "kind" | "metadata")
            }
        }
    }

    /// The type of a list's elements.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Known(ty) if matches!(ty.shape(), Shape::List { .. }) => {
                ty.item().map_or(Self::Deduced, Self::Known)
            }
            Self::Custom(Custom { schema, open, .. }) if schema["items"].is_object() => {
                Self::Custom(Custom::new(&schema["items"], open))
            }
            _ => Self::Deduced,
        }
    }

    /// What a field that names list elements is when it is left out.
    fn key_default(self, key: &str) -> Option<Value> {
        match self {
            Self::Deduced => None,
            Self::Known(ty) => ty.field(key)?.key_default(),
            Self::Custom(custom) => custom.property(key)?.get("default").cloned(),
        }
    }
}

/// What names the elements of a list: these fields, or without any, the elements themselves.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    known: &'static [&'static str],
    custom: &'a [Value],
}

impl Names<'static> {
    /// The elements are their own names.
    const THEMSELVES: Self = Self {
        known: &[],
        custom: &[],
    };
}

impl<'a> Names<'a> {
    fn keys(self) -> impl Iterator<Item = &'a str> {
        let custom = self.custom.iter().filter_map(Value::as_str);
        self.known.iter().copied().chain(custom)
    }
}

/// How a value is owned and merged.
#[derive(Clone, Copy)]
pub(crate) enum Atom<'a> {
    /// As one value: a scalar, or an atomic list or map.
    Leaf,
    /// By element.
    List(Ty<'a>, Names<'a>),
    /// By field or key.
    Map(Ty<'a>),
}

impl<'a> Atom<'a> {
    /// How a place with one or two values is owned; a null or absent value takes the form of the other.
    pub(crate) fn of(ty: Ty<'a>, values: [Option<&Value>; 2]) -> Self {
        let known = match ty {
            Ty::Deduced => return Self::deduced(values),
            Ty::Custom(custom) => return custom.atom(values),
            Ty::Known(known) => known,
        };
        match known.shape() {
            Shape::Scalar(Scalar::FieldsV1) => Self::deduced(values),
            Shape::Object { atomic: false, .. } | Shape::Map { atomic: false, .. } => Self::Map(ty),
            Shape::List {
                item,
                kind: ListKind::Set,
            } => Self::List(Ty::Known(item), Names::THEMSELVES),
            Shape::List {
                item,
                kind: ListKind::Map(keys),
            } => Self::List(
                Ty::Known(item),
                Names {
                    known: keys,
                    ..Names::THEMSELVES
                },
            ),
            Shape::List { .. } | Shape::Scalar(_) | Shape::Object { .. } | Shape::Map { .. } => Self::Leaf,
        }
    }

    fn deduced(values: [Option<&Value>; 2]) -> Self {
        let mut present = values.into_iter().flatten().filter(|v| !v.is_null()).peekable();
        let maps = present.peek().is_some() && present.all(Value::is_object);
        if maps { Self::Map(Ty::Deduced) } else { Self::Leaf }
    }
}

/// The name of a list element.
pub(crate) fn element_of(item: Ty<'_>, names: Names<'_>, value: &Value) -> Result<Element, String> {
    if names.keys().next().is_none() {
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
    }
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut fields: Vec<(String, Value)> = names
        .keys()
        .filter_map(|key| {
            let value = map.get(key).cloned().or_else(|| item.key_default(key))?;
            Some((key.to_owned(), value))
        })
        .collect();
    if fields.is_empty() {
        let names: Vec<_> = names.keys().map(|key| format!("{key:?}")).collect();
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
