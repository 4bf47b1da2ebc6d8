//! The taints that a node's state calls for.

use k8s_openapi::api::core::v1::{Node, Taint};

use super::condition;
use crate::meta::now;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// Key and effect of each taint that is wanted now.
fn wanted(node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    match condition(node, "Ready").map(|c| c.status.as_str()) {
        Some("True") => {}
        Some("Unknown") => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        Some(_) => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        // Registered, and has not reported yet.
        None => wanted.push((NOT_READY, "NoSchedule")),
    }
    for (kind, taint) in PRESSURES {
        if condition(node, kind).is_some_and(|c| c.status == "True") {
            wanted.push((taint, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

fn is_ours(taint: &Taint) -> bool {
    let keys = [NOT_READY, UNREACHABLE, UNSCHEDULABLE];
    let pressure = PRESSURES.iter().any(|(_, key)| *key == taint.key);
    (keys.contains(&taint.key.as_str()) && matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        || (pressure && taint.effect == "NoSchedule")
}

/// All taints the node should have: those of others as they are, ours as its state calls for. `None` when nothing changes.
pub(super) fn settle(node: &Node) -> Option<Vec<Taint>> {
    let before = node
        .spec
        .as_ref()
        .and_then(|s| s.taints.clone())
        .unwrap_or_default();
    let wanted = wanted(node);
    let mut taints: Vec<Taint> = before
        .iter()
        .filter(|t| !is_ours(t) || wanted.iter().any(|(k, e)| *k == t.key && *e == t.effect))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|t| t.key == key && t.effect == effect) {
            taints.push(Taint {
                key: key.into(),
                effect: effect.into(),
                value: None,
                time_added: Some(now()),
            });
        }
    }
    (taints != before).then_some(taints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(ready: &str, taints: serde_json::Value, cordoned: bool) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"taints": taints, "unschedulable": cordoned}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})).unwrap()
    }

    fn keys(taints: &[Taint]) -> Vec<(&str, &str)> {
        taints
            .iter()
            .map(|t| (t.key.as_str(), t.effect.as_str()))
            .collect()
    }

    #[test]
    fn states() {
        assert!(settle(&node("True", json!([]), false)).is_none());
        let others =
            json!([{"key": "mine", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoSchedule"}]);
        assert_eq!(
            keys(&settle(&node("True", others.clone(), false)).unwrap()),
            [("mine", "NoSchedule")]
        );
        assert_eq!(
            keys(&settle(&node("Unknown", others, true)).unwrap()),
            [
                ("mine", "NoSchedule"),
                (UNREACHABLE, "NoSchedule"),
                (UNREACHABLE, "NoExecute"),
                (UNSCHEDULABLE, "NoSchedule")
            ]
        );
    }
}
