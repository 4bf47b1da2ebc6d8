//! What the scheduler writes: bindings, conditions, evictions.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Binding, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::node::PodInfo;
use super::preempt::Plan;
use super::volumes::Origin;
use crate::Error;
use crate::context::Context;
use crate::events::Level;
use crate::meta::{Meta, now};
use crate::pods;
use crate::volumes::{SELECTED_NODE, is_bound, reserved_for};

const COMPONENT: &str = "default-scheduler";
/// How long a pod waits for its volumes (plugins/volumebinding: bindTimeoutSeconds).
const VOLUMES_TIMEOUT: Duration = Duration::from_mins(10);

fn api(context: &Context, namespace: &str) -> Api<Pod> {
    Api::namespaced(context.config.scheduler_client.clone(), namespace)
}

/// Gives the pod to the node, its volumes first.
pub(super) async fn bind(
    context: &Arc<Context>,
    pod: &PodInfo,
    node: &str,
    volumes: Vec<Origin>,
) -> Result<(), Error> {
    if !volumes.is_empty() {
        expect(context, &pod.pod, node).await;
        bind_claims(context, node, &volumes).await?;
    }
    let pod = &pod.pod;
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name().to_owned()),
            namespace: Some(pod.ns().to_owned()),
            uid: Some(pod.uid().to_owned()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".into()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let _: Value = api(context, pod.ns())
        .create_subresource("binding", pod.name(), &PostParams::default(), &binding)
        .await?;
    let message = format!("Successfully assigned {}/{} to {node}", pod.ns(), pod.name());
    context
        .scheduler_events
        .action(COMPONENT, &**pod, Level::Normal, "Scheduled", "Binding", message);
    Ok(())
}

/// Says where a pod is going to be while what it needs is being made (schedule_one.go, bindingCycle: NominatedNodeNameForExpectation).
async fn expect(context: &Context, pod: &Pod, node: &str) {
    let before = pod.status.as_ref().and_then(|s| s.nominated_node_name.as_deref());
    if before == Some(node) {
        return;
    }
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"nominatedNodeName": node}});
    let told = api(context, pod.ns())
        .patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch))
        .await;
    if let Err(error) = told {
        tracing::debug!(pod = %pod.key(), %error, "expected node not written");
    }
}

/// Reserves volumes that are there, tells the volume controller the node of those that are to be made, and waits until every claim has its
/// volume (plugins/volumebinding/binder.go, bindAPIUpdate).
async fn bind_claims(context: &Arc<Context>, node: &str, origins: &[Origin]) -> Result<(), Error> {
    let mut ticks = context.claims.ticks();
    let client = &context.config.scheduler_client;
    for Origin { claim, volume } in origins {
        if let Some(volume) = volume {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            let reserved = reserved_for(volume, claim);
            api.replace(volume.name(), &PostParams::default(), &reserved)
                .await?;
            continue;
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), claim.ns());
        let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        api.patch(claim.name(), &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
    }
    let bound = async {
        loop {
            ticks.mark_unchanged();
            let all = origins
                .iter()
                .all(|o| context.claims.get(&o.claim.key()).is_some_and(|c| is_bound(&c)));
            if all {
                return;
            }
            // The sender lives in the cache, so this cannot fail.
            let _ = ticks.changed().await;
        }
    };
    tokio::time::timeout(VOLUMES_TIMEOUT, bound)
        .await
        .map_err(|_| Error::Invalid("binding volumes: timed out waiting for the condition".into()))
}

/// An attempt that failed on the way, not for lack of a node.
pub(super) fn report_error(context: &Context, pod: &PodInfo, error: &Error) {
    if error.is_not_found() || error.is_conflict() {
        tracing::debug!(pod = %pod.pod.key(), %error, "not bound");
    } else {
        context.scheduler_events.action(
            COMPONENT,
            &*pod.pod,
            Level::Warning,
            "FailedScheduling",
            "Scheduling",
            error.message(),
        );
    }
}

/// Says on the pod and in an event why it stays pending.
pub(super) async fn report_unschedulable(
    context: &Context,
    pod: &PodInfo,
    message: &str,
    nominated: Option<&str>,
) {
    let pod = &pod.pod;
    context.scheduler_events.action(
        COMPONENT,
        &**pod,
        Level::Warning,
        "FailedScheduling",
        "Scheduling",
        message,
    );
    let old = pods::condition(pod, "PodScheduled");
    let same = old.is_some_and(|c| c.status == "False" && c.message.as_deref() == Some(message));
    let before = pod.status.as_ref().and_then(|s| s.nominated_node_name.as_deref());
    if same && before == nominated {
        return;
    }
    let condition = PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("Unschedulable".into()),
        message: Some(message.to_owned()),
        observed_generation: pod.generation(),
        last_transition_time: old
            .filter(|c| c.status == "False")
            .and_then(|c| c.last_transition_time.clone())
            .or_else(|| Some(now())),
        last_probe_time: None,
    };
    let mut patch = with_condition(pod, &condition);
    if before != nominated {
        patch["status"]["nominatedNodeName"] = nominated.into();
    }
    if let Err(error) = api(context, pod.ns())
        .patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch))
        .await
    {
        tracing::debug!(pod = %pod.key(), %error, "condition not written");
    }
}

/// The change of a pod's status by one condition, which a new one stands behind all others of (PatchPodStatus of pkg/scheduler/util/utils.go:
/// the difference of two lists of conditions tells of their order).
fn with_condition(pod: &Pod, condition: &PodCondition) -> Value {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    let mut order: Vec<&str> = conditions
        .into_iter()
        .flatten()
        .map(|c| c.type_.as_str())
        .collect();
    if !order.contains(&condition.type_.as_str()) {
        order.push(&condition.type_);
    }
    let order: Vec<Value> = order.into_iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "metadata": {"uid": pod.uid()},
        "status": {"conditions": [condition], "$setElementOrder/conditions": order},
    })
}

/// Asks the victims to leave.
pub(super) async fn evict(context: &Context, preemptor: &PodInfo, plan: &Plan) {
    for victim in &plan.victims {
        let pod = &victim.pod;
        if pod.deleting() {
            continue;
        }
        let api = api(context, pod.ns());
        let condition = PodCondition {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
            reason: Some("PreemptionByScheduler".into()),
            message: Some(format!(
                "{COMPONENT}: preempting to accommodate a higher priority pod"
            )),
            observed_generation: pod.generation(),
            last_transition_time: Some(now()),
            last_probe_time: None,
        };
        let patch = with_condition(pod, &condition);
        let marked = api
            .patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch))
            .await;
        if let Err(error) = &marked {
            tracing::debug!(pod = %pod.key(), %error, "victim not marked");
        }
        let dp = kube::api::DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: Some(pod.uid().to_owned()),
                resource_version: None,
            }),
            ..Default::default()
        };
        match api.delete(pod.name(), &dp).await {
            Ok(_) => {
                let message = format!("Preempted by pod {} on node {}", preemptor.pod.uid(), plan.node);
                // Since 1.36 the event names the preemptor in its words only (framework/preemption/executor.go).
                context.scheduler_events.action(
                    COMPONENT,
                    &**pod,
                    Level::Normal,
                    "Preempted",
                    "Preempting",
                    message,
                );
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => tracing::warn!(pod = %pod.key(), %error, "victim not deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_condition_comes_last_and_an_old_one_stays_where_it_is() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]}
        }))
        .unwrap();
        let order = |kind: &str| {
            let condition = PodCondition {
                type_: kind.into(),
                status: "True".into(),
                ..PodCondition::default()
            };
            with_condition(&pod, &condition)["status"]["$setElementOrder/conditions"].clone()
        };
        assert_eq!(
            order("DisruptionTarget"),
            json!([{"type": "PodScheduled"}, {"type": "Ready"}, {"type": "DisruptionTarget"}])
        );
        assert_eq!(
            order("PodScheduled"),
            json!([{"type": "PodScheduled"}, {"type": "Ready"}])
        );
    }
}
