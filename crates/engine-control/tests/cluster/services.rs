use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, pod_spec};

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_follow_the_pods() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec("sleep")}}}))
        .await;
    cluster
        .create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}))
        .await;
    let ready = |s: &Value| {
        s["endpoints"]
            .as_array()
            .is_some_and(|e| e.len() == 2 && e.iter().all(|e| e["conditions"]["ready"] == true))
    };
    let slices = cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", |s| {
            s.len() == 1 && ready(&s[0])
        })
        .await;
    assert_eq!(
        slices[0]["ports"],
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
    assert_eq!(slices[0]["endpoints"][0]["targetRef"]["kind"], "Pod");
    assert_eq!(
        slices[0]["metadata"]["labels"]["kubernetes.io/service-name"],
        "web"
    );
    cluster
        .patch("apps/v1/ReplicaSet", "web", json!({"spec": {"replicas": 0}}))
        .await;
    let slices = cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", |s| {
            s.len() == 1 && !s[0]["endpoints"].is_array()
        })
        .await;
    assert!(
        slices[0].as_object().unwrap().contains_key("endpoints"),
        "null, not absent"
    );
    cluster.delete("v1/Service", "web", DeleteParams::default()).await;
    cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", <[Value]>::is_empty)
        .await;
}
