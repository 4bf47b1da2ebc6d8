//! The status of an autoscaler while it is being worked out.

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus,
};

use crate::meta::now;

/// Reason and message of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Says {
    pub reason: &'static str,
    pub message: String,
}

pub(super) fn say(reason: &'static str, message: impl Into<String>) -> Says {
    Says {
        reason,
        message: message.into(),
    }
}

/// See the module's documentation.
pub(super) struct Report {
    pub status: HorizontalPodAutoscalerStatus,
}

impl Report {
    /// Begins with what was said before; metrics are said anew.
    pub fn of(object: &HorizontalPodAutoscaler) -> Self {
        let mut status = object.status.clone().unwrap_or_default();
        status.observed_generation = None;
        Self { status }
    }

    /// Sets a condition.
    pub fn condition(&mut self, kind: &str, holds: bool, says: Says) {
        let conditions = self.status.conditions.get_or_insert_default();
        let at = conditions
            .iter()
            .position(|c| c.type_ == kind)
            .unwrap_or_else(|| {
                conditions.push(HorizontalPodAutoscalerCondition {
                    type_: kind.to_owned(),
                    ..HorizontalPodAutoscalerCondition::default()
                });
                conditions.len() - 1
            });
        let condition = &mut conditions[at];
        let status = if holds { "True" } else { "False" };
        if condition.status != status {
            condition.last_transition_time = Some(now());
        }
        status.clone_into(&mut condition.status);
        condition.reason = Some(says.reason.to_owned());
        condition.message = Some(says.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let mut report = Report::of(&HorizontalPodAutoscaler::default());
        report.condition("AbleToScale", true, say("A", "a"));
        let first = report.status.conditions.clone().unwrap();
        assert!(first[0].last_transition_time.is_some());
        report.status.conditions.as_mut().unwrap()[0].last_transition_time = None;
        report.condition("AbleToScale", true, say("B", "b"));
        let second = &report.status.conditions.as_ref().unwrap()[0];
        assert_eq!(
            (second.reason.as_deref(), &second.last_transition_time),
            (Some("B"), &None)
        );
        report.condition("AbleToScale", false, say("C", "c"));
        assert!(
            report.status.conditions.as_ref().unwrap()[0]
                .last_transition_time
                .is_some()
        );
    }
}
