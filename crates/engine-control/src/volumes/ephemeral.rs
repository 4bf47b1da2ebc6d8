//! Claims of pods' generic ephemeral volumes (pkg/controller/volume/ephemeral).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, controller_ref};
use crate::pods;
use crate::queue::{Outcome, Queue, run};

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    let has = |pod: &Pod| {
        pod.spec
            .iter()
            .flat_map(|s| s.volumes.iter().flatten())
            .any(|v| v.ephemeral.is_some())
    };
    context.pods.on_change(move |change| {
        if let (None, Some(pod)) = (change.old, change.new)
            && has(pod)
        {
            q.add(pod.key());
        }
    });
    let context = Arc::clone(context);
    run(tasks, "ephemeral volumes", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(pod) = context.pods.get(&key).filter(|p| pods::is_active(p)) else {
        return Ok(None);
    };
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        let Some(template) = volume
            .ephemeral
            .as_ref()
            .and_then(|e| e.volume_claim_template.clone())
        else {
            continue;
        };
        let name = format!("{}-{}", pod.name(), volume.name);
        if let Some(claim) = context.claims.get(&Key::new(pod.ns(), &name)) {
            if claim.controlled_by(pod.uid()) {
                continue;
            }
            let why = format!(
                "ephemeral volume {}: PVC {} was not created for pod {} (pod is not owner)",
                volume.name,
                claim.key(),
                pod.key()
            );
            context
                .events
                .warning("ephemeral_volume", &*pod, "FailedBinding", &why);
            return Err(Error::Invalid(why));
        }
        let meta = template.metadata.unwrap_or_default();
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(pod.ns().to_owned()),
                labels: meta.labels,
                annotations: meta.annotations,
                owner_references: Some(vec![controller_ref(&*pod)]),
                ..ObjectMeta::default()
            },
            spec: Some(template.spec),
            status: None,
        };
        match context.claims.create(&claim).await {
            Ok(_) => {}
            Err(error) if error.is_exists() || error.is_namespace_terminating() => {}
            Err(error) => {
                context.events.warning(
                    "ephemeral_volume",
                    &*pod,
                    "FailedBinding",
                    format!("ephemeral volume {}: {}", volume.name, error.message()),
                );
                return Err(error);
            }
        }
    }
    Ok(None)
}
