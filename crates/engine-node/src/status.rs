//! The status of a pod as upstream's kubelet computes it (pkg/kubelet/kubelet_pods.go, getPhase and convertToAPIContainerStatuses;
//! pkg/kubelet/status/generate.go). Pure.
mod conditions;
mod resources;

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, HostIP, LinuxContainerUser, Pod, PodCondition, PodIP, PodStatus,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::conditions::conditions;
pub use self::conditions::is_owned;
use crate::allocation::Kept;
use crate::model::{Role, Terminated, Unit, specs};
use crate::policy;
use crate::resources::{Whole, qos};

/// Why a container ended that was taken away because all of its pod begin anew (pkg/kubelet/kubelet_pods.go), and what is said of it.
pub const ANEW: &str = "RestartingAllContainers";
/// See [`ANEW`].
pub const TAKEN_AWAY: &str = "The container is removed because RestartAllContainers in place";

/// Scheme of container ids.
pub const SCHEME: &str = "cncfdemo://";

/// What a status is made from besides the pod.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Its containers.
    pub units: &'a [Unit],
    /// It has a network.
    pub sandbox_ready: bool,
    /// None of its containers will ever run again, and none runs.
    pub terminal: bool,
    /// Its address.
    pub pod_ip: Option<IpAddr>,
    /// The node's address.
    pub host_ip: IpAddr,
    /// When the node accepted it.
    pub start_time: Timestamp,
    /// The node ended it: reason and message.
    pub evicted: Option<(&'a str, &'a str)>,
    /// What its requests and limits come to.
    pub whole: &'a Whole,
    /// What it was promised of them, and what is in force.
    pub kept: Option<&'a Kept>,
    /// What is said of its resizes.
    pub resize: Vec<PodCondition>,
    /// The node never took it.
    pub rejected: bool,
    /// A container's exit begins all of them anew.
    pub restarting: bool,
    /// The status before, for transition times.
    pub old: &'a PodStatus,
    /// Now.
    pub now: Timestamp,
}

/// A time in whole seconds, as the API keeps it.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Computes the status.
pub fn generate(pod: &Pod, inputs: &Inputs<'_>) -> PodStatus {
    let generation = pod.metadata.generation;
    if let (true, Some((reason, message))) = (inputs.rejected, inputs.evicted) {
        // rejectPod in pkg/kubelet/kubelet.go: there is nothing to be told of its containers.
        return PodStatus {
            phase: Some("Failed".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            qos_class: Some(qos(pod).name().to_owned()),
            start_time: Some(
                inputs
                    .old
                    .start_time
                    .clone()
                    .unwrap_or_else(|| time(inputs.start_time)),
            ),
            observed_generation: generation,
            ..PodStatus::default()
        };
    }
    let mut init = Vec::new();
    let (mut main, mut ephemeral) = (Vec::new(), Vec::new());
    for ((container, role), unit) in specs(pod).zip(inputs.units) {
        let status = container_status(pod, container, unit, inputs);
        match role {
            Role::Main => main.push(status),
            Role::Ephemeral => ephemeral.push(status),
            Role::Init | Role::Sidecar => init.push(status),
        }
    }
    main.sort_by(|a, b| a.name.cmp(&b.name));
    ephemeral.sort_by(|a, b| a.name.cmp(&b.name));
    if inputs.terminal {
        conclude(&mut init);
    }
    shorten([&mut init, &mut main, &mut ephemeral]);
    let mut phase = phase(pod, &init, &main, inputs);
    let old = inputs.old;
    if let Some(done @ ("Succeeded" | "Failed")) = old.phase.as_deref() {
        phase = done;
    }
    let (mut reason, mut message) = (None, None);
    if old.phase.as_deref() == Some(phase) {
        reason.clone_from(&old.reason);
        message.clone_from(&old.message);
    }
    if let Some((why, text)) = inputs.evicted {
        phase = "Failed";
        reason = Some(why.to_owned());
        message = Some(text.to_owned());
    }
    let conditions = conditions(pod, inputs, &init, &main, phase);
    let over = |phase: Option<&str>| matches!(phase, Some("Succeeded" | "Failed"));
    let may_run = inputs.units.iter().any(|unit| unit.is_running() || unit.starting);
    if over(Some(phase)) && !over(old.phase.as_deref()) && may_run {
        // mergePodStatus: a pod is not told to be over while it may hold what others wait for.
        phase = old.phase.as_deref().unwrap_or("Pending");
        reason.clone_from(&old.reason);
        message.clone_from(&old.message);
    }
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let ip = if host_network {
        Some(inputs.host_ip)
    } else {
        inputs.pod_ip
    }
    .map(|ip| ip.to_string());
    let ip = ip.or_else(|| old.pod_ip.clone());
    let host_ip = inputs.host_ip.to_string();
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        container_statuses: Some(main),
        init_container_statuses: (!init.is_empty()).then_some(init),
        ephemeral_container_statuses: (!ephemeral.is_empty()).then_some(ephemeral),
        host_ips: Some(vec![HostIP { ip: host_ip.clone() }]),
        host_ip: Some(host_ip),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        qos_class: Some(qos(pod).name().to_owned()),
        start_time: Some(old.start_time.clone().unwrap_or_else(|| time(inputs.start_time))),
        observed_generation: generation,
        allocated_resources: resources::quantities(&inputs.whole.requests),
        resources: Some(resources::of_pod(pod, phase, inputs)),
        reason,
        message,
        nominated_node_name: old.nominated_node_name.clone(),
        ..PodStatus::default()
    }
}

fn container_status(pod: &Pod, container: &Container, unit: &Unit, inputs: &Inputs<'_>) -> ContainerStatus {
    let has_init = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.init_containers.as_ref().is_some_and(|c| !c.is_empty()));
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        last_state: Some(ContainerState {
            terminated: unit.previous.as_ref().map(terminated),
            ..ContainerState::default()
        }),
        restart_count: unit.restarts() as i32,
        started: (unit.role != Role::Ephemeral).then_some(false),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    };
    let mut state = ContainerState::default();
    match &unit.current {
        None => {
            let reason = if has_init {
                "PodInitializing"
            } else {
                "ContainerCreating"
            };
            state.waiting = Some(ContainerStateWaiting {
                reason: Some(reason.into()),
                message: None,
            });
        }
        Some(instance) => {
            status.image.clone_from(&instance.image);
            status.image_id.clone_from(&instance.image_id);
            status.container_id = Some(format!("{SCHEME}{}", instance.id));
            let running = instance.running_since().is_some();
            status.resources = Some(resources::of_container(container, running, inputs));
            status.allocated_resources = container
                .resources
                .as_ref()
                .and_then(|resources| resources.requests.clone());
            status.user = instance.user.as_ref().map(|user| ContainerUser {
                linux: Some(LinuxContainerUser {
                    uid: i64::from(user.uid),
                    gid: i64::from(user.gid),
                    supplemental_groups: Some(user.groups.iter().map(|gid| i64::from(*gid)).collect()),
                }),
            });
            if let Some(started_at) = instance.running_since() {
                state.running = Some(ContainerStateRunning {
                    started_at: Some(time(started_at)),
                });
                status.started = status.started.map(|_| unit.started);
                status.ready = unit.role != Role::Init && unit.started && unit.ready;
            } else if let Some(end) = instance.terminated() {
                state.terminated = Some(terminated(end));
                status.ready = unit.role == Role::Init && end.code == 0;
            }
        }
    }
    if let Some(waiting) = unit
        .waiting
        .as_ref()
        .filter(|_| policy::wants_start(container, pod, unit))
    {
        if let (Some(end), Some(last)) = (state.terminated.take(), status.last_state.as_mut()) {
            last.terminated = Some(end);
        }
        state = ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(waiting.reason.clone()),
                message: (!waiting.message.is_empty()).then(|| waiting.message.clone()),
            }),
            ..ContainerState::default()
        };
        status.ready = false;
    }
    if inputs.terminal && state.terminated.is_none() && unit.role == Role::Main {
        // Those of a pod that never was initialised stay as they are: nobody has tried to start them (hasPodInitialized).
        let begun = inputs
            .units
            .iter()
            .any(|u| u.role == Role::Main && u.current.is_some());
        if begun || is_initialized(inputs.units) {
            state = not_located();
        }
    }
    status.state = Some(state);
    status
}

/// A pod that is over has no waiting init containers before the last of which it is known that it ran (TerminatePod and
/// initializedContainers in pkg/kubelet/status/status_manager.go).
fn conclude(init: &mut [ContainerStatus]) {
    let ended = |state: &Option<ContainerState>| state.as_ref().is_some_and(|s| s.terminated.is_some());
    let ran = |status: &ContainerStatus| ended(&status.state) || ended(&status.last_state);
    let known = init.iter().rposition(ran).map_or(0, |last| last + 1);
    for status in init[..known].iter_mut().filter(|status| !ended(&status.state)) {
        status.state = Some(not_located());
    }
}

/// So many bytes may all messages of a pod's containers have together (MaxPodTerminationMessageLogLength).
const MESSAGES: usize = 12 * 1024;

/// Each container has an equal part of what all may say (normalizeStatus in pkg/kubelet/status/status_manager.go).
fn shorten(all: [&mut Vec<ContainerStatus>; 3]) {
    let most = MESSAGES / all.iter().map(|list| list.len()).sum::<usize>().max(1);
    let states = all.into_iter().flatten();
    let states = states.flat_map(|status| [&mut status.state, &mut status.last_state]);
    for end in states.flatten().filter_map(|state| state.terminated.as_mut()) {
        if let Some(message) = &mut end.message {
            let most = (0..=most).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(most.unwrap_or(0).min(message.len()));
        }
    }
}

fn not_located() -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some("ContainerStatusUnknown".into()),
            message: Some("The container could not be located when the pod was terminated".into()),
            exit_code: 137,
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

/// The last of the init containers has done its part.
fn is_initialized(units: &[Unit]) -> bool {
    let last = units
        .iter()
        .rev()
        .find(|unit| matches!(unit.role, Role::Init | Role::Sidecar));
    last.is_none_or(|unit| {
        let ended = unit.current.as_ref().and_then(|instance| instance.terminated());
        match unit.role {
            Role::Sidecar => unit.started,
            _ => ended.is_some_and(|end| end.code == 0),
        }
    })
}

fn terminated(end: &Terminated) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: (!end.container_id.is_empty()).then(|| end.container_id.clone()),
        exit_code: end.code,
        signal: None,
        reason: Some(end.reason.clone()),
        message: (!end.message.is_empty()).then(|| end.message.clone()),
        // What was tried and never ran has begun at the zero time; of what was lost nothing is known.
        started_at: known(end.finished_at).map(|_| time(end.started_at)),
        finished_at: known(end.finished_at),
    }
}

/// The time of something that has one.
fn known(at: Timestamp) -> Option<Time> {
    (at != Timestamp::UNIX_EPOCH).then(|| time(at))
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts: Vec<VolumeMountStatus> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only.filter(|read_only| *read_only),
            recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
            volume_status: None,
        })
        .collect();
    (!mounts.is_empty()).then_some(mounts)
}

fn phase(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus], inputs: &Inputs<'_>) -> &'static str {
    let find = |list: &'_ [ContainerStatus], name: &str| list.iter().position(|status| status.name == name);
    let code_of = |state: Option<&ContainerState>| Some(state?.terminated.as_ref()?.exit_code);
    let begins_anew = |status: &ContainerStatus| {
        let last = status
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        last.is_some_and(|end| end.reason.as_deref() == Some(ANEW))
    };
    let (mut pending_init, mut pending_sidecars, mut failed_init) = (0, 0, 0);
    let (mut unknown, mut running, mut waiting, mut stopped, mut stopped_for_good, mut succeeded) =
        (0, 0, 0, 0, 0, 0);
    let counted = specs(pod).zip(inputs.units);
    for ((container, role), unit) in counted.filter(|((_, role), _)| *role != Role::Ephemeral) {
        let list = if role == Role::Main { main } else { init };
        let Some(status) = find(list, &container.name).map(|index| &list[index]) else {
            unknown += 1;
            continue;
        };
        let state = status.state.as_ref();
        let is_running = state.is_some_and(|state| state.running.is_some());
        let is_waiting = state.is_some_and(|state| state.waiting.is_some());
        let ended = code_of(state);
        let last = code_of(status.last_state.as_ref());
        match role {
            Role::Init => match (ended, last) {
                (Some(0), _) => {}
                (Some(code), _) => failed_init += i32::from(!policy::restarts(container, pod, code)),
                (None, Some(code)) if is_waiting => {
                    let again = policy::restarts(container, pod, code) || begins_anew(status);
                    failed_init += i32::from(code != 0 && !again);
                }
                _ => pending_init += 1,
            },
            Role::Sidecar => {
                if is_running {
                    pending_sidecars += i32::from(status.started != Some(true));
                    running += 1;
                } else if ended.is_none() && last.is_none() {
                    pending_sidecars += 1;
                    waiting += 1;
                }
            }
            Role::Main | Role::Ephemeral => {
                // One that is ended for a resize has not ended for its pod.
                if is_running || unit.replaced {
                    running += 1;
                } else if let Some(code) = ended {
                    stopped += 1;
                    stopped_for_good += i32::from(!policy::restarts(container, pod, code));
                    succeeded += i32::from(code == 0);
                } else if let Some(code) = last {
                    stopped += 1;
                    let again = policy::restarts(container, pod, code) || begins_anew(status);
                    stopped_for_good += i32::from(!again);
                } else {
                    waiting += 1;
                }
            }
        }
    }
    let initialized = inputs
        .units
        .iter()
        .any(|unit| unit.role == Role::Main && unit.current.is_some());
    if failed_init > 0 {
        return "Failed";
    }
    if pending_init > 0 || (pending_sidecars > 0 && !initialized) || waiting > 0 {
        return "Pending";
    }
    if running > 0 && unknown == 0 {
        return "Running";
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        if !inputs.terminal && stopped != stopped_for_good {
            return "Running";
        }
        return if stopped == succeeded {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    "Pending"
}

#[cfg(test)]
mod tests;
