//! Claims and volumes that are in use are not removed: a finalizer holds them until they are free.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use tokio::task::JoinSet;

use crate::Error;
use crate::cache::{Cache, Kind};
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::scheduler::volumes::claims_of;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

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
}

async fn sync_claim(context: Arc<Context>, key: Key) -> Outcome {
    let Some(claim) = context.claims.get(&key) else {
        return Ok(None);
    };
    if !claim.deleting() {
        set(&context.claims, &claim, CLAIM, true).await?;
    } else if !in_use(&context, &claim) {
        set(&context.claims, &claim, CLAIM, false).await?;
    }
    Ok(None)
}

fn in_use(context: &Context, claim: &PersistentVolumeClaim) -> bool {
    // A pod that was never placed does not hold a claim (pvc_protection_controller.go, podUsesPVC).
    let holds = |pod: &Pod| {
        !pods::is_terminal(pod)
            && pods::node_name(pod).is_some()
            && claims_of(pod).iter().any(|(c, _)| c == claim.name())
    };
    context.pods.in_namespace(claim.ns()).iter().any(|p| holds(p))
}

async fn sync_volume(context: Arc<Context>, key: Key) -> Outcome {
    let Some(volume) = context.volumes.get(&key) else {
        return Ok(None);
    };
    if !volume.deleting() {
        set(&context.volumes, &volume, VOLUME, true).await?;
    } else if volume.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound") {
        set(&context.volumes, &volume, VOLUME, false).await?;
    }
    Ok(None)
}

async fn set<K: Kind>(cache: &Cache<K>, object: &Arc<K>, finalizer: &str, wanted: bool) -> Result<(), Error> {
    if object.has_finalizer(finalizer) == wanted {
        return Ok(());
    }
    let mut updated = (**object).clone();
    let finalizers = updated.meta_mut().finalizers.get_or_insert_default();
    if wanted {
        finalizers.push(finalizer.to_owned());
    } else {
        finalizers.retain(|f| f != finalizer);
    }
    match cache.update(object, &updated).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}
