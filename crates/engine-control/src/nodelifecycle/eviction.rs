//! Pods leave nodes with NoExecute taints, at once or after as long as they tolerate it.

use std::collections::HashMap;
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

/// Pods that are to go when they have tolerated a taint for long enough: their uid, and when. Time counts from when the taint was seen on
/// their node, whatever it says of itself, and what is set stays as it is until a taint goes (processPodOnNode of
/// pkg/controller/tainteviction/taint_eviction.go).
type Waiting = Arc<Mutex<HashMap<Key, (String, Timestamp)>>>;

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

/// How long a pod stays on a node.
#[derive(Debug, PartialEq, Eq)]
enum Stay {
    Ends,
    For(SignedDuration),
    Lasts,
}

/// As long as the shortest of those tolerations says that come first for a taint each (GetMatchingTolerations of
/// pkg/apis/core/v1/helper/helpers.go).
fn stay(pod: &Pod, taints: &[Taint]) -> Stay {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref());
    let tolerations = tolerations.unwrap_or_default();
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|t| tolerates(t, taint)) else {
            return Stay::Ends;
        };
        if let Some(seconds) = toleration.toleration_seconds {
            shortest = Some(shortest.map_or(seconds, |s| s.min(seconds)));
        }
    }
    shortest.map_or(Stay::Lasts, |s| Stay::For(SignedDuration::from_secs(s.max(0))))
}

async fn sync(context: Arc<Context>, waiting: Waiting, key: Key) -> Outcome {
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let pod = context.pods.get(&key);
    if pod.as_ref().is_some_and(|p| p.deleting()) {
        return Ok(None);
    }
    let at = Timestamp::now();
    let found = pod.and_then(|pod| {
        let node = context.nodes.get(&Key::new("", pods::node_name(&pod)?))?;
        match stay(&pod, &no_execute(&node)) {
            Stay::Lasts => None,
            Stay::Ends => Some((pod, None)),
            Stay::For(time) => Some((pod, Some(time))),
        }
    });
    let Some((pod, Some(time))) = found else {
        if lock().remove(&key).is_some() {
            cancelled(&context, &key);
        }
        let Some((pod, None)) = found else {
            return Ok(None);
        };
        return leave(&context, &pod).await;
    };
    let due = {
        let mut waiting = lock();
        let fresh = (pod.uid().to_owned(), at + time);
        let (uid, due) = waiting.entry(key.clone()).or_insert_with(|| fresh.clone());
        if uid != pod.uid() {
            (*uid, *due) = fresh;
        }
        *due
    };
    let left = Duration::try_from(due.duration_since(at)).unwrap_or(Duration::ZERO);
    if !left.is_zero() {
        return Ok(Some(left));
    }
    lock().remove(&key);
    leave(&context, &pod).await
}

async fn leave(context: &Context, pod: &Pod) -> Outcome {
    context.events.normal(
        COMPONENT,
        pod,
        "TaintManagerEviction",
        format!("Marking for deletion Pod {}", pod.key()),
    );
    let mut marked = pod.clone();
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
    match context.pods.update_status(pod, &marked).await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    context.pods.delete(pod).await?;
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
        let taints = |keys: &[&str]| -> Vec<Taint> {
            let taint = |key: &&str| json!({"key": key, "effect": "NoExecute", "value": "v"});
            let all: Vec<_> = keys.iter().map(taint).collect();
            serde_json::from_value(json!(all)).unwrap()
        };
        let pod = |tolerations: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}})).unwrap()
        };
        let seconds = |s| Stay::For(SignedDuration::from_secs(s));
        let k = taints(&["k"]);
        assert_eq!(stay(&pod(json!([])), &k), Stay::Ends);
        assert_eq!(stay(&pod(json!([{"operator": "Exists"}])), &k), Stay::Lasts);
        assert_eq!(stay(&pod(json!([])), &[]), Stay::Lasts);
        // The first that tolerates counts, not the shortest.
        let two = pod(json!([
            {"key": "k", "operator": "Exists", "tolerationSeconds": 300},
            {"key": "k", "operator": "Equal", "value": "v", "tolerationSeconds": 3},
            {"key": "l", "operator": "Exists", "tolerationSeconds": -7}
        ]));
        assert_eq!(stay(&two, &k), seconds(300));
        assert_eq!(stay(&two, &taints(&["k", "l"])), seconds(0));
        assert_eq!(stay(&two, &taints(&["k", "m"])), Stay::Ends);
    }
}
