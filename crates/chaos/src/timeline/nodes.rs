use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use results::What;

use super::News;

fn ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

fn taints(node: Option<&Node>) -> BTreeSet<String> {
    let taints = node.and_then(|n| n.spec.as_ref()?.taints.as_deref());
    taints
        .unwrap_or_default()
        .iter()
        .map(|t| format!("{}:{}", t.key, t.effect))
        .collect()
}

/// What has become of a node.
pub(super) fn news(old: Option<&Node>, new: Option<&Node>) -> Vec<News> {
    let Some(node) = new.or(old) else {
        return Vec::new();
    };
    let object = format!("node/{}", node.metadata.name.as_deref().unwrap_or_default());
    let tell = |what| News::of(what, object.clone(), None);
    let mut news = Vec::new();
    match (old.map(ready), new.map(ready)) {
        (Some(true), Some(false) | None) | (None, Some(false)) => news.push(tell(What::NodeNotReady)),
        (Some(false), Some(true)) => news.push(tell(What::NodeReady)),
        _ => {}
    }
    let (before, now) = (taints(old), taints(new));
    news.extend(now.difference(&before).map(|t| tell(What::NodeTainted).detail(t)));
    news.extend(
        before
            .difference(&now)
            .map(|t| tell(What::NodeUntainted).detail(t)),
    );
    news
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_lost_tainted_and_comes_back() {
        let node = |ready: &str, taint: Option<&str>| -> Node {
            let taints: Vec<_> = taint
                .iter()
                .map(|key| json!({"key": key, "effect": "NoExecute"}))
                .collect();
            serde_json::from_value(json!({
                "metadata": {"name": "n1"}, "spec": {"taints": taints},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .expect("a node")
        };
        let (well, lost) = (node("True", None), node("Unknown", Some("unreachable")));
        let told = |old, new| -> Vec<(What, String)> {
            news(Some(old), Some(new))
                .into_iter()
                .map(|n| (n.what, n.detail))
                .collect()
        };
        let taint = "unreachable:NoExecute".to_owned();
        assert_eq!(
            told(&well, &lost),
            [
                (What::NodeNotReady, String::new()),
                (What::NodeTainted, taint.clone())
            ]
        );
        assert_eq!(
            told(&lost, &well),
            [(What::NodeReady, String::new()), (What::NodeUntainted, taint)]
        );
        assert_eq!(told(&well, &well), []);
    }
}
