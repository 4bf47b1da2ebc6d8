//! A small synchronous netlink client.
//!
//! A netlink socket belongs to the network namespace in which it was made, for good. One blocking socket per namespace
//! therefore configures it from any thread, and a whole set of requests goes out in one `sendmsg`: setting up a pod is
//! two of them. Only what this crate sends is here; nothing parses more than it uses.

pub(crate) mod conntrack;
pub(crate) mod nft;
pub(crate) mod route;

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

use crate::{Error, Result};

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const NLM_F_APPEND: u16 = 0x800;
pub(crate) const NLM_F_DUMP: u16 = 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// Set in the kind of an attribute that holds attributes.
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

/// Requests for one `sendmsg`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    buffer: Vec<u8>,
    requests: Vec<Request>,
}

/// What a request in a batch is called in errors, and which errors are no errors.
#[derive(Debug)]
struct Request {
    what: String,
    tolerated: &'static [i32],
}

impl Batch {
    /// Adds a message: kind, flags, the fixed header of its family, then its attributes.
    pub(crate) fn message(
        &mut self,
        what: impl Into<String>,
        kind: u16,
        flags: u16,
        header: &[u8],
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) -> &mut Self {
        let start = self.buffer.len();
        // Sequence numbers are positions, so that an answer finds its request.
        let sequence = self.requests.len() as u32 + 1;
        self.requests.push(Request {
            what: what.into(),
            tolerated: &[],
        });
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer
            .extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.buffer.extend_from_slice(&sequence.to_ne_bytes());
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(header);
        pad(&mut self.buffer);
        attributes(&mut Attributes {
            buffer: &mut self.buffer,
        });
        let length = (self.buffer.len() - start) as u32;
        self.buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Errors of the last message that mean that there is nothing to do.
    pub(crate) fn tolerate(&mut self, errors: &'static [i32]) -> &mut Self {
        if let Some(request) = self.requests.last_mut() {
            request.tolerated = errors;
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    fn judge(&self, sequence: u32, errno: i32) -> Result<()> {
        if errno == 0 {
            return Ok(());
        }
        let request = (sequence as usize)
            .checked_sub(1)
            .and_then(|position| self.requests.get(position));
        match request {
            Some(request) if request.tolerated.contains(&errno) => Ok(()),
            Some(request) => Err(Error::kernel(
                request.what.clone(),
                io::Error::from_raw_os_error(errno),
            )),
            None => Err(Error::Malformed("an unknown request")),
        }
    }
}

/// Writes attributes of the message under construction.
pub(crate) struct Attributes<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.buffer.extend_from_slice(&length.to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(value);
        pad(self.buffer);
    }

    /// A string with its terminating NUL.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    /// A number in the host's order, as rtnetlink has them.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// A number in network order, as netfilter has them.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        inner(&mut Attributes { buffer: self.buffer });
        let length = (self.buffer.len() - start) as u16;
        self.buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Raw bytes, for the fixed header that some nested attributes begin with.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        pad(self.buffer);
    }
}

fn pad(buffer: &mut Vec<u8>) {
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// The attributes in some bytes; stops at the first that is cut off.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]) & KIND_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

/// A netlink socket of the namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
}

impl Socket {
    /// For links, addresses, routes, neighbours.
    pub(crate) fn route() -> Result<Self> {
        // NETLINK_ROUTE is 0, which rustix writes as none.
        Self::open(None)
    }

    /// For nf_tables and connection tracking.
    pub(crate) fn netfilter() -> Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self> {
        let descriptor = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(|error| Error::kernel("open a netlink socket", error))?;
        Ok(Self { descriptor })
    }

    /// Sends requests that all ask for an acknowledgement and waits for every one of them. Requests after a failed one
    /// are carried out as well; the first failure is returned.
    pub(crate) fn execute(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.send(batch.bytes())?;
        let mut waiting = batch.requests.len();
        let mut first = Ok(());
        let mut buffer = vec![0u8; 32 << 10];
        while waiting > 0 {
            let length = self.receive(&mut buffer, RecvFlags::empty())?;
            for (kind, sequence, payload) in messages(&buffer[..length]) {
                if kind == NLMSG_ERROR {
                    waiting = waiting.saturating_sub(1);
                    let errno = error_number(payload)?;
                    let verdict = batch.judge(sequence, errno);
                    first = first.and(verdict);
                }
            }
        }
        first
    }

    /// Sends a netfilter transaction. The kernel handles it before `sendmsg` returns and reports failures only, so what
    /// is there to read afterwards is all there will be.
    pub(crate) fn transact(&self, batch: &Batch) -> Result<()> {
        // The transaction has to fit into one socket buffer. The kernel counts more than the bytes.
        let wanted = (batch.bytes().len() * 2).max(1 << 18);
        sockopt::set_socket_send_buffer_size_force(&self.descriptor, wanted)
            .map_err(|error| Error::kernel("enlarge a netlink socket's buffer", error))?;
        self.send(batch.bytes())?;
        let mut first = Ok(());
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let length = match recv(&self.descriptor, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::AGAIN) => return first,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Error::kernel("read a netlink answer", error)),
            };
            for (kind, sequence, payload) in messages(&buffer[..length]) {
                if kind == NLMSG_ERROR {
                    let errno = error_number(payload)?;
                    first = first.and(batch.judge(sequence, errno));
                }
            }
        }
    }

    /// Sends one request and returns the payloads of its answers: of one message, or of a whole dump.
    pub(crate) fn query(&self, batch: &Batch, dump: bool) -> Result<Vec<Vec<u8>>> {
        self.send(batch.bytes())?;
        let mut found = Vec::new();
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let length = self.receive(&mut buffer, RecvFlags::empty())?;
            for (kind, sequence, payload) in messages(&buffer[..length]) {
                match kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => {
                        batch.judge(sequence, error_number(payload)?)?;
                        return Ok(found);
                    }
                    _ => found.push(payload.to_vec()),
                }
            }
            if !dump && !found.is_empty() {
                return Ok(found);
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        loop {
            match send(&self.descriptor, bytes, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::kernel("send a netlink request", error)),
            }
        }
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize> {
        loop {
            match recv(&self.descriptor, &mut *buffer, flags) {
                Ok((length, _)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::kernel("read a netlink answer", error)),
            }
        }
    }
}

/// Kind, sequence number and payload of the messages in a datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let payload = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, payload))
    })
}

/// The errno of an `NLMSG_ERROR`; 0 for an acknowledgement.
fn error_number(payload: &[u8]) -> Result<i32> {
    let bytes = payload.get(..4).ok_or(Error::Malformed("a request"))?;
    Ok(-i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_a_reader_finds() {
        let mut batch = Batch::default();
        batch.message("one", 16, NLM_F_ACK, &[9; 4], |a| {
            a.text(3, "eth0");
            a.nest(18, |a| a.u32(1, 7));
        });
        batch.message("two", 17, 0, &[], |_| {});
        let found: Vec<_> = messages(batch.bytes()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1), (16, 1));
        assert_eq!((found[1].0, found[1].1, found[1].2.len()), (17, 2, 0));
        let inner = &found[0].2[4..];
        assert_eq!(attribute(inner, 3), Some(&b"eth0\0"[..]));
        let nested = attribute(inner, 18).unwrap();
        assert_eq!(attribute(nested, 1), Some(&7u32.to_ne_bytes()[..]));
        assert_eq!(attribute(nested, 2), None);
    }

    #[test]
    fn cut_off_bytes_end_the_iteration() {
        assert_eq!(attributes(&[8, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0]).count(), 0);
        assert_eq!(
            messages(&[200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).count(),
            0
        );
        assert_eq!(messages(&[0; 16]).count(), 0);
    }

    #[test]
    fn errors_name_their_request_and_tolerated_ones_vanish() {
        let mut batch = Batch::default();
        batch
            .message("add x", 1, 0, &[], |_| {})
            .tolerate(&[libc::EEXIST]);
        batch.message("add y", 1, 0, &[], |_| {});
        assert!(batch.judge(1, libc::EEXIST).is_ok());
        let error = batch.judge(2, libc::EEXIST).unwrap_err().to_string();
        assert!(error.starts_with("failed to add y: "), "{error}");
        assert!(batch.judge(3, libc::EPERM).is_err());
    }
}
