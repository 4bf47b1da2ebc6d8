use clap::{Args, Subcommand, ValueEnum};

use super::parse_duration;

/// `chaos`
#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// Kill pods
    Pod {
        /// SIGKILL (on a local cluster; elsewhere the pods are deleted), or deletion with grace period 0
        #[arg(long, value_enum, default_value = "signal")]
        by: KillBy,
        /// Only those of a Redis Cluster that lead a shard; waits until every replica follows its master
        #[arg(long)]
        redis_masters: bool,
        /// Whom, how long
        #[command(flatten)]
        common: ChaosArgs,
    },
    /// Take nodes out
    Node {
        /// Stopped as if the power failed (local clusters), or its network cut
        #[arg(long, value_enum, default_value = "stop")]
        by: NodeBy,
        /// Whom, how long
        #[command(flatten)]
        common: ChaosArgs,
    },
    /// Lose or delay packets of pods; without an effect all are lost
    Network {
        /// Percent of the packets that are lost each way
        #[arg(long, value_name = "PERCENT", conflicts_with = "latency")]
        loss: Option<String>,
        /// How late packets are sent: 100ms, or 100ms±20ms; needs netem in the node's kernel
        #[arg(long, value_name = "DELAY")]
        latency: Option<String>,
        /// Whom, how long
        #[command(flatten)]
        common: ChaosArgs,
    },
    /// Fill a volume, or the disk of the nodes that the chosen pods are on
    Disk {
        /// Until so many percent are used
        #[arg(long, value_name = "PERCENT", default_value = "90")]
        fill: String,
        /// The volume of this claim
        #[arg(long, value_name = "CLAIM")]
        claim: Option<String>,
        /// Take no more than this
        #[arg(long, value_name = "BYTES", default_value = "4Gi")]
        at_most: String,
        /// Whom, how long
        #[command(flatten)]
        common: ChaosArgs,
    },
    /// Keep the nodes that the chosen pods are on busy
    Stress {
        /// Busy loops on each
        #[arg(long, value_name = "N", default_value = "1")]
        cpus: String,
        /// Memory held on each
        #[arg(long, value_name = "BYTES", default_value = "0")]
        memory: String,
        /// Whom, how long
        #[command(flatten)]
        common: ChaosArgs,
    },
    /// Mend whatever is still broken
    Undo {
        /// Only list it
        #[arg(long)]
        dry_run: bool,
    },
}

/// How pods die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KillBy {
    /// SIGKILL to their processes
    Signal,
    /// Deletion
    Delete,
}

/// How nodes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeBy {
    /// Agent and containers die
    Stop,
    /// They go on, unreachable
    Cut,
}

/// Whom a fault hits, and for how long.
#[derive(Debug, Args)]
pub struct ChaosArgs {
    /// How long: what lasts is mended then, also if this program is gone; after killing pods so long is watched
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub lasts: std::time::Duration,
    /// Pods of this app (label app.kubernetes.io/name) [default: tally]
    #[arg(long, conflicts_with = "label")]
    pub app: Option<String>,
    /// Pods (for `node`: nodes) with these labels, as kubectl's --selector
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub label: Option<String>,
    /// This pod or node
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// How many of them
    #[arg(long, value_name = "N", conflicts_with_all = ["percent", "only"], value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// How many of them, in percent
    #[arg(long, value_name = "PERCENT", conflicts_with = "only")]
    pub percent: Option<String>,
    /// The same candidates and the same seed give the same choice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Namespace
    #[arg(short, long, default_value = "cncfdemo")]
    pub namespace: String,
    /// Image of the pods that carry faults out (a shell, nft, tc, nsenter) [default on a local cluster: built here]
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// Say who would be hit, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait until it is over
    #[arg(long)]
    pub detach: bool,
}
