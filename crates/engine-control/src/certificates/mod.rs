//! What becomes of signing requests: kubelets' are approved (`approve`), approved ones get their certificate (`sign`, `issue`), and old ones
//! go (`clean`). (pkg/controller/certificates.)

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};

mod approve;
mod asked;
mod clean;
mod der;
mod issue;
mod sign;

/// A kubelet's certificate, with which it is a client.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// What a request waits after its first failure, and at most (certificate_controller.go).
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1000));

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    approve::start(context, tasks);
    sign::start(context, tasks);
    clean::start(context, tasks);
}

/// Whether a request has a condition of this type, whatever its status.
fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    let status = request.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == kind)
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    let certificate = request.status.as_ref().and_then(|s| s.certificate.as_ref());
    certificate.is_some_and(|pem| !pem.0.is_empty())
}

/// Has a step done for each request that wants it, when it is new and when it changes.
fn each<F, Fut>(
    context: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    wanted: fn(&CertificateSigningRequest) -> bool,
    step: F,
) where
    F: Fn(Arc<CertificateSigningRequest>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let queue = Queue::pausing(PAUSES);
    let q = Arc::clone(&queue);
    context.signing_requests.on_change(move |change| {
        if let Some(request) = change.new
            && wanted(request)
        {
            q.add(request.key());
        }
    });
    let context = Arc::clone(context);
    run(tasks, name, &queue, 1, move |key: Key| {
        let found = context.signing_requests.get(&key).filter(|r| wanted(r));
        let work = found.map(&step);
        async move {
            match work {
                Some(work) => work.await,
                None => Ok(None),
            }
        }
    });
}
