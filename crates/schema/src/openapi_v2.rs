//! The OpenAPI v2 document (Swagger) of everything that is served, as upstream serves it at `/openapi/v2`: for kubectl before
//! 1.27, Terraform, and whoever generates clients. It is written part by part, for as one tree it would take thirty megabytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    kinds::{KindInfo, kinds},
    openapi::META,
    openapi_custom::{CustomKind, add_definitions, simplify},
    openapi_schemas::Schemas,
    openapi_v2_protobuf::{self as protobuf, Message},
    operations::{Operation, PathItem, documents, paths_of, paths_of_custom, resources_of},
    parameters::Parameter,
};

/// How the document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApiForm {
    /// As text.
    Json,
    /// As gnostic's `openapi.v2.Document`, which kubectl asks for.
    Protobuf,
}

/// The document of the built-in kinds and these. Made anew on each call (some fifty milliseconds, and several times its four
/// megabytes while it lasts): cache it.
pub fn openapi_v2(form: OpenApiForm, customs: &[CustomKind<'_>]) -> Vec<u8> {
    let mut document = Document::new(form);
    let built_in: Vec<&KindInfo> = kinds().iter().collect();
    let mut definitions: Map<String, Value> = Schemas::of(&built_in)
        .into_iter()
        .map(|(name, schema)| (name, downgraded(schema)))
        .collect();
    for custom in customs {
        add_definitions(&mut definitions, custom, &simplify(custom.schema), downgraded);
    }
    for (name, schema) in definitions {
        document.definition(&name, &schema);
    }
    let built_in = kinds().iter().flat_map(paths_of);
    let custom = customs
        .iter()
        .flat_map(|c| paths_of_custom(c.kind, &c.definition(), &c.list_definition()));
    let mut items: Vec<PathItem> = built_in.chain(custom).collect();
    let served = kinds().iter().chain(customs.iter().map(|c| c.kind));
    let versions: BTreeSet<(&str, &str)> = served.map(|k| (k.group, k.version)).collect();
    items.extend(
        versions
            .iter()
            .map(|(group, version)| resources_of(group, version)),
    );
    let groups: BTreeSet<&str> = versions.iter().map(|(group, _)| *group).collect();
    items.extend(documents(groups.into_iter().filter(|g| !g.is_empty())));
    items.sort_by(|a, b| a.url.cmp(&b.url));
    for item in &items {
        document.path(item);
    }
    document.finish()
}

/// The document while it is written.
struct Document {
    form: OpenApiForm,
    paths: Vec<u8>,
    definitions: Vec<u8>,
    /// Parameters that are said once, by name, as upstream's are: their names end with a hash of what they are.
    parameters: BTreeMap<String, Value>,
}

impl Document {
    fn new(form: OpenApiForm) -> Self {
        Self {
            form,
            paths: Vec::new(),
            definitions: Vec::new(),
            parameters: BTreeMap::new(),
        }
    }

    fn definition(&mut self, name: &str, schema: &Value) {
        put(
            self.form,
            &mut self.definitions,
            name,
            schema,
            1,
            protobuf::schema,
        );
    }

    fn path(&mut self, item: &PathItem) {
        let mut out: Map<String, Value> = item
            .operations
            .iter()
            .map(|(method, operation)| ((*method).to_owned(), self.operation(operation)))
            .collect();
        if !item.parameters.is_empty() {
            let parameters = item.parameters.iter().map(|p| self.parameter(p)).collect();
            out.insert("parameters".to_owned(), parameters);
        }
        put(
            self.form,
            &mut self.paths,
            &item.url,
            &out.into(),
            2,
            protobuf::path_item,
        );
    }

    fn operation(&mut self, operation: &Operation) -> Value {
        let mut out = operation.outline(reference, |schema| json!({ "schema": schema }));
        if operation.gvk.is_some() || !operation.consumes.is_empty() {
            out["consumes"] = operation.bodies().into();
        }
        out["produces"] = operation.produces.into();
        out["schemes"] = json!(["https"]);
        let mut parameters: Vec<Value> = Vec::new();
        if let Some((definition, required)) = &operation.body {
            let mut body = json!({"in": "body", "name": "body", "schema": {"$ref": reference(definition)}});
            if *required {
                body["required"] = true.into();
            }
            // Only what many kinds take is shared.
            parameters.push(if definition.starts_with(META) {
                self.share("body", body)
            } else {
                body
            });
        }
        parameters.extend(operation.parameters.iter().map(|p| self.parameter(p)));
        if !parameters.is_empty() {
            out["parameters"] = parameters.into();
        }
        out
    }

    fn parameter(&mut self, parameter: &Parameter) -> Value {
        let mut out = json!({"name": parameter.name, "in": if parameter.in_path { "path" } else { "query" },
            "description": parameter.description, "type": parameter.kind, "uniqueItems": true});
        if parameter.in_path {
            out["required"] = true.into();
        }
        // Names differ by kind; kubectl before 1.28 looks for the other two in the operation itself.
        match parameter.name {
            "name" | "fieldValidation" | "dryRun" => out,
            name => self.share(name, out),
        }
    }

    fn share(&mut self, name: &str, parameter: Value) -> Value {
        let hash = parameter
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                h.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b)
            });
        let name = format!("{name}-{hash:016x}");
        let reference = json!({ "$ref": format!("#/parameters/{name}") });
        self.parameters.insert(name, parameter);
        reference
    }

    fn finish(self) -> Vec<u8> {
        const SECURITY: &str = "BearerToken";
        let mut parameters = Vec::new();
        for (name, parameter) in &self.parameters {
            put(
                self.form,
                &mut parameters,
                name,
                parameter,
                1,
                protobuf::parameter,
            );
        }
        let scheme = json!({"type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication"});
        match self.form {
            OpenApiForm::Json => {
                let info = json!({"title": "Kubernetes", "version": crate::VERSION});
                let mut out = format!("{{\"swagger\":\"2.0\",\"info\":{info},\"paths\":{{").into_bytes();
                out.extend_from_slice(&self.paths);
                out.extend_from_slice(b"},\"definitions\":{");
                out.extend_from_slice(&self.definitions);
                out.extend_from_slice(b"},\"parameters\":{");
                out.extend_from_slice(&parameters);
                let end = format!(
                    "}},\"securityDefinitions\":{{\"{SECURITY}\":{scheme}}},\"security\":[{{\"{SECURITY}\":[]}}]}}\n"
                );
                out.extend_from_slice(end.as_bytes());
                out
            }
            OpenApiForm::Protobuf => {
                let mut info = Message::default();
                info.text(1, "Kubernetes");
                info.text(2, crate::VERSION);
                let mut document = Message::default();
                document.text(1, "2.0");
                document.bytes(2, &info.0);
                document.bytes(8, &self.paths);
                document.bytes(9, &self.definitions);
                document.bytes(10, &parameters);
                document.bytes(12, &protobuf::security_requirement(SECURITY).0);
                document.bytes(13, &protobuf::security_definition(SECURITY, &scheme).0);
                document.0
            }
        }
    }
}

/// Add a named part to the parts of its kind.
fn put(
    form: OpenApiForm,
    out: &mut Vec<u8>,
    name: &str,
    part: &Value,
    number: u8,
    encode: impl FnOnce(&Value) -> Message,
) {
    match form {
        OpenApiForm::Json => {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(format!("{}:{part}", Value::from(name)).as_bytes());
        }
        OpenApiForm::Protobuf => {
            let mut message = Message(std::mem::take(out));
            message.named(number, name, &encode(part));
            *out = message.0;
        }
    }
}

fn reference(name: &str) -> String {
    format!("#/definitions/{name}")
}

/// A schema of version 3 as one of version 2: no defaults (clients took them for what to send), no choices, and references with
/// their siblings (kube-openapi `builder/openapi.go`, `handler/default_pruning.go`).
fn downgraded(schema: Value) -> Value {
    let Value::Object(schema) = schema else {
        return schema;
    };
    let mut out = Map::new();
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("default", _) => {}
            ("oneOf", _) => {
                out.insert("type".to_owned(), "string".into());
            }
            ("allOf", Value::Array(all)) => {
                for one in all {
                    if let Value::Object(one) = downgraded(one) {
                        out.extend(one);
                    }
                }
            }
            ("$ref", Value::String(name)) => {
                let name = name.rsplit('/').next().unwrap_or_default();
                out.insert(key, reference(name).into());
            }
            ("properties", Value::Object(fields)) => {
                let fields: Map<String, Value> = fields
                    .into_iter()
                    .map(|(name, field)| (name, downgraded(field)))
                    .collect();
                out.insert(key, fields.into());
            }
            ("items" | "additionalProperties", value) => {
                out.insert(key, downgraded(value));
            }
            (_, value) => {
                out.insert(key, value);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Reader, Wire};

    fn document(customs: &[CustomKind<'_>]) -> Value {
        serde_json::from_slice(&openapi_v2(OpenApiForm::Json, customs)).unwrap()
    }

    /// Calls with every object of a document.
    fn each(value: &Value, then: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Object(map) => {
                then(map);
                map.values().for_each(|v| each(v, then));
            }
            Value::Array(list) => list.iter().for_each(|v| each(v, then)),
            _ => {}
        }
    }

    #[test]
    fn references_resolve_and_nothing_is_of_version_3() {
        let document = document(&[]);
        each(&document, &mut |map| {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        });
        each(&document["definitions"], &mut |map| {
            let has = |key: &str| map.get(key).is_some_and(Value::is_string);
            let is_schema = has("type") || has("$ref");
            assert!(!is_schema || !map.contains_key("allOf") && !map.contains_key("oneOf"));
        });
        let port = &document["definitions"]["io.k8s.api.core.v1.Container"]["properties"]["ports"];
        assert_eq!(port["x-kubernetes-patch-merge-key"], "containerPort");
        assert_eq!(
            document["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["type"],
            "string"
        );
    }

    #[test]
    fn what_old_clients_look_for_is_in_the_operation_itself() {
        let document = document(&[]);
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-action"], "patch");
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "apps", "version": "v1", "kind": "Deployment"})
        );
        let named = |name: &str| {
            let mut parameters = patch["parameters"].as_array().unwrap().iter();
            parameters.any(|p| p["name"] == name)
        };
        assert!(named("fieldValidation") && named("dryRun"));
    }

    #[test]
    fn custom_kinds_are_described_by_what_version_2_knows() {
        let kind = KindInfo {
            group: "example.com",
            kind: "Tab",
            plural: "tabs",
            definition: "custom/x",
            ..kinds()[0].clone()
        };
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "required": ["a", "b"], "properties": {
                "a": {"type": "string", "nullable": true, "default": "x"},
                "b": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"d": {"type": "string"}}}}}}});
        let custom = CustomKind {
            kind: &kind,
            list_kind: "TabList",
            schema: &schema,
        };
        let document = document(&[custom]);
        let own = &document["definitions"]["com.example.v1.Tab"];
        assert_eq!(
            own["properties"]["spec"],
            json!({"type": "object", "required": ["b"], "properties": {
                "a": {}, "b": {"x-kubernetes-int-or-string": true}, "c": {"x-kubernetes-preserve-unknown-fields": true}}})
        );
        assert_eq!(
            own["properties"]["metadata"]["$ref"],
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
        assert_eq!(
            document["definitions"]["com.example.v1.TabList"]["properties"]["items"]["items"]["$ref"],
            "#/definitions/com.example.v1.Tab"
        );
        assert_eq!(
            document["paths"]["/apis/example.com/v1/namespaces/{namespace}/tabs"]["post"]["operationId"],
            "createExampleComV1NamespacedTab"
        );
    }

    /// The names of the entries of a map in a message's field.
    fn names(bytes: &[u8], map: u64, entry: u64) -> Vec<String> {
        let inside = |bytes: &'static [u8], wanted: u64| {
            Reader::new(bytes).filter_map(move |field| match field.unwrap() {
                (number, Wire::Bytes(bytes)) if number == wanted => Some(bytes),
                _ => None,
            })
        };
        inside(bytes.to_vec().leak(), map)
            .flat_map(|map| inside(map, entry))
            .flat_map(|entry| inside(entry, 1))
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn both_forms_have_the_same_parts() {
        let (document, bytes) = (document(&[]), openapi_v2(OpenApiForm::Protobuf, &[]));
        for (part, map, entry) in [("paths", 8, 2), ("definitions", 9, 1), ("parameters", 10, 1)] {
            let parts: Vec<&String> = document[part].as_object().unwrap().keys().collect();
            assert_eq!(
                names(&bytes, map, entry).iter().collect::<Vec<_>>(),
                parts,
                "{part}"
            );
        }
    }
}
