//! What the scheduler knows of a node: its pods, and what they have taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::meta::Meta;
use crate::{pods, quantity};

/// Amounts by resource name: cpu in thousandths, everything else in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources(pub BTreeMap<String, i64>);

impl Resources {
    pub fn of(quantities: &BTreeMap<String, Quantity>) -> Self {
        Self(
            quantities
                .iter()
                .filter_map(|(name, q)| Some((name.clone(), amount(name, q)?)))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_insert(0);
            *sum = sum.saturating_add(*amount);
        }
    }

    fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(sum) = self.0.get_mut(name) {
                *sum -= amount;
            }
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let most = self.0.entry(name.clone()).or_insert(0);
            *most = (*most).max(*amount);
        }
    }
}

pub(crate) fn amount(name: &str, value: &Quantity) -> Option<i64> {
    if name == "cpu" {
        quantity::milli(value)
    } else {
        quantity::units(value)
    }
}

fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    resources
        .and_then(|r| r.requests.as_ref())
        .map(Resources::of)
        .unwrap_or_default()
}

/// What a pod asks for (k8s.io/component-helpers/resource PodRequests): containers and sidecars together, or an init
/// container with the sidecars started before it, whichever is more; pod-level requests win; plus the overhead.
pub(crate) fn pod_requests(spec: &PodSpec) -> Resources {
    let mut sum = Resources::default();
    for container in &spec.containers {
        sum.add(&requests(container.resources.as_ref()));
    }
    let mut sidecars = Resources::default();
    let mut initial = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut wanted = requests(container.resources.as_ref());
        if is_sidecar(container) {
            sum.add(&wanted);
            sidecars.add(&wanted);
            wanted = sidecars.clone();
        } else {
            wanted.add(&sidecars);
        }
        initial.raise_to(&wanted);
    }
    sum.raise_to(&initial);
    for (name, amount) in requests(spec.resources.as_ref()).0 {
        sum.0.insert(name, amount);
    }
    if let Some(overhead) = &spec.overhead {
        sum.add(&Resources::of(overhead));
    }
    sum
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// A port of the host that a pod wants: address, protocol, number.
pub(crate) type HostPort = (String, String, i32);

pub(crate) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0)?;
            let ip = p
                .host_ip
                .clone()
                .filter(|ip| !ip.is_empty())
                .unwrap_or_else(|| "0.0.0.0".into());
            Some((ip, p.protocol.clone().unwrap_or_else(|| "TCP".into()), port))
        })
        .collect()
}

/// A pod with what it takes, computed once.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub pod: Arc<Pod>,
    pub requests: Resources,
    pub ports: Vec<HostPort>,
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> Self {
        let (requests, ports) = pod
            .spec
            .as_ref()
            .map(|s| (pod_requests(s), host_ports(s)))
            .unwrap_or_default();
        Self { pod, requests, ports }
    }

    pub fn priority(&self) -> i32 {
        pods::priority(&self.pod)
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct NodeInfo {
    pub node: Arc<Node>,
    pub allocatable: Resources,
    pub requested: Resources,
    pub pods: HashMap<String, Arc<PodInfo>>,
}

impl NodeInfo {
    pub fn new(node: Arc<Node>) -> Self {
        let mut info = Self {
            node: Arc::default(),
            allocatable: Resources::default(),
            requested: Resources::default(),
            pods: HashMap::new(),
        };
        info.set_node(node);
        info
    }

    pub fn set_node(&mut self, node: Arc<Node>) {
        self.allocatable = node
            .status
            .as_ref()
            .and_then(|s| s.allocatable.as_ref())
            .map(Resources::of)
            .unwrap_or_default();
        self.node = node;
    }

    pub fn name(&self) -> &str {
        self.node.name()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.node.label(key)
    }

    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.remove(pod.pod.uid());
        self.requested.add(&pod.requests);
        self.pods.insert(pod.pod.uid().to_owned(), pod);
    }

    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        Some(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn init_and_sidecar_requests() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Ki"}}}, {"name": "b", "resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "2", "memory": "512"}}}],
            "overhead": {"cpu": "10m"}
        }))
        .unwrap();
        let r = pod_requests(&spec);
        assert_eq!((r.get("cpu"), r.get("memory")), (2210, 1024));
    }

    #[test]
    fn a_node_forgets_what_it_held() {
        let mut node = NodeInfo::new(Arc::default());
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}})).unwrap();
        let info = Arc::new(PodInfo::new(Arc::new(pod)));
        node.add(Arc::clone(&info));
        node.add(info);
        assert_eq!(node.requested.get("cpu"), 1000);
        node.remove("u");
        assert_eq!(node.requested.get("cpu"), 0);
    }
}
