//! ReplicationControllers: what ReplicaSets were before they had selectors with expressions. Upstream runs them through the
//! controller of ReplicaSets, and so do we (pkg/controller/replication/conversion.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::Key;
use crate::queue::{Outcome, Queue, run};
use crate::replicaset::{enqueue_owners_of_pods, replicate};
use crate::selector;

const COMPONENT: &str = "replication-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_owners_of_pods(
        context,
        &queue,
        |c| &c.replication_controllers,
        |c: &ReplicationController, labels| {
            let own = c.spec.as_ref().and_then(|s| s.selector.as_ref());
            own.is_some_and(|s| !s.is_empty() && selector::matches_map(s, labels))
        },
    );
    let context = Arc::clone(context);
    run(tasks, "replicationcontroller", &queue, 5, move |key| {
        sync(Arc::clone(&context), key)
    });
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(controller) = context.replication_controllers.get(&key) else {
        return Ok(None);
    };
    let owners = &context.replication_controllers;
    let set = as_set(&controller);
    let Some(done) = replicate(&context, owners, &*controller, &set, COMPONENT).await? else {
        return Ok(None);
    };
    let mut updated = (*controller).clone();
    updated.status = Some(as_own_status(done.status.clone()));
    owners.update_status(&controller, &updated).await?;
    done.outcome()
}

/// The controller as a ReplicaSet.
fn as_set(controller: &ReplicationController) -> ReplicaSet {
    let spec = controller.spec.clone().unwrap_or_default();
    let status = controller.status.clone().unwrap_or_default();
    let conditions = status.conditions.map(|all| {
        let same = |c: ReplicationControllerCondition| ReplicaSetCondition {
            type_: c.type_,
            status: c.status,
            reason: c.reason,
            message: c.message,
            last_transition_time: c.last_transition_time,
        };
        all.into_iter().map(same).collect()
    });
    ReplicaSet {
        metadata: controller.metadata.clone(),
        spec: Some(ReplicaSetSpec {
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector {
                match_labels: spec.selector,
                match_expressions: None,
            },
            template: spec.template,
        }),
        status: Some(ReplicaSetStatus {
            replicas: status.replicas,
            conditions,
            ..ReplicaSetStatus::default()
        }),
    }
}

fn as_own_status(status: ReplicaSetStatus) -> ReplicationControllerStatus {
    let same = |c: ReplicaSetCondition| ReplicationControllerCondition {
        type_: c.type_,
        status: c.status,
        reason: c.reason,
        message: c.message,
        last_transition_time: c.last_transition_time,
    };
    ReplicationControllerStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        observed_generation: status.observed_generation,
        conditions: status.conditions.map(|all| all.into_iter().map(same).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms() {
        let condition =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "m"});
        let controller: ReplicationController = serde_json::from_value(json!({
            "metadata": {"name": "c", "uid": "u"},
            "spec": {"replicas": 2, "minReadySeconds": 3, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}}},
            "status": {"replicas": 1, "conditions": [condition]},
        }))
        .unwrap();
        let set = as_set(&controller);
        assert_eq!(
            serde_json::to_value(&set.spec).unwrap(),
            json!({"replicas": 2, "minReadySeconds": 3, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}}})
        );
        assert_eq!(set.metadata, controller.metadata);
        let status = ReplicaSetStatus {
            ready_replicas: Some(1),
            terminating_replicas: Some(1),
            ..set.status.unwrap()
        };
        assert_eq!(
            serde_json::to_value(as_own_status(status)).unwrap(),
            json!({"replicas": 1, "readyReplicas": 1, "conditions": [condition]}),
            "nothing that these never had"
        );
    }
}
