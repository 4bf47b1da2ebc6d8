//! Jobs in forked workers: how many at once, how long, and what follows.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::conn::ReplyTo;
use super::exits::ExecProcess;
use super::{Daemon, Source};
use crate::proto::{Failure, Id, Message, Response, Started, Status};
use crate::wire::Decoder;
use crate::worker::{self, Job, Outcome};
use crate::{Error, Result, sys};

/// Workers mostly wait for the kernel, and for each other's locks in it.
const AT_ONCE: usize = 8;

/// Longest time for anything but a start.
const LIMIT: Duration = Duration::from_secs(20);

/// A job that waits for its turn.
pub struct Queued {
    job: Job,
    then: Then,
}

impl Queued {
    /// Removes what is left of a container that nobody knows any more.
    fn clean(id: Id, dir: PathBuf, cgroup: String) -> Self {
        let then = Then::Cleaned { id: id.clone() };
        let job = Job::Remove { id, dir, cgroup };
        Self { job, then }
    }
}

/// A job with a process.
pub struct Running {
    pid: i32,
    socket: OwnedFd,
    token: u64,
    decoder: Decoder,
    then: Then,
    /// When it is given up.
    pub deadline: Instant,
}

/// What follows a job.
#[derive(Debug)]
pub enum Then {
    /// A container was started.
    Created {
        /// Which.
        id: Id,
        /// Who wants to know.
        reply: ReplyTo,
    },
    /// A further process was started.
    Execed {
        /// Its number.
        number: u64,
        /// Where.
        id: Id,
        /// Who wants to know.
        reply: ReplyTo,
        /// The client's ends of its pipes.
        fds: Vec<OwnedFd>,
    },
    /// A container was removed.
    Removed {
        /// Which.
        id: Id,
        /// Who wants to know.
        reply: ReplyTo,
    },
    /// Only the answer.
    Done {
        /// Who wants to know.
        reply: ReplyTo,
    },
    /// What is left of a container that nobody knows any more was removed.
    Cleaned {
        /// Which it was.
        id: Id,
    },
}

impl Daemon {
    /// Runs the job now or when others are done.
    pub(super) fn enqueue(&mut self, job: Job, then: Then) {
        self.queue.push_back(Queued { job, then });
        self.run_queued();
    }

    /// Removes what is left of a container that nobody knows any more.
    pub(super) fn clean(&mut self, id: Id, dir: PathBuf, cgroup: String) {
        self.queue.push_back(Queued::clean(id, dir, cgroup));
        self.run_queued();
    }

    /// Whether an earlier container of this name has still to be cleaned away: it would take what a new one makes.
    pub(super) fn is_cleaned(&self, id: &Id) -> bool {
        let running = self.running.values().map(|job| &job.then);
        let mut all = running.chain(self.queue.iter().map(|job| &job.then));
        all.any(|then| matches!(then, Then::Cleaned { id: cleaned } if cleaned == id))
    }

    fn run_queued(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some(Queued { job, then }) = self.queue.pop_front()
        {
            let limit = if matches!(job, Job::Create(_)) {
                self.config.start_limit
            } else {
                LIMIT
            };
            let number = self.number();
            let started =
                worker::spawn(job, &self.paths, &self.layout, &self.sign).and_then(|(pid, socket)| {
                    let token = self.watch(&socket, Source::Job(number), EventFlags::IN)?;
                    Ok((pid, socket, token))
                });
            match started {
                Ok((pid, socket, token)) => {
                    let deadline = Instant::now() + limit;
                    let decoder = Decoder::default();
                    self.running.insert(
                        number,
                        Running {
                            pid,
                            socket,
                            token,
                            decoder,
                            then,
                            deadline,
                        },
                    );
                }
                Err(e) => self.follow(then, Err(e), Vec::new()),
            }
        }
    }

    pub(super) fn job_reports(&mut self, number: u64) {
        let Some(job) = self.running.get_mut(&number) else {
            return;
        };
        let ended = match job.decoder.receive(&job.socket) {
            Ok(n) => n == 0,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(_) => true,
        };
        let frame = match job.decoder.next_frame() {
            Ok(Some(frame)) => Some(frame),
            Ok(None) if !ended => return,
            _ => None,
        };
        let Some(mut job) = self.running.remove(&number) else {
            return;
        };
        self.unwatch(job.token, &job.socket);
        let result = match frame.map(|f| serde_json::from_slice::<std::result::Result<Outcome, Failure>>(&f))
        {
            Some(Ok(result)) => result.map_err(Error::from),
            _ => Err(Error::Internal("the worker died; see runtime.log".into())),
        };
        self.follow(job.then, result, job.decoder.take_fds(1));
        self.forget_early();
        self.run_queued();
    }

    /// Gives up jobs that take too long.
    pub(super) fn check_jobs(&mut self, now: Instant) {
        let late: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, j)| j.deadline <= now)
            .map(|(n, _)| *n)
            .collect();
        for number in late {
            let Some(job) = self.running.remove(&number) else {
                continue;
            };
            self.unwatch(job.token, &job.socket);
            if let Some(pid) = rustix::process::Pid::from_raw(job.pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            tracing::warn!(job = ?job.then, "a worker took too long and was killed");
            if let Then::Created { id, .. } = &job.then
                && let Some(c) = self.containers.get(id)
            {
                let (dir, cgroup) = (c.dir.clone(), c.cgroup.clone());
                self.queue.push_back(Queued::clean(id.clone(), dir, cgroup));
            }
            self.follow(
                job.then,
                Err(Error::Timeout("the worker took too long".into())),
                Vec::new(),
            );
        }
        self.run_queued();
    }

    fn follow(&mut self, then: Then, result: Result<Outcome>, fds: Vec<OwnedFd>) {
        match then {
            Then::Created { id, reply } => self.created(&id, reply, result, fds),
            Then::Execed {
                number,
                id,
                reply,
                fds: pipes,
            } => {
                let fds = if fds.is_empty() { pipes } else { fds };
                self.execed(number, id, reply, result, fds);
            }
            Then::Removed { id, reply } => {
                match &result {
                    Ok(_) => self.forget(&id),
                    Err(error) => {
                        tracing::warn!(%id, %error, "cannot remove a container");
                        if let Some(c) = self.containers.get_mut(&id) {
                            c.removing = false;
                        }
                    }
                }
                self.reply(reply, result.map(|_| Response::Ok));
            }
            Then::Done { reply } => self.reply(reply, result.map(|_| Response::Ok)),
            Then::Cleaned { id } => {
                if let Err(error) = result {
                    tracing::warn!(%id, %error, "cannot clean up");
                }
            }
        }
    }

    fn created(&mut self, id: &Id, reply: ReplyTo, result: Result<Outcome>, mut fds: Vec<OwnedFd>) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(e) => {
                self.forget(id);
                return self.reply(reply, Err(e));
            }
        };
        let now = sys::now();
        let early = self.ended_early(outcome.pid);
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.status = Status::Running;
        container.pid = outcome.pid;
        container.started_at = now;
        container.pidfd = sys::pidfd_open(outcome.pid).ok();
        if let Some(master) = fds.pop() {
            container.add_terminal(master);
        }
        if container.stdin.is_some()
            && container.stdin_once
            && let Err(error) = container.hold_stdin()
        {
            tracing::warn!(%id, %error, "cannot hold a container's stdin open");
        }
        let warnings: Vec<String> = outcome
            .warnings
            .into_iter()
            .filter(|w| self.reported.insert(w.clone()))
            .collect();
        for warning in &warnings {
            tracing::warn!(%id, "{warning}");
        }
        self.watch_outputs(id);
        self.reply(
            reply,
            Ok(Response::Started(Started {
                pid: outcome.pid,
                started_at: now,
                warnings,
            })),
        );
        if let Some(status) = early {
            self.exited(id, Some(status));
        }
    }

    fn execed(&mut self, number: u64, id: Id, reply: ReplyTo, result: Result<Outcome>, fds: Vec<OwnedFd>) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(e) => return self.reply(reply, Err(e)),
        };
        let pid = outcome.pid;
        self.reply_with(reply, Ok(Response::Exec { exec: number, pid }), fds);
        if let Some(status) = self.ended_early(pid) {
            let (code, _) = sys::decode_status(status);
            self.send(reply.conn, &Message::ExecExit { exec: number, code }, Vec::new());
            return;
        }
        let pidfd = sys::pidfd_open(pid).ok();
        self.execs.insert(
            number,
            ExecProcess {
                conn: reply.conn,
                container: id,
                pid,
                pidfd,
            },
        );
    }

    /// Drops what is known of a container. Its files are gone, or no worker came to remove them.
    pub(super) fn forget(&mut self, id: &Id) {
        self.close(id);
        if let Some(container) = self.containers.remove(id)
            && let Err(error) = self.paths.files(id, &container.dir).forget()
        {
            tracing::warn!(%id, %error, "cannot forget a container");
        }
    }

    /// How a child ended before we knew it. A number that is in use again says nothing.
    fn ended_early(&mut self, pid: i32) -> Option<i32> {
        let status = self.early.remove(&pid)?;
        sys::start_time(pid).is_none().then_some(status)
    }

    /// Only while a worker runs may an unknown child become known.
    fn forget_early(&mut self) {
        if self.running.is_empty() {
            self.early.clear();
        }
    }
}
