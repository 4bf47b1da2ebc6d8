//! Host, backbone and nodes of one cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::Ipv4Net;

use crate::{
    Error, Namespace, NetPlan, NodeNet, Result,
    namespace::set_sysctl,
    netlink::{
        Batch, Socket,
        route::{Hop, Veth},
    },
    plan::{MAX_NODES, link_alias, netns_dir},
};

/// A namespace's index of `lo`.
const LOOPBACK: u32 = 1;
/// The backbone's end of the link to the host.
const TO_HOST: &str = "host0";
/// A node's end of the link to the backbone.
const UPLINK: &str = "up0";

/// The network of a cluster. Everything is held by the kernel: dropping this tears nothing down.
#[derive(Debug)]
pub struct ClusterNet {
    plan: NetPlan,
    backbone: Station,
    nodes: Mutex<BTreeMap<u8, Arc<NodeNet>>>,
    /// Nodes whose link stays down, whether they exist yet or not.
    severed: Mutex<BTreeSet<u8>>,
    /// Bumped when a node comes or goes, so that the service proxy programs it.
    changed: tokio::sync::watch::Sender<u64>,
}

/// A namespace with the socket that configures it.
#[derive(Debug)]
pub(crate) struct Station {
    pub namespace: Namespace,
    route: Mutex<Socket>,
}

impl Station {
    /// Opens or makes the namespace and lets it forward.
    fn ensure(path: PathBuf) -> Result<Self> {
        let namespace = Namespace::ensure(&path)?;
        let route = namespace.run(|| {
            for (name, value) in ROUTER_SYSCTLS {
                set_sysctl(name, value)?;
            }
            Socket::route()
        })??;
        Ok(Self {
            namespace,
            route: Mutex::new(route),
        })
    }

    pub(crate) fn route(&self) -> MutexGuard<'_, Socket> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a namespace that routes needs. New namespaces inherit the host's values, whatever they are.
const ROUTER_SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Hairpin traffic leaves by the link it came from, which would be answered by redirects.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    // A refused connection is to be refused at once, each time.
    ("net/ipv4/icmp_ratelimit", "0"),
    // The size of the table of flows is the host's affair. With 120 s for each finished connection, that would be the
    // ceiling of a load test: 2,200 connections/s where it holds 262,144.
    ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "10"),
    // No link-local IPv6 addresses, and none of the timers that come with them.
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];

impl ClusterNet {
    /// Makes the backbone and the host's link to it exist as planned. What exists is adopted, what is half made repaired.
    pub async fn ensure(plan: NetPlan) -> Result<Arc<Self>> {
        blocking(move || Self::ensure_now(plan)).await
    }

    fn ensure_now(plan: NetPlan) -> Result<Arc<Self>> {
        let dir = netns_dir(&plan.run_dir);
        crate::namespace::prepare_dir(&dir)?;
        let backbone = Station::ensure(dir.join("backbone"))?;
        let host = Socket::route()?;
        connect_host(&plan, &host, &backbone)?;
        let (changed, _) = tokio::sync::watch::channel(0);
        Ok(Arc::new(Self {
            plan,
            backbone,
            nodes: Mutex::default(),
            severed: Mutex::default(),
            changed,
        }))
    }

    /// What it was made from.
    pub fn plan(&self) -> &NetPlan {
        &self.plan
    }

    /// The backbone's namespace, where API server and DNS listen.
    pub fn backbone(&self) -> &Namespace {
        &self.backbone.namespace
    }

    /// Makes the network of a node exist: its namespace, its link to the backbone, its routes. Pods that are attached
    /// stay so. One that is cut off stays cut off. `index` is 1-based; `name` is the Node object's.
    pub async fn ensure_node(self: &Arc<Self>, index: u8, name: &str) -> Result<Arc<NodeNet>> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking(move || this.ensure_node_now(index, &name)).await
    }

    fn ensure_node_now(&self, index: u8, name: &str) -> Result<Arc<NodeNet>> {
        if index == 0 || index > MAX_NODES {
            return Err(Error::NodeNumber(index));
        }
        let existing = self.nodes().get(&index).cloned();
        let node = match existing {
            Some(node) if node.name() == name => node,
            _ => {
                let path = netns_dir(&self.plan.run_dir).join(format!("node.{index}"));
                let station = Station::ensure(path)?;
                Arc::new(NodeNet::adopt(&self.plan, index, name, station)?)
            }
        };
        self.connect_node(&node)?;
        self.nodes().insert(index, Arc::clone(&node));
        self.changed.send_modify(|count| *count += 1);
        Ok(node)
    }

    /// A node that was set up.
    pub fn node(&self, index: u8) -> Option<Arc<NodeNet>> {
        self.nodes().get(&index).cloned()
    }

    /// All nodes that were set up, by index.
    pub fn all_nodes(&self) -> Vec<Arc<NodeNet>> {
        self.nodes().values().cloned().collect()
    }

    /// Takes a node out of the network: nothing gets in or out, as if its cable was pulled. It may be one that is made later, which
    /// then has no link from the beginning.
    pub async fn cut(self: &Arc<Self>, index: u8) -> Result<()> {
        let this = Arc::clone(self);
        blocking(move || {
            this.severed().insert(index);
            let route = this.backbone.route();
            if let Some(link) = route.link(&node_link(index))? {
                let mut batch = Batch::default();
                batch.link_state(link.index, false);
                route.execute(&batch)?;
            }
            Ok(())
        })
        .await
    }

    /// Undoes [`cut`](Self::cut).
    pub async fn heal(self: &Arc<Self>, index: u8) -> Result<()> {
        let this = Arc::clone(self);
        blocking(move || {
            let node = this.node(index).ok_or(Error::UnknownNode(index))?;
            this.severed().remove(&index);
            this.connect_node(&node)
        })
        .await
    }

    /// Detaches all pods of a node and removes its network.
    pub async fn remove_node(self: &Arc<Self>, index: u8) -> Result<()> {
        let Some(node) = self.nodes().remove(&index) else {
            return Ok(());
        };
        self.changed.send_modify(|count| *count += 1);
        for pod in node.pods() {
            node.detach_pod(&pod.uid).await?;
        }
        let this = Arc::clone(self);
        blocking(move || {
            let mut batch = Batch::default();
            batch.delete_link(&node_link(index));
            this.backbone.route().execute(&batch)?;
            crate::namespace::unmount(node.namespace().path())
        })
        .await
    }

    /// Told when a node comes or goes.
    pub(crate) fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u8, Arc<NodeNet>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn severed(&self) -> MutexGuard<'_, BTreeSet<u8>> {
        self.severed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect_node(&self, node: &NodeNet) -> Result<()> {
        let (plan, index) = (self.plan.addresses, node.index());
        let name = node_link(index);
        let inner = node.station().route();
        let outer = self.backbone.route();
        ensure_pair(&outer, &name, &inner, UPLINK, &node.station().namespace, index)?;
        let (here, there) = (linked(&outer, &name)?, linked(&inner, UPLINK)?);

        let mut batch = Batch::default();
        batch
            .link_state(LOOPBACK, true)
            // On `lo`, because a lost link would take the address, and that all routes that prefer it as source.
            .add_address(LOOPBACK, node.address())
            .link_state(there, true)
            .set_route(
                Ipv4Net::from(plan.backbone()),
                Hop::Link(there),
                Some(node.address()),
            )
            .set_route(
                Ipv4Net::default(),
                Hop::Via(plan.backbone(), there),
                Some(node.address()),
            )
            // Addresses of pods that are gone answer "unreachable" instead of circling by the default route.
            .set_route(node.pod_range(), Hop::Unreachable, None);
        inner.execute(&batch)?;

        let mut batch = Batch::default();
        if self.severed().contains(&index) {
            batch.link_state(here, false);
            return outer.execute(&batch);
        }
        batch
            .link_state(here, true)
            .set_route(
                Ipv4Net::from(node.address()),
                Hop::Link(here),
                Some(plan.backbone()),
            )
            .set_route(
                node.pod_range(),
                Hop::Via(node.address(), here),
                Some(plan.backbone()),
            );
        outer.execute(&batch)
    }
}

fn node_link(index: u8) -> String {
    format!("node{index}")
}

fn connect_host(plan: &NetPlan, host: &Socket, backbone: &Station) -> Result<()> {
    let name = plan.host_link();
    let alias = link_alias(&plan.run_dir);
    if let Some(link) = host.link(&name)?
        && !link.alias.is_empty()
        && link.alias != alias
    {
        return Err(Error::ForeignLink {
            link: name,
            alias: link.alias,
            expected: alias,
        });
    }
    let inner = backbone.route();
    ensure_pair(host, &name, &inner, TO_HOST, &backbone.namespace, 0)?;
    set_sysctl(&format!("net/ipv6/conf/{name}/addr_gen_mode"), "1")?;
    let (here, there) = (linked(host, &name)?, linked(&inner, TO_HOST)?);
    let addresses = plan.addresses;

    let mut batch = Batch::default();
    batch
        .link_state(LOOPBACK, true)
        .add_address(LOOPBACK, addresses.backbone())
        .link_state(there, true)
        .set_route(
            Ipv4Net::from(addresses.host()),
            Hop::Link(there),
            Some(addresses.backbone()),
        )
        // Only so that a local connection to a ClusterIP passes the output hook, where it gets its real destination.
        .set_route(
            addresses.services(),
            Hop::Link(LOOPBACK),
            Some(addresses.backbone()),
        );
    inner.execute(&batch)?;

    let via = Hop::Via(addresses.backbone(), here);
    let source = Some(addresses.host());
    let mut batch = Batch::default();
    batch
        .set_alias(&name, &alias)
        .add_address(here, addresses.host())
        .link_state(here, true)
        .set_route(Ipv4Net::from(addresses.backbone()), Hop::Link(here), source);
    host.execute(&batch)?;
    let routes = host.routes()?;
    for range in addresses.ranges() {
        if routes.contains(&(range, Some(here))) {
            continue;
        }
        // Of two that chose the same index at the same time, the kernel lets one have it.
        if let Err(error) = host.execute(Batch::default().add_route(range, via, source)) {
            return Err(if error.is_errno(libc::EEXIST) {
                Error::RangeTaken(range)
            } else {
                error
            });
        }
    }
    Ok(())
}

/// Makes a veth pair exist between two namespaces. A lone end (its peer is in a namespace that is dying) is replaced.
fn ensure_pair(
    outer: &Socket,
    name: &str,
    inner: &Socket,
    peer: &str,
    namespace: &Namespace,
    seed: u8,
) -> Result<()> {
    match (outer.link(name)?, inner.link(peer)?) {
        (Some(_), Some(_)) => return Ok(()),
        (Some(_), None) => outer.execute(Batch::default().delete_link(name))?,
        (None, Some(_)) => inner.execute(Batch::default().delete_link(peer))?,
        (None, None) => {}
    }
    let mut batch = Batch::default();
    batch.add_veth(&Veth {
        name,
        index: 0,
        mac: [0x0a, 0x58, 0, 1, 0, seed],
        peer,
        peer_index: 0,
        peer_mac: [0x0a, 0x58, 0, 2, 0, seed],
        peer_namespace: std::os::fd::AsFd::as_fd(namespace),
    });
    outer.execute(&batch)
}

fn linked(socket: &Socket, name: &str) -> Result<u32> {
    let gone = || {
        Error::kernel(
            format!("find the link {name}"),
            io::Error::from(io::ErrorKind::NotFound),
        )
    };
    Ok(socket.link(name)?.ok_or_else(gone)?.index)
}

/// Netlink is quick, but creating links can wait for the kernel's one lock on them.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Thread)?
}
