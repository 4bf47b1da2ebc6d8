//! Is the job done, and how (job_controller.go, syncJob).

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobCondition;

use super::indexes;
use super::policy::{Meaning, meaning};
use super::{COMPONENT, Step, condition};
use crate::Error;
use crate::meta::{count, now};
use crate::pods;

/// How a job ends: the interim condition, why, and in words.
struct End {
    success: bool,
    reason: String,
    message: String,
}

impl End {
    fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self {
            success: false,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn of(condition: &JobCondition, success: bool) -> Self {
        Self {
            success,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        }
    }
}

impl Step {
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        if self.status.start_time.is_none() && !self.is_suspended() {
            self.status.start_time = Some(now());
        }
        self.status.uncounted_terminated_pods.get_or_insert_default();
        self.next_backoff = self.backoff_with_news();
        self.failed_before = self.failed_indexes();
        let mut end = self.decided();
        let mut trouble = None;
        if let Some(end) = &end {
            trouble = self.remove_active(end.success).await.err();
        } else if self.metadata_deleting() {
            // Nothing is started for a job that is going away.
        } else {
            trouble = self.manage().await.err();
            if self.is_complete() {
                end = Some(End {
                    success: true,
                    reason: "CompletionsReached".into(),
                    message: "Reached expected number of succeeded pods".into(),
                });
            } else if trouble.is_none() {
                self.note_suspension();
            }
        }
        if let Some(end) = &end {
            // Recorded before the pods are released, so that the verdict survives an interruption.
            let kind = if end.success {
                "SuccessCriteriaMet"
            } else {
                "FailureTarget"
            };
            self.set_condition(kind, true, &end.reason, &end.message);
        }
        self.count_running();
        self.track(end.as_ref().map(|e| e.success)).await?;
        self.count_running();
        if let Some(end) = &end
            && self.status.terminating.unwrap_or(0) == 0
            && self.status.active.unwrap_or(0) == 0
        {
            self.finish(end);
        }
        self.write_status().await?;
        trouble.map_or(Ok(()), Err)
    }

    pub(super) fn metadata_deleting(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }

    fn finish(&mut self, end: &End) {
        if end.success {
            self.set_condition("Complete", true, &end.reason, &end.message);
            self.status.completion_time = Some(now());
            if too_many(self.spec.completions, self.status.succeeded) {
                self.context.events.warning(
                    COMPONENT,
                    &*self.job,
                    "TooManySucceededPods",
                    "Too many succeeded pods running after completion count reached",
                );
            }
            self.context
                .events
                .normal(COMPONENT, &*self.job, "Completed", "Job completed");
        } else {
            self.set_condition("Failed", true, &end.reason, &end.message);
            self.context
                .events
                .warning(COMPONENT, &*self.job, &end.reason, end.message.clone());
        }
    }

    /// Whether the verdict stands, from before or from what the pods say now.
    fn decided(&mut self) -> Option<End> {
        if let Some(target) = condition(&self.status, "FailureTarget") {
            return Some(End::of(target, false));
        }
        if let Some(met) = condition(&self.status, "SuccessCriteriaMet") {
            return Some(End::of(met, true));
        }
        if let Some(message) = self.failed_by_rule() {
            return Some(End::failed("PodFailurePolicy", message));
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.failed_total() > limit || self.restarts_exceed(limit) {
            return Some(End::failed(
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ));
        }
        if let (Some(seconds), Some(start), false) = (
            self.spec.active_deadline_seconds,
            &self.status.start_time,
            self.is_suspended(),
        ) {
            let left = (start.0 + SignedDuration::from_secs(seconds)).duration_since(self.now);
            if left.is_zero() || left.is_negative() {
                return Some(End::failed(
                    "DeadlineExceeded",
                    "Job was active longer than specified deadline",
                ));
            }
            self.requeue_in(Duration::try_from(left).unwrap_or_default());
        }
        if self.is_indexed() {
            if let Some(end) = self.indexes_failed() {
                return Some(end);
            }
            return self.success_by_policy();
        }
        None
    }

    fn failed_by_rule(&self) -> Option<String> {
        let policy = self.spec.pod_failure_policy.as_ref()?;
        self.pods
            .iter()
            .filter(|p| pods::phase(p) == "Failed")
            .find_map(|p| match meaning(Some(policy), p) {
                Meaning::FailsJob(message) => Some(message),
                _ => None,
            })
    }

    /// Containers that are restarted in place count by their restarts.
    fn restarts_exceed(&self, limit: i32) -> bool {
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let running = self
            .pods
            .iter()
            .filter(|p| matches!(pods::phase(p), "Running" | "Pending"));
        let restarts: i32 = running
            .filter_map(|p| p.status.as_ref())
            .flat_map(|s| {
                s.init_container_statuses
                    .iter()
                    .flatten()
                    .chain(s.container_statuses.iter().flatten())
            })
            .map(|s| s.restart_count)
            .sum();
        if limit == 0 {
            restarts > 0
        } else {
            restarts >= limit
        }
    }

    fn indexes_failed(&self) -> Option<End> {
        self.spec.backoff_limit_per_index?;
        let failed = self.failed_indexes();
        if self
            .spec
            .max_failed_indexes
            .is_some_and(|most| count(failed.len()) > most)
        {
            return Some(End::failed(
                "MaxFailedIndexesExceeded",
                "Job has exceeded the specified maximal number of failed indexes",
            ));
        }
        let done = count(failed.len()) + count(self.succeeded_indexes().len());
        if !failed.is_empty() && done >= self.spec.completions.unwrap_or(0) {
            return Some(End::failed("FailedIndexes", "Job has failed indexes"));
        }
        None
    }

    fn success_by_policy(&self) -> Option<End> {
        let policy = self.spec.success_policy.as_ref()?;
        let completions = self.spec.completions.unwrap_or(0);
        let succeeded = self.succeeded_indexes();
        if succeeded.is_empty() {
            return None;
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            let wanted = rule
                .succeeded_indexes
                .as_ref()
                .map(|t| indexes::parse(t, completions));
            let hits = wanted
                .as_ref()
                .map_or(succeeded.len(), |w| w.intersection(&succeeded).count());
            let needed = match (rule.succeeded_count, &wanted) {
                (Some(n), _) => usize::try_from(n).unwrap_or(usize::MAX),
                (None, Some(w)) => w.len(),
                (None, None) => continue,
            };
            if hits >= needed {
                return Some(End {
                    success: true,
                    reason: "SuccessPolicy".into(),
                    message: format!("Matched rules at index {at}"),
                });
            }
        }
        None
    }

    fn is_complete(&self) -> bool {
        let nobody = self.active().is_empty();
        match self.spec.completions {
            None => self.succeeded_total() > 0 && nobody,
            Some(completions) => self.succeeded_total() >= completions && nobody,
        }
    }

    fn note_suspension(&mut self) {
        if self.is_suspended() {
            if self.set_condition("Suspended", true, "JobSuspended", "Job suspended") {
                self.context
                    .events
                    .normal(COMPONENT, &*self.job, "Suspended", "Job suspended");
                self.status.start_time = None;
            }
        } else if self.set_condition("Suspended", false, "JobResumed", "Job resumed") {
            self.context
                .events
                .normal(COMPONENT, &*self.job, "Resumed", "Job resumed");
            // The deadline counts anew.
            self.status.start_time = Some(now());
        }
    }
}

/// Whether more have succeeded than were asked for.
fn too_many(completions: Option<i32>, succeeded: Option<i32>) -> bool {
    completions.is_some_and(|wanted| succeeded.unwrap_or(0) > wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_asked_for() {
        assert!(too_many(Some(1), Some(2)));
        assert!(!too_many(Some(2), Some(2)) && !too_many(Some(1), None));
        assert!(!too_many(None, Some(2)), "a work queue asks for none");
    }
}
