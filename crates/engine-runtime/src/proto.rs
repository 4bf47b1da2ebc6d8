//! What the daemon and its client say to each other: frames of a little-endian `u32` length and JSON, descriptors by `SCM_RIGHTS`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A container's name: `POD_UID.CONTAINER.ATTEMPT`.
pub type Id = String;

/// Everything needed to create a container and start it.
///
/// `ContainerSpec::default()` has no privileges, no limits and no rootfs; fill in what the pod asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// `POD_UID.CONTAINER.ATTEMPT`.
    pub id: Id,
    /// The container's folder on disk (absolute, below the cluster's folder); created if missing. The daemon keeps the writable layer in it
    /// (`upper`, `work`); what is void when the container ends is in `run/live/containers/ID`.
    pub dir: PathBuf,
    /// Overlay lower dirs, top layer first, as `image::Store::unpacked_layers` gives them. At least one.
    pub lower_dirs: Vec<PathBuf>,
    /// `securityContext.readOnlyRootFilesystem`.
    pub read_only_root_fs: bool,
    /// The whole command line (entrypoint and arguments joined).
    pub args: Vec<String>,
    /// `KEY=VALUE`. A `PATH` and a `HOME` are added when missing.
    pub env: Vec<String>,
    /// Working directory; empty means `/`. Created in the rootfs if missing, as containerd does.
    pub cwd: String,
    /// Whom the process runs as.
    pub user: User,
    /// Added to the default set (`NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`).
    pub cap_add: Vec<String>,
    /// Taken from the default set; `ALL` drops everything before `cap_add` is applied.
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, nothing masked, `/sys` writable.
    pub privileged: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privs: bool,
    /// Which system calls are let through. A privileged container may use all of them.
    pub seccomp: Seccomp,
    /// `procMount: Unmasked`: nothing in `/proc` is masked or read-only.
    pub unmasked_proc: bool,
    /// Bind and tmpfs mounts, applied in this order.
    pub mounts: Vec<Mount>,
    /// Host name in an own UTS namespace; `None` shares the node's.
    pub hostname: Option<String>,
    /// A bind-mounted network namespace to join; `None` shares the daemon's.
    pub netns: Option<PathBuf>,
    /// PID namespace.
    pub pid: PidMode,
    /// IPC namespace.
    pub ipc: IpcMode,
    /// Namespaced sysctls (`net.*` need a `netns`, `kernel.shm*`, `kernel.msg*`, `kernel.sem`, `fs.mqueue.*` a private IPC namespace).
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits such as `RLIMIT_NOFILE`.
    pub rlimits: Vec<Rlimit>,
    /// Relative to every hierarchy's root: `cncfdemo/NAME/NODE/QOS/podUID/CONTAINER`.
    pub cgroup: String,
    /// Limits of that cgroup.
    pub limits: Limits,
    /// Wanted `oom_score_adj`; when the machine does not let us lower it, the lowest allowed one is used and that is reported once.
    /// `None` is 0.
    pub oom_score_adj: Option<i32>,
    /// Host devices to pass in, besides the default set.
    pub devices: Vec<PathBuf>,
    /// Size of `/dev/shm`; 0 means 64 MiB. Ignored when a mount has that destination.
    pub shm_size: u64,
    /// Allocate a terminal; stdout and stderr are then one stream (`stdout`).
    pub tty: bool,
    /// Keep stdin open for [`Request::Attach`]; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// Close stdin when the first attached client is gone.
    pub stdin_once: bool,
    /// The CRI log file (absolute); its folder is created.
    pub log_path: PathBuf,
    /// Rotation of that file.
    pub log_limits: LogLimits,
}

/// Numeric identity of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, `fsGroup` among them.
    #[serde(default)]
    pub additional_gids: Vec<u32>,
}

/// A bind or tmpfs mount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container; created when missing.
    pub destination: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or folder of the host, with everything mounted below it.
    Bind {
        /// Absolute path on the host; must exist.
        path: PathBuf,
        /// How mounts made later travel.
        #[serde(default)]
        propagation: Propagation,
    },
    /// A fresh tmpfs.
    Tmpfs {
        /// Size limit in bytes.
        #[serde(default)]
        size: Option<u64>,
        /// Mode of its root, e.g. `0o1777`; `None` means `0o1777`.
        #[serde(default)]
        mode: Option<u32>,
    },
}

/// `mountPropagation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `None`.
    #[default]
    Private,
    /// `HostToContainer`.
    HostToContainer,
    /// `Bidirectional`.
    Bidirectional,
}

/// `seccompProfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// All system calls.
    Unconfined,
    /// Those that Docker and containerd allow by default.
    #[default]
    RuntimeDefault,
    /// Those of an OCI profile in this file.
    Localhost(PathBuf),
}

/// Which processes a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Those of a running container (`kubectl debug --target`).
    Container(Id),
    /// One that all containers of a pod have together (`shareProcessNamespace`). Who holds it is recorded in this folder, the pod's.
    Pod(PathBuf),
}

/// Which System V and POSIX message objects a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Those of a running container.
    Container(Id),
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE`, ...
    pub kind: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Limits of a cgroup, in cgroup v1 terms as kubelet counts them; translated on v2. `None` leaves a limit as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// CPU shares (2..=262144), 1024 per CPU.
    pub cpu_shares: Option<u64>,
    /// CPU time per period in microseconds; -1 is unlimited.
    pub cpu_quota: Option<i64>,
    /// Length of that period in microseconds; 100 000 when only the quota is given.
    pub cpu_period: Option<u64>,
    /// Bytes of memory; -1 is unlimited.
    pub memory: Option<i64>,
    /// Number of tasks; -1 is unlimited.
    pub pids: Option<i64>,
}

/// When a log file is rotated and how many are kept, the current one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes per file.
    pub max_size: u64,
    /// Number of files.
    pub max_files: u32,
}

impl Default for LogLimits {
    /// kubelet's defaults: `containerLogMaxSize` 10Mi, `containerLogMaxFiles` 5.
    fn default() -> Self {
        Self {
            max_size: 10 << 20,
            max_files: 5,
        }
    }
}

/// A further process in a running container: same namespaces, cgroup, capabilities and `no_new_privs` as its first one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// The container.
    pub id: Id,
    /// The whole command line.
    pub args: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// Working directory; `None` is the container's.
    pub cwd: Option<String>,
    /// Identity; `None` is the container's.
    pub user: Option<User>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Connect stdin; otherwise it is `/dev/null`.
    pub stdin: bool,
}

/// How a container ended. Recorded before anybody hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The container.
    pub id: Id,
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// When it was started, nanoseconds since the epoch.
    pub started_at: i64,
    /// When it ended, nanoseconds since the epoch.
    pub finished_at: i64,
    /// The kernel killed a process of its cgroup for lack of memory.
    pub oom_killed: bool,
    /// It ended while no daemon was there to see: the code is a guess (137).
    pub unknown: bool,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// A worker is starting it.
    Creating,
    /// Its first process lives.
    Running,
    /// Its first process ended; see [`Info::exit`].
    Exited,
}

/// What the daemon knows about a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The container.
    pub id: Id,
    /// Its folder.
    pub dir: PathBuf,
    /// Its cgroup, relative to the hierarchies' roots.
    pub cgroup: String,
    /// Its log file.
    pub log_path: PathBuf,
    /// Where it is in its life.
    pub status: Status,
    /// First process as the host sees it; 0 when it is not running.
    pub pid: i32,
    /// When it was started, nanoseconds since the epoch; 0 before.
    pub started_at: i64,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// What `create_start` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// First process as the host sees it.
    pub pid: i32,
    /// When it was started, nanoseconds since the epoch.
    pub started_at: i64,
    /// What could not be done as asked but did not prevent the start (for example a lowered `oom_score_adj`).
    pub warnings: Vec<String>,
}

/// What the daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Its process.
    pub pid: i32,
    /// Version of its crate.
    pub version: String,
    /// The engine's process, 0 when none runs.
    pub engine_pid: i32,
    /// How often it restarted the engine.
    pub engine_restarts: u64,
    /// Number of containers it knows.
    pub containers: usize,
}

/// A request; the answer carries the same `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Chosen by the client.
    pub seq: u64,
    /// What is asked.
    pub request: Request,
}

/// What may be asked of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// From now on send exits on this connection, first those of all exited containers that were not removed.
    Subscribe,
    /// Answers [`Response::Daemon`].
    Ping,
    /// Answers [`Response::Started`].
    CreateStart(Box<ContainerSpec>),
    /// Send a signal to a container's first process.
    Signal {
        /// The container.
        id: Id,
        /// Signal number.
        signal: i32,
    },
    /// SIGKILL for every process in the container's cgroup.
    KillAll {
        /// The container.
        id: Id,
    },
    /// Forget an exited container: rootfs unmounted, writable layer, libcontainer's state and cgroup removed. The log and the folder
    /// itself stay. Idempotent; a running container is an error.
    Remove {
        /// The container.
        id: Id,
    },
    /// Answers [`Response::List`].
    List,
    /// Answers [`Response::Exec`] with 3 descriptors (stdin's write end, stdout's and stderr's read ends) or 1 (terminal's master).
    Exec(ExecSpec),
    /// Signal a process started by [`Request::Exec`].
    ExecSignal {
        /// From [`Response::Exec`].
        exec: u64,
        /// Signal number.
        signal: i32,
    },
    /// Answers [`Response::Attach`] with the output's read ends (1 for a terminal, else 2) and, when `stdin`, where to write first.
    Attach {
        /// The container.
        id: Id,
        /// Whether stdin is wanted.
        stdin: bool,
    },
    /// Size of a container's terminal.
    Resize {
        /// The container.
        id: Id,
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// Close and reopen a container's log (after somebody else moved it).
    ReopenLog {
        /// The container.
        id: Id,
    },
    /// Make a cgroup and its parents, in every hierarchy, and set limits on it.
    EnsureCgroup {
        /// Relative path.
        path: String,
        /// Limits.
        limits: Limits,
    },
    /// Set limits on a cgroup that exists, of a container or above one, while its processes run.
    SetLimits {
        /// Relative path.
        path: String,
        /// Limits.
        limits: Limits,
    },
    /// Remove a cgroup and everything below it; fine if it is not there. Processes in it are killed when `kill`.
    RemoveCgroup {
        /// Relative path.
        path: String,
        /// Kill what is in it.
        kill: bool,
    },
    /// End the daemon; containers stay as they are, and the engine too.
    Shutdown,
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The answer to the request with this `seq`.
    Response {
        /// The request's.
        seq: u64,
        /// Number of descriptors that came with it.
        fds: usize,
        /// The answer.
        result: Result<Response, Failure>,
    },
    /// A container ended.
    Exit(Exit),
    /// A process started by [`Request::Exec`] on this connection ended.
    ExecExit {
        /// From [`Response::Exec`].
        exec: u64,
        /// Exit code; 128 + signal when a signal ended it.
        code: i32,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// Done.
    Ok,
    /// To [`Request::Ping`].
    Daemon(DaemonInfo),
    /// To [`Request::CreateStart`].
    Started(Started),
    /// To [`Request::List`].
    List(Vec<Info>),
    /// To [`Request::Exec`].
    Exec {
        /// Names the process.
        exec: u64,
        /// Its process id on the host.
        pid: i32,
    },
    /// To [`Request::Attach`].
    Attach {
        /// Whether the container has a terminal.
        tty: bool,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people; of a failed start worded as runc words it.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No such container, exec or cgroup.
    NotFound,
    /// The id is taken.
    Exists,
    /// The container is not in the state that the request needs.
    State,
    /// The request makes no sense.
    Invalid,
    /// Kubernetes has this, this runtime does not.
    Unsupported,
    /// The container's own fault: the command is missing, may not be executed (reason `StartError` / `ContainerCannotRun` / `RunContainerError`).
    Start,
    /// It took too long and was given up.
    Timeout,
    /// The machine's or our fault.
    Internal,
}
