//! Pods that are resized: what is taken, who owns it, and what namespaces and nodes allow.
use http::Request;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::common::{PODS, Server, send};

const RESIZE: &str = "/api/v1/namespaces/default/pods/p/resize";

/// A body of any type.
async fn patch(client: &Client, kind: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method("PATCH")
        .uri(path)
        .header("content-type", format!("application/{kind}"))
        .body(Body::from(body.to_string().into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

fn asked(cpu: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"cpu": cpu, "memory": "64Mi"}})
}

/// A pod that is bound to a node with two CPUs.
async fn placed(server: &Server, resources: &Value) -> Value {
    let node = json!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}});
    server.ok("POST", "/api/v1/nodes", &node).await;
    let spec =
        json!({"nodeName": "n", "containers": [{"name": "c", "image": "i:1", "resources": resources}]});
    server
        .ok("POST", PODS, &json!({"metadata": {"name": "p"}, "spec": spec}))
        .await
}

fn resized(resources: &Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
}

async fn strategic(server: &Server, resources: &Value) -> (u16, Value) {
    let kind = "strategic-merge-patch+json";
    patch(&server.admin, kind, RESIZE, &resized(resources)).await
}

#[tokio::test]
async fn by_every_kind_of_patch_and_by_put() {
    let server = Server::new().await;
    let made = placed(&server, &asked("1")).await;
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(
        made["spec"]["containers"][0]["resizePolicy"],
        Value::Null,
        "only a node decides on what nobody says"
    );
    let mut body = resized(&asked("1500m"));
    body["spec"]["containers"][0]["image"] = json!("i:2");
    body["spec"]["hostNetwork"] = json!(true);
    body["metadata"] = json!({"labels": {"a": "b"}});
    let (code, one) = patch(&server.admin, "strategic-merge-patch+json", RESIZE, &body).await;
    assert_eq!(code, 200, "{one}");
    let container = &one["spec"]["containers"][0];
    assert_eq!(container["resources"], asked("1500m"));
    assert_eq!(
        (
            &container["image"],
            &one["spec"]["hostNetwork"],
            &one["metadata"]["labels"]
        ),
        (&json!("i:1"), &Value::Null, &Value::Null)
    );
    assert_eq!(one["metadata"]["generation"], 2);
    assert_eq!(server.get(RESIZE).await, one);
    let list = json!([
        {"op": "replace", "path": "/spec/containers/0/resources/requests/cpu", "value": "2"},
        {"op": "replace", "path": "/spec/containers/0/resources/limits/cpu", "value": "2"}]);
    let (code, two) = patch(&server.admin, "json-patch+json", RESIZE, &list).await;
    assert_eq!((code, &two["metadata"]["generation"]), (200, &json!(3)), "{two}");
    let mut whole = two.clone();
    whole["spec"]["containers"][0]["resources"] = asked("500m");
    whole["spec"]["priority"] = json!(7);
    let three = server.ok("PUT", RESIZE, &whole).await;
    assert_eq!(three["spec"]["containers"][0]["resources"], asked("500m"));
    assert_eq!(three["spec"]["priority"], 0);
    assert_eq!(
        server.ok("PUT", RESIZE, &three).await["metadata"]["generation"],
        4
    );
    // The pod itself does not take it.
    let mut other = three.clone();
    other["spec"]["containers"][0]["resources"] = asked("1");
    let (code, message) = server.fails("PUT", &format!("{PODS}/p"), &other).await;
    assert_eq!(code, 422);
    assert!(
        message.starts_with(
            "Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than"
        ),
        "{message}"
    );
    let (code, message) = server.fails("PUT", RESIZE, &made).await;
    assert_eq!(code, 409, "{message}");
    let (code, _) = send(&server.admin, "DELETE", RESIZE, &Value::Null).await;
    assert_eq!(code, 405);
}

#[tokio::test]
async fn owners_are_tracked() {
    let server = Server::new().await;
    placed(&server, &asked("1")).await;
    let apply = |manager: &str, cpu: &str| {
        let mut body = resized(&asked(cpu));
        body["apiVersion"] = json!("v1");
        body["kind"] = json!("Pod");
        body["metadata"] = json!({"name": "p", "labels": {"a": "b"}});
        (format!("{RESIZE}?fieldManager={manager}"), body)
    };
    let (path, body) = apply("m", "1500m");
    let (code, refused) = patch(&server.admin, "apply-patch+yaml", &path, &body).await;
    assert_eq!(code, 409);
    assert_eq!(
        refused["details"]["causes"][0]["field"],
        ".spec.containers[name=\"c\"].resources.limits.cpu"
    );
    let (code, taken) = patch(
        &server.admin,
        "apply-patch+yaml",
        &format!("{path}&force=true"),
        &body,
    )
    .await;
    assert_eq!(code, 200, "{taken}");
    assert_eq!(taken["metadata"]["labels"], Value::Null);
    let entries = taken["metadata"]["managedFields"].as_array().unwrap();
    let own = entries.iter().find(|e| e["manager"] == "m").unwrap();
    assert_eq!(
        (&own["operation"], &own["subresource"]),
        (&json!("Apply"), &json!("resize"))
    );
    // As kube-apiserver 1.36.2 answers: what is not taken is owned all the same.
    let amounts = json!({"f:cpu": {}, "f:memory": {}});
    let container =
        json!({".": {}, "f:name": {}, "f:resources": {"f:limits": amounts, "f:requests": amounts}});
    assert_eq!(
        own["fieldsV1"],
        json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": container}}})
    );
    let (path, body) = apply("o", "2");
    let (code, refused) = patch(&server.admin, "apply-patch+yaml", &path, &body).await;
    assert_eq!(code, 409);
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "conflict with \"m\" with subresource \"resize\""
    );
    let mut change = resized(&asked("2"));
    change["spec"]["containers"][0]["image"] = json!("i:2");
    change["metadata"] = json!({"labels": {"a": "b"}});
    let kind = "strategic-merge-patch+json";
    let (code, changed) = patch(&server.admin, kind, RESIZE, &change).await;
    assert_eq!((code, &changed["metadata"]["labels"]), (200, &Value::Null));
    let entries = changed["metadata"]["managedFields"].as_array().unwrap();
    let own = entries
        .iter()
        .find(|e| e["operation"] == "Update" && e["subresource"] == "resize");
    let cpu = json!({"f:cpu": {}});
    let container = json!({"f:image": {}, "f:resources": {"f:limits": cpu, "f:requests": cpu}});
    assert_eq!(
        own.unwrap()["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": container}}})
    );
}

#[tokio::test]
async fn what_is_refused() {
    let server = Server::new().await;
    placed(&server, &asked("1")).await;
    let (code, answer) = strategic(&server, &json!({"requests": {"cpu": "500m"}})).await;
    assert_eq!(code, 422);
    assert_eq!(
        answer["message"],
        "Pod \"p\" is invalid: spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"
    );
    let (code, answer) = strategic(&server, &asked("3")).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000"
    );
    assert_eq!(answer["details"]["causes"], json!([{"reason": "NodeCapacity"}]));
    let whole =
        json!({"spec": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "64Mi"}}}});
    let (code, answer) = send(&server.admin, "PATCH", RESIZE, &whole).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node \"n\""
    );
    let declared = json!({"status": {"declaredFeatures": ["InPlacePodLevelResourcesVerticalScaling"]}});
    server.ok("PATCH", "/api/v1/nodes/n/status", &declared).await;
    let (code, answer) = send(&server.admin, "PATCH", RESIZE, &whole).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer["spec"]["resources"]["requests"]["cpu"], "2");
    let windows = json!({"metadata": {"labels": {"kubernetes.io/os": "windows"}}});
    server.ok("PATCH", "/api/v1/nodes/n", &windows).await;
    let (_, answer) = strategic(&server, &asked("500m")).await;
    assert_eq!(
        answer["details"]["causes"],
        json!([{"reason": "UnsupportedPlatform"}])
    );
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: pod resize is only supported on linux nodes, node \"n\" is \"windows\""
    );
    server.ok("DELETE", "/api/v1/nodes/n", &Value::Null).await;
    let (code, answer) = strategic(&server, &asked("500m")).await;
    assert_eq!(code, 403);
    assert_eq!(answer["message"], "pods \"p\" is forbidden: node \"n\" not found");
    // Nothing changes, so nobody is asked.
    assert_eq!(strategic(&server, &asked("1")).await.0, 200);
    let (code, answer) = patch(
        &server.admin,
        "merge-patch+json",
        &RESIZE.replace("/p/", "/q/"),
        &json!({}),
    )
    .await;
    assert_eq!((code, &answer["message"]), (404, &json!("pods \"q\" not found")));
}

#[tokio::test]
async fn namespaces_bound_it() {
    let server = Server::new().await;
    placed(&server, &asked("1")).await;
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1500m"}}]}});
    const RANGES: &str = "/api/v1/namespaces/default/limitranges";
    server.ok("POST", RANGES, &range).await;
    let (code, answer) = strategic(&server, &asked("2")).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: maximum cpu usage per Container is 1500m, but limit is 2"
    );
    server.ok("DELETE", &format!("{RANGES}/r"), &Value::Null).await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1200m", "limits.memory": "1Gi"}}});
    server
        .ok("POST", "/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    let (code, answer) = strategic(&server, &asked("1500m")).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=1, limited: requests.cpu=1200m"
    );
    assert_eq!(strategic(&server, &asked("1100m")).await.0, 200);
    // While its node has not made it smaller, it counts as it was.
    let own = asked("1100m");
    let status = json!({"status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
        "state": {"running": {}}, "resources": own, "allocatedResources": own["requests"]}]}});
    server.ok("PATCH", &format!("{PODS}/p/status"), &status).await;
    assert_eq!(strategic(&server, &asked("500m")).await.0, 200);
    let second = json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": asked("200m")}]}});
    let (code, message) = server.fails("POST", PODS, &second).await;
    assert_eq!(code, 403);
    assert!(message.contains("used: requests.cpu=1100m,"), "{message}");
}

#[tokio::test]
async fn quotas_want_every_container_to_speak() {
    let server = Server::new().await;
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "2", "limits.memory": "1Gi"}}});
    server
        .ok("POST", "/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    let spec = json!({"initContainers": [{"name": "i", "image": "i"}],
        "containers": [{"name": "c", "image": "i", "resources": asked("1")}, {"name": "d", "image": "i"}]});
    let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
    let (_, message) = server.fails("POST", PODS, &pod).await;
    assert_eq!(
        message,
        "pods \"p\" is forbidden: failed quota: q: must specify limits.memory for: d,i; requests.cpu for: d,i"
    );
    pod["spec"]["resources"] = json!({"requests": {"cpu": "1"}, "limits": {"memory": "128Mi"}});
    server.ok("POST", PODS, &pod).await;
}

#[tokio::test]
async fn roles_name_it() {
    let server = Server::new().await;
    placed(&server, &asked("1")).await;
    let jane = server.api.client("jane", &[], "test");
    let bind = |name: &str, role: &str, kind: &str| {
        let subject = json!({"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"});
        json!({"metadata": {"name": name}, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}})
    };
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let bindings = format!("{RBAC}/rolebindings");
    server
        .ok("POST", &bindings, &bind("a", "admin", "ClusterRole"))
        .await;
    let change = resized(&asked("500m"));
    let kind = "strategic-merge-patch+json";
    let (code, answer) = patch(&jane, kind, RESIZE, &change).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: User \"jane\" cannot patch resource \"pods/resize\" in API group \"\" in the namespace \"default\""
    );
    let rule = json!({"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]});
    let role = json!({"metadata": {"name": "resizer"}, "rules": [rule]});
    server.ok("POST", &format!("{RBAC}/roles"), &role).await;
    server.ok("POST", &bindings, &bind("b", "resizer", "Role")).await;
    assert_eq!(patch(&jane, kind, RESIZE, &change).await.0, 200);
}
