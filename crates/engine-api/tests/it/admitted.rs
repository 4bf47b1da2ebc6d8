//! What built-in admission makes of objects, and refuses of them.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod};

#[tokio::test]
async fn quotas_count_what_is_in_their_scopes() {
    const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
    const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
    let server = Server::new().await;
    for (name, spec) in [
        ("best", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})),
        (
            "dated",
            json!({"hard": {"pods": "1", "requests.cpu": "1"}, "scopes": ["Terminating"]}),
        ),
        (
            "gold",
            json!({"hard": {"persistentvolumeclaims": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]}}),
        ),
    ] {
        let quota = json!({"metadata": {"name": name}, "spec": spec});
        server.ok("POST", QUOTAS, &quota).await;
    }
    server.ok("POST", PODS, &pod("a")).await;
    assert_eq!(
        server.fails("POST", PODS, &pod("b")).await.1,
        "pods \"b\" is forbidden: exceeded quota: best, requested: pods=1, used: pods=1, limited: pods=1"
    );
    // What has to be said goes before what is left.
    let mut dated = pod("c");
    dated["spec"]["activeDeadlineSeconds"] = 5.into();
    let (_, message) = server.fails("POST", PODS, &dated).await;
    assert!(
        message.starts_with("pods \"c\" is forbidden: failed quota: dated: must specify requests.cpu for: "),
        "{message}"
    );
    // A pod that gets a deadline comes under the other quota.
    let mut asks = pod("d");
    asks["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
    server.ok("POST", PODS, &asks).await;
    let deadline = json!({"spec": {"activeDeadlineSeconds": 5}});
    let (_, message) = server.fails("PATCH", &format!("{PODS}/d"), &deadline).await;
    assert_eq!(
        message,
        "pods \"d\" is forbidden: exceeded quota: dated, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1"
    );
    let claim = |name: &str, class: &str| {
        json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": class,
            "resources": {"requests": {"storage": "1Mi"}}}})
    };
    server.ok("POST", CLAIMS, &claim("a", "gold")).await;
    server.ok("POST", CLAIMS, &claim("b", "iron")).await;
    assert_eq!(
        server.fails("POST", CLAIMS, &claim("c", "gold")).await.1,
        "persistentvolumeclaims \"c\" is forbidden: exceeded quota: gold, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=1, limited: persistentvolumeclaims=1"
    );
}

#[tokio::test]
async fn claims_grow_if_their_class_lets_them() {
    const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
    const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
    let server = Server::new().await;
    let class = |name: &str, grows: bool| json!({"metadata": {"name": name}, "provisioner": "x.y/z", "allowVolumeExpansion": grows});
    for (name, grows) in [("grows", true), ("stays", false)] {
        server.ok("POST", CLASSES, &class(name, grows)).await;
        let claim = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": name,
            "resources": {"requests": {"storage": "1Gi"}}}});
        server.ok("POST", CLAIMS, &claim).await;
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        server
            .ok("PATCH", &format!("{CLAIMS}/{name}/status"), &bound)
            .await;
    }
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    server.ok("PATCH", &format!("{CLAIMS}/grows"), &more).await;
    assert_eq!(
        server.fails("PATCH", &format!("{CLAIMS}/stays"), &more).await,
        (
            403,
            "persistentvolumeclaims \"stays\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize".to_owned()
        )
    );
}

#[tokio::test]
async fn an_ingress_gets_the_newest_default_class() {
    const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let server = Server::new().await;
    let ingress = |name: &str, annotations: Value| {
        json!({"metadata": {"name": name, "annotations": annotations},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
    };
    let made = server.ok("POST", INGRESSES, &ingress("none", json!({}))).await;
    assert_eq!(made["spec"]["ingressClassName"], Value::Null);
    for name in ["b", "a", "other"] {
        let default = json!({"ingressclass.kubernetes.io/is-default-class": (name != "other").to_string()});
        let class =
            json!({"metadata": {"name": name, "annotations": default}, "spec": {"controller": "a.b/c"}});
        server
            .ok("POST", "/apis/networking.k8s.io/v1/ingressclasses", &class)
            .await;
    }
    let made = server.ok("POST", INGRESSES, &ingress("i", json!({}))).await;
    // Of the same second it is the first by name.
    assert!(["a", "b"].contains(&made["spec"]["ingressClassName"].as_str().unwrap()));
    let of_old = ingress("old", json!({"kubernetes.io/ingress.class": "x"}));
    let made = server.ok("POST", INGRESSES, &of_old).await;
    assert_eq!(made["spec"]["ingressClassName"], Value::Null);
}

#[tokio::test]
async fn what_a_quota_limits_and_nobody_has_counted_is_refused() {
    const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
    let server = Server::new().await;
    let hard = json!({"count/configmaps": "2", "count/secrets": "2"});
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.ok("POST", QUOTAS, &quota).await;
    let status = json!({"status": {"hard": hard, "used": {"count/secrets": "0"}}});
    server.ok("PATCH", &format!("{QUOTAS}/q/status"), &status).await;
    let map = json!({"metadata": {"name": "m"}});
    assert_eq!(
        server.fails("POST", MAPS, &map).await,
        (
            403,
            "configmaps \"m\" is forbidden: status unknown for quota: q, resources: count/configmaps"
                .to_owned()
        )
    );
    server
        .ok("POST", "/api/v1/namespaces/default/secrets", &map)
        .await;
    let status = json!({"status": {"used": {"count/configmaps": "0"}}});
    server.ok("PATCH", &format!("{QUOTAS}/q/status"), &status).await;
    server.ok("POST", MAPS, &map).await;
}

#[tokio::test]
async fn services_have_addresses_of_every_range_that_is_ready() {
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let server = Server::new().await;
    let service = |name: &str, ip: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let refused = |ip: &str, why: &str| {
        format!("spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {why}")
    };
    const ELSEWHERE: &str = "the provided network does not match the current range";
    let fails = async |name: &str, ip: &str| {
        let (code, message) = server.fails("POST", SERVICES, &service(name, ip)).await;
        assert_eq!(code, 422);
        message.split_once("is invalid: ").unwrap().1.to_owned()
    };
    assert_eq!(fails("a", "10.200.0.5").await, refused("10.200.0.5", ELSEWHERE));
    let cidr =
        json!({"metadata": {"name": "more", "finalizers": ["a.b/c"]}, "spec": {"cidrs": ["10.200.0.0/24"]}});
    server.ok("POST", CIDRS, &cidr).await;
    server.ok("POST", SERVICES, &service("a", "10.200.0.5")).await;
    assert_eq!(
        fails("b", "10.200.0.5").await,
        refused("10.200.0.5", "provided IP is already allocated")
    );
    for ip in ["10.200.0.0", "10.200.0.255", "10.200.1.1"] {
        assert_eq!(fails("b", ip).await, refused(ip, ELSEWHERE));
    }
    // Out of one that goes nothing is given any more.
    server.ok("DELETE", &format!("{CIDRS}/more"), &Value::Null).await;
    assert_eq!(fails("b", "10.200.0.6").await, refused("10.200.0.6", ELSEWHERE));
}
