//! Webhooks that are really called: an HTTPS server in the test answers as webhooks do.
use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    aggregation::Loopback,
    common::{MAPS, PODS, Server, pod, send, warned},
    https::{hang_up, own_authority, serve, signed},
};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A server of webhooks: by path, what it answers to a request; what it was asked is kept.
pub struct Hooks {
    pub port: u16,
    pub ca_bundle: String,
    pub asked: Arc<Mutex<Vec<(String, Value)>>>,
}

type Answer = fn(&str, &Value) -> Value;

/// `answer` yields the `response` without its uid, or a whole document that has a `kind`.
pub async fn hooks(answer: Answer) -> Hooks {
    let (ca_pem, own) = signed("webhooks", "webhooks", &["hook.default.svc", "127.0.0.1"]);
    let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let log = asked.clone();
    let port = serve(None, own, move |request| {
        let log = log.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let review: Value = serde_json::from_slice(&body).unwrap();
            log.lock().unwrap().push((path.clone(), review.clone()));
            if path == "/slow" {
                std::future::pending::<()>().await;
            }
            let mut said = answer(&path, &review["request"]);
            if said["kind"].is_null() {
                said["uid"] = review["request"]["uid"].clone();
                said =
                    json!({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": said});
            }
            said.to_string()
        }
    })
    .await;
    Hooks {
        port,
        ca_bundle: STANDARD.encode(ca_pem),
        asked,
    }
}

impl Hooks {
    pub fn url(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.ca_bundle})
    }

    fn paths(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(path, _)| path.clone()).collect()
    }

    fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }

    fn last(&self) -> Value {
        self.asked.lock().unwrap().last().unwrap().1.clone()
    }
}

/// A webhook for these resources; `more` says the rest.
fn hook(name: &str, client: &Value, operations: &[&str], resources: &[&str], more: Value) -> Value {
    let mut hook = json!({"name": format!("{name}.example.com"), "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        "rules": [{"operations": operations, "apiGroups": ["*"], "apiVersions": ["*"], "resources": resources}]});
    for (field, value) in more.as_object().unwrap() {
        hook[field] = value.clone();
    }
    hook
}

fn patch(operations: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

async fn configured(server: &Server, kind: &str, name: &str, hooks: Vec<Value>) {
    let (code, made, warnings) = warned(
        &server.admin,
        "POST",
        kind,
        &json!({"metadata": {"name": name}, "webhooks": hooks}),
    )
    .await;
    assert_eq!((code, warnings), (201, Vec::<String>::new()), "{made}");
}

fn judge(path: &str, request: &Value) -> Value {
    match path {
        "/deny" => {
            json!({"allowed": false, "status": {"code": 403, "reason": "Forbidden", "message": "not today"}})
        }
        "/silent" => json!({"allowed": false}),
        "/odd" => {
            json!({"allowed": false, "status": {"code": 418, "reason": "Teapot", "message": "short", "details": {"name": "pot"}}})
        }
        "/warn" => {
            json!({"allowed": true, "warnings": ["mind the gap"], "auditAnnotations": {"seen": "yes"}})
        }
        "/nothing" => json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}),
        "/other" => {
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x", "allowed": true}})
        }
        "/label" => patch(json!([{"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}}])),
        "/sidecar" => patch(
            json!([{"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "s:1"}}]),
        ),
        "/count" => {
            let count = request["object"]["metadata"]["annotations"]["count"]
                .as_str()
                .unwrap_or("0");
            let next = (count.parse::<u32>().unwrap() + 1).to_string();
            patch(json!([{"op": "add", "path": "/metadata/annotations", "value": {"count": next}}]))
        }
        "/bad-patch" => patch(json!([{"op": "remove", "path": "/nowhere"}])),
        _ => json!({"allowed": true}),
    }
}

async fn ready() -> (Server, Hooks) {
    (Server::new().await, hooks(judge).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_where_its_connection_does() {
    let server = Server::new().await;
    let (ca_pem, own) = signed("webhooks", "webhooks", &["127.0.0.1"]);
    let port = hang_up(own, |body| {
        let review: Value = serde_json::from_slice(body).unwrap();
        let said = json!({"uid": review["request"]["uid"], "allowed": false, "status": {"code": 418, "message": "no way"}});
        let said = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": said});
        format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{said}")
    })
    .await;
    let client =
        json!({"url": format!("https://127.0.0.1:{port}/deny"), "caBundle": STANDARD.encode(ca_pem)});
    let webhook = hook("a", &client, &["CREATE"], &["configmaps"], json!({}));
    configured(&server, VALIDATING, "a", vec![webhook]).await;
    let (code, message) = server.fails("POST", MAPS, &map("m")).await;
    assert_eq!(
        (code, message.as_str()),
        (
            418,
            "admission webhook \"a.example.com\" denied the request: no way"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_webhooks_own() {
    let (server, hooks) = ready().await;
    for (path, code, reason, message) in [
        (
            "/deny",
            403,
            "Forbidden",
            "admission webhook \"a.example.com\" denied the request: not today",
        ),
        (
            "/silent",
            400,
            "",
            "admission webhook \"a.example.com\" denied the request without explanation",
        ),
        (
            "/odd",
            418,
            "Teapot",
            "admission webhook \"a.example.com\" denied the request: short",
        ),
        (
            "/nothing",
            500,
            "InternalError",
            "Internal error occurred: failed calling webhook \"a.example.com\": received invalid webhook response: webhook response was absent",
        ),
    ] {
        let wanted = hook("a", &hooks.url(path), &["CREATE"], &["configmaps"], json!({}));
        configured(&server, VALIDATING, "a", vec![wanted]).await;
        let (is, status) = send(&server.admin, "POST", MAPS, &map("m")).await;
        let shown = (
            is,
            status["reason"].as_str().unwrap_or_default(),
            status["message"].as_str().unwrap(),
        );
        assert_eq!(shown, (code, reason, message));
        // Others are not asked about.
        hooks.forget();
        server
            .ok(
                "POST",
                "/api/v1/namespaces/default/secrets?dryRun=All",
                &json!({"metadata": {"name": "s"}}),
            )
            .await;
        assert_eq!(hooks.paths(), [""; 0]);
        server
            .ok("DELETE", &format!("{VALIDATING}/a"), &Value::Null)
            .await;
    }
    server.ok("POST", MAPS, &map("m")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_fails_open_or_closed() {
    let (server, hooks) = ready().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let of = |client: &Value, more: Value| vec![hook("a", client, &["CREATE"], &["configmaps"], more)];
    let dead = json!({"url": format!("https://127.0.0.1:{port}/x"), "caBundle": hooks.ca_bundle});
    let stranger = json!({"url": format!("https://127.0.0.1:{}/x", hooks.port), "caBundle": STANDARD.encode(signed("o", "o", &[]).0)});
    let absent = json!({"service": {"namespace": "default", "name": "none"}, "caBundle": hooks.ca_bundle});
    for (client, more, why) in [
        (
            &dead,
            json!({}),
            format!(
                "Post \"https://127.0.0.1:{port}/x?timeout=5s\": dial tcp 127.0.0.1:{port}: connect: connection refused"
            ),
        ),
        (
            &stranger,
            json!({}),
            format!(
                "Post \"https://127.0.0.1:{}/x?timeout=5s\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                hooks.port
            ),
        ),
        (
            &hooks.url("/slow"),
            json!({"timeoutSeconds": 1}),
            format!(
                "Post \"https://127.0.0.1:{}/slow?timeout=1s\": context deadline exceeded",
                hooks.port
            ),
        ),
        (
            &absent,
            json!({}),
            "Post \"https://none.default.svc:443/?timeout=5s\": service \"none\" not found".to_owned(),
        ),
    ] {
        configured(&server, VALIDATING, "a", of(client, more)).await;
        let (code, message) = server.fails("POST", MAPS, &map("m")).await;
        let wanted = format!(
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: {why}"
        );
        assert_eq!((code, message), (500, wanted));
        server
            .ok("DELETE", &format!("{VALIDATING}/a"), &Value::Null)
            .await;
    }
    configured(
        &server,
        VALIDATING,
        "a",
        of(&dead, json!({"failurePolicy": "Ignore"})),
    )
    .await;
    server.ok("POST", MAPS, &map("m")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_may_be_its_own_authority() {
    let server = Server::new().await;
    let deny = || async {
        let response = json!({"uid": "x", "allowed": true});
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
            .to_string()
    };
    for (host, why) in [
        (
            "127.0.0.1",
            "received invalid webhook response: expected response.uid=",
        ),
        ("127.0.0.2", "tls: failed to verify certificate: x509: "),
    ] {
        let own = own_authority(&[host]);
        let bundle = STANDARD.encode(&own.0);
        let port = serve(None, own, move |_| deny()).await;
        let client = json!({"url": format!("https://127.0.0.1:{port}/x"), "caBundle": bundle});
        let webhook = hook("a", &client, &["CREATE"], &["configmaps"], json!({}));
        configured(&server, VALIDATING, "a", vec![webhook]).await;
        let (code, message) = server.fails("POST", MAPS, &map("m")).await;
        assert_eq!(code, 500);
        assert!(message.contains(why), "{message}");
        server
            .ok("DELETE", &format!("{VALIDATING}/a"), &Value::Null)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_changed_and_defaulted() {
    let (server, hooks) = ready().await;
    let on = |name: &str, path: &str, more: Value| {
        hook(
            name,
            &hooks.url(path),
            &["CREATE", "UPDATE"],
            &["pods", "configmaps"],
            more,
        )
    };
    let selective = json!({"objectSelector": {"matchLabels": {"app": "p"}}});
    configured(&server, MUTATING, "a", vec![on("sidecar", "/sidecar", selective)]).await;
    configured(&server, MUTATING, "b", vec![on("label", "/label", json!({}))]).await;
    let made = server.ok("POST", PODS, &pod("p")).await;
    assert_eq!(made["metadata"]["labels"], json!({"by": "hook"}));
    let side = &made["spec"]["containers"][1];
    assert_eq!(
        (&side["name"], &side["terminationMessagePath"]),
        (&json!("side"), &json!("/dev/termination-log"))
    );
    // What built-in admission does for every container is done for this one too.
    assert_eq!(
        side["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(hooks.paths(), ["/sidecar", "/label"]);
    let made = server.ok("POST", MAPS, &map("m")).await;
    assert_eq!(made["metadata"]["labels"], json!({"by": "hook"}));
    hooks.forget();
    let changed = server
        .ok(
            "PATCH",
            &format!("{MAPS}/m"),
            &json!({"metadata": {"labels": {"by": null, "x": "y"}}}),
        )
        .await;
    assert_eq!(changed["metadata"]["labels"], json!({"by": "hook"}));
    let review = hooks.last();
    let request = &review["request"];
    assert_eq!(
        (&request["operation"], &request["name"], &request["namespace"]),
        (&json!("UPDATE"), &json!("m"), &json!("default"))
    );
    assert_eq!(request["object"]["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(request["oldObject"]["metadata"]["labels"], json!({"by": "hook"}));
    assert_eq!(
        request["kind"],
        json!({"group": "", "version": "v1", "kind": "ConfigMap"})
    );
    assert_eq!(
        request["requestResource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["options"]["kind"], "PatchOptions");
    assert_eq!(request["dryRun"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_is_asked_again() {
    let (server, hooks) = ready().await;
    let on = |name: &str, path: &str, more: Value| {
        hook(name, &hooks.url(path), &["CREATE"], &["configmaps"], more)
    };
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    configured(
        &server,
        MUTATING,
        "a",
        vec![
            on("first", "/plain", again),
            on("second", "/plain2", json!({})),
            on("third", "/label", json!({})),
        ],
    )
    .await;
    server.ok("POST", MAPS, &map("m")).await;
    assert_eq!(hooks.paths(), ["/plain", "/plain2", "/label", "/plain"]);
    let bad = on("bad", "/bad-patch", json!({}));
    configured(&server, MUTATING, "b", vec![bad]).await;
    let (code, _) = server.fails("POST", MAPS, &map("n")).await;
    assert_eq!(code, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_selected_is_asked_about() {
    let (server, hooks) = ready().await;
    server
        .ok(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": "watched", "labels": {"watch": "yes"}}}),
        )
        .await;
    let on = |name: &str, more: Value| {
        hook(
            name,
            &hooks.url(&format!("/{name}")),
            &["*"],
            &["configmaps"],
            more,
        )
    };
    configured(
        &server,
        VALIDATING,
        "a",
        vec![
            on("namespace", json!({"namespaceSelector": {"matchLabels": {"watch": "yes"}}})),
            on("object", json!({"objectSelector": {"matchLabels": {"x": "y"}}})),
            on("condition", json!({"matchConditions": [{"name": "c", "expression": "request.operation == 'DELETE' && oldObject.data.a == 'b'"}]})),
            on(
                "broken",
                json!({"failurePolicy": "Ignore", "matchConditions": [{"name": "c", "expression": "object.data.nothing == 'b'"}]}),
            ),
        ],
    )
    .await;
    server.ok("POST", MAPS, &map("m")).await;
    assert_eq!(hooks.paths(), [""; 0]);
    server
        .ok("POST", "/api/v1/namespaces/watched/configmaps", &map("m"))
        .await;
    assert_eq!(hooks.paths(), ["/namespace"]);
    hooks.forget();
    server
        .ok(
            "PATCH",
            &format!("{MAPS}/m"),
            &json!({"metadata": {"labels": {"x": "y"}}}),
        )
        .await;
    server
        .ok(
            "PATCH",
            &format!("{MAPS}/m"),
            &json!({"metadata": {"labels": null}}),
        )
        .await;
    assert_eq!(hooks.paths(), ["/object", "/object"]);
    hooks.forget();
    server.ok("DELETE", &format!("{MAPS}/m"), &Value::Null).await;
    assert_eq!(hooks.paths(), ["/condition"]);
    let request = hooks.last()["request"].clone();
    assert_eq!(
        (&request["operation"], &request["object"]),
        (&json!("DELETE"), &Value::Null)
    );
    assert_eq!(request["oldObject"]["data"]["a"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn rehearsals_warnings_and_subresources() {
    let (server, hooks) = ready().await;
    let wanted = hook(
        "a",
        &hooks.url("/warn"),
        &["*"],
        &["configmaps", "pods/*", "deployments/scale"],
        json!({}),
    );
    configured(&server, VALIDATING, "a", vec![wanted]).await;
    let (_, _, warnings) = warned(&server.admin, "POST", &format!("{MAPS}?dryRun=All"), &map("m")).await;
    assert_eq!(warnings, ["mind the gap"]);
    assert_eq!(hooks.last()["request"]["dryRun"], true);
    server.ok("POST", PODS, &pod("p")).await;
    hooks.forget();
    server
        .ok(
            "PATCH",
            &format!("{PODS}/p/status"),
            &json!({"status": {"phase": "Running"}}),
        )
        .await;
    assert_eq!(hooks.last()["request"]["subResource"], "status");
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    server.ok("POST", &format!("{PODS}/p/binding"), &binding).await;
    let request = hooks.last()["request"].clone();
    assert_eq!(
        (&request["kind"]["kind"], &request["object"]["target"]["name"]),
        (&json!("Binding"), &json!("n"))
    );
    let _ = send(
        &server.admin,
        "POST",
        &format!("{PODS}/p/exec?command=ls&stdin=true"),
        &Value::Null,
    )
    .await;
    let request = hooks.last()["request"].clone();
    assert_eq!(
        (&request["operation"], &request["object"]["command"]),
        (&json!("CONNECT"), &json!(["ls"]))
    );
    assert_eq!(request["object"]["kind"], "PodExecOptions");
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    server
        .ok("POST", deployments, &json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}))
        .await;
    server
        .ok(
            "PATCH",
            &format!("{deployments}/d/scale"),
            &json!({"spec": {"replicas": 3}}),
        )
        .await;
    let request = hooks.last()["request"].clone();
    assert_eq!(
        request["kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert_eq!(request["object"]["spec"]["replicas"], 3);

    let effects = hook(
        "b",
        &hooks.url("/x"),
        &["*"],
        &["secrets"],
        json!({"sideEffects": "NoneOnDryRun"}),
    );
    configured(&server, VALIDATING, "b", vec![effects]).await;
    server
        .ok(
            "POST",
            "/api/v1/namespaces/default/secrets?dryRun=All",
            &json!({"metadata": {"name": "s"}}),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equivalent_versions_are_converted() {
    let (server, hooks) = ready().await;
    let mut wanted = hook(
        "a",
        &hooks.url("/ok"),
        &["CREATE"],
        &["horizontalpodautoscalers"],
        json!({}),
    );
    wanted["rules"][0]["apiVersions"] = json!(["v1"]);
    configured(&server, VALIDATING, "a", vec![wanted.clone()]).await;
    let scaler = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}})
    };
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    server.ok("POST", path, &scaler("s")).await;
    let request = hooks.last()["request"].clone();
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v1"), &json!("v2"))
    );
    assert_eq!(request["object"]["spec"]["targetCPUUtilizationPercentage"], 70);
    hooks.forget();
    wanted["matchPolicy"] = "Exact".into();
    server
        .ok("DELETE", &format!("{VALIDATING}/a"), &Value::Null)
        .await;
    configured(&server, VALIDATING, "a", vec![wanted]).await;
    server.ok("POST", path, &scaler("t")).await;
    assert_eq!(hooks.paths(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_reached_through_its_endpoints() {
    let (server, hooks) = ready().await;
    server.api.set_network(Arc::new(Loopback));
    let spec = json!({"ports": [{"name": "https", "port": 443}], "selector": {"a": "b"}});
    server
        .ok(
            "POST",
            "/api/v1/namespaces/default/services",
            &json!({"metadata": {"name": "hook"}, "spec": spec}),
        )
        .await;
    let slice = json!({"metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": hooks.port}]});
    let client = json!({"service": {"namespace": "default", "name": "hook", "path": "/deny"}, "caBundle": hooks.ca_bundle});
    configured(
        &server,
        VALIDATING,
        "a",
        vec![hook("a", &client, &["CREATE"], &["configmaps"], json!({}))],
    )
    .await;
    let (_, message) = server.fails("POST", MAPS, &map("m")).await;
    assert!(
        message.ends_with("no endpoints available for service \"hook\""),
        "{message}"
    );
    server
        .ok(
            "POST",
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            &slice,
        )
        .await;
    let (code, message) = server.fails("POST", MAPS, &map("m")).await;
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "admission webhook \"a.example.com\" denied the request: not today"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_nobodys_business_and_are_checked() {
    let (server, hooks) = ready().await;
    let all = hook("a", &hooks.url("/deny"), &["*"], &["*/*"], json!({}));
    configured(&server, VALIDATING, "a", vec![all.clone()]).await;
    configured(&server, VALIDATING, "b", vec![all]).await;
    server
        .ok("DELETE", &format!("{VALIDATING}/a"), &Value::Null)
        .await;
    server
        .ok("DELETE", &format!("{VALIDATING}/b"), &Value::Null)
        .await;
    assert_eq!(hooks.paths(), [""; 0]);
    let bad = hook(
        "a",
        &hooks.url("/x"),
        &["*"],
        &["pods"],
        json!({"matchConditions": [{"name": "c", "expression": "objec.a"}]}),
    );
    let (code, message) = server
        .fails(
            "POST",
            VALIDATING,
            &json!({"metadata": {"name": "a"}, "webhooks": [bad]}),
        )
        .await;
    assert_eq!(code, 422);
    assert!(
        message.contains(
            "webhooks[0].matchConditions[0].expression: Invalid value: \"objec.a\": compilation failed: ERROR: <input>:1:1: undeclared \
             reference to 'objec' (in container '')"
        ),
        "{message}"
    );
}
