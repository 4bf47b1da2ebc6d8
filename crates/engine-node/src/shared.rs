//! What all workers of a node share.
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine_net::NodeNet;
use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use crate::downward::Facts;
use crate::events::Recorder;
use crate::images::Images;
use crate::names::Dns;
use crate::objects::{Objects, Services};
use crate::resources;

/// The node as its pods see it.
#[derive(Clone)]
pub struct Shared {
    /// Acts as `system:node:NAME`.
    pub client: kube::Client,
    /// Writes events.
    pub recorder: Recorder,
    /// ConfigMaps and Secrets.
    pub objects: Objects,
    /// Service variables.
    pub services: Services,
    /// Starts and ends containers.
    pub runtime: engine_runtime::Client,
    /// Pods' networks.
    pub net: Arc<NodeNet>,
    /// Images.
    pub images: Images,
    /// Names.
    pub dns: Dns,
    /// Name of the Node object.
    pub node_name: String,
    /// Its InternalIP.
    pub node_ip: IpAddr,
    /// `clusters/NAME/nodes/NODE`.
    pub node_dir: PathBuf,
    /// A tmpfs for secrets.
    pub memory_dir: PathBuf,
    /// `clusters/NAME/volumes`.
    pub volumes_root: PathBuf,
    /// `cncfdemo/NAME/NODE`.
    pub cgroup_root: String,
    /// Allocatable resources.
    pub facts: Facts,
    /// Most tasks of one pod.
    pub pod_pids: Option<i64>,
    /// Cancelled when the agent stops; pods and containers stay as they are.
    pub stop: CancellationToken,
}

impl Shared {
    /// A pod's folder.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.node_dir.join("pods").join(uid)
    }

    /// A pod's cgroup.
    pub fn pod_cgroup(&self, pod: &Pod) -> String {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        format!("{}/{}/pod{uid}", self.cgroup_root, resources::qos(pod).cgroup())
    }

    /// Where a pod's cgroup may be when only its uid is known.
    pub fn pod_cgroups(&self, uid: &str) -> Vec<String> {
        ["guaranteed", "burstable", "besteffort"]
            .iter()
            .map(|class| format!("{}/{class}/pod{uid}", self.cgroup_root))
            .collect()
    }
}
