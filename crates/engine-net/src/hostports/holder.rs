//! Which process holds a port of this host, from `/proc`.

use std::{fs, path::Path};

use crate::catalog::Protocol;

/// Name and pid of a process that listens on a port, as far as this process may look.
pub(crate) fn holder(port: u16, protocol: Protocol) -> Option<String> {
    let tables: &[&str] = match protocol {
        Protocol::Tcp => &["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        Protocol::Udp => &["/proc/self/net/udp", "/proc/self/net/udp6"],
        Protocol::Sctp => return None,
    };
    let mut inodes = Vec::new();
    for table in tables {
        if let Ok(text) = fs::read_to_string(table) {
            inodes.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| inode(line, port, protocol)),
            );
        }
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|descriptor| {
                fs::read_link(descriptor.path())
                    .is_ok_and(|link| wanted.iter().any(|name| link == Path::new(name)))
            });
        let name = || fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("{} (pid {pid})", name().trim()))
    })
}

/// The socket's inode if a line of the table is a listener on the port.
fn inode(line: &str, port: u16, protocol: Protocol) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, found) = fields.get(1)?.rsplit_once(':')?;
    let listens = protocol == Protocol::Udp || *fields.get(3)? == LISTEN;
    (listens && u16::from_str_radix(found, 16).ok()? == port).then_some(())?;
    fields.get(9)?.parse().ok().filter(|inode| *inode != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = holder(port, Protocol::Tcp).unwrap();
        assert!(
            found.contains(&format!("(pid {})", std::process::id())),
            "{found}"
        );
        drop(listener);
        assert_eq!(holder(port, Protocol::Tcp), None);
    }

    #[test]
    fn connections_are_no_listeners() {
        let line = "  1: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000  0  0 4242 1";
        assert_eq!(inode(line, 8080, Protocol::Tcp), None);
        assert_eq!(
            inode(&line.replace(" 01 ", " 0A "), 8080, Protocol::Tcp),
            Some(4242)
        );
        assert_eq!(inode(&line.replace(" 01 ", " 0A "), 8081, Protocol::Tcp), None);
        assert_eq!(inode("nonsense", 1, Protocol::Udp), None);
    }
}
