//! A claim finds its volume: the one it names, one that fits, or one that is made for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, COMPONENT, PROVISIONER, SELECTED_NODE, claim_of, fits_claim,
    provision, reserved_for,
};
use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::Outcome;
use crate::scheduler::node::NodeInfo;
use crate::scheduler::volumes::{claims_of, reaches};
use crate::{pods, quantity};

/// Who is to make the claim's volume; the first is of old.
const STORAGE_PROVISIONER: [&str; 2] = [
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
];

/// How often upstream looks at claims again (`--pvclaimbinder-sync-period`).
const RESYNC: Duration = Duration::from_secs(15);

/// Whom a claim waits for whose class wants a consumer first (pv_controller.go, emitEventForUnboundDelayBindingClaim).
fn awaited(context: &Context, claim: &PersistentVolumeClaim) -> (&'static str, String) {
    let mut pods = context.pods.in_namespace(claim.ns());
    pods.retain(|p| pods::node_name(p).is_none() && !pods::is_terminal(p) && mounts(p, claim.name()));
    let mut names: Vec<&str> = pods.iter().map(|p| p.name()).collect();
    names.sort_unstable();
    match names.as_slice() {
        [] => (
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding".to_owned(),
        ),
        [one] => (
            "WaitForPodScheduled",
            format!("waiting for pod {one} to be scheduled"),
        ),
        several => (
            "WaitForPodScheduled",
            format!("waiting for pods {} to be scheduled", several.join(",")),
        ),
    }
}

fn mounts(pod: &Pod, claim: &str) -> bool {
    claims_of(pod).iter().any(|(name, _)| name == claim)
}

pub(super) async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(claim) = context.claims.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = &claim.spec else { return Ok(None) };
    if let Some(name) = spec.volume_name.as_deref().filter(|n| !n.is_empty()) {
        sync_named(&context, &claim, name).await?;
        return Ok(None);
    }
    let Some(class_name) = &spec.storage_class_name else {
        // Made before there was a default class.
        if let Some(default) = default_class(&context) {
            let mut updated = (*claim).clone();
            updated.spec.get_or_insert_default().storage_class_name = Some(default.name().to_owned());
            context.claims.update(&claim, &updated).await?;
        } else if let Some(volume) = best(&context, &claim, None) {
            bind(&context, &claim, &volume).await?;
        } else {
            pend(
                &context,
                &claim,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )
            .await?;
        }
        return Ok(None);
    };
    let class = context.storage_classes.get(&Key::new("", class_name));
    let waits = class.as_ref().and_then(|c| c.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
    let node = claim.annotation(SELECTED_NODE).filter(|n| !n.is_empty());
    if waits && node.is_none() {
        // One that was made for this very claim need not wait.
        let reserved = best(&context, &claim, None).filter(|v| claim_of(v).is_some());
        if let Some(volume) = reserved {
            bind(&context, &claim, &volume).await?;
            return Ok(None);
        }
        let (reason, message) = awaited(&context, &claim);
        pend(&context, &claim, reason, &message).await?;
        // Nobody tells of pods that come to wait for it.
        return Ok(Some(RESYNC));
    }
    if let Some(volume) = best(&context, &claim, node) {
        bind(&context, &claim, &volume).await?;
        return Ok(None);
    }
    match class {
        // Nothing is made for a claim that goes.
        Some(class) if class.provisioner == PROVISIONER && claim.deleting() => {}
        Some(class) if class.provisioner == PROVISIONER => {
            if let Some(volume) = provision::provision(&context, &claim, &class, node).await? {
                bind(&context, &claim, &volume).await?;
            }
        }
        // One that upstream would have had built in (findProvisionablePlugin).
        Some(class) if class.provisioner.starts_with("kubernetes.io/") => {
            let message = format!("no volume plugin matched name: {}", class.provisioner);
            pend(&context, &claim, "ProvisioningFailed", &message).await?;
        }
        Some(class) => {
            let asked = addressed(&claim, &class.provisioner);
            let claim = context.claims.update(&claim, &asked).await?.unwrap_or(claim);
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation \
                 is delayed, please verify that the provisioner is running and correctly registered.",
                class.provisioner
            );
            pend(&context, &claim, "ExternalProvisioning", &message).await?;
        }
        None if class_name.is_empty() => {
            pend(
                &context,
                &claim,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )
            .await?;
        }
        None => {
            pend(
                &context,
                &claim,
                "ProvisioningFailed",
                &format!("storageclass.storage.k8s.io \"{class_name}\" not found"),
            )
            .await?;
        }
    }
    Ok(None)
}

/// The claim as who provisions volumes wants it: with its name (pv_controller.go, setClaimProvisioner).
fn addressed(claim: &PersistentVolumeClaim, provisioner: &str) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    let annotations = claim.metadata.annotations.get_or_insert_default();
    for key in STORAGE_PROVISIONER {
        annotations.insert(key.into(), provisioner.into());
    }
    claim
}

/// Of several default classes the newest counts, as upstream's.
fn default_class(context: &Context) -> Option<Arc<StorageClass>> {
    let is_default =
        |c: &StorageClass| c.annotation("storageclass.kubernetes.io/is-default-class") == Some("true");
    context
        .storage_classes
        .filter(is_default)
        .into_iter()
        .max_by_key(|c| (c.created(), std::cmp::Reverse(c.name().to_owned())))
}

/// The smallest volume that fits, one that is reserved for the claim first.
fn best(
    context: &Context,
    claim: &PersistentVolumeClaim,
    node: Option<&str>,
) -> Option<Arc<PersistentVolume>> {
    let node = node
        .and_then(|n| context.nodes.get(&Key::new("", n)))
        .map(NodeInfo::new);
    let size = |v: &PersistentVolume| {
        v.spec
            .as_ref()
            .and_then(|s| s.capacity.as_ref())
            .and_then(|c| c.get("storage"))
            .and_then(quantity::units)
    };
    let fitting = context
        .volumes
        .filter(|v| fits_claim(v, claim) && node.as_ref().is_none_or(|n| reaches(v, n)));
    fitting
        .into_iter()
        .min_by_key(|v| (claim_of(v).is_none(), size(v), v.name().to_owned()))
}

async fn sync_named(context: &Context, claim: &PersistentVolumeClaim, name: &str) -> Result<(), Error> {
    let was_bound = claim.annotation(BIND_COMPLETED).is_some();
    match context.volumes.get(&Key::new("", name)) {
        Some(volume) => match claim_of(&volume) {
            Some((key, uid)) if key == claim.key() && uid.as_deref().is_none_or(|u| u == claim.uid()) => {
                bind(context, claim, &volume).await
            }
            None => match mismatch(&volume, claim).filter(|_| !was_bound) {
                None => bind(context, claim, &volume).await,
                Some(why) => {
                    let message = format!("Cannot bind to requested volume \"{name}\": {why}");
                    pend(context, claim, "VolumeMismatch", &message).await
                }
            },
            Some(_) if was_bound => {
                lose(
                    context,
                    claim,
                    "ClaimMisbound",
                    "Two claims are bound to the same volume, this one is bound incorrectly",
                )
                .await
            }
            Some(_) => {
                pend(
                    context,
                    claim,
                    "FailedBinding",
                    &format!("volume \"{name}\" already bound to a different claim."),
                )
                .await
            }
        },
        None if was_bound => {
            lose(
                context,
                claim,
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            )
            .await
        }
        None => set_phase(context, claim, "Pending").await,
    }
}

/// Why a volume that the claim asks for by its name cannot serve it (pv_controller.go, checkVolumeSatisfyClaim).
fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let (have, want) = (volume.spec.as_ref()?, claim.spec.as_ref()?);
    let size = |map: Option<&BTreeMap<String, Quantity>>| {
        map.and_then(|m| m.get("storage"))
            .and_then(quantity::units)
            .unwrap_or(0)
    };
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let mode = |m: &Option<String>| m.clone().unwrap_or_else(|| "Filesystem".into());
    let modes = have.access_modes.as_deref().unwrap_or_default();
    if size(have.capacity.as_ref()) < size(want.resources.as_ref().and_then(|r| r.requests.as_ref())) {
        Some("requested PV is too small")
    } else if text(&have.storage_class_name) != text(&want.storage_class_name) {
        Some("storageClassName does not match")
    } else if text(&have.volume_attributes_class_name) != text(&want.volume_attributes_class_name) {
        Some("volumeAttributesClassName does not match")
    } else if mode(&have.volume_mode) != mode(&want.volume_mode) {
        Some("incompatible volumeMode")
    } else if want.access_modes.iter().flatten().any(|m| !modes.contains(m)) {
        Some("incompatible accessMode")
    } else {
        None
    }
}

/// Ties both ends: the volume first, since it is what two claims may want.
async fn bind(
    context: &Context,
    claim: &PersistentVolumeClaim,
    volume: &Arc<PersistentVolume>,
) -> Result<(), Error> {
    let updated = reserved_for(volume, claim);
    let volume = context
        .volumes
        .update(volume, &updated)
        .await?
        .unwrap_or_else(|| Arc::clone(volume));
    super::reclaim::set_phase(context, &volume, "Bound").await?;

    let mut bound = claim.clone();
    let spec = bound.spec.get_or_insert_default();
    let annotations = bound.metadata.annotations.get_or_insert_default();
    if spec.volume_name.as_deref() != Some(volume.name()) {
        spec.volume_name = Some(volume.name().to_owned());
        annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    annotations.insert(BIND_COMPLETED.into(), "yes".into());
    let named = context.claims.update(claim, &bound).await?;
    let current = named.as_deref().unwrap_or(claim);
    let mut told = current.clone();
    let volume_spec = volume.spec.clone().unwrap_or_default();
    // Later it is for who changes the volume to say (pv_controller.go, updateClaimStatus).
    let status = told.status.get_or_insert_default();
    if status.phase.as_deref() != Some("Bound") {
        status.current_volume_attributes_class_name = volume_spec.volume_attributes_class_name;
    }
    told.status = Some(PersistentVolumeClaimStatus {
        phase: Some("Bound".into()),
        access_modes: volume_spec.access_modes,
        capacity: volume_spec.capacity,
        ..told.status.unwrap_or_default()
    });
    context.claims.update_status(current, &told).await?;
    Ok(())
}

async fn pend(
    context: &Context,
    claim: &PersistentVolumeClaim,
    reason: &str,
    message: &str,
) -> Result<(), Error> {
    // Without a volume for it a claim just waits; with one that it cannot have, something is wrong.
    let named = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref());
    let waits = named.is_none_or(str::is_empty);
    if waits && reason != "ProvisioningFailed" {
        context.events.normal(COMPONENT, claim, reason, message);
    } else {
        context.events.warning(COMPONENT, claim, reason, message);
    }
    set_phase(context, claim, "Pending").await
}

async fn lose(
    context: &Context,
    claim: &PersistentVolumeClaim,
    reason: &str,
    message: &str,
) -> Result<(), Error> {
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Lost") {
        context.events.warning(COMPONENT, claim, reason, message);
    }
    set_phase(context, claim, "Lost").await
}

async fn set_phase(context: &Context, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Error> {
    let mut updated = claim.clone();
    updated.status = Some(PersistentVolumeClaimStatus {
        phase: Some(phase.into()),
        ..PersistentVolumeClaimStatus::default()
    });
    context.claims.update_status(claim, &updated).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn why_a_volume_that_was_asked_for_does_not_serve() {
        let volume: PersistentVolume =
            serde_json::from_value(json!({"spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "storageClassName": "s"}}))
            .unwrap();
        let why = |size: &str, class: &str, access: &str, more: Value| {
            let mut spec = json!({"accessModes": [access], "storageClassName": class, "resources": {"requests": {"storage": size}}});
            spec["volumeMode"] = more;
            mismatch(&volume, &serde_json::from_value(json!({"spec": spec})).unwrap())
        };
        assert_eq!(why("1Gi", "s", "ReadWriteOnce", Value::Null), None);
        assert_eq!(
            why("2Gi", "t", "ReadWriteMany", Value::Null),
            Some("requested PV is too small")
        );
        assert_eq!(
            why("1Gi", "t", "ReadWriteMany", Value::Null),
            Some("storageClassName does not match")
        );
        assert_eq!(
            why("1Gi", "s", "ReadWriteMany", json!("Block")),
            Some("incompatible volumeMode")
        );
        assert_eq!(
            why("1Gi", "s", "ReadWriteMany", Value::Null),
            Some("incompatible accessMode")
        );
    }
}
