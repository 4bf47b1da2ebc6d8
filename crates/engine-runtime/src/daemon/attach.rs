//! Followers of a container's output, its stdin, its terminal.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::container::{Attachment, Container, Output};
use super::log::Lines;
use super::{Daemon, Source};
use crate::proto::{Id, Response, Status};
use crate::{Error, Result, sys};

impl Container {
    /// The master of its terminal is both where output comes from and where input goes.
    pub fn add_terminal(&mut self, master: OwnedFd) {
        let _ = rustix::io::ioctl_fionbio(&master, true);
        self.outputs.push(Output {
            fd: master,
            token: None,
            lines: Lines::new("stdout"),
        });
    }

    /// Now that the container reads its stdin, keeps it open by a writing end alone: who gets that may end it.
    pub fn hold_stdin(&mut self) -> Result<()> {
        if let Some(both) = self.stdin.take() {
            self.stdin = Some(reopen(&both, OFlags::WRONLY | OFlags::NONBLOCK)?);
        }
        Ok(())
    }
}

/// Another descriptor for the same FIFO.
fn reopen(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd> {
    let path = PathBuf::from("/proc/self/fd").join(fd.as_raw_fd().to_string());
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|e| Error::io("reopen a FIFO", e))
}

impl Daemon {
    /// Makes pipes for a new follower.
    pub(super) fn attach(&mut self, id: &Id, stdin: bool) -> Result<(Response, Vec<OwnedFd>)> {
        let container = self.running_container(id)?;
        let tty = container.tty;
        let mut fds = Vec::new();
        if stdin {
            fds.push(container.stdin_for_client(id)?);
        }
        let outputs = container.outputs.len();
        if outputs == 0 {
            return Err(Error::State(format!(
                "container {id} has lost its terminal when the runtime daemon was restarted"
            )));
        }
        for output in 0..outputs {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
                .map_err(|e| Error::io("make a pipe", e))?;
            let number = self.number();
            // Nothing is asked for: an error, which says that the reader is gone, is always told.
            let token = self.watch(&write, Source::Attached(id.clone(), number), EventFlags::empty())?;
            if let Some(container) = self.containers.get_mut(id) {
                container.attached.push(Attachment {
                    number,
                    output,
                    fd: write,
                    token,
                });
            }
            fds.push(read);
        }
        Ok((Response::Attach { tty }, fds))
    }

    /// A follower is gone.
    pub(super) fn detached(&mut self, id: &Id, number: u64) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let Some(at) = container.attached.iter().position(|a| a.number == number) else {
            return;
        };
        let follower = container.attached.swap_remove(at);
        self.unwatch(follower.token, &follower.fd);
    }

    pub(super) fn resize(&mut self, id: &Id, width: u16, height: u16) -> Result<()> {
        let container = self.running_container(id)?;
        if !container.tty {
            return Err(Error::State(format!("container {id} has no terminal")));
        }
        let Some(master) = container.outputs.first() else {
            return Err(Error::State(format!("container {id} has lost its terminal")));
        };
        sys::resize(master.fd.as_fd(), width, height).map_err(|e| Error::io("resize a terminal", e))
    }

    pub(super) fn running_container(&mut self, id: &Id) -> Result<&mut Container> {
        match self.containers.get_mut(id) {
            None => Err(Error::NotFound(format!("container {id} not found"))),
            Some(c) if c.status == Status::Running => Ok(c),
            Some(_) => Err(Error::State(format!("container {id} is not running"))),
        }
    }
}

impl Container {
    fn stdin_for_client(&mut self, id: &Id) -> Result<OwnedFd> {
        let closed = || Error::State(format!("stdin of container {id} is not open"));
        if self.tty {
            // The client writes by a pipe of the terminal's kind: the master itself.
            let master = self.outputs.first().ok_or_else(closed)?;
            return master.fd.try_clone().map_err(|e| Error::io("copy a terminal", e));
        }
        if self.stdin_once {
            // With the last writing end goes the container's stdin; ours goes along with the client's.
            return self.stdin.take().ok_or_else(closed);
        }
        reopen(
            self.stdin.as_ref().ok_or_else(closed)?,
            OFlags::WRONLY | OFlags::NONBLOCK,
        )
    }
}
