use std::time::Duration;

use async_trait::async_trait;
use chaos::{BrokenNode, Means, MeansError, NodeBy};
use engine::chaos as engine_chaos;

/// What the engine of a local cluster can do.
pub struct Local(pub engine::Paths);

#[async_trait]
impl Means for Local {
    async fn kill_pod(&self, uid: &str) -> Result<usize, MeansError> {
        let (paths, uid) = (self.0.clone(), uid.to_owned());
        Ok(tokio::task::spawn_blocking(move || engine_chaos::kill_pod(&paths, &uid)).await??)
    }

    async fn break_node(&self, node: &str, by: NodeBy, lasts: Duration) -> Result<(), MeansError> {
        match by {
            NodeBy::Stop => engine_chaos::stop_node(&self.0, node, lasts).await?,
            NodeBy::Cut => engine_chaos::cut_node(&self.0, node, lasts).await?,
        };
        Ok(())
    }

    async fn restore_node(&self, node: &str) -> Result<(), MeansError> {
        engine_chaos::restore_node(&self.0, node).await?;
        Ok(())
    }

    async fn broken_nodes(&self) -> Result<Vec<BrokenNode>, MeansError> {
        let now = jiff::Timestamp::now();
        let nodes = engine_chaos::nodes(&self.0).await?;
        let broken = nodes.into_iter().filter(|n| n.state != engine_chaos::State::Up);
        Ok(broken
            .map(|node| BrokenNode {
                what: format!("node/{} {}", node.name, node.state),
                remaining_s: node.until.map(|t| t.duration_since(now).as_secs_f64().max(0.0)),
                name: node.name,
            })
            .collect())
    }
}
