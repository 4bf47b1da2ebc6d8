//! JSON, merge and strategic merge patches, server-side apply and the tracking of updates.
#![no_main]
use fuzz::{Choices, json};
use libfuzzer_sys::fuzz_target;
use patch::Manager;
use serde_json::{Value, json};

const KINDS: [(&str, &str, &str); 4] = [
    ("io.k8s.api.core.v1.ConfigMap", "v1", "ConfigMap"),
    ("io.k8s.api.core.v1.Pod", "v1", "Pod"),
    ("io.k8s.api.core.v1.Service", "v1", "Service"),
    ("io.k8s.api.apps.v1.Deployment", "apps/v1", "Deployment"),
];

fn object(choices: &mut Choices<'_>, version: &str, kind: &str) -> Value {
    let mut made = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}});
    for part in ["spec", "status", "data"] {
        if choices.byte() & 1 == 1 {
            made[part] = json(choices, 6);
        }
    }
    if choices.byte() & 1 == 1 {
        made["metadata"]["labels"] = json(choices, 2);
    }
    made
}

fn operations(choices: &mut Choices<'_>) -> Value {
    const PATHS: &[&str] = &["", "/spec", "/metadata/labels/a", "/spec/containers/0", "/spec/containers/-", "/spec/ports/1/port", "/~1~0", "x"];
    let ops = ["add", "remove", "replace", "move", "copy", "test", "no"];
    (0..choices.below(5))
        .map(|_| json!({"op": choices.one(&ops), "path": choices.one(PATHS), "from": choices.one(PATHS), "value": json(choices, 3)}))
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let (definition, version, kind) = choices.one(&KINDS);
    let mut live = object(&mut choices, version, kind);
    let whole = schema::normalise(definition, &mut live).is_ok();
    let manager = |name| Manager { name, api_version: version, subresource: "", time: "2026-01-01T00:00:00Z" };
    for round in 0..4 {
        let wish = object(&mut choices, version, kind);
        let text = wish.to_string();
        let _ = patch::json_patch(&live, operations(&mut choices).to_string().as_bytes());
        let _ = patch::merge_patch(&live, text.as_bytes());
        let _ = patch::strategic_merge_patch(definition, &live, text.as_bytes());
        // What comes before apply and tracking in the server: only objects that fit their types are stored.
        let mut typed = wish.clone();
        if !whole || schema::normalise(definition, &mut typed).is_err() {
            continue;
        }
        if round % 2 == 0 {
            let name = choices.one(&["alice", "bob", "kubectl"]);
            if let Ok(applied) = patch::apply(definition, Some(&live), &typed, &manager(name), choices.byte() & 1 == 1) {
                let again = patch::apply(definition, Some(&applied), &typed, &manager(name), false)
                    .unwrap_or_else(|e| panic!("the same again: {e:?}: {typed} on {applied}"));
                assert_eq!(again["metadata"]["managedFields"], applied["metadata"]["managedFields"], "{typed} on {live}");
                live = applied;
            }
        } else {
            patch::track_update(definition, Some(&live), &mut typed, &manager("carol"));
            live = typed;
        }
    }
});
