//! One task per pod: it owns all that is known of the pod, hears of changes as messages, decides (see [`crate::policy`]) and lets
//! operations run beside it. Nothing here sleeps or polls but [`stays`]; timers exist only where upstream has a deadline.
mod adopt;
mod anew;
mod hear;
mod operation;
mod prepare;
mod publish;
mod resize;
mod start;
mod stays;
mod stop;

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine_runtime::proto::{Exit, Info};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, PodStatus};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::backoff::{Backoff, go_seconds};
use crate::model::{Instance, Role, State, Terminated, Unit, Waiting, specs, units};
use crate::probe;
use crate::resources::{self, Whole};
use crate::shared::Shared;
use crate::volumes::{Context, Failure, Volumes};
use crate::{admission, policy, status};

pub use prepare::remove_pod;

/// What a worker hears.
#[derive(Debug)]
pub enum Message {
    /// The pod as the API server has it now.
    Update(Arc<Pod>),
    /// The pod object is gone.
    Gone,
    /// A container ended.
    Exit(Exit),
    /// A probe crossed its threshold.
    Probe(probe::Report),
    /// The node takes the pod's resources back, with the reason.
    Evict(String),
    /// The node has decided on the pod's resize, or looked at it again.
    Granted,
}

/// What others may know of a pod: for logs, exec and metrics.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The pod's latest form.
    pub pod: Arc<Pod>,
    /// Its status as computed last.
    pub status: Arc<PodStatus>,
    /// Its network namespace.
    pub netns: Option<PathBuf>,
    /// Latest and previous attempt by container; the flag says whether the latest runs.
    pub attempts: HashMap<String, (u32, bool)>,
}

/// Where the pod's network is.
#[derive(Debug, Clone)]
struct Network {
    ip: IpAddr,
    netns: PathBuf,
}

/// Where the pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Its containers are wanted.
    Active,
    /// Its containers are being ended.
    Ending,
    /// Network, volumes and cgroups are being taken away.
    TearingDown,
    /// Nothing is left but its logs.
    Over,
}

/// An operation has ended.
enum Done {
    Network(Result<Network, String>),
    Volumes(Result<(), Failure>, Option<Timestamp>),
    Changed,
    Began(usize, Result<Instance, start::NotStarted>),
    Hooked(usize, Result<(), String>),
    Stopped(usize),
    NotStopped(usize),
    Resized(Arc<Pod>, Result<(), String>),
    TornDown(Result<(), String>),
    Published(Result<Box<PodStatus>, publish::Refused>),
    Deleted(Result<(), publish::Refused>),
}

/// The worker of one pod.
pub struct Worker {
    shared: Arc<Shared>,
    /// With the resources that it was promised, which everything is done by.
    pod: Arc<Pod>,
    /// As the API server has it.
    desired: Arc<Pod>,
    whole: Whole,
    uid: String,
    pod_dir: PathBuf,
    units: Vec<Unit>,
    life: Life,
    gone: bool,
    network: Option<Network>,
    network_busy: bool,
    network_retry: Option<Timestamp>,
    volumes: Arc<Mutex<Volumes>>,
    volumes_ready: bool,
    volumes_busy: bool,
    volumes_stale: bool,
    volumes_retry: Option<Timestamp>,
    volumes_backoff: Backoff,
    refresh_at: Option<Timestamp>,
    start_time: Timestamp,
    evicted: Option<(String, String)>,
    rejected: bool,
    /// It is still to be seen whether this is a node of those that it wants.
    choosy: bool,
    restarting: bool,
    early_exits: HashMap<String, Exit>,
    probes: HashMap<(String, probe::Kind), AbortHandle>,
    hooks: HashMap<usize, AbortHandle>,
    watching: Option<AbortHandle>,
    /// Something may run with other resources than it was promised.
    resize_open: bool,
    resizing: bool,
    resize_retry: Option<Timestamp>,
    kill_by: watch::Sender<Option<tokio::time::Instant>>,
    status: PodStatus,
    published: PodStatus,
    publishing: bool,
    publish_retry: Option<Timestamp>,
    deleting: bool,
    deleted: bool,
    view: watch::Sender<View>,
    to_self: mpsc::UnboundedSender<Message>,
    mailbox: mpsc::UnboundedReceiver<Message>,
    ops: JoinSet<Done>,
}

/// A worker has ended.
#[derive(Debug)]
pub struct Finished {
    /// Uid of its pod.
    pub uid: String,
    /// The pod as it was known last, when the worker ended too early: it panicked.
    pub died: Option<Arc<Pod>>,
}

/// How to reach a worker.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its mailbox.
    pub sender: mpsc::UnboundedSender<Message>,
    /// What others may know.
    pub view: watch::Receiver<View>,
}

impl Worker {
    /// A worker for a pod that this node may or may not have seen before; `known` are the runtime's containers.
    pub fn spawn(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        known: &[Info],
        finished: mpsc::UnboundedSender<Finished>,
    ) -> Link {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let pod_dir = shared.pod_dir(&uid);
        let context = Context {
            client: shared.client.clone(),
            objects: shared.objects.clone(),
            pod_dir: pod_dir.clone(),
            memory_dir: shared.memory_dir.join(&uid),
            volumes_root: shared.volumes_root.clone(),
        };
        let (sender, mailbox) = mpsc::unbounded_channel();
        let old = pod.status.clone().unwrap_or_default();
        let (view, seen) = watch::channel(View {
            pod: Arc::clone(&pod),
            ..View::default()
        });
        let now = Timestamp::now();
        if !matches!(old.phase.as_deref(), Some("Succeeded" | "Failed")) {
            shared.book.add(&uid, &pod, &pod_dir, &sender);
        }
        let desired = pod;
        let pod = shared.book.promised(&uid, &desired);
        let mut worker = Self {
            units: units(&pod),
            whole: resources::whole(&pod),
            desired,
            volumes: Arc::new(Mutex::new(Volumes::new(context, &pod))),
            start_time: old.start_time.as_ref().map_or(now, |time| time.0),
            status: old.clone(),
            published: old,
            shared,
            pod,
            uid: uid.clone(),
            pod_dir,
            life: Life::Active,
            gone: false,
            network: None,
            network_busy: false,
            network_retry: None,
            volumes_ready: false,
            volumes_busy: false,
            volumes_stale: true,
            volumes_retry: None,
            volumes_backoff: Backoff::volume(),
            refresh_at: None,
            evicted: None,
            rejected: false,
            choosy: false,
            restarting: false,
            early_exits: HashMap::new(),
            probes: HashMap::new(),
            hooks: HashMap::new(),
            watching: None,
            resize_open: true,
            resizing: false,
            resize_retry: None,
            kill_by: watch::Sender::new(None),
            publishing: false,
            publish_retry: None,
            deleting: false,
            deleted: false,
            view,
            to_self: sender.clone(),
            mailbox,
            ops: JoinSet::new(),
        };
        worker.adopt(known);
        worker.admit();
        tokio::spawn(async move {
            let run = AssertUnwindSafe(worker.run()).catch_unwind().await;
            let died = if let Err(panic) = run {
                tracing::error!(
                    pod = worker.label(),
                    why = operation::in_words(&*panic),
                    "worker panicked"
                );
                worker.probes.drain().for_each(|(_, probe)| probe.abort());
                tokio::time::sleep(operation::PAUSE).await;
                Some(Arc::clone(&worker.desired))
            } else {
                None
            };
            let _ = finished.send(Finished { uid, died });
        });
        Link { sender, view: seen }
    }

    /// Refuses a pod that is new here and asks for what this node does not have.
    fn admit(&mut self) {
        let is_new = self.life == Life::Active && self.units.iter().all(|unit| unit.current.is_none());
        if !is_new {
            return;
        }
        let misfit = || self.shared.book.misfit(&self.uid, &self.pod);
        if let Some(refusal) = admission::refuse(&self.pod).or_else(misfit) {
            self.refuse(refusal);
        }
        self.choosy = !self.rejected && admission::is_choosy(&self.pod);
    }

    /// The same for who wants other nodes, or does not bear the taints of this; what it is labelled with may have just changed, so that it is
    /// asked for. One that cannot be asked for is no reason to refuse.
    async fn admit_choosy(&mut self) {
        if !std::mem::take(&mut self.choosy) {
            return;
        }
        let nodes: kube::Api<Node> = kube::Api::all(self.shared.client.clone());
        let node = nodes.get(&self.shared.node_name).await;
        let refusal = |node| {
            admission::elsewhere(&self.pod, &node).or_else(|| admission::driven_away(&self.pod, &node))
        };
        if let Some(refusal) = node.ok().and_then(refusal) {
            self.refuse(refusal);
        }
    }

    fn refuse(&mut self, (reason, why): (String, String)) {
        self.shared
            .recorder
            .pod(&self.pod, None, true, &reason, why.clone());
        self.evicted = Some((reason, format!("Pod was rejected: {why}")));
        self.shared.book.end(&self.uid);
        self.rejected = true;
    }

    async fn run(&mut self) {
        self.admit_choosy().await;
        self.watch_objects();
        loop {
            self.sync();
            if self.life == Life::Over && self.gone {
                self.forget().await;
                self.shared.book.remove(&self.uid);
                return;
            }
            self.refresh_status();
            let wake = self.next_deadline();
            tokio::select! {
                Some(message) = self.mailbox.recv() => self.hear(message),
                // An error is an operation that was called off; one that panics has an answer all the same.
                Some(done) = self.ops.join_next() => if let Ok(done) = done {
                    self.finish(done);
                },
                () = sleep_until(wake) => {}
                () = self.shared.stop.cancelled() => {
                    for (_, task) in self.probes.drain() {
                        task.abort();
                    }
                    return;
                }
            }
            // All that is there already is heard before anything is decided or written.
            while let Ok(message) = self.mailbox.try_recv() {
                self.hear(message);
            }
        }
    }

    /// Does whatever there is to do now.
    fn sync(&mut self) {
        let now = Timestamp::now();
        if self.life == Life::Active {
            self.check_deadline(now);
            if self.pod.metadata.deletion_timestamp.is_some() || self.gone || self.evicted.is_some() {
                self.end();
            }
        }
        match self.life {
            Life::Active => self.sync_active(now),
            Life::Ending => {
                let busy = |unit: &Unit| unit.is_running() || unit.starting || unit.stopping;
                if !self.resizing && !self.units.iter().any(busy) {
                    self.life = Life::TearingDown;
                    self.shared.book.end(&self.uid);
                    self.tear_down();
                }
            }
            Life::TearingDown => {}
            Life::Over => self.delete_if_due(),
        }
    }

    fn sync_active(&mut self, now: Timestamp) {
        if self.network.is_none() && !self.network_busy && due(self.network_retry, now) {
            self.attach();
        }
        let refresh = self.refresh_at.is_some_and(|at| at <= now);
        if (self.volumes_stale || refresh) && !self.volumes_busy && due(self.volumes_retry, now) {
            // Addresses are part of the downward API: the first look waits for them.
            if self.network.is_some() {
                self.mount();
            }
        }
        if self.network.is_none() || !self.volumes_ready {
            return;
        }
        self.tell_resize();
        if self.restarting {
            self.begin_all_anew();
            if self.restarting {
                return;
            }
        }
        let plan = policy::plan(&self.pod, &self.units);
        if plan.finish {
            self.end();
            return;
        }
        for index in self.changed_images() {
            let name = &self.units[index].name;
            let message = format!("Container {name} definition changed, will be restarted");
            self.kill(index, message, None, Vec::new());
        }
        for (index, reason, again) in plan.kill {
            if !self.units[index].stopping {
                self.kill_unhealthy(index, reason, again);
            }
        }
        let may_start = self.resize(now);
        for index in plan.start {
            if !may_start {
                break;
            }
            // One at a time and in order, as upstream starts them.
            if self.units.iter().any(|unit| unit.starting) {
                break;
            }
            if self.units[index].stopping || !due(self.units[index].not_before, now) {
                continue;
            }
            if !self.held_back(index, now) {
                self.start(index);
            }
        }
    }

    /// Running containers whose image was changed in the spec; nothing else of a container may change.
    fn changed_images(&self) -> Vec<usize> {
        let specs = specs(&self.pod).zip(&self.units).enumerate();
        let changed = specs.filter(|(_, ((container, role), unit))| {
            let image = unit
                .current
                .as_ref()
                .filter(|i| i.running_since().is_some())
                .map(|instance| &instance.image);
            *role != Role::Init
                && !unit.stopping
                && image.is_some_and(|image| Some(image) != container.image.as_ref())
        });
        changed.map(|(index, _)| index).collect()
    }

    /// Crash-loop back-off of a container that is about to be started again.
    fn held_back(&mut self, index: usize, now: Timestamp) -> bool {
        let label = self.label();
        let unit = &mut self.units[index];
        if unit.replaced {
            return false;
        }
        let Some(end) = unit.current.as_ref().and_then(Instance::terminated) else {
            return false;
        };
        let finished = end.finished_at;
        if let Some(until) = unit.backoff.blocked_until(finished, now) {
            let name = unit.name.clone();
            let delay = go_seconds(unit.backoff.delay());
            unit.not_before = Some(until);
            unit.waiting = Some(Waiting {
                reason: "CrashLoopBackOff".into(),
                message: format!("back-off {delay} restarting failed container={name} pod={label}"),
            });
            let message = format!("Back-off restarting failed container {name} in pod {label}");
            self.shared
                .recorder
                .pod(&self.pod, Some(&name), true, "BackOff", message);
            return true;
        }
        unit.backoff.next(finished);
        false
    }

    fn check_deadline(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|at| at <= now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.shared
                .recorder
                .pod(&self.pod, None, false, "DeadlineExceeded", message.clone());
            self.evicted = Some(("DeadlineExceeded".to_owned(), message));
        }
    }

    /// Ends the pod at once and says why (pkg/kubelet/eviction, `evictPod` with a grace of one second).
    fn evict(&mut self, why: String) {
        if self.evicted.is_some() || self.life != Life::Active {
            return;
        }
        self.shared
            .recorder
            .pod(&self.pod, None, true, "Evicted", why.clone());
        let soon = tokio::time::Instant::now() + Duration::from_secs(1);
        self.kill_by.send_replace(Some(soon));
        self.evicted = Some(("Evicted".to_owned(), why));
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        Some(self.start_time + SignedDuration::from_secs(seconds))
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let now = Timestamp::now();
        let mut times = vec![self.publish_retry];
        if self.life == Life::Active {
            times.extend([
                self.network_retry,
                self.volumes_retry,
                self.refresh_at,
                self.resize_retry,
                self.deadline(),
            ]);
            times.extend(
                self.units
                    .iter()
                    .filter(|unit| !unit.is_running())
                    .map(|unit| unit.not_before),
            );
        }
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// `name_namespace(uid)`, as kubelet's messages name a pod.
    fn label(&self) -> String {
        let meta = &self.pod.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        format!(
            "{name}_{}({})",
            meta.namespace.as_deref().unwrap_or_default(),
            self.uid
        )
    }

    fn is_host_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
    }

    fn pod_cgroup(&self) -> String {
        self.shared.pod_cgroup(&self.pod)
    }
}

/// Ephemeral containers may come in any order (a patch puts new ones first): those that are known keep their places.
fn in_order(pod: Arc<Pod>, units: &[Unit]) -> Arc<Pod> {
    let is_plain = |spec: &PodSpec| spec.ephemeral_containers.as_ref().is_none_or(Vec::is_empty);
    if pod.spec.as_ref().is_none_or(is_plain) {
        return pod;
    }
    let place = |name: &str| units.iter().position(|unit| unit.name == name);
    let mut pod = Arc::unwrap_or_clone(pod);
    if let Some(spec) = &mut pod.spec {
        spec.containers
            .sort_by_key(|container| place(&container.name).unwrap_or(usize::MAX));
    }
    Arc::new(pod)
}

/// Whether a moment has come; no moment is now.
fn due(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_none_or(|at| at <= now)
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        None => std::future::pending().await,
        Some(at) => {
            let wait = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
            tokio::time::sleep(wait.unsigned_abs() + Duration::from_millis(1)).await;
        }
    }
}

/// A unit whose start was refused for good: what status shows in place of an instance that never ran.
fn start_error(unit: &Unit, id: String, attempt: u32, image: (String, String), message: &str) -> Instance {
    let now = Timestamp::now();
    Instance {
        attempt,
        state: State::Exited(Terminated {
            code: 128,
            signal: None,
            reason: "StartError".into(),
            message: message.to_owned(),
            // containerd reports the zero time for a task that never ran.
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: now,
            container_id: format!("{}{id}", status::SCHEME),
        }),
        id,
        image: image.0,
        image_id: image.1,
        user: unit.current.as_ref().and_then(|instance| instance.user.clone()),
        exited: {
            let token = tokio_util::sync::CancellationToken::new();
            token.cancel();
            token
        },
    }
}

/// Path of the folder of a pod's containers.
fn containers_dir(pod_dir: &Path) -> PathBuf {
    pod_dir.join("containers")
}

/// Whether a role is probed at all.
fn is_probed(role: Role) -> bool {
    role != Role::Init
}
