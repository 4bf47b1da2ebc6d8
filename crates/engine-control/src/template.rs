//! Pods from templates, and hashes of templates.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::Value;

/// Upstream's alphabet for names: no vowels, so no words, and nothing that is mistaken for another.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A pod of a controller; the API server makes up the rest of its name.
pub(crate) fn pod_of(
    template: &PodTemplateSpec,
    owner_name: &str,
    namespace: &str,
    owner: OwnerReference,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            generate_name: Some(pod_prefix(owner_name)),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// `name-`, or the bare name when that would not be a valid name.
fn pod_prefix(owner: &str) -> String {
    if owner.len() < 253 {
        format!("{owner}-")
    } else {
        owner.to_owned()
    }
}

/// A 32-bit FNV-1a hash over a canonical form (JSON with sorted keys) and the collision count, encoded as upstream encodes its own.
pub(crate) fn hash(value: &impl Serialize, collisions: Option<i32>) -> String {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let mut state = 0x811c_9dc5_u32;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    feed(canonical(&value).as_bytes());
    if let Some(collisions) = collisions {
        feed(&u64::from(collisions.unsigned_abs()).to_le_bytes());
    }
    safe_encode(&state.to_string())
}

/// k8s.io/apimachinery/pkg/util/rand SafeEncodeString: each byte chooses a letter.
pub(crate) fn safe_encode(text: &str) -> String {
    text.bytes()
        .map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()]))
        .collect()
}

/// JSON with the keys of every object in order, and without nulls.
pub(crate) fn canonical(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> =
                    map.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k).collect();
                keys.sort();
                out.push('{');
                for key in keys {
                    out.push_str(key);
                    out.push(':');
                    write(&map[key], out);
                    out.push(',');
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    write(item, out);
                    out.push(',');
                }
                out.push(']');
            }
            other => out.push_str(&other.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hash_is_stable_and_in_the_alphabet() {
        let a = hash(&json!({"x": 1, "y": [1, 2]}), None);
        assert_eq!(a, hash(&json!({"y": [1, 2], "x": 1, "z": null}), None));
        assert_ne!(a, hash(&json!({"x": 1, "y": [2, 1]}), None));
        assert_ne!(a, hash(&json!({"x": 1, "y": [1, 2]}), Some(1)));
        assert!(a.bytes().all(|b| ALPHABET.contains(&b)) && a.len() <= 10);
        assert_eq!(safe_encode("1084"), "54d8", "as upstream encodes these digits");
    }
}
