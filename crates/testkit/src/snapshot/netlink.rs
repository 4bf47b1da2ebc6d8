//! What only netlink tells: nftables and routing rules. Asked for directly, because `nft` and `ip` may be missing.
use std::collections::BTreeSet;
use std::io;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

const DUMP: u16 = 0x0001 | 0x0300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_GETRULE: u16 = 34;
/// `NFNL_SUBSYS_NFTABLES << 8`
const NFTABLES: u16 = 10 << 8;
const NFT_MSG_GETTABLE: u16 = NFTABLES | 1;
const NFT_MSG_GETRULE: u16 = NFTABLES | 7;

/// Tables with the number of their chains, and rules by handle. Where it cannot be asked, one item says so, the same before
/// and after.
pub(crate) fn nft() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (what, kind) in [("table", NFT_MSG_GETTABLE), ("rule", NFT_MSG_GETRULE)] {
        // struct nfgenmsg: any family, version 0, no resource.
        match dump(Some(NETFILTER), kind, &[0, 0, 0, 0]) {
            Ok(messages) => found.extend(messages.iter().map(|m| describe_nft(what, m))),
            Err(e) => {
                found.insert(format!("{what}s cannot be listed: {e}"));
            }
        }
    }
    found
}

fn describe_nft(what: &str, message: &[u8]) -> String {
    let family = message.first().copied().unwrap_or_default();
    let mut text = format!("{what} family {family}");
    for (kind, value) in attributes(message.get(4..).unwrap_or_default()) {
        match (what, kind) {
            // NFTA_TABLE_NAME; NFTA_RULE_TABLE and NFTA_RULE_CHAIN.
            ("table", 1) | ("rule", 1 | 2) => {
                text += &format!(" {}", String::from_utf8_lossy(value).trim_end_matches('\0'));
            }
            // NFTA_TABLE_USE, big-endian.
            ("table", 3) => text += &format!(" with {} chains", number(value)),
            // NFTA_RULE_HANDLE.
            ("rule", 3) => text += &format!(" handle {}", number(value)),
            _ => {}
        }
    }
    text
}

/// Routing policy rules, as bytes.
pub(crate) fn routing_rules() -> BTreeSet<String> {
    // struct fib_rule_hdr: any family.
    match dump(None, RTM_GETRULE, &[0; 12]) {
        Ok(messages) => messages.iter().map(|m| format!("{m:02x?}")).collect(),
        Err(e) => BTreeSet::from([format!("cannot be listed: {e}")]),
    }
}

fn number(value: &[u8]) -> u64 {
    value.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (word(bytes, 0), word(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind & 0x3fff, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Sends a dump request and gives the payloads of all answers.
fn dump(protocol: Option<Protocol>, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut request = Vec::new();
    request.extend((16 + body.len() as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend([1u32.to_ne_bytes(), 0u32.to_ne_bytes()].concat());
    request.extend(body);
    send(&socket, &request, SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while let (Some(header), Some(kind)) = (rest.get(0..4), word(rest, 4)) {
            let length = header.try_into().map_or(0, u32::from_ne_bytes) as usize;
            let Some(message) = rest.get(16..length) else {
                return Ok(found);
            };
            match kind {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => {
                    let code = message
                        .get(0..4)
                        .and_then(|b| b.try_into().ok())
                        .map_or(0, i32::from_ne_bytes);
                    return if code == 0 {
                        Ok(found)
                    } else {
                        Err(io::Error::from_raw_os_error(-code))
                    };
                }
                _ => found.push(message.to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_taken_apart_and_a_cut_one_ends_it() {
        let bytes = [6, 0, 1, 0, b'a', 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 2, 9, 0, 9];
        assert_eq!(attributes(&bytes), [(1, &b"a\0"[..]), (3, &[0, 0, 0, 2][..])]);
    }

    #[test]
    fn every_machine_has_routing_rules() {
        // Local, main, default: no privilege is needed to list them.
        assert!(routing_rules().len() >= 3, "{:?}", routing_rules());
    }
}
