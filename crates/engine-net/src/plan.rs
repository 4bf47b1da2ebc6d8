//! Which addresses and names a cluster uses; a function of its index and its name alone.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// Most clusters that fit the address plan on one host.
pub const MAX_INDEX: u8 = 47;
/// Most nodes that fit the link range of a cluster.
pub const MAX_NODES: u8 = 200;

/// The addresses of the cluster with one index: pods `10.(64+K).0.0/16`, services `10.(112+K).0.0/16`,
/// links `10.(160+K).0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPlan {
    index: u8,
}

impl AddressPlan {
    /// The plan of an index in `0..=47`.
    pub fn new(index: u8) -> Result<Self> {
        if index > MAX_INDEX {
            return Err(Error::Index(index));
        }
        Ok(Self { index })
    }

    /// The index.
    pub fn index(self) -> u8 {
        self.index
    }

    /// The range of all pods.
    pub fn pods(self) -> Ipv4Net {
        net(Ipv4Addr::new(10, 64 + self.index, 0, 0), 16)
    }

    /// The range of the pods of one node (1-based): its `podCIDR`.
    pub fn node_pods(self, node: u8) -> Ipv4Net {
        net(Ipv4Addr::new(10, 64 + self.index, node, 0), 24)
    }

    /// The range of ClusterIPs.
    pub fn services(self) -> Ipv4Net {
        net(Ipv4Addr::new(10, 112 + self.index, 0, 0), 16)
    }

    /// ClusterIP of the service `kubernetes` in `default`.
    pub fn kubernetes_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 112 + self.index, 0, 1)
    }

    /// ClusterIP of the DNS service, what pods have in their `resolv.conf`.
    pub fn dns_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 112 + self.index, 0, 10)
    }

    /// The range of host, backbone and nodes.
    pub fn links(self) -> Ipv4Net {
        net(Ipv4Addr::new(10, 160 + self.index, 0, 0), 24)
    }

    /// The backbone's address; API server (`:6443`) and DNS (`:53`) are bound here.
    pub fn backbone(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 1)
    }

    /// The host's address on its one link.
    pub fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 2)
    }

    /// A node's InternalIP (1-based).
    pub fn node(self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 10u8.saturating_add(node))
    }

    /// The three ranges, as they are checked for overlaps.
    pub fn ranges(self) -> [Ipv4Net; 3] {
        [self.pods(), self.services(), self.links()]
    }
}

fn net(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    // The prefixes are constants of this file and below 33, so this is the value itself.
    Ipv4Net::new_assert(address, prefix)
}

/// A cluster's network: what `ClusterNet::ensure` makes true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetPlan {
    /// The cluster's name.
    pub name: String,
    /// `clusters/NAME/run`: network namespaces are kept in `netns/` below it.
    pub run_dir: PathBuf,
    /// The addresses.
    pub addresses: AddressPlan,
}

impl NetPlan {
    /// The name of the one link on the host.
    pub fn host_link(&self) -> String {
        host_link(&self.name)
    }
}

/// `cd-HASH8`: the name of a cluster's link on the host, from the cluster's name alone.
pub fn host_link(name: &str) -> String {
    use std::fmt::Write as _;
    let mut link = String::from("cd-");
    for byte in &Sha256::digest(name.as_bytes())[..4] {
        let _ = write!(link, "{byte:02x}");
    }
    link
}

/// Where namespaces are mounted.
pub(crate) fn netns_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("netns")
}

/// What the host link's alias says about its owner: a name can be used below two state folders.
pub(crate) fn link_alias(run_dir: &Path) -> String {
    let path = std::path::absolute(run_dir).unwrap_or_else(|_| run_dir.to_owned());
    let path: PathBuf = path.components().collect();
    // IFALIASZ is 256 with its NUL; a longer path is told by its hash.
    let text = path.to_string_lossy();
    if text.len() < 200 {
        format!("cncfdemo {text}")
    } else {
        format!("cncfdemo #{}", host_link(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_documented_plan() {
        let plan = AddressPlan::new(3).unwrap();
        assert_eq!(plan.pods().to_string(), "10.67.0.0/16");
        assert_eq!(plan.node_pods(2).to_string(), "10.67.2.0/24");
        assert_eq!(plan.services().to_string(), "10.115.0.0/16");
        assert_eq!(plan.links().to_string(), "10.163.0.0/24");
        assert_eq!(plan.node(1).to_string(), "10.163.0.11");
        assert_eq!(plan.dns_service().to_string(), "10.115.0.10");
        assert!(AddressPlan::new(48).is_err());
    }

    #[test]
    fn ranges_of_all_indexes_are_disjoint() {
        let mut all = Vec::new();
        for index in 0..=MAX_INDEX {
            all.extend(AddressPlan::new(index).unwrap().ranges());
        }
        for (position, one) in all.iter().enumerate() {
            for other in &all[position + 1..] {
                assert!(!one.contains(other) && !other.contains(one), "{one} {other}");
            }
        }
    }

    #[test]
    fn the_host_link_is_named_by_hash() {
        assert_eq!(host_link("demo").len(), 11);
        // printf demo | sha256sum
        assert_eq!(host_link("demo"), "cd-2a97516c");
    }

    #[test]
    fn the_alias_ignores_spelling_of_the_path() {
        assert_eq!(link_alias(Path::new("/a/b/")), link_alias(Path::new("/a/./b")));
        assert!(link_alias(&PathBuf::from(format!("/{}", "x".repeat(400)))).len() < 250);
    }
}
