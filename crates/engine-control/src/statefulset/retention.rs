//! persistentVolumeClaimRetentionPolicy: whether claims go with their set, or with their pod when the set shrinks.
//! It is expressed by owner references, so the garbage collector does the rest (stateful_set_utils.go, stateful_pod_control.go).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{COMPONENT, Step, identity};
use crate::Error;
use crate::meta::{Meta, controller_ref};

impl Step {
    fn deletes_when(&self, scaled: bool) -> bool {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        let rule = policy.and_then(|p| {
            if scaled {
                p.when_scaled.as_deref()
            } else {
                p.when_deleted.as_deref()
            }
        });
        rule == Some("Delete")
    }

    /// Whether a claim of the ordinal still belongs to the pod that was there before, and goes with it (PodClaimIsStale).
    pub(super) fn has_stale_claim(&self, ordinal: i32) -> bool {
        let pod = format!("{}-{ordinal}", self.set.name());
        self.deletes_when(true)
            && identity::claims(&self.set, ordinal).iter().any(|claim| {
                let claim = self.context.claims.get(&claim.key());
                claim.is_some_and(|c| c.owners().iter().any(|o| o.kind == "Pod" && o.name == pod))
            })
    }

    fn claims_of(&self, pod: &Pod) -> Vec<Arc<PersistentVolumeClaim>> {
        let ordinal = identity::ordinal(self.set.name(), pod.name());
        let claims = ordinal.map(|ordinal| identity::claims(&self.set, ordinal));
        let claims = claims.unwrap_or_default();
        claims
            .iter()
            .filter_map(|claim| self.context.claims.get(&claim.key()))
            .collect()
    }

    /// Whether the pod's claims have the owners that the policy wants (ClaimsMatchRetentionPolicy).
    pub(super) fn claims_fit(&self, pod: &Pod) -> bool {
        self.claims_of(pod)
            .iter()
            .all(|claim| self.owners_for(claim, pod).is_none())
    }

    /// Gives the pod's claims the owners that the policy wants (UpdatePodClaimForRetentionPolicy).
    pub(super) async fn settle_claims(&self, pod: &Pod) -> Result<(), Error> {
        for claim in self.claims_of(pod) {
            if self.is_contested(&claim, pod) {
                let message = format!(
                    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the retention policy is \
                     ignored for this claim",
                    claim.name()
                );
                self.context
                    .events
                    .warning(COMPONENT, &*self.set, "ConflictingController", message);
            }
            if let Some(owners) = self.owners_for(&claim, pod) {
                let mut updated = (*claim).clone();
                updated.metadata.owner_references = Some(owners).filter(|o| !o.is_empty());
                self.context.claims.update(&claim, &updated).await?;
            }
        }
        Ok(())
    }

    fn is_set(&self, owner: &OwnerReference) -> bool {
        owner.kind == "StatefulSet" && owner.api_version == "apps/v1" && owner.name == self.set.name()
    }

    /// Whether the claim belongs to somebody else, or to a set or a pod that was here before (hasUnexpectedController).
    fn is_contested(&self, claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
        (self.deletes_when(true) || self.deletes_when(false))
            && claim.owners().iter().any(|owner| {
                if self.is_set(owner) {
                    owner.uid != self.set.uid()
                } else if is_pod(owner, pod) {
                    owner.uid != pod.uid()
                } else {
                    owner.controller == Some(true)
                }
            })
    }

    /// The owners that the claim should have, unless it has them (isClaimOwnerUpToDate, updateClaimOwnerRefForSetAndPod).
    fn owners_for(&self, claim: &PersistentVolumeClaim, pod: &Pod) -> Option<Vec<OwnerReference>> {
        let before = claim.owners();
        let stale = |o: &OwnerReference| {
            self.is_set(o) && o.uid != self.set.uid() || is_pod(o, pod) && o.uid != pod.uid()
        };
        if before.iter().any(stale) {
            return None; // it belongs to those that were here before, and may go with them
        }
        let mut owners: Vec<OwnerReference> = before.to_vec();
        owners.retain(|o| !self.is_set(o) && !is_pod(o, pod));
        if !self.is_contested(claim, pod) {
            let range = self.start_ordinal()..self.start_ordinal() + self.replicas();
            let ordinal = identity::ordinal(self.set.name(), pod.name());
            let condemned = ordinal.is_none_or(|ordinal| !range.contains(&ordinal));
            if condemned && self.deletes_when(true) {
                owners.push(controller_ref(pod));
            } else if self.deletes_when(false) {
                owners.push(controller_ref(&*self.set));
            }
        }
        let kept = |o: &OwnerReference| before.contains(o);
        (owners.len() != before.len() || !owners.iter().all(kept)).then_some(owners)
    }
}

fn is_pod(owner: &OwnerReference, pod: &Pod) -> bool {
    owner.kind == "Pod" && owner.api_version == "v1" && owner.name == pod.name()
}
