//! Who may do what, and service-account tokens.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, send};

#[tokio::test]
async fn refusals_and_roles() {
    let server = Server::new().await;
    let jane = server.api.client("jane", &[], "test");
    let (code, body) = send(&jane, "GET", MAPS, &Value::Null).await;
    assert_eq!(code, 403);
    assert_eq!(
        body["message"],
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let (code, body) = send(&jane, "GET", "/metrics", &Value::Null).await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (403, "forbidden: User \"jane\" cannot get path \"/metrics\"")
    );
    assert_eq!(
        send(&jane, "GET", "/apis", &Value::Null).await.0,
        200,
        "discovery is for everyone"
    );
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    server.ok("POST", BINDINGS, &binding).await;
    assert_eq!(send(&jane, "GET", MAPS, &Value::Null).await.0, 200);
    assert_eq!(
        send(&jane, "POST", MAPS, &json!({"metadata": {"name": "x"}}))
            .await
            .0,
        403
    );
    assert_eq!(
        send(&jane, "GET", "/api/v1/namespaces/default/secrets", &Value::Null)
            .await
            .0,
        403
    );
    let review =
        json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(
        send(&jane, "POST", path, &review).await.1["status"]["allowed"],
        true
    );
    server.ok("DELETE", &format!("{BINDINGS}/b"), &Value::Null).await;
    assert_eq!(send(&jane, "GET", MAPS, &Value::Null).await.0, 403);
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let server = Server::new().await;
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    server.ok("POST", &format!("{RBAC}/rolebindings"), &binding).await;
    let jane = server.api.client("jane", &[], "test");
    let role = |verbs: Value, resources: Value| json!({"metadata": {"name": "r"}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": resources}]});
    let (code, body) = send(
        &jane,
        "POST",
        &format!("{RBAC}/roles"),
        &role(json!(["*"]), json!(["*"])),
    )
    .await;
    assert_eq!(code, 403, "{body}");
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("attempting to grant RBAC permissions not currently held")
    );
    let (code, body) = send(
        &jane,
        "POST",
        &format!("{RBAC}/roles"),
        &role(json!(["get"]), json!(["pods"])),
    )
    .await;
    assert_eq!(code, 201, "{body}");
    let mut up = binding.clone();
    up["metadata"]["name"] = "up".into();
    up["roleRef"]["name"] = "cluster-admin".into();
    assert_eq!(
        send(&jane, "POST", &format!("{RBAC}/rolebindings"), &up).await.0,
        403
    );
}

#[tokio::test]
async fn tokens_are_bound() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("p")).await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let request = json!({"spec": {"expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}});
    let issued = server.ok("POST", path, &request).await;
    let token = issued["status"]["token"].as_str().unwrap();
    let review = json!({"spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = server.ok("POST", reviews, &review).await;
    assert_eq!(answer["status"]["authenticated"], true);
    assert_eq!(
        answer["status"]["user"]["username"],
        "system:serviceaccount:default:default"
    );
    assert_eq!(
        answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"],
        json!(["p"])
    );
    server.ok("DELETE", &format!("{PODS}/p"), &Value::Null).await;
    assert_eq!(
        server.ok("POST", reviews, &review).await["status"]["authenticated"],
        false,
        "its pod is gone"
    );
    let short = json!({"spec": {"expirationSeconds": 60}});
    let (code, message) = server.fails("POST", path, &short).await;
    assert_eq!(code, 422);
    assert!(
        message.contains("may not specify a duration less than 10 minutes"),
        "{message}"
    );
}

#[tokio::test]
async fn the_engines_own_identities_may_work() {
    let server = Server::new().await;
    let node = server.api.client("system:node:n", &["system:nodes"], "kubelet/1");
    let body = json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "2"}}});
    let (code, made) = send(&node, "POST", "/api/v1/nodes", &body).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["status"]["capacity"]["cpu"], "2",
        "a node registers with its status"
    );
    let lease = json!({"metadata": {"name": "n"}, "spec": {"holderIdentity": "n"}});
    assert_eq!(
        send(
            &node,
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            &lease
        )
        .await
        .0,
        201
    );
    let controller = server
        .api
        .client("system:kube-controller-manager", &[], "kube-controller-manager");
    assert_eq!(send(&controller, "POST", PODS, &pod("p")).await.0, 201);
    let scheduler = server.api.client("system:kube-scheduler", &[], "kube-scheduler");
    let binding = json!({"target": {"name": "n"}});
    assert_eq!(
        send(&scheduler, "POST", &format!("{PODS}/p/binding"), &binding)
            .await
            .0,
        201
    );
    assert_eq!(send(&scheduler, "POST", PODS, &pod("q")).await.0, 403);
    let status = json!({"status": {"phase": "Running"}});
    assert_eq!(
        send(&node, "PATCH", &format!("{PODS}/p/status"), &status).await.0,
        200
    );
}
