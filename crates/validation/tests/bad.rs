//! One bad field at a time: what kube-apiserver 1.36.2 answered to objects of which a single field was spoilt (dry run, strict).
//!
//! `bad/objects.json` holds a sound object of each kind; a line of `bad/answers.tsv` says which field gets which value (`-`: is taken away)
//! and what is then wrong, as `FIELD: MESSAGE`, sorted, or `400 MESSAGE` where the object could not even be read.
//!
//! `bad/probes.json` and `bad/probes.tsv` are the same of further objects, several of a kind; a line begins with what was asked, to
//! create the spoilt object or to update the sound one to it.
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

/// As it is when an API server comes to look for faults.
fn read(info: &schema::KindInfo, object: &mut Value) -> Result<(), Vec<String>> {
    schema::normalise(info.definition, object).map_err(|e| vec![format!("400 {}", e.message)])?;
    schema::set_defaults(info.definition, object);
    if info.namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = "default".into();
    }
    Ok(())
}

fn told(causes: Vec<validation::Cause>) -> Vec<String> {
    let mut told: Vec<String> = causes
        .into_iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect();
    told.sort_unstable();
    told
}

fn info(object: &Value) -> &'static schema::KindInfo {
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    schema::by_kind(group, version, object["kind"].as_str().unwrap()).unwrap()
}

/// What an API server does with it, as far as this crate goes.
fn answer(info: &schema::KindInfo, mut object: Value) -> Vec<String> {
    let definition = info.definition;
    if let Err(told) = read(info, &mut object) {
        return told;
    }
    if definition.ends_with("CustomResourceDefinition") {
        // The server's own doing.
        let versions = object["spec"]["versions"].as_array().into_iter().flatten();
        let stored = versions.filter(|v| v["storage"] == true);
        let mut stored: Vec<Value> = stored.map(|v| v["name"].clone()).collect();
        stored.dedup();
        object["status"] = json!({ "storedVersions": stored });
    }
    told(validation::validate_create(definition, &object))
}

/// And with a change of one that exists.
fn changed(info: &schema::KindInfo, mut old: Value, mut new: Value) -> Vec<String> {
    read(info, &mut old).unwrap();
    if let Err(told) = read(info, &mut new) {
        return told;
    }
    for object in [&mut old, &mut new] {
        object["metadata"]["uid"] = "u".into();
        object["metadata"]["resourceVersion"] = "1".into();
    }
    told(validation::validate_update(info.definition, "", &old, &new))
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
        let info = info(&objects[*kind]);
        let mut object = objects[*kind].clone();
        let value = (*value != "-").then(|| serde_json::from_str(value).unwrap());
        spoil(&mut object, path, value.clone());
        let mut expected: Vec<String> = serde_json::from_str(expected).unwrap();
        expected.sort_unstable();
        let found = answer(info, object);
        if found != expected {
            wrong.push(format!(
                "{kind} {path} {value:?}\n  upstream {expected:?}\n  here     {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn as_upstream_answered_of_more() {
    let objects: Value = serde_json::from_str(include_str!("bad/probes.json")).unwrap();
    let mut wrong = Vec::new();
    for line in include_str!("bad/probes.tsv").lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [asked, name, path, value, expected] = cells.as_slice() else {
            panic!("not a line of five: {line}");
        };
        let sound = objects[*name].clone();
        let mut object = sound.clone();
        spoil(
            &mut object,
            path,
            (*value != "-").then(|| serde_json::from_str(value).unwrap()),
        );
        let info = info(&sound);
        let found = match *asked {
            "create" => answer(info, object),
            _ => changed(info, sound, object),
        };
        let mut expected: Vec<String> = serde_json::from_str(expected).unwrap();
        expected.sort_unstable();
        if found != expected {
            wrong.push(format!(
                "{asked}\t{name}\t{path}\t{value}\n  upstream {expected:?}\n  here     {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
