//! The agent of one node: it follows the pods that are bound to it and gives each a worker.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_net::NodeNet;
use engine_runtime::cgroup::Layout;
use engine_runtime::proto::{Exit, Info, Status};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::allocation::Book;
use crate::downward::Facts;
use crate::error::{Error, Result};
use crate::events::Recorder;
use crate::images::Images;
use crate::model::own_form;
use crate::names::Dns;
use crate::node::{self, Capacity, Identity};
use crate::objects::{Objects, Services};
use crate::shared::Shared;
use crate::stats::window::ResourceUsage;
use crate::stats::{NodeStats, Source};
use crate::worker::{self, Finished, Link, Message, View, Worker};

/// A node agent to be.
#[derive(Clone)]
pub struct Config {
    /// Acts as `system:node:NAME`, user agent `kubelet/…`.
    pub client: Client,
    /// The runtime daemon.
    pub runtime: engine_runtime::Client,
    /// The node's network; also gives name, address and pod range.
    pub net: Arc<NodeNet>,
    /// The image store.
    pub images: image::Store,
    /// Name of the cluster, for cgroups.
    pub cluster_name: String,
    /// `clusters/NAME`.
    pub cluster_dir: PathBuf,
    /// ClusterIP of the DNS service.
    pub cluster_dns: IpAddr,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// What the node offers; see [`Capacity::of_this_machine`].
    pub capacity: Capacity,
    /// Further labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// Whether the Node carries the control plane's label.
    pub control_plane: bool,
    /// Most tasks of one pod.
    pub pod_pids: Option<i64>,
    /// Serving certificate of the HTTPS endpoint; without one it is not served.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Our version.
    pub version: String,
    /// How long the node's lease is valid (the kubelet's `nodeLeaseDurationSeconds`, upstream 40).
    pub lease_seconds: u32,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("node", &self.net.name())
            .finish_non_exhaustive()
    }
}

impl Capacity {
    /// All that this machine has, with room for `pods`; `storage` is what the file system of `dir` holds.
    pub fn of_this_machine(dir: &std::path::Path, pods: i64) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = info.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<i64>()
                .ok()
        });
        let storage = rustix::fs::statvfs(dir).map_or(0, |fs| fs.f_blocks.saturating_mul(fs.f_frsize));
        Self {
            cpu_milli: cpus as i64 * 1000,
            memory: total.unwrap_or(1 << 20) * 1024,
            storage: i64::try_from(storage).unwrap_or(i64::MAX),
            pods,
        }
    }
}

/// A running node agent; it stops with its last clone. Containers go on.
#[derive(Clone)]
pub struct NodeAgent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) links: Arc<Mutex<HashMap<String, Link>>>,
    source: Source,
    tasks: Arc<Tasks>,
}

/// The agent's own tasks; its workers end by the token.
struct Tasks {
    set: tokio::sync::Mutex<JoinSet<()>>,
    _stop: DropGuard,
}

impl Tasks {
    async fn end(&self) {
        self.set.lock().await.shutdown().await;
    }
}

impl std::fmt::Debug for NodeAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeAgent")
            .field("node", &self.shared.node_name)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Registers the node and begins to follow its pods.
    pub async fn build(self) -> Result<NodeAgent> {
        let name = self.net.name().to_owned();
        let node_ip = IpAddr::V4(self.net.address());
        let recorder = Recorder::new(self.client.clone(), &name);
        let images = Images::new(self.images.clone(), self.client.clone(), recorder.clone());
        let node_dir = self.cluster_dir.join("nodes").join(&name);
        let memory_dir = node_dir.join("memory");
        prepare_folders(&node_dir, &memory_dir)?;
        let identity = Identity {
            name: name.clone(),
            ip: node_ip,
            pod_cidr: self.net.pod_range().to_string(),
            labels: self.labels.clone(),
            capacity: self.capacity.clone(),
            control_plane: self.control_plane,
            runtime_version: self.version.clone(),
            lease_seconds: self.lease_seconds.max(1),
        };
        let facts = Facts {
            pod_ip: None,
            host_ip: Some(node_ip),
            cpu_milli: self.capacity.cpu_milli,
            memory: self.capacity.memory,
            storage: self.capacity.storage,
        };
        let shared = Arc::new(Shared {
            book: Arc::new(Book::new(&facts, self.capacity.pods, recorder.clone())),
            layout: Layout::detect().map_err(|source| Error::Runtime {
                what: "find the cgroups",
                source,
            })?,
            objects: Objects::new(self.client.clone()),
            services: Services::watch(self.client.clone()),
            client: self.client.clone(),
            recorder: recorder.clone(),
            runtime: self.runtime.clone(),
            net: Arc::clone(&self.net),
            images: images.clone(),
            dns: Dns {
                server: self.cluster_dns,
                domain: self.cluster_domain.clone(),
                host_resolv_conf: std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
            },
            node_name: name.clone(),
            node_ip,
            node_dir,
            memory_dir,
            volumes_root: self.cluster_dir.join("volumes"),
            profiles: self.cluster_dir.join("seccomp"),
            cgroup: format!("{}/{name}", self.cluster_name),
            facts,
            pod_pids: self.pod_pids,
            stop: CancellationToken::new(),
        });
        // Exits are listened to before anything is asked, so that none falls between.
        let exits = self.runtime.events();
        let node: Node = node::register(&self.client, &identity, &images).await?;
        recorder.node(&node, false, "Starting", "Starting kubelet.");
        recorder.node(
            &node,
            false,
            "NodeReady",
            format!("Node {name} status is now: NodeReady"),
        );
        let links: Arc<Mutex<HashMap<String, Link>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let (pressure, pressed) = watch::channel(false);
        tasks.spawn(node::keep(self.client.clone(), identity, images, node, pressed));
        tasks.spawn(crate::disk::keep(
            Arc::clone(&shared),
            Arc::clone(&links),
            pressure,
        ));
        tasks.spawn(follow(Arc::clone(&shared), Arc::clone(&links), exits));
        let source = Source {
            shared: Arc::clone(&shared),
            links: Arc::clone(&links),
            before: Arc::default(),
            window: Arc::default(),
        };
        if let Some(tls) = self.tls {
            let listener = crate::server::listen(&source)?;
            tasks.spawn(crate::server::serve(source.clone(), listener, tls));
        }
        let tasks = Arc::new(Tasks {
            set: tokio::sync::Mutex::new(tasks),
            _stop: shared.stop.clone().drop_guard(),
        });
        Ok(NodeAgent {
            shared,
            links,
            source,
            tasks,
        })
    }
}

fn prepare_folders(node_dir: &std::path::Path, memory_dir: &std::path::Path) -> Result<()> {
    let pods = node_dir.join("pods");
    std::fs::create_dir_all(&pods).map_err(|err| Error::file("create", &pods, err))?;
    spread(&pods);
    engine_runtime::mount_memory(memory_dir, 0o755)
        .map_err(|err| Error::file("mount a tmpfs on", memory_dir, err))
}

/// Tells ext4 that what is in the folder has nothing to do with each other (`chattr +T`), so that it does not crowd the files of all pods
/// into one group of blocks. Without a journal it looks at every inode of a group that was freed in the last minutes, one by one, before
/// it takes one: 8,192 of them cost 0.6 ms for each new file. Other file systems do not know this, which is as well.
fn spread(folder: &std::path::Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let set = std::fs::File::open(folder).and_then(|folder| {
        let flags = ioctl_getflags(&folder)?;
        Ok(ioctl_setflags(&folder, flags | IFlags::TOPDIR)?)
    });
    if let Err(err) = set {
        tracing::debug!(folder = %folder.display(), %err, "files of pods are not spread");
    }
}

impl NodeAgent {
    /// Name of its node.
    pub fn node_name(&self) -> &str {
        &self.shared.node_name
    }

    /// Ends the agent, whoever else has clones of it, and waits until none of its workers does anything any more. Containers go on.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.end().await;
        let views: Vec<_> = lock(&self.links).values().map(|link| link.view.clone()).collect();
        for mut view in views {
            // Its sender goes with the worker.
            while view.changed().await.is_ok() {}
        }
    }

    /// What containers, pods and the node use now.
    pub async fn stats(&self) -> NodeStats {
        self.source.read().await
    }

    /// CPU over a window and memory, as the resource metrics API shows them.
    pub async fn resources(&self) -> ResourceUsage {
        self.source.resources().await
    }

    /// Answers a GET for a path of the node's endpoint (`/metrics/cadvisor`, `/stats/summary`, …) without asking who wants it: for the
    /// API server's `nodes/NAME/proxy`, which has decided that.
    pub async fn answer(&self, path: &str) -> (http::StatusCode, &'static str, String) {
        self.source.answer(path).await
    }

    /// What is known of a pod.
    pub(crate) fn pod(&self, uid: &str) -> Option<watch::Receiver<View>> {
        lock(&self.links).get(uid).map(|link| link.view.clone())
    }
}

pub(crate) fn lock(links: &Mutex<HashMap<String, Link>>) -> MutexGuard<'_, HashMap<String, Link>> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the node's pods and the runtime's exits; never ends.
async fn follow(
    shared: Arc<Shared>,
    links: Arc<Mutex<HashMap<String, Link>>>,
    mut exits: mpsc::UnboundedReceiver<Exit>,
) {
    let api: Api<Pod> = Api::all(shared.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", shared.node_name));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let (finished, mut over) = mpsc::unbounded_channel::<Finished>();
    let mut listed: HashMap<String, Arc<Pod>> = HashMap::new();
    let mut synced = false;
    loop {
        tokio::select! {
            biased;
            Some(end) = over.recv() => {
                lock(&links).remove(&end.uid);
                if let Some(pod) = end.died {
                    begin_again(&shared, &links, end.uid, pod, &finished).await;
                }
            }
            Some(event) = events.next() => match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(pod)) => {
                    listed.insert(uid_of(&pod), Arc::new(own_form(pod)));
                }
                Ok(watcher::Event::InitDone) => {
                    let known = match shared.runtime.list().await {
                        Ok(known) => mine(&shared, known),
                        Err(err) => {
                            tracing::error!(%err, "runtime does not list its containers");
                            Vec::new()
                        }
                    };
                    let here: HashSet<String> = lock(&links).keys().cloned().collect();
                    for uid in here.iter().filter(|uid| !listed.contains_key(*uid)) {
                        send(&links, uid, Message::Gone);
                    }
                    if !synced {
                        orphans(&shared, &listed, &known);
                        synced = true;
                    }
                    for (uid, pod) in listed.drain() {
                        apply(&shared, &links, uid, pod, &known, &finished);
                    }
                    shared.book.open();
                }
                Ok(watcher::Event::Apply(pod)) => apply(&shared, &links, uid_of(&pod), Arc::new(own_form(pod)), &[], &finished),
                Ok(watcher::Event::Delete(pod)) => {
                    let uid = uid_of(&pod);
                    send(&links, &uid, Message::Update(Arc::new(own_form(pod))));
                    send(&links, &uid, Message::Gone);
                }
                Err(err) => tracing::debug!(%err, "pod watch"),
            },
            // Exits of pods that no worker has yet wait until the first list is there.
            Some(exit) = exits.recv(), if synced => {
                if let Some(uid) = exit.id.split('.').next() {
                    send(&links, uid, Message::Exit(exit.clone()));
                }
            }
        }
    }
}

fn uid_of(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn mine(shared: &Shared, known: Vec<Info>) -> Vec<Info> {
    known
        .into_iter()
        .filter(|info| shared.owns_cgroup(&info.cgroup))
        .collect()
}

fn send(links: &Mutex<HashMap<String, Link>>, uid: &str, message: Message) {
    if let Some(link) = lock(links).get(uid) {
        let _ = link.sender.send(message);
    }
}

fn apply(
    shared: &Arc<Shared>,
    links: &Mutex<HashMap<String, Link>>,
    uid: String,
    pod: Arc<Pod>,
    known: &[Info],
    finished: &mpsc::UnboundedSender<Finished>,
) {
    let mut links = lock(links);
    if let Some(link) = links.get(&uid) {
        let _ = link.sender.send(Message::Update(pod));
        return;
    }
    let own: Vec<Info> = known
        .iter()
        .filter(|info| info.id.split('.').next() == Some(&uid))
        .cloned()
        .collect();
    let link = Worker::spawn(Arc::clone(shared), pod, &own, finished.clone());
    links.insert(uid, link);
}

/// Gives a pod whose worker panicked another one, which finds the pod as a new engine would.
async fn begin_again(
    shared: &Arc<Shared>,
    links: &Mutex<HashMap<String, Link>>,
    uid: String,
    pod: Arc<Pod>,
    finished: &mpsc::UnboundedSender<Finished>,
) {
    let meta = &pod.metadata;
    let api: Api<Pod> = Api::namespaced(
        shared.client.clone(),
        meta.namespace.as_deref().unwrap_or_default(),
    );
    let now = api.get_opt(meta.name.as_deref().unwrap_or_default()).await;
    let known = shared.runtime.list().await;
    let (Ok(now), Ok(known)) = (now, known) else {
        let (finished, died) = (finished.clone(), Some(pod));
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let _ = finished.send(Finished { uid, died });
        });
        return;
    };
    let known = mine(shared, known);
    let pod = now.filter(|pod| uid_of(pod) == uid).map(own_form);
    match pod {
        Some(pod) => apply(shared, links, uid, Arc::new(pod), &known, finished),
        None => {
            shared.book.end(&uid);
            shared.book.remove(&uid);
            orphan(shared, uid, &known);
        }
    }
}

/// Pods that were deleted while no engine was there: their containers, networks, mounts and folders go.
fn orphans(shared: &Arc<Shared>, listed: &HashMap<String, Arc<Pod>>, known: &[Info]) {
    let mut uids: HashSet<String> = shared.net.pods().into_iter().map(|pod| pod.uid).collect();
    uids.extend(
        known
            .iter()
            .filter_map(|info| info.id.split('.').next().map(str::to_owned)),
    );
    for dir in [shared.node_dir.join("pods"), shared.memory_dir.clone()] {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        uids.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    for uid in uids.into_iter().filter(|uid| !listed.contains_key(uid)) {
        orphan(shared, uid, known);
    }
}

/// Takes away what is left of a pod that is gone.
fn orphan(shared: &Arc<Shared>, uid: String, known: &[Info]) {
    let containers: Vec<Info> = known
        .iter()
        .filter(|info| info.id.split('.').next() == Some(&uid))
        .cloned()
        .collect();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tracing::info!(uid, "removing what is left of a pod that is gone");
        let running = containers.iter().filter(|info| info.status != Status::Exited);
        for info in running {
            let _ = shared.runtime.kill_all(&info.id).await;
            wait_gone(&shared, &info.id).await;
        }
        let ids: Vec<String> = containers.iter().map(|info| info.id.clone()).collect();
        if let Err(why) = worker::remove_pod(&shared, &uid, &ids, &shared.pod_cgroups(&uid)).await {
            tracing::warn!(uid, why, "clean-up is not complete");
        }
        let _ = tokio::fs::remove_dir_all(shared.pod_dir(&uid)).await;
    });
}

/// Waits until the runtime has seen the end of a container.
async fn wait_gone(shared: &Shared, id: &str) {
    let mut events = shared.runtime.events();
    let seen = async {
        while let Some(exit) = events.recv().await {
            if exit.id == id {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(10), seen).await;
}
