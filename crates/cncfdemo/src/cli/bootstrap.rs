//! `bootstrap`.
use clap::{Args, ValueEnum};

use super::parse_duration;

/// `bootstrap`
#[derive(Debug, Args)]
pub struct Bootstrap {
    /// Where
    #[arg(value_enum)]
    pub provider: Provider,
    /// Number of virtual nodes of a local cluster, 1 to 50 [default: 1, or what the cluster has]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub nodes: Option<u32>,
    /// Port of the API server on 127.0.0.1 [default: a free one from 7443]
    #[arg(long)]
    pub api_port: Option<u16>,
    /// Show what would be done and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub plan: bool,
    /// Also add the cluster to your kubeconfig; an entry of the same name that is not ours is left alone
    #[arg(long)]
    pub merge_kubeconfig: bool,
    /// How soon the loss of a node is acted upon
    #[command(flatten)]
    pub lifecycle: NodeLifecycle,
}

/// How soon a local cluster acts upon the loss of a node; upstream's flags of the same names
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Loss of a node")]
pub struct NodeLifecycle {
    /// Silence after which a node counts as lost, such as 8s [default: 50s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub node_monitor_grace_period: Option<std::time::Duration>,
    /// How long pods stay on a node that is not ready, unless they say otherwise [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub default_not_ready_toleration_seconds: Option<u32>,
    /// How long pods stay on a node that cannot be reached, unless they say otherwise [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub default_unreachable_toleration_seconds: Option<u32>,
}

/// Where a cluster can be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// On this machine, by the embedded engine
    Local,
    /// On machines reached by ssh
    Metal,
    /// Amazon Web Services
    Aws,
    /// Microsoft Azure
    Azure,
    /// Google Cloud
    Gcp,
    /// Equinix Metal, formerly Packet
    Packet,
}
