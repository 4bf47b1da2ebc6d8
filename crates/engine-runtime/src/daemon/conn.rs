//! Connections: frames in, frames out, never waiting for anybody.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::epoll::EventFlags;

use super::{Daemon, Source};
use crate::proto::{Envelope, Exit, Message, Response};
use crate::wire::{self, Decoder};
use crate::{Error, Result};

/// Bytes that may wait for a client that does not read.
const MOST_WAITING: usize = 64 << 20;

/// A client.
pub struct Conn {
    stream: UnixStream,
    token: u64,
    decoder: Decoder,
    out: VecDeque<Frame>,
    waiting: usize,
    wants_write: bool,
    /// Whether it is told of exits.
    pub subscribed: bool,
}

struct Frame {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    /// The connection.
    pub conn: u64,
    /// The request's number.
    pub seq: u64,
}

impl Daemon {
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // Root's connections only, should the socket's mode ever be changed.
            let root = rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|c| c.uid.is_root());
            if !root || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let number = self.number();
            match self.watch(&stream, Source::Conn(number), EventFlags::IN) {
                Ok(token) => {
                    let conn = Conn {
                        stream,
                        token,
                        decoder: Decoder::default(),
                        out: VecDeque::new(),
                        waiting: 0,
                        wants_write: false,
                        subscribed: false,
                    };
                    self.conns.insert(number, conn);
                }
                Err(error) => tracing::warn!(%error, "cannot serve a connection"),
            }
        }
    }

    pub(super) fn converse(&mut self, number: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(number);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        match conn.decoder.receive(&conn.stream) {
            Ok(0) => return self.hang_up(number),
            Ok(_) => {}
            Err(e) if e == rustix::io::Errno::AGAIN || e == rustix::io::Errno::INTR => return,
            Err(_) => return self.hang_up(number),
        }
        loop {
            let Some(conn) = self.conns.get_mut(&number) else {
                return;
            };
            match conn.decoder.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => match serde_json::from_slice::<Envelope>(&frame) {
                    Ok(envelope) => {
                        self.request(
                            ReplyTo {
                                conn: number,
                                seq: envelope.seq,
                            },
                            envelope.request,
                        );
                    }
                    Err(error) => {
                        // A newer client may know more requests: tell it which one we did not understand.
                        let seq = serde_json::from_slice::<serde_json::Value>(&frame)
                            .ok()
                            .and_then(|v| v["seq"].as_u64())
                            .unwrap_or_default();
                        let text = format!("request not understood: {error}");
                        self.reply(ReplyTo { conn: number, seq }, Err(Error::Invalid(text)));
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "a client talks nonsense");
                    return self.hang_up(number);
                }
            }
        }
    }

    fn hang_up(&mut self, number: u64) {
        if let Some(conn) = self.conns.remove(&number) {
            self.unwatch(conn.token, &conn.stream);
        }
    }

    pub(super) fn reply(&mut self, to: ReplyTo, result: Result<Response>) {
        self.reply_with(to, result, Vec::new());
    }

    pub(super) fn reply_with(&mut self, to: ReplyTo, result: Result<Response>, fds: Vec<OwnedFd>) {
        let message = Message::Response {
            seq: to.seq,
            fds: fds.len(),
            result: result.map_err(|e| e.to_failure()),
        };
        self.send(to.conn, &message, fds);
    }

    /// Tells all subscribers.
    pub(super) fn announce(&mut self, exit: &Exit) {
        let subscribers: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, c)| c.subscribed)
            .map(|(n, _)| *n)
            .collect();
        for number in subscribers {
            self.send(number, &Message::Exit(exit.clone()), Vec::new());
        }
    }

    pub(super) fn send(&mut self, number: u64, message: &Message, fds: Vec<OwnedFd>) {
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let bytes = match wire::encode(message) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "cannot encode an answer");
                return;
            }
        };
        conn.waiting += bytes.len();
        conn.out.push_back(Frame { bytes, sent: 0, fds });
        if conn.waiting > MOST_WAITING {
            tracing::warn!("a client does not read its answers; hanging up");
            return self.hang_up(number);
        }
        self.flush(number);
    }

    fn flush(&mut self, number: u64) {
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let mut broken = false;
        while let Some(frame) = conn.out.front_mut() {
            match wire::send(&conn.stream, &frame.bytes[frame.sent..], &frame.fds) {
                Ok(n) => {
                    frame.fds.clear();
                    frame.sent += n;
                    conn.waiting -= n;
                    if frame.sent == frame.bytes.len() {
                        conn.out.pop_front();
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    broken = e != rustix::io::Errno::AGAIN;
                    break;
                }
            }
        }
        if broken {
            return self.hang_up(number);
        }
        let wants_write = !conn.out.is_empty();
        if wants_write != conn.wants_write {
            conn.wants_write = wants_write;
            let flags = if wants_write {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let data = rustix::event::epoll::EventData::new_u64(conn.token);
            if let Err(error) = rustix::event::epoll::modify(&self.epoll, &conn.stream, data, flags) {
                tracing::warn!(%error, fd = conn.stream.as_raw_fd(), "cannot change what is watched");
            }
        }
    }
}
