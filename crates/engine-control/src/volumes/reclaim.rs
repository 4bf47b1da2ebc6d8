//! Volumes: available, bound, released; and what happens to them after their claim.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeStatus};

use super::{COMPONENT, PROVISIONED_BY, PROVISIONER, claim_of};
use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::queue::Outcome;

pub(super) async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(volume) = context.volumes.get(&key).filter(|v| !v.deleting()) else {
        return Ok(None);
    };
    let Some((claim_key, uid)) = claim_of(&volume) else {
        set_phase(&context, &volume, "Available").await?;
        return Ok(None);
    };
    let Some(uid) = uid else {
        // Reserved for a claim that is still to come.
        set_phase(&context, &volume, "Available").await?;
        return Ok(None);
    };
    if context.claims.get(&claim_key).is_some_and(|c| c.uid() == uid) {
        return Ok(None); // the claim's side binds
    }
    // Past the cache, since data may be deleted on this word.
    if context
        .claims
        .fetch(&claim_key)
        .await?
        .is_some_and(|c| c.uid() == uid)
    {
        return Ok(None);
    }
    let volume = set_phase(&context, &volume, "Released").await?;
    let policy = volume
        .spec
        .as_ref()
        .and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    if policy == Some("Delete") && volume.annotation(PROVISIONED_BY) == Some(PROVISIONER) {
        reclaim(&context, &volume).await?;
    }
    Ok(None)
}

/// Deletes the folder, then the volume. Only a folder directly below ours is ever handed out for deletion.
async fn reclaim(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    let path = volume
        .spec
        .as_ref()
        .and_then(|s| s.host_path.as_ref())
        .map(|h| PathBuf::from(&h.path));
    let ours = path.filter(|p| p.parent() == Some(&context.config.volumes_folder) && p.file_name().is_some());
    match (ours, &context.config.remove_folder) {
        (Some(path), Some(remove)) => {
            let remove = Arc::clone(remove);
            let done = tokio::task::spawn_blocking(move || remove(path)).await;
            done.map_err(|_| Error::Panicked)?;
            context.volumes.delete(volume).await
        }
        _ => {
            let message =
                "error deleting volume: the volume's folder is not one that this provisioner may remove";
            context
                .events
                .warning(COMPONENT, volume, "VolumeFailedDelete", message);
            set_phase(context, &Arc::new(volume.clone()), "Failed")
                .await
                .map(|_| ())
        }
    }
}

pub(super) async fn set_phase(
    context: &Context,
    volume: &Arc<PersistentVolume>,
    phase: &str,
) -> Result<Arc<PersistentVolume>, Error> {
    let before = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    if before == Some(phase) || (before == Some("Failed") && phase == "Released") {
        return Ok(Arc::clone(volume));
    }
    let mut updated = (**volume).clone();
    updated.status = Some(PersistentVolumeStatus {
        phase: Some(phase.into()),
        last_phase_transition_time: Some(now()),
        ..PersistentVolumeStatus::default()
    });
    Ok(context
        .volumes
        .update_status(volume, &updated)
        .await?
        .unwrap_or_else(|| Arc::clone(volume)))
}
