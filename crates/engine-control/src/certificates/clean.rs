//! Signing requests that are settled, or that nobody settles, are removed after a while (pkg/controller/certificates/cleaner/cleaner.go).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, DeleteParams};
use tokio::task::JoinSet;

use super::{is_issued, issue};
use crate::context::Context;
use crate::meta::Meta;

/// How often all are looked at.
const EVERY: Duration = Duration::from_hours(1);
/// What is issued, denied or failed is kept this long.
const SETTLED: SignedDuration = SignedDuration::from_hours(1);
/// What waits, for approval or for a signer, is kept this long.
const WAITING: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    tasks.spawn(async move {
        loop {
            clean(&context).await;
            tokio::time::sleep(EVERY).await;
        }
    });
}

async fn clean(context: &Context) {
    let requests: Api<CertificateSigningRequest> = Api::all(context.config.client.clone());
    let now = Timestamp::now();
    for request in context.signing_requests.all().iter().filter(|r| is_over(r, now)) {
        let name = request.name();
        match requests.delete(name, &DeleteParams::default()).await {
            Ok(_) => tracing::info!(name, "an old signing request was removed"),
            Err(error) => tracing::warn!(name, %error, "an old signing request could not be removed"),
        }
    }
}

/// Whether a request has been kept for long enough.
fn is_over(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let older = |since: Timestamp, than: SignedDuration| now.duration_since(since) > than;
    let status = request.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    if conditions.is_empty() {
        let made = request.metadata.creation_timestamp.as_ref();
        return made.is_some_and(|made| older(made.0, WAITING));
    }
    let issued = is_issued(request);
    conditions.iter().any(|condition| {
        let since = |than| {
            let said = condition.last_update_time.as_ref();
            said.is_some_and(|said| older(said.0, than))
        };
        match condition.type_.as_str() {
            "Denied" | "Failed" => since(SETTLED),
            "Approved" if issued => since(SETTLED) || ended(request, now),
            "Approved" => since(WAITING),
            _ => false,
        }
    })
}

/// Whether the certificate is no longer valid.
fn ended(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let pem = request.status.as_ref().and_then(|s| s.certificate.as_ref());
    pem.and_then(|pem| issue::end_of(&pem.0))
        .is_some_and(|end| now > end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn each_state_has_its_time() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let ago = |minutes: i64| (now - SignedDuration::from_mins(minutes)).to_string();
        let over = |made: i64, status: Value| {
            let request = json!({"metadata": {"creationTimestamp": ago(made)}, "status": status,
                "spec": {"request": "", "signerName": "a/b"}});
            is_over(&serde_json::from_value(request).unwrap(), now)
        };
        let since = |kind: &str, minutes: i64, certificate: &str| {
            let condition = json!({"type": kind, "status": "True", "lastUpdateTime": ago(minutes)});
            json!({"conditions": [condition], "certificate": certificate})
        };
        let (hour, day) = (60, 24 * 60);
        assert!(!over(day - 1, json!({})));
        assert!(over(day + 1, json!({})));
        assert!(over(0, since("Denied", hour + 1, "")) && !over(2 * day, since("Denied", hour - 1, "")));
        assert!(over(0, since("Failed", hour + 1, "")));
        assert!(
            over(0, since("Approved", hour + 1, "eA==")) && !over(0, since("Approved", hour - 1, "eA=="))
        );
        assert!(over(0, since("Approved", day + 1, "")) && !over(0, since("Approved", hour + 1, "")));
    }
}
