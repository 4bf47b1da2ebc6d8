//! Roles and bindings of upstream's controllers and components, most of which nobody here runs as: they are there for those who look
//! for them, and for the components that people bring (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, `controller_policy.go` and
//! `namespace_policy.go`; `policy.txt` was taken down from a kube-apiserver 1.36.2).
//!
//! `role NAME` or `role NAMESPACE/NAME` is followed by its rules, `VERBS | GROUPS | RESOURCES | NAMES` or `VERBS | PATHS`, where `-` is the
//! core group; `bind NAME` binds the role of that name to the subjects that follow.
use serde_json::{Value, json};

use super::roles::words;

const POLICY: &str = include_str!("policy.txt");
const GROUP: &str = "rbac.authorization.k8s.io";

/// All of them.
pub fn all() -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for line in POLICY.lines() {
        if let Some((what, name)) = line.split_once(' ').filter(|(what, _)| !what.is_empty()) {
            all.push(object(what, name));
        } else if let Some(last) = all.last_mut() {
            let (list, item) = if last["rules"].is_array() {
                ("rules", rule(line))
            } else {
                ("subjects", subject(line))
            };
            if let Some(list) = last[list].as_array_mut() {
                list.push(item);
            }
        }
    }
    all
}

/// The cluster role of this name, as it is from the start.
pub fn role(name: &str) -> Option<Value> {
    all()
        .into_iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == name)
}

fn object(what: &str, name: &str) -> Value {
    let (namespace, name) = name
        .split_once('/')
        .map_or((None, name), |(ns, name)| (Some(ns), name));
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    let role = if namespace.is_some() {
        "Role"
    } else {
        "ClusterRole"
    };
    let version = format!("{GROUP}/v1");
    if what == "role" {
        json!({"apiVersion": version, "kind": role, "metadata": metadata, "rules": []})
    } else {
        json!({"apiVersion": version, "kind": format!("{role}Binding"), "metadata": metadata, "subjects": [],
            "roleRef": {"apiGroup": GROUP, "kind": role, "name": name}})
    }
}

fn rule(line: &str) -> Value {
    let cells: Vec<Vec<&str>> = line.split('|').map(words).collect();
    match cells.as_slice() {
        [verbs, groups, resources] => json!({"verbs": verbs, "apiGroups": groups, "resources": resources}),
        [verbs, groups, resources, names] => {
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names})
        }
        [verbs, paths] => json!({"verbs": verbs, "nonResourceURLs": paths}),
        _ => Value::Null,
    }
}

fn subject(line: &str) -> Value {
    let (kind, name) = line.trim().split_once(' ').unwrap_or_default();
    match name.split_once('/') {
        Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
        None => json!({"kind": kind, "name": name, "apiGroup": GROUP}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_every_binding_has_its_role() {
        let all = all();
        let find = |kind: &str, name: &Value| {
            all.iter()
                .find(|o| o["kind"] == kind && o["metadata"]["name"] == *name)
        };
        for object in &all {
            if let Some(rules) = object["rules"].as_array() {
                assert!(
                    !rules.is_empty() && rules.iter().all(Value::is_object),
                    "{object}"
                );
            } else {
                let role = &object["roleRef"];
                assert!(
                    find(role["kind"].as_str().unwrap(), &role["name"]).is_some(),
                    "{object}"
                );
                assert!(
                    object["subjects"]
                        .as_array()
                        .is_some_and(|s| s.iter().all(|s| s["name"] != ""))
                );
            }
        }
        let job = find("ClusterRole", &"system:controller:job-controller".into()).unwrap();
        assert_eq!(
            job["rules"][0],
            json!({"verbs": ["get", "list", "patch", "update", "watch"], "apiGroups": ["batch"], "resources": ["jobs"]})
        );
        let cleaner = find("RoleBinding", &"system:controller:token-cleaner".into()).unwrap();
        assert_eq!(cleaner["metadata"]["namespace"], "kube-system");
        assert_eq!(
            cleaner["subjects"],
            json!([{"kind": "ServiceAccount", "name": "token-cleaner", "namespace": "kube-system"}])
        );
    }
}
