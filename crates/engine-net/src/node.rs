//! A node's network and its pods.

use std::{
    collections::HashMap,
    fs,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::Ipv4Net;

use crate::{
    Error, Namespace, NetPlan, PublishedPort, Result,
    cluster::{Station, blocking},
    namespace::{set_sysctl, unmount},
    netlink::{
        Batch, Socket,
        route::{Hop, Mac, Veth},
    },
    plan::netns_dir,
    published,
};

/// What a pod has as its gateway: no machine's address, the neighbour entry is permanent.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The node's end of every pod's link. Each link is a network of its own, so one address does (Calico's habit).
const GATEWAY_MAC: Mac = [0xee; 6];
/// Indexes of pod links are this plus the last part of the address, above what kernels give out in a small namespace.
const LINK_INDEX: u32 = 1000;
/// First and last usable part of the node's `/24`.
const FIRST: u8 = 2;
const LAST: u8 = 254;

/// What a pod's namespace gets: as containerd does by default, ports below 1024 and ping without privileges.
const POD_SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];

/// The network of one (virtual) node.
#[derive(Debug)]
pub struct NodeNet {
    index: u8,
    name: String,
    address: Ipv4Addr,
    range: Ipv4Net,
    dir: PathBuf,
    station: Station,
    pods: Mutex<Pods>,
}

/// A pod's place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNet {
    /// The pod's uid.
    pub uid: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Where its network namespace is mounted; for the container runtime.
    pub netns: PathBuf,
    /// The node's end of its link, in the node's namespace.
    pub link: String,
}

impl PodNet {
    /// Opens its namespace, for probes and port-forward.
    pub fn namespace(&self) -> Result<Namespace> {
        Namespace::open(&self.netns)
    }
}

#[derive(Debug, Default)]
struct Pods {
    /// By uid. The flag says whether this process has seen its set-up complete.
    known: HashMap<String, (PodNet, bool)>,
    /// The last part of the address given out last: a freed address rests as long as possible.
    last: u8,
    /// Ports on the node's address, by uid.
    published: HashMap<String, Vec<PublishedPort>>,
}

impl NodeNet {
    /// Takes over what the folder of namespaces says about the node's pods.
    pub(crate) fn adopt(plan: &NetPlan, index: u8, name: &str, station: Station) -> Result<Self> {
        let node = Self {
            index,
            name: name.to_owned(),
            address: plan.addresses.node(index),
            range: plan.addresses.node_pods(index),
            dir: netns_dir(&plan.run_dir),
            station,
            pods: Mutex::default(),
        };
        node.find_pods()?;
        Ok(node)
    }

    /// 1-based number.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Name of the Node object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its InternalIP.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its `podCIDR`.
    pub fn pod_range(&self) -> Ipv4Net {
        self.range
    }

    /// Its namespace: what a pod with `hostNetwork` runs in.
    pub fn namespace(&self) -> &Namespace {
        &self.station.namespace
    }

    pub(crate) fn station(&self) -> &Station {
        &self.station
    }

    /// Gives a pod its namespace, address and link. For a uid that is attached this returns the same again, after
    /// completing what an interrupted call may have left. One call per pod at a time.
    pub async fn attach_pod(self: &Arc<Self>, uid: &str) -> Result<PodNet> {
        let (this, uid) = (Arc::clone(self), uid.to_owned());
        blocking(move || this.attach_now(&uid)).await
    }

    /// Takes a pod's link, address and namespace away. Unknown pods are fine.
    pub async fn detach_pod(self: &Arc<Self>, uid: &str) -> Result<()> {
        let (this, uid) = (Arc::clone(self), uid.to_owned());
        blocking(move || this.detach_now(&uid)).await
    }

    /// Lets the node answer on ports of an attached pod; they go with the pod's network. An engine that was restarted is told again.
    pub async fn publish(self: &Arc<Self>, uid: &str, ports: Vec<PublishedPort>) -> Result<()> {
        let (this, uid) = (Arc::clone(self), uid.to_owned());
        blocking(move || {
            let mut pods = this.lock();
            let before = if ports.is_empty() {
                pods.published.remove(&uid)
            } else {
                pods.published.insert(uid, ports.clone())
            };
            if before.unwrap_or_default() == ports {
                return Ok(());
            }
            this.program_published(&pods)
        })
        .await
    }

    fn program_published(&self, pods: &Pods) -> Result<()> {
        let all = pods.published.iter().filter_map(|(uid, ports)| {
            let (pod, _) = pods.known.get(uid)?;
            Some(ports.iter().map(|port| (pod.ip, port)))
        });
        published::program(&self.station, self.address, all.flatten())
    }

    /// The pods that have a network here, also those attached by an engine before this one.
    pub fn pods(&self) -> Vec<PodNet> {
        self.lock().known.values().map(|(pod, _)| pod.clone()).collect()
    }

    /// One pod.
    pub fn pod(&self, uid: &str) -> Option<PodNet> {
        self.lock().known.get(uid).map(|(pod, _)| pod.clone())
    }

    fn attach_now(&self, uid: &str) -> Result<PodNet> {
        if uid.is_empty()
            || uid.len() > 128
            || !uid
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(Error::PodUid(uid.to_owned()));
        }
        let pod = {
            let mut pods = self.lock();
            match pods.known.get(uid) {
                Some((pod, true)) => return Ok(pod.clone()),
                Some((pod, false)) => pod.clone(),
                None => {
                    let pod = self.reserve(&mut pods, uid)?;
                    pods.known.insert(uid.to_owned(), (pod.clone(), false));
                    pod
                }
            }
        };
        match self.set_up(&pod) {
            Ok(()) => {
                self.lock().known.insert(uid.to_owned(), (pod.clone(), true));
                Ok(pod)
            }
            Err(error) => {
                if let Err(second) = self.take_down(&pod) {
                    tracing::warn!(pod = uid, error = %second, "cannot clean up after a failed attach");
                }
                self.lock().known.remove(uid);
                Err(error)
            }
        }
    }

    fn detach_now(&self, uid: &str) -> Result<()> {
        let Some(pod) = self.pod(uid) else { return Ok(()) };
        self.take_down(&pod)?;
        let mut pods = self.lock();
        pods.known.remove(uid);
        match pods.published.remove(uid) {
            Some(_) => self.program_published(&pods),
            None => Ok(()),
        }
    }

    fn reserve(&self, pods: &mut Pods, uid: &str) -> Result<PodNet> {
        let taken: Vec<u8> = pods.known.values().map(|(pod, _)| pod.ip.octets()[3]).collect();
        let last = next_free(pods.last, &taken).ok_or_else(|| Error::AddressesExhausted {
            node: self.name.clone(),
            range: self.range,
        })?;
        pods.last = last;
        Ok(self.describe(uid, last))
    }

    fn describe(&self, uid: &str, last: u8) -> PodNet {
        let [a, b, c, _] = self.range.network().octets();
        PodNet {
            uid: uid.to_owned(),
            ip: Ipv4Addr::new(a, b, c, last),
            netns: self.dir.join(format!("pod.{}.{last}.{uid}", self.index)),
            link: format!("p{last}"),
        }
    }

    fn set_up(&self, pod: &PodNet) -> Result<()> {
        match Namespace::find(&pod.netns)? {
            Some(namespace) => namespace.run(|| self.connect(pod, &namespace))?,
            None => Namespace::create(&pod.netns, |namespace| self.connect(pod, namespace)).map(|_| ()),
        }
    }

    /// Runs inside the pod's namespace. One at a time: all of it is done under one lock of the kernel (RTNL), which link and address changes
    /// wait for asleep, but writes of some sysctls by trying again and again (`restart_syscall` in net/ipv6/addrconf.c).
    fn connect(&self, pod: &PodNet, namespace: &Namespace) -> Result<()> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in POD_SYSCTLS {
            set_sysctl(name, value)?;
        }
        let [a, b, c, d] = pod.ip.octets();
        let mac = [0x0a, 0x58, a, b, c, d];
        let index = LINK_INDEX + u32::from(d);

        let inside = Socket::route()?;
        let veth = Veth {
            name: &pod.link,
            index,
            mac: GATEWAY_MAC,
            peer: "eth0",
            peer_index: index,
            peer_mac: mac,
            peer_namespace: namespace.as_fd(),
        };
        let complete = |batch: &mut Batch| {
            batch
                .link_state(index, true)
                .set_neighbour(index, pod.ip, mac)
                .set_route(Ipv4Net::from(pod.ip), Hop::Link(index), Some(self.address));
        };
        let mut batch = Batch::default();
        if inside.link("eth0")?.is_none() {
            batch.add_veth(&veth);
        }
        complete(&mut batch);
        let outcome = self.station.route().execute(&batch);
        if let Err(error) = outcome {
            // An earlier owner of the address is still being taken apart by the kernel: its link goes with its namespace.
            if !error.is_errno(libc::EEXIST) {
                return Err(error);
            }
            let mut batch = Batch::default();
            batch.delete_link(&pod.link).add_veth(&veth);
            complete(&mut batch);
            self.station.route().execute(&batch)?;
        }

        let mut batch = Batch::default();
        batch
            .link_state(1, true)
            .add_address(index, pod.ip)
            .link_state(index, true)
            .set_neighbour(index, GATEWAY, GATEWAY_MAC)
            .set_route(Ipv4Net::from(GATEWAY), Hop::Link(index), Some(pod.ip))
            .set_route(Ipv4Net::default(), Hop::Via(GATEWAY, index), Some(pod.ip));
        inside.execute(&batch)
    }

    /// The link itself goes with the namespace, in the kernel's own time: deleting it takes 5 to 17 ms under the lock that
    /// all other set-ups wait for.
    fn take_down(&self, pod: &PodNet) -> Result<()> {
        let index = LINK_INDEX + u32::from(pod.ip.octets()[3]);
        let mut batch = Batch::default();
        batch.delete_route(Ipv4Net::from(pod.ip), Hop::Link(index));
        let routes = self.station.route().execute(&batch);
        unmount(&pod.netns)?;
        routes
    }

    /// Reads the folder: names say whose a namespace is. Files without a mount and links without a file are removed.
    fn find_pods(&self) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(|error| Error::file("list", &self.dir, error))?;
        let mut pods = self.lock();
        for entry in entries {
            let path = entry
                .map_err(|error| Error::file("list", &self.dir, error))?
                .path();
            let Some((node, last, uid)) = parse_name(&path) else {
                continue;
            };
            if node != self.index {
                continue;
            }
            if Namespace::find(&path)?.is_none() {
                unmount(&path)?;
                continue;
            }
            let pod = self.describe(uid, last);
            pods.last = pods.last.max(last);
            pods.known.insert(uid.to_owned(), (pod, false));
        }
        let route = self.station.route();
        for link in route.links()? {
            let ours = link
                .name
                .strip_prefix('p')
                .is_some_and(|rest| rest.parse::<u8>().is_ok());
            if ours && !pods.known.values().any(|(pod, _)| pod.link == link.name) {
                route.execute(Batch::default().delete_link(&link.name))?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next address part after the last one given, around the end.
fn next_free(last: u8, taken: &[u8]) -> Option<u8> {
    let after = last.saturating_add(1).max(FIRST);
    (after..=LAST)
        .chain(FIRST..=LAST)
        .find(|candidate| !taken.contains(candidate))
}

/// Node number, address part and pod uid from `pod.NODE.PART.UID`.
fn parse_name(path: &Path) -> Option<(u8, u8, &str)> {
    let mut parts = path.file_name()?.to_str()?.strip_prefix("pod.")?.splitn(3, '.');
    let node = parts.next()?.parse().ok()?;
    let last = parts.next()?.parse().ok()?;
    Some((node, last, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_addresses_rest_until_the_others_were_used() {
        assert_eq!(next_free(0, &[]), Some(2));
        assert_eq!(next_free(2, &[]), Some(3));
        assert_eq!(next_free(2, &[3, 4]), Some(5));
        assert_eq!(next_free(254, &[2]), Some(3));
        assert_eq!(next_free(253, &[254]), Some(2));
        let all: Vec<u8> = (2..=254).collect();
        assert_eq!(next_free(7, &all), None);
        let but_one: Vec<u8> = all.iter().copied().filter(|part| *part != 254).collect();
        assert_eq!(next_free(254, &but_one), Some(254));
    }

    #[test]
    fn names_of_namespaces_are_read_back() {
        let uid = "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d";
        let path = PathBuf::from(format!("/run/netns/pod.1.17.{uid}"));
        assert_eq!(parse_name(&path), Some((1, 17, uid)));
        assert_eq!(parse_name(Path::new("/run/pod.1.2.a.b")), Some((1, 2, "a.b")));
        assert_eq!(parse_name(Path::new("/run/node.1")), None);
        assert_eq!(parse_name(Path::new("/run/pod.x.2.a")), None);
        assert_eq!(parse_name(Path::new("/run/pod.1.2")), None);
    }
}
