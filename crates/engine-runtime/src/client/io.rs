//! Descriptors from the daemon as tokio's streams.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

use crate::{Error, Result};

/// The write end of a pipe.
pub(super) fn sender(fd: OwnedFd) -> Result<pipe::Sender> {
    pipe::Sender::from_owned_fd(fd).map_err(|e| Error::io("use the write end of a pipe", e))
}

/// The read end of a pipe.
pub(super) fn receiver(fd: OwnedFd) -> Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(fd).map_err(|e| Error::io("use the read end of a pipe", e))
}

/// The master of a terminal: what is read was written by the process, what is written is typed. Clones share it.
#[derive(Clone)]
pub struct Terminal {
    fd: Arc<AsyncFd<OwnedFd>>,
}

impl Terminal {
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(|e| Error::io("make a terminal non-blocking", e))?;
        // SAFETY: the descriptor is owned by the AsyncFd, which is never taken apart, so that it stays open while it is registered.
        #[allow(unsafe_code)]
        let fd =
            unsafe { AsyncFd::register(fd) }.map_err(|e| Error::io("watch a terminal", e.to_string()))?;
        Ok(Self { fd: Arc::new(fd) })
    }

    /// Sets its size.
    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        crate::sys::resize(self.fd.as_fd(), width, height).map_err(|e| Error::io("resize a terminal", e))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            match guard.try_io(|fd| rustix::io::read(fd.get_ref(), room).map_err(Into::into)) {
                Ok(Ok(n)) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                // The last process that had the terminal open is gone.
                Ok(Err(e)) if e.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(e)) => return Poll::Ready(Err(e)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|fd| rustix::io::write(fd.get_ref(), data).map_err(Into::into)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where a container's stdin is written to.
pub enum Input {
    /// It has a pipe.
    Pipe(pipe::Sender),
    /// It has a terminal.
    Terminal(Terminal),
}

impl Input {
    pub(super) fn new(fd: OwnedFd, tty: bool) -> Result<Self> {
        if tty {
            Terminal::new(fd).map(Self::Terminal)
        } else {
            sender(fd).map(Self::Pipe)
        }
    }
}

impl AsyncWrite for Input {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(p) => Pin::new(p).poll_write(cx, data),
            Self::Terminal(t) => Pin::new(t).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
