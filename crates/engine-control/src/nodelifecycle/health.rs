//! A node lives as long as it renews its lease, or reports its status; after that its condition is unknown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{COMPONENT, condition, is_ready, taints};
use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};

/// When we last heard from each node, by our own clock: the nodes' clocks may differ.
type Heard = Arc<Mutex<HashMap<String, Instant>>>;

/// What a kubelet posts, and so is unknown when it is silent.
const POSTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<String>> = Queue::new();
    let heard = Heard::default();
    let (q, h) = (Arc::clone(&queue), Arc::clone(&heard));
    let events = context.events.clone();
    context.nodes.on_change(move |change| {
        let mut heard = h.lock().unwrap_or_else(PoisonError::into_inner);
        match (change.old, change.new) {
            (Some(old), None) => {
                heard.remove(old.name());
                events.normal(
                    COMPONENT,
                    &**old,
                    "RemovingNode",
                    format!("Node {0} event: Removing Node {0} from Controller", old.name()),
                );
            }
            (old, Some(new)) => {
                let beat = |n: &Node| condition(n, "Ready").and_then(|c| c.last_heartbeat_time.clone());
                // What the kubelet said of itself counts; what we wrote in its stead does not.
                let by_kubelet =
                    condition(new, "Ready").is_none_or(|c| c.reason.as_deref() != Some("NodeStatusUnknown"));
                if old.is_none() {
                    events.normal(
                        COMPONENT,
                        &**new,
                        "RegisteredNode",
                        format!("Node {0} event: Registered Node {0} in Controller", new.name()),
                    );
                }
                if old.is_none_or(|o| beat(o) != beat(new) && by_kubelet) {
                    heard.insert(new.name().to_owned(), Instant::now());
                }
                q.add(new.name().to_owned());
            }
            (None, None) => {}
        }
    });
    let h = Arc::clone(&heard);
    let q = Arc::clone(&queue);
    context.leases.on_change(move |change| {
        if let Some(lease) = change.new {
            let before = h
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(lease.name().to_owned(), Instant::now());
            if before.is_none() {
                q.add(lease.name().to_owned());
            }
        }
    });
    let context = Arc::clone(context);
    run(tasks, "node lifecycle", &queue, 2, move |name| {
        sync(Arc::clone(&context), Arc::clone(&heard), name)
    });
}

async fn sync(context: Arc<Context>, heard: Heard, name: String) -> Outcome {
    let Some(mut node) = context.nodes.get(&Key::new("", &name)) else {
        return Ok(None);
    };
    let grace = Duration::from_secs(u64::from(context.config.node_monitor_grace_seconds));
    let last = *heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name.clone())
        .or_insert_with(Instant::now);
    let silent = last.elapsed() >= grace;
    if silent && let Some(lost) = unknown(&node) {
        tracing::warn!(node = name, "node stopped reporting");
        let was_ready = is_ready(&node);
        if let Some(written) = context.nodes.update_status(&node, &lost).await? {
            node = written;
        }
        if was_ready {
            let message = format!("Node {name} status is now: NodeNotReady");
            context.events.normal(COMPONENT, &*node, "NodeNotReady", message);
        }
    }
    if let Some(wanted) = taints::settle(&node) {
        let mut tainted = (*node).clone();
        tainted.spec.get_or_insert_default().taints = Some(wanted).filter(|t| !t.is_empty());
        context.nodes.update(&node, &tainted).await?;
    }
    let reported = condition(&node, "Ready").is_some();
    if reported && !is_ready(&node) {
        for pod in context
            .pods
            .filter(|p| pods::node_name(p) == Some(&name) && pods::is_ready(p))
        {
            mark_not_ready(&context, &pod).await?;
        }
    }
    Ok((!silent).then(|| grace.saturating_sub(last.elapsed()) + Duration::from_millis(10)))
}

/// The node with everything it no longer posts made unknown, unless it is so already.
fn unknown(node: &Node) -> Option<Node> {
    let mut lost = node.clone();
    let conditions = lost
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    let mut changed = false;
    for kind in POSTED {
        let never = !conditions.iter().any(|c| c.type_ == kind);
        if never {
            conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(now()),
            });
            changed = true;
        } else if let Some(condition) = conditions
            .iter_mut()
            .find(|c| c.type_ == kind && c.status != "Unknown")
        {
            condition.status = "Unknown".into();
            condition.reason = Some("NodeStatusUnknown".into());
            condition.message = Some("Kubelet stopped posting node status.".into());
            condition.last_transition_time = Some(now());
            changed = true;
        }
    }
    changed.then_some(lost)
}

/// Endpoints must not send anybody to a pod that cannot be reached.
async fn mark_not_ready(context: &Context, pod: &Pod) -> Result<(), Error> {
    let mut marked = pod.clone();
    let conditions = marked
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    let old = conditions
        .iter()
        .find(|c| c.type_ == "Ready")
        .cloned()
        .unwrap_or_default();
    pods::set_condition(
        conditions,
        PodCondition {
            type_: "Ready".into(),
            status: "False".into(),
            last_transition_time: Some(now()),
            ..old
        },
    );
    match context.pods.update_status(pod, &marked).await {
        Ok(_) => {
            context
                .events
                .warning(COMPONENT, pod, "NodeNotReady", "Node is not ready");
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn silence_makes_unknown_once() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})).unwrap();
        let lost = unknown(&node).unwrap();
        assert_eq!(
            condition(&lost, "Ready").unwrap().reason.as_deref(),
            Some("NodeStatusUnknown")
        );
        assert_eq!(
            condition(&lost, "DiskPressure").unwrap().reason.as_deref(),
            Some("NodeStatusNeverUpdated")
        );
        assert!(unknown(&lost).is_none());
    }
}
