//! Which nodes want a pod, and how a pod is held to its node (daemon_controller.go, util/daemonset_util.go).

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};

use crate::meta::Meta;
use crate::pods;
use crate::scheduler::filter::{matches_node_rules, tolerated};

/// What every daemon pod tolerates.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let network = spec.host_network == Some(true);
    let extra = network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    for (key, effect) in TOLERATED.into_iter().chain(extra) {
        let toleration = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        let same = |t: &Toleration| {
            t.key == toleration.key && t.effect == toleration.effect && t.operator == toleration.operator
        };
        if !all.iter().any(same) {
            all.push(toleration);
        }
    }
    all
}

/// Whether the node should have a pod, and whether one that is there may stay.
pub(super) fn wants(spec: &PodSpec, node: &Node) -> (bool, bool) {
    let named = spec
        .node_name
        .as_deref()
        .is_none_or(|n| n.is_empty() || n == node.name());
    if !named || !matches_node_rules(spec, node.name(), node.metadata.labels.as_ref()) {
        return (false, false);
    }
    let tolerations = tolerations(spec);
    let taints = node
        .spec
        .as_ref()
        .and_then(|s| s.taints.as_deref())
        .unwrap_or_default();
    let untolerated = |effects: &[&str]| {
        taints
            .iter()
            .any(|t: &Taint| effects.contains(&t.effect.as_str()) && !tolerated(&tolerations, t))
    };
    (
        !untolerated(&["NoSchedule", "NoExecute"]),
        !untolerated(&["NoExecute"]),
    )
}

/// Whether a node that was changed, and wants this, is a reason to look at the set (syncNodeUpdate). One whose pod merely ought not to have come
/// is none: the status tells of that pod when something else happens.
pub(super) fn stirs((should_run, may_stay): (bool, bool), scheduled: bool, misscheduled: bool) -> bool {
    if scheduled {
        !may_stay || misscheduled
    } else {
        should_run
    }
}

/// Holds the pod to the node. The template's own required affinity has chosen the node already and is replaced.
pub(super) fn pin(spec: &mut PodSpec, node: &str) {
    spec.tolerations = Some(tolerations(spec));
    let affinity = spec
        .affinity
        .get_or_insert_default()
        .node_affinity
        .get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: None,
            match_fields: Some(vec![NodeSelectorRequirement {
                key: "metadata.name".into(),
                operator: "In".into(),
                values: Some(vec![node.to_owned()]),
            }]),
        }],
    });
}

/// The node that a pod runs on or is held to.
pub(super) fn node_of(pod: &Pod) -> Option<String> {
    if let Some(node) = pods::node_name(pod) {
        return Some(node.to_owned());
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?
        .node_selector_terms;
    let fields = terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    fields
        .filter(|f| f.key == "metadata.name")
        .find_map(|f| f.values.as_ref()?.first().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_may_stay_is_no_news() {
        let (runs, stays, goes) = ((true, true), (false, true), (false, false));
        assert!(stirs(runs, false, false) && !stirs(runs, true, false) && stirs(runs, true, true));
        assert!(!stirs(stays, false, false) && !stirs(stays, true, false) && stirs(stays, true, true));
        assert!(!stirs(goes, false, true) && stirs(goes, true, false));
    }

    #[test]
    fn pinned_and_found_again() {
        let mut pod = Pod {
            spec: Some(PodSpec::default()),
            ..Default::default()
        };
        pin(pod.spec.as_mut().unwrap(), "n1");
        assert_eq!(node_of(&pod).as_deref(), Some("n1"));
        assert_eq!(pod.spec.unwrap().tolerations.unwrap().len(), 6);
    }

    #[test]
    fn taints_decide() {
        let node = |effect: &str| -> Node {
            serde_json::from_value(
                json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": effect}]}}),
            )
            .unwrap()
        };
        let spec = PodSpec::default();
        assert_eq!(wants(&spec, &node("NoSchedule")), (false, true));
        assert_eq!(wants(&spec, &node("NoExecute")), (false, false));
        assert_eq!(wants(&spec, &node("PreferNoSchedule")), (true, true));
        let cordoned: Node = serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}})).unwrap();
        assert_eq!(wants(&spec, &cordoned), (true, true));
    }
}
