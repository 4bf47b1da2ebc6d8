//! Requests that want more than they may have: rights of others, memory, or a server that comes back.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine_api::Config;
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, reopened, send};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const SIGNING: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// `jane`, with a cluster role of these rules.
async fn jane(server: &Server, rules: Value) -> kube::Client {
    server
        .ok(
            "POST",
            ROLES,
            &json!({"metadata": {"name": "jane"}, "rules": rules}),
        )
        .await;
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
        "name": "jane"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    server.ok("POST", BINDINGS, &binding).await;
    server.api.client("jane", &[], "test")
}

/// Rights to roles, with none to give away.
async fn role_keeper(server: &Server) -> kube::Client {
    let all = json!([{"verbs": ["create", "get", "update", "patch"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]}]);
    jane(server, all).await
}

#[tokio::test]
async fn a_role_that_gathers_others_is_for_administrators() {
    let server = Server::new().await;
    let jane = role_keeper(&server).await;
    let role = json!({"metadata": {"name": "gathers"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "kubernetes.io/bootstrapping", "operator": "Exists"}]}]}});
    let (code, refused) = send(&jane, "POST", ROLES, &role).await;
    assert_eq!(code, 403, "{refused}");
    assert_eq!(
        refused["message"],
        "clusterroles.rbac.authorization.k8s.io \"gathers\" is forbidden: must have cluster-admin privileges to use the \
         aggregationRule"
    );
    // Nor may one that is there be bound by who has less than it gathers, written down in it or not.
    server.ok("POST", ROLES, &role).await;
    let binding = json!({"metadata": {"name": "up"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
        "name": "gathers"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    assert_eq!(send(&jane, "POST", BINDINGS, &binding).await.0, 403);
}

#[tokio::test]
async fn a_label_that_makes_others_gather_a_role_grants() {
    let server = Server::new().await;
    let jane = role_keeper(&server).await;
    let label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    let (code, refused) = send(&jane, "PATCH", &format!("{ROLES}/cluster-admin"), &label).await;
    assert_eq!(code, 403, "{refused}");
    // What only lets go of it is none of that.
    let owned = json!({"metadata": {"finalizers": ["example.com/a"]}});
    let (code, done) = send(&jane, "PATCH", &format!("{ROLES}/cluster-admin"), &owned).await;
    assert_eq!(code, 200, "{done}");
}

#[tokio::test]
async fn no_certificate_makes_an_administrator() {
    let server = Server::new().await;
    let request = |organisation: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params
            .distinguished_name
            .push(DnType::OrganizationName, organisation);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        json!({"metadata": {"name": "r"}, "spec": {"request": STANDARD.encode(pem), "usages": ["client auth"],
            "signerName": "kubernetes.io/kube-apiserver-client"}})
    };
    let (code, message) = server.fails("POST", SIGNING, &request("system:masters")).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with \
         system:masters group is not allowed"
    );
    server.ok("POST", SIGNING, &request("dev")).await;
    // Who may write the status may not for that matter hand out the certificate.
    let jane = jane(
        &server,
        json!([{"verbs": ["get", "patch"], "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/status"]}]),
    )
    .await;
    let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "R"}]}});
    let (code, refused) = send(&jane, "PATCH", &format!("{SIGNING}/r/status"), &failed).await;
    assert_eq!(code, 403, "{refused}");
    assert_eq!(
        refused["message"],
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to sign requests with signerName \
         \"kubernetes.io/kube-apiserver-client\""
    );
}

#[tokio::test]
async fn reading_is_no_right_to_go_inside() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("p")).await;
    let jane = jane(
        &server,
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/exec", "pods/attach", "pods/portforward"]}]),
    )
    .await;
    for subresource in [
        "exec?command=sh&stdout=1",
        "attach?stdout=1",
        "portforward?ports=80",
    ] {
        let (code, refused) = send(&jane, "GET", &format!("{PODS}/p/{subresource}"), &Value::Null).await;
        assert_eq!(
            (code, refused["message"].as_str()),
            (403, Some("pods \"p\" is forbidden: ")),
            "{subresource}"
        );
    }
    let (code, _) = send(
        &server.admin,
        "GET",
        &format!("{PODS}/p/attach?stdout=1"),
        &Value::Null,
    )
    .await;
    assert_eq!(code, 400, "the pod has no node");
}

#[tokio::test]
async fn one_object_that_may_be_watched_is_no_other() {
    let server = Server::new().await;
    server
        .ok("POST", MAPS, &json!({"metadata": {"name": "secret"}}))
        .await;
    let jane = jane(
        &server,
        json!([{"verbs": ["get", "watch"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["own"]}]),
    )
    .await;
    const WATCH: &str = "/api/v1/watch/namespaces/default/configmaps";
    let other = "fieldSelector=metadata.name=secret&timeoutSeconds=1";
    let (code, refused) = send(&jane, "GET", &format!("{WATCH}/own?{other}"), &Value::Null).await;
    assert_eq!(
        (code, refused["message"].as_str()),
        (
            400,
            Some("fieldSelector metadata.name doesn't match requested name")
        )
    );
    let (code, refused) = send(&jane, "GET", &format!("{MAPS}/own?watch=1&{other}"), &Value::Null).await;
    assert_eq!(code, 404, "that is a get: {refused}");
    assert_eq!(
        send(&server.admin, "DELETE", &format!("{WATCH}/secret"), &Value::Null)
            .await
            .0,
        405
    );
    assert_eq!(
        send(
            &jane,
            "DELETE",
            &format!("{MAPS}?fieldSelector=metadata.name=own"),
            &Value::Null
        )
        .await
        .0,
        403
    );
}

#[tokio::test]
async fn pods_are_in_namespaces() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("p")).await;
    for path in [
        "/api/v1/pods/default%2Fp/status",
        "/api/v1/pods/p/log",
        "/api/v1/pods/p/status",
    ] {
        let (code, message) = server.fails("GET", path, &Value::Null).await;
        assert_eq!(
            (code, message.as_str()),
            (404, "the server could not find the requested resource"),
            "{path}"
        );
    }
}

/// A request is dropped, as that of a client is that closes its connection, after each of its steps.
#[tokio::test]
async fn rights_end_with_their_binding_though_the_client_is_gone() {
    let server = Server::new().await;
    let rules = json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]}]);
    let jane = jane(&server, rules).await;
    let path = format!("{BINDINGS}/jane");
    let binding = server.get(&path).await;
    let binding =
        json!({"metadata": {"name": "jane"}, "roleRef": binding["roleRef"], "subjects": binding["subjects"]});
    let mut deleted = 0;
    for steps in 1..24 {
        if server.code(&path).await == 404 {
            server.ok("POST", BINDINGS, &binding).await;
        }
        assert_eq!(send(&jane, "GET", MAPS, &Value::Null).await.0, 200);
        {
            let mut deleting = std::pin::pin!(send(&server.admin, "DELETE", &path, &Value::Null));
            for _ in 0..steps {
                if futures::poll!(&mut deleting).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // What is under way comes to its end: the store takes one write after the other.
        server
            .ok("POST", MAPS, &json!({"metadata": {"generateName": "later-"}}))
            .await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if server.code(&path).await == 404 {
            deleted += 1;
            let (code, _) = send(&jane, "GET", MAPS, &Value::Null).await;
            assert_eq!(code, 403, "after {steps} steps");
        }
    }
    assert!(deleted > 0, "no request got as far as to delete anything");
}

#[tokio::test]
async fn the_body_of_who_may_not_send_one_is_not_kept() {
    let server = Server::new().await;
    let nobody = server.api.client("nobody", &[], "test");
    let request = Request::post(MAPS).body(Body::from(vec![b' '; 4 << 20])).unwrap();
    let answer = nobody.send(request).await.unwrap();
    assert_eq!(answer.status(), 403, "it is not even looked at how large it is");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("cannot create resource"));
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

/// What cannot be read back from the log would keep the engine from starting, and what clients cannot read, controllers from working.
#[tokio::test]
async fn nothing_is_stored_that_cannot_be_read_back() {
    const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        store_dir: Some(dir.path().to_owned()),
        ..Config::default()
    };
    let mut deepest = 0;
    {
        let server = Server::with(config.clone()).await;
        for levels in [50, 100, 110, 115, 120, 124, 126] {
            let revision =
                json!({"metadata": {"name": format!("r{levels}")}, "revision": 1, "data": nested(levels)});
            let (code, answer) = send(&server.admin, "POST", REVISIONS, &revision).await;
            assert!(matches!(code, 201 | 400), "{answer}");
            if code == 201 {
                deepest = levels;
            }
        }
        let list = server.get(REVISIONS).await;
        assert!(list["items"].is_array(), "clients can read what is there");
        let (code, message) = server
            .fails(
                "POST",
                REVISIONS,
                &json!({"metadata": {"name": "d"}, "revision": 1, "data": nested(122)}),
            )
            .await;
        assert_eq!(code, 400);
        assert!(message.contains("at most 120 are stored"), "{message}");
    }
    assert!(deepest >= 100, "{deepest}");
    let api = reopened(config).await;
    let admin = api.client("admin", &["system:masters"], "test");
    assert_eq!(
        send(&admin, "GET", &format!("{REVISIONS}/r{deepest}"), &Value::Null)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_watch_for_ever_is_one_for_long() {
    let server = Server::new().await;
    let request = Request::get(format!("{MAPS}?watch=1&timeoutSeconds={}", i64::MAX))
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.admin.send(request).await.unwrap().status(), 200);
}

/// Programs read pods by their types; one with a label that is no text would stop them all.
#[tokio::test]
async fn a_binding_brings_labels_and_no_other_things() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("p")).await;
    let binding = json!({"target": {"name": "n"}, "metadata": {"labels": {"a": {"b": 1}}}});
    let (code, _) = server.fails("POST", &format!("{PODS}/p/binding"), &binding).await;
    assert_eq!(code, 400);
    let finalizers = json!({"metadata": {"name": "default"}, "spec": {"finalizers": {"a": 1}}});
    let (code, _) = server
        .fails("PUT", "/api/v1/namespaces/default/finalize", &finalizers)
        .await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_custom_kind_may_be_called_as_a_built_in_one() {
    let server = Server::new().await;
    for (plural, kind) in [
        ("events", "Event"),
        ("bindings", "Binding"),
        ("namespaces", "Namespace"),
        ("pods", "Pod"),
    ] {
        let definition = json!({"metadata": {"name": format!("{plural}.example.com")}, "spec": {"group": "example.com",
            "scope": "Namespaced", "names": {"plural": plural, "kind": kind, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "x-kubernetes-preserve-unknown-fields": true}}}]}});
        server
            .ok(
                "POST",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                &definition,
            )
            .await;
        let path = format!("/apis/example.com/v1/namespaces/default/{plural}");
        let object = json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "default"}});
        let quota = json!({"metadata": {"name": plural}, "spec": {"hard": {"pods": "0"}}});
        server
            .ok("POST", "/api/v1/namespaces/default/resourcequotas", &quota)
            .await;
        server.ok("POST", &path, &object).await;
        assert_eq!(server.get(&path).await["items"][0]["kind"], kind);
        server
            .ok("DELETE", &format!("{path}/default"), &Value::Null)
            .await;
    }
    let events = server.get("/api/v1/namespaces/default/events").await;
    assert_eq!(events["items"], json!([]));
}
