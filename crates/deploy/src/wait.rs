use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::Value;

/// Where a workload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is what its spec asks for.
    Ready,
    /// Not yet; a phrase such as `1 of 3 replicas ready`.
    Waiting(String),
    /// It has failed and will not become ready by itself.
    Failed(String),
}

/// Judges an object by its status, as `kubectl rollout status` and `kubectl wait` do. Kinds without a notion of
/// readiness are ready.
pub fn readiness(object: &Value) -> Readiness {
    let number = |pointer: &str, or: i64| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(or);
    let stale = number("/status/observedGeneration", 0) < number("/metadata/generation", 0);
    let count = |have: i64, want: i64, what: &str| {
        if have >= want {
            Readiness::Ready
        } else {
            Readiness::Waiting(format!("{have} of {want} {what}"))
        }
    };
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" | "StatefulSet" | "DaemonSet" if stale => {
            Readiness::Waiting("not seen by its controller".into())
        }
        "Deployment" => {
            if let Some(message) = condition(object, "Progressing", "False") {
                return Readiness::Failed(message);
            }
            let want = number("/spec/replicas", 1);
            let updated = number("/status/updatedReplicas", 0);
            if updated < want {
                return count(updated, want, "replicas updated");
            }
            if number("/status/replicas", 0) > updated {
                return Readiness::Waiting("old replicas are ending".into());
            }
            count(number("/status/availableReplicas", 0), want, "replicas available")
        }
        "StatefulSet" => {
            let want = number("/spec/replicas", 1);
            if object["status"]["updateRevision"] != object["status"]["currentRevision"]
                && number("/status/updatedReplicas", 0) < want
            {
                return count(number("/status/updatedReplicas", 0), want, "replicas updated");
            }
            count(number("/status/readyReplicas", 0), want, "replicas ready")
        }
        "DaemonSet" => {
            let want = number("/status/desiredNumberScheduled", 0);
            count(
                number("/status/numberAvailable", 0).min(number("/status/updatedNumberScheduled", 0)),
                want,
                "pods available",
            )
        }
        "Job" => {
            if let Some(message) = condition(object, "Failed", "True") {
                return Readiness::Failed(message);
            }
            if condition(object, "Complete", "True").is_some() {
                return Readiness::Ready;
            }
            Readiness::Waiting(format!(
                "{} of {} completions, {} failed",
                number("/status/succeeded", 0),
                number("/spec/completions", 1),
                number("/status/failed", 0)
            ))
        }
        "PersistentVolumeClaim" if object["status"]["phase"] == "Lost" => {
            Readiness::Failed("its volume is lost".into())
        }
        _ => Readiness::Ready,
    }
}

/// What a workload that is [`Readiness::Ready`] has come to: `6/6` of its replicas, or `done`.
pub fn reached(object: &Value) -> String {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let (have, want) = match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => ("/status/availableReplicas", "/spec/replicas"),
        "StatefulSet" => ("/status/readyReplicas", "/spec/replicas"),
        "DaemonSet" => ("/status/numberAvailable", "/status/desiredNumberScheduled"),
        _ => return "done".to_owned(),
    };
    format!("{}/{}", number(have).unwrap_or(0), number(want).unwrap_or(1))
}

fn condition(object: &Value, kind: &str, status: &str) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|c| c["type"] == kind && c["status"] == status)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some(if text("message").is_empty() {
        text("reason")
    } else {
        format!("{}: {}", text("reason"), text("message"))
    })
}

/// Says in the cluster's own words why pods of this selector are not ready, or `None` when they all are.
///
/// # Errors
/// When the API does not answer.
pub async fn explain(
    client: &Client,
    namespace: &str,
    selector: &str,
) -> Result<Option<String>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for pod in pods.list(&ListParams::default().labels(selector)).await? {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(reason) = pod_trouble(&pod) else { continue };
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
        let last = events
            .list(&about)
            .await?
            .items
            .into_iter()
            .max_by_key(|e| e.last_timestamp.clone());
        let detail = last
            .and_then(|e| e.message)
            .map(|m| m.trim().to_owned())
            .filter(|m| !reason.contains(m.as_str()));
        return Ok(Some(match detail {
            Some(detail) => format!("pod {name} is {reason}: {detail}"),
            None => format!("pod {name} is {reason}"),
        }));
    }
    Ok(None)
}

/// The phrase for a pod that is not ready: its waiting reason, its unschedulable message or its phase.
fn pod_trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let condition = |kind: &str| conditions.clone().find(|c| c.type_ == kind);
    if condition("Ready").is_some_and(|c| c.status == "True") || status.phase.as_deref() == Some("Succeeded")
    {
        return None;
    }
    let phase = status.phase.clone().unwrap_or_default();
    if let Some(scheduled) = condition("PodScheduled").filter(|c| c.status == "False") {
        return Some(format!(
            "{phase}: {}",
            scheduled.message.clone().unwrap_or_default()
        ));
    }
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in containers {
        if let Some(waiting) = container.state.as_ref().and_then(|s| s.waiting.as_ref()) {
            let reason = waiting.reason.clone().unwrap_or_default();
            if reason == "PodInitializing" || reason == "ContainerCreating" {
                continue;
            }
            let message = waiting
                .message
                .as_ref()
                .map(|m| format!(" ({m})"))
                .unwrap_or_default();
            return Some(format!("{phase}, container {} {reason}{message}", container.name));
        }
    }
    let running_init = status
        .init_container_statuses
        .iter()
        .flatten()
        .find(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()) && c.started != Some(true));
    Some(match running_init {
        Some(init) => format!("{phase}, init container {} is running", init.name),
        None => format!("{phase}, not ready"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deployments_are_ready_when_the_new_replicas_are_and_the_old_are_gone() {
        let mut object = json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1}});
        assert!(matches!(readiness(&object), Readiness::Waiting(_)));
        object["status"] =
            json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(
            readiness(&object),
            Readiness::Waiting("old replicas are ending".into())
        );
        object["status"]["replicas"] = 2.into();
        assert_eq!(readiness(&object), Readiness::Ready);
        object["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]);
        assert_eq!(
            readiness(&object),
            Readiness::Failed("ProgressDeadlineExceeded: m".into())
        );
    }

    #[test]
    fn what_was_reached_is_told_in_few_words() {
        let set = json!({"kind": "StatefulSet", "spec": {"replicas": 6}, "status": {"readyReplicas": 6}});
        assert_eq!(reached(&set), "6/6");
        let none = json!({"kind": "Deployment", "spec": {"replicas": 0}, "status": {}});
        assert_eq!(reached(&none), "0/0");
        assert_eq!(reached(&json!({"kind": "Job"})), "done");
    }

    #[test]
    fn jobs_end_well_or_badly() {
        let job = |kind: &str| json!({"kind": "Job", "status": {"conditions": [{"type": kind, "status": "True", "reason": "R"}]}});
        assert_eq!(readiness(&job("Complete")), Readiness::Ready);
        assert_eq!(readiness(&job("Failed")), Readiness::Failed("R".into()));
        assert_eq!(
            readiness(&json!({"kind": "Job", "spec": {"completions": 3}, "status": {"succeeded": 1}})),
            Readiness::Waiting("1 of 3 completions, 0 failed".into())
        );
    }
}
