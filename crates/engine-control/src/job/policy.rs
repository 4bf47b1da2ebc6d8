//! podFailurePolicy: what a failed pod means for the job (pod_failure_policy.go).

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::meta::Meta;
use crate::pods;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Counts towards the limit, as without a policy.
    Counts,
    Ignored,
    FailsJob(String),
    FailsIndex,
}

pub(super) fn meaning(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Meaning {
    for (index, rule) in policy.iter().flat_map(|p| &p.rules).enumerate() {
        let why = if let Some(codes) = &rule.on_exit_codes {
            by_exit_code(codes, pod).map(|status| {
                let code = exit_code(status).unwrap_or(0);
                format!("Container {} for pod {}/{} failed with exit code {code} matching {} rule at index {index}", status.name, pod.ns(), pod.name(), rule.action)
            })
        } else {
            let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
            let matching = patterns.iter().find(|pattern| {
                let wanted = pattern.status.as_deref().unwrap_or("True");
                pods::condition(pod, &pattern.type_).is_some_and(|c| c.status == wanted)
            });
            matching.map(|pattern| {
                format!(
                    "Pod {}/{} has condition {} matching {} rule at index {index}",
                    pod.ns(),
                    pod.name(),
                    pattern.type_,
                    rule.action
                )
            })
        };
        let Some(why) = why else { continue };
        return match rule.action.as_str() {
            "Ignore" => Meaning::Ignored,
            "FailJob" => Meaning::FailsJob(why),
            "FailIndex" => Meaning::FailsIndex,
            _ => Meaning::Counts,
        };
    }
    Meaning::Counts
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}

fn by_exit_code<'a>(
    rule: &PodFailurePolicyOnExitCodesRequirement,
    pod: &'a Pod,
) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status
        .container_statuses
        .iter()
        .flatten()
        .chain(status.init_container_statuses.iter().flatten());
    all.filter(|s| rule.container_name.as_ref().is_none_or(|n| *n == s.name))
        .find(|s| {
            exit_code(s)
                .filter(|code| *code != 0)
                .is_some_and(|code| match rule.operator.as_str() {
                    "In" => rule.values.contains(&code),
                    "NotIn" => !rule.values.contains(&code),
                    _ => false,
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_in_order() {
        let policy: PodFailurePolicy = serde_json::from_value(json!({"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}))
        .unwrap();
        let pod = |code: i32, disrupted: bool| -> Pod {
            let conditions = if disrupted {
                json!([{"type": "DisruptionTarget", "status": "True"}])
            } else {
                json!([])
            };
            serde_json::from_value(json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"conditions": conditions,
                "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code}}}]}}))
            .unwrap()
        };
        assert_eq!(meaning(Some(&policy), &pod(1, false)), Meaning::Counts);
        assert_eq!(meaning(Some(&policy), &pod(42, true)), Meaning::Ignored);
        assert_eq!(
            meaning(Some(&policy), &pod(42, false)),
            Meaning::FailsJob(
                "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 1".into()
            )
        );
        assert_eq!(meaning(None, &pod(42, false)), Meaning::Counts);
    }
}
