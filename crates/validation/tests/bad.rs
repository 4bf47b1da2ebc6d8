//! One bad field at a time: what kube-apiserver 1.36.2 answered to objects of which a single field was spoilt (dry run, strict).
//!
//! `bad/objects.json` holds a sound object of each kind; a line of `bad/answers.tsv` says which field gets which value (`-`: is taken away)
//! and what is then wrong, as `FIELD: MESSAGE`, sorted, or `400 MESSAGE` where the object could not even be read.
#![allow(clippy::unwrap_used, reason = "tests panic")]
use serde_json::{Value, json};

const OBJECTS: &str = include_str!("bad/objects.json");
const ANSWERS: &str = include_str!("bad/answers.tsv");

/// Known to go another way: empty and absent maps and lists are the same here.
const TOLD_APART: [&str; 4] = [
    "spec.template.metadata.labels",
    "spec.template.metadata.labels.a",
    "spec.capacity",
    "spec.capacity.storage",
];

fn spoil(object: &mut Value, path: &str, value: Option<Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = object;
    for part in parents.split('.').filter(|p| !p.is_empty()) {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    match (at, value) {
        (Value::Array(list), value) => {
            let index: usize = last.parse().unwrap();
            match value {
                Some(value) => list[index] = value,
                None => drop(list.remove(index)),
            }
        }
        (map, Some(value)) => map[last] = value,
        (map, None) => drop(map.as_object_mut().unwrap().remove(last)),
    }
}

/// What an API server does with it, as far as this crate goes.
fn answer(definition: &str, namespaced: bool, mut object: Value) -> Vec<String> {
    if let Err(error) = schema::normalise(definition, &mut object) {
        return vec![format!("400 {}", error.message)];
    }
    schema::set_defaults(definition, &mut object);
    if namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = "default".into();
    }
    if definition.ends_with("CustomResourceDefinition") {
        // The server's own doing.
        let versions = object["spec"]["versions"].as_array().into_iter().flatten();
        let stored = versions.filter(|v| v["storage"] == true);
        let mut stored: Vec<Value> = stored.map(|v| v["name"].clone()).collect();
        stored.dedup();
        object["status"] = json!({ "storedVersions": stored });
    }
    let causes = validation::validate_create(definition, &object);
    let mut told: Vec<String> = causes
        .into_iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect();
    told.sort_unstable();
    told
}

#[test]
fn as_upstream_answered() {
    let objects: Value = serde_json::from_str(OBJECTS).unwrap();
    let mut wrong = Vec::new();
    for line in ANSWERS.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [kind, path, value, expected] = cells.as_slice() else {
            panic!("not a line of four: {line}");
        };
        if TOLD_APART.contains(path) {
            continue;
        }
        let (group, version) = {
            let version = objects[*kind]["apiVersion"].as_str().unwrap();
            version.split_once('/').unwrap_or(("", version))
        };
        let info = schema::by_kind(group, version, kind).unwrap();
        let mut object = objects[*kind].clone();
        let value = (*value != "-").then(|| serde_json::from_str(value).unwrap());
        spoil(&mut object, path, value.clone());
        let mut expected: Vec<String> = serde_json::from_str(expected).unwrap();
        expected.sort_unstable();
        let found = answer(info.definition, info.namespaced, object);
        if found != expected {
            wrong.push(format!(
                "{kind} {path} {value:?}\n  upstream {expected:?}\n  here     {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
