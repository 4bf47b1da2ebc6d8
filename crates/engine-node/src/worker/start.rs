//! Starting one container: image, configuration, creation, hook, probes (pkg/kubelet/kuberuntime, startContainer).
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine_runtime::Error as RuntimeError;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Done, Message, Network, Worker, adopt, is_probed, start_error, stays};
use crate::allocation;
use crate::env::{self, Sources};
use crate::model::{Instance, Role, RunAs, State, Waiting, specs};
use crate::probe;
use crate::shared::Shared;
use crate::volumes::Volumes;
use crate::{container, downward, names, users};

/// Why a container did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// Nothing was created: what status says, and when to try again.
    Waiting(Waiting, Timestamp),
    /// It was created and its command could not be run: an instance that ended at once.
    Dead {
        /// What status says.
        waiting: Waiting,
        /// Image and its digest.
        image: (String, String),
        /// The runtime's words.
        message: String,
    },
}

impl NotStarted {
    /// Whoever was to start it has panicked.
    fn broken(why: String) -> Self {
        let waiting = Waiting {
            reason: "CreateContainerError".into(),
            message: why,
        };
        Self::Waiting(waiting, Timestamp::now() + SignedDuration::from_secs(10))
    }
}

/// What one start needs; owned, because it runs beside the worker.
struct Job {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    container: Container,
    attempt: u32,
    last: Option<String>,
    volumes: Arc<Mutex<Volumes>>,
    network: Network,
    pod_cgroup: String,
    /// The container whose processes an ephemeral one sees.
    target: Option<String>,
}

impl Worker {
    /// The runtime's name of the container that an ephemeral one is aimed at.
    fn debugged(&self, name: &str) -> Option<String> {
        let all = self.pod.spec.as_ref()?.ephemeral_containers.as_deref()?;
        let target = all
            .iter()
            .find(|c| c.name == name)?
            .target_container_name
            .as_deref()?;
        let unit = self.units.iter().find(|unit| unit.name == target)?;
        Some(unit.current.as_ref()?.id.clone())
    }

    /// Begins to start a container.
    pub(super) fn start(&mut self, index: usize) {
        let Some(network) = self.network.clone() else {
            return;
        };
        let Some((container, _)) = specs(&self.pod).nth(index) else {
            return;
        };
        let container = container.clone();
        let target = self.debugged(&container.name);
        let unit = &mut self.units[index];
        unit.starting = true;
        unit.not_before = None;
        unit.given = Some(allocation::in_force(&self.pod, &container.name));
        let job = Job {
            shared: Arc::clone(&self.shared),
            pod: Arc::clone(&self.pod),
            container,
            attempt: unit.next_attempt(),
            last: unit.current.as_ref().map(|instance| instance.id.clone()),
            volumes: Arc::clone(&self.volumes),
            network,
            pod_cgroup: self.pod_cgroup(),
            target,
        };
        self.operate(async move { Done::Began(index, job.run().await) }, move |why| {
            Done::Began(index, Err(NotStarted::broken(why)))
        });
    }

    pub(super) fn began(&mut self, index: usize, result: Result<Instance, NotStarted>) {
        let name = self.units[index].name.clone();
        match result {
            Ok(instance) => {
                let id = instance.id.clone();
                let unit = &mut self.units[index];
                unit.waiting = None;
                unit.previous = unit
                    .current
                    .take()
                    .and_then(|old| old.terminated().cloned())
                    .or(unit.previous.take());
                unit.current = Some(instance);
                unit.started = false;
                unit.ready = false;
                self.note_started(index);
                if let Some(exit) = self.early_exits.remove(&id) {
                    self.units[index].starting = false;
                    self.exited(exit);
                } else if self.life != super::Life::Active {
                    // The pod was ended while this one was being started.
                    self.units[index].starting = false;
                    self.kill(index, format!("Stopping container {name}"), None, Vec::new());
                } else if !self.post_start(index) {
                    self.units[index].starting = false;
                    self.ran(index);
                }
            }
            Err(NotStarted::Waiting(waiting, retry_at)) => {
                let unit = &mut self.units[index];
                unit.starting = false;
                unit.waiting = Some(waiting);
                unit.not_before = Some(retry_at);
            }
            Err(NotStarted::Dead {
                waiting,
                image,
                message,
            }) => {
                let unit = &mut self.units[index];
                unit.replaced = false;
                let attempt = unit.next_attempt();
                let id = container::id(&self.uid, &name, attempt);
                let instance = start_error(unit, id, attempt, image, &message);
                adopt::Record::of(&instance).write(&container::attempt_dir(&self.pod_dir, &name, attempt));
                unit.starting = false;
                unit.previous = unit
                    .current
                    .take()
                    .and_then(|old| old.terminated().cloned())
                    .or(unit.previous.take());
                unit.current = Some(instance);
                unit.waiting = Some(waiting);
            }
        }
    }

    /// Runs the postStart hook, if there is one; the next container waits for it as it does upstream.
    fn post_start(&mut self, index: usize) -> bool {
        let Some(target) = self.target(index) else {
            return false;
        };
        let Some(hook) = target
            .container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.clone())
        else {
            return false;
        };
        let handle = self.operate(
            async move { Done::Hooked(index, probe::hook(&hook, &target).await) },
            move |why| Done::Hooked(index, Err(why)),
        );
        self.hooks.insert(index, handle);
        true
    }

    pub(super) fn hooked(&mut self, index: usize, result: Result<(), String>) {
        self.hooks.remove(&index);
        self.units[index].starting = false;
        match result {
            Ok(()) if self.units[index].is_running() => self.ran(index),
            Ok(()) => {}
            Err(why) => {
                let name = self.units[index].name.clone();
                tracing::warn!(pod = self.label(), container = name, why, "postStart hook failed");
                let recorder = &self.shared.recorder;
                recorder.pod(
                    &self.pod,
                    Some(&name),
                    true,
                    "FailedPostStartHook",
                    "PostStartHook failed",
                );
                if !self.units[index].is_running() {
                    // It has ended under its hook; it is said to be killed all the same (kuberuntime_container.go, startContainer).
                    recorder.pod(&self.pod, Some(&name), false, "Killing", "FailedPostStartHook");
                    return;
                }
                self.units[index].waiting = Some(Waiting {
                    reason: "PostStartHookError".into(),
                    message: why,
                });
                self.kill(index, "FailedPostStartHook".into(), None, Vec::new());
            }
        }
    }

    /// A container runs and its hook is done.
    fn ran(&mut self, index: usize) {
        let Some((container, role)) = specs(&self.pod).nth(index) else {
            return;
        };
        let gated = is_probed(role) && container.startup_probe.is_some();
        self.units[index].started = !gated;
        self.units[index].ready = container.readiness_probe.is_none() && role != Role::Ephemeral;
        self.start_probes(index);
    }

    /// Starts the probes that may run now: the startup probe, or after it the others.
    pub(super) fn start_probes(&mut self, index: usize) {
        if self.life != super::Life::Active {
            return;
        }
        let Some(target) = self.target(index) else { return };
        let container = Arc::clone(&target.container);
        let unit = &self.units[index];
        let Some(instance) = unit.current.as_ref().filter(|_| is_probed(unit.role)) else {
            return;
        };
        let (attempt, since) = (
            instance.attempt,
            instance.running_since().unwrap_or_else(Timestamp::now),
        );
        let chosen: Vec<(probe::Kind, &Probe)> = match (&container.startup_probe, unit.started) {
            (Some(startup), false) => vec![(probe::Kind::Startup, startup)],
            _ => [
                (probe::Kind::Liveness, container.liveness_probe.as_ref()),
                (probe::Kind::Readiness, container.readiness_probe.as_ref()),
            ]
            .into_iter()
            .filter_map(|(kind, probe)| Some((kind, probe?)))
            .collect(),
        };
        for (kind, probe) in chosen {
            let delay = i64::from(probe.initial_delay_seconds.unwrap_or(0).max(0));
            let left = (since + SignedDuration::from_secs(delay)).duration_since(Timestamp::now());
            let left = left.max(SignedDuration::ZERO).unsigned_abs();
            self.start_probe(kind, probe.clone(), target.clone(), attempt, left);
        }
    }

    fn start_probe(
        &mut self,
        kind: probe::Kind,
        probe: Probe,
        target: probe::Target,
        attempt: u32,
        delay: Duration,
    ) {
        let name = target.container.name.clone();
        let note = {
            let (shared, pod, name) = (Arc::clone(&self.shared), Arc::clone(&self.pod), name.clone());
            move |message: String| shared.recorder.pod(&pod, Some(&name), true, "Unhealthy", message)
        };
        let report = {
            let (mailbox, container) = (self.to_self.clone(), name.clone());
            move |success: bool| {
                let report = probe::Report {
                    container: container.clone(),
                    attempt,
                    kind,
                    success,
                };
                let _ = mailbox.send(Message::Probe(report));
            }
        };
        let task = tokio::spawn(probe::run(kind, probe, target, delay, note, report));
        if let Some(old) = self.probes.insert((name, kind), task.abort_handle()) {
            old.abort();
        }
    }

    /// Ends the probes of a container, all or one kind.
    pub(super) fn stop_probes(&mut self, name: &str, only: Option<probe::Kind>) {
        self.probes.retain(|(container, kind), task| {
            let ends = container == name && only.is_none_or(|only| only == *kind);
            if ends {
                task.abort();
            }
            !ends
        });
    }

    /// A running container as probes and hooks see it.
    pub(super) fn target(&self, index: usize) -> Option<probe::Target> {
        let (container, _) = specs(&self.pod).nth(index)?;
        let instance = self.units[index]
            .current
            .as_ref()
            .filter(|instance| instance.running_since().is_some())?;
        Some(probe::Target {
            runtime: self.shared.runtime.clone(),
            from: self.shared.net.namespace().clone(),
            id: instance.id.clone(),
            ip: self.network.as_ref()?.ip,
            container: Arc::new(container.clone()),
        })
    }
}

impl Job {
    async fn run(self) -> Result<Instance, NotStarted> {
        let ready = match self.shared.images.ensure(&self.pod, &self.container).await {
            Ok(ready) => ready,
            Err(missing) => return Err(NotStarted::Waiting(missing.waiting, missing.retry_at)),
        };
        if let Some(last) = &self.last {
            // Frees the cgroup and the writable layer of the attempt before; its log stays.
            if let Err(err) = self.shared.runtime.remove(last).await {
                tracing::warn!(id = last, %err, "previous container not removed");
            }
        }
        let spec = self.configure(&ready).await;
        let (spec, user) = spec.map_err(|why| self.refuse("CreateContainerConfigError", why, 10))?;
        let (id, dir) = (spec.id.clone(), spec.dir.clone());
        let image = (
            self.container.image.clone().unwrap_or_default(),
            ready.image.id.to_string(),
        );
        let started = match self.shared.runtime.create_start(spec).await {
            Ok(started) => started,
            Err(RuntimeError::Start(message)) => {
                self.note(false, "Created", "Container created".into());
                self.note(true, "Failed", format!("Error: {message}"));
                let waiting = Waiting {
                    reason: "RunContainerError".into(),
                    message: message.clone(),
                };
                return Err(NotStarted::Dead {
                    waiting,
                    image,
                    message,
                });
            }
            Err(err) => return Err(self.refuse("CreateContainerError", err.to_string(), 10)),
        };
        for warning in &started.warnings {
            tracing::warn!(id, warning, "container started with a restriction");
        }
        self.note(false, "Created", "Container created".into());
        self.note(false, "Started", "Container started".into());
        let instance = Instance {
            attempt: self.attempt,
            id,
            state: State::Running {
                started_at: adopt::nanos(started.started_at),
            },
            image: image.0,
            image_id: image.1,
            user: Some(user),
            exited: CancellationToken::new(),
        };
        adopt::Record::of(&instance).write(&dir);
        stays::shown(started.pid).await;
        Ok(instance)
    }

    /// Everything of the spec that depends on other objects and on the image.
    async fn configure(
        &self,
        ready: &crate::images::Ready,
    ) -> Result<(engine_runtime::proto::ContainerSpec, RunAs), String> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut sources = Sources::new();
        let volumes = {
            let mut volumes = self.volumes.lock().await;
            for (kind, name) in env::references(&self.container) {
                let source = volumes.source(kind, &name).await?;
                sources.insert((kind, name), source);
            }
            volumes.ready().clone()
        };
        let links = self.pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false);
        let services: BTreeMap<String, String> = self.shared.services.variables(namespace, links).await;
        let facts = downward::Facts {
            pod_ip: Some(self.network.ip),
            ..self.shared.facts.clone()
        };
        let inputs = env::Inputs {
            pod: &self.pod,
            facts: &facts,
            sources: &sources,
            volumes: &volumes,
            services,
        };
        let env = env::build(&self.container, &inputs)?;
        let (shared, pod, container) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.pod),
            self.container.clone(),
        );
        let (ready, network, attempt) = (ready.clone(), self.network.clone(), self.attempt);
        let (pod_cgroup, target) = (self.pod_cgroup.clone(), self.target.clone());
        let built = tokio::task::spawn_blocking(move || {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let pod_dir = shared.pod_dir(uid);
            prune(&pod_dir, &container.name, attempt);
            let user = users::resolve(&pod, &container, &ready.image.config.user, &ready.layers)?;
            let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
            let hostname = if host_network {
                shared.node_name.clone()
            } else {
                names::kernel_hostname(&pod, &shared.dns.domain)
            };
            let spec = container::build(&container::Inputs {
                pod: &pod,
                container: &container,
                attempt,
                image: &ready.image.config,
                layers: ready.layers.clone(),
                user: &user,
                env: &env,
                volumes: &volumes,
                pod_dir: &pod_dir,
                memory_dir: &shared.memory_dir.join(uid),
                netns: network.netns.clone(),
                hostname,
                pod_cgroup: &pod_cgroup,
                profiles: &shared.profiles,
                target: target.as_deref(),
                memory_capacity: shared.facts.memory,
            })?;
            adopt::remember_stop_signal(&spec.dir, ready.image.config.stop_signal.as_deref());
            Ok((spec, user))
        });
        built.await.unwrap_or_else(|err| Err(err.to_string()))
    }

    fn refuse(&self, reason: &str, message: String, seconds: i64) -> NotStarted {
        self.note(true, "Failed", format!("Error: {message}"));
        let waiting = Waiting {
            reason: reason.to_owned(),
            message,
        };
        NotStarted::Waiting(waiting, Timestamp::now() + SignedDuration::from_secs(seconds))
    }

    fn note(&self, warning: bool, reason: &str, message: String) {
        self.shared
            .recorder
            .pod(&self.pod, Some(&self.container.name), warning, reason, message);
    }
}

/// Only the attempt before this one keeps its log (MaxPerPodContainer is 1 upstream).
fn prune(pod_dir: &std::path::Path, container: &str, attempt: u32) {
    let Some(old) = attempt.checked_sub(2) else { return };
    let _ = std::fs::remove_dir_all(container::attempt_dir(pod_dir, container, old));
}
