//! Lists and maps that are said and hold nothing. Go's decoder tells them from absent ones, so that validation shows them (`[]`, not `null`); its
//! encoders do not, so that nobody sees them again once they are stored.
use serde_json::Value;

use crate::{
    table::Table,
    types::{Node, Type, type_of},
};

const SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";

/// Where an object of this definition says lists and maps without anything in them, as JSON pointers with what stands there. Those of
/// fields that nobody knows are left out.
pub fn empties(definition: &str, object: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    if has_empty(object)
        && let Some(ty) = type_of(definition)
    {
        collect(ty, object, &mut String::new(), &mut found);
    }
    found
}

/// Put them back into what decoding and defaulting made of the object, where nothing has taken their place.
pub fn put_empties(object: &mut Value, empties: &[(String, Value)]) {
    for (pointer, empty) in empties {
        let Some((parent, key)) = pointer.rsplit_once('/') else {
            continue;
        };
        if let Some(Value::Object(map)) = object.pointer_mut(parent) {
            let slot = map.entry(unescaped(key)).or_insert(Value::Null);
            if slot.is_null() {
                *slot = empty.clone();
            }
        }
    }
}

/// What reading it back from protobuf makes of an object: lists and maps that are always written are `null` when they are empty.
pub fn without_empties(definition: &str, object: &mut Value) {
    if has_empty(object)
        && let Some(definition) = Table::get().find(definition)
    {
        forget(&definition.node, object);
    }
}

fn has_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty() || list.iter().any(has_empty),
        Value::Object(map) => map.is_empty() || map.values().any(has_empty),
        _ => false,
    }
}

fn collect(ty: Type, value: &Value, path: &mut String, found: &mut Vec<(String, Value)>) {
    let length = path.len();
    match value {
        Value::Array(list) if list.is_empty() => found.push((path.clone(), value.clone())),
        // What is a struct is there in any case.
        Value::Object(map) if map.is_empty() && ty.definition().is_none() && ty.item().is_some() => {
            found.push((path.clone(), value.clone()));
        }
        Value::Array(list) => {
            for (at, element) in list.iter().enumerate() {
                let Some(item) = ty.item() else { return };
                path.push_str(&format!("/{at}"));
                collect(item, element, path, found);
                path.truncate(length);
            }
        }
        // Selectors have tags inside, too, so that they are shown without.
        Value::Object(_) if ty.definition().is_some_and(|d| d.name.starts_with(SELECTOR)) => {}
        Value::Object(map) => {
            for (key, element) in map {
                let Some(child) = ty.child(key) else { continue };
                path.push('/');
                path.push_str(&escaped(key));
                collect(child, element, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn forget(node: &'static Node, value: &mut Value) {
    match (node, value) {
        (Node::Object { definition, .. }, Value::Object(map)) => {
            for field in &Table::get().at(*definition).fields {
                let Some(value) = map.get_mut(field.name) else {
                    continue;
                };
                let is_empty = match (&field.node, &*value) {
                    (Node::List { .. }, Value::Array(list)) => list.is_empty(),
                    (Node::Map { .. }, Value::Object(map)) => map.is_empty(),
                    _ => false,
                };
                if is_empty && !field.omit_empty && !field.pointer {
                    *value = Value::Null;
                } else {
                    forget(&field.node, value);
                }
            }
        }
        (Node::List { item, .. }, Value::Array(list)) => {
            for value in list {
                forget(item, value);
            }
        }
        (Node::Map { value: inner, .. }, Value::Object(map)) => {
            for value in map.values_mut() {
                forget(inner, value);
            }
        }
        _ => {}
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn come_back_where_they_were() {
        const POD: &str = "io.k8s.api.core.v1.Pod";
        let said = json!({"metadata": {"labels": {}}, "nobody": [], "status": {},  "spec": {"securityContext": {}, "nodeSelector": {},
            "topologySpreadConstraints": [{"labelSelector": {"matchLabels": {}}}],
            "containers": [{"name": "c", "command": [], "resources": {"limits": {}}}]}});
        let found = empties(POD, &said);
        let at: Vec<_> = found.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(
            at,
            [
                "/metadata/labels",
                "/spec/containers/0/command",
                "/spec/containers/0/resources/limits",
                "/spec/nodeSelector"
            ]
        );
        let mut read = json!({"metadata": {}, "spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "c", "resources": {}}]}});
        put_empties(&mut read, &found);
        assert_eq!(
            read,
            json!({"metadata": {"labels": {}}, "spec": {"nodeSelector": {"a": "b"},
                "containers": [{"name": "c", "command": [], "resources": {"limits": {}}}]}})
        );
        assert!(empties(POD, &json!({"spec": {"containers": [{"name": "c"}]}})).is_empty());
    }

    /// As upstream answers a Job and a CSINode that say so.
    #[test]
    fn are_forgotten_where_they_are_always_written() {
        let mut job = json!({"spec": {"podFailurePolicy": {"rules": []}, "template": {"spec": {"containers": [], "tolerations": []}}}});
        without_empties("io.k8s.api.batch.v1.Job", &mut job);
        assert_eq!(
            job,
            json!({"spec": {"podFailurePolicy": {"rules": null}, "template": {"spec": {"containers": null, "tolerations": []}}}})
        );
        let mut node = json!({"spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": []}]}});
        without_empties("io.k8s.api.storage.v1.CSINode", &mut node);
        assert_eq!(node["spec"]["drivers"][0]["topologyKeys"], Value::Null);
    }
}
