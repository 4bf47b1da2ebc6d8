//! Pods leave nodes with NoExecute taints, at once or after as long as they tolerate it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodCondition, Taint};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::events::Level;
use crate::meta::{Key, Meta, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::scheduler::filter::tolerates;

const COMPONENT: &str = "taint-eviction-controller";

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.nodes.on_change(move |change| {
        let taints = |n: &Arc<_>| no_execute(n);
        if change.old.map(taints).unwrap_or_default() == change.new.map(taints).unwrap_or_default() {
            return;
        }
        let (Some(node), Some(context)) = (change.new, weak.upgrade()) else {
            return;
        };
        for pod in context.pods.filter(|p| pods::node_name(p) == Some(node.name())) {
            q.add(pod.key());
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        if let (Some(gone), None) = (change.old, change.new) {
            q.add(gone.key());
        }
        let Some(pod) = change.new.filter(|p| pods::node_name(p).is_some()) else {
            return;
        };
        let news = change.old.is_none_or(|o| o.spec != pod.spec);
        if let (true, Some(context)) = (news, weak.upgrade())
            && let Some(node) = pods::node_name(pod).and_then(|n| context.nodes.get(&Key::new("", n)))
            && !no_execute(&node).is_empty()
        {
            q.add(pod.key());
        }
    });
    let context = Arc::clone(context);
    let waiting = Waiting::default();
    run(tasks, "taint eviction", &queue, 4, move |key| {
        sync(Arc::clone(&context), Arc::clone(&waiting), key)
    });
}

/// Pods that are to go when they have tolerated a taint for long enough.
type Waiting = Arc<Mutex<HashSet<Key>>>;

fn no_execute(node: &k8s_openapi::api::core::v1::Node) -> Vec<Taint> {
    let taints = node
        .spec
        .as_ref()
        .and_then(|s| s.taints.as_deref())
        .unwrap_or_default();
    taints
        .iter()
        .filter(|t| t.effect == "NoExecute")
        .cloned()
        .collect()
}

/// When the pod has to go: never, or at a time. Taints without a time count from `now`.
fn due(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|s| s.tolerations.as_deref())
        .unwrap_or_default();
    let mut earliest = None;
    for taint in taints {
        let since = taint.time_added.as_ref().map_or(now, |t| t.0);
        let matching: Vec<_> = tolerations.iter().filter(|t| tolerates(t, taint)).collect();
        if matching.is_empty() {
            return Some(now);
        }
        // The shortest of the tolerations that have a limit.
        let limit = matching.iter().filter_map(|t| t.toleration_seconds).min();
        if let Some(seconds) = limit {
            let at = since + SignedDuration::from_secs(seconds.max(0));
            earliest = Some(earliest.map_or(at, |e: Timestamp| e.min(at)));
        }
    }
    earliest
}

async fn sync(context: Arc<Context>, waiting: Waiting, key: Key) -> Outcome {
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let pod = context.pods.get(&key);
    if pod.as_ref().is_some_and(|p| p.deleting()) {
        return Ok(None);
    }
    let at = Timestamp::now();
    let going = pod.and_then(|pod| {
        let node = context.nodes.get(&Key::new("", pods::node_name(&pod)?))?;
        let due = due(&pod, &no_execute(&node), at)?;
        Some((pod, due))
    });
    let Some((pod, due)) = going else {
        if lock().remove(&key) {
            cancelled(&context, &key);
        }
        return Ok(None);
    };
    let left = Duration::try_from(due.duration_since(at)).unwrap_or(Duration::ZERO);
    if !left.is_zero() {
        lock().insert(key);
        return Ok(Some(left));
    }
    lock().remove(&key);
    context.events.normal(
        COMPONENT,
        &*pod,
        "TaintManagerEviction",
        format!("Marking for deletion Pod {key}"),
    );
    let mut marked = (*pod).clone();
    pods::set_condition(
        marked
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default(),
        PodCondition {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
            reason: Some("DeletionByTaintManager".into()),
            message: Some("Taint manager: deleting due to NoExecute taint".into()),
            observed_generation: pod.generation(),
            last_transition_time: Some(now()),
            last_probe_time: None,
        },
    );
    match context.pods.update_status(&pod, &marked).await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    context.pods.delete(&*pod).await?;
    Ok(None)
}

/// The taint is gone, or the pod is, before its time was up.
fn cancelled(context: &Context, key: &Key) {
    let about = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        ..ObjectReference::default()
    };
    let message = format!("Cancelling deletion of Pod {key}");
    context
        .events
        .about(COMPONENT, about, Level::Normal, "TaintManagerEviction", message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerated_for_a_while() {
        let at = |s: &str| -> Timestamp { s.parse().unwrap() };
        let now = at("2026-01-01T00:01:00Z");
        let taint: Taint = serde_json::from_value(
            json!({"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}),
        )
        .unwrap();
        let pod = |tolerations: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}})).unwrap()
        };
        let taints = [taint];
        assert_eq!(due(&pod(json!([])), &taints, now), Some(now));
        assert_eq!(due(&pod(json!([{"operator": "Exists"}])), &taints, now), None);
        let limited = pod(
            json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}, {"operator": "Exists"}]),
        );
        assert_eq!(due(&limited, &taints, now), Some(at("2026-01-01T00:05:00Z")));
        assert_eq!(due(&pod(json!([])), &[], now), None);
    }
}
