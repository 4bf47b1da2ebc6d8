//! Ports of pods on their node's own address (`hostPort`), as the CNI plugin `portmap` does it: in a table of its own beside the services'.

use std::net::Ipv4Addr;

use crate::{
    Result,
    catalog::Protocol,
    cluster::Station,
    netlink::{
        Socket,
        nft::{Expression as E, Hook, OUTPUT, POSTROUTING, PREROUTING, R0, Rule, Transaction},
    },
};

const TABLE: &str = "cncfdemo-host-ports";
/// Just before services, so that a port of a pod wins over a NodePort as it does upstream.
const PRIORITY: i32 = -101;

/// A port of a pod that its node answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedPort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which address of the node; `None` for its own.
    pub ip: Option<Ipv4Addr>,
    /// The node's port.
    pub port: u16,
    /// The pod's port.
    pub target: u16,
}

/// Makes the table what is published now, pod by pod with its address.
pub(crate) fn program<'a>(
    station: &Station,
    node: Ipv4Addr,
    all: impl Iterator<Item = (Ipv4Addr, &'a PublishedPort)>,
) -> Result<()> {
    let mut transaction = Transaction::new(TABLE);
    transaction.replace_table();
    for (chain, number) in [("incoming", PREROUTING), ("outgoing", OUTPUT)] {
        let hook = Hook {
            number,
            priority: PRIORITY,
        };
        transaction.add_chain(chain, Some(&hook));
    }
    let leaving = Hook {
        number: POSTROUTING,
        priority: 100,
    };
    transaction.add_chain("leaving", Some(&leaving));
    for (pod, port) in all {
        for chain in ["incoming", "outgoing"] {
            transaction.add_rule(chain, &rule(node, pod, port));
        }
        // A pod that reached itself would get a packet from its own address and drop it.
        let address = pod.octets().to_vec();
        let hairpin = vec![
            E::Source(R0),
            E::Equals(R0, address.clone()),
            E::Destination(R0),
            E::Equals(R0, address),
            E::Masquerade,
        ];
        transaction.add_rule("leaving", &hairpin);
    }
    let socket = station.namespace.run(Socket::netfilter)??;
    socket.transact(&transaction.finish())
}

fn rule(node: Ipv4Addr, pod: Ipv4Addr, port: &PublishedPort) -> Rule {
    vec![
        E::Destination(R0),
        E::Equals(R0, port.ip.unwrap_or(node).octets().to_vec()),
        E::Protocol(R0),
        E::Equals(R0, vec![port.protocol as u8]),
        E::Port(R0),
        E::Equals(R0, port.port.to_be_bytes().to_vec()),
        E::Choose(vec![(pod, port.target)]),
        E::Redirect,
    ]
}
