//! Server-side apply of custom resources: lists and maps are merged as their schema says (kube-openapi
//! `schemaconv/openapi.go`, apiextensions-apiserver `customresource/{strategy,status_strategy}.go`).
use serde_json::{Value, json};

use super::{Manager, Typing, apply, track_update};
use crate::PatchError;

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {"port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "steps": {"type": "array", "items": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "size": {"x-kubernetes-int-or-string": true},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }})
}

fn manager<'a>(name: &'a str, subresource: &'a str) -> Manager<'a> {
    Manager {
        name,
        api_version: "example.com/v1",
        subresource,
        time: "2026-01-01T00:00:00Z",
    }
}

fn tab(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Tab", "metadata": {"name": "t"}, "spec": spec})
}

fn applied(live: Option<&Value>, name: &str, spec: &Value, force: bool) -> Result<Value, PatchError> {
    let schema = schema();
    let typing = Typing::Structural {
        schema: &schema,
        has_status: true,
    };
    apply(typing, live, &tab(spec), &manager(name, ""), force)
}

/// `f:spec` of a manager.
fn owned(object: &Value, name: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["manager"] == name).unwrap();
    entry["fieldsV1"]["f:spec"].clone()
}

#[test]
fn elements_of_lists_have_owners_of_their_own() {
    let one = json!({"ports": [{"port": 80, "name": "web"}], "tags": ["a", "b"]});
    let object = applied(None, "one", &one, false).unwrap();
    let two = json!({"ports": [{"port": 80, "protocol": "UDP"}, {"port": 443}], "tags": ["b", "c"]});
    let object = applied(Some(&object), "two", &two, false).unwrap();
    assert_eq!(
        object["spec"],
        json!({"ports": [{"port": 80, "name": "web"}, {"port": 80, "protocol": "UDP"}, {"port": 443}], "tags": ["a", "b", "c"]})
    );
    assert_eq!(
        owned(&object, "one"),
        json!({"f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:name": {}, "f:port": {}}},
            "f:tags": {r#"v:"a""#: {}, r#"v:"b""#: {}}})
    );
    // What the first no longer wants goes, unless the second has it.
    let object = applied(Some(&object), "one", &json!({"tags": []}), false).unwrap();
    assert_eq!(
        object["spec"],
        json!({"ports": [{"port": 80, "protocol": "UDP"}, {"port": 443}], "tags": ["b", "c"]})
    );
}

#[test]
fn conflicts_are_of_the_field_and_not_of_the_list() {
    let object = applied(
        None,
        "one",
        &json!({"ports": [{"port": 80, "name": "web"}]}),
        false,
    )
    .unwrap();
    let other = json!({"ports": [{"port": 80, "name": "http"}]});
    let Err(PatchError::Conflict(conflicts)) = applied(Some(&object), "two", &other, false) else {
        panic!("no conflict");
    };
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].field, r#".spec.ports[port=80,protocol="TCP"].name"#);
    let object = applied(Some(&object), "two", &other, true).unwrap();
    assert_eq!(object["spec"], other);
}

#[test]
fn lists_and_maps_without_a_type_of_their_own_are_owned_as_upstream_does() {
    let one = json!({"steps": ["a"], "whole": {"x": "1"}, "free": {"deep": {"a": 1}}, "size": "50%",
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"finalizers": ["f"]}, "spec": {"x": 1}}});
    let object = applied(None, "one", &one, false).unwrap();
    assert_eq!(
        owned(&object, "one"),
        json!({"f:steps": {}, "f:whole": {}, "f:free": {"f:deep": {".": {}, "f:a": {}}}, "f:size": {},
            "f:template": {"f:apiVersion": {}, "f:kind": {}, "f:metadata": {"f:finalizers": {r#"v:"f""#: {}}},
                "f:spec": {".": {}, "f:x": {}}}})
    );
}

#[test]
fn elements_need_their_names() {
    let twice = json!({"ports": [{"port": 80}, {"port": 80, "protocol": "TCP"}]});
    let Err(PatchError::Untyped(why)) = applied(None, "one", &twice, false) else {
        panic!("taken");
    };
    assert!(
        why.ends_with(r#".spec.ports: duplicate entries for key [port=80,protocol="TCP"]"#),
        "{why}"
    );
}

#[test]
fn the_main_endpoint_owns_no_status_and_the_status_endpoint_nothing_else() {
    let schema = schema();
    let typing = Typing::Structural {
        schema: &schema,
        has_status: true,
    };
    let mut object = tab(&json!({"tags": ["a"]}));
    object["status"] = json!({"phase": "Up"});
    track_update(typing, None, &mut object, &manager("maker", ""));
    let fields = &object["metadata"]["managedFields"][0]["fieldsV1"];
    assert!(fields.get("f:status").is_none(), "{fields}");
    let mut next = object.clone();
    next["status"] = json!({"phase": "Down"});
    next["metadata"]["labels"] = json!({"a": "b"});
    next["spec"]["tags"] = json!(["b"]);
    track_update(typing, Some(&object), &mut next, &manager("watcher", "status"));
    let entries = next["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry["manager"] == "watcher")
        .unwrap();
    assert_eq!(entry["fieldsV1"], json!({"f:status": {"f:phase": {}}}));
}

/// A path is nearly as long as the object and there are many: ten thousand conflicts would be a gigabyte.
#[test]
fn many_conflicts_with_long_paths_are_told_in_part() {
    let many = |value: usize| -> Value { (0..10_000).map(|n| (n.to_string(), json!(value))).collect() };
    let spec = |value| json!({"free": {"k".repeat(100_000): many(value)}});
    let object = applied(None, "one", &spec(1), false).unwrap();
    let Err(PatchError::Conflict(conflicts)) = applied(Some(&object), "two", &spec(2), false) else {
        panic!("conflicts");
    };
    let text: usize = conflicts.iter().map(|conflict| conflict.field.len()).sum();
    assert!((1 << 20..=4 << 20).contains(&text), "{text}");
    let Err(PatchError::Untyped(twice)) = applied(
        None,
        "one",
        &json!({"tags": vec!["x".repeat(1_000); 10_000]}),
        false,
    ) else {
        panic!("duplicates");
    };
    assert!((1 << 20..8 << 20).contains(&twice.len()), "{}", twice.len());
}

/// Comparing each with all that came before would be 10^8 steps.
#[test]
fn a_long_list_in_another_order_is_merged() {
    let ports = |order: Vec<usize>| -> Value { order.into_iter().map(|n| json!({"port": n})).collect() };
    let object = applied(
        None,
        "one",
        &json!({"ports": ports((0..10_000).collect())}),
        false,
    )
    .unwrap();
    let turned = ports((0..10_000).rev().collect());
    let object = applied(Some(&object), "one", &json!({"ports": turned}), false).unwrap();
    assert_eq!(object["spec"]["ports"], turned);
}

#[test]
fn a_null_is_a_value() {
    let schema = schema();
    let typing = Typing::Structural {
        schema: &schema,
        has_status: true,
    };
    // Nobody is known to own anything of this one; then whoever made it owns the null.
    let (live, null) = (tab(&Value::Null), tab(&Value::Null));
    let first = apply(typing, Some(&live), &null, &manager("one", ""), false).unwrap();
    assert_eq!(first.get("spec"), Some(&Value::Null));
    let again = apply(typing, Some(&first), &null, &manager("one", ""), false).unwrap();
    assert_eq!(again, first);
}
