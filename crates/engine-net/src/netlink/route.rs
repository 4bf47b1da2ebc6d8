//! Requests for links, addresses, routes and neighbours.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use ipnet::Ipv4Net;
use libc::{EEXIST, ENODEV, ENOENT, ESRCH};

use super::{
    Batch, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, Socket, attribute, attributes,
};
use crate::Result;

const AF_INET: u8 = libc::AF_INET as u8;
const IFF_UP: u32 = libc::IFF_UP as u32;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const NUD_PERMANENT: u16 = 0x80;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A veth pair: this end in the socket's namespace, the peer in another.
pub(crate) struct Veth<'a> {
    pub name: &'a str,
    /// 0 lets the kernel choose; otherwise the peer's is chosen too.
    pub index: u32,
    pub mac: Mac,
    pub peer: &'a str,
    pub peer_index: u32,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hop {
    /// The destination is on the link.
    Link(u32),
    /// By a gateway that is reachable on the link, whatever the link's own prefix.
    Via(Ipv4Addr, u32),
    /// An ICMP answer.
    Unreachable,
}

/// What is known about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub up: bool,
    pub name: String,
    pub alias: String,
}

fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

impl Batch {
    pub(crate) fn link_state(&mut self, index: u32, up: bool) -> &mut Self {
        let flags = if up { IFF_UP } else { 0 };
        let what = if up { "set a link up" } else { "set a link down" };
        self.message(
            what,
            libc::RTM_NEWLINK,
            NLM_F_ACK,
            &ifinfo(index, flags, IFF_UP),
            |_| {},
        )
    }

    pub(crate) fn add_veth(&mut self, veth: &Veth<'_>) -> &mut Self {
        self.message(
            format!("create the link {}", veth.name),
            libc::RTM_NEWLINK,
            NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            &ifinfo(veth.index, 0, 0),
            |a| {
                a.text(IFLA_IFNAME, veth.name);
                a.put(IFLA_ADDRESS, &veth.mac);
                a.nest(IFLA_LINKINFO, |a| {
                    a.text(IFLA_INFO_KIND, "veth");
                    a.nest(IFLA_INFO_DATA, |a| {
                        a.nest(VETH_INFO_PEER, |a| {
                            a.raw(&ifinfo(veth.peer_index, 0, 0));
                            a.text(IFLA_IFNAME, veth.peer);
                            a.put(IFLA_ADDRESS, &veth.peer_mac);
                            a.u32(IFLA_NET_NS_FD, veth.peer_namespace.as_raw_fd() as u32);
                        });
                    });
                });
            },
        )
    }

    /// Names a link's owner; the kernel takes this only from a link that exists.
    pub(crate) fn set_alias(&mut self, name: &str, alias: &str) -> &mut Self {
        self.message(
            format!("mark the link {name}"),
            libc::RTM_NEWLINK,
            NLM_F_ACK,
            &ifinfo(0, 0, 0),
            |a| {
                a.text(IFLA_IFNAME, name);
                a.put(IFLA_IFALIAS, alias.as_bytes());
            },
        )
    }

    pub(crate) fn delete_link(&mut self, name: &str) -> &mut Self {
        self.message(
            format!("delete the link {name}"),
            libc::RTM_DELLINK,
            NLM_F_ACK,
            &ifinfo(0, 0, 0),
            |a| {
                a.text(IFLA_IFNAME, name);
            },
        )
        .tolerate(&[ENODEV])
    }

    /// A `/32` address; that it exists is fine.
    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Addr) -> &mut Self {
        const IFA_ADDRESS: u16 = 1;
        const IFA_LOCAL: u16 = 2;
        let mut header = [AF_INET, 32, 0, 0, 0, 0, 0, 0];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        self.message(
            format!("add the address {address}"),
            libc::RTM_NEWADDR,
            NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            &header,
            |a| {
                a.put(IFA_LOCAL, &address.octets());
                a.put(IFA_ADDRESS, &address.octets());
            },
        )
        .tolerate(&[EEXIST])
    }

    /// A route in the main table, replacing one to the same destination.
    pub(crate) fn set_route(
        &mut self,
        destination: Ipv4Net,
        hop: Hop,
        source: Option<Ipv4Addr>,
    ) -> &mut Self {
        self.route(
            format!("add the route to {destination}"),
            libc::RTM_NEWROUTE,
            NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            destination,
            hop,
            source,
        )
    }

    /// A route in the main table; one that exists is an error (`EEXIST`).
    pub(crate) fn add_route(
        &mut self,
        destination: Ipv4Net,
        hop: Hop,
        source: Option<Ipv4Addr>,
    ) -> &mut Self {
        self.route(
            format!("add the route to {destination}"),
            libc::RTM_NEWROUTE,
            NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            destination,
            hop,
            source,
        )
    }

    pub(crate) fn delete_route(&mut self, destination: Ipv4Net, hop: Hop) -> &mut Self {
        self.route(
            format!("delete the route to {destination}"),
            libc::RTM_DELROUTE,
            NLM_F_ACK,
            destination,
            hop,
            None,
        )
        .tolerate(&[ESRCH, ENODEV])
    }

    fn route(
        &mut self,
        what: String,
        kind: u16,
        flags: u16,
        destination: Ipv4Net,
        hop: Hop,
        source: Option<Ipv4Addr>,
    ) -> &mut Self {
        const RTA_DST: u16 = 1;
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        const RTA_PREFSRC: u16 = 7;
        const RTN_UNICAST: u8 = 1;
        const RTN_UNREACHABLE: u8 = 7;
        const RTNH_F_ONLINK: u32 = 4;
        const SCOPE_UNIVERSE: u8 = 0;
        const SCOPE_LINK: u8 = 253;
        let (scope, route_kind, route_flags) = match hop {
            Hop::Link(_) => (SCOPE_LINK, RTN_UNICAST, 0),
            Hop::Via(..) => (SCOPE_UNIVERSE, RTN_UNICAST, RTNH_F_ONLINK),
            Hop::Unreachable => (SCOPE_UNIVERSE, RTN_UNREACHABLE, 0u32),
        };
        let mut header = [
            AF_INET,
            destination.prefix_len(),
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            scope,
            route_kind,
            0,
            0,
            0,
            0,
        ];
        header[8..12].copy_from_slice(&route_flags.to_ne_bytes());
        self.message(what, kind, flags, &header, |a| {
            a.put(RTA_DST, &destination.network().octets());
            match hop {
                Hop::Link(index) => a.u32(RTA_OIF, index),
                Hop::Via(gateway, index) => {
                    a.put(RTA_GATEWAY, &gateway.octets());
                    a.u32(RTA_OIF, index);
                }
                Hop::Unreachable => {}
            }
            if let Some(source) = source {
                a.put(RTA_PREFSRC, &source.octets());
            }
        })
    }

    /// A neighbour that is never asked for.
    pub(crate) fn set_neighbour(&mut self, index: u32, address: Ipv4Addr, mac: Mac) -> &mut Self {
        const NDA_DST: u16 = 1;
        const NDA_LLADDR: u16 = 2;
        let mut header = [0; 12];
        header[0] = AF_INET;
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
        self.message(
            format!("add the neighbour {address}"),
            libc::RTM_NEWNEIGH,
            NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            &header,
            |a| {
                a.put(NDA_DST, &address.octets());
                a.put(NDA_LLADDR, &mac);
            },
        )
    }
}

impl Socket {
    /// The link of a name.
    pub(crate) fn link(&self, name: &str) -> Result<Option<Link>> {
        let mut batch = Batch::default();
        batch
            .message(
                format!("find the link {name}"),
                libc::RTM_GETLINK,
                0,
                &ifinfo(0, 0, 0),
                |a| {
                    a.text(IFLA_IFNAME, name);
                },
            )
            .tolerate(&[ENODEV, ENOENT]);
        let answers = self.query(&batch, false)?;
        Ok(answers.first().and_then(|payload| parse_link(payload)))
    }

    /// All links.
    pub(crate) fn links(&self) -> Result<Vec<Link>> {
        let mut batch = Batch::default();
        batch.message(
            "list links",
            libc::RTM_GETLINK,
            NLM_F_DUMP,
            &ifinfo(0, 0, 0),
            |_| {},
        );
        Ok(self
            .query(&batch, true)?
            .iter()
            .filter_map(|payload| parse_link(payload))
            .collect())
    }

    /// All destinations of IPv4 routes of the host, in any table, with the link they leave by.
    pub(crate) fn routes(&self) -> Result<Vec<(Ipv4Net, Option<u32>)>> {
        let mut batch = Batch::default();
        let mut header = [0; 12];
        header[0] = AF_INET;
        batch.message("list routes", libc::RTM_GETROUTE, NLM_F_DUMP, &header, |_| {});
        Ok(self
            .query(&batch, true)?
            .iter()
            .filter_map(|payload| parse_route(payload))
            .collect())
    }
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let number =
        |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?)) };
    let index = number(4)?;
    let flags = number(8)?;
    let mut link = Link {
        index,
        up: flags & IFF_UP != 0,
        name: String::new(),
        alias: String::new(),
    };
    for (kind, value) in attributes(payload.get(16..)?) {
        let text = || String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        match kind {
            IFLA_IFNAME => link.name = text(),
            IFLA_IFALIAS => link.alias = text(),
            _ => {}
        }
    }
    Some(link)
}

fn parse_route(payload: &[u8]) -> Option<(Ipv4Net, Option<u32>)> {
    let prefix = *payload.get(1)?;
    let rest = payload.get(12..)?;
    let destination = match attribute(rest, 1) {
        Some(bytes) => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?),
        None => Ipv4Addr::UNSPECIFIED,
    };
    let link = attribute(rest, 4).and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?)));
    Some((Ipv4Net::new(destination, prefix).ok()?, link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_this_machine_can_be_listed_without_root() {
        let socket = Socket::route().unwrap();
        let links = socket.links().unwrap();
        let lo = links
            .iter()
            .find(|link| link.name == "lo")
            .expect("every namespace has lo");
        assert_eq!(socket.link("lo").unwrap().as_ref(), Some(lo));
        assert_eq!(socket.link("no-such-link").unwrap(), None);
        if lo.up {
            let local: Ipv4Net = "127.0.0.0/8".parse().unwrap();
            assert!(socket.routes().unwrap().iter().any(|(net, _)| *net == local));
        }
    }

    #[test]
    fn what_needs_root_is_refused_with_its_name() {
        if rustix::process::geteuid().is_root() {
            eprintln!("skipped: root may do this");
            return;
        }
        let mut batch = Batch::default();
        batch.delete_link("lo");
        let error = Socket::route().unwrap().execute(&batch).unwrap_err().to_string();
        assert!(error.contains("delete the link lo"), "{error}");
    }
}
