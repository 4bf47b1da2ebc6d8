//! What is particular about pods: admission, binding, graceful deletion, eviction.
use serde_json::{Value, json};

use crate::common::{PODS, Server, pod};

async fn bound(server: &Server, name: &str) {
    server.ok("POST", PODS, &pod(name)).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}});
    server
        .ok("POST", &format!("{PODS}/{name}/binding"), &binding)
        .await;
}

#[tokio::test]
async fn admission_fills_in() {
    let server = Server::new().await;
    let made = server.ok("POST", PODS, &pod("p")).await;
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["status"]["qosClass"], "BestEffort");
    let volume = made["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"), "{volume}");
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);

    let mut unknown = pod("q");
    unknown["spec"]["priorityClassName"] = "nothing-like-it".into();
    let (code, message) = server.fails("POST", PODS, &unknown).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "pods \"q\" is forbidden: no PriorityClass with name nothing-like-it was found"
    );
    let mut account = pod("q");
    account["spec"]["serviceAccountName"] = "nobody".into();
    let (_, message) = server.fails("POST", PODS, &account).await;
    assert_eq!(
        message,
        "pods \"q\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
    let generated =
        json!({"metadata": {"generateName": "g-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = server.ok("POST", PODS, &generated).await;
    assert_eq!(made["metadata"]["name"].as_str().unwrap().len(), 7);
}

#[tokio::test]
async fn binding() {
    let server = Server::new().await;
    bound(&server, "p").await;
    let pod = server.get(&format!("{PODS}/p")).await;
    assert_eq!(pod["spec"]["nodeName"], "n");
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    let (code, message) = server
        .fails(
            "POST",
            &format!("{PODS}/p/binding"),
            &json!({"target": {"name": "m"}}),
        )
        .await;
    assert_eq!(code, 409);
    assert!(
        message.contains("pod p is already assigned to node \"n\""),
        "{message}"
    );
    let list = server
        .get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn"))
        .await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn graceful_deletion() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("unbound")).await;
    server
        .ok("DELETE", &format!("{PODS}/unbound"), &Value::Null)
        .await;
    assert_eq!(
        server.code(&format!("{PODS}/unbound")).await,
        404,
        "nobody runs it: gone at once"
    );

    bound(&server, "p").await;
    let path = format!("{PODS}/p");
    let deleted = server.ok("DELETE", &path, &Value::Null).await;
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 5}))
        .await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 50}))
        .await;
    assert_eq!(
        longer["metadata"]["deletionGracePeriodSeconds"], 5,
        "a grace can only be shortened"
    );
    server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 0}))
        .await;
    assert_eq!(server.code(&path).await, 404);
}

#[tokio::test]
async fn eviction_heeds_budgets() {
    let server = Server::new().await;
    bound(&server, "p").await;
    let running =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.ok("PATCH", &format!("{PODS}/p/status"), &running).await;
    const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}});
    server.ok("POST", BUDGETS, &budget).await;
    let status = |allowed: i64| {
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1}})
    };
    server
        .ok("PATCH", &format!("{BUDGETS}/b/status"), &status(0))
        .await;
    let (code, message) = server
        .fails("POST", &format!("{PODS}/p/eviction"), &json!({}))
        .await;
    assert_eq!(code, 429);
    assert_eq!(
        message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    server
        .ok("PATCH", &format!("{BUDGETS}/b/status"), &status(1))
        .await;
    server.ok("POST", &format!("{PODS}/p/eviction"), &json!({})).await;
    let spent = server.get(&format!("{BUDGETS}/b")).await;
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["p"].is_string());
    assert!(server.get(&format!("{PODS}/p")).await["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn what_is_missing_says_so() {
    let server = Server::new().await;
    bound(&server, "p").await;
    let (code, message) = server
        .fails("PATCH", &format!("{PODS}/p/resize"), &json!({}))
        .await;
    assert_eq!(code, 501);
    assert!(message.contains("not supported"), "{message}");
    let (code, message) = server.fails("GET", &format!("{PODS}/p/log"), &Value::Null).await;
    assert_eq!((code, message.as_str()), (503, "no node agent is running"));
}
