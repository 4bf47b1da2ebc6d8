use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, pod_spec};

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

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_made_anew_only_when_something_happens() {
    let cluster = Cluster::start().await;
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let ports = json!([{"port": 80}]);
    cluster
        .create(service(
            "web",
            json!({"selector": {"app": "web"}, "ports": ports}),
        ))
        .await;
    let endpoints = "v1/Endpoints";
    cluster.becomes(endpoints, "web", Value::is_object).await;
    let by_hand = json!([{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80, "protocol": "TCP"}]}]);
    cluster.patch(endpoints, "web", json!({"subsets": by_hand})).await;
    // Those of a Service without a selector go with it, and those without a Service stay.
    cluster.create(service("db", json!({"ports": ports}))).await;
    for name in ["db", "alone"] {
        cluster
            .create(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": by_hand}))
            .await;
    }
    cluster.delete("v1/Service", "db", DeleteParams::default()).await;
    cluster.becomes(endpoints, "db", Value::is_null).await;
    assert!(cluster.get(endpoints, "alone").await.is_object());
    assert_eq!(cluster.get(endpoints, "web").await["subsets"], by_hand);
    cluster.delete(endpoints, "web", DeleteParams::default()).await;
    cluster
        .becomes(endpoints, "web", |e| e.is_object() && e["subsets"].is_null())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_addresses_stays_until_nobody_needs_it() {
    const KIND: &str = "networking.k8s.io/v1/ServiceCIDR";
    let cluster = Cluster::start().await;
    let range = |name: &str, cidr: &str| json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name}, "spec": {"cidrs": [cidr]}});
    let told = |status: &'static str, reason: &'static str, message: &'static str| {
        move |c: &Value| {
            c["metadata"]["finalizers"] == json!(["networking.k8s.io/service-cidr-finalizer"])
                && condition(c, "Ready").is_some_and(|c| {
                    c["status"] == status && c["reason"] == reason && c["message"] == message
                })
        }
    };
    cluster.create(range("more", "10.200.0.0/24")).await;
    let ready = told("True", "", "Kubernetes Service CIDR is ready");
    cluster.until("ready", KIND, "", "more", ready).await;
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"clusterIP": "10.200.0.5", "ports": [{"port": 80}]}}),
        )
        .await;
    cluster
        .api(KIND, "")
        .delete("more", &DeleteParams::default())
        .await
        .unwrap();
    let held = told(
        "False",
        "Terminating",
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
    );
    cluster.until("held", KIND, "", "more", held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_made_again_is_told_of_as_new() {
    let cluster = Cluster::start().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"selector": {"app": "s"}, "ports": [{"port": 80}]}});
    for _ in 0..2 {
        cluster.create(service.clone()).await;
        cluster
            .becomes("v1/Endpoints", "s", |e| {
                e["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"].is_string()
            })
            .await;
        cluster.delete("v1/Service", "s", DeleteParams::default()).await;
        cluster.becomes("v1/Endpoints", "s", Value::is_null).await;
    }
}
