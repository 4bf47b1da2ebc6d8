//! Pod network, services, DNS and host ports of the embedded engine.
//!
//! ```text
//! host --veth cd-HASH8-- backbone --veth-- node 1..N --veth-- pods
//! ```
//!
//! [`ClusterNet::ensure`] makes host link and backbone, [`ClusterNet::ensure_node`] a node, [`NodeNet::attach_pod`] a
//! pod's namespace with its address. All is state of the kernel, found again by names after a restart of the engine and
//! removed by [`destroy`] without one. Nothing here is ever changed on the host but the one link and its routes.
//!
//! Everything is routed: a pod has a `/32` and a gateway 169.254.1.1 with a permanent neighbour entry, so that no bridge,
//! no ARP and no reverse path check is in the way of services and hairpins. The backbone and every node carry the
//! service rules; see [`NetPlan`] for the addresses.

mod catalog;
mod cluster;
mod destroy;
mod dns;
mod error;
mod hostports;
mod index;
mod namespace;
mod netlink;
mod node;
mod plan;
mod proxy;
mod published;
mod rules;

pub use catalog::{Catalog, Protocol};
pub use cluster::ClusterNet;
pub use destroy::destroy;
pub use dns::{Dns, DnsConfig};
pub use error::{Error, Result};
pub use hostports::HostPorts;
pub use index::choose_index;
pub use namespace::{Namespace, in_netns};
pub use node::{NodeNet, PodNet};
pub use plan::{AddressPlan, MAX_INDEX, MAX_NODES, NetPlan, host_link};
pub use proxy::ServiceProxy;
pub use published::PublishedPort;
