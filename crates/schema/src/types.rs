//! Walking the schema: what strategic merge patch, server-side apply and validation ask of a field.
//!
//! ```
//! let pod = schema::type_of("io.k8s.api.core.v1.Pod").unwrap();
//! let containers = pod.field("spec").unwrap().ty().field("containers").unwrap();
//! assert_eq!(containers.patch_merge_key(), Some("name")); // strategic merge patch
//! let schema::Shape::List { item, kind } = containers.ty().shape() else { panic!() };
//! assert_eq!(kind, &schema::ListKind::Map(vec!["name"])); // server-side apply
//! let ports = item.field("ports").unwrap().ty().item().unwrap();
//! assert_eq!(ports.field("protocol").unwrap().key_default(), Some("TCP".into()));
//! ```

use serde_json::Value;

use crate::table::Table;

/// A node of the schema: an object with fields, a list, a map or a scalar. A cheap handle.
#[derive(Clone, Copy)]
pub struct Type(pub(crate) &'static Node);

/// What a [`Type`] is.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A leaf.
    Scalar(Scalar),
    /// A struct. `atomic` (`x-kubernetes-map-type: atomic`) is replaced whole and owned whole by server-side apply.
    Object {
        /// Its definition with its fields.
        definition: &'static Definition,
        /// Owned as one value.
        atomic: bool,
    },
    /// An array.
    List {
        /// The type of its elements.
        item: Type,
        /// `x-kubernetes-list-type`; atomic where the schema says nothing.
        kind: &'static ListKind,
    },
    /// A map with free keys.
    Map {
        /// The type of its values.
        value: Type,
        /// Owned as one value.
        atomic: bool,
    },
}

/// The leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// A JSON string.
    String,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A floating point number.
    Float,
    /// A boolean.
    Bool,
    /// Bytes in base64.
    Bytes,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    /// A Go duration such as `1m30s`.
    Duration,
    /// `resource.Quantity`: a string, or a number that becomes one.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `metav1.FieldsV1`: any object.
    FieldsV1,
    /// `runtime.RawExtension`: any JSON; server-side apply deduces its structure from the value.
    Raw,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// Owned and replaced whole.
    Atomic,
    /// Scalars that are unique.
    Set,
    /// Objects identified by these fields (`x-kubernetes-list-map-keys`).
    Map(Vec<&'static str>),
}

/// A named struct of the API.
pub struct Definition {
    pub(crate) name: &'static str,
    pub(crate) go_name: &'static str,
    pub(crate) gvks: &'static str,
    pub(crate) atomic: bool,
    /// `x-kubernetes-unions`: one of its fields is set, and this one says which, if it has a name.
    pub(crate) union: Option<&'static str>,
    pub(crate) node: Node,
    pub(crate) fields: Vec<Field>,
    /// Which fields are in the protobuf message, by their numbers.
    pub(crate) by_tag: Box<[u16]>,
}

/// A field of a struct.
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) node: Node,
    pub(crate) required: bool,
    pub(crate) pointer: bool,
    pub(crate) omit_empty: bool,
    pub(crate) omit_zero: bool,
    /// Protobuf: field number, or number of the embedded struct and the field in it; 0 = not in the message.
    pub(crate) tags: [u8; 2],
    pub(crate) go_type: &'static str,
    pub(crate) default: Option<&'static str>,
    pub(crate) patch_merge_key: Option<&'static str>,
    pub(crate) patch_strategy: &'static str,
    pub(crate) enum_values: &'static str,
    /// Whether the schema says a list type; without it lists are atomic, and the OpenAPI document is silent.
    pub(crate) list_declared: bool,
    /// `x-kubernetes-map-type` of the field itself: true for atomic, false for granular, which undoes the definition's.
    pub(crate) map_type: Option<bool>,
    /// Where its struct declares it, from 1, if that is not said by the tags.
    pub(crate) declared: u8,
}

#[derive(Debug)]
pub(crate) enum Node {
    Scalar(Scalar),
    Object { definition: u16, atomic: bool },
    List { item: Box<Node>, kind: ListKind },
    Map { value: Box<Node>, atomic: bool },
}

/// The type of a definition such as `io.k8s.api.core.v1.Pod`.
pub fn type_of(definition: &str) -> Option<Type> {
    Table::get().find(definition).map(|d| Type(&d.node))
}

impl Type {
    /// What it is.
    pub fn shape(self) -> Shape {
        match self.0 {
            Node::Scalar(s) => Shape::Scalar(*s),
            Node::Object { definition, atomic } => Shape::Object {
                definition: Table::get().at(*definition),
                atomic: *atomic,
            },
            Node::List { item, kind } => Shape::List {
                item: Type(item),
                kind,
            },
            Node::Map { value, atomic } => Shape::Map {
                value: Type(value),
                atomic: *atomic,
            },
        }
    }

    /// The definition, if it is a struct.
    pub fn definition(self) -> Option<&'static Definition> {
        match self.0 {
            Node::Object { definition, .. } => Some(Table::get().at(*definition)),
            _ => None,
        }
    }

    /// The field of this name, if it is a struct that has it.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.definition()?.field(name)
    }

    /// The type below `key`: a struct's field, or a map's value.
    pub fn child(self, key: &str) -> Option<Self> {
        match self.0 {
            Node::Map { value, .. } => Some(Self(value)),
            _ => self.field(key).map(Field::ty),
        }
    }

    /// The type of a list's elements or a map's values.
    pub fn item(self) -> Option<Self> {
        match self.0 {
            Node::List { item: inner, .. } | Node::Map { value: inner, .. } => Some(Self(inner)),
            _ => None,
        }
    }

    /// Whether any JSON is allowed here, so that nothing below is known.
    pub fn is_untyped(self) -> bool {
        matches!(self.0, Node::Scalar(Scalar::Raw | Scalar::FieldsV1))
    }
}

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.definition() {
            Some(d) => write!(f, "Type({})", d.name),
            None => write!(f, "Type({:?})", self.0),
        }
    }
}

impl Definition {
    /// The OpenAPI name, such as `io.k8s.api.core.v1.Pod`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The Go name as reflection prints it, such as `v1.Pod`.
    pub fn go_name(&self) -> &'static str {
        self.go_name
    }

    /// The Go name without its package, such as `Pod`.
    pub fn short_name(&self) -> &'static str {
        self.go_name.rsplit('.').next().unwrap_or(self.go_name)
    }

    /// The structs without a name in JSON that hold the field: Go's decoder names them in its errors all the same.
    pub(crate) fn embedding(&self, field: &Field) -> &'static [&'static str] {
        match (self.short_name(), field.tags) {
            // Its message has no number for what it embeds twice (see `table::parse_tags`).
            ("NamedRuleWithOperations", [0, 0]) => &["RuleWithOperations", "Rule"],
            (_, [_, 0]) => &[],
            ("NamedRuleWithOperations", _) => &["RuleWithOperations"],
            ("RuleWithOperations", _) => &["Rule"],
            ("Volume", _) => &["VolumeSource"],
            ("PersistentVolumeSpec", _) => &["PersistentVolumeSource"],
            ("Probe", _) => &["ProbeHandler"],
            ("EphemeralContainer", _) => &["EphemeralContainerCommon"],
            ("IngressRule", _) => &["IngressRuleValue"],
            (owner, _) if owner.starts_with("Device") => &["DeviceConfiguration"],
            _ => &["LocalObjectReference"],
        }
    }

    /// Its fields, sorted by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .binary_search_by(|f| f.name.cmp(name))
            .ok()
            .map(|i| &self.fields[i])
    }

    /// Group, version and kind, where it is a whole object (`DeleteOptions` has many).
    pub fn gvks(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        self.gvks.split(';').filter_map(|gvk| {
            let (group, rest) = gvk.split_once(',')?;
            let (version, kind) = rest.split_once(',')?;
            Some((group, version, kind))
        })
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Definition({})", self.name)
    }
}

impl Field {
    /// Its JSON name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where its struct declares it, among its siblings: in most by the number of its protobuf field.
    pub fn order(&self) -> [u8; 2] {
        match self.declared {
            0 => self.tags,
            place => [place, 0],
        }
    }

    /// Its type.
    pub fn ty(&'static self) -> Type {
        Type(&self.node)
    }

    /// Whether the schema demands it.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Whether Go has a pointer here, so that absent and zero differ.
    pub fn pointer(&self) -> bool {
        self.pointer
    }

    /// Its Go type as reflection prints it, without a leading pointer.
    pub fn go_type(&self) -> &'static str {
        self.go_type
    }

    /// `x-kubernetes-patch-merge-key`: strategic merge patch pairs list elements by this field.
    pub fn patch_merge_key(&self) -> Option<&'static str> {
        self.patch_merge_key
    }

    /// Whether `x-kubernetes-patch-strategy` has `merge`.
    pub fn patch_merges(&self) -> bool {
        self.has_strategy("merge")
    }

    /// Whether `x-kubernetes-patch-strategy` has `retainKeys`.
    pub fn patch_retains_keys(&self) -> bool {
        self.has_strategy("retainKeys")
    }

    /// `x-kubernetes-patch-strategy` as the schema has it, such as `merge,retainKeys`; empty when absent.
    pub fn patch_strategy(&self) -> &'static str {
        self.patch_strategy
    }

    /// The `+default=` of its declaration.
    pub fn default(&self) -> Option<Value> {
        self.default.and_then(|d| serde_json::from_str(d).ok())
    }

    /// What server-side apply takes for an absent key field of an associative list: its default, or the zero value where Go
    /// always writes the field (the OpenAPI document gives those a default too).
    pub fn key_default(&self) -> Option<Value> {
        self.default().or_else(|| {
            let zero = !self.pointer && !self.omit_empty && !self.omit_zero;
            match self.node {
                Node::Scalar(Scalar::String) if zero => Some(Value::from("")),
                Node::Scalar(Scalar::Int32 | Scalar::Int64) if zero => Some(Value::from(0)),
                Node::Scalar(Scalar::Bool) if zero => Some(Value::from(false)),
                _ => None,
            }
        })
    }

    /// The values that its Go type declares as constants (`+enum`), sorted; empty when open.
    pub fn enum_values(&self) -> impl Iterator<Item = &'static str> {
        let values = if self.enum_values.is_empty() {
            None
        } else {
            Some(self.enum_values.split('|'))
        };
        values.into_iter().flatten()
    }

    fn has_strategy(&self, name: &str) -> bool {
        self.patch_strategy.split(',').any(|s| s == name)
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field({}: {})", self.name, self.go_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_and_list_kinds() {
        let spec = type_of("io.k8s.api.core.v1.PodSpec").unwrap();
        let containers = spec.field("containers").unwrap();
        assert!(containers.patch_merges() && !containers.patch_retains_keys());
        let ports = containers.ty().item().unwrap().field("ports").unwrap();
        assert_eq!(ports.patch_merge_key(), Some("containerPort"));
        let Shape::List { kind, .. } = ports.ty().shape() else {
            panic!("{ports:?}")
        };
        assert_eq!(kind, &ListKind::Map(vec!["containerPort", "protocol"]));
        let volumes = spec.field("volumes").unwrap();
        assert!(volumes.patch_retains_keys() && volumes.patch_merges());
        let Shape::Object { atomic, .. } = type_of("io.k8s.api.apps.v1.DeploymentSpec")
            .unwrap()
            .child("selector")
            .unwrap()
            .shape()
        else {
            panic!()
        };
        assert!(atomic);
        assert!(
            spec.child("nodeSelector")
                .is_some_and(|t| matches!(t.shape(), Shape::Map { atomic: true, .. }))
        );
    }

    #[test]
    fn defaults_of_keys() {
        let port = type_of("io.k8s.api.core.v1.ContainerPort").unwrap();
        assert_eq!(port.field("protocol").unwrap().key_default(), Some("TCP".into()));
        assert_eq!(port.field("containerPort").unwrap().key_default(), Some(0.into()));
        assert_eq!(port.field("hostIP").unwrap().key_default(), None);
    }
}
