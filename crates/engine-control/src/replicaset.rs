//! ReplicaSets: as many pods as asked for (pkg/controller/replicaset/replica_set.go).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use tokio::task::JoinSet;

use crate::Error;
use crate::adopt::claim_if;
use crate::cache::{Cache, Kind};
use crate::context::Context;
use crate::meta::{Key, Meta, controller_ref, count, nonzero, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::selector::{self, Labels};
use crate::template::pod_of;

const COMPONENT: &str = "replicaset-controller";
/// Most pods made or removed in one step.
const BURST: usize = 500;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_owners_of_pods(
        context,
        &queue,
        |c| &c.replica_sets,
        |s: &ReplicaSet, labels| selector::matches_opt(s.spec.as_ref().map(|s| &s.selector), labels),
    );
    let context = Arc::clone(context);
    run(tasks, "replicaset", &queue, 5, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// Wakes the sync of owners of a kind when they change, when a pod of theirs does, and when they might adopt an orphan.
pub(crate) fn enqueue_owners_of_pods<K: Kind + k8s_openapi::Resource>(
    context: &Arc<Context>,
    queue: &Arc<Queue<Key>>,
    owners: fn(&Context) -> &Cache<K>,
    selects: fn(&K, Option<&Labels>) -> bool,
) {
    let q = Arc::clone(queue);
    owners(context).on_change(move |change| {
        if let Some(owner) = change.any() {
            q.add(owner.key());
        }
    });
    let queue = Arc::clone(queue);
    // Weak: the cache lives in the context, and must not keep it alive.
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        let owner = |pod: &Pod| {
            pod.controller()
                .filter(|o| o.kind == K::KIND)
                .map(|o| Key::new(pod.ns(), &o.name))
        };
        let before = change.old.and_then(|p| owner(p));
        let after = change.new.and_then(|p| owner(p));
        if let Some(key) = &after {
            queue.add(key.clone());
        }
        if before != after
            && let Some(key) = before
        {
            queue.add(key);
        }
        if let Some(pod) = change.new
            && pod.controller().is_none()
            && change
                .old
                .is_none_or(|old| old.m().labels != pod.m().labels || old.controller().is_some())
            && let Some(context) = weak.upgrade()
        {
            let labels = pod.m().labels.as_ref();
            for candidate in owners(&context).in_namespace(pod.ns()) {
                if selects(&candidate, labels) {
                    queue.add(candidate.key());
                }
            }
        }
    });
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(set) = context.replica_sets.get(&key) else {
        return Ok(None);
    };
    let Some(done) = replicate(&context, &context.replica_sets, &*set, &set, COMPONENT).await? else {
        return Ok(None);
    };
    let mut updated = (*set).clone();
    updated.status = Some(done.status.clone());
    context.replica_sets.update_status(&set, &updated).await?;
    done.outcome()
}

/// What a step has come to.
pub(crate) struct Replicated {
    pub status: ReplicaSetStatus,
    failure: Option<Error>,
    again: Option<Duration>,
}

impl Replicated {
    /// What the queue is told, once the status is written.
    pub fn outcome(self) -> Outcome {
        match self.failure {
            Some(error) if error.is_namespace_terminating() => Ok(None),
            Some(error) => Err(error),
            None => Ok(self.again),
        }
    }
}

/// Gives an owner as many pods as `set`, its form as a ReplicaSet, asks for. `None` when it asks for nothing that could be told.
pub(crate) async fn replicate<O>(
    context: &Arc<Context>,
    owners: &Cache<O>,
    owner: &O,
    set: &ReplicaSet,
    component: &'static str,
) -> Result<Option<Replicated>, Error>
where
    O: Kind + Resource<DynamicType = ()>,
{
    let Some(spec) = set.spec.as_ref().filter(|s| !selector::is_empty(&s.selector)) else {
        return Ok(None);
    };
    let all = claim_if(owners, owner, &spec.selector, &context.pods, pods::is_active).await?;
    let terminating = all.iter().filter(|p| pods::is_terminating(p)).count();
    // What is done now is told of when it is seen, as upstream's status comes from what there was.
    let active: Vec<Arc<Pod>> = all.into_iter().filter(|p| pods::is_active(p)).collect();
    let failure = if owner.deleting() {
        None
    } else {
        manage(context, owner, set, component, active.clone()).await
    };
    let told = failure.as_ref().and_then(told);
    let status = status_of(set, &active, terminating, told, Timestamp::now());
    Ok(Some(Replicated {
        status,
        failure: failure.map(|(_, error)| error),
        again: next_available(&active, spec.min_ready_seconds.unwrap_or(0)),
    }))
}

/// What the status says of a failure: nothing, where the namespace is going away anyway.
fn told((reason, error): &(&'static str, Error)) -> Option<(&'static str, String)> {
    (!error.is_namespace_terminating()).then(|| (*reason, error.message()))
}

/// When the next ready pod becomes available, if that takes time.
pub(crate) fn next_available(active: &[Arc<Pod>], min_ready_seconds: i32) -> Option<Duration> {
    if min_ready_seconds == 0 {
        return None;
    }
    let now = Timestamp::now();
    active
        .iter()
        .filter_map(|p| pods::available_in(p, min_ready_seconds, now))
        .filter(|d| !d.is_zero())
        .min()
        .map(|d| Duration::try_from(d).unwrap_or_default() + Duration::from_millis(5))
}

/// Makes or removes pods. Returns what failed: the condition's reason and the error.
async fn manage<O>(
    context: &Arc<Context>,
    owner: &O,
    set: &ReplicaSet,
    component: &'static str,
    mut active: Vec<Arc<Pod>>,
) -> Option<(&'static str, Error)>
where
    O: Kind + Resource<DynamicType = ()>,
{
    let spec = set.spec.as_ref()?;
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        let template = spec.template.clone().unwrap_or_default();
        let missing = (wanted - active.len()).min(BURST);
        let pod = pod_of(&template, owner.name(), owner.ns(), controller_ref(owner));
        let (_, error) = create_in_batches(context, owner, component, &vec![pod; missing]).await;
        return error.map(|e| ("FailedCreate", e));
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return None;
    }
    let now = Timestamp::now();
    let rank = if surplus < active.len() {
        related_ranks(context, set)
    } else {
        HashMap::new()
    };
    active.sort_by(|a, b| pods::deletion_order(a, b, &rank, now));
    let victims: Vec<Arc<Pod>> = active.drain(..surplus).collect();
    let results = join_all(
        victims
            .iter()
            .map(|pod| delete_pod(context, owner, component, pod)),
    )
    .await;
    results
        .into_iter()
        .find_map(Result::err)
        .map(|e| ("FailedDelete", e))
}

/// Per node, the active pods of all sets with the same owner.
fn related_ranks(context: &Context, set: &ReplicaSet) -> HashMap<String, usize> {
    let siblings: Vec<String> = match set.controller() {
        Some(owner) => {
            let sets = context.replica_sets.controlled(&owner.uid);
            sets.iter().map(|sibling| sibling.uid().to_owned()).collect()
        }
        None => vec![set.uid().to_owned()],
    };
    let mut ranks = HashMap::new();
    for sibling in siblings {
        for pod in context.pods.controlled(&sibling) {
            if let Some(node) = pods::node_name(&pod).filter(|_| pods::is_active(&pod)) {
                *ranks.entry(node.to_owned()).or_insert(0) += 1;
            }
        }
    }
    ranks
}

/// Creates pods in batches of 1, 2, 4 …, so that a refusal costs one request, not hundreds.
pub(crate) async fn create_in_batches<O>(
    context: &Arc<Context>,
    owner: &O,
    component: &'static str,
    wanted: &[Pod],
) -> (Vec<Arc<Pod>>, Option<Error>)
where
    O: Kind + Resource<DynamicType = ()>,
{
    let mut made = Vec::with_capacity(wanted.len());
    let mut rest = wanted;
    let mut batch = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(batch.min(rest.len()));
        rest = later;
        let mut failure = None;
        for result in join_all(now.iter().map(|pod| create_pod(context, owner, component, pod))).await {
            match result {
                Ok(pod) => made.push(pod),
                Err(error) => failure = Some(error),
            }
        }
        if failure.is_some() {
            return (made, failure);
        }
        batch *= 2;
    }
    (made, None)
}

/// Creates one pod and tells so.
pub(crate) async fn create_pod<O>(
    context: &Arc<Context>,
    owner: &O,
    component: &'static str,
    pod: &Pod,
) -> Result<Arc<Pod>, Error>
where
    O: Kind + Resource<DynamicType = ()>,
{
    match context.pods.create(pod).await {
        Ok(made) => {
            context.events.normal(
                component,
                owner,
                "SuccessfulCreate",
                format!("Created pod: {}", made.name()),
            );
            Ok(made)
        }
        Err(error) => {
            if !error.is_namespace_terminating() {
                context.events.warning(
                    component,
                    owner,
                    "FailedCreate",
                    format!("Error creating: {}", error.message()),
                );
            }
            Err(error)
        }
    }
}

/// Deletes one pod and tells so.
pub(crate) async fn delete_pod<O>(
    context: &Arc<Context>,
    owner: &O,
    component: &'static str,
    pod: &Pod,
) -> Result<(), Error>
where
    O: Kind + Resource<DynamicType = ()>,
{
    match context.pods.delete(pod).await {
        Ok(()) => {
            context.events.normal(
                component,
                owner,
                "SuccessfulDelete",
                format!("Deleted pod: {}", pod.name()),
            );
            Ok(())
        }
        Err(error) => {
            context.events.warning(
                component,
                owner,
                "FailedDelete",
                format!("Error deleting: {}", error.message()),
            );
            Err(error)
        }
    }
}

fn status_of(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<(&str, String)>,
    at: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let template_labels = spec
        .template
        .and_then(|t| t.metadata)
        .and_then(|m| m.labels)
        .unwrap_or_default();
    let labelled = active
        .iter()
        .filter(|p| selector::matches_map(&template_labels, p.m().labels.as_ref()))
        .count();
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    let available = active
        .iter()
        .filter(|p| pods::is_available(p, min_ready, at))
        .count();
    let mut conditions = set
        .status
        .as_ref()
        .and_then(|s| s.conditions.clone())
        .unwrap_or_default();
    match failure {
        Some((reason, message)) => {
            if !conditions.iter().any(|c| c.type_ == "ReplicaFailure") {
                conditions.push(ReplicaSetCondition {
                    type_: "ReplicaFailure".into(),
                    status: "True".into(),
                    reason: Some(reason.into()),
                    message: Some(message),
                    last_transition_time: Some(now()),
                });
            }
        }
        None => conditions.retain(|c| c.type_ != "ReplicaFailure"),
    }
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: nonzero(count(labelled)),
        ready_replicas: nonzero(count(ready)),
        available_replicas: nonzero(count(available)),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.generation(),
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_that_goes_is_no_failure() {
        let error = |message: &str| {
            let status = json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
            Error::Api(kube::Error::Api(serde_json::from_value(status).unwrap()))
        };
        let refused = ("FailedCreate", error("exceeded quota"));
        assert_eq!(
            told(&refused),
            Some(("FailedCreate", "exceeded quota".to_owned()))
        );
        let going = "unable to create new content in namespace n because it is being terminated";
        assert_eq!(told(&("FailedCreate", error(going))), None);
    }
}
