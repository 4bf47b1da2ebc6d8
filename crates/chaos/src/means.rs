use std::time::Duration;

use async_trait::async_trait;

use crate::NodeBy;

/// Why means failed.
pub type MeansError = Box<dyn std::error::Error + Send + Sync>;

/// What no API can do; a local cluster's engine can.
#[async_trait]
pub trait Means: Send + Sync {
    /// Sends SIGKILL to every process of a pod's containers; gives how many.
    async fn kill_pod(&self, uid: &str) -> Result<usize, MeansError>;
    /// Breaks a node. It is mended by itself after this time, whatever becomes of the caller.
    async fn break_node(&self, node: &str, by: NodeBy, lasts: Duration) -> Result<(), MeansError>;
    /// Mends a node now; nothing happens to one that is whole.
    async fn restore_node(&self, node: &str) -> Result<(), MeansError>;
    /// Nodes that are broken.
    async fn broken_nodes(&self) -> Result<Vec<BrokenNode>, MeansError>;
}

/// A node that is broken.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenNode {
    /// Its name.
    pub name: String,
    /// What was done to it, in words.
    pub what: String,
    /// Seconds until it is mended by itself.
    pub remaining_s: Option<f64>,
}
