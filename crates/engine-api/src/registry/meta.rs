//! Object metadata that the server fills in (apiserver `registry/rest/{meta,create}.go`).
use rand::Rng;
use serde_json::Value;

use crate::{
    json::{self, number, text},
    time,
};

/// Characters of generated names: no vowels and nothing that looks alike (apimachinery `util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Names are cut to this before the random part is added (apiserver `storage/names/generate.go`).
const LONGEST_BASE: usize = 63 - 5;

/// Five random characters.
pub fn random_suffix() -> String {
    let mut rng = rand::rng();
    (0..5)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// A name from a `generateName`.
pub fn generated_name(base: &str) -> String {
    let base = match base.char_indices().nth(LONGEST_BASE) {
        Some((end, _)) => &base[..end],
        None => base,
    };
    format!("{base}{}", random_suffix())
}

/// A new object's metadata.
pub fn fill_new(value: &mut Value, generation: bool) {
    json::set(value, &["metadata", "uid"], uuid::Uuid::new_v4().to_string());
    json::set(value, &["metadata", "creationTimestamp"], time::now());
    for gone in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        json::remove(value, &["metadata", gone]);
    }
    if generation {
        json::set(value, &["metadata", "generation"], 1);
    }
}

/// What an update can never change.
pub fn keep_old(new: &mut Value, old: &Value) {
    for field in ["creationTimestamp", "selfLink", "generation"] {
        json::restore(new, old, &["metadata", field]);
    }
    // That a deletion has begun is never taken back; that nobody says so of an object that lives is for validation to see.
    let deleting = !old["metadata"]["deletionTimestamp"].is_null();
    if deleting {
        json::restore(new, old, &["metadata", "deletionTimestamp"]);
    }
    if new["metadata"]["deletionGracePeriodSeconds"].is_null() {
        json::restore(new, old, &["metadata", "deletionGracePeriodSeconds"]);
    }
    if text(new, "/metadata/uid").is_empty() {
        json::restore(new, old, &["metadata", "uid"]);
    }
    for empty in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let is_empty = match &new["metadata"][empty] {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            other => other.is_null(),
        };
        if is_empty {
            json::remove(new, &["metadata", empty]);
        }
    }
}

/// One more.
pub fn bump_generation(value: &mut Value) {
    let next = number(value, "/metadata/generation").unwrap_or_default() + 1;
    json::set(value, &["metadata", "generation"], next);
}

/// Whether the object is being deleted.
pub fn deleting(value: &Value) -> bool {
    !text(value, "/metadata/deletionTimestamp").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = generated_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generated_name(&"x".repeat(80)).len(), 63);
    }
}
