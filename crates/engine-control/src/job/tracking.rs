//! Counting finished pods exactly once: first their uids go into the status, then their finalizers go, then they
//! move into the counters (job_controller.go, trackJobStatusAndRemoveFinalizers).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::indexes::{self, Failures, index_of};
use super::policy::{Meaning, meaning};
use super::{Backoff, Step, TRACKING};
use crate::Error;
use crate::context::Context;
use crate::meta::{Meta, count, nonzero};
use crate::pods;

impl Step {
    pub(super) fn has_failed(&self, pod: &Pod) -> bool {
        match pods::phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            _ => pod.deleting() && !self.only_replaces_failed(),
        }
    }

    fn uncounted(&self, uid: &str) -> bool {
        let listed = |list: Option<&Vec<String>>| list.is_some_and(|l| l.iter().any(|u| u == uid));
        self.status
            .uncounted_terminated_pods
            .as_ref()
            .is_some_and(|u| listed(u.succeeded.as_ref()) || listed(u.failed.as_ref()))
    }

    /// Pods that finished and have not been noted yet.
    fn newly(&self, which: impl Fn(&Pod) -> bool) -> Vec<Arc<Pod>> {
        self.pods
            .iter()
            .filter(|p| p.has_finalizer(TRACKING) && which(p) && !self.uncounted(p.uid()))
            .cloned()
            .collect()
    }

    /// How many have failed in all, those not counted yet included.
    pub(super) fn failed_total(&self) -> i32 {
        let noted = self
            .status
            .uncounted_terminated_pods
            .as_ref()
            .and_then(|u| u.failed.as_ref())
            .map_or(0, Vec::len);
        let new = self
            .newly(|p| self.has_failed(p))
            .into_iter()
            .filter(|p| meaning(self.spec.pod_failure_policy.as_ref(), p) != Meaning::Ignored);
        self.status.failed.unwrap_or(0) + count(noted) + count(new.count())
    }

    pub(super) fn succeeded_total(&self) -> i32 {
        if self.is_indexed() {
            return count(self.succeeded_indexes().len());
        }
        let noted = self
            .status
            .uncounted_terminated_pods
            .as_ref()
            .and_then(|u| u.succeeded.as_ref())
            .map_or(0, Vec::len);
        self.status.succeeded.unwrap_or(0)
            + count(noted)
            + count(self.newly(|p| pods::phase(p) == "Succeeded").len())
    }

    pub(super) fn succeeded_indexes(&self) -> BTreeSet<i32> {
        let completions = self.spec.completions.unwrap_or(0);
        let mut done = indexes::parse(
            self.status.completed_indexes.as_deref().unwrap_or_default(),
            completions,
        );
        // What has been let go stands in the status, unless the job was too small for it meanwhile (calculateSucceededIndexes).
        let news = self.newly(|p| pods::phase(p) == "Succeeded");
        done.extend(
            news.iter()
                .filter_map(|p| index_of(p))
                .filter(|i| *i < completions),
        );
        done
    }

    /// Indexes that have used up their own limit, or were failed by a rule.
    pub(super) fn failed_indexes(&self) -> BTreeSet<i32> {
        let completions = self.spec.completions.unwrap_or(0);
        let mut failed = indexes::parse(
            self.status.failed_indexes.as_deref().unwrap_or_default(),
            completions,
        );
        let Some(limit) = self.spec.backoff_limit_per_index else {
            return failed;
        };
        for pod in self.pods.iter().filter(|p| self.has_failed(p)) {
            let Some(index) = index_of(pod).filter(|i| *i < completions) else {
                continue;
            };
            let failures = Failures::of(pod).counted;
            match meaning(self.spec.pod_failure_policy.as_ref(), pod) {
                Meaning::FailsIndex => {
                    failed.insert(index);
                }
                Meaning::Counts if failures >= limit => {
                    failed.insert(index);
                }
                _ => {}
            }
        }
        failed
    }

    /// Notes, releases and counts what has finished. `over` tells whether a finished job has succeeded: what a finished one
    /// leaves behind is released, and of a failed one counted as failed.
    pub(super) async fn track(&mut self, over: Option<bool>) -> Result<(), Error> {
        let succeeded = self.newly(|p| pods::phase(p) == "Succeeded");
        let left = over.map_or_else(Vec::new, |_| self.newly(pods::is_terminating));
        let waiting = if over.is_some() || self.metadata_deleting() {
            BTreeMap::new()
        } else {
            self.awaiting_replacement()
        };
        let kept = |p: &Pod| waiting.values().any(|w| w.uid() == p.uid());
        let failed = self
            .newly(|p| (self.has_failed(p) || (over == Some(false) && pods::is_terminating(p))) && !kept(p));
        let lost = self.lost();
        // Said from the beginning on, as an empty list.
        if self.is_indexed() && self.spec.backoff_limit_per_index.is_some() {
            self.status.failed_indexes = Some(indexes::format(&self.failed_before));
        }
        // Also when nothing is new: a job that was made smaller forgets the indexes that it no longer has.
        if self.is_indexed() {
            let done = indexes::format(&self.succeeded_indexes());
            self.status.completed_indexes = (!done.is_empty()).then_some(done);
            self.status.succeeded = nonzero(count(self.succeeded_indexes().len()));
        }
        if succeeded.is_empty()
            && failed.is_empty()
            && left.is_empty()
            && lost.is_empty()
            && self.noted().is_empty()
        {
            return Ok(());
        }
        let completions = self.spec.completions.unwrap_or(i32::MAX);
        let uncounted = self.status.uncounted_terminated_pods.get_or_insert_default();
        if self.spec.completion_mode.as_deref() == Some("Indexed") {
            // Successes of an indexed job are its indexes; only failures are counted by pod.
        } else {
            uncounted
                .succeeded
                .get_or_insert_default()
                .extend(succeeded.iter().map(|p| p.uid().to_owned()));
        }
        let policy = self.spec.pod_failure_policy.as_ref();
        let counting = failed
            .iter()
            .filter(|p| meaning(policy, p) != Meaning::Ignored)
            .filter(|p| index_of(p).is_none_or(|i| i < completions));
        uncounted
            .failed
            .get_or_insert_default()
            .extend(counting.map(|p| p.uid().to_owned()));
        self.write_status().await?;
        self.backoff = self.next_backoff;

        let noted = self.noted();
        let mut release: Vec<Arc<Pod>> = succeeded.into_iter().chain(failed).collect();
        for pod in left
            .iter()
            .chain(self.pods.iter().filter(|p| noted.contains(p.uid())))
        {
            if !release.iter().any(|p| p.uid() == pod.uid()) {
                release.push(Arc::clone(pod));
            }
        }
        let results = join_all(release.iter().map(|pod| release_pod(&self.context, pod))).await;
        for result in results {
            result?;
        }
        // All noted pods are released now, so they can be counted.
        let uncounted = self.status.uncounted_terminated_pods.take().unwrap_or_default();
        let more = |before: Option<i32>, list: Option<&Vec<String>>| {
            nonzero(before.unwrap_or(0) + count(list.map_or(0, Vec::len)))
        };
        self.status.succeeded = if self.is_indexed() {
            nonzero(count(self.succeeded_indexes().len()))
        } else {
            more(self.status.succeeded, uncounted.succeeded.as_ref())
        };
        self.status.failed = more(self.status.failed, uncounted.failed.as_ref());
        self.status.uncounted_terminated_pods =
            Some(k8s_openapi::api::batch::v1::UncountedTerminatedPods::default());
        // What has just been released must not be taken for news in this step.
        self.pods = self
            .pods
            .iter()
            .filter_map(|p| self.context.pods.get(&p.key()).filter(|now| now.uid() == p.uid()))
            .collect();
        Ok(())
    }

    fn noted(&self) -> BTreeSet<String> {
        let Some(u) = &self.status.uncounted_terminated_pods else {
            return BTreeSet::new();
        };
        u.succeeded
            .iter()
            .flatten()
            .chain(u.failed.iter().flatten())
            .cloned()
            .collect()
    }

    /// Noted pods that are gone already: a step was interrupted before counting them.
    fn lost(&self) -> Vec<String> {
        self.noted()
            .into_iter()
            .filter(|uid| !self.pods.iter().any(|p| p.uid() == uid))
            .collect()
    }

    /// The record of failures with what has finished since: successes reset it.
    pub(super) fn backoff_with_news(&self) -> Backoff {
        let mut finishes: Vec<(Timestamp, bool)> = Vec::new();
        for pod in self.newly(|p| pods::phase(p) == "Succeeded") {
            finishes.push((finish_time(&pod), true));
        }
        for pod in self.newly(|p| self.has_failed(p)) {
            finishes.push((finish_time(&pod), false));
        }
        finishes.sort();
        let mut backoff = self.backoff;
        for (at, success) in finishes {
            if success {
                backoff = Backoff::default();
            } else {
                backoff.failures += 1;
                backoff.last = Some(at);
            }
        }
        backoff
    }
}

/// When the last container or sidecar ended; a pod of which not all have counts from when it stopped being ready, or from its
/// deletion (backoff_utils.go, getFinishedTime).
pub(super) fn finish_time(pod: &Pod) -> Timestamp {
    let inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    let sidecars: Vec<&str> = inits
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let statuses = pod.status.iter().flat_map(|s| {
        let inits = s.init_container_statuses.iter().flatten();
        let sidecars = inits.filter(|status| sidecars.contains(&status.name.as_str()));
        s.container_statuses.iter().flatten().chain(sidecars)
    });
    let ends: Option<Vec<Timestamp>> = statuses
        .map(|s| Some(s.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    let unready = || {
        let ready = pods::condition(pod, "Ready").filter(|c| c.status == "False")?;
        ready.last_transition_time.as_ref().map(|t| t.0)
    };
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let end = pod.metadata.deletion_timestamp.as_ref()?.0;
        Some(end - SignedDuration::from_secs(grace))
    };
    ends.and_then(|all| all.into_iter().max())
        .or_else(unready)
        .or_else(deleted)
        .unwrap_or_else(|| pod.created())
}

/// Takes our finalizer off a pod.
pub(super) async fn release_pod(context: &Context, pod: &Pod) -> Result<(), Error> {
    if !pod.has_finalizer(TRACKING) {
        return Ok(());
    }
    let left: Vec<&String> = pod
        .metadata
        .finalizers
        .iter()
        .flatten()
        .filter(|f| *f != TRACKING)
        .collect();
    let left = if left.is_empty() { Value::Null } else { json!(left) };
    let patch = json!({"metadata": {"uid": pod.uid(), "resourceVersion": pod.metadata.resource_version, "finalizers": left}});
    match context.pods.merge_patch(&pod.key(), &patch, None).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
