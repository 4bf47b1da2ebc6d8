//! What a pod's volumes mean for where it can run (plugins/volumebinding).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

use super::Snapshot;
use super::filter::{Reason, matches_node_selector};
use super::node::NodeInfo;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::volumes::{fits_claim, is_bound};

/// One claim of the pod.
pub(crate) enum Need {
    /// It has a volume, which may be tied to nodes.
    Bound(Arc<PersistentVolume>),
    /// Nobody else may use it (plugins/volumerestrictions).
    Alone(Key),
    /// It gets one on the node that is chosen: one of these, or a new one if that is possible.
    OnDemand {
        claim: Arc<PersistentVolumeClaim>,
        candidates: Vec<Arc<PersistentVolume>>,
        provisioned: bool,
    },
}

/// The claims that a pod mounts; ephemeral volumes have claims named after the pod.
pub(crate) fn claims_of(pod: &Pod) -> Vec<(String, bool)> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|v| match (&v.persistent_volume_claim, &v.ephemeral) {
            (Some(claim), _) => Some((claim.claim_name.clone(), false)),
            (None, Some(_)) => Some((format!("{}-{}", pod.name(), v.name), true)),
            _ => None,
        })
        .collect()
}

/// What the pod's claims need, or why the pod cannot run anywhere yet.
pub(crate) fn needs(context: &Context, pod: &Pod) -> Result<Vec<Need>, String> {
    let mut needs = Vec::new();
    for (name, ephemeral) in claims_of(pod) {
        let Some(claim) = context.claims.get(&Key::new(pod.ns(), &name)) else {
            return Err(if ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                )
            } else {
                format!("persistentvolumeclaim \"{name}\" not found")
            });
        };
        if claim.deleting() {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost") {
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{}\"",
                claim
                    .spec
                    .as_ref()
                    .and_then(|s| s.volume_name.clone())
                    .unwrap_or_default()
            ));
        }
        let modes = claim.spec.iter().flat_map(|s| s.access_modes.iter().flatten());
        if !ephemeral && modes.into_iter().any(|m| m == "ReadWriteOncePod") {
            needs.push(Need::Alone(claim.key()));
        }
        if is_bound(&claim) {
            let volume = claim
                .spec
                .as_ref()
                .and_then(|s| s.volume_name.as_deref())
                .unwrap_or_default();
            match context.volumes.get(&Key::new("", volume)) {
                Some(volume) => needs.push(Need::Bound(volume)),
                None => {
                    return Err(format!(
                        "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
                    ));
                }
            }
            continue;
        }
        let class = claim
            .spec
            .as_ref()
            .and_then(|s| s.storage_class_name.clone())
            .unwrap_or_default();
        let class = context.storage_classes.get(&Key::new("", &class));
        let waits =
            class.as_ref().and_then(|c| c.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
        if !waits {
            return Err("pod has unbound immediate PersistentVolumeClaims".into());
        }
        needs.push(Need::OnDemand {
            candidates: context.volumes.filter(|v| fits_claim(v, &claim)),
            provisioned: class.is_some_and(|c| c.provisioner != "kubernetes.io/no-provisioner"),
            claim,
        });
    }
    Ok(needs)
}

/// Whether the volume may be used on the node.
pub(crate) fn reaches(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let required = volume
        .spec
        .as_ref()
        .and_then(|s| s.node_affinity.as_ref())
        .and_then(|a| a.required.as_ref());
    required.is_none_or(|r| matches_node_selector(r, node.name(), node.node.metadata.labels.as_ref()))
}

/// Whether a pod uses the claim.
fn uses(pod: &Pod, claim: &Key) -> bool {
    pod.ns() == claim.namespace && claims_of(pod).iter().any(|(name, _)| *name == claim.name)
}

/// A claim that only one pod may use is taken wherever that pod is. The node is looked at as it is given: without whom would have to leave it.
pub(crate) fn alone(needs: &[Need], node: &NodeInfo, snapshot: &Snapshot) -> Result<(), Reason> {
    let elsewhere = || snapshot.nodes.values().filter(|n| n.name() != node.name());
    for need in needs {
        if let Need::Alone(claim) = need
            && elsewhere()
                .chain([node])
                .flat_map(|n| n.pods.values())
                .any(|p| uses(&p.pod, claim))
        {
            return Err(Reason::resolvable(
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            ));
        }
    }
    Ok(())
}

pub(crate) fn filter(needs: &[Need], node: &NodeInfo) -> Result<(), Reason> {
    for need in needs {
        match need {
            Need::Bound(volume) if !reaches(volume, node) => {
                return Err(Reason::final_(
                    "node(s) didn't match PersistentVolume's node affinity",
                ));
            }
            Need::OnDemand {
                candidates,
                provisioned: false,
                ..
            } if !candidates.iter().any(|v| reaches(v, node)) => {
                return Err(Reason::final_(
                    "node(s) didn't find available persistent volumes to bind",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{node, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_local_volume_ties_to_its_node() {
        let volume: PersistentVolume = serde_json::from_value(json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]}]}}}}))
        .unwrap();
        let needs = [Need::Bound(Arc::new(volume))];
        assert!(filter(&needs, &node("a", "1", json!({}))).is_ok());
        assert!(!filter(&needs, &node("b", "1", json!({}))).unwrap_err().resolvable);
    }

    #[test]
    fn a_claim_for_one_pod_is_taken_on_all_nodes() {
        let mounting = |name: &str, claim: &str| {
            pod(
                name,
                json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}),
            )
        };
        let (mut a, b) = (node("a", "1", json!({})), node("b", "1", json!({})));
        a.add(mounting("p", "c"));
        let snapshot = Snapshot {
            nodes: [("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())].into(),
            ..Snapshot::default()
        };
        let needs = |claim: &str| [Need::Alone(Key::new("d", claim))];
        assert!(alone(&needs("c"), &b, &snapshot).unwrap_err().resolvable);
        assert!(alone(&needs("other"), &b, &snapshot).is_ok());
        a.remove("p");
        assert!(alone(&needs("c"), &a, &snapshot).is_ok());
    }
}
