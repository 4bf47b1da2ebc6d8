//! Protobuf bodies that kubectl 1.32 sent (recorded from a local server), against what the same command prints as JSON
//! (`--dry-run=client -o json`): Go's own encoders on both sides.
#![allow(clippy::unwrap_used)] // Helpers outside #[test] functions are not exempt by themselves.

use std::{fs, path::Path};

use serde_json::{Value, json};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubectl"))
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn definition(object: &Value) -> &'static str {
    let api_version = object["apiVersion"].as_str().unwrap();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::by_kind(group, version, object["kind"].as_str().unwrap())
        .unwrap()
        .definition
}

#[test]
fn bodies_mean_what_kubectl_prints() {
    let mut compared = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".json") else {
            continue;
        };
        let mut printed: Value = serde_json::from_slice(&read(&name)).unwrap();
        let found = schema::unknown_fields(definition(&printed), &printed);
        assert!(found.is_empty(), "{stem}: {found:?}");
        schema::normalise(definition(&printed), &mut printed).unwrap();
        let mut sent = schema::decode_protobuf(&read(&format!("{stem}.bin"))).unwrap();
        // The printer adds the namespace of the context, the request has it in its path.
        for object in [&mut printed, &mut sent] {
            object["metadata"].as_object_mut().unwrap().remove("namespace");
        }
        assert_eq!(sent, printed, "{stem}");
        assert_eq!(
            schema::decode_protobuf(&schema::encode_protobuf(&sent).unwrap()).unwrap(),
            sent,
            "{stem}"
        );
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn reviews_and_tokens() {
    let review = schema::decode_protobuf(&read("cani.bin")).unwrap();
    assert_eq!(review["kind"], json!("SelfSubjectAccessReview"));
    assert_eq!(review["spec"]["resourceAttributes"]["verb"], json!("get"));
    assert_eq!(review["spec"]["resourceAttributes"]["resource"], json!("pods"));
    assert_eq!(
        schema::decode_protobuf(&read("whoami.bin")).unwrap()["kind"],
        json!("SelfSubjectReview")
    );
    let token = schema::decode_protobuf(&read("token.bin")).unwrap();
    assert_eq!(token["spec"]["expirationSeconds"], json!(600));
}

#[test]
fn damaged_bodies_are_errors_or_objects_but_never_panics() {
    let body = read("deployment.bin");
    for length in 0..body.len() {
        let _ = schema::decode_protobuf(&body[..length]);
        let mut flipped = body.clone();
        for bit in 0..8 {
            flipped[length] ^= 1 << bit;
            if let Ok(object) = schema::decode_protobuf(&flipped) {
                let _ = schema::encode_protobuf(&object);
            }
        }
    }
    assert!(schema::decode_protobuf(&body[..body.len() - 1]).is_err());
}
