//! Objects within custom objects: their metadata is read as that of any object, and held to its rules (apiextensions
//! `pkg/apiserver/schema/objectmeta`).
use serde_json::{Value, json};
use validation::Cause;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Give the metadata of all of them its form; yields what nobody knows of it, or why it cannot be read.
pub fn settle(schema: &Value, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    structural::change_embedded(schema, value, &mut |path, object| {
        for field in ["apiVersion", "kind"] {
            if let Some(said) = object.get(field).filter(|said| !said.is_string()) {
                return Err(format!("{path}.{field}: Invalid value: {said}: must be a string"));
            }
        }
        let Some(meta) = object.get_mut("metadata") else {
            return Ok(());
        };
        if meta.is_null() {
            *meta = json!({});
        }
        for found in schema::unknown_fields(META, meta) {
            unknown.push(found.replacen('"', &format!("\"{path}.metadata."), 1));
        }
        let said = meta.clone();
        schema::normalise(META, meta)
            .map_err(|e| format!("{path}.metadata: Invalid value: {said}: {}", e.message))
    })?;
    Ok(unknown)
}

/// What is wrong with all of them.
pub fn causes(schema: &Value, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let faults = structural::check_embedded(schema, value, &mut |path, object| {
        if let Some(meta) = object.get("metadata") {
            causes.extend(validation::validate_embedded(meta, &format!("{path}.metadata")));
        }
    });
    let faults = faults.into_iter().map(super::body::cause);
    faults.chain(causes).collect()
}
