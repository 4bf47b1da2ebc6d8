//! Definitions as OpenAPI v3 schemas, with the extensions that clients merge and apply by.

use serde_json::{Map, Value, json};

use crate::{
    kinds::KindInfo,
    openapi::{META, definition_of},
    operations::upper_first,
    table::{Table, descriptions},
    types::{Definition, Field, ListKind, Node, Scalar},
};

/// What `/version` answers with.
pub(crate) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";
/// Its fields, whether they are always there, and what is said of them, in the order of its declaration.
const VERSION_FIELDS: [(&str, bool, &str); 13] = [
    ("major", true, "Major is the major version of the binary version"),
    ("minor", true, "Minor is the minor version of the binary version"),
    (
        "emulationMajor",
        false,
        "EmulationMajor is the major version of the emulation version",
    ),
    (
        "emulationMinor",
        false,
        "EmulationMinor is the minor version of the emulation version",
    ),
    (
        "minCompatibilityMajor",
        false,
        "MinCompatibilityMajor is the major version of the minimum compatibility version",
    ),
    (
        "minCompatibilityMinor",
        false,
        "MinCompatibilityMinor is the minor version of the minimum compatibility version",
    ),
    ("gitVersion", true, ""),
    ("gitCommit", true, ""),
    ("gitTreeState", true, ""),
    ("buildDate", true, ""),
    ("goVersion", true, ""),
    ("compiler", true, ""),
    ("platform", true, ""),
];
/// Where the fields of a definition's schema are any JSON.
const DEFINITIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The schemas of a document while they are collected.
pub(crate) struct Schemas {
    texts: Vec<String>,
    /// Where a definition's description is among the texts; its fields' follow.
    offsets: Vec<usize>,
    /// The group versions that the document is about; none if it is about all.
    groups: Vec<(&'static str, &'static str)>,
    out: Map<String, Value>,
}

impl Schemas {
    /// Those that these kinds need, by name, in a document of all groups.
    pub fn of(served: &[&KindInfo]) -> Map<String, Value> {
        Self::within(&[], served)
    }

    /// Those that these kinds need, by name, in a document of these group versions.
    pub fn within(groups: &[(&'static str, &'static str)], served: &[&KindInfo]) -> Map<String, Value> {
        let table = Table::get();
        let texts: Vec<String> = descriptions().split('\n').map(unescape).collect();
        let mut offsets = Vec::with_capacity(table.definitions.len());
        let mut offset = 0;
        for definition in &table.definitions {
            offsets.push(offset);
            offset += 1 + definition.fields.len();
        }
        let mut schemas = Self {
            texts,
            offsets,
            groups: groups.to_vec(),
            out: Map::new(),
        };
        for kind in served {
            for name in [kind.definition.to_owned(), format!("{}List", kind.definition)] {
                schemas.add(&name);
            }
            for subresource in kind.subresource_table {
                if let Some(name) = definition_of(subresource) {
                    schemas.add(name);
                }
            }
        }
        for name in [
            "APIGroup",
            "APIGroupList",
            "APIResourceList",
            "APIVersions",
            "DeleteOptions",
            "Status",
            "WatchEvent",
        ] {
            schemas.add(&format!("{META}{name}"));
        }
        let patch =
            "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";
        schemas.out.insert(
            format!("{META}Patch"),
            json!({ "description": patch, "type": "object" }),
        );
        schemas.out.insert(VERSION_INFO.to_owned(), version_info());
        schemas.out
    }

    fn add(&mut self, name: &str) {
        let table = Table::get();
        let Some(index) = table.definitions.iter().position(|d| d.name == name) else {
            return;
        };
        if self.out.contains_key(name) {
            return;
        }
        let definition = &table.definitions[index];
        // Taken before its fields are walked, so that a definition that refers to itself ends.
        self.out.insert(name.to_owned(), Value::Null);
        let mut properties = Map::new();
        for (i, field) in definition.fields.iter().enumerate() {
            let text = self.texts[self.offsets[index] + 1 + i].clone();
            properties.insert(field.name.to_owned(), self.property(field, text));
        }
        let mut schema = Map::new();
        describe(&mut schema, &self.texts[self.offsets[index]]);
        schema.insert("type".to_owned(), "object".into());
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), properties.into());
        }
        let mut required: Vec<&Field> = definition.fields.iter().filter(|f| f.required).collect();
        required.sort_by_key(|field| field.order());
        let required: Vec<&str> = required.iter().map(|f| f.name).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if definition.atomic {
            schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        if let Some(tells) = definition.union {
            schema.insert(
                "x-kubernetes-unions".to_owned(),
                json!([union_of(definition, tells)]),
            );
        }
        // Options and events have a kind in every group: those that a document of some groups is about are enough for it.
        let shared = definition.gvks().nth(1).is_some() && !self.groups.is_empty();
        let gvks: Vec<Value> = definition
            .gvks()
            .filter(|(group, version, _)| {
                !shared || group.is_empty() || self.groups.contains(&(*group, *version))
            })
            .map(|(group, version, kind)| json!({"group": group, "version": version, "kind": kind}))
            .collect();
        if !gvks.is_empty() {
            schema.insert("x-kubernetes-group-version-kind".to_owned(), gvks.into());
        }
        self.out.insert(name.to_owned(), schema.into());
    }

    fn property(&mut self, field: &'static Field, text: String) -> Value {
        let mut schema = self.node(&field.node, field.go_type);
        let default = field.key_default().or_else(|| zero_struct(field));
        // A reference takes no siblings in OpenAPI 3.0.
        if let Some(reference) = schema.remove("$ref") {
            if default.is_none() && text.is_empty() {
                return json!({ "$ref": reference });
            }
            schema.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
        }
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
        describe(&mut schema, &text);
        let values: Vec<&str> = field.enum_values().collect();
        if !values.is_empty() {
            // Of a list or map it is said of what is in it.
            let inner = match field.node {
                Node::List { .. } => "items",
                Node::Map { .. } => "additionalProperties",
                _ => "",
            };
            match schema.get_mut(inner).and_then(Value::as_object_mut) {
                Some(inner) => inner.insert("enum".to_owned(), values.into()),
                None => schema.insert("enum".to_owned(), values.into()),
            };
        }
        if let Some(key) = field.patch_merge_key {
            schema.insert("x-kubernetes-patch-merge-key".to_owned(), key.into());
        }
        if !field.patch_strategy.is_empty() {
            schema.insert(
                "x-kubernetes-patch-strategy".to_owned(),
                field.patch_strategy.into(),
            );
        }
        match &field.node {
            Node::List { kind, .. } if field.list_declared => {
                let name = match kind {
                    ListKind::Atomic => "atomic",
                    ListKind::Set => "set",
                    ListKind::Map(keys) => {
                        schema.insert("x-kubernetes-list-map-keys".to_owned(), keys.clone().into());
                        "map"
                    }
                };
                schema.insert("x-kubernetes-list-type".to_owned(), name.into());
            }
            Node::Scalar(Scalar::Bytes) if field.list_declared => {
                schema.insert("x-kubernetes-list-type".to_owned(), "atomic".into());
            }
            _ => {}
        }
        if let Some(atomic) = field.map_type {
            let name = if atomic { "atomic" } else { "granular" };
            schema.insert("x-kubernetes-map-type".to_owned(), name.into());
        }
        schema.into()
    }

    fn node(&mut self, node: &'static Node, go_type: &str) -> Map<String, Value> {
        let schema = match node {
            Node::Object { definition, .. } => {
                let name = Table::get().at(*definition).name;
                self.add(name);
                json!({ "$ref": reference(name) })
            }
            Node::List { item, .. } => json!({ "type": "array", "items": self.node(item, go_type) }),
            Node::Map { value, .. } => {
                json!({ "type": "object", "additionalProperties": self.node(value, go_type) })
            }
            Node::Scalar(scalar) => match scalar {
                Scalar::String => json!({ "type": "string" }),
                Scalar::Bytes => json!({ "type": "string", "format": "byte" }),
                Scalar::Int32 => json!({ "type": "integer", "format": "int32" }),
                Scalar::Int64 => json!({ "type": "integer", "format": "int64" }),
                Scalar::Float => json!({ "type": "number", "format": "double" }),
                Scalar::Bool => json!({ "type": "boolean" }),
                special => json!({ "$ref": reference(&self.special(*special, go_type)) }),
            },
        };
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// The definitions that are scalars in the table.
    fn special(&mut self, scalar: Scalar, go_type: &str) -> String {
        // What Go names by itself and OpenAPI by what is in it.
        let json = match go_type {
            "v1.JSONSchemaDependencies" => Some("SchemaPropsOrStringArray"),
            other => other.trim_start_matches("[]").strip_prefix("v1.JSON"),
        };
        let (name, schema) = match scalar {
            Scalar::Quantity => (
                "io.k8s.apimachinery.pkg.api.resource.Quantity",
                json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            ),
            Scalar::IntOrString => (
                "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] }),
            ),
            Scalar::Time => (
                "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
                json!({ "type": "string", "format": "date-time" }),
            ),
            Scalar::MicroTime => (
                "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
                json!({ "type": "string", "format": "date-time" }),
            ),
            Scalar::Duration => (
                "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
                json!({ "type": "string" }),
            ),
            Scalar::FieldsV1 => (
                "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
                json!({ "type": "object" }),
            ),
            Scalar::Raw if json.is_some() => (
                &*format!("{DEFINITIONS}JSON{}", json.unwrap_or_default()),
                json!({}),
            ),
            _ => (
                "io.k8s.apimachinery.pkg.runtime.RawExtension",
                json!({ "type": "object" }),
            ),
        };
        if !self.out.contains_key(name) {
            let mut schema = schema;
            let own = self
                .texts
                .iter()
                .rev()
                .take(16)
                .find_map(|t| t.strip_prefix(name)?.strip_prefix('\t'));
            if let (Value::Object(schema), Some(text)) = (&mut schema, own) {
                describe(schema, text);
            }
            self.out.insert(name.to_owned(), schema);
        }
        name.to_owned()
    }
}

fn version_info() -> Value {
    let mut properties = Map::new();
    for (field, always, text) in VERSION_FIELDS {
        let mut schema = json!({ "type": "string" });
        if always {
            schema["default"] = "".into();
        }
        if !text.is_empty() {
            schema["description"] = text.into();
        }
        properties.insert(field.to_owned(), schema);
    }
    let required: Vec<&str> = VERSION_FIELDS
        .iter()
        .filter(|(_, always, _)| *always)
        .map(|(field, ..)| *field)
        .collect();
    json!({"description": "Info contains versioning information. how we'll want to distribute that information.", "type": "object",
        "properties": properties, "required": required})
}

/// The members of a union by what tells them apart (kube-openapi `pkg/generators/union.go`).
fn union_of(definition: &Definition, tells: &str) -> Value {
    let members: Map<String, Value> = definition
        .fields
        .iter()
        .filter(|field| field.name != tells)
        .map(|field| (field.name.to_owned(), upper_first(field.name).into()))
        .collect();
    let mut union = json!({ "fields-to-discriminateBy": members });
    if !tells.is_empty() {
        union["discriminator"] = tells.into();
    }
    union
}

/// Structs that are always there have `{}` as their default.
fn zero_struct(field: &Field) -> Option<Value> {
    let structural = matches!(field.node, Node::Object { .. });
    (structural && !field.pointer).then(|| json!({}))
}

fn describe(schema: &mut Map<String, Value>, text: &str) {
    if !text.is_empty() {
        schema.insert("description".to_owned(), text.into());
    }
}

/// Where definitions are in a document.
pub(crate) const REFERENCES: &str = "#/components/schemas/";

pub(crate) fn reference(name: &str) -> String {
    format!("{REFERENCES}{name}")
}

fn unescape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            (c, false) => text.push(c),
        }
    }
    text
}
