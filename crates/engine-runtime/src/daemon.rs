//! The daemon: one thread, one epoll loop. It owns containers, their output, their exits, and the engine's process.

mod adopt;
mod attach;
mod conn;
mod container;
mod engine;
mod exits;
mod jobs;
mod log;
mod requests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::FlockOperation;

use crate::cgroup::Layout;
use crate::proto::{Id, Limits};
use crate::worker::Paths;
use crate::{Error, Result, sys};

use conn::Conn;
use container::Container;
use engine::Engine;
use jobs::{Queued, Running};

/// What the daemon needs to know.
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// The cluster's folder; everything else is found from it.
    pub cluster_dir: PathBuf,
    /// The engine's whole command line; empty: no engine is kept.
    pub engine_argv: Vec<OsString>,
    /// The cgroup for daemon and engine, such as `cncfdemo/NAME/system`; `None` leaves them where they are.
    pub system_cgroup: Option<String>,
    /// How long a container may take to start.
    pub start_limit: Duration,
}

impl DaemonConfig {
    /// The usual values.
    pub fn new(cluster_dir: impl Into<PathBuf>, engine_argv: Vec<OsString>) -> Self {
        Self {
            cluster_dir: cluster_dir.into(),
            engine_argv,
            system_cgroup: None,
            start_limit: Duration::from_secs(30),
        }
    }
}

/// Runs the daemon until it is told to end. Must be called before the process has a second thread. Returns at once, without error, when
/// another daemon runs for this cluster (which is told to look whether the engine should run).
pub fn run(config: DaemonConfig) -> Result<()> {
    let run = config.cluster_dir.join("run");
    std::fs::create_dir_all(&run).map_err(|e| Error::io(format!("create {}", run.display()), e))?;
    let Some(_lock) = lock(&run)? else {
        tracing::info!("another runtime daemon runs for this cluster");
        return Ok(());
    };
    let mut daemon = Daemon::new(config)?;
    daemon.adopt();
    daemon.keep_engine();
    let result = daemon.serve();
    let _ = std::fs::remove_file(run.join("runtime.sock"));
    result
}

/// Takes the cluster's lock, or pokes its holder.
fn lock(run: &Path) -> Result<Option<File>> {
    let path = run.join("runtime.lock");
    let failed = |e: std::io::Error| Error::io(format!("lock {}", path.display()), e);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    // Not flock(2): forked workers and what they clone would hold that lock beyond the daemon's death.
    if rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let holder = std::fs::read_to_string(&path)
            .ok()
            .and_then(|t| t.trim().parse::<i32>().ok());
        if let Some(pid) = holder.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
        }
        return Ok(None);
    }
    file.set_len(0).map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(Some(file))
}

/// What an epoll event is about.
#[derive(Debug, Clone)]
enum Source {
    Listener,
    Signals,
    Conn(u64),
    Job(u64),
    Output(Id, usize),
    Attached(Id, u64),
    Adopted(Id),
    Engine,
}

struct Daemon {
    config: DaemonConfig,
    paths: Paths,
    layout: Layout,
    own_capabilities: u64,
    has_mqueue: bool,

    epoll: OwnedFd,
    listener: std::os::unix::net::UnixListener,
    /// Every worker has it open too, and with it its lock.
    sign: File,
    signals: OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,

    conns: HashMap<u64, Conn>,
    containers: BTreeMap<Id, Container>,
    execs: HashMap<u64, exits::ExecProcess>,
    running: HashMap<u64, Running>,
    queue: VecDeque<Queued>,
    /// Children that ended before their worker told us what they are.
    early: HashMap<i32, i32>,
    engine: Engine,
    reported: BTreeSet<String>,
    buffer: Vec<u8>,
    ended: bool,
}

impl Daemon {
    fn new(config: DaemonConfig) -> Result<Self> {
        let _ = rustix::process::setsid();
        sys::become_subreaper().map_err(|e| Error::io("become a subreaper", e))?;
        let signals = sys::signalfd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP])
            .map_err(|e| Error::io("make a signalfd", e))?;
        let layout = Layout::detect()?;
        if let Some(group) = &config.system_cgroup {
            layout.ensure(group, &Limits::default())?;
            layout.join(group, std::process::id() as i32)?;
        }
        raise_descriptor_limit();
        // Losing the daemon costs exit codes, losing the engine the cluster: better lose a container.
        let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
        let paths = Paths {
            cluster: config.cluster_dir.clone(),
        };
        forget_earlier_boot(&paths)?;
        sys::mount_memory(&paths.live(), 0o700)
            .map_err(|e| Error::io(format!("mount a tmpfs on {}", paths.live().display()), e))?;
        for folder in [paths.containers(), paths.oci(), paths.execs()] {
            std::fs::create_dir_all(&folder)
                .map_err(|e| Error::io(format!("create {}", folder.display()), e))?;
        }
        let listener = listen(&paths.run())?;
        let sign = File::create(paths.sign())
            .map_err(|e| Error::io(format!("create {}", paths.sign().display()), e))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| Error::io("make an epoll", e))?;
        let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let mut daemon = Self {
            config,
            paths,
            layout,
            own_capabilities: own_capabilities(),
            has_mqueue: filesystems.contains("mqueue"),
            epoll,
            listener,
            sign,
            signals,
            sources: HashMap::new(),
            next: 1,
            conns: HashMap::new(),
            containers: BTreeMap::new(),
            execs: HashMap::new(),
            running: HashMap::new(),
            queue: VecDeque::new(),
            early: HashMap::new(),
            engine: Engine::default(),
            reported: BTreeSet::new(),
            buffer: vec![0; 64 * 1024],
            ended: false,
        };
        let (listener, signals) = (daemon.listener.as_raw_fd(), daemon.signals.as_raw_fd());
        daemon.watch_raw(listener, Source::Listener, epoll::EventFlags::IN)?;
        daemon.watch_raw(signals, Source::Signals, epoll::EventFlags::IN)?;
        Ok(daemon)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Adds a descriptor to the loop. Whoever closes it calls [`Daemon::unwatch`] first: forked workers have copies of it.
    fn watch(&mut self, fd: impl AsFd, source: Source, flags: epoll::EventFlags) -> Result<u64> {
        let token = self.number();
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags)
            .map_err(|e| Error::io("watch a descriptor", e))?;
        self.sources.insert(token, source);
        Ok(token)
    }

    /// As [`Daemon::watch`], for descriptors that are fields of the daemon itself.
    #[allow(unsafe_code)]
    fn watch_raw(&mut self, fd: i32, source: Source, flags: epoll::EventFlags) -> Result<u64> {
        // SAFETY: the caller passes a descriptor that one of the daemon's fields owns.
        self.watch(unsafe { BorrowedFd::borrow_raw(fd) }, source, flags)
    }

    fn unwatch(&mut self, token: u64, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
        self.sources.remove(&token);
    }

    fn serve(&mut self) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        while !self.ended {
            let timeout = self.time_left().and_then(|d| Timespec::try_from(d).ok());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::io("wait for events", e)),
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if let Some(source) = self.sources.get(&token).cloned() {
                    self.handle(source, flags);
                }
            }
            self.check_deadlines();
        }
        Ok(())
    }

    fn handle(&mut self, source: Source, flags: epoll::EventFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.signalled(),
            Source::Conn(conn) => self.converse(conn, flags),
            Source::Job(job) => self.job_reports(job),
            Source::Output(id, stream) => self.output(&id, stream),
            Source::Attached(id, number) => self.detached(&id, number),
            Source::Adopted(id) => self.adopted_ended(&id),
            Source::Engine => self.engine_ended(),
        }
    }

    /// How long the loop may sleep; `None` is forever.
    fn time_left(&self) -> Option<Duration> {
        let jobs = self.running.values().map(|j| j.deadline);
        let adopted = self.containers.values().filter_map(|c| c.give_up);
        let first = jobs.chain(adopted).chain(self.engine.restart_at).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        if self.engine.restart_at.is_some_and(|t| t <= now) {
            self.keep_engine();
        }
        self.check_jobs(now);
        let lost: Vec<Id> = self
            .containers
            .iter()
            .filter(|(_, c)| c.give_up.is_some_and(|t| t <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in lost {
            self.exited(&id, None);
        }
    }

    fn signalled(&mut self) {
        let mut info = [0_u8; 128 * 8];
        let mut children = false;
        while let Ok(read) = rustix::io::read(&self.signals, &mut info)
            && read > 0
        {
            // struct signalfd_siginfo has 128 bytes and begins with the signal's number.
            for record in info[..read].chunks_exact(128) {
                match record.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b)) {
                    libc::SIGCHLD => children = true,
                    libc::SIGHUP => self.keep_engine(),
                    _ => self.ended = true,
                }
            }
        }
        if children {
            while let Some((pid, status)) = sys::reap() {
                self.reaped(pid, status);
            }
        }
    }
}

/// A socket that only root may use.
fn listen(run: &Path) -> Result<std::os::unix::net::UnixListener> {
    let path = run.join("runtime.sock");
    let failed = |e: std::io::Error| Error::io(format!("listen on {}", path.display()), e);
    let _ = std::fs::remove_file(&path);
    let folder = File::open(run).map_err(failed)?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join("runtime.sock");
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = std::os::unix::net::UnixListener::bind(short);
    rustix::process::umask(before);
    let listener = listener.map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Three descriptors a container; and what containers inherit should be what the machine allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// After a reboot nothing in `run/` is true any more; what is in memory is gone by itself.
fn forget_earlier_boot(paths: &Paths) -> Result<()> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let record = paths.run().join("runtime.boot");
    if std::fs::read_to_string(&record).is_ok_and(|b| b == boot) {
        return Ok(());
    }
    let _ = std::fs::remove_file(paths.run().join("engine.json"));
    std::fs::write(&record, boot).map_err(|e| Error::io(format!("write {}", record.display()), e))
}

/// What we may give to a container: what is both permitted and in our bounding set.
fn own_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = |name: &str| {
        status
            .lines()
            .find_map(|l| l.strip_prefix(name))
            .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
            .unwrap_or(0)
    };
    mask("CapPrm:") & mask("CapBnd:")
}
