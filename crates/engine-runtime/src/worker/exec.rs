//! Starts a further process in a running container.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::executor::Program;
use super::{ExecJob, Outcome, Paths, capture, rootfs};
use crate::wire::Decoder;
use crate::{Error, Result, spec};

/// Runs the job.
pub fn run(job: ExecJob, paths: &Paths) -> Result<(Outcome, Vec<OwnedFd>)> {
    // libcontainer leaves sockets in the folder that it takes for the container's: it gets one of its own, with a copy of the state.
    let scratch = paths.execs().join(job.number.to_string());
    let result = start(job, paths, &scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    result
}

fn start(job: ExecJob, paths: &Paths, scratch: &Path) -> Result<(Outcome, Vec<OwnedFd>)> {
    let ExecJob {
        spec,
        dir,
        pid,
        stdio,
        ..
    } = job;
    let files = paths.files(&spec.id, &dir);
    let folder = scratch.join(&spec.id);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(format!("create {}", folder.display()), e))?;
    let state = paths.oci().join(&spec.id).join("state.json");
    std::fs::copy(&state, folder.join("state.json"))
        .map_err(|e| Error::io(format!("copy {}", state.display()), e))?;
    let config = std::fs::read(files.config())
        .map_err(|e| Error::io(format!("read {}", files.config().display()), e))?;
    let config = serde_json::from_slice(&config)
        .map_err(|e| Error::Internal(format!("{} is damaged: {e}", files.config().display())))?;
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    let home = spec
        .user
        .as_ref()
        .map_or_else(|| "/".into(), |u| rootfs::home(&root, u.uid));
    let process = scratch.join("process.json");
    rootfs::write_json(&process, &spec::exec_process(&config, &spec, &home))?;

    let captured = capture::start();
    let failed = |e: libcontainer::error::LibcontainerError| failure(&e.to_string(), captured.reason());
    let mut builder = ContainerBuilder::new(spec.id.clone(), SyscallType::default())
        .with_executor(Program::of(&config, false)?)
        .with_root_path(scratch)
        .map_err(failed)?;
    let mut console = None;
    if spec.tty {
        let path = scratch.join("console.sock");
        console = Some(Console::listen(&path)?);
        builder = builder.with_console_socket(Some(path));
    } else if let Some([stdin, stdout, stderr]) = stdio {
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    let pid = builder
        .as_tenant()
        .with_detach(true)
        .with_process(Some(process))
        .as_sibling(true)
        .build()
        .map_err(failed)?
        .as_raw();
    let fds = console.map(Console::master).transpose()?.into_iter().collect();
    Ok((
        Outcome {
            pid,
            warnings: Vec::new(),
        },
        fds,
    ))
}

/// The socket to which libcontainer sends a terminal's master.
pub struct Console {
    listener: UnixListener,
}

impl Console {
    /// Listens, by way of the folder's descriptor: a socket's path may have 108 bytes only.
    pub fn listen(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(format!("listen on {}", path.display()), e);
        let _ = std::fs::remove_file(path);
        let folder = std::fs::File::open(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
        let short = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(path.file_name().unwrap_or_default());
        Ok(Self {
            listener: UnixListener::bind(short).map_err(failed)?,
        })
    }

    /// The master, which was sent before now.
    pub fn master(self) -> Result<OwnedFd> {
        let until = Instant::now() + Duration::from_secs(2);
        let missing = || Error::Internal("the container's terminal did not arrive".into());
        if !ready(&self.listener, until) {
            return Err(missing());
        }
        let (stream, _) = self
            .listener
            .accept()
            .map_err(|e| Error::io("accept a terminal", e))?;
        let mut decoder = Decoder::default();
        if !ready(&stream, until) {
            return Err(missing());
        }
        decoder
            .receive(&stream)
            .map_err(|e| Error::io("receive a terminal", e))?;
        decoder.take_fds(1).pop().ok_or_else(missing)
    }
}

/// Waits until there is something to read.
fn ready(fd: impl AsFd, until: Instant) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
    matches!(poll(&mut fds, left.as_ref()), Ok(n) if n > 0)
}

/// libcontainer's failure in the words of runc, if it is the container's fault.
pub fn failure(outer: &str, reason: Option<String>) -> Error {
    if let Some(at) = outer.find("exec: \"") {
        return Error::Start(outer[at..].to_owned());
    }
    let reason = reason.unwrap_or_default();
    if let Some(at) = reason.find("exec: \"") {
        return Error::Start(reason[at..].to_owned());
    }
    // The prefixes that libcontainer puts before every failure say nothing.
    let mut text = outer;
    for prefix in ["failed to create container: ", "exec process failed with error "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    Error::Start(if reason.is_empty() || text.contains(&reason) {
        text.to_owned()
    } else {
        format!("{text}: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_worded_like_runc() {
        let e = failure(
            "failed to create container: exec process failed with error exec: \"nope\": executable file not found in $PATH: unknown",
            Some("executor failed".into()),
        );
        assert_eq!(
            e.to_string(),
            r#"exec: "nope": executable file not found in $PATH: unknown"#
        );
        let e = failure(
            "failed to create container: failed to prepare rootfs",
            Some("no such source".into()),
        );
        assert_eq!(e.to_string(), "failed to prepare rootfs: no such source");
    }
}
