//! Links, listening ports, packet filters, name resolution.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use preflight::facts::{Dns, Link, Network, Port};

use super::files::{names, read, word};

pub(super) fn network() -> Network {
    let links: Vec<Link> = names("/sys/class/net")
        .unwrap_or_default()
        .iter()
        .filter_map(|name| link(name))
        .collect();
    let routes = read("/proc/net/route").unwrap_or_default();
    let default_link = routes.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        (words.next()? == "00000000").then(|| name.to_owned())
    });
    Network {
        bridges: links
            .iter()
            .filter(|l| l.kind == "bridge")
            .map(|l| l.name.clone())
            .collect(),
        links,
        default_link: default_link.unwrap_or_default(),
        listening: listening(),
        legacy_rules: !word("/proc/net/ip_tables_names").is_empty(),
        nft_tables: crate::network_probe::has_nft_tables(),
        ..Network::default()
    }
}

fn link(name: &str) -> Option<Link> {
    let folder = Path::new("/sys/class/net").join(name);
    let events = read(folder.join("uevent"))?;
    let kind = events
        .lines()
        .find_map(|l| l.strip_prefix("DEVTYPE="))
        .unwrap_or_default();
    let kind = match (kind, word(folder.join("type")).as_str()) {
        ("bridge" | "vxlan" | "wireguard" | "wlan", _) => kind,
        ("geneve", _) => "vxlan",
        // ARPHRD_TUNNEL, SIT, IPGRE.
        (_, "768" | "776" | "778") => "tunnel",
        _ if folder.join("device").exists() => "physical",
        _ => "other",
    };
    Some(Link {
        name: name.to_owned(),
        mtu: word(folder.join("mtu")).parse().ok()?,
        kind: kind.to_owned(),
        address: word(folder.join("address")),
        ..Link::default()
    })
}

/// Ports for which the program is looked up: those that Kubernetes wants.
fn of_interest(port: u16) -> bool {
    [6443, 10250, 10257, 10259, 2379, 2380].contains(&port) || (30_000..=32_767).contains(&port)
}

fn listening() -> Vec<Port> {
    let mut by_inode: BTreeMap<String, (u16, bool)> = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in read(file).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(&"0A"), Some(inode)) = (words.get(1), words.get(3), words.get(9)) else {
                continue;
            };
            let Some((address, port)) = local.split_once(':') else {
                continue;
            };
            let Ok(port) = u16::from_str_radix(port, 16) else {
                continue;
            };
            // Addresses are words in the machine's byte order.
            let loopback = if address.len() == 8 {
                address.ends_with("7F")
            } else {
                address == "00000000000000000000000001000000"
            };
            by_inode.insert((*inode).to_owned(), (port, loopback));
        }
    }
    let wanted: Vec<&String> = by_inode
        .iter()
        .filter(|(_, (port, _))| of_interest(*port))
        .map(|(inode, _)| inode)
        .collect();
    let programs = if wanted.is_empty() {
        BTreeMap::new()
    } else {
        owners(&wanted)
    };
    let mut ports: Vec<Port> = by_inode
        .iter()
        .map(|(inode, (port, loopback))| Port {
            port: *port,
            loopback: *loopback,
            program: programs.get(inode).cloned().unwrap_or_default(),
            ..Port::default()
        })
        .collect();
    ports.sort_by_key(|p| p.port);
    ports
}

/// Programs that hold these sockets.
fn owners(inodes: &[&String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for pid in names("/proc")
        .unwrap_or_default()
        .iter()
        .filter(|n| n.starts_with(|c: char| c.is_ascii_digit()))
    {
        let folder = format!("/proc/{pid}/fd");
        for fd in names(&folder).unwrap_or_default() {
            let Ok(target) = fs::read_link(format!("{folder}/{fd}")) else {
                continue;
            };
            let target = target.to_string_lossy();
            let Some(inode) = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')) else {
                continue;
            };
            if inodes.iter().any(|i| *i == inode) {
                found.insert(inode.to_owned(), word(format!("/proc/{pid}/comm")));
            }
        }
    }
    found
}

pub(super) fn dns() -> Dns {
    Dns {
        resolv_conf: read("/etc/resolv.conf"),
        resolv_link: fs::read_link("/etc/resolv.conf")
            .ok()
            .map(|p| p.display().to_string()),
        upstream_conf: read("/run/systemd/resolve/resolv.conf"),
        ..Dns::default()
    }
}
