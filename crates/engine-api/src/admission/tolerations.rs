//! DefaultTolerationSeconds: pods outlive a short loss of their node.
use serde_json::{Value, json};

use crate::Config;
use crate::json::{list, set};

/// Tolerate a node that is not ready or not reachable for a while, unless the pod says otherwise.
pub fn admit_pod(config: &Config, pod: &mut Value) {
    let mut tolerations = list(pod, "/spec/tolerations").to_vec();
    let before = tolerations.len();
    for (key, seconds) in [
        (
            "node.kubernetes.io/not-ready",
            config.not_ready_toleration_seconds,
        ),
        (
            "node.kubernetes.io/unreachable",
            config.unreachable_toleration_seconds,
        ),
    ] {
        let covered = |t: &Value| {
            let own = t["key"].as_str().unwrap_or_default();
            let effect = t["effect"].as_str().unwrap_or_default();
            (own.is_empty() || own == key) && (effect.is_empty() || effect == "NoExecute")
        };
        if !tolerations[..before].iter().any(covered) {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}));
        }
    }
    set(pod, &["spec", "tolerations"], tolerations);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_what_is_missing() {
        let mut pod =
            json!({"spec": {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]}});
        admit_pod(&Config::default(), &mut pod);
        let keys: Vec<_> = list(&pod, "/spec/tolerations")
            .iter()
            .map(|t| t["key"].as_str().unwrap())
            .collect();
        assert_eq!(
            keys,
            ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
        );
        let mut all = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        admit_pod(&Config::default(), &mut all);
        assert_eq!(list(&all, "/spec/tolerations").len(), 1);
    }
}
