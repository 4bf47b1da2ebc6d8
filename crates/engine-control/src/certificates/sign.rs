//! Approved signing requests for this cluster's own signers get their certificate (pkg/controller/certificates/signer/signer.go).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::asked::Asked;
use super::{KUBELET_CLIENT, has, is_issued, issue};
use crate::context::Context;
use crate::meta::{Meta, now};
use crate::queue::Outcome;

/// How long a certificate lasts unless the request wishes less (`--cluster-signing-duration`).
const LASTING: SignedDuration = SignedDuration::from_hours(24 * 365);
/// The least that is granted.
const LEAST: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let Some(key) = context.config.ca_key.clone() else {
        return;
    };
    let shared = Arc::clone(context);
    super::each(context, tasks, "csrsigning", waits, move |request| {
        sync(Arc::clone(&shared), key.clone(), request)
    });
}

/// Approved, neither denied nor failed, and without a certificate.
fn waits(request: &CertificateSigningRequest) -> bool {
    has(request, "Approved") && !has(request, "Denied") && !failed_before(request) && !is_issued(request)
}

fn failed_before(request: &CertificateSigningRequest) -> bool {
    let status = request.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions
        .iter()
        .any(|c| c.type_ == "Failed" && matches!(c.status.as_str(), "" | "True"))
}

/// Whether a request is one for its signer: why not, or nothing if nobody here signs for that name.
fn check(signer: &str, asked: &Asked, usages: &[String]) -> Option<Result<(), String>> {
    Some(match signer {
        KUBELET_CLIENT => asked.check_kubelet_client(usages),
        "kubernetes.io/kubelet-serving" => asked.check_kubelet_serving(usages),
        "kubernetes.io/kube-apiserver-client" => check_client(usages),
        // As it was before there were names of signers.
        "kubernetes.io/legacy-unknown" => Ok(()),
        _ => return None,
    })
}

fn check_client(usages: &[String]) -> Result<(), String> {
    const WANTED: &str = "client auth";
    const TAKEN: [&str; 3] = ["digital signature", "key encipherment", WANTED];
    if let Some(other) = usages.iter().find(|usage| !TAKEN.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if usages.iter().any(|usage| usage == WANTED) {
        return Ok(());
    }
    Err(format!("missing required usage for client certificate: {WANTED}"))
}

fn lasting(seconds: Option<i32>) -> SignedDuration {
    seconds.map_or(LASTING, |seconds| {
        SignedDuration::from_secs(i64::from(seconds)).clamp(LEAST, LASTING)
    })
}

async fn sync(context: Arc<Context>, ca_key: String, request: Arc<CertificateSigningRequest>) -> Outcome {
    let spec = &request.spec;
    let usages = spec.usages.as_deref().unwrap_or_default();
    let asked = Asked::parse(&spec.request.0)?;
    let status = match check(&spec.signer_name, &asked, usages) {
        None => return Ok(None),
        Some(Err(why)) => failed(&request, &why),
        Some(Ok(())) => {
            let pem = issue::issue(
                &context.config.root_ca,
                &ca_key,
                &asked,
                usages,
                lasting(spec.expiration_seconds),
                Timestamp::now(),
            )?;
            json!({"certificate": k8s_openapi::ByteString(pem.into_bytes())})
        }
    };
    let requests: Api<CertificateSigningRequest> = Api::all(context.config.client.clone());
    let patch = Patch::Merge(
        json!({"metadata": {"resourceVersion": request.metadata.resource_version}, "status": status}),
    );
    requests
        .patch_status(request.name(), &PatchParams::default(), &patch)
        .await?;
    Ok(None)
}

/// The status with one more condition.
fn failed(request: &CertificateSigningRequest, message: &str) -> Value {
    let before = request.status.as_ref().and_then(|s| s.conditions.clone());
    let mut all: Vec<Value> = before.into_iter().flatten().map(|c| json!(c)).collect();
    all.push(
        json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": message, "lastUpdateTime": now()}),
    );
    json!({ "conditions": all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_approved_waits() {
        let request = |status: Value| -> CertificateSigningRequest {
            let spec = json!({"request": "", "signerName": "kubernetes.io/kube-apiserver-client"});
            serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap()
        };
        let with = |kinds: &[&str]| {
            let all: Vec<Value> = kinds
                .iter()
                .map(|k| json!({"type": k, "status": "True"}))
                .collect();
            json!({ "conditions": all })
        };
        assert!(!waits(&request(json!({}))));
        assert!(waits(&request(with(&["Approved"]))));
        assert!(!waits(&request(with(&["Approved", "Failed"]))));
        assert!(!waits(&request(with(&["Denied"]))));
        let mut issued = with(&["Approved"]);
        issued["certificate"] = "eA==".into();
        assert!(!waits(&request(issued)));
    }

    #[test]
    fn usages_of_clients_and_how_long() {
        let of = |usages: &[&str]| {
            let usages: Vec<String> = usages.iter().map(|u| (*u).to_owned()).collect();
            check("kubernetes.io/kube-apiserver-client", &Asked::default(), &usages).unwrap()
        };
        assert_eq!(of(&["client auth"]), Ok(()));
        assert_eq!(
            of(&["client auth", "server auth"]).unwrap_err(),
            "invalid usage for client certificate: server auth"
        );
        assert_eq!(
            of(&["digital signature"]).unwrap_err(),
            "missing required usage for client certificate: client auth"
        );
        assert!(check("example.com/x", &Asked::default(), &[]).is_none());
        assert_eq!(lasting(None), LASTING);
        assert_eq!(lasting(Some(60)), LEAST);
        assert_eq!(lasting(Some(3600)).as_secs(), 3600);
        assert_eq!(lasting(Some(i32::MAX)), LASTING);
    }
}
