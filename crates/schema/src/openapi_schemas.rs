//! Definitions as OpenAPI v3 schemas, with the extensions that clients merge and apply by.

use serde_json::{Map, Value, json};

use crate::{
    kinds::KindInfo,
    openapi::{META, definition_of},
    table::{Table, descriptions},
    types::{Field, ListKind, Node, Scalar},
};

/// What `/version` answers with.
pub(crate) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";
const VERSION_FIELDS: [&str; 13] = [
    "buildDate",
    "compiler",
    "emulationMajor",
    "emulationMinor",
    "gitCommit",
    "gitTreeState",
    "gitVersion",
    "goVersion",
    "major",
    "minCompatibilityMajor",
    "minCompatibilityMinor",
    "minor",
    "platform",
];
/// Where the fields of a definition's schema are any JSON.
const DEFINITIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The schemas of a document while they are collected.
pub(crate) struct Schemas {
    texts: Vec<String>,
    /// Where a definition's description is among the texts; its fields' follow.
    offsets: Vec<usize>,
    out: Map<String, Value>,
}

impl Schemas {
    /// Those that these kinds need, by name.
    pub fn of(served: &[&KindInfo]) -> Map<String, Value> {
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
        let version = VERSION_FIELDS.map(|field| (field.to_owned(), json!({ "type": "string" })));
        let version: Map<String, Value> = version.into_iter().collect();
        schemas.out.insert(
            VERSION_INFO.to_owned(),
            json!({"description": "Info contains versioning information.", "type": "object", "properties": version}),
        );
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
        let gvks: Vec<Value> = definition
            .gvks()
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
        if matches!(field.node, Node::Scalar(Scalar::String)) {
            let values: Vec<&str> = field.enum_values().collect();
            if !values.is_empty() {
                schema.insert("enum".to_owned(), values.into());
            }
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

pub(crate) fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
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
