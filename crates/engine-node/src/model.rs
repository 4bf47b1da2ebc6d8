//! What a pod worker knows about each container of its pod.
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, ResourceRequirements};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

/// Part that a container plays in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to completion before the next one.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// A regular container.
    Main,
    /// One that was added to the running pod to look into it: started once, and what it does counts for nothing.
    Ephemeral,
}

/// How the node's own form of a pod marks an ephemeral container; no restart policy of the API.
const EPHEMERAL: &str = "Ephemeral";

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminated {
    /// Exit code.
    pub code: i32,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, …
    pub reason: String,
    /// Termination message.
    pub message: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// `cncfdemo://ID`; empty when nothing was ever created.
    pub container_id: String,
}

/// State of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its process lives.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// It ended.
    Exited(Terminated),
}

/// One attempt at running a container.
#[derive(Debug, Clone)]
pub struct Instance {
    /// 0 for the first.
    pub attempt: u32,
    /// The runtime's name of it.
    pub id: String,
    /// Where it is.
    pub state: State,
    /// Image as the spec names it, and its digest.
    pub image: String,
    /// `sha256:…` or `name@sha256:…`.
    pub image_id: String,
    /// Whom it runs as.
    pub user: Option<RunAs>,
    /// Cancelled when the instance has ended.
    pub exited: CancellationToken,
}

/// Numeric identity of a container's process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunAs {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Instance {
    /// Since when it runs, if it does.
    pub fn running_since(&self) -> Option<Timestamp> {
        match &self.state {
            State::Running { started_at } => Some(*started_at),
            State::Exited(_) => None,
        }
    }

    /// How it ended, if it has.
    pub fn terminated(&self) -> Option<&Terminated> {
        match &self.state {
            State::Running { .. } => None,
            State::Exited(end) => Some(end),
        }
    }
}

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ErrImagePull`, …
    pub reason: String,
    /// Details.
    pub message: String,
}

/// A container of the pod's spec and all that is known of it.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Name.
    pub name: String,
    /// Part it plays.
    pub role: Role,
    /// Latest instance.
    pub current: Option<Instance>,
    /// How the instance before it ended.
    pub previous: Option<Terminated>,
    /// Why the next start did not come about.
    pub waiting: Option<Waiting>,
    /// The startup probe has succeeded, or there is none.
    pub started: bool,
    /// The readiness probe says so, or there is none.
    pub ready: bool,
    /// A start is under way.
    pub starting: bool,
    /// A stop is under way.
    pub stopping: bool,
    /// A liveness or startup probe failed for good: message and kind of probe.
    pub unhealthy: Option<KillReason>,
    /// Crash loop of this container.
    pub backoff: Backoff,
    /// No start before this time (back-off, or a start that failed).
    pub not_before: Option<Timestamp>,
    /// Number of the next attempt when no instance is known (after the machine was started anew).
    pub base: u32,
    /// It is ended to be started again with other resources, whatever its restart policy and back-off.
    pub replaced: bool,
    /// Requests and limits of the start that is under way.
    pub given: Option<ResourceRequirements>,
}

/// Why a container is killed while its pod goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// Liveness probe.
    Liveness,
    /// Startup probe.
    Startup,
}

impl Unit {
    /// A container that has never been started.
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            role,
            current: None,
            previous: None,
            waiting: None,
            started: false,
            ready: false,
            starting: false,
            stopping: false,
            unhealthy: None,
            backoff: Backoff::crash_loop(),
            not_before: None,
            base: 0,
            replaced: false,
            given: None,
        }
    }

    /// Whether an instance runs.
    pub fn is_running(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|instance| instance.running_since().is_some())
    }

    /// Exit code of the latest instance, if it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        Some(self.current.as_ref()?.terminated()?.code)
    }

    /// Number of restarts.
    pub fn restarts(&self) -> u32 {
        self.current
            .as_ref()
            .map_or(self.base, |instance| instance.attempt)
    }

    /// Number of the next attempt.
    pub fn next_attempt(&self) -> u32 {
        self.current
            .as_ref()
            .map_or(self.base, |instance| instance.attempt + 1)
    }
}

/// The node's own form of a pod: ephemeral containers, which have a type of their own in the API, stand behind the regular ones, where
/// [`specs`] finds them. Nothing of a spec is ever written back.
pub fn own_form(mut pod: Pod) -> Pod {
    if let Some(spec) = &mut pod.spec {
        let added = spec.ephemeral_containers.iter().flatten();
        let added: Vec<Container> = added.filter_map(as_container).collect();
        spec.containers.extend(added);
    }
    pod
}

fn as_container(ephemeral: &EphemeralContainer) -> Option<Container> {
    let fields = serde_json::to_value(ephemeral).ok()?;
    let mut container: Container = serde_json::from_value(fields).ok()?;
    container.restart_policy = Some(EPHEMERAL.to_owned());
    Some(container)
}

/// Whether a container of the node's own form was added to the running pod.
pub fn is_ephemeral(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some(EPHEMERAL)
}

/// The units of a pod: init containers in order, then the regular ones.
pub fn units(pod: &Pod) -> Vec<Unit> {
    specs(pod)
        .map(|(container, role)| Unit::new(&container.name, role))
        .collect()
}

/// The containers of a pod with their roles, in the order of [`units`]: init, regular, ephemeral.
pub fn specs(pod: &Pod) -> impl Iterator<Item = (&Container, Role)> {
    let spec = pod.spec.as_ref();
    let init = spec
        .and_then(|spec| spec.init_containers.as_deref())
        .unwrap_or_default();
    let main = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let role = |container: &Container| {
        if container.restart_policy.as_deref() == Some("Always") {
            Role::Sidecar
        } else {
            Role::Init
        }
    };
    init.iter()
        .map(move |container| (container, role(container)))
        .chain(main.iter().map(|c| {
            let role = if is_ephemeral(c) {
                Role::Ephemeral
            } else {
                Role::Main
            };
            (c, role)
        }))
}
