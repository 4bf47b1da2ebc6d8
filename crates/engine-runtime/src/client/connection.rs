//! The background task: connects, reconnects, matches answers to requests.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::{Outgoing, Reply, Shared};
use crate::proto::{Envelope, Message, Request, Response};
use crate::wire::{self, Decoder};
use crate::{Error, Result};

/// How long requests wait for a daemon that does not answer.
const GIVE_UP: Duration = Duration::from_secs(15);

/// A request's frame.
pub(super) fn frame(seq: u64, request: &Request) -> Result<Vec<u8>> {
    wire::encode(&Envelope {
        seq,
        request: request.clone(),
    })
    .map_err(|e| Error::Internal(e.to_string()))
}

/// Connects, by way of the folder's descriptor: a socket's path may have 108 bytes only.
pub(super) async fn open(path: &Path) -> Result<UnixStream> {
    let unreachable = |e: std::io::Error| Error::Unreachable {
        path: path.to_path_buf(),
        reason: e.to_string(),
    };
    let folder = File::open(path.parent().unwrap_or(Path::new("/"))).map_err(unreachable)?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    UnixStream::connect(short).await.map_err(unreachable)
}

/// Runs until the last client is dropped.
pub(super) async fn keep(
    shared: Weak<Shared>,
    first: UnixStream,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut waiting = VecDeque::new();
    let mut stream = Some(first);
    loop {
        if let Some(stream) = stream.take() {
            let mut session = Session {
                stream,
                decoder: Decoder::default(),
                state: State::default(),
            };
            if session.run(&shared, &mut queue, &mut waiting).await.is_none() {
                return;
            }
            // Whoever was promised an answer gets `Lost` by the drop of its sender.
        }
        let Some(path) = shared.upgrade().map(|s| s.path.clone()) else {
            return;
        };
        stream = reconnect(&shared, &path, &mut queue, &mut waiting).await;
        if stream.is_none() {
            return;
        }
    }
}

/// Tries until it works; requests that come meanwhile wait a while. `None` when nobody needs a connection any more.
async fn reconnect(
    shared: &Weak<Shared>,
    path: &Path,
    queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    waiting: &mut VecDeque<(tokio::time::Instant, Outgoing)>,
) -> Option<UnixStream> {
    let mut pause = Duration::from_millis(10);
    loop {
        let reason = match open(path).await {
            Ok(stream) => return Some(stream),
            Err(e) => e,
        };
        shared.upgrade()?;
        let until = tokio::time::Instant::now() + pause;
        while let Ok(next) = tokio::time::timeout_at(until, queue.recv()).await {
            waiting.push_back((tokio::time::Instant::now(), next?));
        }
        while waiting
            .front()
            .is_some_and(|(since, _)| since.elapsed() > GIVE_UP)
        {
            if let Some((_, request)) = waiting.pop_front() {
                let _ = request.answer.send(Err(reason.clone()));
            }
        }
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// One connection.
struct Session {
    stream: UnixStream,
    decoder: Decoder,
    state: State,
}

/// Who waits for what on this connection.
#[derive(Default)]
struct State {
    pending: HashMap<u64, oneshot::Sender<Result<Reply>>>,
    execs: HashMap<u64, oneshot::Sender<i32>>,
}

impl Session {
    /// Until the connection breaks (`Some`) or nobody needs it (`None`).
    async fn run(
        &mut self,
        shared: &Weak<Shared>,
        queue: &mut mpsc::UnboundedReceiver<Outgoing>,
        waiting: &mut VecDeque<(tokio::time::Instant, Outgoing)>,
    ) -> Option<()> {
        let mut unsent = frame(0, &Request::Subscribe).unwrap_or_default();
        for (_, request) in waiting.drain(..) {
            unsent.extend(&request.frame);
            self.state.pending.insert(request.seq, request.answer);
        }
        loop {
            let writing = !unsent.is_empty();
            tokio::select! {
                next = queue.recv() => {
                    let request = next?;
                    unsent.extend(&request.frame);
                    self.state.pending.insert(request.seq, request.answer);
                }
                sent = self.stream.async_io(Interest::WRITABLE, || {
                    wire::send(&self.stream, &unsent, &[]).map_err(Into::into)
                }), if writing => match sent {
                    Ok(n) => { unsent.drain(..n); }
                    Err(e) => {
                        tracing::debug!(error = %e, "lost the runtime daemon while sending");
                        return Some(());
                    }
                },
                received = self.stream.async_io(Interest::READABLE, || {
                    self.decoder.receive(&self.stream).map_err(Into::into)
                }) => {
                    match received {
                        Ok(0) => return Some(()),
                        Ok(_) => {}
                        Err(e) => {
                            tracing::debug!(error = %e, "lost the runtime daemon while receiving");
                            return Some(());
                        }
                    }
                    loop {
                        match self.decoder.next_frame() {
                            Ok(Some(frame)) => self.message(shared, &frame),
                            Ok(None) => break,
                            Err(e) => {
                                tracing::error!(error = %e, "runtime daemon talks nonsense");
                                return Some(());
                            }
                        }
                    }
                }
            }
        }
    }

    fn message(&mut self, shared: &Weak<Shared>, frame: &[u8]) {
        match serde_json::from_slice(frame) {
            Ok(Message::Response { seq, fds, result }) => {
                let fds = self.decoder.take_fds(fds);
                let Some(answer) = self.state.pending.remove(&seq) else {
                    return;
                };
                let mut exec_exit = None;
                if let Ok(Response::Exec { exec, .. }) = &result {
                    let (sender, receiver) = oneshot::channel();
                    self.state.execs.insert(*exec, sender);
                    exec_exit = Some(receiver);
                }
                let _ = answer.send(
                    result
                        .map(|response| Reply {
                            response,
                            fds,
                            exec_exit,
                        })
                        .map_err(Error::from),
                );
            }
            Ok(Message::Exit(exit)) => {
                if let Some(shared) = shared.upgrade() {
                    shared.exited(exit);
                }
            }
            Ok(Message::ExecExit { exec, code }) => {
                if let Some(sender) = self.state.execs.remove(&exec) {
                    let _ = sender.send(code);
                }
            }
            Err(e) => tracing::error!(error = %e, "runtime daemon sent what this version does not know"),
        }
    }
}
