//! What can go wrong before the adapter serves.
use std::net::SocketAddr;

/// Why the adapter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rules cannot be read.
    #[error("{origin}: {reason}")]
    Rules {
        /// Where they come from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The serving certificate cannot be made.
    #[error("failed to make the serving certificate: {0}")]
    Certificate(String),
    /// The client of Prometheus cannot be made.
    #[error("{url:?} is no address of a Prometheus: {reason}")]
    Prometheus {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}
