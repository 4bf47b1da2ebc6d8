//! The OpenAPI document of a group version of custom kinds: what `kubectl explain` reads (apiextensions
//! `pkg/controller/openapi/builder`).
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Custom;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The document, of all custom kinds of one group version.
pub fn document(customs: &[Arc<Custom>]) -> Value {
    let (mut schemas, mut paths) = (Map::new(), Map::new());
    // Every built-in document brings the definitions of metadata.
    let core = schema::openapi_v3("apis/coordination.k8s.io/v1")
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .unwrap_or_default();
    for (name, definition) in core["components"]["schemas"].as_object().into_iter().flatten() {
        if name.starts_with("io.k8s.apimachinery.") {
            schemas.insert(name.clone(), definition.clone());
        }
    }
    for custom in customs {
        let kind = custom.kind;
        let mut parts: Vec<&str> = kind.group.split('.').collect();
        parts.reverse();
        let name = format!("{}.{}.{}", parts.join("."), kind.version, kind.kind);
        let gvk = json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
        let mut own = custom.schema().clone();
        if let Some(map) = own.as_object_mut() {
            map.entry("type").or_insert_with(|| "object".into());
        }
        own["x-kubernetes-group-version-kind"] = gvk.clone();
        for (field, description) in [
            (
                "apiVersion",
                "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
            ),
            (
                "kind",
                "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
            ),
        ] {
            own["properties"][field] = json!({"type": "string", "description": description});
        }
        own["properties"]["metadata"] = json!({
            "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
            "allOf": [{"$ref": format!("#/components/schemas/{META}")}]});
        schemas.insert(name.clone(), own);
        let root = format!("/apis/{}/{}", kind.group, kind.version);
        let scope = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let operation = |action: &str| {
            json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk[0],
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": true}}],
                "responses": {"200": {"description": "OK", "content": {"application/json":
                    {"schema": {"$ref": format!("#/components/schemas/{name}")}}}}}})
        };
        paths.insert(
            format!("{root}{scope}/{}/{{name}}", kind.plural),
            json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete")}),
        );
        paths.insert(
            format!("{root}{scope}/{}", kind.plural),
            json!({"get": operation("list"), "post": operation("post")}),
        );
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": paths, "components": {"schemas": schemas}})
}
