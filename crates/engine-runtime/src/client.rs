//! The async client. One background task keeps the connection, sends requests, and hands out answers, exits and descriptors.

mod connection;
mod io;
mod start;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

pub use io::{Input, Terminal};
pub use start::{ensure_daemon, is_running};

use crate::proto::{ContainerSpec, DaemonInfo, ExecSpec, Exit, Id, Info, Limits, Request, Response, Started};
use crate::{Error, Result};

/// How long a request may take altogether; the daemon's own limits are shorter.
const PATIENCE: Duration = Duration::from_secs(90);

/// A connection to the runtime daemon that outlives the daemon. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What the callers and the background task share.
struct Shared {
    path: PathBuf,
    next: AtomicU64,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    exits: Mutex<Exits>,
}

/// Exits of containers that were not removed, and who wants to hear of more.
#[derive(Default)]
struct Exits {
    known: BTreeMap<Id, Exit>,
    listeners: Vec<mpsc::UnboundedSender<Exit>>,
}

/// A request on its way to the background task.
struct Outgoing {
    seq: u64,
    frame: Vec<u8>,
    answer: oneshot::Sender<Result<Reply>>,
}

/// An answer with all that belongs to it.
struct Reply {
    response: Response,
    fds: Vec<OwnedFd>,
    exec_exit: Option<oneshot::Receiver<i32>>,
}

/// A process started by [`Client::exec`].
///
/// Its output may hold data after [`Exec::wait`] has returned: read until the end, but do not wait for the end forever (a process that
/// it left behind may keep the pipe open).
pub struct Exec {
    /// Process id on the host.
    pub pid: i32,
    /// Where to write stdin; drop it to close. `None` with a terminal or when stdin was not asked for.
    pub stdin: Option<pipe::Sender>,
    /// Its stdout; `None` with a terminal.
    pub stdout: Option<pipe::Receiver>,
    /// Its stderr; `None` with a terminal.
    pub stderr: Option<pipe::Receiver>,
    /// The terminal's master.
    pub terminal: Option<Terminal>,
    id: u64,
    exit: oneshot::Receiver<i32>,
    client: Client,
}

/// Output (and input) of a running container, from now on. The log has what was before.
pub struct Attached {
    /// Whether the container has a terminal; then `stdout` carries everything.
    pub tty: bool,
    /// Where to write stdin, if that was asked for and the container has it open. With `stdin_once`, dropping this ends its stdin.
    pub stdin: Option<Input>,
    /// Its stdout. A reader that is too slow loses output, never the container's speed.
    pub stdout: pipe::Receiver,
    /// Its stderr; `None` with a terminal.
    pub stderr: Option<pipe::Receiver>,
}

impl Client {
    /// Connects to the daemon's socket (`run/runtime.sock`). Fails when none answers now; later it reconnects by itself.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let stream = connection::open(&path).await?;
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            path,
            next: AtomicU64::new(1),
            outgoing,
            exits: Mutex::new(Exits::default()),
        });
        tokio::spawn(connection::keep(Arc::downgrade(&shared), stream, queue));
        Ok(Self { shared })
    }

    /// Exits: first those of all containers not yet removed, then each as it happens, none twice on one receiver. Also what happened while
    /// the connection was down, or before this process lived.
    pub fn events(&self) -> mpsc::UnboundedReceiver<Exit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut exits = self.shared.exits();
        for exit in exits.known.values() {
            let _ = sender.send(exit.clone());
        }
        exits.listeners.push(sender);
        receiver
    }

    /// Creates a container and starts it. [`Error::Start`] when the container itself is at fault, worded as runc words it.
    pub async fn create_start(&self, spec: ContainerSpec) -> Result<Started> {
        match self.ask(&Request::CreateStart(Box::new(spec))).await?.response {
            Response::Started(started) => Ok(started),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a signal to a container's first process. [`Error::State`] when it is not running.
    pub async fn signal(&self, id: &str, signal: i32) -> Result<()> {
        self.done(&Request::Signal {
            id: id.to_owned(),
            signal,
        })
        .await
    }

    /// SIGKILL for every process of the container.
    pub async fn kill_all(&self, id: &str) -> Result<()> {
        self.done(&Request::KillAll { id: id.to_owned() }).await
    }

    /// Forgets an exited container: rootfs, writable layer, state and cgroup go; its log stays. Fine if it does not exist.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.done(&Request::Remove { id: id.to_owned() }).await?;
        self.shared.exits().known.remove(id);
        Ok(())
    }

    /// All containers that the daemon knows.
    pub async fn list(&self) -> Result<Vec<Info>> {
        match self.ask(&Request::List).await?.response {
            Response::List(list) => Ok(list),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts a further process in a running container.
    pub async fn exec(&self, spec: ExecSpec) -> Result<Exec> {
        let (tty, stdin) = (spec.tty, spec.stdin);
        let mut reply = self.ask(&Request::Exec(spec)).await?;
        let Response::Exec { exec, pid } = reply.response else {
            return Err(unexpected(&reply.response));
        };
        let (Some(exit), expected) = (reply.exec_exit.take(), if tty { 1 } else { 3 }) else {
            return Err(Error::Lost);
        };
        if reply.fds.len() != expected {
            return Err(Error::Internal(format!(
                "exec came with {} descriptors, not {expected}",
                reply.fds.len()
            )));
        }
        let mut fds = reply.fds.into_iter();
        let mut result = Exec {
            pid,
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: None,
            id: exec,
            exit,
            client: self.clone(),
        };
        if tty {
            result.terminal = fds.next().map(Terminal::new).transpose()?;
        } else {
            result.stdin = fds.next().map(io::sender).transpose()?.filter(|_| stdin);
            result.stdout = fds.next().map(io::receiver).transpose()?;
            result.stderr = fds.next().map(io::receiver).transpose()?;
        }
        Ok(result)
    }

    /// Output of a running container from now on, and its stdin.
    pub async fn attach(&self, id: &str, stdin: bool) -> Result<Attached> {
        let reply = self
            .ask(&Request::Attach {
                id: id.to_owned(),
                stdin,
            })
            .await?;
        let Response::Attach { tty } = reply.response else {
            return Err(unexpected(&reply.response));
        };
        let mut fds = reply.fds.into_iter();
        let short = || Error::Internal("attach came with too few descriptors".into());
        let stdin = if stdin {
            Some(Input::new(fds.next().ok_or_else(short)?, tty)?)
        } else {
            None
        };
        let stdout = io::receiver(fds.next().ok_or_else(short)?)?;
        let stderr = if tty {
            None
        } else {
            Some(io::receiver(fds.next().ok_or_else(short)?)?)
        };
        Ok(Attached {
            tty,
            stdin,
            stdout,
            stderr,
        })
    }

    /// Sets the size of a container's terminal.
    pub async fn resize(&self, id: &str, width: u16, height: u16) -> Result<()> {
        self.done(&Request::Resize {
            id: id.to_owned(),
            width,
            height,
        })
        .await
    }

    /// Makes the daemon reopen a container's log file.
    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        self.done(&Request::ReopenLog { id: id.to_owned() }).await
    }

    /// Makes a cgroup (relative path) and its parents in every hierarchy, and sets limits on it.
    pub async fn ensure_cgroup(&self, path: &str, limits: Limits) -> Result<()> {
        self.done(&Request::EnsureCgroup {
            path: path.to_owned(),
            limits,
        })
        .await
    }

    /// Sets limits on a cgroup that exists. [`Error::Io`] with the kernel's words when it refuses them.
    pub async fn set_limits(&self, path: &str, limits: Limits) -> Result<()> {
        self.done(&Request::SetLimits {
            path: path.to_owned(),
            limits,
        })
        .await
    }

    /// Removes a cgroup and all below it; with `kill` its processes first.
    pub async fn remove_cgroup(&self, path: &str, kill: bool) -> Result<()> {
        self.done(&Request::RemoveCgroup {
            path: path.to_owned(),
            kill,
        })
        .await
    }

    /// Who answers.
    pub async fn ping(&self) -> Result<DaemonInfo> {
        match self.ask(&Request::Ping).await?.response {
            Response::Daemon(info) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the daemon; containers and engine stay as they are. Whoever wants everything gone kills the cluster's cgroups first.
    pub async fn shutdown(&self) -> Result<()> {
        self.done(&Request::Shutdown).await
    }

    async fn done(&self, request: &Request) -> Result<()> {
        match self.ask(request).await?.response {
            Response::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// One request and its answer; asked again when the daemon died meanwhile and asking twice does no harm.
    async fn ask(&self, request: &Request) -> Result<Reply> {
        match self.ask_once(request).await {
            Err(Error::Lost) if is_idempotent(request) => self.ask_once(request).await,
            other => other,
        }
    }

    async fn ask_once(&self, request: &Request) -> Result<Reply> {
        let seq = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let frame = connection::frame(seq, request)?;
        let (answer, reply) = oneshot::channel();
        self.shared
            .outgoing
            .send(Outgoing { seq, frame, answer })
            .map_err(|_| Error::Lost)?;
        match tokio::time::timeout(PATIENCE, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(Error::Lost),
            Err(_) => Err(Error::Timeout(format!(
                "runtime daemon at {} gave no answer in {} s",
                self.shared.path.display(),
                PATIENCE.as_secs()
            ))),
        }
    }
}

impl Exec {
    /// Waits for its end: the exit code, 128 + signal when a signal ended it. [`Error::Lost`] when the daemon went away before.
    pub async fn wait(&mut self) -> Result<i32> {
        (&mut self.exit).await.map_err(|_| Error::Lost)
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: i32) -> Result<()> {
        self.client
            .done(&Request::ExecSignal {
                exec: self.id,
                signal,
            })
            .await
    }
}

impl Shared {
    fn exits(&self) -> MutexGuard<'_, Exits> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an exit and tells it to those who did not hear of it.
    fn exited(&self, exit: Exit) {
        let mut exits = self.exits();
        if exits.known.contains_key(&exit.id) {
            return;
        }
        exits.listeners.retain(|l| l.send(exit.clone()).is_ok());
        exits.known.insert(exit.id.clone(), exit);
    }
}

fn is_idempotent(request: &Request) -> bool {
    matches!(
        request,
        Request::Ping
            | Request::List
            | Request::KillAll { .. }
            | Request::Remove { .. }
            | Request::Resize { .. }
            | Request::ReopenLog { .. }
            | Request::EnsureCgroup { .. }
            | Request::SetLimits { .. }
            | Request::RemoveCgroup { .. }
    )
}

fn unexpected(response: &Response) -> Error {
    Error::Internal(format!("runtime daemon answered something else: {response:?}"))
}
