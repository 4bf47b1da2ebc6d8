//! The `resize` subresource of pods: what is taken of what a client sends (`pkg/registry/core/pod/strategy.go`, podResizeStrategy).
use serde_json::Value;

use crate::json::{self, list, set, text};

/// Fields of a container that a resize may name. Validation has its say on them.
const TAKEN: [&str; 2] = ["resources", "resizePolicy"];

/// Puts everything back but the resources and resize policies of containers, and the resources of the pod as a whole
/// (dropNonResizeUpdates). Containers that were added, removed, renamed or moved are left as they are, for validation to refuse.
pub fn keep_others(new: &mut Value, old: &Value) {
    let lists = ["containers", "initContainers"];
    let count = |pod: &Value, name: &str| list(pod, &format!("/spec/{name}")).len();
    if lists.iter().any(|name| count(new, name) != count(old, name)) {
        return;
    }
    let mut kept = old.clone();
    for name in lists {
        let pointer = format!("/spec/{name}");
        let (now, before) = (list(new, &pointer), list(old, &pointer));
        if !now.is_empty() {
            set(&mut kept, &["spec", name], merged(now, before));
        }
    }
    json::restore(&mut kept, new, &["spec", "resources"]);
    json::restore(&mut kept, new, &["metadata", "managedFields"]);
    *new = kept;
}

fn merged(now: &[Value], before: &[Value]) -> Vec<Value> {
    let pairs = || now.iter().zip(before);
    if pairs().any(|(now, before)| text(now, "/name") != text(before, "/name")) {
        return now.to_vec();
    }
    pairs()
        .map(|(now, before)| {
            let mut container = before.clone();
            for field in TAKEN {
                json::restore(&mut container, now, &[field]);
            }
            container
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_resources_are_taken() {
        let old = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "status": {"phase": "Running"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i:1", "resources": {"limits": {"cpu": "1"}}}]}});
        let mut new = json!({"metadata": {"name": "p", "managedFields": [1]}, "status": {},
            "spec": {"resources": {"requests": {"cpu": "2"}},
                "containers": [{"name": "c", "image": "i:2", "resources": {"limits": {"cpu": "2"}}}]}});
        keep_others(&mut new, &old);
        let expected = json!({"metadata": {"name": "p", "labels": {"a": "b"}, "managedFields": [1]}, "status": {"phase": "Running"},
            "spec": {"nodeName": "n", "resources": {"requests": {"cpu": "2"}},
                "containers": [{"name": "c", "image": "i:1", "resources": {"limits": {"cpu": "2"}}}]}});
        assert_eq!(new, expected);
        // Another name is for validation to see, and so is another number.
        new["spec"]["containers"][0]["name"] = json!("d");
        keep_others(&mut new, &old);
        assert_eq!(new["spec"]["containers"][0]["name"], "d");
        new["spec"]["containers"] = json!([]);
        keep_others(&mut new, &old);
        assert_eq!(new["spec"]["containers"], json!([]));
    }
}
