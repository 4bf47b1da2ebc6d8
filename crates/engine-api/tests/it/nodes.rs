//! What a node may change: by its credentials alone, without a role.
use serde_json::{Value, json};

use crate::common::{PODS, Server, pod, send};

#[tokio::test]
async fn a_node_changes_itself_and_its_pods() {
    let server = Server::new().await;
    let node = server.api.client("system:node:n", &["system:nodes"], "kubelet/1");
    let ask = async |method: &str, path: &str, body: &Value| {
        let (code, answer) = send(&node, method, path, body).await;
        (code, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    const NODES: &str = "/api/v1/nodes";
    let made = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let (code, why) = ask("POST", NODES, &made("m", json!({}))).await;
    let refused = "nodes \"m\" is forbidden: node \"n\" is not allowed to modify node \"m\"";
    assert_eq!((code, why.as_str()), (403, refused));
    let (_, why) = ask(
        "POST",
        NODES,
        &made("n", json!({"b.k8s.io/x": "", "a.k8s.io/x": "", "mine": ""})),
    )
    .await;
    let refused = "nodes \"n\" is forbidden: node \"n\" is not allowed to set the following labels: a.k8s.io/x, b.k8s.io/x";
    assert_eq!(why, refused);
    assert_eq!(
        ask("POST", NODES, &made("n", json!({"kubernetes.io/os": "linux"})))
            .await
            .0,
        201
    );
    let taint = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    // Also where the status is all that would be taken of it.
    for path in ["/api/v1/nodes/n", "/api/v1/nodes/n/status"] {
        let (_, why) = ask("PATCH", path, &taint).await;
        assert_eq!(
            why,
            "nodes \"n\" is forbidden: node \"n\" is not allowed to modify taints"
        );
    }
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(ask("PATCH", "/api/v1/nodes/n/status", &ready).await.0, 200);

    let bound = |name: &str, node: &str| {
        let mut pod = pod(name);
        pod["spec"]["nodeName"] = node.into();
        pod
    };
    let own = server.ok("POST", PODS, &bound("own", "n")).await;
    server.ok("POST", PODS, &bound("other", "m")).await;
    let running = json!({"status": {"phase": "Running"}});
    assert_eq!(ask("PATCH", &format!("{PODS}/own/status"), &running).await.0, 200);
    let (_, why) = ask("PATCH", &format!("{PODS}/other/status"), &running).await;
    assert_eq!(
        why,
        "pods \"other\" is forbidden: node \"n\" can only update pod status for pods with spec.nodeName set to itself"
    );
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let (_, why) = ask("PATCH", &format!("{PODS}/own/status"), &labels).await;
    assert_eq!(
        why,
        "pods \"own\" is forbidden: node \"n\" cannot update labels through pod status"
    );
    let (_, why) = ask("DELETE", &format!("{PODS}/other"), &Value::Null).await;
    assert_eq!(
        why,
        "pods \"other\" is forbidden: node \"n\" can only delete pods with spec.nodeName set to itself"
    );
    let (_, why) = ask("POST", PODS, &bound("new", "n")).await;
    assert_eq!(
        why,
        "pods \"new\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n\" can only create mirror pods"
    );
    let eviction = |name: &str| json!({"metadata": {"name": name}});
    let (_, why) = ask("POST", &format!("{PODS}/other/eviction"), &eviction("other")).await;
    assert_eq!(
        why,
        "pods \"other\" is forbidden: node n can only evict pods with spec.nodeName set to itself"
    );
    assert_eq!(
        ask("POST", &format!("{PODS}/none/eviction"), &eviction("none")).await,
        (404, "pod \"none\" not found".to_owned())
    );

    const TOKENS: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = |audience: &str| {
        json!({"spec": {"audiences": [audience], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "own",
            "uid": own["metadata"]["uid"]}}})
    };
    let (_, why) = ask("POST", TOKENS, &json!({"spec": {}})).await;
    assert_eq!(
        why,
        "serviceaccounts \"default\" is forbidden: node requested token not bound to a pod"
    );
    assert_eq!(ask("POST", TOKENS, &token("")).await.0, 201);
    let (_, why) = ask("POST", TOKENS, &token("vault")).await;
    assert_eq!(
        why,
        "serviceaccounts \"default\" is forbidden: audience \"vault\" not found in pod spec volume, system:node:n is not authorized \
         to request tokens for this audience"
    );

    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(ask("POST", LEASES, &made("n", Value::Null)).await.0, 201);
    let (_, why) = ask("POST", LEASES, &made("m", Value::Null)).await;
    assert_eq!(
        why,
        "leases.coordination.k8s.io \"m\" is forbidden: can only access node lease with the same name as the requesting node"
    );
}

/// What upstream's Node authorizer says stands after the refusal, and in a review of access.
#[tokio::test]
async fn a_node_is_told_why_not() {
    let server = Server::new().await;
    let node = server.api.client("system:node:n", &["system:nodes"], "kubelet/1");
    let (code, refused) = send(&node, "GET", "/api/v1/namespaces/default/secrets/x", &Value::Null).await;
    assert_eq!(
        (code, refused["message"].as_str().unwrap()),
        (
            403,
            "secrets \"x\" is forbidden: User \"system:node:n\" cannot get resource \"secrets\" in API group \"\" in the namespace \
             \"default\": no relationship found between node 'n' and this object"
        )
    );
    let review = |selector: Value| json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": selector}}});
    let asked = async |selector: Value| {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        send(&node, "POST", path, &review(selector)).await.1["status"].take()
    };
    assert_eq!(
        asked(json!({"rawSelector": "spec.nodeName=n"})).await,
        json!({"allowed": true})
    );
    let requirement = |operator: &str| json!({"requirements": [{"key": "spec.nodeName", "operator": operator, "values": ["n"]}]});
    assert_eq!(asked(requirement("In")).await, json!({"allowed": true}));
    assert_eq!(
        asked(requirement("Exists")).await,
        json!({"allowed": false, "reason": "can only list/watch pods with spec.nodeName field selector",
            "evaluationError": "spec.resourceAttributes.fieldSelector ignored due to parse error"})
    );
    for path in [
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dn",
        "/api/v1/nodes?fieldSelector=metadata.name%3Dn",
    ] {
        assert_eq!(send(&node, "GET", path, &Value::Null).await.0, 200, "{path}");
    }
    let (code, _) = send(
        &node,
        "GET",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dm",
        &Value::Null,
    )
    .await;
    assert_eq!(code, 403);
}
