//! Frames on a stream socket: a little-endian `u32` length, then JSON; descriptors ride with a frame's first byte.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;

/// Longest frame either side accepts.
pub const MAX_FRAME: usize = 64 << 20;

/// Descriptors per frame at most.
const MAX_FDS: usize = 8;

/// A frame's bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, value)?;
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_le_bytes());
    Ok(out)
}

/// Sends what the socket takes of `bytes`, with `fds` on the first byte.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[OwnedFd]) -> Result<usize, Errno> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}

/// Puts frames together again.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Decoder {
    /// Reads once from the socket; 0 is its end.
    pub fn receive(&mut self, socket: impl AsFd) -> Result<usize, Errno> {
        let mut chunk = [0_u8; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let read =
            rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut chunk)], &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    /// The next whole frame, or `None` until more was received.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(head) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(format!("a frame of {len} bytes is longer than {MAX_FRAME}"));
        }
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        let frame = self.buffer[4..4 + len].to_vec();
        self.buffer.drain(..4 + len);
        if self.buffer.is_empty() {
            self.buffer.shrink_to(64 * 1024);
        }
        Ok(Some(frame))
    }

    /// The next `count` descriptors.
    pub fn take_fds(&mut self, count: usize) -> Vec<OwnedFd> {
        let count = count.min(self.fds.len());
        self.fds.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_and_descriptors_survive_small_pieces() {
        let (a, b) = UnixStream::pair().expect("pair");
        let (mut r, w) = std::io::pipe().expect("pipe");
        let mut bytes = encode(&vec!["one"]).expect("encode");
        bytes.extend(encode(&vec!["two", "three"]).expect("encode"));
        let fds = [OwnedFd::from(w)];
        assert_eq!(send(&a, &bytes[..3], &fds).expect("send"), 3);
        drop(fds);
        let mut decoder = Decoder::default();
        assert_eq!(decoder.receive(&b).expect("receive"), 3);
        assert!(decoder.next_frame().expect("frame").is_none());
        assert_eq!(send(&a, &bytes[3..], &[]).expect("send"), bytes.len() - 3);
        decoder.receive(&b).expect("receive");
        assert_eq!(
            decoder.next_frame().expect("frame").expect("whole"),
            br#"["one"]"#
        );
        assert_eq!(
            decoder.next_frame().expect("frame").expect("whole"),
            br#"["two","three"]"#
        );
        assert!(decoder.next_frame().expect("frame").is_none());
        let mut got = decoder.take_fds(1);
        std::fs::File::from(got.remove(0)).write_all(b"x").expect("write");
        let mut text = String::new();
        r.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
    }

    #[test]
    fn a_huge_length_is_refused() {
        let mut decoder = Decoder {
            buffer: vec![255, 255, 255, 255, 0],
            fds: VecDeque::new(),
        };
        assert!(decoder.next_frame().is_err());
    }
}
