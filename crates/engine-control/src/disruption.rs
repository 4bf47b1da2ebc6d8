//! PodDisruptionBudgets: how many of their pods may be evicted now (pkg/controller/disruption).

mod expected;
mod stale;

use std::collections::BTreeMap;
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
        let mut now = Vec::new();
        for budget in context.budgets.in_namespace(pod.ns()) {
            let wanted = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            let matches = |p: &Arc<Pod>| selector::matches_opt(wanted, p.metadata.labels.as_ref());
            if [change.old, change.new].into_iter().flatten().any(matches) {
                q.add(budget.key());
            }
            if matches(pod) {
                now.push(budget);
            }
        }
        if let [first, _, ..] = now.as_slice() {
            let message = format!(
                "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
                pod.ns(),
                pod.name(),
                first.name()
            );
            context
                .events
                .warning(COMPONENT, &**pod, "MultiplePodDisruptionBudgets", message);
        }
    });
    stale::start(context, tasks);
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
    let mut scale = 0;
    if needs_scale(spec) {
        let unmanaged = match expected::scale(&context, &members).await {
            Ok((sum, unmanaged)) => {
                scale = sum;
                unmanaged
            }
            Err(message) => return fail(&context, &budget, message).await,
        };
        if unmanaged {
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
    let (expected, desired) = expectation(spec, count(members.len()), scale);
    let (disrupted, overdue, again) = still_disrupted(&budget, &members, Timestamp::now());
    for pod in overdue {
        // Upstream names the namespace twice, and not the budget.
        let message = format!(
            "Pod was expected by PDB {0}/{0} to be deleted but it wasn't",
            budget.ns()
        );
        context.events.warning(COMPONENT, &*pod, "NotDeleted", message);
    }
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

/// How many pods there should be, and how many of them have to stay healthy, of so many that there are, and that their controllers
/// want.
fn expectation(spec: &PodDisruptionBudgetSpec, members: i32, scale: i32) -> (i32, i32) {
    if let Some(most) = &spec.max_unavailable {
        return (scale, (scale - resolve(Some(most), scale, true)).max(0));
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => (members, *least),
        Some(percent) => (scale, resolve(Some(percent), scale, true)),
        None => (members, members),
    }
}

/// Granted evictions whose pod is still there, those that have been so for too long, and when to look again.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    members: &[Arc<Pod>],
    at: Timestamp,
) -> (BTreeMap<String, Time>, Vec<Arc<Pod>>, Option<Duration>) {
    let mut left = BTreeMap::new();
    let mut overdue = Vec::new();
    let mut again: Option<Duration> = None;
    for (name, since) in budget
        .status
        .iter()
        .flat_map(|s| s.disrupted_pods.iter().flatten())
    {
        let Some(pod) = members.iter().find(|p| p.name() == name && !p.deleting()) else {
            continue;
        };
        let remaining =
            Duration::try_from((since.0 + DISRUPTED_FOR).duration_since(at)).unwrap_or(Duration::ZERO);
        if remaining.is_zero() {
            overdue.push(Arc::clone(pod));
        } else {
            left.insert(name.clone(), since.clone());
            again = Some(again.map_or(remaining, |a| a.min(remaining)));
        }
    }
    (left, overdue, again)
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
        let expected = |value| expectation(&spec(value), 3, 5);
        assert_eq!(expected(json!({"maxUnavailable": 1})), (5, 4));
        assert_eq!(expected(json!({"minAvailable": 2})), (3, 2));
        assert_eq!(expected(json!({"minAvailable": "50%"})), (5, 3));
        assert_eq!(expected(json!({"maxUnavailable": "100%"})), (5, 0));
    }

    #[test]
    fn an_eviction_that_nothing_came_of_is_told() {
        let members: Vec<Arc<Pod>> = ["a", "b"]
            .iter()
            .map(|name| Arc::new(serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()))
            .collect();
        let budget: PodDisruptionBudget = serde_json::from_value(json!({"status": {"disruptedPods": {
            "a": "2026-01-01T00:00:00Z", "b": "2026-01-01T00:01:30Z", "gone": "2026-01-01T00:01:30Z"}}}))
        .unwrap();
        let now = "2026-01-01T00:02:10Z".parse().unwrap();
        let (left, overdue, again) = still_disrupted(&budget, &members, now);
        assert_eq!(left.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(overdue[0].name(), "a");
        assert_eq!(again, Some(Duration::from_secs(80)));
    }
}
