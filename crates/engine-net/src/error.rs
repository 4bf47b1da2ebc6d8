//! What can go wrong in this crate.

use std::{io, path::PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of the cluster's network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a request.
    #[error("failed to {what}: {source}")]
    Kernel {
        /// What was asked of it.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A file or folder could not be handled.
    #[error("failed to {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel answered with bytes that make no sense.
    #[error("malformed netlink answer to {0}")]
    Malformed(&'static str),
    /// The host link's name is taken by something that is not ours.
    #[error("host interface {link} is not of this cluster (its alias is {alias:?}, expected {expected:?})")]
    ForeignLink {
        /// The interface.
        link: String,
        /// The alias it carries.
        alias: String,
        /// The alias it should carry.
        expected: String,
    },
    /// A node number outside of the address plan.
    #[error("node number {0} is outside of 1..=200")]
    NodeNumber(u8),
    /// A node that was not set up.
    #[error("node {0} has no network yet")]
    UnknownNode(u8),
    /// No address left for a pod.
    #[error("no address left in {range} on node {node}")]
    AddressesExhausted {
        /// The node.
        node: String,
        /// Its pod range.
        range: ipnet::Ipv4Net,
    },
    /// A pod uid that cannot be part of a file name.
    #[error("pod uid {0:?} is not usable as a file name")]
    PodUid(String),
    /// Every index overlaps with another cluster or with a route of the host.
    #[error("no free address range for the cluster: {0}")]
    NoIndex(String),
    /// Another cluster took the same index at the same time, or the host has a route of its own there.
    #[error("the range {0} is already routed elsewhere on this host; choose another cluster index")]
    RangeTaken(ipnet::Ipv4Net),
    /// A cluster index outside of the address plan.
    #[error("cluster index {0} is outside of 0..=47")]
    Index(u8),
    /// A helper thread panicked or was cancelled.
    #[error("network helper thread ended without an answer")]
    Thread,
    /// A socket operation inside a namespace.
    #[error("failed to {what} {address}: {source}")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// On which address.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn kernel(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Kernel {
            what: what.into(),
            source: source.into(),
        }
    }

    /// Whether the kernel answered with this number.
    pub(crate) fn is_errno(&self, number: i32) -> bool {
        matches!(self, Self::Kernel { source, .. } if source.raw_os_error() == Some(number))
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File {
            what,
            path: path.into(),
            source: source.into(),
        }
    }
}
