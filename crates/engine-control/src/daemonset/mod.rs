//! DaemonSets (pkg/controller/daemon): a pod on every node that wants one. `placement` says which nodes those are,
//! `update` replaces pods of an older template, `backoff` slows down what fails.

mod backoff;
mod placement;
mod update;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use tokio::task::JoinSet;
use tokio::time::Instant;

use backoff::Backoff;

use crate::Error;
use crate::adopt::claim;
use crate::context::Context;
use crate::meta::{Key, Meta, controller_ref, count, nonzero};
use crate::queue::{Outcome, Queue, run};
use crate::replicaset::{create_in_batches, delete_pod, enqueue_owners_of_pods, next_available};
use crate::revision::{self, HASH_LABEL, hash_of};
use crate::template::pod_of;
use crate::{pods, selector};

pub(crate) const COMPONENT: &str = "daemonset-controller";
const GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_owners_of_pods(
        context,
        &queue,
        |c| &c.daemon_sets,
        |s: &DaemonSet, labels| selector::matches_opt(s.spec.as_ref().map(|s| &s.selector), labels),
    );
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.nodes.on_change(move |change| {
        let same =
            |old: &Node, new: &Node| old.metadata.labels == new.metadata.labels && taints(old) == taints(new);
        if change
            .old
            .zip(change.new)
            .is_some_and(|(old, new)| same(old, new))
        {
            return;
        }
        let Some(context) = weak.upgrade() else { return };
        for set in context.daemon_sets.all() {
            if change.new.is_none_or(|node| concerns(&context, &set, node)) {
                q.add(set.key());
            }
        }
    });
    let context = Arc::clone(context);
    let failures: Arc<Mutex<Backoff>> = Arc::default();
    run(tasks, "daemonset", &queue, 2, move |key| {
        sync(Arc::clone(&context), Arc::clone(&failures), key)
    });
}

fn taints(node: &Node) -> Option<&[Taint]> {
    node.spec.as_ref()?.taints.as_deref().filter(|t| !t.is_empty())
}

fn concerns(context: &Context, set: &DaemonSet, node: &Node) -> bool {
    let template = set.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    let mut pods = context.pods.controlled(set.uid()).into_iter();
    let scheduled = pods.any(|p| pods::node_name(&p) == Some(node.name()));
    let misscheduled = set.status.as_ref().is_some_and(|s| s.number_misscheduled > 0);
    template.is_some_and(|t| placement::stirs(placement::wants(t, node), scheduled, misscheduled))
}

/// One set at work.
struct Step {
    context: Arc<Context>,
    set: Arc<DaemonSet>,
    spec: DaemonSetSpec,
    hash: String,
    nodes: Vec<Arc<Node>>,
    /// By the node they run on, or are meant for.
    pods: BTreeMap<String, Vec<Arc<Pod>>>,
    now: Timestamp,
    failures: Arc<Mutex<Backoff>>,
    /// When a failed pod may be replaced.
    again: Option<Duration>,
}

async fn sync(context: Arc<Context>, failures: Arc<Mutex<Backoff>>, key: Key) -> Outcome {
    let Some(set) = context.daemon_sets.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = set.spec.clone() else {
        return Ok(None);
    };
    if selector::is_empty(&spec.selector) {
        context.events.warning(
            COMPONENT,
            &*set,
            "SelectingAll",
            "This daemon set is selecting all pods. A non-empty selector is required.",
        );
        return Ok(None);
    }
    if set.deleting() {
        return Ok(None);
    }
    let collisions = set.status.as_ref().and_then(|s| s.collision_count);
    let history = match revision::history(
        &context,
        &context.daemon_sets,
        &*set,
        &spec.selector,
        &spec.template,
        collisions,
    )
    .await
    {
        Err(error) if error.is_namespace_terminating() => return Ok(None),
        other => other?,
    };
    let mut step = Step {
        hash: hash_of(&history.update).to_owned(),
        nodes: context.nodes.all(),
        pods: BTreeMap::new(),
        now: Timestamp::now(),
        context,
        set,
        spec,
        failures,
        again: None,
    };
    step.look().await?;
    let mut outcome = step.place().await;
    if outcome.is_ok() && step.is_rolling() {
        step.look().await?;
        outcome = step.roll().await;
    }
    step.look().await?;
    step.now = Timestamp::now();
    let mut updated = (*step.set).clone();
    updated.status = Some(step.status(history.collisions));
    step.context
        .daemon_sets
        .update_status(&step.set, &updated)
        .await?;
    outcome?;
    // What pods still use counts towards the limit, and stays (cleanupHistory).
    let used = |r: &ControllerRevision| {
        let mut pods = step.pods.values().flatten();
        pods.any(|p| p.label(HASH_LABEL) == Some(hash_of(r)))
    };
    let old = history.all.iter().filter(|r| hash_of(r) != step.hash);
    let old: Vec<_> = old.collect();
    let surplus = old
        .len()
        .saturating_sub(revision::kept(step.spec.revision_history_limit));
    let unused: Vec<_> = old.into_iter().filter(|r| !used(r)).collect();
    revision::remove_oldest(&step.context, &unused, surplus).await?;
    let all: Vec<Arc<Pod>> = step.pods.values().flatten().cloned().collect();
    let available = next_available(&all, step.min_ready());
    Ok(step.again.into_iter().chain(available).min())
}

/// Orders the pods of a node: those that have got there first, then by age (podByCreationTimestampAndPhase).
fn seniority(pod: &Pod) -> (bool, Timestamp, &str) {
    (pods::node_name(pod).is_none(), pod.created(), pod.name())
}

impl Step {
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

    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready(), self.now)
    }

    /// By its hash, or by the generation of its template as of old (IsPodUpdated).
    fn is_updated(&self, pod: &Pod) -> bool {
        let generation = self.set.annotation(GENERATION);
        pod.label(HASH_LABEL) == Some(&self.hash)
            || generation.is_some() && pod.label(GENERATION_LABEL) == generation
    }

    /// Sorts the set's pods by node, from the cache as it is now.
    async fn look(&mut self) -> Result<(), Error> {
        let all = claim(
            &self.context.daemon_sets,
            &*self.set,
            &self.spec.selector,
            &self.context.pods,
        )
        .await?;
        self.pods.clear();
        // What has ended and is on its way out is nobody's business any more.
        for pod in all
            .into_iter()
            .filter(|p| !(pods::is_terminal(p) && p.deleting()))
        {
            if let Some(node) = placement::node_of(&pod) {
                self.pods.entry(node).or_default().push(pod);
            }
        }
        Ok(())
    }

    /// A pod for a node: held there by affinity, and tolerant of what befalls nodes.
    fn pod_for(&self, node: &str) -> Pod {
        let mut pod = pod_of(
            &self.spec.template,
            self.set.name(),
            self.set.ns(),
            controller_ref(&*self.set),
        );
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(HASH_LABEL.into(), self.hash.clone());
        if let Some(generation) = self.set.annotation(GENERATION) {
            labels.insert(GENERATION_LABEL.into(), generation.to_owned());
        }
        placement::pin(pod.spec.get_or_insert_default(), node);
        pod
    }

    fn wait_for_failed(&self, node: &str) -> Duration {
        let generation = self.set.status.as_ref().and_then(|s| s.observed_generation);
        let place = (self.set.uid().to_owned(), generation, node.to_owned());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.ask(&place, Instant::now())
    }

    /// Pods that wait for a node that has gone (getUnscheduledPodsWithoutNode).
    fn without_node(&self) -> Vec<Arc<Pod>> {
        let gone = |node: &str| !self.nodes.iter().any(|n| n.name() == node);
        let pods = self
            .pods
            .iter()
            .filter(|(node, _)| gone(node))
            .flat_map(|(_, pods)| pods);
        pods.filter(|p| pods::node_name(p).is_none() && !p.deleting())
            .cloned()
            .collect()
    }

    /// Makes what is missing, removes what is too much or failed (manage, podsShouldBeOnNode).
    async fn place(&mut self) -> Result<(), Error> {
        let mut needed = Vec::new();
        let mut surplus = Vec::new();
        let template = self.spec.template.spec.clone().unwrap_or_default();
        for node in self.nodes.clone() {
            let (should_run, may_stay) = placement::wants(&template, &node);
            let mut here = self.pods.get(node.name()).cloned().unwrap_or_default();
            if !should_run && !may_stay {
                surplus.extend(here.into_iter().filter(|p| !p.deleting()));
                continue;
            }
            let surging = self.is_rolling() && update::surge(&self.spec, self.nodes.len()) > 0;
            let empty = here.is_empty();
            let mut live = Vec::new();
            for pod in here.drain(..) {
                if pod.deleting() {
                    continue;
                }
                if pods::phase(&pod) == "Failed" {
                    let wait = self.wait_for_failed(node.name());
                    if !wait.is_zero() {
                        self.again = self.again.into_iter().chain([wait]).min();
                        continue;
                    }
                    let message = format!(
                        "Found failed daemon pod {}/{} on node {}, will try to kill it",
                        pod.ns(),
                        pod.name(),
                        node.name()
                    );
                    self.context
                        .events
                        .warning(COMPONENT, &*self.set, "FailedDaemonPod", message);
                    surplus.push(pod);
                } else if pods::phase(&pod) == "Succeeded" {
                    let message = format!(
                        "Found succeeded daemon pod {}/{} on node {}, will try to delete it",
                        pod.ns(),
                        pod.name(),
                        node.name()
                    );
                    self.context
                        .events
                        .normal(COMPONENT, &*self.set, "SucceededDaemonPod", message);
                    surplus.push(pod);
                } else {
                    live.push(pod);
                }
            }
            if should_run && (empty || surging && live.is_empty()) {
                needed.push(node.name().to_owned());
            } else if live.len() > 1 {
                // The oldest stays; during an update with surge, the oldest of each template.
                live.sort_by(|a, b| seniority(a).cmp(&seniority(b)));
                let mut seen = [false; 2];
                for pod in live {
                    let slot = usize::from(surging && self.is_updated(&pod));
                    if seen[slot] {
                        surplus.push(pod);
                    }
                    seen[slot] = true;
                }
            }
        }
        surplus.extend(self.without_node());
        let wanted: Vec<Pod> = needed.iter().map(|node| self.pod_for(node)).collect();
        let (_, failure) = create_in_batches(&self.context, &*self.set, COMPONENT, &wanted).await;
        for pod in surplus {
            delete_pod(&self.context, &*self.set, COMPONENT, &pod).await?;
        }
        match failure {
            Some(error) if !error.is_namespace_terminating() => Err(error),
            _ => Ok(()),
        }
    }

    fn status(&self, collisions: Option<i32>) -> DaemonSetStatus {
        let template = self.spec.template.spec.clone().unwrap_or_default();
        let (mut desired, mut current, mut misscheduled, mut ready, mut updated, mut available) =
            (0, 0, 0, 0, 0, 0);
        for node in &self.nodes {
            let here = self.pods.get(node.name()).map(Vec::as_slice).unwrap_or_default();
            if !placement::wants(&template, node).0 {
                misscheduled += usize::from(!here.is_empty());
                continue;
            }
            desired += 1;
            // The oldest speaks for the node, of those that run there.
            let Some(pod) = here.iter().min_by(|a, b| seniority(a).cmp(&seniority(b))) else {
                continue;
            };
            current += 1;
            if pods::is_ready(pod) {
                ready += 1;
                available += usize::from(self.is_available(pod));
            }
            updated += usize::from(self.is_updated(pod));
        }
        DaemonSetStatus {
            desired_number_scheduled: count(desired),
            current_number_scheduled: count(current),
            number_misscheduled: count(misscheduled),
            number_ready: count(ready),
            updated_number_scheduled: nonzero(count(updated)),
            number_available: nonzero(count(available)),
            number_unavailable: nonzero(count(desired - available)),
            observed_generation: self.set.generation(),
            collision_count: collisions,
            conditions: self.set.status.as_ref().and_then(|s| s.conditions.clone()),
        }
    }
}
