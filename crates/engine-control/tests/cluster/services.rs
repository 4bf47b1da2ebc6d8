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

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_people_write_are_mirrored() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"ports": [{"name": "sql", "port": 5432}]}}))
        .await;
    let address = json!([{"ip": "10.1.2.3"}]);
    cluster
        .create(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "subsets": [{"addresses": address, "ports": [{"name": "sql", "port": 5432}]}]}))
        .await;
    let slices = cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", |s| s.len() == 1)
        .await;
    let slice = &slices[0];
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"a": "b", "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"})
    );
    assert_eq!(slice["metadata"]["annotations"], json!({"c": "d"}));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Endpoints");
    assert_eq!(
        slice["endpoints"],
        json!([{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}])
    );
    assert_eq!(
        slice["ports"],
        json!([{"name": "sql", "port": 5432, "protocol": "TCP"}])
    );
    let change = json!({"subsets": [{"notReadyAddresses": address, "ports": [{"name": "sql", "port": 1}]}]});
    cluster.patch("v1/Endpoints", "db", change).await;
    let changed = cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", |s| {
            s.len() == 1 && s[0]["ports"][0]["port"] == 1
        })
        .await;
    assert_eq!(
        changed[0]["metadata"]["name"], slice["metadata"]["name"],
        "used again"
    );
    assert_eq!(changed[0]["endpoints"][0]["conditions"]["ready"], false);
    let skip = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}});
    cluster.patch("v1/Endpoints", "db", skip).await;
    cluster
        .list_becomes("discovery.k8s.io/v1/EndpointSlice", <[Value]>::is_empty)
        .await;
}
