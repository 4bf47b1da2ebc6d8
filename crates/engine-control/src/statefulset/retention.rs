//! persistentVolumeClaimRetentionPolicy: whether claims go with their set, or with their pod when the set shrinks.
//! It is expressed by owner references, so the garbage collector does the rest.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use super::{Step, identity};
use crate::Error;
use crate::meta::{Key, Meta};

/// An owner that is not the controller, as upstream's references on claims.
fn owner<K: Resource<DynamicType = ()>>(object: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}

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
        self.deletes_when(false).then(|| vec![owner(&*self.set)])
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
        let by_pod = condemned && self.deletes_when(true);
        let by_set = self.deletes_when(false) && !by_pod;
        let mut owners: Vec<OwnerReference> = claim.owners().to_vec();
        owners.retain(|o| o.uid != self.set.uid() && !(o.kind == "Pod" && o.name == pod.name()));
        if by_set {
            owners.push(owner(&*self.set));
        }
        if by_pod {
            owners.push(owner(pod));
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
