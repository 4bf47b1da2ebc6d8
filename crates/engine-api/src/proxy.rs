//! HTTP proxies to pods, services and nodes.
use async_trait::async_trait;
use streaming::{Duplex, StreamError};

/// Connects to the HTTPS server of a node's agent.
#[async_trait]
pub trait NodeProxy: Send + Sync {
    /// A connection to the node's agent on this port, TLS already spoken: plain HTTP goes in.
    async fn connect(&self, node: &str, port: u16) -> Result<Box<dyn Duplex>, StreamError>;
}
