//! Tries what the engine's pod network needs, in a network namespace of a thread of its own, gone when the thread ends.
use std::io;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Tries a network namespace, and a veth pair and nftables in it. Each result is empty when it worked.
pub(crate) fn run() -> (String, String, String) {
    std::thread::spawn(inside).join().unwrap_or_default()
}

#[allow(unsafe_code, reason = "unshare of a namespace that is private to this thread")]
fn inside() -> (String, String, String) {
    // SAFETY: NEWNET changes only the calling thread's network namespace; no file table or memory is unshared.
    if let Err(e) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        let why = format!("failed to make a network namespace: {e}");
        return (why.clone(), why.clone(), why);
    }
    (String::new(), veth(), nftables())
}

/// `RTM_NEWLINK` of a dummy name and kind `veth` with `NLM_F_CREATE|EXCL|ACK`.
fn veth() -> String {
    let mut body = vec![0u8; 16];
    attribute(&mut body, 3, b"probe0\0");
    let mut kind = Vec::new();
    attribute(&mut kind, 1, b"veth\0");
    attribute(&mut body, 18, &kind);
    ask(None, 16, 0x0605, &body)
        .map_or_else(|e| format!("failed to make a veth pair: {e}"), |()| String::new())
}

/// `NFT_MSG_GETGEN`: answered by any kernel that has nf_tables.
fn nftables() -> String {
    let body = [0u8, 0, 0, 0];
    ask(Some(NETFILTER), (10 << 8) | 16, 0x0005, &body).map_or_else(
        |e| format!("the kernel does not answer nf_tables requests: {e}"),
        |()| String::new(),
    )
}

fn attribute(into: &mut Vec<u8>, kind: u16, value: &[u8]) {
    into.extend(((value.len() + 4) as u16).to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

/// Sends one request and gives the error of its acknowledgement.
fn ask(protocol: Option<rustix::net::Protocol>, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut message = Vec::new();
    message.extend(((body.len() + 16) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([1u32.to_ne_bytes(), 0u32.to_ne_bytes()].concat());
    message.extend(body);
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = vec![0u8; 8192];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let word = |at: usize| {
        answer
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, i32::from_ne_bytes)
    };
    // NLMSG_ERROR carries a negative errno; zero is the acknowledgement.
    let is_error = length >= 20 && answer[4..6] == 2u16.to_ne_bytes();
    match if is_error { word(16) } else { 0 } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// Whether this network namespace has any nftables table: a dump of `NFT_MSG_GETTABLE`.
pub(crate) fn has_nft_tables() -> bool {
    nft_tables().unwrap_or(false)
}

fn nft_tables() -> io::Result<bool> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut message = Vec::new();
    message.extend(20u32.to_ne_bytes());
    message.extend(((10u16 << 8) | 1).to_ne_bytes());
    // NLM_F_REQUEST | NLM_F_DUMP.
    message.extend(0x0301u16.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend([0u8; 4]);
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = vec![0u8; 16 << 10];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let kind = if length >= 6 {
        u16::from_ne_bytes([answer[4], answer[5]])
    } else {
        0
    };
    // NFT_MSG_NEWTABLE comes first where there is one; otherwise the end of the dump or an error.
    Ok(kind == 10 << 8)
}
