//! What may block or fail in odd ways runs here: in a process forked from the daemon, which ends after one job.
//!
//! The outcome goes back over a socket pair, with a terminal's master if there is one. libcontainer clones the container's first
//! process as a sibling of the worker, so that it is the daemon's child.

mod capture;
mod create;
mod exec;
mod executor;
mod files;
mod holder;
mod rootfs;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cgroup::Layout;
use crate::proto::{ContainerSpec, ExecSpec, Failure, FailureKind, Limits};
use crate::{Error, Result, sys, wire};

pub use files::{Files, State};

/// Where a cluster's runtime state is.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The cluster's folder.
    pub cluster: PathBuf,
}

impl Paths {
    /// `run/`, void after a reboot.
    pub fn run(&self) -> PathBuf {
        self.cluster.join("run")
    }

    /// A tmpfs: what is written for each container that is started and void when it ends.
    pub fn live(&self) -> PathBuf {
        self.run().join("live")
    }

    /// libcontainer's state, one folder per container.
    pub fn oci(&self) -> PathBuf {
        self.live().join("oci")
    }

    /// One folder per container, by which a new daemon knows of it.
    pub fn containers(&self) -> PathBuf {
        self.live().join("containers")
    }

    /// Scratch folders of processes being started in containers.
    pub fn execs(&self) -> PathBuf {
        self.live().join("execs")
    }

    /// Open, and so locked, in a daemon and in all of its workers.
    pub fn sign(&self) -> PathBuf {
        self.live().join("workers.lock")
    }

    /// The network namespaces of all pods, mounted by engine-net.
    pub fn netns(&self) -> PathBuf {
        self.run().join("netns")
    }

    /// Files of the container `id` with the folder `dir`.
    pub fn files(&self, id: &str, dir: &Path) -> Files {
        Files::new(dir.to_path_buf(), self.containers().join(id))
    }
}

/// A job.
pub enum Job {
    /// Create a container and start it.
    Create(Box<CreateJob>),
    /// Start a further process.
    Exec(Box<ExecJob>),
    /// Remove what is left of a container.
    Remove {
        /// Its name.
        id: String,
        /// Its folder.
        dir: PathBuf,
        /// Its cgroup.
        cgroup: String,
    },
    /// Make a cgroup.
    EnsureCgroup {
        /// Relative path.
        path: String,
        /// Limits.
        limits: Limits,
    },
    /// Set limits on an existing cgroup.
    SetLimits {
        /// Relative path.
        path: String,
        /// Limits.
        limits: Limits,
    },
    /// Remove a cgroup.
    RemoveCgroup {
        /// Relative path.
        path: String,
        /// Kill what is in it first.
        kill: bool,
    },
}

/// See [`Job::Create`].
pub struct CreateJob {
    /// What is wanted.
    pub spec: ContainerSpec,
    /// First process of the container whose PID namespace is joined.
    pub pid_target: Option<i32>,
    /// First process of the container whose IPC namespace is joined.
    pub ipc_target: Option<i32>,
    /// Our capabilities as a bit mask.
    pub own_capabilities: u64,
    /// Whether the kernel knows mqueue.
    pub has_mqueue: bool,
}

/// See [`Job::Exec`].
pub struct ExecJob {
    /// What is wanted.
    pub spec: ExecSpec,
    /// Distinguishes its scratch folder.
    pub number: u64,
    /// The container's folder.
    pub dir: PathBuf,
    /// Its first process.
    pub pid: i32,
    /// stdin, stdout and stderr as the process gets them; none with a terminal.
    pub stdio: Option<[OwnedFd; 3]>,
}

/// What a job reports.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The process that was started.
    pub pid: i32,
    /// What could not be done as asked.
    pub warnings: Vec<String>,
}

/// Forks and runs the job in the child. Gives the child's pid and the socket on which the outcome comes as one frame. The child has
/// `sign` open as long as it lives.
pub fn spawn(job: Job, paths: &Paths, layout: &Layout, sign: &File) -> Result<(i32, OwnedFd)> {
    let (ours, theirs) =
        std::os::unix::net::UnixStream::pair().map_err(|e| Error::io("make a socket pair", e))?;
    let daemon = rustix::process::getpid();
    match sys::fork().map_err(|e| Error::io("fork a worker", e))? {
        0 => {
            // What a worker of a dead daemon made, nobody would know of.
            sys::die_with_parent();
            if rustix::process::getppid() != Some(daemon) {
                sys::exit_now(1);
            }
            let theirs = OwnedFd::from(theirs);
            // Above all the socket: whoever connects to it must not find a listener that never answers.
            let mut keep = vec![theirs.as_raw_fd(), sign.as_raw_fd()];
            if let Job::Exec(exec) = &job {
                keep.extend(exec.stdio.iter().flatten().map(AsRawFd::as_raw_fd));
            }
            std::mem::forget(ours);
            sys::close_all_but(&keep);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(job, paths, layout)));
            let (result, fds) = match outcome {
                Ok(Ok((outcome, fds))) => (Ok(outcome), fds),
                Ok(Err(e)) => (Err(e.to_failure()), Vec::new()),
                Err(_) => (Err(internal("the worker panicked; see runtime.log")), Vec::new()),
            };
            // The daemon's end is empty, so that one frame always fits the socket's buffer.
            let frame = wire::encode(&result).unwrap_or_default();
            let _ = wire::send(&theirs, &frame, &fds);
            sys::exit_now(0);
        }
        pid => Ok((pid, ours.into())),
    }
}

fn internal(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message: message.to_owned(),
    }
}

fn run(job: Job, paths: &Paths, layout: &Layout) -> Result<(Outcome, Vec<OwnedFd>)> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let nothing = |()| (Outcome::default(), Vec::new());
    match job {
        Job::Create(job) => create::run(*job, paths, layout),
        Job::Exec(job) => exec::run(*job, paths),
        Job::Remove { id, dir, cgroup } => remove(&id, &dir, &cgroup, paths, layout).map(nothing),
        Job::EnsureCgroup { path, limits } => layout.ensure(&path, &limits).map(nothing),
        Job::SetLimits { path, limits } => layout.set_limits(&path, &limits).map(nothing),
        Job::RemoveCgroup { path, kill } => {
            if kill {
                layout.kill(&path)?;
            }
            layout.remove(&path, Duration::from_secs(2)).map(nothing)
        }
    }
}

/// Everything that a container left, except its log and its folder on disk. Goes on after an error, and reports the first.
fn remove(id: &str, dir: &Path, cgroup: &str, paths: &Paths, layout: &Layout) -> Result<()> {
    let files = paths.files(id, dir);
    let mut first = layout.kill(cgroup).err();
    let mut note = |result: Result<()>| {
        if let Err(e) = result {
            first.get_or_insert(e);
        }
    };
    note(rootfs::unmount(&files.rootfs()));
    for folder in [files.upper(), files.work(), paths.oci().join(id)] {
        note(remove_folder(&folder));
    }
    note(layout.remove(cgroup, Duration::from_secs(2)));
    // Last: by it a new daemon knows that there is something to remove.
    first.map_or_else(|| files.forget(), Err)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", folder.display()), e))
        }
        _ => Ok(()),
    }
}
