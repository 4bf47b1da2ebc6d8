//! Starting and ending a job's pods (job_controller.go, manageJob).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::indexes::{self, FAILURE_COUNT, Failures, IGNORED_COUNT, INDEX, index_of};
use super::policy::meaning;
use super::tracking::{finish_time, release_pod};
use super::{Backoff, COMPONENT, Step, TRACKING};
use crate::Error;
use crate::meta::{Meta, controller_ref, count};
use crate::pods;
use crate::replicaset::{create_in_batches, delete_pod};
use crate::template::pod_of;

const ENV: &str = "JOB_COMPLETION_INDEX";
const BURST: usize = 500;

impl Step {
    /// Brings the number of running pods to what the job asks for.
    pub(super) async fn manage(&mut self) -> Result<(), Error> {
        let active = self.active();
        if self.is_suspended() {
            return self.dismiss(active).await;
        }
        let wanted = self.wanted(active.len());
        let surplus = self.surplus(&active, wanted);
        if !surplus.is_empty() {
            return self.dismiss(surplus).await;
        }
        let terminating = if self.only_replaces_failed() {
            self.terminating()
        } else {
            0
        };
        let missing = wanted.saturating_sub(active.len() + terminating).min(BURST);
        if missing == 0 {
            return Ok(());
        }
        if self.spec.backoff_limit_per_index.is_none() {
            let wait = self.next_backoff.remaining(self.now);
            if !wait.is_zero() {
                self.requeue_in(wait);
                return Ok(());
            }
        }
        let new = self.new_pods(missing);
        let (made, error) = create_in_batches(&self.context, &*self.job, COMPONENT, &new).await;
        self.pods.extend(made);
        match error {
            Some(error) if !error.is_namespace_terminating() => Err(error),
            _ => Ok(()),
        }
    }

    fn wanted(&self, active: usize) -> usize {
        let parallelism = usize::try_from(self.spec.parallelism.unwrap_or(1)).unwrap_or(0);
        let succeeded = self.succeeded_total();
        match self.spec.completions {
            // One success ends it: who runs may finish, nobody new starts.
            None => {
                if succeeded > 0 {
                    active
                } else {
                    parallelism
                }
            }
            Some(completions) => {
                let failed = if self.spec.backoff_limit_per_index.is_some() {
                    count(self.failed_indexes().len())
                } else {
                    0
                };
                usize::try_from(completions - succeeded - failed)
                    .unwrap_or(0)
                    .min(parallelism)
            }
        }
    }

    /// Too many, twice the same index, or an index that does not exist.
    fn surplus(&self, active: &[Arc<Pod>], wanted: usize) -> Vec<Arc<Pod>> {
        let mut go = Vec::new();
        let mut stay = Vec::new();
        if self.is_indexed() {
            let completions = self.spec.completions.unwrap_or(0);
            let done: BTreeSet<i32> = self.succeeded_indexes();
            let mut seen = BTreeSet::new();
            for pod in active {
                match index_of(pod) {
                    Some(index) if index < completions && !done.contains(&index) && seen.insert(index) => {
                        stay.push(Arc::clone(pod));
                    }
                    _ => go.push(Arc::clone(pod)),
                }
            }
        } else {
            stay = active.to_vec();
        }
        if stay.len() > wanted {
            let rank = HashMap::new();
            stay.sort_by(|a, b| pods::deletion_order(a, b, &rank, self.now));
            go.extend(stay.drain(..stay.len() - wanted));
        }
        go.truncate(BURST);
        go
    }

    fn new_pods(&mut self, missing: usize) -> Vec<Pod> {
        let mut pod = pod_of(
            &self.spec.template,
            self.job.name(),
            self.job.ns(),
            controller_ref(&*self.job),
        );
        pod.metadata
            .finalizers
            .get_or_insert_default()
            .push(TRACKING.into());
        if !self.is_indexed() {
            return vec![pod; missing];
        }
        let mut taken: BTreeSet<i32> = self.active().iter().filter_map(|p| index_of(p)).collect();
        taken.extend(self.succeeded_indexes());
        if self.only_replaces_failed() {
            let terminating = self.pods.iter().filter(|p| pods::is_terminating(p));
            taken.extend(terminating.filter_map(|p| index_of(p)));
        }
        let mut next: Vec<(i32, Option<Failures>)> = Vec::new();
        if self.spec.backoff_limit_per_index.is_none() {
            let pending = indexes::pending(self.spec.completions.unwrap_or(0), &taken, missing);
            next.extend(pending.into_iter().map(|index| (index, None)));
        } else {
            taken.extend(self.failed_indexes());
            let replaced = self.awaiting_replacement();
            let mut shortest: Option<Duration> = None;
            for index in indexes::pending(self.spec.completions.unwrap_or(0), &taken, missing) {
                let before = replaced.get(&index);
                let wait = before.map_or(Duration::ZERO, |p| index_backoff(p).remaining(self.now));
                if wait.is_zero() {
                    let policy = self.spec.pod_failure_policy.as_ref();
                    let failures = before.map(|p| Failures::of(p).and(meaning(policy, p)));
                    next.push((index, Some(failures.unwrap_or_default())));
                } else {
                    shortest = Some(shortest.map_or(wait, |s| s.min(wait)));
                }
            }
            if let Some(wait) = shortest {
                self.requeue_in(wait);
            }
        }
        next.into_iter()
            .map(|(index, failures)| indexed(pod.clone(), self.job.name(), index, failures))
            .collect()
    }

    /// With a limit for each index: the failed pod of each index that has no successor yet. It keeps its finalizer until then,
    /// since it knows how often its index has failed (getPodsWithDelayedDeletionPerIndex).
    pub(super) fn awaiting_replacement(&self) -> BTreeMap<i32, Arc<Pod>> {
        let mut waiting: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        if self.spec.backoff_limit_per_index.is_none() {
            return waiting;
        }
        let mut over = self.succeeded_indexes();
        over.extend(self.failed_indexes());
        over.extend(self.active().iter().filter_map(|p| index_of(p)));
        let completions = self.spec.completions.unwrap_or(0);
        for pod in self
            .pods
            .iter()
            .filter(|p| p.has_finalizer(TRACKING) && self.has_failed(p))
        {
            let Some(index) = index_of(pod).filter(|i| *i < completions && !over.contains(i)) else {
                continue;
            };
            let later = waiting.get(&index).is_none_or(|other| {
                Failures::of(other).total() <= Failures::of(pod).total()
                    && finish_time(other) <= finish_time(pod)
            });
            if later {
                waiting.insert(index, Arc::clone(pod));
            }
        }
        waiting
    }

    /// Ends what still runs when the job is over: for a failed one it has failed, too.
    pub(super) async fn remove_active(&mut self, success: bool) -> Result<(), Error> {
        let active = self.active();
        if success {
            self.dismiss(active).await
        } else {
            self.delete_pods(active).await
        }
    }

    /// Ends pods that are not wanted any more. They are released first, so that they do not count as failed (deleteJobPods).
    async fn dismiss(&mut self, victims: Vec<Arc<Pod>>) -> Result<(), Error> {
        let released = join_all(victims.iter().map(|pod| release_pod(&self.context, pod))).await;
        released.into_iter().collect::<Result<(), Error>>()?;
        self.delete_pods(victims).await
    }

    async fn delete_pods(&mut self, victims: Vec<Arc<Pod>>) -> Result<(), Error> {
        let results = join_all(
            victims
                .iter()
                .map(|pod| delete_pod(&self.context, &*self.job, COMPONENT, pod)),
        )
        .await;
        self.pods = self
            .pods
            .iter()
            .filter_map(|p| self.context.pods.get(&p.key()).filter(|now| now.uid() == p.uid()))
            .collect();
        results.into_iter().collect()
    }
}

/// How long after its last failure an index waits, by how often it has failed.
fn index_backoff(failed: &Pod) -> Backoff {
    Backoff {
        failures: Failures::of(failed).total().unsigned_abs() + 1,
        last: Some(finish_time(failed)),
    }
}

/// What the names of an index' pods begin with: of a long name the job's part is cut, not the index (podGenerateNameWithIndex).
fn prefix(job: &str, index: i32) -> String {
    /// Longest that the API server leaves whole when it makes up a name.
    const WHOLE: usize = 58;
    let end = format!("-{index}-");
    let most = WHOLE.saturating_sub(end.len());
    format!("{}{end}", job.get(..most).unwrap_or(job))
}

/// A pod for an index: it finds the index in an annotation, a label, its name, its host name and its environment.
fn indexed(mut pod: Pod, job: &str, index: i32, failures: Option<Failures>) -> Pod {
    pod.metadata.generate_name = Some(prefix(job, index));
    pod.metadata
        .annotations
        .get_or_insert_default()
        .insert(INDEX.into(), index.to_string());
    if let Some(failures) = failures {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(FAILURE_COUNT.into(), failures.counted.to_string());
        if failures.ignored > 0 {
            annotations.insert(IGNORED_COUNT.into(), failures.ignored.to_string());
        }
    }
    pod.metadata
        .labels
        .get_or_insert_default()
        .insert(INDEX.into(), index.to_string());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{job}-{index}"));
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        let env = container.env.get_or_insert_default();
        if env.iter().any(|e| e.name == ENV) {
            continue;
        }
        env.push(EnvVar {
            name: ENV.into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.labels['{INDEX}']"),
                    api_version: None,
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        });
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_stays_in_a_long_name() {
        assert_eq!(prefix("j", 12), "j-12-");
        assert_eq!(prefix(&"j".repeat(63), 12), format!("{}-12-", "j".repeat(54)));
    }

    #[test]
    fn an_index_is_everywhere() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c"}]}})).unwrap();
        let pod = indexed(pod, "j", 3, None);
        assert_eq!(index_of(&pod), Some(3));
        assert_eq!(
            (pod.label(INDEX), pod.metadata.generate_name.as_deref()),
            (Some("3"), Some("j-3-"))
        );
        let spec = pod.spec.unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("j-3"));
        assert_eq!(spec.containers[0].env.as_ref().unwrap()[0].name, ENV);
    }
}
