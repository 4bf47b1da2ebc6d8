//! The paths of an OpenAPI document: one operation for each verb of a resource.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    kinds::KindInfo,
    openapi::{META, definition_of, path_of, reference},
};

/// What an operation is made from.
struct Operation<'a> {
    kind: &'a KindInfo,
    verb: &'a str,
    /// Of the body and the answer.
    definition: Option<&'a str>,
    gvk: (&'a str, &'a str, &'a str),
    suffix: &'a str,
    /// The list over all namespaces.
    everywhere: bool,
}

pub(crate) fn add_paths(paths: &mut Map<String, Value>, kind: &KindInfo) {
    let root = format!("/{}", path_of(kind));
    let gvk = (kind.group, kind.version, kind.kind);
    let scope = if kind.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{root}{scope}/{}", kind.plural);
    let list = format!("{}List", kind.definition);
    let operation = |verb, definition| {
        Operation {
            kind,
            verb,
            definition: Some(definition),
            gvk,
            suffix: "",
            everywhere: false,
        }
        .build()
    };
    let mut methods = BTreeMap::new();
    for (verb, method, definition) in [
        ("list", "get", list.as_str()),
        ("create", "post", kind.definition),
        (
            "deletecollection",
            "delete",
            "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
        ),
    ] {
        if kind.has_verb(verb) {
            methods.insert(method, operation(verb, definition));
        }
    }
    insert_path(paths, &collection, methods);
    if kind.namespaced && kind.has_verb("list") {
        let everywhere = Operation {
            kind,
            verb: "list",
            definition: Some(&list),
            gvk,
            suffix: "",
            everywhere: true,
        };
        insert_path(
            paths,
            &format!("{root}/{}", kind.plural),
            BTreeMap::from([("get", everywhere.build())]),
        );
    }
    let mut methods = BTreeMap::new();
    for (verb, method) in [
        ("get", "get"),
        ("update", "put"),
        ("patch", "patch"),
        ("delete", "delete"),
    ] {
        if kind.has_verb(verb) {
            methods.insert(method, operation(verb, kind.definition));
        }
    }
    insert_path(paths, &format!("{collection}/{{name}}"), methods);
    for subresource in kind.subresource_table {
        let mut methods = BTreeMap::new();
        for verb in subresource.verbs {
            let method = match *verb {
                "create" => "post",
                "update" => "put",
                other => other,
            };
            let operation = Operation {
                kind,
                verb,
                definition: definition_of(subresource),
                gvk: (subresource.group, subresource.version, subresource.kind),
                suffix: subresource.name,
                everywhere: false,
            };
            methods.insert(method, operation.build());
        }
        insert_path(
            paths,
            &format!("{collection}/{{name}}/{}", subresource.name),
            methods,
        );
    }
}

fn insert_path(paths: &mut Map<String, Value>, path: &str, methods: BTreeMap<&str, Value>) {
    if methods.is_empty() {
        return;
    }
    let mut item: Map<String, Value> = methods
        .into_iter()
        .map(|(method, operation)| (method.to_owned(), operation))
        .collect();
    let in_path: Vec<Value> = ["name", "namespace"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    if !in_path.is_empty() {
        item.insert("parameters".to_owned(), in_path.into());
    }
    paths.insert(path.to_owned(), item.into());
}

impl Operation<'_> {
    fn build(&self) -> Value {
        let (group, version, kind) = self.gvk;
        let action = match self.verb {
            _ if self.connects() => "connect",
            "create" => "post",
            "update" => "put",
            other => other,
        };
        let schema = self
            .definition
            .map(|name| json!({"schema": {"$ref": reference(name)}}));
        let mut operation = json!({
            "operationId": self.id(),
            "parameters": self.parameters(),
            "responses": {"200": {"description": "OK", "content": {"application/json": schema}}, "401": {"description": "Unauthorized"}},
            "tags": [format!("{}_{}", self.group_name(), self.kind.version)],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version}
        });
        if schema.is_none() {
            operation["responses"]["200"] =
                json!({"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}});
        }
        let body = |types: &[&str], schema: &Value| {
            let content: Map<String, Value> =
                types.iter().map(|t| ((*t).to_owned(), schema.clone())).collect();
            json!({ "content": content, "required": true })
        };
        match (self.verb, &schema) {
            ("create" | "update", Some(schema)) => {
                operation["requestBody"] = body(
                    &[
                        "application/json",
                        "application/yaml",
                        "application/vnd.kubernetes.protobuf",
                    ],
                    schema,
                );
            }
            ("patch", _) => {
                let types = [
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/strategic-merge-patch+json",
                    "application/apply-patch+yaml",
                ];
                operation["requestBody"] = body(
                    &types,
                    &json!({"schema": {"$ref": reference(&format!("{META}Patch"))}}),
                );
            }
            ("delete" | "deletecollection", Some(_)) => {
                operation["requestBody"] = body(
                    &["application/json"],
                    &json!({"schema": {"$ref": reference(&format!("{META}DeleteOptions"))}}),
                );
                operation["requestBody"]["required"] = json!(false);
            }
            _ => {}
        }
        operation
    }

    /// Streams and proxies: what they take is a kind of options.
    fn connects(&self) -> bool {
        self.gvk.2.ends_with("Options")
    }

    /// `core`, `apps`, `rbacAuthorization`.
    fn group_name(&self) -> String {
        let group = self.kind.group.strip_suffix(".k8s.io").unwrap_or(self.kind.group);
        let mut parts = group.split('.');
        let first = parts
            .next()
            .filter(|p| !p.is_empty())
            .unwrap_or("core")
            .to_owned();
        parts.fold(first, |name, part| name + &upper_first(part))
    }

    /// As upstream names them: `patchAppsV1NamespacedDeploymentStatus`.
    fn id(&self) -> String {
        let verb = match self.verb {
            _ if self.connects() => "connect",
            "get" => "read",
            "update" => "replace",
            "deletecollection" => "delete",
            other => other,
        };
        let infix = match self.verb {
            "deletecollection" => "Collection",
            "get" if self.connects() => "Get",
            "create" if self.connects() => "Post",
            "update" if self.connects() => "Put",
            "patch" if self.connects() => "Patch",
            "delete" if self.connects() => "Delete",
            _ => "",
        };
        let (group, version, suffix) = (
            upper_first(&self.group_name()),
            upper_first(self.kind.version),
            upper_first(self.suffix),
        );
        let scope = if self.kind.namespaced && !self.everywhere {
            "Namespaced"
        } else {
            ""
        };
        let all = if self.everywhere { "ForAllNamespaces" } else { "" };
        format!(
            "{verb}{group}{version}{infix}{scope}{}{suffix}{all}",
            self.kind.kind
        )
    }

    fn parameters(&self) -> Vec<Value> {
        let names: &[(&str, &str)] = match self.verb {
            "list" => &[
                ("allowWatchBookmarks", "boolean"),
                ("continue", "string"),
                ("fieldSelector", "string"),
                ("labelSelector", "string"),
                ("limit", "integer"),
                ("resourceVersion", "string"),
                ("resourceVersionMatch", "string"),
                ("sendInitialEvents", "boolean"),
                ("timeoutSeconds", "integer"),
                ("watch", "boolean"),
            ],
            "create" | "update" => &[
                ("dryRun", "string"),
                ("fieldManager", "string"),
                ("fieldValidation", "string"),
            ],
            "patch" => &[
                ("dryRun", "string"),
                ("fieldManager", "string"),
                ("fieldValidation", "string"),
                ("force", "boolean"),
            ],
            "delete" => &[
                ("dryRun", "string"),
                ("gracePeriodSeconds", "integer"),
                ("orphanDependents", "boolean"),
                ("propagationPolicy", "string"),
            ],
            "deletecollection" => &[
                ("dryRun", "string"),
                ("fieldSelector", "string"),
                ("gracePeriodSeconds", "integer"),
                ("labelSelector", "string"),
                ("propagationPolicy", "string"),
            ],
            _ => &[],
        };
        let parameter = |(name, kind): &(&str, &str)| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
        names.iter().map(parameter).collect()
    }
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}
