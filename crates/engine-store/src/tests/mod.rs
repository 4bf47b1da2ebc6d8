//! Tests that look inside: damage to files, failing disks, watches against a model.
mod faults;
mod recovery;
mod watching;

use std::path::Path;

use serde_json::{Value, json};

use crate::{Config, Precondition, Store};

/// A small object; `n` makes versions differ.
fn object(n: u64) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"n": n.to_string()}})
}

fn open(dir: &Path) -> Store {
    Config {
        dir: Some(dir.to_owned()),
        ..Config::default()
    }
    .build()
    .unwrap()
}

/// Every key with its JSON text: what a store holds.
fn contents(store: &Store) -> Vec<(String, u64, String)> {
    let text = |json: &[u8]| String::from_utf8(json.to_vec()).unwrap();
    store
        .list("")
        .items
        .iter()
        .map(|o| (o.key.to_string(), o.revision, text(&o.json())))
        .collect()
}

#[tokio::test]
async fn whether_there_are_so_many() {
    let store = Config::default().build().unwrap();
    for key in ["a/1", "a/2", "b/1"] {
        store.put(key, object(1), Precondition::None).await.unwrap();
    }
    for (prefix, least, has) in [
        ("a/", 2, true),
        ("a/", 3, false),
        ("", 3, true),
        ("c/", 1, false),
        ("c/", 0, true),
    ] {
        assert_eq!(store.has(prefix, least), has, "{least} of {prefix:?}");
    }
}
