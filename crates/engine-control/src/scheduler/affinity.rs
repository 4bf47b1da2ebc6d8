//! Pod affinity and anti-affinity between the pods of a topology domain (plugins/interpodaffinity).

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};

use super::Snapshot;
use super::filter::Reason;
use super::node::{NodeInfo, PodInfo};
use crate::meta::Meta;
use crate::selector;

fn required_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod
        .spec
        .as_ref()
        .and_then(|s| s.affinity.as_ref())
        .and_then(|a| a.pod_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

fn required_anti_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod
        .spec
        .as_ref()
        .and_then(|s| s.affinity.as_ref())
        .and_then(|a| a.pod_anti_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

/// Whether `candidate` is one that `owner`'s term speaks of.
fn selects(term: &PodAffinityTerm, owner: &Pod, candidate: &Pod, snapshot: &Snapshot) -> bool {
    let listed = term.namespaces.iter().flatten().any(|n| n == candidate.ns());
    let by_selector = term.namespace_selector.as_ref().is_some_and(|s| {
        selector::is_empty(s) || selector::matches(s, snapshot.namespaces.get(candidate.ns()))
    });
    let own = term.namespaces.as_ref().is_none_or(Vec::is_empty)
        && term.namespace_selector.is_none()
        && owner.ns() == candidate.ns();
    // matchLabelKeys need no look here: the API server folds them into the selector.
    (listed || by_selector || own)
        && selector::matches_opt(term.label_selector.as_ref(), candidate.m().labels.as_ref())
}

/// The pods of the nodes that share this node's value of a label.
fn domain<'a>(snapshot: &'a Snapshot, node: &'a NodeInfo, key: &'a str) -> impl Iterator<Item = &'a PodInfo> {
    let value = node.label(key);
    snapshot
        .nodes
        .values()
        .map(move |n| if n.name() == node.name() { node } else { n })
        .filter(move |n| value.is_some() && n.label(key) == value)
        .flat_map(|n| n.pods.values().map(|p| &**p))
}

/// `node` may differ from the snapshot's (pods removed in a preemption trial) and then counts instead of it.
pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Result<(), Reason> {
    let me = &*pod.pod;
    let terms = required_affinity(me);
    let satisfied = terms.iter().all(|term| {
        node.label(&term.topology_key).is_some()
            && domain(snapshot, node, &term.topology_key)
                .any(|p| terms.iter().all(|t| selects(t, me, &p.pod, snapshot)))
    });
    if !terms.is_empty() && !satisfied {
        // The first of a group that wants to be together has nobody to join yet.
        let nobody = !snapshot
            .nodes
            .values()
            .flat_map(|n| n.pods.values())
            .any(|p| terms.iter().all(|t| selects(t, me, &p.pod, snapshot)));
        let first = nobody
            && terms
                .iter()
                .all(|t| selects(t, me, me, snapshot) && node.label(&t.topology_key).is_some());
        if !first {
            return Err(Reason::final_("node(s) didn't match pod affinity rules"));
        }
    }
    for term in required_anti_affinity(me) {
        if domain(snapshot, node, &term.topology_key).any(|p| selects(term, me, &p.pod, snapshot)) {
            return Err(Reason::resolvable("node(s) didn't match pod anti-affinity rules"));
        }
    }
    for other in snapshot.nodes.values() {
        let other = if other.name() == node.name() { node } else { other };
        for existing in other.pods.values() {
            for term in required_anti_affinity(&existing.pod) {
                let same = other.label(&term.topology_key).is_some()
                    && other.label(&term.topology_key) == node.label(&term.topology_key);
                if same && selects(term, &existing.pod, me, snapshot) {
                    return Err(Reason::resolvable(
                        "node(s) didn't satisfy existing pods anti-affinity rules",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Sum of the weights of preferred terms that the node satisfies.
pub(crate) fn score(pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> i64 {
    let me = &*pod.pod;
    let Some(affinity) = me.spec.as_ref().and_then(|s| s.affinity.as_ref()) else {
        return 0;
    };
    let mut score = 0;
    let towards = affinity
        .pod_affinity
        .as_ref()
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let away = affinity
        .pod_anti_affinity
        .as_ref()
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    for (terms, sign) in [(towards, 1), (away, -1)] {
        for weighted in terms.into_iter().flatten() {
            let term = &weighted.pod_affinity_term;
            let hits = domain(snapshot, node, &term.topology_key)
                .filter(|p| selects(term, me, &p.pod, snapshot))
                .count();
            score += sign * i64::from(weighted.weight) * i64::try_from(hits).unwrap_or(0);
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{node, pod};
    use super::*;
    use serde_json::{Value, json};

    fn wants(kind: &str, labels: Value) -> std::sync::Arc<PodInfo> {
        pod(
            "p",
            json!({"labels": labels, "affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}}}),
        )
    }

    fn snapshot() -> Snapshot {
        let mut with = node("a", "1", json!({}));
        with.add(pod("x", json!({"labels": {"app": "x"}})));
        Snapshot {
            nodes: [
                ("a".to_owned(), with),
                ("b".to_owned(), node("b", "1", json!({}))),
            ]
            .into(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn together_and_apart() {
        let s = snapshot();
        let near = wants("podAffinity", json!({}));
        assert!(filter(&near, &s.nodes["a"], &s).is_ok());
        assert!(!filter(&near, &s.nodes["b"], &s).unwrap_err().resolvable);
        let far = wants("podAntiAffinity", json!({}));
        assert!(filter(&far, &s.nodes["b"], &s).is_ok());
        assert_eq!(
            filter(&far, &s.nodes["a"], &s).unwrap_err().texts,
            ["node(s) didn't match pod anti-affinity rules"]
        );
    }

    #[test]
    fn the_first_of_a_group_may_start() {
        let mut s = snapshot();
        s.nodes.get_mut("a").unwrap().remove("x");
        assert!(filter(&wants("podAffinity", json!({"app": "x"})), &s.nodes["a"], &s).is_ok());
        assert!(filter(&wants("podAffinity", json!({})), &s.nodes["a"], &s).is_err());
    }

    #[test]
    fn existing_pods_may_refuse_company() {
        let mut s = snapshot();
        let mut loner = (*wants("podAntiAffinity", json!({})).pod).clone();
        loner.metadata.uid = Some("l".into());
        s.nodes
            .get_mut("b")
            .unwrap()
            .add(std::sync::Arc::new(PodInfo::new(loner.into())));
        let newcomer = pod("q", json!({"labels": {"app": "x"}}));
        assert_eq!(
            filter(&newcomer, &s.nodes["b"], &s).unwrap_err().texts,
            ["node(s) didn't satisfy existing pods anti-affinity rules"]
        );
        assert!(filter(&newcomer, &s.nodes["a"], &s).is_ok());
    }
}
