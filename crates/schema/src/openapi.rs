//! OpenAPI v3 documents, one per group version, as upstream serves them below `/openapi/v3`: schemas and paths.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    kinds::{KindInfo, Subresource, kinds},
    openapi_schemas::{REFERENCES, Schemas, reference},
    operations::{Operation, PathItem, documents, paths_of, resources_of},
    parameters::Parameter,
    table::Table,
    types::Definition,
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
        return openapi_v3_root(group_version_path);
    }
    let paths = served
        .iter()
        .flat_map(|kind| paths_of(kind))
        .chain([resources_of(served[0].group, served[0].version)]);
    let about = [(served[0].group, served[0].version)];
    let schemas = Schemas::within(&about, &served);
    let document = document("Kubernetes", crate::VERSION, paths, schemas);
    serde_json::to_vec(&document).ok()
}

/// The document of a path that is not a group version's: `apis/apps`, `version`.
fn openapi_v3_root(path: &str) -> Option<Vec<u8>> {
    let item = roots()
        .into_iter()
        .find(|item| item.url.trim_matches('/') == path)?;
    let schemas = Schemas::of(&[]);
    let document = document("Kubernetes", crate::VERSION, std::iter::once(item), schemas);
    serde_json::to_vec(&document).ok()
}

fn roots() -> Vec<PathItem> {
    let groups: BTreeSet<&str> = kinds().iter().map(|kind| kind.group).collect();
    documents(groups.into_iter().filter(|group| !group.is_empty()))
}

/// What has a document: group versions such as `apis/apps/v1`, and what is above and beside them; sorted.
pub fn openapi_v3_paths() -> Vec<String> {
    let roots = roots()
        .into_iter()
        .map(|item| item.url.trim_matches('/').to_owned());
    kinds()
        .iter()
        .map(path_of)
        .chain(roots)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The index served at `/openapi/v3`. The hash lets clients cache for good, so it is that of the program's version and data.
pub fn openapi_v3_index() -> Value {
    let hash = openapi_state();
    let paths: Map<String, Value> = openapi_v3_paths()
        .into_iter()
        .map(|path| {
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// Differs when a document of built-in kinds may: FNV-1a over the packed data and the crate's version.
pub fn openapi_state() -> String {
    let data = [
        include_bytes!("../data/schema.z").as_slice(),
        include_bytes!("../data/descriptions.z"),
    ];
    let bytes = data
        .into_iter()
        .flatten()
        .chain(env!("CARGO_PKG_VERSION").as_bytes())
        .chain(include_bytes!("openapi.rs"))
        .chain(include_bytes!("openapi_schemas.rs"))
        .chain(include_bytes!("openapi_v2.rs"))
        .chain(include_bytes!("operations.rs"))
        .chain(include_bytes!("parameters.rs"));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016X}")
}

pub(crate) fn path_of(kind: &KindInfo) -> String {
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", kind.api_version())
}

/// A document of these paths and definitions.
pub(crate) fn document(
    title: &str,
    version: &str,
    items: impl Iterator<Item = PathItem>,
    mut definitions: Map<String, Value>,
) -> Value {
    let paths: Map<String, Value> = items
        .map(|item| {
            let rendered = render(&item);
            (item.url, rendered)
        })
        .collect();
    let paths = Value::from(paths);
    let mut needed = BTreeSet::new();
    gather(&paths, &definitions, &mut needed);
    definitions.retain(|name, _| needed.contains(name));
    let mut components = json!({"securitySchemes": {"BearerToken": {
        "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication"
    }}});
    if !definitions.is_empty() {
        components["schemas"] = definitions.into();
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": components
    })
}

/// The names of the definitions that are referred to here, and in those.
fn gather(value: &Value, definitions: &Map<String, Value>, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            if let Some(name) = name.and_then(|r| r.strip_prefix(REFERENCES))
                && names.insert(name.to_owned())
                && let Some(definition) = definitions.get(name)
            {
                gather(definition, definitions, names);
            }
            map.values().for_each(|v| gather(v, definitions, names));
        }
        Value::Array(list) => list.iter().for_each(|v| gather(v, definitions, names)),
        _ => {}
    }
}

fn render(item: &PathItem) -> Value {
    let mut out: Map<String, Value> = item
        .operations
        .iter()
        .map(|(method, operation)| ((*method).to_owned(), render_operation(operation)))
        .collect();
    if !item.parameters.is_empty() {
        out.insert(
            "parameters".to_owned(),
            item.parameters.iter().map(render_parameter).collect(),
        );
    }
    out.into()
}

fn render_parameter(parameter: &Parameter) -> Value {
    let mut out = json!({"name": parameter.name, "in": if parameter.in_path { "path" } else { "query" },
        "description": parameter.description, "schema": {"type": parameter.kind, "uniqueItems": true}});
    if parameter.in_path {
        out["required"] = true.into();
    }
    out
}

fn render_operation(operation: &Operation) -> Value {
    let content = |types: &[&str], schema: &Value| -> Value {
        let of_type = |name: &&str| ((*name).to_owned(), json!({ "schema": schema }));
        types.iter().map(of_type).collect::<Map<_, _>>().into()
    };
    let answered = |schema| json!({ "content": content(operation.produces, &schema) });
    let mut out = operation.outline(reference, answered);
    if !operation.parameters.is_empty() {
        out["parameters"] = operation.parameters.iter().map(render_parameter).collect();
    }
    if let Some((definition, required)) = &operation.body {
        let schema = json!({ "$ref": reference(definition) });
        out["requestBody"] = json!({ "content": content(operation.bodies(), &schema) });
        if *required {
            out["requestBody"]["required"] = true.into();
        }
    }
    out
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
        // Nothing that nobody refers to.
        let keys = |path: &str| document(path)["components"]["schemas"].as_object().map(Map::len);
        assert_eq!(keys("openid/v1/jwks"), None);
        assert_eq!(keys("version"), Some(1));
        assert!(document("apis/apps")["paths"]["/apis/apps/"]["get"]["operationId"] == "getAppsAPIGroup");
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
    fn what_is_in_lists_and_unions_as_upstream_shows_it() {
        let document = document("api/v1");
        let schema =
            |name: &str| document["components"]["schemas"][format!("io.k8s.api.core.v1.{name}")].clone();
        assert_eq!(
            schema("PersistentVolumeClaimSpec")["properties"]["accessModes"]["items"]["enum"],
            json!([
                "ReadOnlyMany",
                "ReadWriteMany",
                "ReadWriteOnce",
                "ReadWriteOncePod"
            ])
        );
        assert_eq!(
            schema("AppArmorProfile")["x-kubernetes-unions"],
            json!([{"discriminator": "type", "fields-to-discriminateBy": {"localhostProfile": "LocalhostProfile"}}])
        );
        let text = schema("Toleration")["properties"]["operator"]["description"].clone();
        assert!(
            text.as_str()
                .unwrap()
                .contains(" - `\"Equal\"`\n - `\"Exists\"`\n"),
            "{text}"
        );
        let owner = &document["components"]["schemas"][format!("{META}OwnerReference")];
        assert_eq!(owner["required"], json!(["apiVersion", "kind", "name", "uid"]));
        let options = &document["components"]["schemas"][format!("{META}DeleteOptions")];
        assert_eq!(
            options["x-kubernetes-group-version-kind"]
                .as_array()
                .unwrap()
                .len(),
            1
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
