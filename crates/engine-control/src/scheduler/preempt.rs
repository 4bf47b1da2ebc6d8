//! Making room: which pods of lower priority have to leave which node (framework/preemption, plugins/defaultpreemption).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::filter::Reason;
use super::node::{NodeInfo, PodInfo};
use super::volumes::Need;
use super::{Snapshot, check_with_nominated, explain};
use crate::meta::Meta;
use crate::selector;

/// The node to free, and who leaves.
pub(crate) struct Plan {
    pub node: String,
    pub victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

/// Why nobody is asked to leave.
#[derive(Debug)]
pub(crate) struct NoPlan {
    /// In upstream's words.
    pub words: String,
    /// A node that has been asked for before stays asked for: the pod was not even looked at.
    pub keeps_nomination: bool,
}

impl NoPlan {
    fn not_eligible(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            keeps_nomination: true,
        }
    }
}

/// A plan, or the words for why there is none.
pub(crate) fn plan(
    pod: &PodInfo,
    needs: &[Need],
    failures: &BTreeMap<String, Reason>,
    snapshot: &Snapshot,
    budgets: &[Arc<PodDisruptionBudget>],
) -> Result<Plan, NoPlan> {
    let spec = pod.pod.spec.as_ref();
    if spec.and_then(|s| s.preemption_policy.as_deref()) == Some("Never") {
        return Err(NoPlan::not_eligible(
            "not eligible due to preemptionPolicy=Never.",
        ));
    }
    if let Some(nominated) = pod
        .pod
        .status
        .as_ref()
        .and_then(|s| s.nominated_node_name.as_deref())
        && let Some(node) = snapshot.nodes.get(nominated)
        && failures.get(nominated).is_none_or(|f| f.resolvable)
        && node
            .pods
            .values()
            .any(|p| p.pod.deleting() && p.priority() < pod.priority())
    {
        return Err(NoPlan::not_eligible(
            "not eligible due to a terminating pod on the nominated node.",
        ));
    }
    let mut texts = BTreeMap::new();
    let mut plans = Vec::new();
    for node in snapshot.nodes.values() {
        let reason = if failures.get(node.name()).is_some_and(|f| f.resolvable) {
            match victims(pod, needs, node, snapshot, budgets) {
                Ok(plan) => {
                    plans.push(plan);
                    continue;
                }
                Err(reason) => reason,
            }
        } else {
            Reason::final_("Preemption is not helpful for scheduling")
        };
        texts.insert(node.name().to_owned(), reason);
    }
    plans.into_iter().min_by_key(cost).ok_or_else(|| NoPlan {
        words: explain(snapshot.nodes.len(), &texts),
        keeps_nomination: false,
    })
}

/// Fewest broken budgets, lowest highest priority, smallest sum of priorities, fewest victims, youngest victims.
fn cost(plan: &Plan) -> (usize, i32, i64, usize, Reverse<Option<Timestamp>>) {
    let highest = plan
        .victims
        .iter()
        .map(|v| v.priority())
        .max()
        .unwrap_or(i32::MIN);
    // Shifted so that every victim counts, also one with a negative priority.
    let sum = plan
        .victims
        .iter()
        .map(|v| i64::from(v.priority()) + i64::from(i32::MAX) + 1)
        .sum();
    let earliest = plan
        .victims
        .iter()
        .filter(|v| v.priority() == highest)
        .map(|v| started(v))
        .min();
    (
        plan.violations,
        highest,
        sum,
        plan.victims.len(),
        Reverse(earliest),
    )
}

fn started(pod: &PodInfo) -> Timestamp {
    pod.pod
        .status
        .as_ref()
        .and_then(|s| s.start_time.as_ref())
        .map_or_else(Timestamp::now, |t| t.0)
}

/// All of lower priority leave in thought; then as many as possible may stay, the most important first.
fn victims(
    pod: &PodInfo,
    needs: &[Need],
    node: &NodeInfo,
    snapshot: &Snapshot,
    budgets: &[Arc<PodDisruptionBudget>],
) -> Result<Plan, Reason> {
    let mut trial = node.clone();
    let mut lower: Vec<Arc<PodInfo>> = node
        .pods
        .values()
        .filter(|p| p.priority() < pod.priority())
        .cloned()
        .collect();
    if lower.is_empty() {
        return Err(Reason::final_("No preemption victims found for incoming pod"));
    }
    for victim in &lower {
        trial.remove(victim.pod.uid());
    }
    check_with_nominated(pod, needs, &trial, snapshot)?;
    lower.sort_by_key(|p| (Reverse(p.priority()), started(p)));
    let violating = violators(&lower, budgets);
    let (first, second): (Vec<_>, Vec<_>) = lower
        .into_iter()
        .partition(|p| violating.iter().any(|v| v == p.pod.uid()));
    let mut plan = Plan {
        node: node.name().to_owned(),
        victims: Vec::new(),
        violations: 0,
    };
    for (group, violates) in [(first, 1), (second, 0)] {
        for candidate in group {
            trial.add(Arc::clone(&candidate));
            if check_with_nominated(pod, needs, &trial, snapshot).is_err() {
                trial.remove(candidate.pod.uid());
                plan.violations += violates;
                plan.victims.push(candidate);
            }
        }
    }
    plan.victims.sort_by_key(|p| (Reverse(p.priority()), started(p)));
    Ok(plan)
}

/// Those whose leaving would exceed a disruption budget.
fn violators(pods: &[Arc<PodInfo>], budgets: &[Arc<PodDisruptionBudget>]) -> Vec<String> {
    let mut left: Vec<i32> = budgets
        .iter()
        .map(|b| b.status.as_ref().and_then(|s| s.disruptions_allowed).unwrap_or(0))
        .collect();
    let mut violating = Vec::new();
    for pod in pods {
        let mut breaks = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            let disrupted = budget.status.as_ref().and_then(|s| s.disrupted_pods.as_ref());
            if budget.ns() != pod.pod.ns()
                || !selector::matches_opt(selector, pod.pod.m().labels.as_ref())
                || disrupted.is_some_and(|d| d.contains_key(pod.pod.name()))
            {
                continue;
            }
            *left -= 1;
            breaks |= *left < 0;
        }
        if breaks {
            violating.push(pod.pod.uid().to_owned());
        }
    }
    violating
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{asks, node};
    use super::*;
    use serde_json::json;

    fn world(pods: &[(&str, &str, i32)]) -> (Snapshot, BTreeMap<String, Reason>) {
        let mut a = node("a", "1", json!({}));
        for (name, cpu, priority) in pods {
            a.add(asks(
                name,
                cpu,
                json!({"priority": priority, "labels": {"n": name}}),
            ));
        }
        let failures = [("a".to_owned(), Reason::resolvable("Insufficient cpu"))].into();
        (
            Snapshot {
                nodes: [("a".to_owned(), a)].into(),
                ..Snapshot::default()
            },
            failures,
        )
    }

    #[test]
    fn only_as_many_as_needed_and_the_least_important() {
        let (s, f) = world(&[("low", "500m", 1), ("mid", "500m", 5)]);
        let plan = plan(&asks("p", "500m", json!({"priority": 10})), &[], &f, &s, &[])
            .ok()
            .unwrap();
        assert_eq!(
            plan.victims.iter().map(|v| v.pod.name()).collect::<Vec<_>>(),
            ["low"]
        );
    }

    #[test]
    fn equals_are_left_alone() {
        let (s, f) = world(&[("same", "1", 10)]);
        let words = plan(&asks("p", "500m", json!({"priority": 10})), &[], &f, &s, &[])
            .err()
            .unwrap()
            .words;
        assert_eq!(
            words,
            "0/1 nodes are available: 1 No preemption victims found for incoming pod."
        );
        let words = plan(
            &asks("p", "500m", json!({"priority": 10})),
            &[],
            &BTreeMap::new(),
            &s,
            &[],
        )
        .err()
        .unwrap()
        .words;
        assert_eq!(
            words,
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        );
        assert!(
            plan(
                &asks("p", "1", json!({"priority": 11, "preemptionPolicy": "Never"})),
                &[],
                &f,
                &s,
                &[]
            )
            .is_err()
        );
    }

    #[test]
    fn room_made_for_another_is_not_made_again() {
        let (mut s, f) = world(&[("low", "800m", 1)]);
        let first = asks("first", "800m", json!({"priority": 10}));
        s.nominated
            .insert(first.pod.uid().to_owned(), ("a".into(), Arc::clone(&first)));
        let second = asks("second", "800m", json!({"priority": 10}));
        let words = plan(&second, &[], &f, &s, &[]).err().unwrap().words;
        assert_eq!(words, "0/1 nodes are available: 1 Insufficient cpu.");
        assert!(plan(&first, &[], &f, &s, &[]).is_ok());
        assert!(plan(&asks("more", "800m", json!({"priority": 11})), &[], &f, &s, &[]).is_ok());
    }

    #[test]
    fn budgets_are_spared() {
        let (s, f) = world(&[("guarded", "500m", 1), ("free", "500m", 5)]);
        let budget: PodDisruptionBudget = serde_json::from_value(json!({"metadata": {"namespace": "d"},
            "spec": {"selector": {"matchLabels": {"n": "guarded"}}}, "status": {"disruptionsAllowed": 0}}))
        .unwrap();
        let plan = plan(
            &asks("p", "500m", json!({"priority": 10})),
            &[],
            &f,
            &s,
            &[Arc::new(budget)],
        )
        .ok()
        .unwrap();
        assert_eq!(
            plan.victims.iter().map(|v| v.pod.name()).collect::<Vec<_>>(),
            ["free"]
        );
    }

    #[test]
    fn who_waits_for_a_victim_keeps_its_node() {
        let (mut s, f) = world(&[]);
        let going = asks("low", "1", json!({"priority": 1}));
        let mut victim = (*going.pod).clone();
        victim.metadata.deletion_timestamp = Some(crate::meta::now());
        s.nodes
            .get_mut("a")
            .unwrap()
            .add(Arc::new(PodInfo::new(Arc::new(victim))));
        let mut waiting = (*asks("p", "500m", json!({"priority": 10})).pod).clone();
        waiting.status.get_or_insert_default().nominated_node_name = Some("a".into());
        let waiting = PodInfo::new(Arc::new(waiting));
        let none = plan(&waiting, &[], &f, &s, &[]).err().unwrap();
        assert_eq!(
            (none.words.as_str(), none.keeps_nomination),
            (
                "not eligible due to a terminating pod on the nominated node.",
                true
            )
        );
        let none = plan(&asks("q", "500m", json!({"priority": 1})), &[], &f, &s, &[])
            .err()
            .unwrap();
        assert!(!none.keeps_nomination);
    }
}
