//! Entries of connection tracking: a UDP flow keeps its translation as long as packets come, also to a dead endpoint.

use std::net::Ipv4Addr;

use super::{Batch, NLM_F_ACK, NLM_F_DUMP, Socket, attribute};
use crate::Result;

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

/// One tracked flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    pub protocol: u8,
    /// Where the first packet was sent.
    pub destination: (Ipv4Addr, u16),
    /// Who answers: the endpoint, if the flow was redirected.
    pub responder: (Ipv4Addr, u16),
    /// What names the flow to the kernel.
    tuple: Vec<u8>,
}

impl Socket {
    /// All tracked IPv4 flows of the socket's namespace.
    pub(crate) fn flows(&self) -> Result<Vec<Flow>> {
        let mut batch = Batch::default();
        batch.message(
            "list tracked flows",
            (SUBSYSTEM << 8) | GET,
            NLM_F_DUMP,
            &HEADER,
            |_| {},
        );
        Ok(self
            .query(&batch, true)?
            .iter()
            .filter_map(|payload| parse(payload))
            .collect())
    }

    /// Forgets flows. One that has ended in the meantime is fine.
    pub(crate) fn forget_flows(&self, flows: &[Flow]) -> Result<()> {
        for chunk in flows.chunks(100) {
            let mut batch = Batch::default();
            for flow in chunk {
                let kind = (SUBSYSTEM << 8) | DELETE;
                batch
                    .message("forget a tracked flow", kind, NLM_F_ACK, &HEADER, |a| {
                        a.nest(TUPLE_ORIGINAL, |a| a.raw(&flow.tuple));
                    })
                    .tolerate(&[libc::ENOENT]);
            }
            self.execute(&batch)?;
        }
        Ok(())
    }
}

fn parse(payload: &[u8]) -> Option<Flow> {
    let rest = payload.get(4..)?;
    let original = attribute(rest, TUPLE_ORIGINAL)?;
    let reply = attribute(rest, TUPLE_REPLY)?;
    let protocol = *attribute(attribute(original, 2)?, 1)?.first()?;
    Some(Flow {
        protocol,
        destination: side(original, 2, 3)?,
        responder: side(reply, 1, 2)?,
        tuple: original.to_vec(),
    })
}

/// Address and port of one side of a tuple.
fn side(tuple: &[u8], address: u16, port: u16) -> Option<(Ipv4Addr, u16)> {
    let address: [u8; 4] = attribute(attribute(tuple, 1)?, address)?.try_into().ok()?;
    let port: [u8; 2] = attribute(attribute(tuple, 2)?, port)?.try_into().ok()?;
    Some((Ipv4Addr::from(address), u16::from_be_bytes(port)))
}
