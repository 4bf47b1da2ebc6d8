//! Who asked for a certificate, and who may approve it (kubernetes `pkg/registry/certificates/certificates/strategy.go`,
//! `plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}`).
use base64::{Engine, engine::general_purpose::STANDARD};
use schema::KindInfo;
use serde_json::{Value, json};
use validation::Cause;
use x509_parser::{
    certification_request::X509CertificationRequest,
    pem::{Pem, parse_x509_pem},
    prelude::FromDer,
    x509::X509Name,
};

use crate::{
    api::{Api, Call},
    auth::rbac::Attributes,
    custom,
    json::{list, set, text},
    status::{ApiError, Result},
    user::MASTERS,
};

/// A new request is its sender's.
pub fn sign(call: &Call, request: &mut Value) {
    let user = &call.user;
    let spec = &mut request["spec"];
    if let Some(spec) = spec.as_object_mut() {
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        spec.insert("username".to_owned(), user.name.as_str().into());
        if !user.uid.is_empty() {
            spec.insert("uid".to_owned(), user.uid.as_str().into());
        }
        if !user.groups.is_empty() {
            spec.insert("groups".to_owned(), json!(user.groups));
        }
        if !user.extra.is_empty() {
            spec.insert("extra".to_owned(), json!(user.extra));
        }
    }
}

/// Who writes the status leaves approvals and denials as they are; how many there are is for validation to see
/// (preserveConditionInstances).
pub fn keep_decisions(new: &mut Value, old: &Value) {
    for kind in ["Approved", "Denied"] {
        let is = |condition: &Value| condition["type"] == kind;
        let before: Vec<&Value> = list(old, "/status/conditions").iter().filter(|c| is(c)).collect();
        let conditions = new
            .pointer_mut("/status/conditions")
            .and_then(Value::as_array_mut);
        let now: Vec<&mut Value> = conditions.into_iter().flatten().filter(|c| is(c)).collect();
        if now.len() == before.len() {
            for (now, before) in now.into_iter().zip(before) {
                now.clone_from(before);
            }
        }
    }
}

/// Why a request for a certificate cannot be read, or is not signed by the key that it names (`validateCSR`); nothing if it is no block of
/// PEM of this kind, which validation says.
pub fn unreadable(kind: &KindInfo, request: &Value) -> Option<Cause> {
    if kind.plural != "certificatesigningrequests" || custom::is(kind) {
        return None;
    }
    let said = &request["spec"]["request"];
    let bytes = STANDARD.decode(said.as_str()?).ok()?;
    let pem = Pem::iter_from_buffer(&bytes).next()?.ok()?;
    if pem.label != "CERTIFICATE REQUEST" {
        return None;
    }
    let why = match X509CertificationRequest::from_der(&pem.contents) {
        _ if pem.contents.is_empty() => "asn1: syntax error: sequence truncated".to_owned(),
        Err(error) => format!("asn1: structure error: {error}"),
        Ok((_, parsed)) => {
            parsed.verify_signature().err()?;
            let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
            // Those of RSA encryption (PKCS #1), ANSI X9.62, and Edwards curves.
            match algorithm {
                rsa if rsa.starts_with("1.2.840.113549.1.1.") => "crypto/rsa: verification error",
                ecdsa if ecdsa.starts_with("1.2.840.10045.") => "x509: ECDSA verification failure",
                edwards if edwards == "1.3.101.112" => "x509: Ed25519 verification failure",
                _ => "x509: cannot verify signature: algorithm unimplemented",
            }
            .to_owned()
        }
    };
    Some(Cause {
        reason: "FieldValueInvalid",
        field: "spec.request".to_owned(),
        message: format!("Invalid value: {said}: {why}"),
    })
}

/// Conditions get the times that they come without.
pub fn date_conditions(new: &mut Value, old: &Value) {
    let now = crate::time::now();
    let before = old["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let conditions = new
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if condition["lastUpdateTime"].is_null() {
            set(condition, &["lastUpdateTime"], now.as_str());
        }
        if condition["lastTransitionTime"].is_null() {
            let same = before
                .iter()
                .find(|c| c["type"] == condition["type"] && c["status"] == condition["status"]);
            let since = same
                .and_then(|c| c["lastTransitionTime"].as_str())
                .unwrap_or(&now);
            set(condition, &["lastTransitionTime"], since);
        }
    }
}

/// Whether a change of the status says yes or no, or hands out the certificate.
pub fn is_answered(new: &Value, old: &Value) -> bool {
    ["certificate", "conditions"]
        .iter()
        .any(|field| new["status"].get(field) != old["status"].get(field))
}

/// To `approve` and to `sign` are rights of their own, for each signer.
pub fn check_signer(api: &Api, call: &Call, kind: &'static KindInfo, old: &Value, verb: &str) -> Result<()> {
    let signer = text(old, "/spec/signerName");
    let domain = signer.split('/').next().unwrap_or_default();
    let may = |name: String| {
        let wanted = Attributes {
            verb: verb.to_owned(),
            group: "certificates.k8s.io".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..Attributes::default()
        };
        api.may(&call.user, &wanted)
    };
    if may(signer.to_owned()) || may(format!("{domain}/*")) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(ApiError::forbidden(kind, text(old, "/metadata/name"), why))
}

/// Nobody becomes an administrator by a certificate of the cluster's own signer.
pub fn check_subject(kind: &'static KindInfo, request: &Value) -> Result<()> {
    const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
    if text(request, "/spec/signerName") != SIGNER {
        return Ok(());
    }
    let why = match organisations(text(request, "/spec/request")) {
        Ok(groups) if groups.iter().any(|group| group == MASTERS) => {
            format!("use of {SIGNER} signer with {MASTERS} group is not allowed")
        }
        Ok(_) => return Ok(()),
        Err(why) => format!("failed to parse CSR: {why}"),
    };
    Err(ApiError::forbidden(kind, text(request, "/metadata/name"), why))
}

/// The groups that a request for a certificate asks for.
fn organisations(encoded: &str) -> Result<Vec<String>, String> {
    subject(encoded, |subject| {
        let groups = subject.iter_organization();
        groups
            .filter_map(|group| group.as_str().ok())
            .map(str::to_owned)
            .collect()
    })
}

/// The name that a request for a certificate asks for.
pub fn common_name(encoded: &str) -> Result<String, String> {
    subject(encoded, |subject| {
        let last = subject.iter_common_name().last();
        last.and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned()
    })
}

fn subject<T>(encoded: &str, read: impl FnOnce(&X509Name<'_>) -> T) -> Result<T, String> {
    let bytes = STANDARD.decode(encoded).map_err(|e| e.to_string())?;
    let (_, pem) = parse_x509_pem(&bytes).map_err(|e| e.to_string())?;
    if pem.label != "CERTIFICATE REQUEST" {
        return Err("PEM block type must be CERTIFICATE REQUEST".to_owned());
    }
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|e| e.to_string())?;
    Ok(read(&request.certification_request_info.subject))
}
