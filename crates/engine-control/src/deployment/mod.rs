//! Deployments (pkg/controller/deployment): `rollout` moves replicas between sets, `sets` finds and makes
//! ReplicaSets, `scale` handles resizing, `status` says what is going on. Each step decides on one snapshot and
//! writes the status once, at its end.

mod arithmetic;
mod rollback;
mod rollout;
mod scale;
mod sets;
mod status;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use tokio::task::JoinSet;

use crate::Error;
use crate::adopt::claim;
use crate::context::Context;
use crate::meta::{Key, Meta, controller_ref};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::selector;

pub(crate) use arithmetic::resolve;

pub(crate) const COMPONENT: &str = "deployment-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.deployments.on_change(move |change| {
        if let Some(deployment) = change.any() {
            q.add(deployment.key());
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.replica_sets.on_change(move |change| {
        for set in [change.old, change.new].into_iter().flatten() {
            if let Some(owner) = set.controller() {
                if owner.kind == "Deployment" {
                    q.add(Key::new(set.ns(), &owner.name));
                }
            } else if let Some(context) = weak.upgrade() {
                for deployment in context.deployments.in_namespace(set.ns()) {
                    if deployment
                        .spec
                        .as_ref()
                        .is_some_and(|s| selector::matches(&s.selector, set.m().labels.as_ref()))
                    {
                        q.add(deployment.key());
                    }
                }
            }
        }
    });
    // Recreate waits until the last old pod is gone.
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        let gone_or_finished = change.new.is_none_or(|p| pods::is_terminal(p));
        let Some(pod) = change.any().filter(|_| gone_or_finished) else {
            return;
        };
        let Some(owner) = pod.controller().filter(|o| o.kind == "ReplicaSet") else {
            return;
        };
        let Some(context) = weak.upgrade() else { return };
        if let Some(set) = context.replica_sets.get(&Key::new(pod.ns(), &owner.name))
            && let Some(owner) = set.controller().filter(|o| o.kind == "Deployment")
        {
            q.add(Key::new(set.ns(), &owner.name));
        }
    });
    let context = Arc::clone(context);
    run(tasks, "deployment", &queue, 5, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// One deployment at work: `original` as it was read, `deployment` with what has been decided.
struct Step {
    context: Arc<Context>,
    original: Arc<Deployment>,
    deployment: Deployment,
    spec: DeploymentSpec,
    /// Without the new one, after `sets::find` has run; sorted by creation.
    old: Vec<Arc<ReplicaSet>>,
    new: Option<Arc<ReplicaSet>>,
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(original) = context.deployments.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = original.spec.clone() else {
        return Ok(None);
    };
    let mut step = Step {
        deployment: (*original).clone(),
        context,
        original,
        spec,
        old: Vec::new(),
        new: None,
    };
    if selector::is_empty(&step.spec.selector) {
        let deployment = &*step.original;
        step.context.events.warning(
            COMPONENT,
            deployment,
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        );
        step.deployment.status.get_or_insert_default().observed_generation = step.original.generation();
        step.write_status().await?;
        return Ok(None);
    }
    let all = claim(
        &step.context.deployments,
        &*step.original,
        &step.spec.selector,
        &step.context.replica_sets,
    )
    .await?;
    step.sort(all);
    let outcome = step.run().await;
    // What was decided is told even when an action failed.
    let requeue = step.requeue_for_deadline();
    step.write_status().await?;
    outcome?;
    Ok(requeue)
}

impl Step {
    async fn run(&mut self) -> Result<(), Error> {
        if self.original.deleting() {
            self.find_revision();
            self.set_status(false);
            return Ok(());
        }
        self.check_paused();
        if !self.is_paused()
            && let Some(revision) = self.rollback_to()
        {
            return self.roll_back(revision).await;
        }
        if self.is_paused() || self.is_scaling_event() {
            self.find_or_create(false).await?;
            self.scale_all().await?;
            if self.is_paused() {
                self.clean_up().await?;
            }
            self.set_status(false);
            return Ok(());
        }
        let result = if self.is_recreate() {
            self.recreate().await
        } else {
            self.roll().await
        };
        self.set_status(true);
        result
    }

    fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    fn is_recreate(&self) -> bool {
        self.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate")
    }

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// All sets, the new one last.
    fn all_sets(&self) -> Vec<Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new).cloned().collect()
    }

    async fn write_status(&self) -> Result<(), Error> {
        self.context
            .deployments
            .update_status(&self.original, &self.deployment)
            .await
            .map(|_| ())
    }

    fn owner(&self) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
        controller_ref(&*self.original)
    }
}

fn replicas_of(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0)
}

fn available_of(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|s| s.available_replicas)
        .unwrap_or(0)
}

fn total(sets: &[Arc<ReplicaSet>]) -> i32 {
    sets.iter().map(|s| replicas_of(s)).sum()
}
