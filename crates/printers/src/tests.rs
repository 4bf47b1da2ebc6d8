use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_795_380_600;
const CREATED: &str = "2026-11-22T20:40:00Z";

fn row(definition: &str, mut object: Value) -> Vec<String> {
    object["metadata"]["creationTimestamp"] = CREATED.into();
    let cells = cells(definition, &object, NOW);
    assert_eq!(cells.len(), columns(definition).len());
    cells
        .iter()
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect()
}

fn pod_status(status: Value) -> String {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}], "initContainers": [{"name": "i"}, {"name": "j"}]}, "status": status});
    row("io.k8s.api.core.v1.Pod", pod)[2].clone()
}

#[test]
fn the_status_of_a_pod_tells_the_furthest_trouble() {
    assert_eq!(pod_status(json!({"phase": "Pending"})), "Pending");
    let waiting = json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]});
    assert_eq!(pod_status(waiting), "ErrImagePull");
    let failed = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]});
    assert_eq!(pod_status(failed), "Error");
    let init = json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]});
    assert_eq!(pod_status(init), "Init:1/2");
    let init_failed = json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]});
    assert_eq!(pod_status(init_failed), "Init:ExitCode:2");
}

#[test]
fn restarts_tell_when_the_last_one_was() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [
        {"ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-11-22T20:49:00Z"}}}]}});
    assert_eq!(
        row("io.k8s.api.core.v1.Pod", pod)[..5],
        ["p", "1/1", "Running", "2 (60s ago)", "10m"]
    );
}

#[test]
fn workloads_and_services() {
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}}, "status": {"readyReplicas": 2, "updatedReplicas": 3}});
    assert_eq!(
        row("io.k8s.api.apps.v1.Deployment", deployment),
        ["web", "2/3", "3", "0", "10m", "c", "i:1", "app=web"]
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1",
        "ports": [{"port": 80, "nodePort": 31234, "protocol": "TCP"}]}});
    assert_eq!(
        row("io.k8s.api.core.v1.Service", service),
        [
            "s",
            "LoadBalancer",
            "10.0.0.1",
            "<pending>",
            "80:31234/TCP",
            "10m",
            "<none>"
        ]
    );
    let job = json!({"metadata": {"name": "j"}, "spec": {"completions": 3}, "status": {"succeeded": 3,
        "startTime": CREATED, "completionTime": "2026-11-22T20:40:05Z", "conditions": [{"type": "Complete", "status": "True"}]}});
    assert_eq!(
        row("io.k8s.api.batch.v1.Job", job)[..5],
        ["j", "Complete", "3/3", "5s", "10m"]
    );
}

#[test]
fn kinds_without_a_printer_show_their_creation_time() {
    assert_eq!(
        row("io.k8s.api.rbac.v1.Role", json!({"metadata": {"name": "r"}})),
        ["r", CREATED]
    );
}
