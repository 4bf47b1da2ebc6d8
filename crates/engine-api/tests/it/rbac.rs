//! Who may do what, and service-account tokens.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, reopened, send};

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
    // It is good for a year, and from the time on that was asked for its use is told of.
    let claims = |token: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
    };
    let said = claims(token);
    let since = |claim: &Value| claim.as_i64().unwrap() - said["iat"].as_i64().unwrap();
    assert_eq!(since(&said["exp"]), 365 * 24 * 60 * 60);
    assert_eq!(since(&said["kubernetes.io"]["warnafter"]), 3607);
    let mut hour = request.clone();
    hour["spec"]["expirationSeconds"] = 3600.into();
    let hour = server.ok("POST", path, &hour).await;
    let said = claims(hour["status"]["token"].as_str().unwrap());
    assert_eq!(said["kubernetes.io"].get("warnafter"), None);
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
    // A false is left out, as upstream does.
    let answer = server.ok("POST", reviews, &review).await;
    assert_eq!(answer["status"].get("authenticated"), None, "its pod is gone");
    assert_eq!(
        answer["status"]["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );
    let short = json!({"spec": {"expirationSeconds": 60}});
    let (code, message) = server.fails("POST", path, &short).await;
    assert_eq!(code, 422);
    assert!(
        message.contains("may not specify a duration less than 10 minutes"),
        "{message}"
    );
}

/// The engine's own parts are masters; others who call themselves so may what upstream's roles say.
#[tokio::test]
async fn the_names_of_the_control_planes_parts_give_upstreams_rights() {
    let server = Server::new().await;
    let node = server.api.client("system:node:n", &["system:nodes"], "kubelet/1");
    let body = json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "2"}}});
    let (code, refused) = send(&node, "POST", PODS, &pod("p")).await;
    assert_eq!(code, 403, "a node is one of its own: {refused}");
    let own = server
        .api
        .client("system:node:n", &["system:nodes", "system:masters"], "kubelet/1");
    let (code, made) = send(&own, "POST", "/api/v1/nodes", &body).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["status"]["capacity"]["cpu"], "2",
        "a node registers with its status"
    );
    let controller = server
        .api
        .client("system:kube-controller-manager", &[], "kube-controller-manager");
    assert_eq!(send(&controller, "POST", PODS, &pod("p")).await.0, 403);
    assert_eq!(send(&own, "POST", PODS, &pod("p")).await.0, 201);
    let scheduler = server.api.client("system:kube-scheduler", &[], "kube-scheduler");
    let binding = json!({"metadata": {"name": "p"}, "target": {"name": "n"}});
    assert_eq!(
        send(&scheduler, "POST", &format!("{PODS}/p/binding"), &binding)
            .await
            .0,
        201
    );
    assert_eq!(send(&scheduler, "POST", PODS, &pod("q")).await.0, 403);
}

/// As after an upgrade: the stored roles are those of an older version, or somebody's own.
#[tokio::test]
async fn default_roles_get_what_they_lack_unless_they_are_to_stay_as_they_are() {
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let dir = tempfile::tempdir().unwrap();
    let config = engine_api::Config {
        store_dir: Some(dir.path().to_owned()),
        ..engine_api::Config::default()
    };
    let own = json!({"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]});
    let (scheduler, discovery, subjects) = {
        let server = Server::with(config.clone()).await;
        let narrowed = |mut role: Value| {
            role["rules"] = json!([own]);
            role
        };
        let path = format!("{ROLES}/system:kube-scheduler");
        let scheduler = server.get(&path).await;
        server.ok("PUT", &path, &narrowed(scheduler.clone())).await;
        let path = format!("{ROLES}/system:discovery");
        let mut kept = narrowed(server.get(&path).await);
        kept["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
        let discovery = server.ok("PUT", &path, &kept).await;
        let path = format!("{BINDINGS}/system:basic-user");
        let mut binding = server.get(&path).await;
        let subjects = binding["subjects"].take();
        server.ok("PUT", &path, &binding).await;
        (scheduler, discovery, subjects)
    };
    let api = reopened(config).await;
    let admin = api.client("admin", &["system:masters"], "test");
    let get = async |path: String| send(&admin, "GET", &path, &Value::Null).await.1;
    let mut rules = vec![own];
    rules.extend(scheduler["rules"].as_array().unwrap().iter().cloned());
    assert_eq!(
        get(format!("{ROLES}/system:kube-scheduler")).await["rules"],
        Value::from(rules)
    );
    assert_eq!(get(format!("{ROLES}/system:discovery")).await, discovery);
    assert_eq!(
        get(format!("{BINDINGS}/system:basic-user")).await["subjects"],
        subjects
    );
}
