//! Which of the nodes that fit is best: least allocated, balanced, spread, preferred.

use super::filter::{matches_term, node_taints, tolerated};
use super::node::{NodeInfo, PodInfo};
use super::{Snapshot, affinity, spread};
use crate::meta::Meta;

/// What a container without a request is taken to use (pkg/scheduler/util/pod_resources.go).
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Points from 0 to 100: the free share after the pod has come, averaged over cpu and memory, less its imbalance.
fn room(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let share = |name: &str, default: i64| {
        let total = node.allocatable.get(name);
        if total <= 0 {
            return 0.0;
        }
        let nonzero = |p: &PodInfo| match p.requests.get(name) {
            0 => default,
            n => n,
        };
        let used: i64 = node.pods.values().map(|p| nonzero(p)).sum::<i64>() + nonzero(pod);
        (used as f64 / total as f64).min(1.0)
    };
    let (cpu, memory) = (share("cpu", DEFAULT_CPU), share("memory", DEFAULT_MEMORY));
    let least = (1.0 - cpu).midpoint(1.0 - memory) * 100.0;
    let balanced = (1.0 - (cpu - memory).abs() / 2.0) * 100.0;
    (least + balanced) as i64
}

fn preferred(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let affinity = pod
        .pod
        .spec
        .as_ref()
        .and_then(|s| s.affinity.as_ref())
        .and_then(|a| a.node_affinity.as_ref());
    let terms = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    terms
        .into_iter()
        .flatten()
        .filter(|t| matches_term(&t.preference, node.name(), node.node.metadata.labels.as_ref()))
        .map(|t| i64::from(t.weight))
        .sum()
}

fn disliked(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let tolerations = pod
        .pod
        .spec
        .as_ref()
        .and_then(|s| s.tolerations.as_deref())
        .unwrap_or_default();
    let taints = node_taints(node)
        .iter()
        .filter(|t| t.effect == "PreferNoSchedule" && !tolerated(tolerations, t))
        .count();
    i64::try_from(taints).unwrap_or(0)
}

/// Pods of the same owner on the node: upstream spreads Services and ReplicaSets by default.
fn siblings(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let Some(owner) = pod.pod.controller() else {
        return 0;
    };
    let count = node
        .pods
        .values()
        .filter(|p| p.pod.controlled_by(&owner.uid))
        .count();
    i64::try_from(count).unwrap_or(0)
}

/// The best node; of equals the first by name, so that decisions can be repeated.
pub(crate) fn best<'a>(pod: &PodInfo, nodes: &[&'a NodeInfo], snapshot: &Snapshot) -> Option<&'a NodeInfo> {
    if nodes.len() < 2 {
        return nodes.first().copied();
    }
    // Each opinion is brought to 0..100 over the candidates, then weighted as in upstream's default profile.
    let normal = |values: Vec<i64>, reverse: bool| -> Vec<i64> {
        let (low, high) = (
            values.iter().copied().min().unwrap_or(0),
            values.iter().copied().max().unwrap_or(0),
        );
        let scaled = values.into_iter().map(|v| {
            if high == low {
                0
            } else {
                (v - low) * 100 / (high - low)
            }
        });
        if reverse {
            scaled.map(|v| if high == low { 0 } else { 100 - v }).collect()
        } else {
            scaled.collect()
        }
    };
    let each = |f: &dyn Fn(&NodeInfo) -> i64| -> Vec<i64> { nodes.iter().map(|n| f(n)).collect() };
    let rooms = each(&|n| room(pod, n));
    let opinions = [
        (normal(each(&|n| preferred(pod, n)), false), 2),
        (normal(each(&|n| disliked(pod, n)), true), 3),
        (normal(each(&|n| affinity::score(pod, n, snapshot)), false), 2),
        (normal(each(&|n| spread::crowd(pod, n, snapshot)), true), 2),
        (normal(each(&|n| siblings(pod, n)), true), 2),
    ];
    (0..nodes.len())
        .max_by_key(|i| {
            let total = rooms[*i]
                + opinions
                    .iter()
                    .map(|(values, weight)| values[*i] * weight)
                    .sum::<i64>();
            (total, std::cmp::Reverse(*i))
        })
        .map(|i| nodes[i])
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{asks, node, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn emptier_wins_and_preference_counts_more() {
        let mut a = node("a", "2", json!({}));
        a.add(asks("x", "1", json!({})));
        let b = node("b", "2", json!({}));
        let s = Snapshot::default();
        assert_eq!(
            best(&asks("p", "100m", json!({})), &[&a, &b], &s).unwrap().name(),
            "b"
        );
        let p = pod(
            "p",
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]}}]}}}),
        );
        assert_eq!(best(&p, &[&a, &b], &s).unwrap().name(), "a");
    }

    #[test]
    fn equals_go_by_name() {
        let (a, b) = (node("a", "2", json!({})), node("b", "2", json!({})));
        assert_eq!(
            best(&pod("p", json!({})), &[&a, &b], &Snapshot::default())
                .unwrap()
                .name(),
            "a"
        );
    }
}
