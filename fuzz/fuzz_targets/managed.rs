//! Server-side apply and tracking on objects whose managed fields say what somebody wrote into them.
#![no_main]
use std::sync::LazyLock;

use fuzz::{Choices, typed};
use libfuzzer_sys::fuzz_target;
use patch::{Manager, Typing};
use serde_json::{Map, Value, json};

const KINDS: &[(&str, &str, &str)] = &[
    ("io.k8s.api.core.v1.ConfigMap", "v1", "ConfigMap"),
    ("io.k8s.api.core.v1.Pod", "v1", "Pod"),
    ("io.k8s.api.core.v1.Service", "v1", "Service"),
    ("io.k8s.api.apps.v1.Deployment", "apps/v1", "Deployment"),
    ("io.k8s.api.apps.v1.ControllerRevision", "apps/v1", "ControllerRevision"),
    (CUSTOM, "e.x/v1", "A"),
];

const CUSTOM: &str = "custom/x";
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "containers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string", "default": "a"}, "image": {"type": "string"}}}},
            "ports": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "args": {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}},
            "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            "replicas": {"x-kubernetes-int-or-string": true}}},
        "data": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
});

fn typing(definition: &str) -> Typing<'_> {
    if definition == CUSTOM {
        Typing::Structural { schema: &SCHEMA, has_status: true }
    } else {
        definition.into()
    }
}

/// `fieldsV1` as a client may write it.
fn owned(choices: &mut Choices<'_>, depth: usize) -> Value {
    const ELEMENTS: &[&str] = &[
        "f:metadata", "f:labels", "f:spec", "f:data", "f:template", "f:containers", "f:ports", "f:a", "f:image", "f:", "k:{\"name\":\"a\"}",
        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}", "k:{}", "k:x", "k:[1]", "v:1", "v:\"a\"", "v:{", "i:0", "i:-1", "i:x", ".", "z:", "",
    ];
    if depth == 0 {
        return json!({});
    }
    let entries = (0..choices.below(5)).map(|_| (choices.one(ELEMENTS).to_owned(), owned(choices, depth - 1)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn entries(choices: &mut Choices<'_>) -> Value {
    (0..choices.below(14))
        .map(|n| {
            json!({"manager": choices.one(&["alice", "bob", "kubectl", "", "ancient-changes"]), "operation": choices.one(&["Apply", "Update"]),
                "apiVersion": choices.one(&["v1", "apps/v1", "e.x/v1"]), "fieldsType": "FieldsV1", "fieldsV1": owned(choices, 5),
                "subresource": choices.one(&["", "", "status", "scale"]), "time": format!("2026-01-01T00:00:{n:02}Z")})
        })
        .collect()
}

fn object(choices: &mut Choices<'_>, (definition, version, kind): (&str, &str, &str)) -> Option<Value> {
    let mut made = match schema::type_of(definition) {
        Some(ty) => typed(choices, ty, 6),
        None => fuzz::json(choices, 6),
    };
    let map = made.as_object_mut()?;
    map.insert("apiVersion".to_owned(), version.into());
    map.insert("kind".to_owned(), kind.into());
    map.insert("metadata".to_owned(), json!({"name": "x", "namespace": "default"}));
    if choices.byte() & 1 == 1 {
        made["metadata"]["labels"] = json!({"a": "b"});
    }
    if definition == CUSTOM {
        structural::prune(&SCHEMA, &mut made);
    }
    schema::normalise(definition, &mut made).ok()?;
    Some(made)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// Upstream stores no list without elements: whether there was one is not known afterwards.
fn as_stored(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(as_stored),
        Value::Object(fields) => {
            fields.values_mut().for_each(as_stored);
            fields.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
        }
        _ => {}
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let kind = choices.one(KINDS);
    let (definition, version, _) = kind;
    let Some(mut live) = object(&mut choices, kind) else { return };
    live["metadata"]["managedFields"] = entries(&mut choices);
    let manager = |name| Manager { name, api_version: version, subresource: "", time: "2026-01-02T00:00:00Z" };
    for _ in 0..3 {
        let Some(wish) = object(&mut choices, kind) else { return };
        if choices.byte() & 1 == 1 {
            let mut new = wish;
            if choices.byte() & 1 == 1 {
                new["metadata"]["managedFields"] = entries(&mut choices);
            }
            patch::track_update(typing(definition), Some(&live), &mut new, &manager("carol"));
            live = new;
            continue;
        }
        let Ok(applied) = patch::apply(typing(definition), Some(&live), &wish, &manager("alice"), choices.byte() & 1 == 1) else {
            continue;
        };
        let again = patch::apply(typing(definition), Some(&applied), &wish, &manager("alice"), false);
        // A null does not stand the first time over elements that nobody owns, and the second time it does, here as on 1.36.2.
        if has_null(&wish) {
            live = applied;
            continue;
        }
        let again = again.unwrap_or_else(|e| panic!("the same again: {e:?}: {wish} on {applied}"));
        // Who owns nothing is forgotten, and may leave nobody: then the next apply is the first one.
        let bare = |object: &Value| {
            let mut bare = object.clone();
            bare["metadata"].as_object_mut().map(|m| m.remove("managedFields"));
            as_stored(&mut bare);
            bare
        };
        assert_eq!(bare(&again), bare(&applied), "{wish} on {live}");
        live = applied;
    }
});
