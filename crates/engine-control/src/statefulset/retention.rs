//! persistentVolumeClaimRetentionPolicy: whether claims go with their set, or with their pod when the set shrinks.
//! It is expressed by owner references, so the garbage collector does the rest.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{COMPONENT, Step, identity};
use crate::Error;
use crate::meta::{Key, Meta, controller_ref};

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

    pub(super) fn owner_of_new_claim(&self) -> Option<Vec<OwnerReference>> {
        self.deletes_when(false).then(|| vec![controller_ref(&*self.set)])
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

    /// Brings the owners of all existing claims in line with the policy.
    pub(super) async fn settle_retention(&self) -> Result<(), Error> {
        if self
            .spec
            .volume_claim_templates
            .as_ref()
            .is_none_or(Vec::is_empty)
        {
            return Ok(());
        }
        for pod in &self.pods {
            let Some(ordinal) = identity::ordinal(self.set.name(), pod.name()) else {
                continue;
            };
            let range = self.start_ordinal()..self.start_ordinal() + self.replicas();
            let condemned = !range.contains(&ordinal);
            for claim in identity::claims(&self.set, ordinal) {
                if let Some(claim) = self.context.claims.get(&Key::of(&claim)) {
                    self.settle(&claim, pod, condemned).await?;
                }
            }
        }
        Ok(())
    }

    async fn settle(&self, claim: &PersistentVolumeClaim, pod: &Pod, condemned: bool) -> Result<(), Error> {
        let is_set = |o: &OwnerReference| o.kind == "StatefulSet" && o.name == self.set.name();
        let is_pod = |o: &OwnerReference| o.kind == "Pod" && o.name == pod.name();
        let before = claim.owners();
        if before
            .iter()
            .any(|o| is_set(o) && o.uid != self.set.uid() || is_pod(o) && o.uid != pod.uid())
        {
            return Ok(()); // it belongs to those that were here before, and may go with them
        }
        let by_pod = condemned && self.deletes_when(true);
        let by_set = self.deletes_when(false) && !by_pod;
        let mut owners: Vec<OwnerReference> = before.to_vec();
        owners.retain(|o| !is_set(o) && !is_pod(o));
        let foreign = owners.iter().any(|o| o.controller == Some(true));
        if foreign && owners.len() < before.len() && (by_set || by_pod) {
            let message = format!(
                "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the retention policy is \
                 ignored for this claim",
                claim.name()
            );
            self.context
                .events
                .warning(COMPONENT, &*self.set, "ConflictingController", message);
        }
        if by_set && !foreign {
            owners.push(controller_ref(&*self.set));
        }
        if by_pod && !foreign {
            owners.push(controller_ref(pod));
        }
        if owners == claim.owners() {
            return Ok(());
        }
        let mut updated = claim.clone();
        updated.metadata.owner_references = Some(owners).filter(|o| !o.is_empty());
        self.context.claims.update(claim, &updated).await?;
        Ok(())
    }
}
