//! Specs, and some parts of them, as upstream's validation shows them when it refuses them: the JSON of Kubernetes' internal types, which have no tags (Go
//! names, every field, in order of declaration), and the difference of two such texts (`k8s.io/apimachinery/pkg/util/diff`).

use std::{collections::HashMap, fmt::Write, sync::OnceLock};

use serde_json::{Map, Value};

use crate::unified::unified_diff;

static TYPES: OnceLock<HashMap<&'static str, Vec<Field>>> = OnceLock::new();

/// A field of an internal struct, see `generate/internal.py`.
struct Field {
    name: &'static str,
    json: &'static str,
    kind: &'static str,
}

/// What upstream appends to `spec: Forbidden: …` for a change of `definition` (`io.k8s.api.core.v1.PodSpec`,
/// `….PersistentVolumeClaimSpec`, `….PersistentVolumeSource` of which the spec is made, …): a unified diff of both specs, ending in a newline. `None` for other definitions.
pub fn internal_diff(definition: &str, old: &Value, new: &Value) -> Option<String> {
    Some(unified_diff(
        &internal_json(definition, old)?,
        &internal_json(definition, new)?,
    ))
}

/// The spec as indented JSON of its internal type. `None` for definitions of which nothing is recorded.
pub fn internal_json(definition: &str, spec: &Value) -> Option<String> {
    // Core's structs go by their names alone.
    let name = match definition.strip_prefix("io.k8s.api.core.v1.") {
        Some(name) => name.to_owned(),
        None => definition.strip_prefix("io.k8s.api.")?.replace(".v1.", "."),
    };
    let (name, _) = types().get_key_value(name.as_str())?;
    let mut spec = spec.clone();
    if *name == "PodSpec" {
        move_host_fields(&mut spec);
    }
    let mut dump = Dump {
        out: String::new(),
        depth: 0,
    };
    dump.fields(name, &spec);
    Some(dump.out)
}

/// The same in one line, as upstream shows an invalid spec.
pub fn internal_compact(definition: &str, spec: &Value) -> Option<String> {
    let pretty = internal_json(definition, spec)?;
    let mut compact = String::with_capacity(pretty.len());
    for line in pretty.lines() {
        let line = line.trim_start();
        // A member's name has no escapes, so that it ends at the first `": `.
        match line.split_once("\": ").filter(|_| line.starts_with('"')) {
            Some((name, value)) => {
                compact.push_str(name);
                compact.push_str("\":");
                compact.push_str(value);
            }
            None => compact.push_str(line),
        }
    }
    Some(compact)
}

/// Internally the use of the host's namespaces is part of the security context.
fn move_host_fields(spec: &mut Value) {
    let Value::Object(spec) = spec else { return };
    let moved: Vec<_> = [
        ("hostNetwork", "HostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
        ("shareProcessNamespace", "ShareProcessNamespace"),
        ("hostUsers", "HostUsers"),
    ]
    .into_iter()
    .filter_map(|(from, to)| Some((to, spec.remove(from)?)))
    .collect();
    let context = spec.entry("securityContext").or_insert_with(|| Map::new().into());
    if let Value::Object(context) = context {
        context.extend(moved.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
}

fn types() -> &'static HashMap<&'static str, Vec<Field>> {
    TYPES.get_or_init(|| {
        let mut types: HashMap<&str, Vec<Field>> = HashMap::new();
        let mut current = "";
        for line in include_str!("../data/internal.tsv").lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            match cells[..] {
                ["S", name] => {
                    current = name;
                    types.insert(name, Vec::new());
                }
                ["F", name, json, kind] => {
                    // A field that v1 has elsewhere is under its own name, see `move_host_fields`.
                    let json = if json == "-" { name } else { json };
                    types.entry(current).or_default().push(Field { name, json, kind });
                }
                _ => {}
            }
        }
        types
    })
}

struct Dump {
    out: String,
    depth: usize,
}

impl Dump {
    fn fields(&mut self, name: &str, value: &Value) {
        let mut members = Vec::new();
        collect(name, value, &mut members);
        self.block('{', '}', members, |dump, (name, kind, value)| {
            dump.string(name);
            dump.out.push_str(": ");
            dump.value(kind, value);
        });
    }

    fn value(&mut self, kind: &str, value: &Value) {
        let (head, rest) = kind.split_at(1);
        match (head, value) {
            ("*" | "[" | "{" | "j", Value::Null) => self.out.push_str("null"),
            ("*", value) => self.value(rest, value),
            ("[", Value::Array(list)) => {
                self.block('[', ']', list.iter().collect(), |dump, element| {
                    dump.value(rest, element);
                });
            }
            ("{", Value::Object(map)) => {
                self.block('{', '}', map.iter().collect(), |dump, (key, element)| {
                    dump.string(key);
                    dump.out.push_str(": ");
                    dump.value(rest, element);
                });
            }
            ("@", value) => self.fields(rest, value),
            ("s", Value::Null) => self.out.push_str("\"\""),
            ("n" | "o", Value::Null) => self.out.push('0'),
            ("b", Value::Null) => self.out.push_str("false"),
            ("q", Value::Null) => self.out.push_str("\"0\""),
            (_, value) => self.json(value),
        }
    }

    /// A type of meta/v1, which has tags.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                let order = [
                    "matchLabels",
                    "matchExpressions",
                    "key",
                    "operator",
                    "values",
                    "name",
                ];
                entries.sort_by_key(|(key, _)| order.iter().position(|o| o == key).unwrap_or(order.len()));
                self.block('{', '}', entries, |dump, (key, value)| {
                    dump.string(key);
                    dump.out.push_str(": ");
                    dump.json(value);
                });
            }
            Value::Array(list) => self.block('[', ']', list.iter().collect(), Self::json),
            Value::String(text) => self.string(text),
            other => {
                let _ = write!(self.out, "{other}");
            }
        }
    }

    fn block<T>(&mut self, open: char, close: char, members: Vec<T>, mut each: impl FnMut(&mut Self, T)) {
        self.out.push(open);
        self.depth += 1;
        let empty = members.is_empty();
        for (i, member) in members.into_iter().enumerate() {
            self.out.push_str(if i > 0 { ",\n" } else { "\n" });
            self.out.extend(std::iter::repeat_n(' ', self.depth));
            each(self, member);
        }
        self.depth -= 1;
        if !empty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.depth));
        }
        self.out.push(close);
    }

    /// As Go quotes: HTML's characters and line separators are escaped.
    fn string(&mut self, text: &str) {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        for c in quoted.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
    }
}

/// The fields of a struct with their values, those of embedded structs among them.
fn collect<'a>(name: &str, value: &'a Value, out: &mut Vec<(&'static str, &'static str, &'a Value)>) {
    for field in types().get(name).into_iter().flatten() {
        match (field.json, field.kind.strip_prefix('@')) {
            ("^", Some(embedded)) => collect(embedded, value, out),
            // The metadata of a claim template is embedded, and has tags.
            ("^", None) => {
                for key in [
                    "name",
                    "generateName",
                    "namespace",
                    "selfLink",
                    "uid",
                    "resourceVersion",
                    "generation",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "deletionGracePeriodSeconds",
                    "labels",
                    "annotations",
                    "ownerReferences",
                    "finalizers",
                    "managedFields",
                ] {
                    let said = value.get("metadata").and_then(|metadata| metadata.get(key));
                    let is_empty = |value: &Value| {
                        *value == Value::Array(Vec::new()) || *value == Value::Object(Map::new())
                    };
                    if let Some(value) = said.filter(|value| !is_empty(value)) {
                        out.push((key, "j", value));
                    }
                }
            }
            _ => out.push((
                field.name,
                field.kind,
                value.get(field.json).unwrap_or(&Value::Null),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POD: &str = "io.k8s.api.core.v1.PodSpec";

    #[test]
    fn go_names_in_order_with_every_field() {
        let spec = json!({"hostNetwork": true, "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
            "containers": [{"name": "c", "command": ["a<b"], "resources": {"limits": {"cpu": "1"}}}]});
        let text = internal_json(POD, &spec).unwrap();
        assert!(text.starts_with("{\n \"Volumes\": [\n  {\n   \"Name\": \"v\",\n   \"HostPath\": null,\n   \"EmptyDir\": {\n    \"Medium\": \"\",\n    \"SizeLimit\": \"1Gi\"\n   },\n"), "{text}");
        assert!(text.contains("\"Command\": [\n    \"a\\u003cb\"\n   ],\n   \"Args\": null,\n   \"WorkingDir\": \"\",\n   \"Ports\": null,\n"));
        assert!(text.contains("\"SecurityContext\": {\n  \"HostNetwork\": true,\n  \"HostPID\": false,"));
        assert!(text.contains("\"Resources\": {\n    \"Limits\": {\n     \"cpu\": \"1\"\n    },\n    \"Requests\": null,\n    \"Claims\": null\n   }"));
        assert!(serde_json::from_str::<Value>(&text).is_ok());
        assert!(internal_json("io.k8s.api.core.v1.Service", &json!({})).is_none());
    }

    #[test]
    fn other_groups() {
        let template = json!({"metadata": {"annotations": {}, "labels": {"a": "b"}, "deletionGracePeriodSeconds": 0}, "spec": {}});
        assert!(
            internal_compact("io.k8s.api.resource.v1.ResourceClaimTemplateSpec", &template)
                .unwrap()
                .starts_with("{\"deletionGracePeriodSeconds\":0,\"labels\":{\"a\":\"b\"},\"Spec\":{")
        );
        let spec = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c", "count": 1}}],
            "config": [{"opaque": {"driver": "d", "parameters": {"a": 1}}}]}});
        assert_eq!(
            internal_compact("io.k8s.api.resource.v1.ResourceClaimSpec", &spec).unwrap(),
            "{\"Devices\":{\"Requests\":[{\"Name\":\"r\",\"Exactly\":{\"DeviceClassName\":\"c\",\"Selectors\":null,\"AllocationMode\":\"\",\
             \"Count\":1,\"AdminAccess\":null,\"Tolerations\":null,\"Capacity\":null},\"FirstAvailable\":null}],\"Constraints\":null,\
             \"Config\":[{\"Requests\":null,\"Opaque\":{\"Driver\":\"d\",\"Parameters\":{\"a\":1}}}]}}"
        );
    }

    /// The pod of conformance case 04, with the token volume that admission adds: upstream's own line numbers.
    #[test]
    fn difference_as_recorded_from_upstream() {
        let container = |name: &str, image: &str| {
            json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File", "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x", "readOnly": true}]})
        };
        let old = json!({"containers": [container("a", "demo.local/busybox:1"), container("b", "demo.local/busybox:2")],
            "volumes": [{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}]}}]}}],
            "securityContext": {}, "nodeName": "nowhere", "restartPolicy": "Always"});
        let mut new = old.clone();
        new["containers"][1]["command"] = json!(["x"]);
        assert_eq!(
            internal_diff(POD, &old, &new).unwrap(),
            "@@ -134,7 +134,9 @@\n   {\n    \"Name\": \"b\",\n    \"Image\": \"demo.local/busybox:2\",\n-   \"Command\": null,\n+   \"Command\": [\n+    \"x\"\n+   ],\n    \"Args\": null,\n    \"WorkingDir\": \"\",\n    \"Ports\": null,\n"
        );
    }
}
