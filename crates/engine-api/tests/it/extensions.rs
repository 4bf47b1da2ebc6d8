//! Kinds that are kept for clients although little or nothing here acts upon them.
use serde_json::{Value, json};

use crate::common::{PODS, Server, pod, send, warned};

#[tokio::test]
async fn a_runtime_class_gives_pods_their_overhead() {
    let server = Server::new().await;
    let mut wanting = pod("p");
    wanting["spec"]["runtimeClassName"] = "small".into();
    let (code, message) = server.fails("POST", PODS, &wanting).await;
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "pods \"p\" is forbidden: pod rejected: RuntimeClass \"small\" not found"
        )
    );
    let class = json!({"metadata": {"name": "small"}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"a": "b"}}});
    let path = "/apis/node.k8s.io/v1/runtimeclasses";
    server.ok("POST", path, &class).await;
    let made = server.ok("POST", PODS, &wanting).await;
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "10m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"a": "b"}));
    let changed = json!({"handler": "other"});
    let (_, message) = server.fails("PATCH", &format!("{path}/small"), &changed).await;
    assert_eq!(
        message,
        "RuntimeClass.node.k8s.io \"small\" is invalid: handler: Invalid value: \"other\": field is immutable"
    );
}

/// A request for a certificate, base64 of PEM.
fn request() -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    STANDARD.encode(params.serialize_request(&key).unwrap().pem().unwrap())
}

#[tokio::test]
async fn a_signing_request_is_its_senders_and_is_approved_once() {
    let server = Server::new().await;
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = json!({"metadata": {"name": "r"}, "spec": {"request": request(), "usages": ["client auth"],
        "signerName": "kubernetes.io/kube-apiserver-client", "username": "somebody"}});
    let made = server.ok("POST", path, &request).await;
    assert_eq!(made["spec"]["username"], "admin");
    assert_eq!(
        made["spec"]["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    let mut approved = made.clone();
    approved["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "R"}]);
    let (code, refused) = send(&server.admin, "PUT", &format!("{path}/r/status"), &approved).await;
    assert_eq!(code, 422, "{refused}");
    let done = server.ok("PUT", &format!("{path}/r/approval"), &approved).await;
    assert!(done["status"]["conditions"][0]["lastUpdateTime"].is_string());
    let denied = json!({"status": {"conditions": [{"type": "Denied", "status": "True"}]}});
    let (_, message) = server
        .fails("PATCH", &format!("{path}/r/approval"), &denied)
        .await;
    assert_eq!(
        message,
        "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: status.conditions: Forbidden: updates may not remove a \
         condition of type \"Approved\""
    );
}

#[tokio::test]
async fn defaults_and_warnings_of_webhooks() {
    let server = Server::new().await;
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let hook = json!({"name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
    let configuration = json!({"metadata": {"name": "w"}, "webhooks": [hook]});
    let (code, made, warnings) = warned(&server.admin, "POST", path, &configuration).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(warnings, [""; 0]);
    let hook = &made["webhooks"][0];
    assert_eq!(hook["failurePolicy"], "Fail");
    assert_eq!(hook["timeoutSeconds"], 10);
    assert_eq!(hook["rules"][0]["scope"], "*");
    assert_eq!(hook["clientConfig"]["service"]["port"], 443);
    let bad = json!({"metadata": {"name": "x"}, "webhooks": [{"name": "a", "clientConfig": {}}]});
    let (_, message) = server.fails("POST", path, &bad).await;
    for part in [
        "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments separated by dots",
        "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn components_are_listed_and_not_made() {
    let server = Server::new().await;
    let (code, list, warnings) =
        warned(&server.admin, "GET", "/api/v1/componentstatuses", &Value::Null).await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 3));
    assert_eq!(warnings, ["v1 ComponentStatus is deprecated in v1.19+"]);
    let new = json!({"metadata": {"name": "x"}});
    assert_eq!(
        server.fails("POST", "/api/v1/componentstatuses", &new).await.0,
        405
    );
}
