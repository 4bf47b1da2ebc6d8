//! Claims of devices that pods get from templates (pkg/controller/resourceclaim). Nobody here has devices, so that no claim is ever
//! allocated or reserved; what others allocate is theirs to take back.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::pods;
use crate::queue::{Outcome, Queue, run};

const COMPONENT: &str = "resource_claim";
const MANAGER: &str = "ResourceClaimController";
/// Which of its pod's claims a made one is.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.pods.on_change(move |change| {
        if let Some(pod) = change.new.filter(|p| claims(p).next().is_some()) {
            q.add(pod.key());
        }
    });
    let q = Arc::clone(&queue);
    context.resource_claims.on_change(move |change| {
        if let (Some(gone), None) = (change.old, change.new)
            && let Some(owner) = gone.owners().iter().find(|o| o.kind == "Pod")
        {
            q.add(Key::new(gone.ns(), &owner.name));
        }
    });
    let context = Arc::clone(context);
    run(tasks, "resource claim", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

fn claims(pod: &Pod) -> impl Iterator<Item = &PodResourceClaim> {
    pod.spec.iter().flat_map(|s| s.resource_claims.iter().flatten())
}

/// The name of the claim that a pod's claim stands for; `None` before it is made, or when the pod needs none after all.
pub(crate) fn name_of<'a>(pod: &'a Pod, claim: &'a PodResourceClaim) -> Option<&'a str> {
    claim.resource_claim_name.as_deref().or_else(|| {
        let statuses = pod.status.as_ref()?.resource_claim_statuses.as_ref()?;
        let status = statuses.iter().find(|s| s.name == claim.name)?;
        status.resource_claim_name.as_deref()
    })
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(pod) = context.pods.get(&key).filter(|p| !p.deleting()) else {
        return Ok(None);
    };
    if pods::is_terminal(&pod) {
        // It needs them no longer, and may stay for long.
        for claim in context.resource_claims.controlled(pod.uid()) {
            if claim.annotation(POD_CLAIM).is_some() && !claim.deleting() && !is_reserved(&claim) {
                context.resource_claims.delete(&*claim).await?;
            }
        }
        return Ok(None);
    }
    let (mut known, mut news) = (Vec::new(), false);
    for wanted in claims(&pod) {
        let Some(template) = wanted.resource_claim_template_name.as_deref() else {
            continue;
        };
        let there = name_of(&pod, wanted)
            .and_then(|name| context.resource_claims.get(&Key::new(pod.ns(), name)))
            .filter(|c| c.controlled_by(pod.uid()));
        let made = match there {
            Some(claim) => claim,
            None => {
                news = true;
                match find_or_make(&context, &pod, wanted, template).await {
                    Ok(claim) => claim,
                    Err(error) if error.is_namespace_terminating() => return Ok(None),
                    Err(error) => {
                        let message = format!("PodResourceClaim {}: {}", wanted.name, error.message());
                        context
                            .events
                            .warning(COMPONENT, &*pod, "FailedResourceClaimCreation", message);
                        return Err(error);
                    }
                }
            }
        };
        known.push(json!({"name": wanted.name, "resourceClaimName": made.name()}));
    }
    if news {
        let fields = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name(), "namespace": pod.ns(), "uid": pod.uid()},
            "status": {"resourceClaimStatuses": known}
        });
        match context.pods.apply_status(&key, &fields, MANAGER).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

fn is_reserved(claim: &ResourceClaim) -> bool {
    let reserved = claim.status.as_ref().and_then(|s| s.reserved_for.as_ref());
    reserved.is_some_and(|r| !r.is_empty())
}

/// One that was made before, by a step that was interrupted, or a new one.
async fn find_or_make(
    context: &Context,
    pod: &Pod,
    wanted: &PodResourceClaim,
    template: &str,
) -> Result<Arc<ResourceClaim>, Error> {
    let mut before = context.resource_claims.controlled(pod.uid()).into_iter();
    if let Some(claim) = before.find(|c| c.annotation(POD_CLAIM) == Some(&wanted.name)) {
        return Ok(claim);
    }
    let key = Key::new(pod.ns(), template);
    let Some(found) = context.claim_templates.get(&key) else {
        return Err(Error::Invalid(format!(
            "resource claim template {template:?}: resourceclaimtemplate.resource.k8s.io {template:?} not found"
        )));
    };
    context
        .resource_claims
        .create(&claim_for(pod, wanted, &found))
        .await
}

/// The claim of a pod, named after both.
fn claim_for(pod: &Pod, wanted: &PodResourceClaim, template: &ResourceClaimTemplate) -> ResourceClaim {
    let meta = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM.into(), wanted.name.clone());
    ResourceClaim {
        metadata: ObjectMeta {
            generate_name: Some(base_name(pod.name(), &wanted.name)),
            namespace: Some(pod.ns().to_owned()),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Pod".into(),
                name: pod.name().to_owned(),
                uid: pod.uid().to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

/// Long names are cut in proportion, so that something is left of both (handleClaim).
fn base_name(pod: &str, claim: &str) -> String {
    const MOST: usize = 57;
    let whole = format!("{pod}-{claim}-");
    let length = whole.len();
    if length <= MOST {
        return whole;
    }
    let part = |name: &str| name.get(..name.len() * MOST / length).unwrap_or(name).to_owned();
    format!("{}-{}", part(pod), part(claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_its_pods_and_says_which() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "d", "uid": "u"},
            "spec": {"containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}
        }))
        .unwrap();
        let template: ResourceClaimTemplate = serde_json::from_value(json!({
            "metadata": {"name": "t"},
            "spec": {"metadata": {"labels": {"l": "m"}, "annotations": {"a": "b"}},
                "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}}
        }))
        .unwrap();
        let wanted = claims(&pod).next().unwrap();
        let claim = claim_for(&pod, wanted, &template);
        let shown = serde_json::to_value(&claim.metadata).unwrap();
        assert_eq!(
            shown,
            json!({"generateName": "p-gpu-", "namespace": "d", "labels": {"l": "m"},
                "annotations": {"a": "b", "resource.kubernetes.io/pod-claim-name": "gpu"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]})
        );
        assert_eq!(name_of(&pod, wanted), None);
        assert_eq!(
            base_name(&"p".repeat(100), &"c".repeat(20)),
            format!("{}-{}", "p".repeat(46), "c".repeat(9))
        );
    }
}
