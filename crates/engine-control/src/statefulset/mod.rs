//! StatefulSets (pkg/controller/statefulset): pods with names, in order, with their own claims. `identity` makes
//! what belongs to an ordinal, `step` does what comes next, `retention` ties claims to their owners.

mod identity;
mod retention;
mod step;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinSet;

use crate::adopt::claim_if;
use crate::context::Context;
use crate::meta::{Key, Meta, count};
use crate::queue::{Outcome, Queue, run};
use crate::replicaset::{enqueue_owners_of_pods, next_available};
use crate::revision::{self, HASH_LABEL};
use crate::{pods, selector};

pub(crate) const COMPONENT: &str = "statefulset-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_owners_of_pods(
        context,
        &queue,
        |c| &c.stateful_sets,
        |s: &StatefulSet, labels| selector::matches_opt(s.spec.as_ref().map(|s| &s.selector), labels),
    );
    let context = Arc::clone(context);
    run(tasks, "statefulset", &queue, 5, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// One set at work.
struct Step {
    context: Arc<Context>,
    set: Arc<StatefulSet>,
    spec: StatefulSetSpec,
    pods: Vec<Arc<Pod>>,
    current: Arc<ControllerRevision>,
    update: Arc<ControllerRevision>,
    now: Timestamp,
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(set) = context.stateful_sets.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = set.spec.clone() else {
        return Ok(None);
    };
    if selector::is_empty(&spec.selector) {
        return Ok(None);
    }
    let member = |p: &Pod| identity::ordinal(set.name(), p.name()).is_some();
    let mut pods = claim_if(
        &context.stateful_sets,
        &*set,
        &spec.selector,
        &context.pods,
        member,
    )
    .await?;
    pods.retain(|p| member(p));
    let status = set.status.clone().unwrap_or_default();
    let history = match revision::history(
        &context,
        &context.stateful_sets,
        &*set,
        &spec.selector,
        &spec.template,
        status.collision_count,
    )
    .await
    {
        Err(error) if error.is_namespace_terminating() => return Ok(None),
        other => other?,
    };
    let current = history
        .all
        .iter()
        .find(|r| Some(r.name()) == status.current_revision.as_deref())
        .unwrap_or(&history.update);
    let mut step = Step {
        current: Arc::clone(current),
        update: Arc::clone(&history.update),
        now: Timestamp::now(),
        context,
        set,
        spec,
        pods,
    };
    let outcome = if step.set.deleting() {
        Ok(())
    } else {
        step.act().await
    };
    let collisions = history.collisions;
    step.now = Timestamp::now();
    let status = step.status(collisions);
    let mut updated = (*step.set).clone();
    updated.status = Some(status.clone());
    step.context
        .stateful_sets
        .update_status(&step.set, &updated)
        .await?;
    outcome?;
    let used = |r: &ControllerRevision| {
        status.current_revision.as_deref() == Some(r.name())
            || status.update_revision.as_deref() == Some(r.name())
            || step.pods.iter().any(|p| p.label(HASH_LABEL) == Some(r.name()))
    };
    let unused: Vec<_> = history.all.iter().filter(|r| !used(r)).collect();
    let surplus = unused
        .len()
        .saturating_sub(revision::kept(step.spec.revision_history_limit));
    revision::remove_oldest(&step.context, &unused, surplus).await?;
    let active: Vec<Arc<Pod>> = step.pods.iter().filter(|p| pods::is_active(p)).cloned().collect();
    Ok(next_available(&active, step.min_ready()))
}

impl Step {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn start_ordinal(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn is_rolling(&self) -> bool {
        self.spec
            .update_strategy
            .as_ref()
            .and_then(|s| s.type_.as_deref())
            .unwrap_or("RollingUpdate")
            == "RollingUpdate"
    }

    fn partition(&self) -> i32 {
        let rolling = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|s| s.rolling_update.as_ref());
        rolling.and_then(|r| r.partition).unwrap_or(0)
    }

    fn status(&self, collisions: Option<i32>) -> StatefulSetStatus {
        let of = |revision: &ControllerRevision| {
            let live = self
                .pods
                .iter()
                .filter(|p| !p.deleting() && p.label(HASH_LABEL) == Some(revision.name()));
            count(live.count())
        };
        let running = |p: &&Arc<Pod>| pods::phase(p) == "Running" && pods::is_ready(p);
        let replicas = count(self.pods.len());
        let ready = count(self.pods.iter().filter(running).count());
        let available = count(
            self.pods
                .iter()
                .filter(running)
                .filter(|p| pods::is_available(p, self.min_ready(), self.now))
                .count(),
        );
        let updated = of(&self.update);
        let mut status = StatefulSetStatus {
            replicas,
            ready_replicas: Some(ready).filter(|n| *n != 0),
            available_replicas: Some(available),
            current_replicas: Some(of(&self.current)).filter(|n| *n != 0),
            updated_replicas: Some(updated).filter(|n| *n != 0),
            current_revision: Some(self.current.name().to_owned()),
            update_revision: Some(self.update.name().to_owned()),
            observed_generation: self.set.generation(),
            collision_count: Some(collisions.unwrap_or(0)),
            conditions: self.set.status.as_ref().and_then(|s| s.conditions.clone()),
        };
        // A rolling update that has reached every pod makes its revision the current one.
        if self.is_rolling()
            && updated == replicas
            && ready == replicas
            && replicas == self.replicas()
            && self.pods.iter().all(|p| !p.deleting())
        {
            status.current_revision.clone_from(&status.update_revision);
            status.current_replicas = status.updated_replicas;
        }
        status
    }
}
