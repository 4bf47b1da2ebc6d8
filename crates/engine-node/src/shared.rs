//! What all workers of a node share.
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine_net::NodeNet;
use engine_runtime::cgroup::{GROUP, IDLE_GROUP, Layout};
use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use crate::allocation::Book;
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
    /// `clusters/NAME/seccomp`: profiles of type Localhost.
    pub profiles: PathBuf,
    /// `NAME/NODE`, the node's part of a cgroup's path.
    pub cgroup: String,
    /// Allocatable resources.
    pub facts: Facts,
    /// What pods were promised of them.
    pub book: Arc<Book>,
    /// Where cgroups are.
    pub layout: Layout,
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

    /// The node's cgroups: of its pods, and of those that run on idle CPU.
    pub fn cgroups(&self) -> [String; 2] {
        [GROUP, IDLE_GROUP].map(|top| format!("{top}/{}", self.cgroup))
    }

    /// Whether a cgroup is below the node's.
    pub fn owns_cgroup(&self, cgroup: &str) -> bool {
        let below = |own: &String| {
            cgroup
                .strip_prefix(own.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.cgroups().iter().any(below)
    }

    /// A pod's cgroup.
    pub fn pod_cgroup(&self, pod: &Pod) -> String {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let [plain, idle] = self.cgroups();
        let node = if resources::is_background(pod) {
            idle
        } else {
            plain
        };
        format!("{node}/{}/pod{uid}", resources::qos(pod).cgroup())
    }

    /// Where a pod's cgroup may be when only its uid is known.
    pub fn pod_cgroups(&self, uid: &str) -> Vec<String> {
        let classes = ["guaranteed", "burstable", "besteffort"];
        let below = |node: String| classes.map(|class| format!("{node}/{class}/pod{uid}"));
        self.cgroups().into_iter().flat_map(below).collect()
    }
}
