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
    // One that is being deleted, too: as long as it is said to be bound it is protected.
    let Some(volume) = context.volumes.get(&key) else {
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
    let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    if volume.deleting() && phase != Some("Bound") {
        return Ok(None); // it is on its way
    }
    let volume = set_phase(&context, &volume, "Released").await?;
    let policy = volume
        .spec
        .as_ref()
        .and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    if policy == Some("Delete") && volume.annotation(PROVISIONED_BY) == Some(PROVISIONER) {
        reclaim(&context, &volume).await?;
    } else if let Some((reason, message)) = cannot(&volume).filter(|_| !volume.deleting()) {
        fail(&context, &volume, reason, &message).await?;
    }
    Ok(None)
}

/// Why a volume that nobody provisioned cannot be deleted or cleaned as its policy asks; nothing where another than this controller
/// has to see to it (pv_controller.go, findDeletablePlugin and recycleVolumeOperation).
fn cannot(volume: &PersistentVolume) -> Option<(&'static str, String)> {
    let spec = volume.spec.as_ref()?;
    let other = volume.annotation(PROVISIONED_BY).is_some_and(|p| !p.is_empty());
    match spec.persistent_volume_reclaim_policy.as_deref()? {
        "Delete" if other || spec.csi.is_some() => None,
        "Delete" => {
            let why = match &spec.host_path {
                // Below /tmp upstream would delete it; here a folder that was not made here is never removed.
                Some(host)
                    if host
                        .path
                        .split_once("/tmp/")
                        .is_some_and(|(_, rest)| !rest.is_empty()) =>
                {
                    return None;
                }
                Some(host) => format!(
                    "host_path deleter only supports /tmp/.+ but received provided {}",
                    host.path
                ),
                None => {
                    // Kinds that the controller has a plugin for, though none that deletes.
                    let known = spec.nfs.is_some() || spec.fc.is_some() || spec.iscsi.is_some();
                    format!(
                        "error getting deleter volume plugin for volume {:?}: no {}volume plugin matched",
                        volume.name(),
                        if known { "deletable " } else { "" }
                    )
                }
            };
            Some(("VolumeFailedDelete", why))
        }
        "Recycle" if spec.host_path.is_none() && spec.nfs.is_none() => {
            let why = "No recycler plugin found for the volume!";
            Some(("VolumeFailedRecycle", why.to_owned()))
        }
        _ => None,
    }
}

/// Says once why a volume cannot be reclaimed (updateVolumePhaseWithEvent).
async fn fail(
    context: &Context,
    volume: &Arc<PersistentVolume>,
    reason: &str,
    message: &str,
) -> Result<(), Error> {
    if volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Failed") {
        return Ok(());
    }
    let mut failed = (**volume).clone();
    failed.status = Some(PersistentVolumeStatus {
        phase: Some("Failed".into()),
        message: Some(message.to_owned()),
        last_phase_transition_time: Some(now()),
        ..PersistentVolumeStatus::default()
    });
    context.volumes.update_status(volume, &failed).await?;
    context.events.warning(COMPONENT, &**volume, reason, message);
    Ok(())
}

/// Deletes the folder, then the volume. Only a folder directly below ours is ever handed out for deletion.
async fn reclaim(context: &Context, volume: &Arc<PersistentVolume>) -> Result<(), Error> {
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
            fail(context, volume, "VolumeFailedDelete", message).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_nobody_can_reclaim() {
        let why = |policy: &str, source: Value, by: Option<&str>| {
            let mut spec = source;
            spec["persistentVolumeReclaimPolicy"] = json!(policy);
            let annotations = by.map(|by| json!({PROVISIONED_BY: by}));
            let volume = json!({"metadata": {"name": "v", "annotations": annotations}, "spec": spec});
            cannot(&serde_json::from_value(volume).unwrap())
        };
        let (host, nfs) = (
            json!({"hostPath": {"path": "/mnt/v"}}),
            json!({"nfs": {"server": "s", "path": "/"}}),
        );
        let told = |reason, message: &str| Some((reason, message.to_owned()));
        assert_eq!(
            why("Delete", host.clone(), None),
            told(
                "VolumeFailedDelete",
                "host_path deleter only supports /tmp/.+ but received provided /mnt/v"
            )
        );
        assert_eq!(
            why("Delete", nfs.clone(), None),
            told(
                "VolumeFailedDelete",
                "error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched"
            )
        );
        assert_eq!(
            why("Delete", json!({"local": {"path": "/x"}}), None),
            told(
                "VolumeFailedDelete",
                "error getting deleter volume plugin for volume \"v\": no volume plugin matched"
            )
        );
        assert_eq!(why("Delete", nfs.clone(), Some("example.com/nfs")), None);
        let csi = json!({"csi": {"driver": "d", "volumeHandle": "h"}});
        assert_eq!(why("Delete", csi.clone(), None), None);
        assert_eq!(
            why("Recycle", csi, None),
            told("VolumeFailedRecycle", "No recycler plugin found for the volume!")
        );
        assert_eq!(why("Recycle", nfs, None), None);
        assert_eq!(why("Retain", host, None), None);
    }
}
