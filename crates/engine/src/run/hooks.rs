//! What the API server asks of the parts that it does not know.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine_api::{MetricsSource, Network, NodeUsage, PodUsage, Usage};
use engine_net::ClusterNet;
use engine_node::{Nodes, Rate, ResourceUsage};
use streaming::Duplex;

/// How long a node or a pod may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections from where the API server listens for the cluster: the host needs no way to pods.
pub struct Backbone(pub Arc<ClusterNet>);

#[async_trait]
impl Network for Backbone {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Duplex>> {
        match self.0.backbone().connect_tcp(address, PATIENCE).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Err(engine_net::Error::Socket { source, .. }) => Err(source),
            Err(other) => Err(io::Error::other(other)),
        }
    }
}

/// What nodes and pods use, from this process' node agents.
pub struct Metrics(pub Nodes);

#[async_trait]
impl MetricsSource for Metrics {
    async fn nodes(&self) -> Vec<NodeUsage> {
        let agents = self.0.agents();
        let asked = agents.iter().map(engine_node::NodeAgent::resources);
        let found = futures::future::join_all(asked).await;
        found.into_iter().filter_map(node_usage).collect()
    }
}

fn usage(rate: Rate, memory: u64) -> Usage {
    Usage {
        cpu_nanos: rate.nano_cores,
        memory,
    }
}

fn node_usage(node: ResourceUsage) -> Option<NodeUsage> {
    let rate = node.rate?;
    let pods = node.pods.into_iter().map(|pod| PodUsage {
        window: pod
            .containers
            .iter()
            .map(|(_, rate, _)| rate.window)
            .min()
            .unwrap_or_default(),
        namespace: pod.namespace,
        name: pod.name,
        containers: pod
            .containers
            .into_iter()
            .map(|(name, rate, memory)| (name, usage(rate, memory)))
            .collect(),
    });
    Some(NodeUsage {
        name: node.node,
        at: node.at,
        window: rate.window,
        usage: usage(rate, node.memory),
        pods: pods.collect(),
    })
}
