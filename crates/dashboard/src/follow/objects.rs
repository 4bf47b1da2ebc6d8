//! What the story needs of Kubernetes' objects.
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::story::{self, Kind, Line, LineKind, Object, PodState, Tone};

/// The label that names a pod's app.
const APP: &str = "app.kubernetes.io/name";

pub(super) fn node(node: Node) -> Option<Object> {
    let uid = node.uid()?;
    let name = node.name_any();
    let status = node.status.unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let capacity = status.capacity.unwrap_or_default();
    let quantity = |name: &str| capacity.get(name).map(|q| q.0.clone()).unwrap_or_default();
    let card = story::Node {
        name,
        ready: ready.is_some_and(|c| c.status == "True"),
        schedulable: !node.spec.and_then(|s| s.unschedulable).unwrap_or(false),
        why: ready
            .filter(|c| c.status != "True")
            .and_then(|c| c.message.clone())
            .unwrap_or_default(),
        cpu: quantity("cpu"),
        memory: quantity("memory"),
    };
    Some(Object::Node(uid, card))
}

pub(super) fn pod(pod: core::Pod) -> Option<Object> {
    let uid = pod.uid()?;
    let (state, why) = state(&pod);
    let status = pod.status.as_ref();
    let owner = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|o| o.controller == Some(true));
    let app = pod
        .labels()
        .get(APP)
        .cloned()
        .or_else(|| owner.map(|o| o.name.clone()));
    let containers = status
        .and_then(|s| s.container_statuses.as_deref())
        .unwrap_or_default();
    let spec = pod.spec.as_ref();
    let card = story::Pod {
        name: pod.name_any(),
        app: app.unwrap_or_else(|| pod.name_any()),
        node: spec.and_then(|s| s.node_name.clone()).unwrap_or_default(),
        state,
        since: since(&pod, state),
        why,
        restarts: containers.iter().map(|c| c.restart_count).sum(),
        background: spec.and_then(|s| s.priority).is_some_and(|p| p < 0),
    };
    Some(Object::Pod(uid, card))
}

/// Since when a pod that is seen for the first time is as it is; 0 when the object does not say.
fn since(pod: &core::Pod, state: PodState) -> i64 {
    let condition = |kind: &str| {
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == kind)
            .and_then(|c| c.last_transition_time.as_ref())
    };
    let time = match state {
        PodState::Pending | PodState::Starting => pod.metadata.creation_timestamp.as_ref(),
        PodState::Ending => pod.metadata.deletion_timestamp.as_ref(),
        _ => condition("Ready"),
    };
    time.map_or(0, milliseconds)
}

fn state(pod: &core::Pod) -> (PodState, String) {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let condition = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind);
    let because = || status.reason.clone().or_else(|| status.message.clone());
    match status.phase.as_deref() {
        Some("Succeeded") => return (PodState::Done, String::new()),
        Some("Failed") => {
            let ended = status.container_statuses.iter().flatten().find_map(terminated);
            return (PodState::Failed, because().or(ended).unwrap_or_default());
        }
        _ => {}
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return (PodState::Ending, because().unwrap_or_default());
    }
    let containers = || {
        status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten())
    };
    if let Some(trouble) = containers().find_map(trouble) {
        return (PodState::Failing, trouble);
    }
    if condition("Ready").is_some_and(|c| c.status == "True") {
        return (PodState::Ready, String::new());
    }
    if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
        let why = condition("PodScheduled").and_then(|c| c.message.clone());
        return (
            PodState::Pending,
            why.unwrap_or_else(|| "waits for a node".to_owned()),
        );
    }
    let init = status.init_container_statuses.iter().flatten();
    let running =
        init.filter(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()) && c.started != Some(true));
    let why = running.map(|c| format!("init container {} runs", c.name)).next();
    (PodState::Starting, why.unwrap_or_default())
}

/// What keeps a container from starting, beyond that it takes its time.
fn trouble(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    if matches!(reason, "" | "PodInitializing" | "ContainerCreating") {
        return None;
    }
    let message = waiting
        .message
        .as_deref()
        .map(|m| format!(": {m}"))
        .unwrap_or_default();
    Some(format!("{reason}{message}"))
}

fn terminated(container: &ContainerStatus) -> Option<String> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("ended");
    (ended.exit_code != 0).then(|| format!("{reason}, exit code {}", ended.exit_code))
}

pub(super) fn deployment(object: Deployment) -> Option<Object> {
    let status = object.status.clone().unwrap_or_default();
    let stalled = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "Progressing" && c.status == "False");
    let wanted = object.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let trouble = stalled.and_then(|c| c.message.clone()).unwrap_or_default();
    workload(
        Kind::Deployment,
        "Deployment",
        &object,
        [wanted, status.ready_replicas.unwrap_or(0)],
        trouble,
    )
}

pub(super) fn stateful_set(object: StatefulSet) -> Option<Object> {
    let wanted = object.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let ready = object.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
    workload(
        Kind::StatefulSet,
        "StatefulSet",
        &object,
        [wanted, ready],
        String::new(),
    )
}

pub(super) fn daemon_set(object: DaemonSet) -> Option<Object> {
    let status = object.status.clone().unwrap_or_default();
    workload(
        Kind::DaemonSet,
        "DaemonSet",
        &object,
        [status.desired_number_scheduled, status.number_ready],
        String::new(),
    )
}

pub(super) fn job(object: Job) -> Option<Object> {
    let status = object.status.clone().unwrap_or_default();
    let wanted = object.spec.as_ref().and_then(|s| s.completions).unwrap_or(1);
    let failed = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "Failed" && c.status == "True");
    let trouble = failed.map(|c| c.message.clone().or_else(|| c.reason.clone()).unwrap_or_default());
    workload(
        Kind::Job,
        "Job",
        &object,
        [wanted, status.succeeded.unwrap_or(0)],
        trouble.unwrap_or_default(),
    )
}

fn workload<K: kube::Resource>(
    kind: Kind,
    word: &str,
    object: &K,
    [wanted, ready]: [i32; 2],
    trouble: String,
) -> Option<Object> {
    let card = story::Workload {
        kind: word.to_owned(),
        name: object.name_any(),
        wanted,
        ready,
        trouble,
    };
    Some(Object::Workload(kind, object.uid()?, card))
}

pub(super) fn event(event: Event) -> Option<Object> {
    let uid = event.uid()?;
    let last = event
        .series
        .as_ref()
        .and_then(|s| s.last_observed_time.as_ref())
        .map(|t| t.0);
    let time = last
        .or(event.last_timestamp.as_ref().map(|t| t.0))
        .or(event.event_time.as_ref().map(|t| t.0));
    let time = time.or_else(|| event.metadata.creation_timestamp.as_ref().map(|t| t.0))?;
    let object = event.involved_object;
    let (kind, name) = (
        object.kind.unwrap_or_default().to_lowercase(),
        object.name.unwrap_or_default(),
    );
    let (reason, message) = (
        event.reason.unwrap_or_default(),
        event.message.unwrap_or_default(),
    );
    let times = event.series.and_then(|s| s.count).or(event.count).unwrap_or(1);
    let tone = if event.type_.as_deref() == Some("Warning") {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let text = format!("{kind} {name}: {reason}: {}", message.trim());
    let line = Line {
        t: time.as_millisecond(),
        kind: LineKind::Event,
        tone,
        text,
        times: times.max(1),
    };
    Some(Object::Event(uid, line))
}

fn milliseconds(time: &Time) -> i64 {
    time.0.as_millisecond()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::{Value, json};

    fn pod_of(change: Value) -> story::Pod {
        let mut object = json!({
            "metadata": {"name": "tally-1", "uid": "u", "labels": {APP: "tally"}},
            "spec": {"nodeName": "n", "containers": [], "priority": 1000},
            "status": {"phase": "Running"},
        });
        json_patch_merge(&mut object, &change);
        match pod(serde_json::from_value(object).unwrap()).unwrap() {
            Object::Pod(_, pod) => pod,
            other => panic!("{other:?}"),
        }
    }

    fn json_patch_merge(into: &mut Value, change: &Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                for (key, value) in change {
                    json_patch_merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (into, change) => *into = change.clone(),
        }
    }

    #[test]
    fn a_pods_state_is_told_from_its_status() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let waiting = |reason: &str| json!([{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": reason, "message": "m"}}}]);
        let deleted = "2026-01-01T00:00:00Z";
        let cases = [
            (json!({}), PodState::Starting, ""),
            (json!({"status": {"conditions": ready}}), PodState::Ready, ""),
            (
                json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}}),
                PodState::Pending,
                "waits for a node",
            ),
            (
                json!({"spec": {"nodeName": null}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}}),
                PodState::Pending,
                "0/1 nodes",
            ),
            (
                json!({"status": {"containerStatuses": waiting("CrashLoopBackOff")}}),
                PodState::Failing,
                "CrashLoopBackOff: m",
            ),
            (
                json!({"status": {"containerStatuses": waiting("ContainerCreating")}}),
                PodState::Starting,
                "",
            ),
            (
                json!({"metadata": {"deletionTimestamp": deleted}, "status": {"conditions": ready}}),
                PodState::Ending,
                "",
            ),
            (
                json!({"status": {"phase": "Succeeded"}, "metadata": {"deletionTimestamp": deleted}}),
                PodState::Done,
                "",
            ),
            (
                json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
                PodState::Failed,
                "Evicted",
            ),
        ];
        for (change, state, why) in cases {
            let pod = pod_of(change.clone());
            assert_eq!((pod.state, pod.why.as_str()), (state, why), "{change}");
        }
        assert!(pod_of(json!({"spec": {"priority": -10}})).background);
        assert_eq!(pod_of(json!({"metadata": {"labels": null}})).app, "tally-1");
    }
}
