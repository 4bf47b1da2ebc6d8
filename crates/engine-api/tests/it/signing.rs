//! Signing requests: what is refused, and who writes what of them.
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::common::{Server, send};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn signing(name: &str, pem: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"a": "b"}},
        "spec": {"request": STANDARD.encode(pem), "signerName": "example.com/x", "usages": ["client auth"]}})
}

/// A request in PEM, and the same with another bit in its signature.
fn requests() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let asked = CertificateParams::new(Vec::new()).unwrap();
    let request = asked.serialize_request(&key).unwrap();
    let mut bytes = request.der().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let spoilt = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(bytes)
    );
    (request.pem().unwrap(), spoilt)
}

#[tokio::test]
async fn who_approves_does_not_issue() {
    let server = Server::new().await;
    let (pem, spoilt) = requests();
    let (code, why) = server.fails("POST", REQUESTS, &signing("x", &spoilt)).await;
    assert_eq!(code, 422);
    assert!(why.ends_with(": x509: ECDSA verification failure"), "{why}");

    let made = server.ok("POST", REQUESTS, &signing("x", &pem)).await;
    let owned = &made["metadata"]["managedFields"];
    assert_eq!(
        owned[0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
        "what the server knows better is nobody's"
    );
    let certificate = STANDARD.encode("-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n");
    let at = |part: &str| format!("{REQUESTS}/x/{part}");
    let approved = json!({"type": "Approved", "status": "True", "reason": "because"});
    let body = json!({"status": {"conditions": [approved], "certificate": certificate}});
    let after = server.ok("PATCH", &at("approval"), &body).await;
    assert_eq!(after["status"]["conditions"][0]["reason"], "because");
    assert_eq!(after["status"]["certificate"], Value::Null);

    let body = json!({"status": {"certificate": certificate,
        "conditions": [{"type": "Approved", "status": "False", "reason": "other"}]}});
    let after = server.ok("PATCH", &at("status"), &body).await;
    assert_eq!(after["status"]["conditions"][0]["reason"], "because");
    assert_eq!(after["status"]["certificate"], certificate);

    let body = json!({"status": {"certificate": STANDARD.encode("x")}});
    let (code, answer) = send(&server.admin, "PATCH", &at("status"), &body).await;
    assert_eq!(code, 422);
    let why = answer["message"].as_str().unwrap();
    assert!(
        why.contains("must contain at least one CERTIFICATE PEM block"),
        "{why}"
    );
}
