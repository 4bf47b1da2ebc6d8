//! Tests that look inside: damage to files, failing disks, watches against a model.
mod faults;
mod recovery;
mod watching;

use std::path::Path;

use serde_json::{Value, json};

use crate::{Config, Store};

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
