//! Jobs (pkg/controller/job): `decide` says whether the job is done, `pods` makes and removes pods, `tracking`
//! counts finished pods exactly once, `indexes` and `policy` are pure helpers.

mod decide;
mod indexes;
mod orphans;
mod pods;
mod policy;
mod tracking;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinSet;

use crate::adopt::claim_if;
use crate::context::Context;
use crate::meta::{Key, Meta, count, nonzero, now};
use crate::pods as pod;
use crate::queue::{Outcome, Queue, run};
use crate::replicaset::enqueue_owners_of_pods;
use crate::selector;

pub(crate) const COMPONENT: &str = "job-controller";
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// How long a Job that could not be seen to waits (job_controller.go, DefaultJobApiBackOff and MaxJobApiBackOff).
const API_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Failures since the last success, which the next pod has to wait for (backoff_utils.go). In memory only, as upstream.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    failures: u32,
    last: Option<Timestamp>,
}

impl Backoff {
    /// Ten seconds, doubling, ten minutes at most.
    fn remaining(self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.failures > 0) else {
            return Duration::ZERO;
        };
        let wait = SignedDuration::from_secs((10_i64 << (self.failures - 1).min(10)).min(600));
        Duration::try_from((last + wait).duration_since(now)).unwrap_or(Duration::ZERO)
    }
}

type Backoffs = Arc<Mutex<HashMap<String, Backoff>>>;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::pausing(API_PAUSES);
    let backoffs = Backoffs::default();
    enqueue_owners_of_pods(
        context,
        &queue,
        |c| &c.jobs,
        |j: &Job, labels| selector::matches_opt(j.spec.as_ref().and_then(|s| s.selector.as_ref()), labels),
    );
    let b = Arc::clone(&backoffs);
    context.jobs.on_change(move |change| {
        if let (Some(old), None) = (change.old, change.new) {
            b.lock().unwrap_or_else(PoisonError::into_inner).remove(old.uid());
        }
    });
    orphans::start(context, tasks);
    let context = Arc::clone(context);
    run(tasks, "job", &queue, 5, move |key| {
        sync(Arc::clone(&context), Arc::clone(&backoffs), key)
    });
}

pub(crate) fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == kind && c.status == "True")
}

/// Complete or failed, for good.
pub(crate) fn finished(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    condition(status, "Complete").or_else(|| condition(status, "Failed"))
}

/// Whether the job is ours: its spec may name another controller.
fn is_managed_here(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|s| s.managed_by.as_deref());
    manager.is_none_or(|m| m == "kubernetes.io/job-controller")
}

/// One job at work.
struct Step {
    context: Arc<Context>,
    /// As the API server has it.
    job: Arc<Job>,
    spec: JobSpec,
    status: JobStatus,
    pods: Vec<Arc<Pod>>,
    backoff: Backoff,
    /// With what has finished and is not counted yet; it is the record once that is counted.
    next_backoff: Backoff,
    /// As they were before this step ended any pod.
    failed_before: BTreeSet<i32>,
    now: Timestamp,
    requeue: Option<Duration>,
}

async fn sync(context: Arc<Context>, backoffs: Backoffs, key: Key) -> Outcome {
    let Some(job) = context.jobs.get(&key) else {
        return Ok(None);
    };
    let Some(spec) = job.spec.clone() else {
        return Ok(None);
    };
    if finished(&job).is_some() || !is_managed_here(&job) {
        return Ok(None);
    }
    let Some(job_selector) = spec.selector.clone() else {
        return Ok(None);
    };
    let pods = claim_if(&context.jobs, &*job, &job_selector, &context.pods, |p| {
        p.has_finalizer(TRACKING)
    })
    .await?;
    let uid = job.uid().to_owned();
    let backoff = backoffs
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&uid)
        .copied()
        .unwrap_or_default();
    let mut step = Step {
        status: job.status.clone().unwrap_or_default(),
        context,
        job,
        spec,
        pods,
        backoff,
        next_backoff: backoff,
        failed_before: BTreeSet::new(),
        now: Timestamp::now(),
        requeue: None,
    };
    let outcome = step.run().await;
    backoffs
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(uid, step.backoff);
    outcome.map(|()| step.requeue)
}

impl Step {
    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Pods are replaced only when they have failed, not while they terminate.
    fn only_replaces_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    fn active(&self) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|p| pod::is_active(p)).cloned().collect()
    }

    fn terminating(&self) -> usize {
        self.pods.iter().filter(|p| pod::is_terminating(p)).count()
    }

    fn requeue_in(&mut self, delay: Duration) {
        let delay = delay.max(Duration::from_millis(1));
        self.requeue = Some(self.requeue.map_or(delay, |d| d.min(delay)));
    }

    /// Counts of what is running now.
    fn count_running(&mut self) {
        let active = self.active();
        self.status.active = nonzero(count(active.len()));
        self.status.ready = Some(count(active.iter().filter(|p| pod::is_ready(p)).count()));
        self.status.terminating = Some(count(self.terminating()));
    }

    /// Adds or changes a condition; returns whether it changed.
    fn set_condition(&mut self, kind: &str, status: bool, reason: &str, message: &str) -> bool {
        let status = if status { "True" } else { "False" };
        let conditions = self.status.conditions.get_or_insert_default();
        let at = Some(now());
        if let Some(old) = conditions.iter_mut().find(|c| c.type_ == kind) {
            if old.status == status
                && old.reason.as_deref() == Some(reason)
                && old.message.as_deref() == Some(message)
            {
                return false;
            }
            if old.status != status {
                old.last_transition_time.clone_from(&at);
            }
            old.last_probe_time = at;
            old.status = status.into();
            old.reason = Some(reason.into());
            old.message = Some(message.into());
            return true;
        }
        if status == "False" {
            return false; // what was never true need not be denied
        }
        conditions.push(JobCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: at.clone(),
            last_transition_time: at,
        });
        true
    }

    /// Writes the status as it is now, and goes on from what came back.
    async fn write_status(&mut self) -> Result<(), crate::Error> {
        let mut updated = (*self.job).clone();
        updated.status = Some(self.status.clone());
        if let Some(written) = self.context.jobs.update_status(&self.job, &updated).await? {
            self.job = written;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_ten_minutes() {
        let at = Timestamp::from_second(1_000_000).unwrap();
        let wait = |failures| {
            Backoff {
                failures,
                last: Some(at),
            }
            .remaining(at)
            .as_secs()
        };
        assert_eq!(
            (wait(0), wait(1), wait(2), wait(3), wait(20)),
            (0, 10, 20, 40, 600)
        );
        let later = Timestamp::from_second(1_000_011).unwrap();
        assert_eq!(
            Backoff {
                failures: 1,
                last: Some(at)
            }
            .remaining(later),
            Duration::ZERO
        );
    }
}
