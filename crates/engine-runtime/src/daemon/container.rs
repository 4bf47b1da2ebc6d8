//! What the daemon holds of a container.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::fs::{CWD, FileType, Mode};

use super::log::{Lines, Log, timestamp};
use super::{Daemon, Source};
use crate::proto::{ContainerSpec, Exit, Id, Info, PidMode, Status};
use crate::worker::Files;
use crate::{Error, Result};

/// A container, from the request on until it is removed.
pub struct Container {
    /// Its folder.
    pub dir: PathBuf,
    /// Its cgroup.
    pub cgroup: String,
    /// Its log file.
    pub log_path: PathBuf,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its other processes end with its first.
    pub own_pids: bool,
    /// Whether its stdin ends with the first attached client.
    pub stdin_once: bool,
    /// Where it is in its life.
    pub status: Status,
    /// First process; 0 when there is none.
    pub pid: i32,
    /// When it was started.
    pub started_at: i64,
    /// Its first process for good.
    pub pidfd: Option<OwnedFd>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Where its output goes.
    pub log: Log,
    /// Where its output comes from: stdout and stderr, or the terminal.
    pub outputs: Vec<Output>,
    /// The end of stdin that keeps it open.
    pub stdin: Option<OwnedFd>,
    /// Who else gets the output.
    pub attached: Vec<Attachment>,
    /// Watched because it is not our child: the loop's token.
    pub adopted: Option<u64>,
    /// When to stop waiting for somebody else to reap it.
    pub give_up: Option<Instant>,
    /// We sent SIGKILL.
    pub killed: bool,
    /// It is being removed.
    pub removing: bool,
}

/// One stream of output.
pub struct Output {
    /// The FIFO's reading end, or the terminal's master.
    pub fd: OwnedFd,
    /// The loop's token while it is watched.
    pub token: Option<u64>,
    /// Unfinished line.
    pub lines: Lines,
}

/// Somebody who follows the output.
pub struct Attachment {
    /// Its number.
    pub number: u64,
    /// Which output.
    pub output: usize,
    /// The pipe to it.
    pub fd: OwnedFd,
    /// The loop's token.
    pub token: u64,
}

impl Container {
    /// A container that does not run (yet).
    pub fn new(spec: &ContainerSpec) -> Self {
        Self {
            dir: spec.dir.clone(),
            cgroup: spec.cgroup.clone(),
            log_path: spec.log_path.clone(),
            tty: spec.tty,
            own_pids: spec.pid == PidMode::Private,
            stdin_once: spec.stdin_once,
            status: Status::Creating,
            pid: 0,
            started_at: 0,
            pidfd: None,
            exit: None,
            log: Log::open(&spec.log_path, spec.log_limits),
            outputs: Vec::new(),
            stdin: None,
            attached: Vec::new(),
            adopted: None,
            give_up: None,
            killed: false,
            removing: false,
        }
    }

    /// For [`crate::proto::Request::List`].
    pub fn info(&self, id: &str) -> Info {
        Info {
            id: id.to_owned(),
            dir: self.dir.clone(),
            cgroup: self.cgroup.clone(),
            log_path: self.log_path.clone(),
            status: self.status,
            pid: self.pid,
            started_at: self.started_at,
            exit: self.exit.clone(),
        }
    }
}

/// Makes the FIFOs of a container that is to be created. The process may reopen `/dev/stdout`, so that they belong to its user.
pub fn make_fifos(spec: &ContainerSpec, files: &Files) -> Result<()> {
    let mut paths = Vec::new();
    if !spec.tty {
        paths.extend([files.stdout(), files.stderr()]);
        if spec.stdin {
            paths.push(files.stdin());
        }
    }
    for path in paths {
        let failed = |e: rustix::io::Errno| Error::io(format!("make {}", path.display()), e);
        let _ = std::fs::remove_file(&path);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(failed)?;
        let owner = (
            rustix::fs::Uid::from_raw(spec.user.uid),
            rustix::fs::Gid::from_raw(spec.user.gid),
        );
        rustix::fs::chown(&path, Some(owner.0), Some(owner.1)).map_err(failed)?;
    }
    Ok(())
}

/// Opens our ends of them.
pub fn open_fifos(spec: &ContainerSpec, files: &Files, container: &mut Container) -> Result<()> {
    if spec.tty {
        return Ok(());
    }
    for (path, stream) in [(files.stdout(), "stdout"), (files.stderr(), "stderr")] {
        let fd = open_fifo(&path, false)?;
        container.outputs.push(Output {
            fd,
            token: None,
            lines: Lines::new(stream),
        });
    }
    if spec.stdin {
        // Opening the writing end alone needs a reader, and that one comes later.
        container.stdin = Some(open_fifo(&files.stdin(), true)?);
    }
    Ok(())
}

fn open_fifo(path: &Path, write: bool) -> Result<OwnedFd> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map(OwnedFd::from)
        .map_err(|e| Error::io(format!("open {}", path.display()), e))
}

impl Daemon {
    /// Starts to read a container's output.
    pub(super) fn watch_outputs(&mut self, id: &Id) {
        let Some(mut container) = self.containers.remove(id) else {
            return;
        };
        for (n, output) in container.outputs.iter_mut().enumerate() {
            match self.watch(&output.fd, Source::Output(id.clone(), n), EventFlags::IN) {
                Ok(token) => output.token = Some(token),
                Err(error) => tracing::error!(%id, %error, "cannot read a container's output"),
            }
        }
        self.containers.insert(id.clone(), container);
    }

    /// Some output is there: takes one piece, so that a flood does not starve others.
    pub(super) fn output(&mut self, id: &Id, n: usize) {
        if let Taken::End = self.take(id, n) {
            self.unwatch_output(id, n);
        }
    }

    fn unwatch_output(&mut self, id: &Id, n: usize) {
        let Some(output) = self.containers.get_mut(id).and_then(|c| c.outputs.get_mut(n)) else {
            return;
        };
        if let Some(token) = output.token.take() {
            let _ = rustix::event::epoll::delete(&self.epoll, &output.fd);
            self.sources.remove(&token);
        }
    }

    /// Moves one piece of output to log and followers.
    fn take(&mut self, id: &Id, n: usize) -> Taken {
        let Some(container) = self.containers.get_mut(id) else {
            return Taken::End;
        };
        let Some(output) = container.outputs.get_mut(n) else {
            return Taken::End;
        };
        match rustix::io::read(&output.fd, &mut self.buffer) {
            // A FIFO has no end as long as somebody may open it again: nobody has it open now.
            Ok(0) => Taken::End,
            Ok(len) => {
                let data = &self.buffer[..len];
                let mut lines = Vec::with_capacity(len + len / 4 + 128);
                output.lines.push(data, &timestamp(), &mut lines);
                container.log.write(&lines);
                for follower in container.attached.iter().filter(|a| a.output == n) {
                    // Not waited for: whoever reads too slowly loses output. That it is gone is told by the loop.
                    let _ = rustix::io::write(&follower.fd, data);
                }
                Taken::Some
            }
            Err(rustix::io::Errno::AGAIN) => Taken::Nothing,
            Err(rustix::io::Errno::INTR) => Taken::Some,
            // A terminal whose last user is gone says EIO.
            Err(_) => Taken::End,
        }
    }

    /// After the first process ended: everything that it wrote goes to the log.
    pub(super) fn drain(&mut self, id: &Id) {
        // Others may still write (with the host's PIDs): not forever.
        const PIECES: usize = 256;
        let outputs = self.containers.get(id).map_or(0, |c| c.outputs.len());
        for n in 0..outputs {
            for _ in 0..PIECES {
                if !matches!(self.take(id, n), Taken::Some) {
                    break;
                }
            }
            self.unwatch_output(id, n);
        }
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let mut lines = Vec::new();
        for output in &mut container.outputs {
            output.lines.finish(&timestamp(), &mut lines);
        }
        container.log.write(&lines);
    }

    /// Closes all descriptors of a container.
    pub(super) fn close(&mut self, id: &Id) {
        for n in 0..self.containers.get(id).map_or(0, |c| c.outputs.len()) {
            self.unwatch_output(id, n);
        }
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.outputs.clear();
        container.stdin = None;
        let attached = std::mem::take(&mut container.attached);
        let (adopted, pidfd) = (container.adopted.take(), container.pidfd.take());
        for follower in attached {
            self.unwatch(follower.token, &follower.fd);
        }
        if let (Some(token), Some(pidfd)) = (adopted, &pidfd) {
            self.unwatch(token, pidfd);
        }
    }
}

/// What reading gave.
enum Taken {
    Some,
    Nothing,
    End,
}
