//! PodDisruptionBudgets: how many of their pods may be evicted now (pkg/controller/disruption).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::deployment::resolve;
use crate::meta::{Key, Meta, count, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::selector;

/// Upstream's recorder has this name here.
const COMPONENT: &str = "controllermanager";
/// An eviction that was granted counts against the budget until the pod is seen to go, but not forever.
const DISRUPTED_FOR: SignedDuration = SignedDuration::from_secs(120);

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.budgets.on_change(move |change| {
        if let Some(budget) = change.new {
            q.add(budget.key());
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        let (Some(pod), Some(context)) = (change.any(), weak.upgrade()) else {
            return;
        };
        for budget in context.budgets.in_namespace(pod.ns()) {
            let wanted = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            if [change.old, change.new]
                .into_iter()
                .flatten()
                .any(|p| selector::matches_opt(wanted, p.metadata.labels.as_ref()))
            {
                q.add(budget.key());
            }
        }
    });
    let context = Arc::clone(context);
    run(tasks, "disruption", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(budget) = context.budgets.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = &budget.spec else { return Ok(None) };
    let mut members: Vec<Arc<Pod>> = context
        .pods
        .in_namespace(&key.namespace)
        .into_iter()
        .filter(|p| selector::matches_opt(spec.selector.as_ref(), p.metadata.labels.as_ref()))
        .collect();
    if members.is_empty() {
        context
            .events
            .normal(COMPONENT, &*budget, "NoPods", "No matching pods found");
    }
    members.retain(|p| !pods::is_terminal(p));
    if needs_scale(spec) {
        if let Some(stranger) = members
            .iter()
            .find(|p| p.controller().is_some() && scale(&context, p).is_none())
        {
            let message = format!("found no controllers for pod {:?}", stranger.name());
            return fail(&context, &budget, message).await;
        }
        if members.iter().any(|p| p.controller().is_none()) {
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of \
                 the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please \
                 set \".spec.minAvailable\" field of the PDB to an integer value.",
                selector::in_words(spec.selector.as_ref())
            );
            context
                .events
                .warning(COMPONENT, &*budget, "UnmanagedPods", message);
        }
    }
    let (expected, desired) = expectation(spec, &members, |pod| scale(&context, pod));
    let (disrupted, again) = still_disrupted(&budget, &members, Timestamp::now());
    let healthy = members
        .iter()
        .filter(|p| !p.deleting() && !disrupted.contains_key(p.name()) && pods::is_ready(p))
        .count();
    let healthy = count(healthy);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let mut updated = (*budget).clone();
    updated.status = Some(PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        disrupted_pods: Some(disrupted).filter(|d| !d.is_empty()),
        observed_generation: budget.generation(),
        conditions: Some(vec![condition(&budget, allowed)]),
    });
    context.budgets.update_status(&budget, &updated).await?;
    Ok(again)
}

/// Whether the budget is reckoned from the replicas of its pods' controllers, not from the pods.
fn needs_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// Nothing may go while nobody knows how many there should be (failSafe).
async fn fail(context: &Context, budget: &PodDisruptionBudget, message: String) -> Outcome {
    let told = format!("Failed to calculate the number of expected pods: {message}");
    context
        .events
        .warning(COMPONENT, budget, "CalculateExpectedPodCountFailed", told);
    let mut updated = budget.clone();
    let status = updated.status.get_or_insert_default();
    status.disruptions_allowed = Some(0);
    let mut failed = condition(budget, 0);
    failed.observed_generation = status.observed_generation;
    failed.reason = "SyncFailed".into();
    failed.message = message.clone();
    status.conditions = Some(vec![failed]);
    context.budgets.update_status(budget, &updated).await?;
    Err(Error::Invalid(message))
}

/// How many pods there should be by their controllers' replicas, and how many of them have to stay healthy.
fn expectation(
    spec: &PodDisruptionBudgetSpec,
    members: &[Arc<Pod>],
    scale: impl Fn(&Pod) -> Option<(String, i32)>,
) -> (i32, i32) {
    let by_scale = || {
        members
            .iter()
            .filter_map(|p| scale(p))
            .collect::<HashMap<_, _>>()
            .values()
            .sum::<i32>()
    };
    if let Some(most) = &spec.max_unavailable {
        let expected = by_scale();
        return (expected, (expected - resolve(Some(most), expected, true)).max(0));
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => (count(members.len()), *least),
        Some(percent) => {
            let expected = by_scale();
            (expected, resolve(Some(percent), expected, true))
        }
        None => (count(members.len()), count(members.len())),
    }
}

/// The uid and replicas of what controls the pod in the end.
fn scale(context: &Context, pod: &Pod) -> Option<(String, i32)> {
    let owner = pod.controller()?;
    let key = Key::new(pod.ns(), &owner.name);
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let set = context.replica_sets.get(&key).filter(|s| s.uid() == owner.uid)?;
            if let Some(parent) = set.controller().filter(|o| o.kind == "Deployment")
                && let Some(deployment) = context.deployments.get(&Key::new(pod.ns(), &parent.name))
            {
                return Some((
                    parent.uid.clone(),
                    deployment.spec.as_ref()?.replicas.unwrap_or(1),
                ));
            }
            Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        "ReplicationController" => {
            let all = &context.replication_controllers;
            let controller = all.get(&key).filter(|c| c.uid() == owner.uid)?;
            Some((owner.uid.clone(), controller.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        "StatefulSet" => {
            let set = context.stateful_sets.get(&key).filter(|s| s.uid() == owner.uid)?;
            Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        _ => None,
    }
}

/// Granted evictions whose pod is still there, and when to look at them again.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    members: &[Arc<Pod>],
    at: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let mut left = BTreeMap::new();
    let mut again: Option<Duration> = None;
    for (name, since) in budget
        .status
        .iter()
        .flat_map(|s| s.disrupted_pods.iter().flatten())
    {
        let present = members.iter().any(|p| p.name() == name && !p.deleting());
        let remaining =
            Duration::try_from((since.0 + DISRUPTED_FOR).duration_since(at)).unwrap_or(Duration::ZERO);
        if present && !remaining.is_zero() {
            left.insert(name.clone(), since.clone());
            again = Some(again.map_or(remaining, |a| a.min(remaining)));
        }
    }
    (left, again)
}

fn condition(budget: &PodDisruptionBudget, allowed: i32) -> Condition {
    let (status, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let old = budget
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_ref())
        .and_then(|c| c.iter().find(|c| c.type_ == "DisruptionAllowed"));
    let since = old
        .filter(|o| o.status == status)
        .map(|o| o.last_transition_time.clone());
    Condition {
        type_: "DisruptionAllowed".into(),
        status: status.into(),
        reason: reason.into(),
        message: String::new(),
        observed_generation: budget.generation(),
        last_transition_time: since.unwrap_or_else(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expectations() {
        let spec = |value| -> PodDisruptionBudgetSpec { serde_json::from_value(value).unwrap() };
        let members: Vec<Arc<Pod>> = (0..3).map(|_| Arc::new(Pod::default())).collect();
        let scale = |_: &Pod| Some(("d".to_owned(), 5));
        assert_eq!(
            expectation(&spec(json!({"maxUnavailable": 1})), &members, scale),
            (5, 4)
        );
        assert_eq!(
            expectation(&spec(json!({"minAvailable": 2})), &members, scale),
            (3, 2)
        );
        assert_eq!(
            expectation(&spec(json!({"minAvailable": "50%"})), &members, scale),
            (5, 3)
        );
        assert_eq!(
            expectation(&spec(json!({"maxUnavailable": "100%"})), &members, scale),
            (5, 0)
        );
    }
}
