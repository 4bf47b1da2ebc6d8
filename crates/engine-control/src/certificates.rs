//! Approved signing requests for this cluster's own signers get their certificate (pkg/controller/certificates/signer).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams};
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::queue::{Outcome, Queue, run};

/// How long a certificate lasts unless the request wishes less (`--cluster-signing-duration`).
const LASTING: Duration = Duration::from_hours(24 * 365);
/// A certificate is valid from a little before now, for clocks that are behind.
const BACKDATED: Duration = Duration::from_mins(5);

/// A signer, the usages that it grants, and the one that it asks for.
const SIGNERS: [(&str, &[&str], &str); 3] = [
    (
        "kubernetes.io/kube-apiserver-client",
        &["digital signature", "key encipherment", "client auth"],
        "client auth",
    ),
    (
        "kubernetes.io/kube-apiserver-client-kubelet",
        &["digital signature", "key encipherment", "client auth"],
        "client auth",
    ),
    (
        "kubernetes.io/kubelet-serving",
        &["digital signature", "key encipherment", "server auth"],
        "server auth",
    ),
];

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let Some(key) = context.config.ca_key.clone() else {
        return;
    };
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.signing_requests.on_change(move |change| {
        if let Some(request) = change.new
            && waits(request)
        {
            q.add(request.key());
        }
    });
    let context = Arc::clone(context);
    run(tasks, "certificate signing", &queue, 1, move |name| {
        sync(Arc::clone(&context), key.clone(), name)
    });
}

/// Approved, neither denied nor failed, and without a certificate.
fn waits(request: &CertificateSigningRequest) -> bool {
    let status = request.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let has = |kind: &str| conditions.iter().any(|c| c.type_ == kind);
    let issued = status.is_some_and(|s| s.certificate.is_some());
    has("Approved") && !has("Denied") && !has("Failed") && !issued
}

async fn sync(context: Arc<Context>, ca_key: String, key: Key) -> Outcome {
    let Some(request) = context.signing_requests.get(&key).filter(|r| waits(r)) else {
        return Ok(None);
    };
    let spec = &request.spec;
    let Some((_, granted, wanted)) = SIGNERS.iter().find(|(name, ..)| *name == spec.signer_name) else {
        return Ok(None);
    };
    let usages = spec.usages.clone().unwrap_or_default();
    let fits = usages.iter().all(|u| granted.contains(&u.as_str())) && usages.iter().any(|u| u == wanted);
    let status = if fits {
        let seconds = spec.expiration_seconds.and_then(|s| u64::try_from(s).ok());
        let lasting = seconds.map_or(LASTING, |s| Duration::from_secs(s).min(LASTING));
        match issue(
            &context.config.root_ca,
            &ca_key,
            &spec.request.0,
            &usages,
            lasting,
        ) {
            Ok(pem) => json!({"certificate": k8s_openapi::ByteString(pem.into_bytes())}),
            Err(error) => failed(&request, "SigningFailure", &error.to_string()),
        }
    } else {
        failed(
            &request,
            "SignerValidationFailure",
            &format!("usages did not match {granted:?}"),
        )
    };
    let requests: Api<CertificateSigningRequest> = Api::all(context.config.client.clone());
    let patch = Patch::Merge(json!({"status": status}));
    requests
        .patch_status(request.name(), &PatchParams::default(), &patch)
        .await?;
    Ok(None)
}

/// The status with one more condition.
fn failed(request: &CertificateSigningRequest, reason: &str, message: &str) -> Value {
    let before = request.status.as_ref().and_then(|s| s.conditions.clone());
    let mut all: Vec<Value> = before.into_iter().flatten().map(|c| json!(c)).collect();
    all.push(
        json!({"type": "Failed", "status": "True", "reason": reason, "message": message, "lastUpdateTime": now()}),
    );
    json!({ "conditions": all })
}

/// The certificate that a request asks for, PEM.
fn issue(
    ca: &str,
    ca_key: &str,
    request: &[u8],
    usages: &[String],
    lasting: Duration,
) -> Result<String, Error> {
    let signing = |e: rcgen::Error| Error::Invalid(format!("failed to sign: {e}"));
    let pem = String::from_utf8_lossy(request);
    let mut asked = CertificateSigningRequestParams::from_pem(&pem).map_err(signing)?;
    let now = std::time::SystemTime::now();
    asked.params.not_before = (now - BACKDATED).into();
    asked.params.not_after = (now + lasting).into();
    asked.params.use_authority_key_identifier_extension = true;
    asked.params.key_usages.clear();
    asked.params.extended_key_usages.clear();
    for usage in usages {
        match usage.as_str() {
            "digital signature" => asked.params.key_usages.push(KeyUsagePurpose::DigitalSignature),
            "key encipherment" => asked.params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
            "client auth" => asked
                .params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth),
            "server auth" => asked
                .params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth),
            _ => {}
        }
    }
    let issuer =
        Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(ca_key).map_err(signing)?).map_err(signing)?;
    Ok(asked.signed_by(&issuer).map_err(signing)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa};

    #[test]
    fn a_request_becomes_a_certificate_of_this_authority() {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "kubernetes");
        let ca = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(Vec::new()).unwrap();
        asked.distinguished_name.push(DnType::CommonName, "joe");
        let request = asked.serialize_request(&key).unwrap().pem().unwrap();
        let usages = ["client auth".to_owned(), "digital signature".to_owned()];
        let issued = issue(&ca, &ca_key.serialize_pem(), request.as_bytes(), &usages, LASTING).unwrap();
        assert!(issued.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(issue(&ca, &ca_key.serialize_pem(), b"x", &usages, LASTING).is_err());
    }

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
}
