//! The conditions of a pod (pkg/kubelet/status/generate.go).
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::{Inputs, time};
use crate::allocation::{IN_PROGRESS, PENDING};
use crate::model::{Role, specs};
use crate::policy;

/// Conditions that the kubelet gives a pod, in the order in which upstream writes them.
const OWNED: [&str; 6] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    RESTARTING,
];
/// Only pods that have a rule for it have this one (GenerateAllContainersRestartingCondition).
const RESTARTING: &str = "AllContainersRestarting";

/// Whether a condition is the kubelet's: one of those, or one of a resize, which stand before them.
pub fn is_owned(condition: &str) -> bool {
    OWNED.contains(&condition) || matches!(condition, PENDING | IN_PROGRESS)
}

/// What the kubelet owns, and before it what others wrote.
pub(super) fn conditions(
    pod: &Pod,
    inputs: &Inputs<'_>,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    phase: &str,
) -> Vec<PodCondition> {
    let kept: Vec<PodCondition> = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .filter(|condition| !is_owned(&condition.type_))
        .cloned()
        .collect();
    let containers_ready = containers_ready(pod, init, main, phase);
    let mut ready = containers_ready.clone();
    if ready.is_none() {
        ready = readiness_gates(pod, &kept);
    }
    let owned = [
        (!inputs.sandbox_ready).then(Why::default),
        initialized(pod, inputs, init, phase),
        ready,
        containers_ready,
        None,
        Some(restarting(inputs, phase)),
    ];
    let mut all = kept;
    all.extend(inputs.resize.iter().cloned());
    let count = OWNED.len() - usize::from(!policy::could_restart_all(pod));
    for (name, why) in OWNED.iter().zip(owned).take(count) {
        let (status, why) = match why {
            Some(why) if why.true_anyway => ("True", why),
            Some(why) => ("False", why),
            None => ("True", Why::default()),
        };
        let before = inputs
            .old
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == *name);
        let since = before
            .filter(|condition| condition.status == status)
            .and_then(|condition| condition.last_transition_time.clone())
            .unwrap_or_else(|| time(inputs.now));
        all.push(PodCondition {
            type_: (*name).to_owned(),
            status: status.to_owned(),
            reason: why.reason.map(str::to_owned),
            message: why.message,
            last_transition_time: Some(since),
            observed_generation: pod.metadata.generation.filter(|_| *name != RESTARTING),
            last_probe_time: None,
        });
    }
    all
}

fn restarting(inputs: &Inputs<'_>, phase: &str) -> Why {
    let reason = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    if reason.is_some() || !inputs.restarting {
        return Why {
            reason,
            ..Why::default()
        };
    }
    Why {
        reason: Some("RestartAllContainersStarted"),
        message: Some("container exited with restart policy rule".to_owned()),
        true_anyway: true,
    }
}

#[derive(Debug, Default, Clone)]
struct Why {
    reason: Option<&'static str>,
    message: Option<String>,
    true_anyway: bool,
}

impl Why {
    fn not(reason: &'static str, message: Option<String>) -> Self {
        Self {
            reason: Some(reason),
            message,
            true_anyway: false,
        }
    }
}

fn containers_ready(
    pod: &Pod,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    phase: &str,
) -> Option<Why> {
    match phase {
        "Succeeded" => return Some(Why::not("PodCompleted", None)),
        "Failed" => return Some(Why::not("PodFailed", None)),
        _ => {}
    }
    let unready: Vec<&str> = specs(pod)
        .filter(|(_, role)| matches!(role, Role::Main | Role::Sidecar))
        .filter(|(container, role)| {
            let list = if *role == Role::Main { main } else { init };
            !list
                .iter()
                .any(|status| status.name == container.name && status.ready)
        })
        .map(|(container, _)| container.name.as_str())
        .collect();
    if unready.is_empty() {
        return None;
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Some(Why::not("ContainersNotReady", Some(message)))
}

fn readiness_gates(pod: &Pod, conditions: &[PodCondition]) -> Option<Why> {
    let gates = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.readiness_gates.as_deref())
        .unwrap_or_default();
    let messages: Vec<String> = gates
        .iter()
        .filter_map(|gate| {
            let name = &gate.condition_type;
            match conditions.iter().find(|condition| condition.type_ == *name) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate \"{name}\" does not exist."
                )),
                Some(found) if found.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                    found.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if messages.is_empty() {
        None
    } else {
        Some(Why::not("ReadinessGatesNotReady", Some(messages.join(", "))))
    }
}

fn initialized(pod: &Pod, inputs: &Inputs<'_>, init: &[ContainerStatus], phase: &str) -> Option<Why> {
    let incomplete: Vec<&str> = specs(pod)
        .filter(|(_, role)| matches!(role, Role::Init | Role::Sidecar))
        .filter(|(container, role)| {
            !init.iter().any(|status| {
                status.name == container.name
                    && if *role == Role::Sidecar {
                        status.started == Some(true)
                    } else {
                        status.ready
                    }
            })
        })
        .map(|(container, _)| container.name.as_str())
        .collect();
    if phase == "Succeeded" {
        return Some(Why {
            reason: Some("PodCompleted"),
            message: None,
            true_anyway: true,
        });
    }
    let begun = inputs
        .units
        .iter()
        .any(|unit| unit.role == Role::Main && unit.current.is_some());
    // Once initialised, a pod is so, also while all of it begins anew.
    let mut before = inputs.old.conditions.iter().flatten();
    let was = before.any(|condition| condition.type_ == "Initialized" && condition.status == "True");
    if begun || was || incomplete.is_empty() {
        return None;
    }
    let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    Some(Why::not("ContainersNotInitialized", Some(message)))
}
