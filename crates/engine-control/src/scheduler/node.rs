//! What the scheduler knows of a node: its pods, and what they have taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::meta::Meta;
use crate::{pods, quantity, requests};

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

    /// Whether some amount of `other` is more than this has.
    pub fn is_less_than(&self, other: &Self) -> bool {
        other.0.iter().any(|(name, amount)| self.get(name) < *amount)
    }

    fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(sum) = self.0.get_mut(name) {
                *sum -= amount;
            }
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

/// What a pod asks for (k8s.io/component-helpers/resource PodRequests).
pub(crate) fn pod_requests(pod: &Pod) -> Resources {
    let requests = requests::of(pod, true).requests().into_iter();
    let amount = |name: &str, q: &kube_types::Quantity| match name {
        "cpu" => q.milli_value(),
        _ => q.value(),
    };
    Resources(
        requests
            .map(|(name, quantity)| {
                let amount = amount(&name, &quantity);
                (name, amount)
            })
            .collect(),
    )
}

/// A port of the host that a pod wants: address, protocol, number.
pub(crate) type HostPort = (String, String, i32);

pub(crate) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| requests::is_sidecar(c));
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
        let requests = pod_requests(&pod);
        let ports = pod.spec.as_ref().map(host_ports).unwrap_or_default();
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
    fn a_resize_takes_what_it_will_need_and_frees_what_is_free() {
        let pod = |spec: &str, allocated: &str, actual: &str| -> Pod {
            let own = |cpu: &str| json!({"requests": {"cpu": cpu}});
            serde_json::from_value(json!({"spec": {"resources": own(spec), "containers": [{"name": "a"}], "overhead": {"cpu": "10m"}},
                "status": {"resources": own(actual), "allocatedResources": {"cpu": allocated}}}))
            .unwrap()
        };
        let cpu = |pod: &Pod| pod_requests(pod).get("cpu");
        assert_eq!(cpu(&pod("2", "1", "1")), 2010);
        assert_eq!(cpu(&pod("1", "1", "2")), 2010);
        assert_eq!(cpu(&pod("1", "1", "1")), 1010);
        let less = pod_requests(&pod("1", "1", "1"));
        assert!(less.is_less_than(&pod_requests(&pod("1", "1", "2"))) && !less.is_less_than(&less));
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
