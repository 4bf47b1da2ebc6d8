//! OpenAPI v3 documents, one per group version, as upstream serves them below `/openapi/v3`: the schemas in full; of the paths
//! what clients look at (kubectl's `explain` and `apply`: kinds, actions, parameters, bodies).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    kinds::{KindInfo, Subresource, kinds},
    openapi_paths::add_paths,
    table::{Table, descriptions},
    types::{Definition, Field, ListKind, Node, Scalar},
};

pub(crate) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The OpenAPI v3 document of a group version (`api/v1`, `apis/apps/v1`) as JSON text. Made anew on each call (some ten
/// milliseconds, a few megabytes while it lasts): cache the text if it is asked for often.
pub fn openapi_v3(group_version_path: &str) -> Option<Vec<u8>> {
    let served: Vec<&KindInfo> = kinds()
        .iter()
        .filter(|k| path_of(k) == group_version_path)
        .collect();
    if served.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    for kind in &served {
        add_paths(&mut paths, kind);
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::VERSION},
        "paths": paths,
        "components": {
            "schemas": Schemas::of(&served),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication"
            }}
        }
    });
    serde_json::to_vec(&document).ok()
}

/// The group versions that have a document, such as `apis/apps/v1`, sorted.
pub fn openapi_v3_paths() -> Vec<String> {
    kinds()
        .iter()
        .map(path_of)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The index served at `/openapi/v3`. The hash lets clients cache for good, so it is that of the program's version and data.
pub fn openapi_v3_index() -> Value {
    let hash = data_hash();
    let paths: Map<String, Value> = openapi_v3_paths()
        .into_iter()
        .map(|path| {
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// FNV-1a over the packed data and the crate's version: it changes when a document may.
fn data_hash() -> String {
    let data = [
        include_bytes!("../data/schema.z").as_slice(),
        include_bytes!("../data/descriptions.z"),
    ];
    let bytes = data
        .into_iter()
        .flatten()
        .chain(env!("CARGO_PKG_VERSION").as_bytes())
        .chain(include_bytes!("openapi.rs"));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016X}")
}

pub(crate) fn path_of(kind: &KindInfo) -> String {
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", kind.api_version())
}

/// The schemas of a document while they are collected.
struct Schemas {
    texts: Vec<String>,
    /// Where a definition's description is among the texts; its fields' follow.
    offsets: Vec<usize>,
    out: Map<String, Value>,
}

impl Schemas {
    fn of(served: &[&KindInfo]) -> Map<String, Value> {
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
        for name in ["APIResourceList", "DeleteOptions", "Status", "WatchEvent"] {
            schemas.add(&format!("{META}{name}"));
        }
        let patch =
            "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";
        schemas.out.insert(
            format!("{META}Patch"),
            json!({ "description": patch, "type": "object" }),
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
        let required: Vec<&str> = definition
            .fields
            .iter()
            .filter(|f| f.required)
            .map(|f| f.name)
            .collect();
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
        let mut schema = self.node(&field.node);
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

    fn node(&mut self, node: &'static Node) -> Map<String, Value> {
        let schema = match node {
            Node::Object { definition, .. } => {
                let name = Table::get().at(*definition).name;
                self.add(name);
                json!({ "$ref": reference(name) })
            }
            Node::List { item, .. } => json!({ "type": "array", "items": self.node(item) }),
            Node::Map { value, .. } => json!({ "type": "object", "additionalProperties": self.node(value) }),
            Node::Scalar(scalar) => match scalar {
                Scalar::String => json!({ "type": "string" }),
                Scalar::Bytes => json!({ "type": "string", "format": "byte" }),
                Scalar::Int32 => json!({ "type": "integer", "format": "int32" }),
                Scalar::Int64 => json!({ "type": "integer", "format": "int64" }),
                Scalar::Float => json!({ "type": "number", "format": "double" }),
                Scalar::Bool => json!({ "type": "boolean" }),
                special => json!({ "$ref": reference(self.special(*special)) }),
            },
        };
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// The definitions that are scalars in the table.
    fn special(&mut self, scalar: Scalar) -> &'static str {
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
        name
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

/// The definition that a subresource takes and answers; streams have none.
pub(crate) fn definition_of(subresource: &Subresource) -> Option<&'static str> {
    let gvk = (subresource.group, subresource.version, subresource.kind);
    let found: Option<&Definition> = Table::get()
        .definitions
        .iter()
        .find(|d| d.gvks().any(|g| g == gvk));
    found.map(|d| d.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str) -> Value {
        serde_json::from_slice(&openapi_v3(path).unwrap()).unwrap()
    }

    #[test]
    fn patch_carries_what_kubectl_apply_looks_for() {
        for path in openapi_v3_paths() {
            let document = document(&path);
            for kind in kinds()
                .iter()
                .filter(|k| path_of(k) == path && k.has_verb("patch"))
            {
                let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
                let found = document["paths"].as_object().unwrap().values().any(|item| {
                    let patch = &item["patch"];
                    patch["x-kubernetes-group-version-kind"] == gvk
                        && patch["parameters"].as_array().is_some_and(|p| {
                            p.iter()
                                .any(|p| p["name"] == "fieldValidation" && p["in"] == "query")
                        })
                });
                assert!(found, "{gvk}");
                assert!(
                    document["components"]["schemas"][kind.definition]["x-kubernetes-group-version-kind"]
                        .as_array()
                        .unwrap()
                        .contains(&gvk)
                );
            }
        }
    }

    #[test]
    fn references_resolve() {
        fn check(value: &Value, schemas: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let name = reference.strip_prefix("#/components/schemas/").unwrap();
                        assert!(schemas.get(name).is_some(), "{name}");
                    }
                    map.values().for_each(|v| check(v, schemas));
                }
                Value::Array(list) => list.iter().for_each(|v| check(v, schemas)),
                _ => {}
            }
        }
        for path in openapi_v3_paths() {
            let document = document(&path);
            check(&document, &document["components"]["schemas"]);
        }
        assert!(openapi_v3("apis/example.com/v1").is_none());
    }

    #[test]
    fn a_field_as_upstream_shows_it() {
        let document = document("apis/apps/v1");
        let container = &document["components"]["schemas"]["io.k8s.api.core.v1.Container"]["properties"];
        assert_eq!(
            container["ports"]["x-kubernetes-patch-merge-key"],
            json!("containerPort")
        );
        assert_eq!(
            container["ports"]["x-kubernetes-list-map-keys"],
            json!(["containerPort", "protocol"])
        );
        assert_eq!(container["name"]["default"], json!(""));
        assert_eq!(
            container["imagePullPolicy"]["enum"],
            json!(["Always", "IfNotPresent", "Never"])
        );
        assert!(
            container["imagePullPolicy"]["description"]
                .as_str()
                .unwrap()
                .contains("\n\nPossible enum values:\n - `\"Always\"` means that")
        );
        assert_eq!(
            document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]["x-kubernetes-group-version-kind"]
                ["kind"],
            json!("Scale")
        );
        assert_eq!(
            document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]["operationId"],
            json!("patchAppsV1NamespacedDeployment")
        );
    }

    #[test]
    fn index_names_every_document() {
        let index = openapi_v3_index();
        let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
            .as_str()
            .unwrap();
        assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="));
        assert_eq!(
            index["paths"].as_object().unwrap().len(),
            openapi_v3_paths().len()
        );
    }
}
