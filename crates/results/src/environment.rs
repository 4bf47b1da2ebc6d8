use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// On what a run ran: everything that is known to move the figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The machine that the load came from.
    pub generator: Machine,
    /// Whether the cluster runs on that machine too, so that generator and server share its CPUs.
    pub shared_with_cluster: Option<bool>,
    /// What carries the pods' network, when it can be told.
    pub network: Option<String>,
    /// Image and digest of each container name of the demo.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Whether low-priority background work ran: `on`, `off`, or `both` interleaved.
    pub background: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Machine {
    /// CPU model.
    pub cpu: Option<String>,
    /// CPUs online.
    pub cpus: Option<u32>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// Share of the CPU time that the hypervisor gave to others while the load ran, in percent.
    pub steal_percent: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// What it is virtualised by, or `none`.
    pub virtualisation: Option<String>,
    /// `v1`, `v2` or `hybrid`.
    pub cgroup: Option<String>,
    /// MTU of the interface of the default route.
    pub mtu: Option<u32>,
}
