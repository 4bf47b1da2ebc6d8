//! Topology spread: pods of a group evenly over domains (plugins/podtopologyspread).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::Snapshot;
use super::filter::{Reason, matches_node_rules, node_taints, untolerated};
use super::node::{NodeInfo, PodInfo};
use crate::meta::Meta;
use crate::selector;

fn constraints<'a>(pod: &'a PodInfo, action: &'a str) -> impl Iterator<Item = &'a TopologySpreadConstraint> {
    let all = pod
        .pod
        .spec
        .as_ref()
        .and_then(|s| s.topology_spread_constraints.as_deref())
        .unwrap_or_default();
    all.iter().filter(move |c| c.when_unsatisfiable == action)
}

/// Pods of the group per domain, over the nodes that the pod could use at all.
fn counts(
    pod: &PodInfo,
    constraint: &TopologySpreadConstraint,
    node: &NodeInfo,
    snapshot: &Snapshot,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let Some(spec) = &pod.pod.spec else { return counts };
    for n in snapshot.nodes.values() {
        let n = if n.name() == node.name() { node } else { n };
        let Some(domain) = n.label(&constraint.topology_key) else {
            continue;
        };
        let honour_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
        if honour_affinity && !matches_node_rules(spec, n.name(), n.node.metadata.labels.as_ref()) {
            continue;
        }
        if constraint.node_taints_policy.as_deref() == Some("Honor")
            && untolerated(spec, node_taints(n), &["NoSchedule", "NoExecute"]).is_some()
        {
            continue;
        }
        let here = n
            .pods
            .values()
            .filter(|p| {
                p.pod.ns() == pod.pod.ns()
                    && !p.pod.deleting()
                    && selector::matches_opt(constraint.label_selector.as_ref(), p.pod.m().labels.as_ref())
            })
            .count();
        *counts.entry(domain.to_owned()).or_insert(0) += here;
    }
    counts
}

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Result<(), Reason> {
    for constraint in constraints(pod, "DoNotSchedule") {
        let Some(domain) = node.label(&constraint.topology_key) else {
            return Err(Reason::final_(
                "node(s) didn't match pod topology spread constraints (missing required label)",
            ));
        };
        let counts = counts(pod, constraint, node, snapshot);
        let domains = i32::try_from(counts.len()).unwrap_or(i32::MAX);
        let least = if constraint.min_domains.is_some_and(|least| domains < least) {
            0
        } else {
            counts.values().copied().min().unwrap_or(0)
        };
        let me = usize::from(selector::matches_opt(
            constraint.label_selector.as_ref(),
            pod.pod.m().labels.as_ref(),
        ));
        let skew = (counts.get(domain).copied().unwrap_or(0) + me).saturating_sub(least);
        if skew > usize::try_from(constraint.max_skew).unwrap_or(0) {
            return Err(Reason::resolvable(
                "node(s) didn't match pod topology spread constraints",
            ));
        }
    }
    Ok(())
}

/// Fewer is better: the pods of the group in the node's domains, for soft constraints.
pub(crate) fn crowd(pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> i64 {
    constraints(pod, "ScheduleAnyway")
        .map(|c| {
            let domain = node.label(&c.topology_key).unwrap_or_default();
            let here = counts(pod, c, node, snapshot).get(domain).copied().unwrap_or(0);
            i64::try_from(here).unwrap_or(i64::MAX)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{node, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn skew_is_bounded() {
        let mut a = node("a", "1", json!({}));
        a.add(pod("1", json!({"labels": {"app": "x"}})));
        let s = Snapshot {
            nodes: [("a".to_owned(), a), ("b".to_owned(), node("b", "1", json!({})))].into(),
            ..Snapshot::default()
        };
        let p = pod(
            "p",
            json!({"labels": {"app": "x"}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}]}),
        );
        assert!(filter(&p, &s.nodes["b"], &s).is_ok());
        assert!(filter(&p, &s.nodes["a"], &s).unwrap_err().resolvable);
        let bare = node("c", "1", json!({"labels": {}}));
        assert!(filter(&p, &bare, &s).unwrap_err().texts[0].contains("missing required label"));
    }
}
