//! Custom kinds in OpenAPI documents (apiextensions `pkg/controller/openapi/builder`).

use serde_json::{Map, Value, json};

use crate::{
    kinds::{KindInfo, by_kind},
    openapi::document,
    openapi_schemas::{Schemas, reference},
    operations::paths_of_custom,
};

/// A kind whose object and list look as those of custom kinds do.
const TYPICAL: &str = "io.k8s.api.core.v1.Namespace";

/// A custom kind that is to be described.
pub struct CustomKind<'a> {
    /// As discovery knows it.
    pub kind: &'a KindInfo,
    /// The kind of its lists.
    pub list_kind: &'a str,
    /// Its structural schema (`openAPIV3Schema`).
    pub schema: &'a Value,
}

impl CustomKind<'_> {
    /// The definition of this kind of the group version: `com.example.v1.CronTab`.
    fn name(&self, kind: &str) -> String {
        let mut parts: Vec<&str> = self.kind.group.split('.').collect();
        parts.reverse();
        format!("{}.{}.{kind}", parts.join("."), self.kind.version)
    }

    /// The name of its definition.
    pub(crate) fn definition(&self) -> String {
        self.name(self.kind.kind)
    }

    /// The name of the definition of its lists.
    pub(crate) fn list_definition(&self) -> String {
        self.name(self.list_kind)
    }
}

/// The OpenAPI v3 document of the custom kinds of one group version.
pub fn openapi_v3_custom(customs: &[CustomKind<'_>]) -> Value {
    let typical = by_kind("", "v1", "Namespace");
    let mut definitions = Schemas::of(&Vec::from_iter(typical));
    for custom in customs {
        add_definitions(&mut definitions, custom, custom.schema, |schema| schema);
    }
    let own: Vec<String> = customs
        .iter()
        .flat_map(|c| [c.definition(), c.list_definition()])
        .collect();
    definitions.retain(|name, _| name.starts_with("io.k8s.apimachinery.") || own.contains(name));
    if customs.iter().any(|c| c.kind.subresources.contains(&"scale")) {
        let scaled = by_kind("apps", "v1", "Deployment");
        let scales = Schemas::of(&Vec::from_iter(scaled)).into_iter();
        definitions.extend(scales.filter(|(name, _)| name.starts_with("io.k8s.api.autoscaling.v1.Scale")));
    }
    let paths = customs
        .iter()
        .flat_map(|c| paths_of_custom(c.kind, &c.definition(), &c.list_definition()));
    document("Kubernetes CRD Swagger", "v0.1.0", paths, definitions)
}

/// Add an object's and its list's definition to those of the built-in kinds. `form` makes a schema of version 3 one of the
/// document's version; what is there already has that form.
pub(crate) fn add_definitions(
    definitions: &mut Map<String, Value>,
    custom: &CustomKind<'_>,
    schema: &Value,
    form: impl Fn(Value) -> Value,
) {
    let kind = custom.kind;
    let shared = |list: bool, fields: &[&str]| -> Map<String, Value> {
        let of = &definitions[&format!("{TYPICAL}{}", if list { "List" } else { "" })]["properties"];
        fields.iter().map(|f| ((*f).to_owned(), of[f].clone())).collect()
    };
    let gvk = |name: &str| json!([{"group": kind.group, "version": kind.version, "kind": name}]);
    let mut own = match form(schema.clone()) {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    own.entry("type").or_insert_with(|| "object".into());
    // Who looks for fields in such a kind takes those that are named for all there are.
    if own.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true)) {
        let properties = own.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.extend(shared(false, &["apiVersion", "kind", "metadata"]));
        }
    }
    own.insert("x-kubernetes-group-version-kind".to_owned(), gvk(kind.kind));
    let mut properties = shared(true, &["apiVersion", "kind", "metadata"]);
    let items = format!(
        "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
        kind.plural
    );
    properties.insert(
        "items".to_owned(),
        form(json!({"description": items, "type": "array", "items": {"$ref": reference(&custom.definition())}})),
    );
    let list = json!({"description": format!("{} is a list of {}", custom.list_kind, kind.kind), "type": "object",
        "required": ["items"], "properties": properties, "x-kubernetes-group-version-kind": gvk(custom.list_kind)});
    definitions.insert(custom.definition(), own.into());
    definitions.insert(custom.list_definition(), list);
}

/// A structural schema without what version 2 has no word for, and kubectl stumbles over (apiextensions
/// `pkg/controller/openapi/v2/conversion.go`).
pub(crate) fn simplify(schema: &Value) -> Value {
    let Some(object) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = object.clone();
    for choice in ["allOf", "oneOf", "anyOf", "not", "x-kubernetes-validations"] {
        out.remove(choice);
    }
    let preserves = object.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let nullable = is_nullable(schema);
    if nullable {
        out.remove("nullable");
        out.remove("type");
    }
    if nullable || preserves {
        out.remove("items");
        out.remove("properties");
    }
    if out
        .get("type")
        .is_some_and(|t| t == "array" && !out.contains_key("items") || t == "object" && preserves)
    {
        out.remove("type");
    }
    let optional: Vec<&String> = children(object, "properties")
        .filter(|(_, field)| is_nullable(field))
        .map(|(name, _)| name)
        .collect();
    if let Some(required) = out.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !optional.iter().any(|o| name == o.as_str()));
    }
    if object.get("additionalProperties").is_some_and(is_nullable) {
        out.remove("required");
    }
    if let Some(fields) = out.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().for_each(|field| *field = simplify(field));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = out.get_mut(key) {
            *inner = simplify(inner);
        }
    }
    out.into()
}

fn is_nullable(schema: &Value) -> bool {
    schema["nullable"] == true
}

fn children<'a>(object: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(key).and_then(Value::as_object).into_iter().flatten()
}
