//! Claims and volumes: binding, the `local-path` provisioner, reclaiming, and protection of what is in use
//! (pkg/controller/volume/{persistentvolume,pvcprotection,pvprotection}, ephemeral volumes).

mod claim;
mod ephemeral;
mod expand;
mod protection;
mod provision;
mod reclaim;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Queue, run};
use crate::{quantity, selector};

/// The scheduler names the node on the claim of a class that waits for its first consumer.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Our provisioner's name, in storage classes and on volumes.
pub(crate) const PROVISIONER: &str = "cncfdemo.io/local-path";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const COMPONENT: &str = "persistentvolume-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let claims: Arc<Queue<Key>> = Queue::new();
    let volumes: Arc<Queue<Key>> = Queue::new();
    let (c, v) = (Arc::clone(&claims), Arc::clone(&volumes));
    context.claims.on_change(move |change| {
        if let Some(claim) = change.any() {
            c.add(claim.key());
            if let Some(volume) = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) {
                v.add(Key::new("", volume));
            }
            // A volume that was made for the claim but never bound to it is known by its name only.
            if change.new.is_none() {
                v.add(Key::new("", &format!("pvc-{}", claim.uid())));
            }
        }
    });
    let (c, v) = (Arc::clone(&claims), Arc::clone(&volumes));
    let weak = Arc::downgrade(context);
    context.volumes.on_change(move |change| {
        let Some(volume) = change.any() else { return };
        v.add(volume.key());
        match claim_of(volume) {
            Some((key, _)) => c.add(key),
            None => {
                if let Some(context) = weak.upgrade() {
                    for claim in context.claims.filter(|c| !is_bound(c)) {
                        c.add(claim.key());
                    }
                }
            }
        }
    });
    let c = Arc::clone(&claims);
    let weak = Arc::downgrade(context);
    context.storage_classes.on_change(move |_| {
        if let Some(context) = weak.upgrade() {
            for claim in context.claims.filter(|c| !is_bound(c)) {
                c.add(claim.key());
            }
        }
    });
    let shared = Arc::clone(context);
    run(tasks, "claims", &claims, 4, move |key| {
        claim::sync(Arc::clone(&shared), key)
    });
    let shared = Arc::clone(context);
    run(tasks, "volumes", &volumes, 2, move |key| {
        reclaim::sync(Arc::clone(&shared), key)
    });
    protection::start(context, tasks);
    ephemeral::start(context, tasks);
    expand::start(context);
}

/// Whether the claim has its volume, and says so.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let named = claim
        .spec
        .as_ref()
        .and_then(|s| s.volume_name.as_deref())
        .is_some_and(|v| !v.is_empty());
    named && claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound")
}

/// The claim that a volume belongs to, and its uid if that is fixed.
fn claim_of(volume: &PersistentVolume) -> Option<(Key, Option<String>)> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    let key = Key::new(
        reference.namespace.as_deref().unwrap_or_default(),
        reference.name.as_deref().unwrap_or_default(),
    );
    Some((key, reference.uid.clone().filter(|u| !u.is_empty())))
}

/// The volume, tied to the claim (component-helpers `storage/volume/helpers.go`, GetBindVolumeToClaim).
pub(crate) fn reserved_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut volume = volume.clone();
    let spec = volume.spec.get_or_insert_default();
    if spec.claim_ref.as_ref().and_then(|r| r.uid.as_deref()) == Some(claim.uid()) {
        return volume;
    }
    if spec.claim_ref.is_none() {
        let annotations = volume.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    spec.claim_ref = Some(reference_to(claim));
    volume
}

/// What a volume says of the claim that has it.
fn reference_to(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: Some(claim.ns().to_owned()),
        name: Some(claim.name().to_owned()),
        uid: Some(claim.uid().to_owned()),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Whether a volume could serve a claim: free or reserved for it, class, modes, size, selector.
pub(crate) fn fits_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(have), Some(want)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    if volume.deleting() {
        return false;
    }
    match claim_of(volume) {
        Some((key, uid)) if key != claim.key() || uid.as_ref().is_some_and(|u| u != claim.uid()) => {
            return false;
        }
        _ => {}
    }
    if volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Released") {
        return false;
    }
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let mode = |m: &Option<String>| m.clone().unwrap_or_else(|| "Filesystem".into());
    let modes = have.access_modes.clone().unwrap_or_default();
    let size = |map: Option<&std::collections::BTreeMap<_, _>>| {
        map.and_then(|m| m.get("storage"))
            .and_then(quantity::units)
            .unwrap_or(0)
    };
    let fits = mode(&have.volume_mode) == mode(&want.volume_mode)
        && text(&have.volume_attributes_class_name) == text(&want.volume_attributes_class_name)
        && size(have.capacity.as_ref()) >= size(want.resources.as_ref().and_then(|r| r.requests.as_ref()));
    // What is reserved for the claim need not be of its class (component-helpers `storage/volume/pv_helpers.go`, FindMatchingVolume).
    let chosen = || {
        text(&have.storage_class_name) == text(&want.storage_class_name)
            && want.access_modes.iter().flatten().all(|m| modes.contains(m))
            && want
                .selector
                .as_ref()
                .is_none_or(|s| selector::matches(s, volume.metadata.labels.as_ref()))
    };
    fits && (have.claim_ref.is_some() || chosen())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_volume_fits() {
        let volume = |size: &str, claim: serde_json::Value| -> PersistentVolume {
            serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "s", "claimRef": claim}})).unwrap()
        };
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"namespace": "n", "name": "c", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}}))
        .unwrap();
        assert!(fits_claim(&volume("1Gi", json!(null)), &claim));
        assert!(!fits_claim(&volume("1Mi", json!(null)), &claim));
        assert!(fits_claim(
            &volume("2Gi", json!({"namespace": "n", "name": "c"})),
            &claim
        ));
        assert!(!fits_claim(
            &volume("2Gi", json!({"namespace": "n", "name": "c", "uid": "other"})),
            &claim
        ));
        assert!(!fits_claim(
            &volume("2Gi", json!({"namespace": "n", "name": "d"})),
            &claim
        ));
        let mut gold = claim.clone();
        let spec = gold.spec.get_or_insert_default();
        spec.volume_attributes_class_name = Some("gold".into());
        assert!(!fits_claim(&volume("1Gi", json!(null)), &gold));
        let mut other = claim;
        other.spec.get_or_insert_default().storage_class_name = Some("other".into());
        assert!(!fits_claim(&volume("1Gi", json!(null)), &other));
        assert!(fits_claim(
            &volume("2Gi", json!({"namespace": "n", "name": "c"})),
            &other
        ));
    }
}
