//! How many pods there should be by what controls them (`getExpectedScale` and its finders).

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::autoscale::target;
use crate::context::Context;
use crate::meta::{Key, Meta as _};

/// The replicas of all that control some of the pods, and whether there are pods that nothing controls; or why nobody can say.
pub(super) async fn scale(context: &Context, members: &[Arc<Pod>]) -> Result<(i32, bool), String> {
    // By the uid of a pod's own controller; several of these may have one deployment.
    let mut scales: HashMap<String, (String, i32)> = HashMap::new();
    for pod in members {
        let Some(owner) = pod.controller() else { continue };
        if !scales.contains_key(&owner.uid) {
            let found = match known(context, pod, owner) {
                Some(scale) => Some(scale),
                None => other(context, pod.ns(), owner).await?,
            };
            let found = found.ok_or_else(|| format!("found no controllers for pod {:?}", pod.name()))?;
            scales.insert(owner.uid.clone(), found);
        }
    }
    let by_controller: HashMap<String, i32> = scales.into_values().collect();
    let unmanaged = members.iter().any(|pod| pod.controller().is_none());
    Ok((by_controller.values().sum(), unmanaged))
}

/// The uid and replicas of what controls the pod in the end, of the kinds that are at hand.
fn known(context: &Context, pod: &Pod, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = Key::new(pod.ns(), &owner.name);
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, owner.kind.as_str()) {
        ("apps" | "extensions", "ReplicaSet") => {
            let set = context.replica_sets.get(&key).filter(|s| s.uid() == owner.uid)?;
            let Some(parent) = set.controller().filter(|o| o.kind == "Deployment") else {
                return Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1)));
            };
            let deployment = context.deployments.get(&Key::new(pod.ns(), &parent.name))?;
            let replicas = deployment.spec.as_ref()?.replicas.unwrap_or(1);
            (deployment.uid() == parent.uid).then(|| (parent.uid.clone(), replicas))
        }
        ("", "ReplicationController") => {
            let all = &context.replication_controllers;
            let controller = all.get(&key).filter(|c| c.uid() == owner.uid)?;
            Some((owner.uid.clone(), controller.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        ("apps", "StatefulSet") => {
            let set = context.stateful_sets.get(&key).filter(|s| s.uid() == owner.uid)?;
            Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        _ => None,
    }
}

/// The scale of a controller of any other kind; nothing when there is no such controller (`getScaleController`).
async fn other(
    context: &Context,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<Option<(String, i32)>, String> {
    let client = &context.config.client;
    let resource = target::resource(client, &owner.api_version, &owner.kind).await;
    let resource = resource.map_err(|_| {
        format!(
            "no matches for kind {:?} in version {:?}",
            owner.kind, owner.api_version
        )
    })?;
    if !resource.scales() {
        return Err(format!(
            "{} does not implement the scale subresource",
            resource.qualified()
        ));
    }
    let Ok(scale) = resource.scale(client, namespace, &owner.name).await else {
        return Ok(None);
    };
    let replicas = scale.spec.and_then(|s| s.replicas).unwrap_or(0);
    let same = scale.metadata.uid.as_deref() == Some(&owner.uid);
    Ok(same.then(|| (owner.uid.clone(), replicas)))
}
