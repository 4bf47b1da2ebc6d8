//! Ends of processes: containers, further processes, the engine.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::Daemon;
use crate::proto::{Exit, Id, Message, Status};
use crate::sys;

/// How long somebody else may take to reap a container of an earlier daemon: some init processes look only every few seconds.
const REAP_LIMIT: Duration = Duration::from_secs(4);

/// A process started by [`crate::proto::Request::Exec`].
pub struct ExecProcess {
    /// Who started it.
    pub conn: u64,
    /// Where.
    pub container: Id,
    /// Its process.
    pub pid: i32,
    /// The same for good.
    pub pidfd: Option<OwnedFd>,
}

impl Daemon {
    /// A child ended.
    pub(super) fn reaped(&mut self, pid: i32, status: i32) {
        if self.engine.pid == pid {
            return self.engine_ended();
        }
        let container = self
            .containers
            .iter()
            .find(|(_, c)| c.pid == pid && c.status == Status::Running)
            .map(|(id, _)| id.clone());
        if let Some(id) = container {
            return self.exited(&id, Some(status));
        }
        if let Some(number) = self.execs.iter().find(|(_, e)| e.pid == pid).map(|(n, _)| *n)
            && let Some(exec) = self.execs.remove(&number)
        {
            let (code, _) = sys::decode_status(status);
            return self.send(exec.conn, &Message::ExecExit { exec: number, code }, Vec::new());
        }
        // A worker, an intermediate process of libcontainer, an orphan, or one whose worker has yet to report.
        if !self.running.is_empty() {
            self.early.insert(pid, status);
        }
    }

    /// The first process of a container from before ended; it is not our child, so that somebody else reaps it.
    pub(super) fn adopted_ended(&mut self, id: &Id) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let (Some(pidfd), Some(token)) = (&container.pidfd, container.adopted) else {
            return;
        };
        if let Some(status) = sys::pidfd_exit_status(std::os::fd::AsFd::as_fd(pidfd)) {
            return self.exited(id, Some(status));
        }
        if container.killed {
            // No need to wait for whoever reaps it.
            return self.exited(id, Some(libc::SIGKILL));
        }
        if container.give_up.is_none() {
            container.give_up = Some(Instant::now() + REAP_LIMIT);
            // It is a zombie: readable all the time. That it is reaped is told by a hang-up.
            let _ = epoll::modify(&self.epoll, pidfd, EventData::new_u64(token), EventFlags::empty());
        } else {
            // Reaped, and this kernel keeps no status.
            self.exited(id, None);
        }
    }

    /// Records the end of a container and tells it. `None`: nobody knows how it ended.
    pub(super) fn exited(&mut self, id: &Id, status: Option<i32>) {
        if let Some(container) = self.containers.get(id).filter(|c| !c.own_pids)
            && let Err(error) = self.layout.kill(&container.cgroup)
        {
            tracing::warn!(%id, %error, "cannot kill what a container left running");
        }
        self.drain(id);
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let (code, signal) = status.map_or((137, None), sys::decode_status);
        let exit = Exit {
            id: id.clone(),
            code,
            signal,
            started_at: container.started_at,
            finished_at: sys::now(),
            oom_killed: self.layout.oom_kills(&container.cgroup) > 0,
            unknown: status.is_none(),
        };
        let path = self.paths.files(id, &container.dir).exit();
        let bytes = serde_json::to_vec(&exit).unwrap_or_default();
        if let Err(error) = sys::write_atomically(&path, &bytes) {
            tracing::error!(%id, %error, path = %path.display(), "cannot record an exit");
        }
        self.close(id);
        if let Some(container) = self.containers.get_mut(id) {
            container.status = Status::Exited;
            container.pid = 0;
            container.give_up = None;
            container.exit = Some(exit.clone());
        }
        tracing::info!(%id, code, oom = exit.oom_killed, "container ended");
        self.announce(&exit);
    }
}
