//! Objects with every field filled in, as Go itself writes them: see `upstream/README.md`.
#![allow(clippy::unwrap_used)] // Helpers outside #[test] functions are not exempt by themselves.

use std::{fs, path::Path};

use serde_json::Value;

#[test]
fn json_is_normal_and_protobuf_is_the_same_byte_for_byte() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upstream"));
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "pb") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let printed: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let api_version = printed["apiVersion"].as_str().unwrap();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = schema::by_kind(group, version, printed["kind"].as_str().unwrap()).unwrap();
        assert!(
            schema::unknown_fields(kind.definition, &printed).is_empty(),
            "{path:?}"
        );
        let mut normal = printed.clone();
        schema::normalise(kind.definition, &mut normal).unwrap();
        assert_eq!(normal, printed, "{path:?}");
        assert_eq!(schema::decode_protobuf(&bytes).unwrap(), printed, "{path:?}");
        assert_eq!(schema::encode_protobuf(&printed).unwrap(), bytes, "{path:?}");
        compared += 1;
    }
    assert_eq!(compared, 6);
}
