//! The `local-path` provisioner: a folder on one node, as a hostPath volume that only that node can use.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{PROVISIONED_BY, PROVISIONER};
use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::nodelifecycle::is_ready;

const HOSTNAME: &str = "kubernetes.io/hostname";

/// Makes the claim's volume. The folder itself is made by the node when a pod mounts it (`DirectoryOrCreate`).
pub(super) async fn provision(
    context: &Context,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    node: Option<&str>,
) -> Result<Option<Arc<PersistentVolume>>, Error> {
    let node = match node {
        Some(name) => context.nodes.get(&Key::new("", name)),
        // A class that binds at once has no pod to go by: the first node that works.
        None => context.nodes.filter(is_ready).into_iter().next(),
    };
    let Some(node) = node else {
        context.events.warning(
            PROVISIONER,
            claim,
            "ProvisioningFailed",
            "failed to provision volume: no node to put it on",
        );
        return Ok(None);
    };
    let volume = volume_for(
        context,
        claim,
        class,
        node.label(HOSTNAME).unwrap_or_else(|| node.name()),
    );
    match context.volumes.create(&volume).await {
        Ok(made) => {
            context.events.normal(
                PROVISIONER,
                claim,
                "ProvisioningSucceeded",
                format!("Successfully provisioned volume {}", made.name()),
            );
            Ok(Some(made))
        }
        Err(error) if error.is_exists() => Ok(context.volumes.fetch(&volume.key()).await?.map(Arc::new)),
        Err(error) => {
            context.events.warning(
                PROVISIONER,
                claim,
                "ProvisioningFailed",
                format!("failed to provision volume: {}", error.message()),
            );
            Err(error)
        }
    }
}

fn volume_for(
    context: &Context,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    hostname: &str,
) -> PersistentVolume {
    let name = format!("pvc-{}", claim.uid());
    let folder = context
        .config
        .volumes_folder
        .join(format!("{name}_{}_{}", claim.ns(), claim.name()));
    let spec = claim.spec.clone().unwrap_or_default();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name),
            annotations: Some([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())].into()),
            finalizers: Some(vec!["kubernetes.io/pv-protection".into()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources.and_then(|r| r.requests),
            claim_ref: Some(super::reference_to(claim)),
            host_path: Some(HostPathVolumeSource {
                path: folder.to_string_lossy().into_owned(),
                type_: Some("DirectoryOrCreate".into()),
            }),
            node_affinity: Some(VolumeNodeAffinity {
                required: Some(NodeSelector {
                    node_selector_terms: vec![NodeSelectorTerm {
                        match_expressions: Some(vec![NodeSelectorRequirement {
                            key: HOSTNAME.into(),
                            operator: "In".into(),
                            values: Some(vec![hostname.to_owned()]),
                        }]),
                        match_fields: None,
                    }],
                }),
            }),
            persistent_volume_reclaim_policy: Some(
                class.reclaim_policy.clone().unwrap_or_else(|| "Delete".into()),
            ),
            storage_class_name: Some(class.name().to_owned()),
            volume_mode: spec.volume_mode.or_else(|| Some("Filesystem".into())),
            mount_options: class.mount_options.clone(),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}
