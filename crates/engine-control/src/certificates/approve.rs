//! Kubelets' requests for the certificate of a client are approved when whoever asks may have one approved
//! (pkg/controller/certificates/approver/sarapprove.go).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::asked::Asked;
use super::{KUBELET_CLIENT, has, is_issued};
use crate::Error;
use crate::context::Context;
use crate::meta::Meta;
use crate::queue::Outcome;

/// What somebody may ask for, and what is said when it is approved.
struct Right {
    subresource: &'static str,
    message: &'static str,
}

/// A node renews its own certificate.
const SELF: Right = Right {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
/// Somebody asks for a node, as with a bootstrap token.
const OTHER: Right = Right {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let shared = Arc::clone(context);
    super::each(context, tasks, "csrapproving", undecided, move |request| {
        sync(Arc::clone(&shared), request)
    });
}

fn undecided(request: &CertificateSigningRequest) -> bool {
    request.spec.signer_name == KUBELET_CLIENT
        && !is_issued(request)
        && !has(request, "Approved")
        && !has(request, "Denied")
}

/// The rights that would do, the narrower first; none if this is no kubelet's request.
fn rights(request: &CertificateSigningRequest, asked: &Asked) -> Vec<Right> {
    let usages = request.spec.usages.as_deref().unwrap_or_default();
    if asked.check_kubelet_client(usages).is_err() {
        return Vec::new();
    }
    let own = request.spec.username.as_deref().unwrap_or_default() == asked.common_name;
    own.then_some(SELF).into_iter().chain([OTHER]).collect()
}

async fn sync(context: Arc<Context>, request: Arc<CertificateSigningRequest>) -> Outcome {
    let asked = Asked::parse(&request.spec.request.0)?;
    let rights = rights(&request, &asked);
    for right in &rights {
        if !may(&context, &request, right).await? {
            continue;
        }
        let patch = Patch::Merge(approved(&request, right.message));
        let requests: Api<CertificateSigningRequest> = Api::all(context.config.client.clone());
        requests
            .patch_approval(request.name(), &PatchParams::default(), &patch)
            .await?;
        return Ok(None);
    }
    if rights.is_empty() {
        return Ok(None);
    }
    // Whoever asks may get the right later.
    Err(Error::Invalid(format!(
        "signing request {} of {} is a kubelet's, but may not be approved by itself",
        request.name(),
        request.spec.username.as_deref().unwrap_or_default()
    )))
}

async fn may(context: &Context, request: &CertificateSigningRequest, right: &Right) -> Result<bool, Error> {
    let spec = &request.spec;
    let extra: BTreeMap<&str, &[String]> = spec
        .extra
        .iter()
        .flatten()
        .map(|(key, values)| (key.as_str(), values.as_slice()))
        .collect();
    let review = serde_json::from_value(json!({"metadata": {}, "spec": {
        "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": extra,
        "resourceAttributes": {"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "version": "*",
            "verb": "create", "subresource": right.subresource}}}))?;
    let reviews: Api<SubjectAccessReview> = Api::all(context.config.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The change that approves a request, unless somebody else changes it first.
fn approved(request: &CertificateSigningRequest, message: &str) -> Value {
    let before = request.status.as_ref().and_then(|s| s.conditions.clone());
    let mut all: Vec<Value> = before.into_iter().flatten().map(|c| json!(c)).collect();
    all.push(json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}));
    json!({"metadata": {"resourceVersion": request.metadata.resource_version}, "status": {"conditions": all}})
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::request;
    use super::*;

    #[test]
    fn only_kubelets_own_requests_are_recognized() {
        let of = |user: &str, signer: &str, usages: &[&str], subject: (&str, &[&str])| {
            let pem = request(subject.0, subject.1, &[]);
            let whole: CertificateSigningRequest = serde_json::from_value(json!({"metadata": {}, "spec": {
                "request": k8s_openapi::ByteString(pem.clone().into_bytes()), "signerName": signer, "usages": usages, "username": user}}))
            .unwrap();
            let asked = Asked::parse(pem.as_bytes()).unwrap();
            let found: Vec<&str> = rights(&whole, &asked).iter().map(|r| r.subresource).collect();
            (undecided(&whole), found)
        };
        let (node, usages) = (
            ("system:node:n", &["system:nodes"][..]),
            ["digital signature", "client auth"],
        );
        assert_eq!(
            of("system:node:n", KUBELET_CLIENT, &usages, node),
            (true, vec!["selfnodeclient", "nodeclient"])
        );
        assert_eq!(
            of("system:bootstrap:abcdef", KUBELET_CLIENT, &usages, node),
            (true, vec!["nodeclient"])
        );
        assert!(!of("x", "kubernetes.io/kube-apiserver-client", &usages, node).0);
        assert_eq!(of("x", KUBELET_CLIENT, &["client auth"], node), (true, vec![]));
        let other = ("system:node:n", &["system:nodes", "system:masters"][..]);
        assert_eq!(of("x", KUBELET_CLIENT, &usages, other), (true, vec![]));
        assert_eq!(
            of("x", KUBELET_CLIENT, &usages, ("n", &["system:nodes"])),
            (true, vec![])
        );
    }
}
