//! Apply configurations that change an object without anybody owning what they set: those of MutatingAdmissionPolicies
//! (apiserver `pkg/admission/plugin/policy/mutating/patch/smd.go`).
use serde_json::Value;

use super::{
    check, remove_nulls,
    typed::{Atom, Ty, Typing},
    walk,
};

/// Merge a configuration into an object. Atomic lists, maps and structs may not be in it: what it did not say of them would go.
pub fn merge_configuration<'a>(
    typing: impl Into<Typing<'a>>,
    object: &Value,
    configuration: &Value,
) -> Result<Value, String> {
    let typing = typing.into();
    check::fits(typing.root(), configuration)
        .map_err(|e| format!("failed to convert patch object to typed object: {e}"))?;
    let mut atomic = Vec::new();
    find_atomic(typing.root(), configuration, "", &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    let merged = walk::merge(typing.root(), Some(object), Some(configuration));
    let mut merged = merged.unwrap_or_default();
    remove_nulls(typing.root(), &mut merged);
    Ok(merged)
}

/// The paths of what is owned whole.
fn find_atomic(ty: Ty<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    if !(value.is_object() || value.is_array()) {
        return;
    }
    if matches!(Atom::of(ty, [Some(value), None]), Atom::Leaf) {
        found.push(path.to_owned());
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter().filter(|(key, _)| ty.declares(key)) {
                find_atomic(ty.child(key), inner, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                find_atomic(ty.item(), inner, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}
