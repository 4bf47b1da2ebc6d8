//! What a deployment says about itself (progress.go, sync.go).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::arithmetic::max_unavailable;
use super::{Step, total};
use crate::meta::{Meta, nonzero, now};

const PROGRESSING: &str = "Progressing";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

impl Step {
    fn deadline(&self) -> Option<SignedDuration> {
        let seconds = self.spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)?;
        Some(SignedDuration::from_secs(i64::from(seconds)))
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.deadline().is_some()
    }

    pub(super) fn condition(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.deployment
            .status
            .as_ref()?
            .conditions
            .as_ref()?
            .iter()
            .find(|c| c.type_ == kind)
    }

    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let conditions = self
            .deployment
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default();
        put(conditions, kind, status, reason, message);
    }

    pub(super) fn check_paused(&mut self) {
        let reason = self.condition(PROGRESSING).and_then(|c| c.reason.clone());
        if !self.has_deadline() || reason.as_deref() == Some(TIMED_OUT) {
            return;
        }
        let known = reason.as_deref() == Some("DeploymentPaused");
        if self.is_paused() && !known {
            self.set_condition(
                PROGRESSING,
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused".into(),
            );
        } else if !self.is_paused() && known {
            self.set_condition(
                PROGRESSING,
                "Unknown",
                "DeploymentResumed",
                "Deployment is resumed".into(),
            );
        }
    }

    /// The status that follows from the sets as they are now.
    pub(super) fn counted(&self) -> DeploymentStatus {
        let sets = self.all_sets();
        let sum = |of: fn(&ReplicaSet) -> Option<i32>| sets.iter().filter_map(|s| of(s)).sum::<i32>();
        let available = sum(|s| s.status.as_ref()?.available_replicas);
        let mut conditions = self
            .deployment
            .status
            .as_ref()
            .and_then(|s| s.conditions.clone())
            .unwrap_or_default();
        if available >= self.replicas() - max_unavailable(&self.spec) {
            put(
                &mut conditions,
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.".into(),
            );
        } else {
            put(
                &mut conditions,
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".into(),
            );
        }
        let updated = self
            .new
            .as_ref()
            .and_then(|s| s.status.as_ref())
            .map_or(0, |s| s.replicas);
        DeploymentStatus {
            observed_generation: self.original.generation(),
            replicas: nonzero(sum(|s| s.status.as_ref().map(|s| s.replicas))),
            updated_replicas: nonzero(updated),
            ready_replicas: nonzero(sum(|s| s.status.as_ref()?.ready_replicas)),
            available_replicas: nonzero(available),
            unavailable_replicas: nonzero((total(&sets) - available).max(0)),
            terminating_replicas: Some(sum(|s| s.status.as_ref()?.terminating_replicas)),
            collision_count: self.deployment.status.as_ref().and_then(|s| s.collision_count),
            conditions: Some(conditions),
        }
    }

    pub(super) fn is_complete(&self, status: &DeploymentStatus) -> bool {
        let wanted = self.replicas();
        status.updated_replicas.unwrap_or(0) == wanted
            && status.replicas.unwrap_or(0) == wanted
            && status.available_replicas.unwrap_or(0) == wanted
            && status.observed_generation >= self.original.generation()
    }

    /// Counts, and when rolling out also judges the progress.
    pub(super) fn set_status(&mut self, rolling: bool) {
        let mut status = self.counted();
        if rolling {
            self.judge_progress(&mut status);
        }
        self.deployment.status = Some(status);
    }

    fn judge_progress(&self, status: &mut DeploymentStatus) {
        let mut conditions = status.conditions.take().unwrap_or_default();
        if !self.has_deadline() {
            conditions.retain(|c| c.type_ != PROGRESSING);
        }
        let current = self.condition(PROGRESSING).cloned();
        let settled = status.replicas == status.updated_replicas
            && current.as_ref().and_then(|c| c.reason.as_deref()) == Some(NEW_SET_AVAILABLE);
        if self.has_deadline() && !settled {
            let subject = match &self.new {
                Some(set) => format!("ReplicaSet \"{}\"", set.name()),
                None => format!("Deployment \"{}\"", self.original.name()),
            };
            let before = self.original.status.clone().unwrap_or_default();
            if self.is_complete(status) {
                put(
                    &mut conditions,
                    PROGRESSING,
                    "True",
                    NEW_SET_AVAILABLE,
                    format!("{subject} has successfully progressed."),
                );
            } else if is_progressing(&before, status) {
                // Every progress renews the update time, which the deadline counts from.
                let since = current
                    .filter(|c| c.status == "True")
                    .and_then(|c| c.last_transition_time);
                conditions.retain(|c| c.type_ != PROGRESSING);
                put(
                    &mut conditions,
                    PROGRESSING,
                    "True",
                    "ReplicaSetUpdated",
                    format!("{subject} is progressing."),
                );
                if let (Some(since), Some(condition)) = (since, conditions.last_mut()) {
                    condition.last_transition_time = Some(since);
                }
            } else if self.is_timed_out(current.as_ref()) {
                put(
                    &mut conditions,
                    PROGRESSING,
                    "False",
                    TIMED_OUT,
                    format!("{subject} has timed out progressing."),
                );
            }
        }
        let failure = self.set_failure();
        let same = |c: &DeploymentCondition| {
            let failure = failure.as_ref();
            failure.is_some_and(|f| c.status == f.status && c.reason == f.reason)
        };
        conditions.retain(|c| c.type_ != "ReplicaFailure" || same(c));
        if !conditions.iter().any(|c| c.type_ == "ReplicaFailure") {
            conditions.extend(failure);
        }
        status.conditions = Some(conditions);
    }

    /// The failure of the new set, else of any.
    fn set_failure(&self) -> Option<DeploymentCondition> {
        let of = |set: &Arc<ReplicaSet>| {
            let conditions = set.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|c| c.type_ == "ReplicaFailure").cloned()
        };
        let found = self
            .new
            .as_ref()
            .and_then(of)
            .or_else(|| self.old.iter().find_map(of))?;
        Some(DeploymentCondition {
            type_: "ReplicaFailure".into(),
            status: found.status,
            reason: found.reason,
            message: found.message,
            last_update_time: found.last_transition_time.clone(),
            last_transition_time: found.last_transition_time,
        })
    }

    fn is_timed_out(&self, condition: Option<&DeploymentCondition>) -> bool {
        match condition.and_then(|c| c.reason.as_deref()) {
            None | Some(NEW_SET_AVAILABLE) => false,
            Some(TIMED_OUT) => true,
            Some(_) => self
                .time_left()
                .is_some_and(|left| left.is_negative() || left.is_zero()),
        }
    }

    fn time_left(&self) -> Option<SignedDuration> {
        let updated = self.condition(PROGRESSING)?.last_update_time.as_ref()?.0;
        Some((updated + self.deadline()?).duration_since(Timestamp::now()))
    }

    /// A rollout that gets stuck produces no event, so its deadline needs a timer.
    pub(super) fn requeue_for_deadline(&self) -> Option<Duration> {
        let status = self.deployment.status.as_ref()?;
        let reason = self.condition(PROGRESSING)?.reason.as_deref();
        if self.is_paused()
            || self.is_complete(status)
            || matches!(reason, Some(TIMED_OUT | NEW_SET_AVAILABLE))
        {
            return None;
        }
        let left = self.time_left()?;
        Some(Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1))
    }
}

fn is_progressing(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let old_ones = |s: &DeploymentStatus| s.replicas.unwrap_or(0) - s.updated_replicas.unwrap_or(0);
    after.updated_replicas.unwrap_or(0) > before.updated_replicas.unwrap_or(0)
        || old_ones(after) < old_ones(before)
        || after.ready_replicas.unwrap_or(0) > before.ready_replicas.unwrap_or(0)
        || after.available_replicas.unwrap_or(0) > before.available_replicas.unwrap_or(0)
}

/// Sets a condition unless status and reason are the same already; a changed one moves to the end, as upstream's does.
fn put(conditions: &mut Vec<DeploymentCondition>, kind: &str, status: &str, reason: &str, message: String) {
    let old = conditions.iter().find(|c| c.type_ == kind);
    if old.is_some_and(|o| o.status == status && o.reason.as_deref() == Some(reason)) {
        return;
    }
    let at = Some(now());
    let since = old
        .filter(|o| o.status == status)
        .and_then(|o| o.last_transition_time.clone());
    conditions.retain(|c| c.type_ != kind);
    conditions.push(DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: at.clone(),
        last_transition_time: since.or(at),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_move_only_when_they_change() {
        let mut conditions = Vec::new();
        put(&mut conditions, "A", "True", "X", "m".into());
        put(&mut conditions, "B", "True", "X", "m".into());
        put(&mut conditions, "A", "True", "X", "other".into());
        assert_eq!(conditions[0].message.as_deref(), Some("m"));
        put(&mut conditions, "A", "True", "Y", "new".into());
        assert_eq!(
            (conditions[1].type_.as_str(), conditions[1].message.as_deref()),
            ("A", Some("new"))
        );
    }

    #[test]
    fn progress_is_more_new_or_fewer_old() {
        let status = |r, u, a| DeploymentStatus {
            replicas: Some(r),
            updated_replicas: Some(u),
            available_replicas: Some(a),
            ..Default::default()
        };
        assert!(is_progressing(&status(3, 0, 3), &status(4, 1, 3)));
        assert!(is_progressing(&status(4, 1, 3), &status(3, 1, 3)));
        assert!(!is_progressing(&status(3, 1, 3), &status(3, 1, 3)));
    }
}
