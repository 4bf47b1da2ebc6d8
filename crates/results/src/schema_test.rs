//! The published schema is what the types say.
use std::path::Path;

use crate::Run;

/// `UPDATE=1 cargo test -p results schema` writes it anew.
#[test]
fn the_published_schema_is_that_of_the_types() {
    let mut schema = schemars::schema_for!(Run).to_value();
    schema["$id"] = "https://cncfdemo.io/schema/run-v1.schema.json".into();
    schema["title"] = "A run of cncfdemo, version 1".into();
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/run-v1.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(
        published == text,
        "{} is not what the types say: UPDATE=1 cargo test -p results schema",
        path.display()
    );
}
