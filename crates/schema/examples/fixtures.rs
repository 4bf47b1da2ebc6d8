//! Check every served kind against upstream's own fixtures, `staging/src/k8s.io/api/testdata/HEAD` of a Kubernetes checkout: the JSON
//! must be what we make of it, the protobuf must mean the same and be written the same, byte for byte.
//!
//! `cargo run -p schema --example fixtures FOLDER`

use std::{fs, io};

use serde_json::Value;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_default();
    let mut wrong = Vec::new();
    for kind in schema::kinds() {
        let group = if kind.group.is_empty() { "core" } else { kind.group };
        let stem = format!("{folder}/{group}.{}.{}", kind.version, kind.kind);
        let printed: Value = serde_json::from_slice(&fs::read(format!("{stem}.json"))?)?;
        let bytes = fs::read(format!("{stem}.pb"))?;
        let mut normal = printed.clone();
        let normalised = schema::normalise(kind.definition, &mut normal).is_ok();
        let checks = [
            normalised && normal == printed,
            schema::unknown_fields(kind.definition, &printed).is_empty(),
            schema::decode_protobuf(&bytes).is_ok_and(|decoded| decoded == printed),
            schema::encode_protobuf(&printed).is_some_and(|encoded| encoded == bytes),
        ];
        if checks.contains(&false) {
            wrong.push(format!("{stem}: normal, known, decodes, encodes: {checks:?}"));
        }
    }
    let report = format!(
        "{} kinds, {} differ\n{}\n",
        schema::kinds().len(),
        wrong.len(),
        wrong.join("\n")
    );
    io::Write::write_all(&mut io::stdout(), report.as_bytes())
}
