use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt,
};

use crate::response::{Progress, progress};

/// One keep-alive connection with at most one request in flight.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    received: Vec<u8>,
    to_send: Vec<u8>,
    pub(crate) connecting: bool,
}

/// What a readable connection gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Not yet.
    Waiting,
    /// An answer with this status; the connection can be used again unless `close`.
    Answer { status: u16, close: bool },
    /// The connection is of no more use; the kind of failure.
    Broken(&'static str),
}

impl Connection {
    /// Begins to connect; the socket becomes writable when it is connected.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Connection {
            socket,
            received: Vec::new(),
            to_send: Vec::new(),
            connecting: true,
        })
    }

    /// Whether connecting has worked, once the socket is writable.
    pub(crate) fn finish_connect(&mut self) -> io::Result<()> {
        sockopt::socket_error(&self.socket)??;
        self.connecting = false;
        Ok(())
    }

    /// Sends a request; what the kernel does not take at once goes out by [`Connection::flush`].
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.received.clear();
        let taken = match send(&self.socket, request, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN) => 0,
            Err(e) => return Err(e.into()),
        };
        self.to_send.clear();
        self.to_send.extend_from_slice(&request[taken..]);
        Ok(())
    }

    /// Whether bytes wait for the socket to become writable.
    pub(crate) fn wants_write(&self) -> bool {
        self.connecting || !self.to_send.is_empty()
    }

    /// Sends what was left.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match send(&self.socket, &self.to_send, SendFlags::NOSIGNAL) {
            Ok(taken) => drop(self.to_send.drain(..taken)),
            Err(Errno::AGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Reads what is there, by way of `buffer`, whose content means nothing before and after. An answer that comes in one
    /// piece, as most do, is judged there and never copied.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        loop {
            let length = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Read::Broken("reset"),
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Read::Waiting,
                Err(_) => return Read::Broken("reset"),
            };
            let all = if self.received.is_empty() && length < buffer.len() {
                &buffer[..length]
            } else {
                self.received.extend_from_slice(&buffer[..length]);
                if length == buffer.len() {
                    continue;
                }
                &self.received[..]
            };
            match progress(all) {
                Progress::Whole {
                    status,
                    length,
                    close,
                } if length == all.len() => {
                    self.received.clear();
                    return Read::Answer { status, close };
                }
                // What is missing will make the socket readable again; asking now would mostly cost a system call.
                Progress::Partial => {
                    if self.received.is_empty() {
                        self.received.extend_from_slice(&buffer[..length]);
                    }
                    return Read::Waiting;
                }
                // More than one answer to one request, or none that can be understood.
                Progress::Whole { .. } | Progress::Malformed => return Read::Broken("malformed"),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
