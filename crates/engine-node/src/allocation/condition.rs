//! What a pod's status says of a resize (pkg/kubelet/status/status_manager.go), and what events say (pkg/kubelet/events/resize.go).
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::{Role, specs};
use crate::status::time;

/// A resize that waits.
pub const PENDING: &str = "PodResizePending";
/// A resize that is being carried out.
pub const IN_PROGRESS: &str = "PodResizeInProgress";

/// One of the two conditions while it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Deferred`, `Infeasible` or `Error`; empty where there is none.
    pub reason: String,
    /// Details.
    pub message: String,
    /// Generation of the pod whose resize it is.
    pub generation: i64,
    /// When its reason began to hold.
    pub since: Timestamp,
    /// When it was last looked at.
    pub probed: Timestamp,
}

impl Condition {
    /// A condition that replaces another one.
    pub fn next(old: Option<&Self>, reason: &str, message: &str, generation: i64, now: Timestamp) -> Self {
        let since = old.filter(|old| old.reason == reason).map(|old| old.since);
        Self {
            reason: reason.to_owned(),
            message: message.to_owned(),
            generation,
            since: since.unwrap_or(now),
            probed: now,
        }
    }

    /// The condition that an agent before this one has told of.
    pub fn told(pod: &Pod, kind: &str) -> Option<Self> {
        let all = pod.status.as_ref()?.conditions.as_ref()?;
        let found = all.iter().find(|condition| condition.type_ == kind)?;
        let at = |time: &Option<Time>| time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        Some(Self {
            reason: found.reason.clone().unwrap_or_default(),
            message: found.message.clone().unwrap_or_default(),
            generation: found.observed_generation.unwrap_or_default(),
            since: at(&found.last_transition_time),
            probed: at(&found.last_probe_time),
        })
    }

    /// As the API has it.
    pub fn shown(&self, kind: &str) -> PodCondition {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        PodCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: text(&self.reason),
            message: text(&self.message),
            last_probe_time: Some(time(self.probed)),
            last_transition_time: Some(time(self.since)),
            observed_generation: Some(self.generation),
        }
    }
}

/// `PREFIX: {...}`: what the pod's containers ask for, and what went wrong.
pub fn message(prefix: &str, pod: &Pod, generation: i64, error: &str) -> String {
    let shown = |container: &Container| {
        let resources = container.resources.clone().unwrap_or_default();
        let resources = serde_json::to_string(&resources).unwrap_or_default();
        format!("{{\"name\":\"{}\",\"resources\":{resources}}}", container.name)
    };
    let list = |name: &str, wanted: fn(Role) -> bool| {
        let all: Vec<String> = specs(pod)
            .filter(|(_, role)| wanted(*role))
            .map(|(container, _)| shown(container))
            .collect();
        (!all.is_empty()).then(|| format!("\"{name}\":[{}]", all.join(",")))
    };
    let parts = [
        list("initContainers", |role| {
            matches!(role, Role::Init | Role::Sidecar)
        }),
        list("containers", |role| role == Role::Main),
        Some(format!("\"generation\":{generation}")),
        (!error.is_empty()).then(|| format!("\"error\":{}", serde_json::Value::from(error))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{prefix}: {{{}}}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_tell_of_every_container() {
        let own = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}});
        let spec =
            json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c", "resources": own}]});
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        assert_eq!(
            message("Pod resize started", &pod, 3, ""),
            "Pod resize started: {\"initContainers\":[{\"name\":\"i\",\"resources\":{}}],\"containers\":[{\"name\":\"c\",\
             \"resources\":{\"limits\":{\"cpu\":\"2\"},\"requests\":{\"cpu\":\"1\"}}}],\"generation\":3}"
        );
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c"}]}})).unwrap();
        assert!(
            message("Pod resize error", &pod, 3, "no \"room\"")
                .ends_with("\"generation\":3,\"error\":\"no \\\"room\\\"\"}")
        );
    }

    #[test]
    fn a_reason_that_stays_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = Condition::next(None, "Deferred", "x", 2, at(1));
        let second = Condition::next(Some(&first), "Deferred", "y", 3, at(5));
        assert_eq!(
            (second.since, second.probed, second.generation),
            (at(1), at(5), 3)
        );
        assert_eq!(Condition::next(Some(&first), "", "", 3, at(5)).since, at(5));
        let status = json!({"conditions": [second.shown(PENDING)]});
        let pod: Pod = serde_json::from_value(json!({"status": status})).unwrap();
        assert_eq!(Condition::told(&pod, PENDING), Some(second));
        assert_eq!(Condition::told(&pod, IN_PROGRESS), None);
    }
}
