//! Pods that were to be disrupted and were not: after a while they no longer say so (`syncStalePodDisruption`).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta as _, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};

const KIND: &str = "DisruptionTarget";
/// How long the announcement holds (stalePodDisruptionTimeout).
const HOLDS: SignedDuration = SignedDuration::from_mins(2);

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.pods.on_change(move |change| {
        if let Some(pod) = change.new
            && let Some(left) = left(pod, Timestamp::now())
        {
            q.add_after(pod.key(), left);
        }
    });
    let context = Arc::clone(context);
    run(tasks, "stale disruptions", &queue, 1, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// How long the pod's announcement still holds, if there is one and nothing has come of it.
fn left(pod: &Pod, at: Timestamp) -> Option<Duration> {
    let told = pods::condition(pod, KIND).filter(|c| c.status == "True")?;
    if !pods::is_active(pod) || told.reason.as_deref() == Some("TerminationByKubelet") {
        return None;
    }
    let since = told.last_transition_time.as_ref().map_or(at, |t| t.0);
    Some(Duration::try_from((since + HOLDS).duration_since(at)).unwrap_or_default())
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(pod) = context.pods.get(&key) else {
        return Ok(None);
    };
    let Some(left) = left(&pod, Timestamp::now()) else {
        return Ok(None);
    };
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let mut updated = (*pod).clone();
    pods::set_condition(
        updated
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default(),
        PodCondition {
            type_: KIND.into(),
            status: "False".into(),
            observed_generation: pod.generation(),
            last_transition_time: Some(now()),
            ..PodCondition::default()
        },
    );
    context.pods.update_status(&pod, &updated).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_announcement_holds_for_two_minutes() {
        let pod = |metadata: Value, reason: &str| -> Pod {
            let condition = json!({"type": KIND, "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"});
            serde_json::from_value(
                json!({"metadata": metadata, "status": {"phase": "Running", "conditions": [condition]}}),
            )
            .unwrap()
        };
        let at = |text: &str| text.parse().unwrap();
        let stays = pod(json!({}), "EvictionByEvictionAPI");
        assert_eq!(
            left(&stays, at("2026-01-01T00:00:30Z")),
            Some(Duration::from_secs(90))
        );
        assert_eq!(left(&stays, at("2026-01-01T00:03:00Z")), Some(Duration::ZERO));
        let goes = pod(
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            "EvictionByEvictionAPI",
        );
        assert_eq!(left(&goes, at("2026-01-01T00:03:00Z")), None);
        assert_eq!(
            left(
                &pod(json!({}), "TerminationByKubelet"),
                at("2026-01-01T00:03:00Z")
            ),
            None
        );
    }
}
