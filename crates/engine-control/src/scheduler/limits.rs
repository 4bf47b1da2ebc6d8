//! How many volumes of a driver a node can hold (plugins/nodevolumelimits/csi.go).
//!
//! Only nodes whose CSINode tells of a limit are counted, and only for pods that bring volumes of a driver; who holds what is looked up once
//! for an attempt, so that the filter itself stays pure. Volumes that were once built in are not translated to their drivers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::CSINode;

use super::Snapshot;
use super::filter::Reason;
use super::node::NodeInfo;
use super::volumes::claims_of;
use crate::context::Context;
use crate::meta::{Key, Meta};

/// A volume by its driver and that driver's name for it.
type Handle = (String, String);

/// What an attempt has to know of volumes that are attached.
#[derive(Default)]
pub(crate) struct Attached {
    /// What the pod brings.
    new: BTreeSet<Handle>,
    nodes: HashMap<String, OnNode>,
    /// What the pods on those nodes have, by uid.
    pods: HashMap<String, Vec<Handle>>,
}

#[derive(Default)]
struct OnNode {
    /// By driver.
    limits: BTreeMap<String, i64>,
    /// What VolumeAttachments tell of.
    attachments: BTreeSet<Handle>,
}

impl Attached {
    /// `None` when there is nothing to count.
    pub fn look(context: &Context, snapshot: &Snapshot, pod: &Pod) -> Option<Self> {
        let limits: HashMap<String, BTreeMap<String, i64>> = context
            .csi_nodes
            .all()
            .iter()
            .map(|n| (n.name().to_owned(), limits(n)))
            .filter(|(_, limits)| !limits.is_empty())
            .collect();
        if limits.is_empty() {
            return None;
        }
        let new: BTreeSet<Handle> = handles(context, pod).into_iter().collect();
        if new.is_empty() {
            return None;
        }
        let mut found = Self {
            new,
            ..Self::default()
        };
        for (name, limits) in limits {
            let Some(node) = snapshot.nodes.get(&name) else {
                continue;
            };
            for pod in node.pods.values() {
                let held = handles(context, &pod.pod);
                found.pods.insert(pod.pod.uid().to_owned(), held);
            }
            let attachments = attachments(context, &name);
            found.nodes.insert(name, OnNode { limits, attachments });
        }
        Some(found)
    }

    /// The node is looked at as it is given: without whom would have to leave it.
    pub fn filter(&self, node: &NodeInfo) -> Result<(), Reason> {
        let Some(known) = self.nodes.get(node.name()) else {
            return Ok(());
        };
        let of_pods: BTreeSet<&Handle> = node
            .pods
            .keys()
            .filter_map(|uid| self.pods.get(uid))
            .flatten()
            .collect();
        let held = || of_pods.iter().copied().chain(&known.attachments);
        let held: BTreeSet<&Handle> = held().collect();
        let new = || self.new.iter().filter(|h| !of_pods.contains(h));
        for (driver, most) in &known.limits {
            let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let more = count(new().filter(|h| h.0 == *driver).count());
            let there = count(held.iter().filter(|h| h.0 == *driver).count());
            if more > 0 && there + more > *most {
                return Err(Reason::resolvable("node(s) exceed max volume count"));
            }
        }
        Ok(())
    }
}

fn limits(node: &CSINode) -> BTreeMap<String, i64> {
    let drivers = node.spec.drivers.iter();
    drivers
        .filter_map(|d| Some((d.name.clone(), i64::from(d.allocatable.as_ref()?.count?))))
        .collect()
}

fn attachments(context: &Context, node: &str) -> BTreeSet<Handle> {
    let all = context.attachments.filter(|a| a.spec.node_name == node);
    all.iter()
        .filter_map(|a| {
            let volume = a.spec.source.persistent_volume_name.as_deref()?;
            let volume = context.volumes.get(&Key::new("", volume))?;
            let handle = volume.spec.as_ref()?.csi.as_ref()?.volume_handle.clone();
            Some((a.spec.attacher.clone(), handle)).filter(|(attacher, _)| !attacher.is_empty())
        })
        .collect()
}

fn handles(context: &Context, pod: &Pod) -> Vec<Handle> {
    let claims = claims_of(pod).into_iter();
    claims
        .filter_map(|(name, _)| handle(context, &*context.claims.get(&Key::new(pod.ns(), &name))?))
        .collect()
}

/// A claim without a volume counts for the driver of its class, under a name that no volume has.
fn handle(context: &Context, claim: &PersistentVolumeClaim) -> Option<Handle> {
    let spec = claim.spec.as_ref()?;
    let name = spec.volume_name.as_deref().filter(|n| !n.is_empty());
    if let Some(volume) = name.and_then(|n| context.volumes.get(&Key::new("", n))) {
        let csi = volume.spec.as_ref()?.csi.as_ref()?;
        return Some((csi.driver.clone(), csi.volume_handle.clone()));
    }
    let class = spec.storage_class_name.as_deref()?;
    let class = context.storage_classes.get(&Key::new("", class))?;
    let unnamed = format!("\u{0}{}/{}", claim.ns(), claim.name());
    Some((class.provisioner.clone(), unnamed))
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::{node, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_count_once_and_those_of_others_do_not_count() {
        let handle = |driver: &str, name: &str| (driver.to_owned(), name.to_owned());
        let mut n = node("n", "1", json!({}));
        n.add(pod("a", json!({})));
        let mut attached = Attached {
            new: [handle("d", "1"), handle("e", "1")].into(),
            nodes: [(
                "n".to_owned(),
                OnNode {
                    limits: [("d".to_owned(), 2)].into(),
                    attachments: [handle("d", "2")].into(),
                },
            )]
            .into(),
            pods: [("a".to_owned(), vec![handle("d", "2"), handle("d", "3")])].into(),
        };
        assert_eq!(
            attached.filter(&n).unwrap_err(),
            Reason::resolvable("node(s) exceed max volume count")
        );
        // The pod's volume is there already.
        attached.new = [handle("d", "3"), handle("e", "9")].into();
        assert!(attached.filter(&n).is_ok());
        // Without the other pod there is room, though its attachment is still there.
        attached.new = [handle("d", "1")].into();
        n.remove("a");
        assert!(attached.filter(&n).is_ok());
        attached.new.insert(handle("d", "4"));
        assert!(attached.filter(&n).is_err());
        assert!(attached.filter(&node("other", "1", json!({}))).is_ok());
    }

    #[test]
    fn only_a_count_is_a_limit() {
        let node: CSINode = serde_json::from_value(
            json!({"spec": {"drivers": [{"name": "a", "nodeID": "x", "allocatable": {"count": 0}},
            {"name": "b", "nodeID": "x"}, {"name": "c", "nodeID": "x", "allocatable": {}}]}}),
        )
        .unwrap();
        assert_eq!(limits(&node), [("a".to_owned(), 0)].into());
    }
}
