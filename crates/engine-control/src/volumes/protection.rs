//! Claims, volumes and classes of their attributes that are in use are not removed: a finalizer holds them until they are free.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::scheduler::volumes::claims_of;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
const ATTRIBUTES: &str = "kubernetes.io/vac-protection";

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.claims.on_change(move |change| {
        if let Some(claim) = change.new {
            q.add(claim.key());
        }
    });
    let q = Arc::clone(&queue);
    context.pods.on_change(move |change| {
        let over = change.new.is_none_or(|p| pods::is_terminal(p));
        if let Some(pod) = change.any().filter(|_| over) {
            for (claim, _) in claims_of(pod) {
                q.add(Key::new(pod.ns(), &claim));
            }
        }
    });
    let shared = Arc::clone(context);
    run(tasks, "claim protection", &queue, 2, move |key| {
        sync_claim(Arc::clone(&shared), key)
    });

    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.volumes.on_change(move |change| {
        if let Some(volume) = change.new {
            q.add(volume.key());
        }
    });
    let shared = Arc::clone(context);
    run(tasks, "volume protection", &queue, 2, move |key| {
        sync_volume(Arc::clone(&shared), key)
    });

    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.attributes_classes.on_change(move |change| {
        if let Some(class) = change.new {
            q.add(class.key());
        }
    });
    let q = Arc::clone(&queue);
    context.claims.on_change(move |change| {
        for claim in [change.old, change.new].into_iter().flatten() {
            for class in classes_of_claim(claim) {
                q.add(Key::new("", class));
            }
        }
    });
    let q = Arc::clone(&queue);
    context.volumes.on_change(move |change| {
        for volume in [change.old, change.new].into_iter().flatten() {
            if let Some(class) = class_of_volume(volume) {
                q.add(Key::new("", class));
            }
        }
    });
    let shared = Arc::clone(context);
    run(tasks, "attributes class protection", &queue, 1, move |key| {
        sync_class(Arc::clone(&shared), key)
    });
}

/// The classes of attributes that a claim has, had or wants (`vac_protection_controller.go`).
fn classes_of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let status = claim.status.as_ref();
    let wanted = claim
        .spec
        .as_ref()
        .and_then(|s| s.volume_attributes_class_name.as_deref());
    let present = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
    let target = status
        .and_then(|s| s.modify_volume_status.as_ref())
        .and_then(|s| s.target_volume_attributes_class_name.as_deref());
    [wanted, present, target].into_iter().flatten()
}

fn class_of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref()
}

async fn sync_class(context: Arc<Context>, key: Key) -> Outcome {
    let Some(class) = context.attributes_classes.get(&key) else {
        return Ok(None);
    };
    if !class.deleting() {
        context.attributes_classes.hold(&class, ATTRIBUTES, true).await?;
        return Ok(None);
    }
    let of_claims = context
        .claims
        .filter(|c| classes_of_claim(c).any(|name| name == class.name()));
    let of_volumes = context
        .volumes
        .filter(|v| class_of_volume(v) == Some(class.name()));
    if of_claims.is_empty() && of_volumes.is_empty() {
        context.attributes_classes.hold(&class, ATTRIBUTES, false).await?;
    }
    Ok(None)
}

async fn sync_claim(context: Arc<Context>, key: Key) -> Outcome {
    let Some(claim) = context.claims.get(&key) else {
        return Ok(None);
    };
    if !claim.deleting() {
        context.claims.hold(&claim, CLAIM, true).await?;
    } else if !in_use(&context, &claim) && !is_used(&context, &claim).await? {
        context.claims.hold(&claim, CLAIM, false).await?;
    }
    Ok(None)
}

/// A pod that was never placed does not hold a claim (pvc_protection_controller.go, podUsesPVC).
fn holds(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !pods::is_terminal(pod)
        && pods::node_name(pod).is_some()
        && claims_of(pod).iter().any(|(c, _)| c == claim.name())
}

fn in_use(context: &Context, claim: &PersistentVolumeClaim) -> bool {
    let pods = context.pods.in_namespace(claim.ns());
    pods.iter().any(|p| holds(p, claim))
}

/// Past the cache, which may not know of a pod yet: data may be deleted on this word (askAPIServer).
async fn is_used(context: &Context, claim: &PersistentVolumeClaim) -> Result<bool, Error> {
    let pods = context.pods.fetch_all(claim.ns()).await?;
    Ok(pods.iter().any(|p| holds(p, claim)))
}

async fn sync_volume(context: Arc<Context>, key: Key) -> Outcome {
    let Some(volume) = context.volumes.get(&key) else {
        return Ok(None);
    };
    if !volume.deleting() {
        context.volumes.hold(&volume, VOLUME, true).await?;
    } else if volume.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound") {
        context.volumes.hold(&volume, VOLUME, false).await?;
    }
    Ok(None)
}
