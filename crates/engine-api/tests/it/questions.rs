//! Reviews, tokens and refusals in the words of kube-apiserver 1.36.2.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, send};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

#[tokio::test]
async fn who_may_do_what_is_told_with_its_reason() {
    let server = Server::new().await;
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    server.ok("POST", bindings, &binding).await;
    let review = |resource: &str| json!({"spec": {"user": "jane", "resourceAttributes": {"verb": "get", "resource": resource, "namespace": "default"}}});
    let path = &format!("{REVIEWS}/subjectaccessreviews");
    let allowed = server.ok("POST", path, &review("pods")).await;
    assert_eq!(
        allowed["status"],
        json!({"allowed": true, "reason": "RBAC: allowed by RoleBinding \"b/default\" of ClusterRole \"view\" to User \"jane\""})
    );
    let refused = server.ok("POST", path, &review("secrets")).await;
    assert_eq!(refused["status"], json!({"allowed": false}));

    let mut dangling = binding.clone();
    dangling["metadata"]["name"] = "c".into();
    dangling["roleRef"]["name"] = "gone".into();
    server.ok("POST", bindings, &dangling).await;
    let jane = server.api.client("jane", &[], "test");
    let (code, answer) = send(&jane, "GET", "/api/v1/namespaces/default/secrets", &Value::Null).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "secrets is forbidden: User \"jane\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\": \
         RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"
    );
}

#[tokio::test]
async fn reviews_that_ask_nothing_clear() {
    let server = Server::new().await;
    let both = json!({"spec": {"user": "a", "resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}}});
    let local = json!({"spec": {"user": "a", "nonResourceAttributes": {"path": "/", "verb": "x"}}});
    let selected = json!({"spec": {"user": "a", "resourceAttributes": {"verb": "list", "resource": "pods",
        "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "x", "operator": "In", "values": ["a"]}]}}}});
    for (path, body, code, wanted) in [
        (
            "subjectaccessreviews",
            both,
            422,
            ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"\"}: cannot be \
             specified in combination with resourceAttributes",
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            local,
            422,
            ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"x\"}: \
             disallowed on this kind of request",
        ),
        (
            "subjectaccessreviews",
            selected,
            422,
            ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: \"a=b\": may not \
             specified at the same time as requirements",
        ),
        (
            "selfsubjectrulesreviews",
            json!({"spec": {}}),
            400,
            "no namespace on request",
        ),
    ] {
        assert_eq!(
            server.fails("POST", &format!("{REVIEWS}/{path}"), &body).await,
            (code, wanted.to_owned())
        );
    }
    let path = &format!("{REVIEWS}/selfsubjectrulesreviews");
    let rules = server
        .ok("POST", path, &json!({"spec": {"namespace": "default"}}))
        .await;
    assert_eq!(rules["spec"], json!({}));
}

#[tokio::test]
async fn tokens_of_secrets_and_for_others() {
    const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
    let server = Server::new().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let bot = server
        .ok("POST", accounts, &json!({"metadata": {"name": "bot"}}))
        .await;
    let uid = bot["metadata"]["uid"].as_str().unwrap();
    let token = server.api.secret_token("default", "bot", uid, "t").unwrap();
    let review = |token: &str, audiences: &[&str]| json!({"spec": {"token": token, "audiences": audiences}});
    let status = async |body: Value| server.ok("POST", TOKENS, &body).await["status"].clone();
    // Only as long as the Secret holds it.
    assert_eq!(
        status(review(&token, &[])).await["error"],
        "[invalid bearer token, Token has been invalidated]"
    );
    let secret = json!({"metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "bot"}},
        "type": "kubernetes.io/service-account-token", "stringData": {"token": token}});
    server
        .ok("POST", "/api/v1/namespaces/default/secrets", &secret)
        .await;
    let user = status(review(&token, &[])).await["user"].clone();
    assert_eq!(user["username"], "system:serviceaccount:default:bot");
    assert_eq!(user["uid"], uid);

    let path = &format!("{accounts}/bot/token");
    let asked = server
        .ok("POST", path, &json!({"spec": {"audiences": ["a"]}}))
        .await;
    assert_eq!(asked["metadata"]["uid"], uid);
    let own = asked["status"]["token"].as_str().unwrap();
    assert_eq!(
        status(review(own, &["b", "c"])).await["error"],
        "[invalid bearer token, token audiences [\"a\"] is invalid for the target audiences [\"b\" \"c\"]]"
    );
    assert_eq!(
        server.fails("POST", TOKENS, &json!({"spec": {}})).await,
        (
            400,
            "token is required for TokenReview in authentication".to_owned()
        )
    );
    let other = json!({"metadata": {"name": "other"}, "spec": {}});
    assert_eq!(
        server.fails("POST", path, &other).await,
        (
            422,
            "TokenRequest.authentication.k8s.io \"bot\" is invalid: metadata.name: Invalid value: \"other\": must match the service \
             account name if specified"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn versions_of_single_objects_and_lists_from_the_cache() {
    let server = Server::new().await;
    for name in ["a", "b"] {
        server
            .ok(
                "POST",
                MAPS,
                &json!({"metadata": {"name": name, "generation": 7}}),
            )
            .await;
    }
    let a = server
        .ok("GET", &format!("{MAPS}/a?resourceVersion=1"), &Value::Null)
        .await;
    assert_eq!(
        a["metadata"]["generation"], 7,
        "a kind that counts no generations keeps the client's"
    );
    let (code, answer) = server
        .fails(
            "GET",
            &format!("{MAPS}/a?resourceVersion=999999999"),
            &Value::Null,
        )
        .await;
    assert_eq!(code, 504);
    assert!(
        answer.starts_with("Timeout: Too large resource version: 999999999, current: "),
        "{answer}"
    );
    assert_eq!(
        server
            .fails("GET", &format!("{MAPS}/a?resourceVersion=x"), &Value::Null)
            .await,
        (
            500,
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"
                .to_owned()
        )
    );
    let all = server
        .ok("GET", &format!("{MAPS}?limit=1&resourceVersion=0"), &Value::Null)
        .await;
    assert!(
        all["metadata"].get("continue").is_none(),
        "version 0 knows no limit"
    );
    let first = server.ok("GET", &format!("{MAPS}?limit=1"), &Value::Null).await;
    let next = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(
        server.fails("GET", &format!("{MAPS}?limit=1&continue={next}&resourceVersionMatch=Exact"), &Value::Null).await,
        (
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
             resourceVersion is provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn odd_writes() {
    let server = Server::new().await;
    const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
    assert_eq!(
        server.fails("DELETE", &format!("{CLASSES}/system-node-critical"), &Value::Null).await,
        (
            403,
            "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be \
             deleted"
                .to_owned()
        )
    );
    let mut nameless = pod("x");
    nameless["metadata"] = json!({"generateName": "web-"});
    nameless["spec"]["serviceAccountName"] = "nobody".into();
    assert_eq!(
        server.fails("POST", PODS, &nameless).await,
        (
            403,
            "pods \"web-\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found".to_owned()
        )
    );
    server
        .ok(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": "odd"}}),
        )
        .await;
    let finalized = json!({"metadata": {"name": "odd"}, "spec": {"finalizers": ["x"]}});
    assert_eq!(
        server.fails("PUT", "/api/v1/namespaces/odd/finalize", &finalized).await,
        (
            422,
            "Namespace \"odd\" is invalid: spec.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is \
             it fully qualified"
                .to_owned()
        )
    );
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R",
        "note": "n", "type": "Normal", "action": "A", "reportingController": "a.b/c", "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z"});
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    server.ok("POST", events, &event).await;
    let mut other = event.clone();
    other["note"] = "other".into();
    assert_eq!(
        server.fails("PUT", &format!("{events}/e"), &other).await,
        (
            422,
            "Event \"e\" is invalid: message: Invalid value: \"other\": field is immutable".to_owned()
        )
    );
}
