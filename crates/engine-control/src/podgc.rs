//! Pods that nobody else removes: on nodes that are gone or out of service, marked for deletion before they got a node, and
//! finished ones beyond a number (pkg/controller/podgc).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use kube::api::DeleteParams;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::nodelifecycle::is_ready;
use crate::pods;
use crate::queue::{Outcome, Queue, run};

/// How long a node has to be gone before its pods are (upstream's quarantine).
const QUARANTINE: Duration = Duration::from_secs(40);

/// How often upstream looks for such pods (gcCheckPeriod).
const PERIOD: Duration = Duration::from_secs(20);

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    // By node: its pods are looked at together.
    let queue: Arc<Queue<String>> = Queue::new();
    let q = Arc::clone(&queue);
    context.nodes.on_change(move |change| {
        if let (Some(old), None) = (change.old, change.new) {
            q.add(old.name().to_owned());
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        let (Some(pod), Some(context)) = (change.new, weak.upgrade()) else {
            return;
        };
        if let Some(node) = pods::node_name(pod)
            && context.nodes.get(&Key::new("", node)).is_none()
        {
            q.add(node.to_owned());
        }
    });
    let missing: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let shared = Arc::clone(context);
    run(tasks, "pods of lost nodes", &queue, 1, move |node| {
        orphans(Arc::clone(&shared), Arc::clone(&missing), node)
    });

    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        if let (Some(pod), Some(context)) = (change.new, weak.upgrade()) {
            if is_abandoned(&context, pod) {
                q.add_after(pod.key(), PERIOD);
            }
            if pods::is_terminal(pod) && change.old.is_none_or(|o| !pods::is_terminal(o)) {
                q.add(Key::new("", ""));
            }
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.nodes.on_change(move |change| {
        if let (Some(node), Some(context)) = (change.new, weak.upgrade())
            && is_out_of_service(node)
        {
            let name = node.name();
            for pod in context
                .pods
                .filter(|p| p.deleting() && pods::node_name(p) == Some(name))
            {
                q.add_after(pod.key(), PERIOD);
            }
        }
    });
    let shared = Arc::clone(context);
    run(tasks, "finished pods", &queue, 1, move |key| {
        finished(Arc::clone(&shared), key)
    });
}

async fn orphans(
    context: Arc<Context>,
    missing: Arc<Mutex<HashMap<String, Instant>>>,
    name: String,
) -> Outcome {
    let key = Key::new("", &name);
    let lock = || missing.lock().unwrap_or_else(PoisonError::into_inner);
    if context.nodes.get(&key).is_some() {
        lock().remove(&name);
        return Ok(None);
    }
    let pods = context.pods.filter(|p| pods::node_name(p) == Some(&name));
    if pods.is_empty() {
        lock().remove(&name);
        return Ok(None);
    }
    let since = *lock().entry(name.clone()).or_insert_with(Instant::now);
    if since.elapsed() < QUARANTINE {
        return Ok(Some(
            QUARANTINE.saturating_sub(since.elapsed()) + Duration::from_millis(10),
        ));
    }
    if context.nodes.fetch(&key).await?.is_some() {
        return Ok(None);
    }
    for pod in pods {
        remove(&context, &pod, Some("PodGC: node no longer exists")).await?;
    }
    lock().remove(&name);
    Ok(None)
}

/// The empty key stands for "count the finished ones".
async fn finished(context: Arc<Context>, key: Key) -> Outcome {
    if !key.name.is_empty() {
        if let Some(pod) = context.pods.get(&key).filter(|p| is_abandoned(&context, p)) {
            remove(&context, &pod, None).await?;
        }
        return Ok(None);
    }
    let limit = context.config.terminated_pods_kept;
    let mut done = context.pods.filter(|p| pods::is_terminal(p) && !p.deleting());
    let surplus = done.len().saturating_sub(limit);
    if limit > 0 && surplus > 0 {
        // Those that were evicted go first (byEvictionAndCreationTimestamp).
        let evicted = |p: &Pod| p.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("Evicted");
        done.sort_by(|a, b| {
            let age = a.created().cmp(&b.created());
            evicted(b)
                .cmp(&evicted(a))
                .then(age)
                .then_with(|| a.key().cmp(&b.key()))
        });
        for pod in &done[..surplus] {
            remove(&context, pod, None).await?;
        }
    }
    Ok(None)
}

/// Whether a node is down for good, as somebody has said.
fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let mut taints = taints.map(|t| t.key.as_str());
    taints.any(|key| key == "node.kubernetes.io/out-of-service") && !is_ready(node)
}

/// Whether a pod that is to go has nobody who would end it: it has no node, or that is out of service.
fn is_abandoned(context: &Context, pod: &Pod) -> bool {
    pod.deleting()
        && pods::node_name(pod).is_none_or(|node| {
            let node = context.nodes.get(&Key::new("", node));
            node.is_some_and(|node| is_out_of_service(&node))
        })
}

/// Force, since there is nobody to do it gracefully. A pod that had not finished is failed first, so that its owner knows
/// (markFailedAndDeletePodWithCondition).
async fn remove(context: &Context, pod: &Pod, why: Option<&str>) -> Result<(), Error> {
    if !pods::is_terminal(pod) {
        let mut failed = pod.clone();
        let status = failed.status.get_or_insert_default();
        status.phase = Some("Failed".into());
        status.observed_generation = pod.generation();
        if let Some(why) = why {
            pods::set_condition(
                status.conditions.get_or_insert_default(),
                PodCondition {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                    reason: Some("DeletionByPodGC".into()),
                    message: Some(why.to_owned()),
                    observed_generation: pod.generation(),
                    last_transition_time: Some(now()),
                    last_probe_time: None,
                },
            );
        }
        match context.pods.update_status(pod, &failed).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    let dp = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    context.pods.delete_with(&pod.key(), pod.uid(), &dp).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn out_of_service_is_what_is_said_to_be_and_is_not_ready() {
        let node = |key: &str, ready: &str| -> Node {
            let taints = json!([{"key": key, "effect": "NoExecute"}]);
            let conditions = json!([{"type": "Ready", "status": ready}]);
            serde_json::from_value(json!({"spec": {"taints": taints}, "status": {"conditions": conditions}}))
                .unwrap()
        };
        let key = "node.kubernetes.io/out-of-service";
        assert!(is_out_of_service(&node(key, "Unknown")));
        assert!(!is_out_of_service(&node(key, "True")));
        assert!(!is_out_of_service(&node(
            "node.kubernetes.io/unreachable",
            "Unknown"
        )));
    }
}
