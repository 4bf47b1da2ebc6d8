//! TaintNodesByCondition: a new node takes no pods until the node controller has seen it ready (plugin/pkg/admission/nodetaint).
use serde_json::{Value, json};

use crate::json::{list, set, text};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taint a new node as not ready.
pub fn admit(node: &mut Value) {
    let mut taints = list(node, "/spec/taints").to_vec();
    let known = |t: &Value| text(t, "/key") == NOT_READY && text(t, "/effect") == "NoSchedule";
    if !taints.iter().any(known) {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        set(node, &["spec", "taints"], taints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once() {
        let mut node = json!({"spec": {"taints": [{"key": NOT_READY, "effect": "NoExecute"}]}});
        admit(&mut node);
        admit(&mut node);
        assert_eq!(
            node["spec"]["taints"],
            json!([{"key": NOT_READY, "effect": "NoExecute"}, {"key": NOT_READY, "effect": "NoSchedule"}])
        );
    }
}
