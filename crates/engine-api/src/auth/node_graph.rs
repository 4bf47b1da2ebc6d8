//! What a node has to do with: its pods, and what they refer to (kubernetes `plugin/pkg/auth/authorizer/node/graph.go`).
//!
//! Upstream keeps a graph of all bound pods beside its caches. Here the store is asked, and nothing is kept: what pods refer to is in
//! their own namespace, so that a question costs one look at its pods, and only nodes that come from outside ask.
use std::sync::Arc;

use engine_store::Store;
use serde_json::Value;

use crate::json::{list, text};

/// The annotation of a pod that a kubelet shows for one of its own files.
pub const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// What a node may have to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A PersistentVolumeClaim.
    Claim,
    /// A PersistentVolume.
    Volume,
    /// A ResourceClaim.
    ResourceClaim,
    /// A VolumeAttachment.
    Attachment,
    /// A ServiceAccount.
    Account,
    /// A ResourceSlice.
    Slice,
    /// A pod.
    Pod,
}

/// Whether a path leads from an object to the node.
pub fn reaches(store: &Store, node: &str, thing: Thing, namespace: &str, name: &str) -> bool {
    let on_node = |key: String| {
        let found = store.get(&key).map(|stored| stored.look());
        found.is_some_and(|object| text(&object, "/spec/nodeName") == node)
    };
    match thing {
        Thing::Pod => !namespace.is_empty() && on_node(format!("pods/{namespace}/{name}")),
        Thing::Attachment => {
            namespace.is_empty() && on_node(format!("volumeattachments.storage.k8s.io/{name}"))
        }
        Thing::Slice => namespace.is_empty() && on_node(format!("resourceslices.resource.k8s.io/{name}")),
        Thing::Volume => {
            let found = store.get(&format!("persistentvolumes/{name}"));
            namespace.is_empty() && found.is_some_and(|volume| claimed(store, node, &volume.look()))
        }
        Thing::Secret => {
            a_pod_names(store, node, thing, namespace, name)
                || store.list("persistentvolumes/").items.iter().any(|volume| {
                    let volume = volume.look();
                    secrets_of_volume(&volume).contains(&(namespace, name)) && claimed(store, node, &volume)
                })
        }
        Thing::ConfigMap | Thing::Claim | Thing::ResourceClaim | Thing::Account => {
            a_pod_names(store, node, thing, namespace, name)
        }
    }
}

/// Whether a pod of the node uses the claim that a volume belongs to.
fn claimed(store: &Store, node: &str, volume: &Value) -> bool {
    let claim = |field| text(&volume["spec"]["claimRef"], field);
    let (namespace, name) = (claim("/namespace"), claim("/name"));
    !name.is_empty() && a_pod_names(store, node, Thing::Claim, namespace, name)
}

fn a_pod_names(store: &Store, node: &str, thing: Thing, namespace: &str, name: &str) -> bool {
    if namespace.is_empty() {
        return false;
    }
    let pods = store.list(&format!("pods/{namespace}/")).items;
    pods.iter().any(|pod| {
        let pod: Arc<Value> = pod.look();
        text(&pod, "/spec/nodeName") == node && names(&pod, thing, name)
    })
}

/// Whether a pod gives its node a right to what is called so. A mirror pod gives none: a node would make them for itself.
fn names(pod: &Value, thing: Thing, name: &str) -> bool {
    if pod.pointer(MIRROR).is_some() {
        return false;
    }
    match thing {
        Thing::Secret => secrets(pod).contains(&name),
        Thing::ConfigMap => config_maps(pod).contains(&name),
        Thing::Account => text(pod, "/spec/serviceAccountName") == name,
        Thing::Claim => list(pod, "/spec/volumes").iter().any(|v| {
            let claim = text(v, "/persistentVolumeClaim/claimName");
            if claim.is_empty() && v["ephemeral"].is_object() {
                ephemeral(pod, v) == name
            } else {
                claim == name
            }
        }),
        Thing::ResourceClaim => resource_claims(pod).contains(&name),
        _ => false,
    }
}

/// The claim of a volume that lives as long as its pod (`component-helpers/storage/ephemeral`).
pub fn ephemeral(pod: &Value, volume: &Value) -> String {
    format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"))
}

fn resource_claims(pod: &Value) -> Vec<&str> {
    let made = list(pod, "/status/resourceClaimStatuses");
    let mut found: Vec<&str> = list(pod, "/spec/resourceClaims")
        .iter()
        .map(|claim| match text(claim, "/resourceClaimName") {
            "" => {
                let made = made.iter().find(|status| status["name"] == claim["name"]);
                made.map_or("", |status| text(status, "/resourceClaimName"))
            }
            name => name,
        })
        .collect();
    found.push(text(pod, "/status/extendedResourceClaimStatus/resourceClaimName"));
    found
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|field| list(&pod["spec"], &format!("/{field}")))
}

/// What the variables of a pod's containers are taken from: `secret` or `configMap`.
fn sources<'p>(pod: &'p Value, of: &str, found: &mut Vec<&'p str>) {
    let (whole, key) = (format!("/{of}Ref/name"), format!("/valueFrom/{of}KeyRef/name"));
    for container in containers(pod) {
        found.extend(list(container, "/envFrom").iter().map(|from| text(from, &whole)));
        found.extend(
            list(container, "/env")
                .iter()
                .map(|variable| text(variable, &key)),
        );
    }
}

/// Where a volume's source names a Secret of the pod's namespace.
const POD_SECRETS: [&str; 10] = [
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/flexVolume/secretRef/name",
    "/rbd/secretRef/name",
    "/secret/secretName",
    "/scaleIO/secretRef/name",
    "/iscsi/secretRef/name",
    "/storageos/secretRef/name",
    "/csi/nodePublishSecretRef/name",
];

/// The Secrets that a pod names (`pkg/api/v1/pod/util.go` VisitPodSecretNames).
fn secrets(pod: &Value) -> Vec<&str> {
    let mut found: Vec<&str> = list(pod, "/spec/imagePullSecrets")
        .iter()
        .map(|secret| text(secret, "/name"))
        .collect();
    sources(pod, "secret", &mut found);
    for volume in list(pod, "/spec/volumes") {
        found.extend(POD_SECRETS.iter().map(|at| text(volume, at)));
        let projected = list(volume, "/projected/sources").iter();
        found.extend(projected.map(|source| text(source, "/secret/name")));
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Whether a pod names a Secret.
pub fn names_secret(pod: &Value) -> bool {
    !secrets(pod).is_empty()
}

/// The ConfigMaps that a pod names (`pkg/api/v1/pod/util.go` VisitPodConfigmapNames).
fn config_maps(pod: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    sources(pod, "configMap", &mut found);
    for volume in list(pod, "/spec/volumes") {
        found.push(text(volume, "/configMap/name"));
        let projected = list(volume, "/projected/sources").iter();
        found.extend(projected.map(|source| text(source, "/configMap/name")));
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Whether a pod names a ConfigMap.
pub fn names_config_map(pod: &Value) -> bool {
    !config_maps(pod).is_empty()
}

/// Where a volume's source names a Secret that its node has to see. Without a namespace it is the one of the claim.
const VOLUME_SECRETS: [&str; 10] = [
    "/cephfs/secretRef",
    "/cinder/secretRef",
    "/flexVolume/secretRef",
    "/rbd/secretRef",
    "/scaleIO/secretRef",
    "/iscsi/secretRef",
    "/storageos/secretRef",
    "/csi/nodePublishSecretRef",
    "/csi/nodeStageSecretRef",
    "/csi/nodeExpandSecretRef",
];

/// Namespace and name of the Secrets of a volume (`pkg/api/v1/persistentvolume/util.go` VisitPVSecretNames).
fn secrets_of_volume(volume: &Value) -> Vec<(&str, &str)> {
    let spec = &volume["spec"];
    let own = text(spec, "/claimRef/namespace");
    let mut found: Vec<(&str, &str)> = VOLUME_SECRETS
        .iter()
        .filter_map(|at| spec.pointer(at))
        .map(|secret| (text(secret, "/namespace"), text(secret, "/name")))
        .collect();
    found.push((
        text(spec, "/azureFile/secretNamespace"),
        text(spec, "/azureFile/secretName"),
    ));
    found.retain(|(_, name)| !name.is_empty());
    for (namespace, _) in &mut found {
        if namespace.is_empty() {
            *namespace = own;
        }
    }
    found
}
