//! What clients ask for.

use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::PipeFlags;

use super::Daemon;
use super::conn::ReplyTo;
use super::container::{Container, make_fifos, open_fifos};
use super::jobs::Then;
use crate::proto::{
    ContainerSpec, DaemonInfo, ExecSpec, Id, IpcMode, Message, PidMode, Request, Response, Status,
};
use crate::worker::{CreateJob, ExecJob, Job};
use crate::{Error, Result, spec, sys};

impl Daemon {
    pub(super) fn request(&mut self, reply: ReplyTo, request: Request) {
        let result = match request {
            Request::Subscribe => return self.subscribe(reply),
            Request::CreateStart(spec) => match self.create(*spec, reply) {
                Ok(()) => return,
                Err(e) => Err(e),
            },
            Request::Exec(spec) => match self.exec(spec, reply) {
                Ok(()) => return,
                Err(e) => Err(e),
            },
            Request::Remove { id } => match self.remove(&id, reply) {
                Ok(()) => return,
                Err(e) => Err(e),
            },
            Request::EnsureCgroup { path, limits } => {
                return self.enqueue(Job::EnsureCgroup { path, limits }, Then::Done { reply });
            }
            Request::SetLimits { path, limits } => {
                return self.enqueue(Job::SetLimits { path, limits }, Then::Done { reply });
            }
            Request::RemoveCgroup { path, kill } => {
                return self.enqueue(Job::RemoveCgroup { path, kill }, Then::Done { reply });
            }
            Request::Attach { id, stdin } => match self.attach(&id, stdin) {
                Ok((response, fds)) => return self.reply_with(reply, Ok(response), fds),
                Err(e) => Err(e),
            },
            Request::Ping => Ok(Response::Daemon(DaemonInfo {
                pid: std::process::id() as i32,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                engine_pid: self.engine.pid,
                engine_restarts: self.engine.restarts,
                containers: self.containers.len(),
            })),
            Request::List => Ok(Response::List(
                self.containers.iter().map(|(id, c)| c.info(id)).collect(),
            )),
            Request::Signal { id, signal } => self.signal(&id, signal).map(|()| Response::Ok),
            Request::KillAll { id } => self.kill_all(&id).map(|()| Response::Ok),
            Request::ExecSignal { exec, signal } => self.signal_exec(exec, signal).map(|()| Response::Ok),
            Request::Resize { id, width, height } => self.resize(&id, width, height).map(|()| Response::Ok),
            Request::ReopenLog { id } => self.reopen_log(&id).map(|()| Response::Ok),
            Request::Shutdown => {
                self.ended = true;
                Ok(Response::Ok)
            }
        };
        self.reply(reply, result);
    }

    fn subscribe(&mut self, reply: ReplyTo) {
        if let Some(conn) = self.conns.get_mut(&reply.conn) {
            conn.subscribed = true;
        }
        self.reply(reply, Ok(Response::Ok));
        let exits: Vec<_> = self.containers.values().filter_map(|c| c.exit.clone()).collect();
        for exit in exits {
            self.send(reply.conn, &Message::Exit(exit), Vec::new());
        }
    }

    fn create(&mut self, spec: ContainerSpec, reply: ReplyTo) -> Result<()> {
        spec::check(&spec)?;
        if self.containers.contains_key(&spec.id) {
            return Err(Error::Exists(format!("container {} exists already", spec.id)));
        }
        if self.is_cleaned(&spec.id) {
            return Err(Error::State(format!("container {} is being removed", spec.id)));
        }
        if !spec.dir.starts_with(&self.paths.cluster) {
            return Err(Error::Invalid(format!(
                "folder {} of container {} is outside of the cluster's {}",
                spec.dir.display(),
                spec.id,
                self.paths.cluster.display()
            )));
        }
        let pid_target = match &spec.pid {
            PidMode::Container(target) => Some(self.running_container(target)?.pid),
            _ => None,
        };
        let ipc_target = match &spec.ipc {
            IpcMode::Container(target) => Some(self.running_container(target)?.pid),
            _ => None,
        };
        let id = spec.id.clone();
        let container = self.prepare(&spec).inspect_err(|_| {
            let _ = self.paths.files(&id, &spec.dir).forget();
        })?;
        self.containers.insert(id.clone(), container);
        let job = CreateJob {
            spec,
            pid_target,
            ipc_target,
            own_capabilities: self.own_capabilities,
            has_mqueue: self.has_mqueue,
        };
        self.enqueue(Job::Create(Box::new(job)), Then::Created { id, reply });
        Ok(())
    }

    /// Folders, record, FIFOs.
    fn prepare(&self, spec: &ContainerSpec) -> Result<Container> {
        let files = self.paths.files(&spec.id, &spec.dir);
        files.forget()?;
        for folder in [&spec.dir, &files.live()] {
            std::fs::create_dir_all(folder)
                .map_err(|e| Error::io(format!("create {}", folder.display()), e))?;
        }
        let bytes = serde_json::to_vec(spec).map_err(|e| Error::Internal(e.to_string()))?;
        sys::write_atomically(&files.spec(), &bytes)
            .map_err(|e| Error::io(format!("write {}", files.spec().display()), e))?;
        make_fifos(spec, &files)?;
        let mut container = Container::new(spec);
        open_fifos(spec, &files, &mut container)?;
        Ok(container)
    }

    fn exec(&mut self, spec: ExecSpec, reply: ReplyTo) -> Result<()> {
        if spec.args.first().is_none_or(String::is_empty) {
            return Err(Error::Start("no command specified".into()));
        }
        if spec.args.iter().chain(&spec.env).any(|s| s.contains('\0')) {
            return Err(Error::Invalid(
                "a NUL byte is in the command or environment".into(),
            ));
        }
        let id = spec.id.clone();
        let container = self.running_container(&id)?;
        let (dir, pid) = (container.dir.clone(), container.pid);
        let (mut stdio, mut fds) = (None, Vec::new());
        if !spec.tty {
            let (theirs, ours) = pipes(spec.stdin)?;
            (stdio, fds) = (Some(theirs), ours);
        }
        let number = self.number();
        let job = ExecJob {
            spec,
            number,
            dir,
            pid,
            stdio,
        };
        self.enqueue(
            Job::Exec(Box::new(job)),
            Then::Execed {
                number,
                id,
                reply,
                fds,
            },
        );
        Ok(())
    }

    fn remove(&mut self, id: &Id, reply: ReplyTo) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            self.reply(reply, Ok(Response::Ok));
            return Ok(());
        };
        if container.status != Status::Exited {
            return Err(Error::State(format!("container {id} is running")));
        }
        if container.removing {
            return Err(Error::State(format!("container {id} is being removed")));
        }
        container.removing = true;
        let (dir, cgroup) = (container.dir.clone(), container.cgroup.clone());
        let job = Job::Remove {
            id: id.clone(),
            dir,
            cgroup,
        };
        self.enqueue(
            job,
            Then::Removed {
                id: id.clone(),
                reply,
            },
        );
        Ok(())
    }

    fn signal(&mut self, id: &Id, signal: i32) -> Result<()> {
        let container = self.running_container(id)?;
        container.killed |= signal == libc::SIGKILL;
        let pidfd = container.pidfd.as_ref();
        let gone = || Error::State(format!("container {id} is not running"));
        send(pidfd.ok_or_else(gone)?, signal, gone)
    }

    fn kill_all(&mut self, id: &Id) -> Result<()> {
        let cgroup = match self.containers.get_mut(id) {
            None => return Err(Error::NotFound(format!("container {id} not found"))),
            Some(c) => {
                c.killed = true;
                c.cgroup.clone()
            }
        };
        self.layout.kill(&cgroup)
    }

    fn signal_exec(&mut self, exec: u64, signal: i32) -> Result<()> {
        let gone = || Error::NotFound(format!("process {exec} has ended"));
        let process = self.execs.get(&exec).ok_or_else(gone)?;
        tracing::debug!(container = %process.container, pid = process.pid, signal, "signalling an exec");
        send(process.pidfd.as_ref().ok_or_else(gone)?, signal, gone)
    }

    fn reopen_log(&mut self, id: &Id) -> Result<()> {
        match self.containers.get_mut(id) {
            None => Err(Error::NotFound(format!("container {id} not found"))),
            Some(c) => c
                .log
                .reopen()
                .map_err(|e| Error::io(format!("open {}", c.log_path.display()), e)),
        }
    }
}

fn send(pidfd: &OwnedFd, signal: i32, gone: impl Fn() -> Error) -> Result<()> {
    match sys::pidfd_signal(pidfd.as_fd(), signal) {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(gone()),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            Err(Error::Invalid(format!("{signal} is not a signal")))
        }
        Err(e) => Err(Error::io(format!("send signal {signal}"), e)),
    }
}

/// The process' ends (stdin, stdout, stderr) and the client's. Without stdin the process reads `/dev/null`; the client then gets the
/// writing end of a pipe that nobody reads.
fn pipes(stdin: bool) -> Result<([OwnedFd; 3], Vec<OwnedFd>)> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::io("make a pipe", e));
    let (in_read, in_write) = pipe()?;
    let (out_read, out_write) = pipe()?;
    let (err_read, err_write) = pipe()?;
    let in_read = if stdin {
        in_read
    } else {
        std::fs::File::open("/dev/null")
            .map_err(|e| Error::io("open /dev/null", e))?
            .into()
    };
    Ok((
        [in_read, out_write, err_write],
        vec![in_write, out_read, err_read],
    ))
}
