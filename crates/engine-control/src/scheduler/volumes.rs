//! What a pod's volumes mean for where it can run (plugins/volumebinding, volumezone, volumerestrictions).

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};

use super::Snapshot;
use super::filter::{Reason, matches_node_selector};
use super::limits::Attached;
use super::node::NodeInfo;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::selector::Labels;
use crate::volumes::{SELECTED_NODE, fits_claim, is_bound};
use crate::{quantity, selector};

/// One claim of the pod.
pub(crate) enum Need {
    /// It has a volume, which may be tied to nodes.
    Bound(Arc<PersistentVolume>),
    /// Nobody else may use it (plugins/volumerestrictions).
    Alone(Key),
    /// Volumes of drivers that attach only so many to a node.
    Counted(Attached),
    /// Not a volume but a device (plugins/dynamicresources).
    Devices,
    /// It gets one on the node that is chosen: one of these, or a new one if that is possible.
    OnDemand {
        claim: Arc<PersistentVolumeClaim>,
        /// The smallest first.
        candidates: Vec<Arc<PersistentVolume>>,
        provision: Option<Provision>,
    },
}

/// Where a new volume can be made.
pub(crate) struct Provision {
    class: Arc<StorageClass>,
    /// How much there is left, if the driver tells.
    capacities: Option<Vec<Arc<CSIStorageCapacity>>>,
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
        let mut candidates = context.volumes.filter(|v| fits_claim(v, &claim));
        candidates.sort_by_key(|v| {
            let spec = v.spec.as_ref();
            let free = spec.is_none_or(|s| s.claim_ref.is_none());
            (free, size(spec.and_then(|s| s.capacity.as_ref())))
        });
        let made = class.filter(|c| !matches!(&*c.provisioner, "" | "kubernetes.io/no-provisioner"));
        needs.push(Need::OnDemand {
            candidates,
            provision: made.map(|class| Provision {
                capacities: capacities(context, &class),
                class,
            }),
            claim,
        });
    }
    Ok(needs)
}

type Quantities = std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>;

fn size(quantities: Option<&Quantities>) -> i64 {
    let storage = quantities.and_then(|q| q.get("storage"));
    storage.and_then(quantity::units).unwrap_or(0)
}

/// What is told of the storage that a class takes from, if its driver wants to be asked (binder.go, hasEnoughCapacity).
fn capacities(context: &Context, class: &StorageClass) -> Option<Vec<Arc<CSIStorageCapacity>>> {
    let driver = context.csi_drivers.get(&Key::new("", &class.provisioner))?;
    let name = class.name();
    (driver.spec.storage_capacity == Some(true)).then(|| {
        context
            .storage_capacities
            .filter(|c| c.storage_class_name == name)
    })
}

impl Provision {
    /// Whether the class may have volumes on the node (MatchTopologySelectorTerms).
    fn allows(&self, labels: Option<&Labels>) -> bool {
        let terms = self.class.allowed_topologies.as_deref().unwrap_or_default();
        terms.is_empty()
            || terms.iter().any(|term| {
                let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
                let matches = |key, values: &[String]| {
                    labels
                        .and_then(|l| l.get::<String>(key))
                        .is_some_and(|v| values.contains(v))
                };
                !expressions.is_empty() && expressions.iter().all(|e| matches(&e.key, &e.values))
            })
    }

    fn has_room(&self, claim: &PersistentVolumeClaim, labels: Option<&Labels>) -> bool {
        let Some(capacities) = &self.capacities else {
            return true;
        };
        let wanted = wanted(claim);
        capacities.iter().any(|c| {
            let most = c.maximum_volume_size.as_ref().or(c.capacity.as_ref());
            most.and_then(quantity::units).is_some_and(|most| most >= wanted)
                && c.node_topology
                    .as_ref()
                    .is_some_and(|t| selector::matches(t, labels))
        })
    }
}

fn wanted(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    size(resources.and_then(|r| r.requests.as_ref()))
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

/// Whether the node can hold as many volumes.
pub(crate) fn counted(needs: &[Need], node: &NodeInfo) -> Result<(), Reason> {
    needs.iter().try_for_each(|need| match need {
        Need::Counted(attached) => attached.filter(node),
        Need::Bound(_) | Need::Alone(_) | Need::Devices | Need::OnDemand { .. } => Ok(()),
    })
}

/// Whether the claims can be served on the node; all that is wrong is told (binder.go, FindPodVolumes).
pub(crate) fn filter(needs: &[Need], node: &NodeInfo) -> Result<(), Reason> {
    let bound = needs.iter().filter_map(|n| match n {
        Need::Bound(volume) => Some(volume),
        Need::OnDemand { .. } | Need::Alone(_) | Need::Devices | Need::Counted(_) => None,
    });
    let mut texts = Vec::new();
    if bound.into_iter().any(|v| !reaches(v, node)) {
        texts.push("node(s) didn't match PersistentVolume's node affinity".to_owned());
    }
    texts.extend(on_demand(needs, node).err().map(str::to_owned));
    if texts.is_empty() {
        return Ok(());
    }
    Err(Reason {
        texts,
        resolvable: false,
    })
}

/// Where a claim that waited for a node gets its volume from.
pub(crate) struct Origin {
    pub claim: Arc<PersistentVolumeClaim>,
    /// One that is there; otherwise it is made.
    pub volume: Option<Arc<PersistentVolume>>,
}

/// The volumes of claims that wait for a node, or what keeps them from having any there: the smaller claims choose first, and each volume is
/// chosen once.
pub(crate) fn on_demand(needs: &[Need], node: &NodeInfo) -> Result<Vec<Origin>, &'static str> {
    const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
    let labels = node.node.metadata.labels.as_ref();
    let mut waiting: Vec<_> = needs
        .iter()
        .filter_map(|n| match n {
            Need::OnDemand {
                claim,
                candidates,
                provision,
            } => Some((claim, candidates, provision.as_ref())),
            Need::Bound(_) | Need::Alone(_) | Need::Devices | Need::Counted(_) => None,
        })
        .collect();
    waiting.sort_by_key(|(claim, ..)| wanted(claim));
    let selected = |c: &PersistentVolumeClaim| c.annotation(SELECTED_NODE).is_some_and(|n| n != node.name());
    if waiting.iter().any(|(claim, ..)| selected(claim)) {
        return Err(NO_VOLUME);
    }
    let mut chosen = HashSet::new();
    let mut origins = Vec::new();
    let mut to_make = Vec::new();
    for (claim, candidates, provision) in waiting {
        let promised = claim.annotation(SELECTED_NODE).is_some();
        let free = |v: &&Arc<PersistentVolume>| !chosen.contains(v.name()) && reaches(v, node);
        let volume = candidates.iter().filter(|_| !promised).find(free).cloned();
        match &volume {
            Some(volume) => drop(chosen.insert(volume.name().to_owned())),
            None => to_make.push((claim, provision)),
        }
        let claim = Arc::clone(claim);
        origins.push(Origin { claim, volume });
    }
    for (claim, provision) in to_make {
        match provision {
            Some(provision) if provision.allows(labels) => {
                if !provision.has_room(claim, labels) {
                    return Err("node(s) did not have enough free storage");
                }
            }
            _ => return Err(NO_VOLUME),
        }
    }
    Ok(origins)
}

/// The zones and regions of which volumes and nodes may bear labels; the first two are what they once were called.
const ZONES: [(&str, &str); 4] = [
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// A volume that is in a zone is used in that zone, if nodes are in zones at all (plugins/volumezone).
pub(crate) fn zone(needs: &[Need], node: &NodeInfo) -> Result<(), Reason> {
    if ZONES.iter().all(|(key, _)| node.label(key).is_none()) {
        return Ok(());
    }
    for need in needs {
        let Need::Bound(volume) = need else { continue };
        for (key, name_now) in ZONES {
            let Some(zones) = volume.label(key) else { continue };
            // A label that names nothing is not heeded (volume/helpers, LabelZonesToSet).
            let zones: Vec<&str> = zones.split("__").map(str::trim).collect();
            if zones.contains(&"") {
                continue;
            }
            let here = node.label(key).or_else(|| node.label(name_now));
            if !here.is_some_and(|z| zones.contains(&z)) {
                return Err(Reason::final_("node(s) had no available volume zone"));
            }
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

    fn words(result: Result<(), Reason>) -> Vec<String> {
        result.err().map(|r| r.texts).unwrap_or_default()
    }

    fn volume(name: &str, labels: serde_json::Value) -> Arc<PersistentVolume> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap())
    }

    #[test]
    fn a_volume_stays_in_its_zone() {
        let zoned = |z: &str| node("n", "1", json!({"labels": {"topology.kubernetes.io/zone": z}}));
        let needs = [Need::Bound(volume(
            "v",
            json!({"failure-domain.beta.kubernetes.io/zone": "a__b"}),
        ))];
        assert!(zone(&needs, &zoned("b")).is_ok());
        assert_eq!(
            words(zone(&needs, &zoned("c"))),
            ["node(s) had no available volume zone"]
        );
        assert!(zone(&needs, &node("n", "1", json!({}))).is_ok());
    }

    #[test]
    fn each_claim_needs_a_volume_of_its_own_or_a_place_to_make_one() {
        let claim = |name: &str, annotations: serde_json::Value| {
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}})).unwrap())
        };
        let need = |name: &str, provision| Need::OnDemand {
            claim: claim(name, json!({})),
            candidates: vec![volume("v", json!({}))],
            provision,
        };
        let n = node("n", "1", json!({"labels": {"zone": "a"}}));
        let none = ["node(s) didn't find available persistent volumes to bind"];
        assert!(filter(&[need("a", None)], &n).is_ok());
        assert_eq!(words(filter(&[need("a", None), need("b", None)], &n)), none);
        let provision = |zone: &str, capacities: Option<&str>| {
            let class = json!({"provisioner": "x.y/z", "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": [zone]}]}]});
            let room = |most| {
                let room = json!({"storageClassName": "c", "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": most});
                Arc::new(serde_json::from_value(room).unwrap())
            };
            Some(Provision {
                class: Arc::new(serde_json::from_value(class).unwrap()),
                capacities: capacities.map(|most| vec![room(most)]),
            })
        };
        assert!(filter(&[need("a", None), need("b", provision("a", None))], &n).is_ok());
        assert!(filter(&[need("a", None), need("b", provision("a", Some("2Gi")))], &n).is_ok());
        assert_eq!(
            words(filter(&[need("a", None), need("b", provision("b", None))], &n)),
            none
        );
        assert_eq!(
            words(filter(
                &[need("a", None), need("b", provision("a", Some("1Gi")))],
                &n
            )),
            ["node(s) did not have enough free storage"]
        );
        let promised = Need::OnDemand {
            claim: claim("a", json!({"volume.kubernetes.io/selected-node": "other"})),
            candidates: vec![volume("v", json!({}))],
            provision: provision("a", None),
        };
        assert_eq!(words(filter(&[promised], &n)), none);
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
