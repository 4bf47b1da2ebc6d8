//! What pods use, and what follows from it.
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use testkit::{Cluster, State, eventually, machine};

/// A program that takes all the CPU it is given: a tenth of a core.
fn busy(image: &str) -> Deployment {
    let container = json!({"name": "main", "image": image, "args": ["serve", "background"],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}});
    let deployment = json!({"metadata": {"name": "busy"}, "spec": {"selector": {"matchLabels": {"app": "busy"}},
        "template": {"metadata": {"labels": {"app": "busy"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}});
    serde_json::from_value(deployment).unwrap()
}

#[test]
fn cpu_that_is_used_brings_more_pods() {
    if testkit::skipped_without_root("an autoscaler") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "scale");
    cluster.bootstrap();
    let client = cluster.client();
    let post = PostParams::default();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    cluster
        .wait(
            "a deployment",
            deployments.create(&post, &busy(&cluster.state.image())),
        )
        .unwrap();
    let scalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), "default");
    let scaler = json!({"metadata": {"name": "busy"}, "spec": {"maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"}, "metrics": [{"type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}});
    let scaler = serde_json::from_value(scaler).unwrap();
    cluster
        .wait("an autoscaler", scalers.create(&post, &scaler))
        .unwrap();

    // The node's own endpoint, through the API server.
    let get = |path: &str| -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        cluster
            .wait(path, client.request_text(request))
            .unwrap_or_else(|e| panic!("{path}: {e}\n{}", cluster.logs()))
    };
    let nodes = get("/api/v1/nodes");
    let nodes: Value = serde_json::from_str(&nodes).unwrap();
    let node = nodes["items"][0]["metadata"]["name"].as_str().unwrap();
    let proxy = format!("/api/v1/nodes/{node}/proxy");
    assert_eq!(get(&format!("{proxy}/healthz")), "ok");
    // The Deployment's pod comes to the node when its controller and the scheduler have done their part.
    for (page, part) in [
        ("pods", "busy"),
        ("metrics/cadvisor", "container_cpu_usage_seconds_total"),
        ("stats/summary", "usageCoreNanoSeconds"),
    ] {
        eventually(page, || {
            let text = get(&format!("{proxy}/{page}"));
            text.contains(part)
                .then_some(())
                .ok_or_else(|| format!("{part} is not in {text}"))
        });
    }

    // More may be wanted only at a later look: its pods have to be measured first.
    let status = eventually("the autoscaler asks for all it may, and would for more", || {
        let object = cluster
            .wait("it", scalers.get("busy"))
            .map_err(|e| e.to_string())?;
        let status = object.status.unwrap_or_default();
        let mut conditions = status.conditions.iter().flatten();
        let limited = conditions.any(|c| c.reason.as_deref() == Some("TooManyReplicas"));
        (status.desired_replicas == 3 && limited)
            .then_some(status.clone())
            .ok_or_else(|| format!("{status:?}"))
    });
    assert!(status.last_scale_time.is_some(), "{status:?}");
    // The event is written at its own time.
    for line in [
        "ScalingLimited  True    TooManyReplicas",
        "New size: 3; reason: cpu resource utilization",
    ] {
        shows(&cluster, &["describe", "hpa", "busy"], |shown| {
            shown.contains(line)
        });
    }
    for what in [&["top", "node"][..], &["top", "pod", "--containers"]] {
        shows(&cluster, what, |shown| {
            shown.contains("CPU(cores)") && shown.lines().count() > 1
        });
    }
    cluster.destroy();
}

/// Waits until kubectl, where there is one, shows it.
fn shows(cluster: &Cluster, command: &[&str], it: impl Fn(&str) -> bool) {
    eventually(&command.join(" "), || match cluster.kubectl(command) {
        Some(shown) if !it(&shown) => Err(shown),
        _ => Ok(()),
    });
}
