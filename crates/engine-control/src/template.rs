//! Pods from templates, and hashes of templates.

mod spew;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

/// Of the 32-bit FNV hashes.
const OFFSET: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

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

/// The hash in the names of ReplicaSets and of a DaemonSet's revisions (pkg/controller/controller_utils.go ComputeHash).
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let value = serde_json::to_value(template).unwrap_or(Value::Null);
    let mut state = OFFSET;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u32::from(*byte)).wrapping_mul(PRIME);
        }
    };
    feed(spew::template(&value).as_bytes());
    if let Some(collisions) = collisions {
        feed(&u64::from(collisions.unsigned_abs()).to_le_bytes());
    }
    safe_encode(&state.to_string())
}

/// The hash in the names of a StatefulSet's revisions (pkg/controller/history HashControllerRevision): of their data.
pub(crate) fn data_hash(data: &Value, collisions: i32) -> String {
    // Go's JSON escapes what HTML would take for its own.
    let text = data
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    let probe = collisions.to_string();
    let state = text
        .bytes()
        .chain(probe.bytes())
        .fold(OFFSET, |state, byte| state.wrapping_mul(PRIME) ^ u32::from(byte));
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

    /// Both hashes were read from ReplicaSets of Kubernetes 1.36.2.
    #[test]
    fn hashes_are_upstreams() {
        let small = json!({
            "metadata": {"labels": {"app": "d"}},
            "spec": {
                "containers": [{"name": "x", "image": "x:2", "resources": {}, "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"}],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler",
            },
        });
        let large: Value = serde_json::from_str(include_str!("template/example.json")).unwrap();
        for (template, expected) in [(small, "8c8b5dc66"), (large, "7b9c9df4")] {
            let template: PodTemplateSpec = serde_json::from_value(template).unwrap();
            assert_eq!(hash(&template, None), expected);
            assert_ne!(hash(&template, Some(1)), expected);
        }
    }

    /// FNV-1 of the data and the collision count, which is there even when it is 0 (getStatefulSetRevisions).
    #[test]
    fn a_stateful_sets_revision_counts_no_collisions_as_zero() {
        let fnv = |text: &str| {
            let bytes = text.bytes();
            bytes.fold(OFFSET, |state, byte| state.wrapping_mul(PRIME) ^ u32::from(byte))
        };
        let data = json!({"spec": {"template": {"b": "<", "a": 1}}});
        let told = safe_encode(&fnv("{\"spec\":{\"template\":{\"a\":1,\"b\":\"\\u003c\"}}}0").to_string());
        assert_eq!(data_hash(&data, 0), told);
    }

    #[test]
    fn safe_letters() {
        assert_eq!(safe_encode("1084"), "54d8", "as upstream encodes these digits");
    }
}
