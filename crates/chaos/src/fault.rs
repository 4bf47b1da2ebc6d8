use std::time::Duration;

/// What is to be broken, whom it hits, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Whom.
    pub target: Target,
    /// How long what lasts is to last. Killed pods are dead at once.
    pub lasts: Duration,
}

/// Kinds of faults.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Pods die.
    Pod {
        /// How.
        by: KillBy,
    },
    /// Nodes are lost.
    Node {
        /// How.
        by: NodeBy,
    },
    /// Packets of pods are lost or late.
    Network {
        /// How.
        effect: Effect,
    },
    /// A file system fills up.
    Disk {
        /// Which, and how far.
        disk: Disk,
    },
    /// Nodes are busy with something else.
    Stress {
        /// Busy loops.
        cpus: u32,
        /// Bytes of memory that are held.
        memory: u64,
    },
}

impl Kind {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Pod { .. } => "pod",
            Kind::Node { .. } => "node",
            Kind::Network { .. } => "network",
            Kind::Disk { .. } => "disk",
            Kind::Stress { .. } => "stress",
        }
    }

    /// Whether it lasts, rather than being over in an instant.
    pub fn lasts(&self) -> bool {
        !matches!(self, Kind::Pod { .. })
    }
}

/// How pods die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillBy {
    /// SIGKILL to every process of their containers where the cluster has means for it, else `Delete`. The pods stay and restart them.
    Signal,
    /// They are deleted with grace period 0, and others take their place. A kubelet sends SIGTERM first and gives a moment
    /// (kuberuntime's minimum grace period, 2 s in 1.36), so this is milder.
    Delete,
}

/// How nodes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeBy {
    /// As if the power failed: the agent is gone and every container is dead. Only by [`crate::Means`].
    Stop,
    /// Its network is cut: what is on it goes on, unreachable. By [`crate::Means`], else by a pod in the node's network.
    Cut,
}

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// All are lost, in both directions.
    Partition,
    /// So many of a hundred are lost, in each direction.
    Loss(u8),
    /// All that are sent are late. Needs netem in the node's kernel.
    Latency {
        /// Mean.
        delay: Duration,
        /// Spread around it.
        jitter: Duration,
    },
}

/// Which file system fills up.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// The volume of this claim, else that of the victims' nodes on which pods keep what is theirs.
    pub claim: Option<String>,
    /// Until so many percent of it are used.
    pub percent: u8,
    /// Bytes that may be taken for that at most: on a shared machine the file system may be everybody's.
    pub at_most: u64,
}

/// Who may be hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Namespace of the pods.
    pub namespace: String,
    /// Label selector of the pods (of the nodes, for faults of nodes); empty for all.
    pub labels: String,
    /// A name instead of a choice.
    pub name: Option<String>,
    /// How many of them.
    pub count: Count,
    /// Only those that play this role.
    pub role: Option<Role>,
    /// The same candidates and the same seed give the same choice.
    pub seed: u64,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u32),
    /// So many of a hundred, rounded up.
    Percent(u8),
}

impl Count {
    /// Of so many candidates.
    pub fn of(self, candidates: usize) -> usize {
        match self {
            Count::Exactly(count) => (count as usize).min(candidates),
            Count::Percent(percent) => (candidates * usize::from(percent.min(100))).div_ceil(100),
        }
    }
}

/// What a pod is to others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A member of a Redis Cluster that leads a shard; nothing is broken before every replica follows its master.
    RedisMaster,
}
