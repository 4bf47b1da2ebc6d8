//! NodeRestriction: a node changes itself and the pods that are bound to it, and of both only what a kubelet has to (kubernetes
//! `plugin/pkg/admission/noderestriction/admission.go`).
use std::collections::BTreeSet;

use kube_types::Quantity;
use schema::KindInfo;
use serde_json::Value;

use super::node_tokens;
use crate::{
    api::{Api, Call},
    auth::{
        node::{self, LEASES},
        node_graph::{MIRROR, names_config_map, names_secret},
    },
    json::{list, text, truth},
    keys,
    status::{ApiError, Result},
    user::User,
};

/// What is about to be done.
pub struct Request<'r> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// The kind; of a subresource, that of its object.
    pub kind: &'static KindInfo,
    /// The subresource, or nothing.
    pub subresource: &'r str,
    /// Where.
    pub namespace: &'r str,
    /// The object's name, empty if it is still to get one.
    pub name: &'r str,
    /// The object as it is to be.
    pub new: &'r Value,
    /// The object as it is.
    pub old: &'r Value,
}

/// Whether requests of this user are looked at.
pub fn is_restricted(user: &User) -> bool {
    !user.is_own && node::identity(user).is_some()
}

/// Refuse what is not for a node to do.
pub fn restrict(api: &Api, call: &Call, request: &Request<'_>) -> Result<()> {
    if !is_restricted(&call.user) {
        return Ok(());
    }
    let node = node::identity(&call.user).unwrap_or_default();
    if node.is_empty() {
        return request.refuse(format!("could not determine node from user {:?}", call.user.name));
    }
    match (request.kind.group, request.kind.plural, request.subresource) {
        ("", "pods", "") => request.pod(api, node),
        ("", "pods", "status") => request.pod_status(node),
        ("", "pods", "eviction") => request.eviction(api, node),
        ("", "pods", other) => request.refuse(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => request.node(node),
        ("", "persistentvolumeclaims", "status") => request.claim_status(node),
        ("", "persistentvolumeclaims", _) => request.refuse("may only update PVC status"),
        ("", "serviceaccounts", "token") if request.operation == "CREATE" => {
            node_tokens::check(api, call, request, node)
        }
        ("coordination.k8s.io", "leases", _) => request.lease(node),
        ("storage.k8s.io", "csinodes", _) => request.csi_node(node),
        ("resource.k8s.io", "resourceslices", _) => request.slice(node),
        ("certificates.k8s.io", "certificatesigningrequests", _) if request.operation == "CREATE" => {
            request.signing(node)
        }
        _ => Ok(()),
    }
}

/// Labels of `kubernetes.io` and `k8s.io` that a node may give itself (`k8s.io/kubelet/pkg/apis/well_known_labels.go`).
const LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// Volumes that need nothing of the API server.
const PLAIN_VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// Other volumes, and what they refer to.
const VOLUMES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];

/// Sources of projected volumes, and what they refer to.
const SOURCES: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

impl Request<'_> {
    /// 403, as admission refuses (apiserver `admission/errors.go`).
    pub fn refuse(&self, why: impl std::fmt::Display) -> Result<()> {
        let name = match (self.name, super::name(self.new)) {
            ("", "") => "Unknown",
            ("", name) | (name, _) => name,
        };
        Err(ApiError::forbidden(self.kind, name, why))
    }

    fn require(&self, holds: bool, why: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { self.refuse(why()) }
    }

    /// The node that a pod of this name is bound to.
    fn bound(&self, api: &Api) -> Result<String> {
        let found = api.store.get(&keys::core("pods", self.namespace, self.name));
        let pod = found.ok_or_else(|| ApiError::not_found_named("pod", self.name))?;
        Ok(text(&pod.look(), "/spec/nodeName").to_owned())
    }

    fn pod(&self, api: &Api, node: &str) -> Result<()> {
        match self.operation {
            "CREATE" => self.new_pod(api, node),
            "DELETE" => self.require(self.bound(api)? == node, || {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            }),
            other => self.refuse(format!(
                "unexpected operation {other:?}, node {node:?} can only create and delete mirror pods"
            )),
        }
    }

    fn new_pod(&self, api: &Api, node: &str) -> Result<()> {
        let pod = self.new;
        self.require(pod.pointer(MIRROR).is_some(), || {
            format!(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"
            )
        })?;
        self.require(text(pod, "/spec/nodeName") == node, || {
            format!("node {node:?} can only create pods with spec.nodeName set to itself")
        })?;
        let itself = || format!("node {node:?} can only create pods with an owner reference set to itself");
        let owner = match list(pod, "/metadata/ownerReferences") {
            [owner] => owner,
            [] => return self.refuse(itself()),
            _ => {
                return self.refuse(format!(
                    "node {node:?} can only create pods with a single owner reference set to itself"
                ));
            }
        };
        self.require(
            owner["apiVersion"] == "v1" && owner["kind"] == "Node" && owner["name"] == node,
            itself,
        )?;
        self.require(truth(owner, "/controller"), || {
            format!("node {node:?} can only create pods with a controller owner reference set to itself")
        })?;
        self.require(!truth(owner, "/blockOwnerDeletion"), || {
            format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
        })?;
        let found = api.store.get(&keys::core("nodes", "", node));
        let own = found
            .ok_or_else(|| ApiError::not_found_named("node", node))?
            .look();
        let (said, uid) = (text(owner, "/uid"), text(&own, "/metadata/uid"));
        self.require(said == uid, || {
            format!("node {node} UID mismatch: expected {said} got {uid}")
        })?;
        match refers(pod) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => self.refuse(format!("node {node:?} can not create pods that reference {what}")),
            Err(why) => self.refuse(format!("error checking mirror pod for API references: {why}")),
        }
    }

    fn pod_status(&self, node: &str) -> Result<()> {
        if self.operation != "UPDATE" {
            return self.refuse(format!("unexpected operation {:?}", self.operation));
        }
        self.require(text(self.old, "/spec/nodeName") == node, || {
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
        })?;
        self.require(self.keeps("/metadata/labels"), || {
            format!("node {node:?} cannot update labels through pod status")
        })?;
        self.require(self.keeps("/status/resourceClaimStatuses"), || {
            format!("node {node:?} cannot update resource claim statues")
        })?;
        self.require(self.keeps("/status/extendedResourceClaimStatus"), || {
            format!("node {node:?} cannot update extended resource claim status")
        })
    }

    /// Whether a part stays as it was.
    fn keeps(&self, pointer: &str) -> bool {
        let part = |object: &Value| bare(object.pointer(pointer).cloned().unwrap_or_default());
        part(self.new) == part(self.old)
    }

    fn eviction(&self, api: &Api, node: &str) -> Result<()> {
        if self.operation != "CREATE" {
            return self.refuse(format!("unexpected operation {}", self.operation));
        }
        self.require(self.bound(api)? == node, || {
            format!("node {node} can only evict pods with spec.nodeName set to itself")
        })
    }

    fn node(&self, node: &str) -> Result<()> {
        self.require(self.name == node, || {
            format!("node {node:?} is not allowed to modify node {:?}", self.name)
        })?;
        let configured = !self.new["spec"]["configSource"].is_null();
        match self.operation {
            "CREATE" => {
                self.require(!configured, || {
                    format!("node {node:?} is not allowed to create pods with a non-nil configSource")
                })?;
                let forbidden = self.forbidden_labels();
                self.require(forbidden.is_empty(), || {
                    format!("node {node:?} is not allowed to set the following labels: {forbidden}")
                })
            }
            "UPDATE" => {
                self.require(!configured || self.keeps("/spec/configSource"), || {
                    format!(
                        "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                    )
                })?;
                self.require(self.keeps("/spec/taints"), || {
                    format!("node {node:?} is not allowed to modify taints")
                })?;
                self.require(self.keeps("/metadata/ownerReferences"), || {
                    format!("node {node:?} is not allowed to modify ownerReferences")
                })?;
                let forbidden = self.forbidden_labels();
                self.require(forbidden.is_empty(), || {
                    format!("is not allowed to modify labels: {forbidden}")
                })
            }
            _ => Ok(()),
        }
    }

    /// The labels that are changed and that no node may change, in order.
    fn forbidden_labels(&self) -> String {
        let (new, old) = (&self.new["metadata"]["labels"], &self.old["metadata"]["labels"]);
        let keys = [new, old].into_iter().filter_map(Value::as_object);
        let keys: BTreeSet<&str> = keys
            .flat_map(|labels| labels.keys().map(String::as_str))
            .filter(|key| new.get(key) != old.get(key) && is_forbidden(key))
            .collect();
        keys.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn claim_status(&self, node: &str) -> Result<()> {
        if self.operation != "UPDATE" {
            return self.refuse(format!("unexpected operation {:?}", self.operation));
        }
        let rest = |claim: &Value| {
            let mut rest = claim.clone();
            for (part, fields) in [
                ("metadata", &["resourceVersion", "managedFields"][..]),
                (
                    "status",
                    &[
                        "capacity",
                        "conditions",
                        "allocatedResources",
                        "allocatedResourceStatuses",
                    ],
                ),
            ] {
                if let Some(part) = rest[part].as_object_mut() {
                    part.retain(|field, _| !fields.contains(&field.as_str()));
                }
            }
            bare(rest)
        };
        self.require(same(&rest(self.new), &rest(self.old)), || {
            format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions: ")
        })
    }

    fn lease(&self, node: &str) -> Result<()> {
        self.require(self.namespace == LEASES, || {
            format!("can only access leases in the {LEASES:?} system namespace")
        })?;
        self.require(self.name == node, || {
            "can only access node lease with the same name as the requesting node".to_owned()
        })
    }

    fn csi_node(&self, node: &str) -> Result<()> {
        self.require(self.name == node, || {
            "can only access CSINode with the same name as the requesting node".to_owned()
        })
    }

    fn slice(&self, node: &str) -> Result<()> {
        let (object, verb) = match self.operation {
            "CREATE" => (self.new, "create"),
            "DELETE" => (self.old, "delete"),
            _ => return Ok(()),
        };
        self.require(text(object, "/spec/nodeName") == node, || {
            format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")
        })
    }

    fn signing(&self, node: &str) -> Result<()> {
        let signer = text(self.new, "/spec/signerName");
        if !matches!(
            signer,
            "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet"
        ) {
            return Ok(());
        }
        match super::certificates::common_name(text(self.new, "/spec/request")) {
            Err(why) => self.refuse(format!("unable to parse csr: {why}")),
            Ok(name) => self.require(name == format!("system:node:{node}"), || {
                format!("can only create a node CSR with CN=system:node:{node}")
            }),
        }
    }
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    let ours = within("kubernetes.io") || within("k8s.io");
    let of_kubelets =
        LABELS.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    within("node-restriction.kubernetes.io") || (ours && !of_kubelets)
}

/// What of the API a pod refers to, if anything (`pkg/api/pod/util.go` HasAPIObjectReference).
fn refers(pod: &Value) -> Result<Option<&'static str>, String> {
    let wholes = [
        (
            !text(pod, "/spec/serviceAccountName").is_empty(),
            "serviceaccounts",
        ),
        (names_secret(pod), "secrets"),
        (names_config_map(pod), "configmaps"),
        (!list(pod, "/spec/resourceClaims").is_empty(), "resourceclaims"),
    ];
    if let Some((_, what)) = wholes.into_iter().find(|(named, _)| *named) {
        return Ok(Some(what));
    }
    for volume in list(pod, "/spec/volumes") {
        let has = |field: &str| volume[field].is_object();
        if PLAIN_VOLUMES.iter().any(|field| has(field)) {
            continue;
        }
        if let Some((_, what)) = VOLUMES.iter().find(|(field, _)| has(field)) {
            return Ok(Some(what));
        }
        let name = text(volume, "/name");
        if !has("projected") {
            return Err(format!("unknown volume type for volume  {name:?}"));
        }
        for source in list(volume, "/projected/sources") {
            if let Some((_, what)) = SOURCES.iter().find(|(field, _)| source[field].is_object()) {
                return Ok(Some(what));
            }
            if !source["downwardAPI"].is_object() {
                return Err(format!("unknown source for projected volume {name:?}"));
            }
        }
    }
    Ok(None)
}

/// Without what says nothing: upstream's comparison takes an empty list for none.
fn bare(value: Value) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, bare(value)))
            .filter(|(_, value)| says(value))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Array(list) => list.into_iter().map(bare).collect(),
        other => other,
    }
}

/// Whether two trees say the same; quantities may be written in more than one way.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|o| same(value, o)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::String(one), Value::String(other)) if one != other => {
            let amount = |text: &str| text.parse::<Quantity>().ok();
            matches!((amount(one), amount(other)), (Some(one), Some(other)) if one == other)
        }
        _ => one == other,
    }
}

#[cfg(test)]
#[path = "node_restriction_tests.rs"]
mod tests;
