//! Creates a container and starts it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;

use super::executor::Program;
use super::{CreateJob, Files, Outcome, Paths, capture, exec, holder, rootfs};
use crate::cgroup::Layout;
use crate::proto::{ContainerSpec, MountSource, PidMode, Propagation};
use crate::spec::{self, Facts};
use crate::worker::State;
use crate::{Error, Result, sys};

/// Runs the job; what was made is unmade when it fails.
pub fn run(job: CreateJob, paths: &Paths, layout: &Layout) -> Result<(Outcome, Vec<OwnedFd>)> {
    let (id, dir, cgroup) = (job.spec.id.clone(), job.spec.dir.clone(), job.spec.cgroup.clone());
    let result = create(job, paths, layout);
    if result.is_err() {
        // The reason for the failure matters more than that of a failed clean-up, which `remove` would meet again.
        let _ = super::remove(&id, &dir, &cgroup, paths, layout);
    }
    result
}

fn create(job: CreateJob, paths: &Paths, layout: &Layout) -> Result<(Outcome, Vec<OwnedFd>)> {
    let CreateJob {
        spec,
        pid_target,
        ipc_target,
        own_capabilities,
        has_mqueue,
    } = job;
    let files = paths.files(&spec.id, &spec.dir);
    let mut warnings = Vec::new();
    // Never the daemon's own score, which may be lower than any container's should be.
    let oom_score_adj = adjust_oom_score(spec.oom_score_adj.unwrap_or(0), &mut warnings);

    let pid_target = match &spec.pid {
        PidMode::Pod(folder) => Some(holder::ensure(folder, &spec.cgroup, layout)?),
        _ => pid_target,
    };
    // Opened before its path is out of reach.
    let netns = spec
        .netns
        .as_ref()
        .map(|path| File::open(path).map_err(|e| Error::io(format!("open {}", path.display()), e)))
        .transpose()?;
    if !mounts_for_the_host(&spec) {
        rootfs::apart(&paths.netns())?;
    }
    rootfs::mount(&files, &spec.lower_dirs)?;
    let home = rootfs::home(&files.rootfs(), spec.user.uid);
    if !spec.cwd.is_empty() && spec.cwd != "/" {
        rootfs::ensure_cwd(&files.rootfs(), &spec.cwd)?;
    }
    let facts = Facts {
        layout,
        pid_target,
        ipc_target,
        netns: netns.as_ref().map(AsRawFd::as_raw_fd),
        home,
        own_capabilities,
        has_mqueue,
        oom_score_adj,
    };
    let config = spec::config(&spec, &facts)?;
    rootfs::write_json(&files.config(), &config)?;

    let captured = capture::start();
    let failed = |e: libcontainer::error::LibcontainerError| exec::failure(&e.to_string(), captured.reason());
    let mut builder = ContainerBuilder::new(spec.id.clone(), SyscallType::default())
        .with_executor(Program::of(&config, true)?)
        .with_root_path(paths.oci())
        .map_err(failed)?;
    let mut console = None;
    if spec.tty {
        let listener = exec::Console::listen(&files.console())?;
        builder = builder.with_console_socket(Some(files.console()));
        console = Some(listener);
    } else {
        let [stdin, stdout, stderr] = stdio(&spec, &files)?;
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    let mut container = builder
        .as_init(files.live())
        .with_systemd(false)
        .with_detach(true)
        .as_sibling(true)
        .build()
        .map_err(failed)?;
    let pid = container
        .pid()
        .ok_or_else(|| Error::Internal("libcontainer knows no pid".into()))?
        .as_raw();
    let mut fds = Vec::new();
    if let Some(console) = console {
        fds.push(console.master()?);
        let _ = std::fs::remove_file(files.console());
    }
    // From here on a daemon that finds this knows whom to look for.
    let start_time = sys::start_time(pid)
        .ok_or_else(|| Error::Internal("the container's first process ended before it was started".into()))?;
    let state = State {
        pid,
        start_time,
        started_at: sys::now(),
    };
    rootfs::write_json(&files.state(), &state)?;
    container.start().map_err(failed)?;
    Ok((Outcome { pid, warnings }, fds))
}

/// Whether what the container mounts somewhere has to appear on the host.
fn mounts_for_the_host(spec: &ContainerSpec) -> bool {
    spec.mounts.iter().any(|mount| {
        matches!(
            mount.source,
            MountSource::Bind {
                propagation: Propagation::Bidirectional,
                ..
            }
        )
    })
}

/// The container's side of its FIFOs. Output is opened for reading too, so that it never sees a broken pipe while no daemon reads.
fn stdio(spec: &ContainerSpec, files: &Files) -> Result<[OwnedFd; 3]> {
    let open = |path: &std::path::Path, read: bool, write: bool| {
        OpenOptions::new()
            .read(read)
            .write(write)
            .custom_flags(libc::O_CLOEXEC)
            .open(path)
            .map(OwnedFd::from)
            .map_err(|e| Error::io(format!("open {}", path.display()), e))
    };
    let stdin = if spec.stdin {
        // With `stdin_once` it must be able to end; otherwise it stays open, whoever comes and goes.
        open(&files.stdin(), true, !spec.stdin_once)?
    } else {
        open(std::path::Path::new("/dev/null"), true, false)?
    };
    Ok([
        stdin,
        open(&files.stdout(), true, true)?,
        open(&files.stderr(), true, true)?,
    ])
}

/// Sets our own score, which the container inherits, and gives what libcontainer may set again; `None` when the machine refuses.
fn adjust_oom_score(wanted: i32, warnings: &mut Vec<String>) -> Option<i32> {
    let path = "/proc/self/oom_score_adj";
    if std::fs::write(path, wanted.to_string()).is_ok() {
        return Some(wanted);
    }
    let current = std::fs::read_to_string(path).unwrap_or_default();
    warnings.push(format!(
        "oom_score_adj stays {} instead of {wanted}: lowering it needs CAP_SYS_RESOURCE, which this machine withholds",
        current.trim()
    ));
    None
}
