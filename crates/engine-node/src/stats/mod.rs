//! What containers, pods and the node use, read from cgroups (v1, v2, and v1 beside v2) and from the pods' network devices.
pub mod text;
pub mod window;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use engine_runtime::cgroup::Layout;
use engine_runtime::proto::Info;
use engine_runtime::usage::Usage;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::agent::lock;
use crate::resources;
use crate::shared::Shared;
use crate::worker::Link;
use window::{ResourceUsage, SHORTEST, Window};

/// An earlier look: when, CPU time in nanoseconds, and the rate seen then.
pub(crate) type Look = (Timestamp, u64, u64);

/// Where figures come from.
#[derive(Clone)]
pub struct Source {
    pub(crate) shared: Arc<Shared>,
    pub(crate) links: Arc<Mutex<HashMap<String, Link>>>,
    pub(crate) before: Arc<Mutex<HashMap<String, Look>>>,
    pub(crate) window: Arc<Mutex<Window>>,
}

/// Use of one container.
#[derive(Debug, Clone)]
pub struct ContainerStats {
    /// Name.
    pub name: String,
    /// Image as the spec names it.
    pub image: String,
    /// The runtime's id.
    pub id: String,
    /// Its cgroup.
    pub cgroup: String,
    /// When it started.
    pub started_at: Timestamp,
    /// What it uses.
    pub usage: Usage,
    /// CPU in billionths of a core between this look and an earlier one; `None` at the first look.
    pub nano_cores: Option<u64>,
    /// CPU limit in thousandths and memory limit in bytes.
    pub limits: (Option<i64>, Option<i64>),
}

/// Counters of a network device, from the pod's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Bytes, packets, errors, drops received.
    pub received: [u64; 4],
    /// Bytes, packets, errors, drops sent.
    pub sent: [u64; 4],
}

/// Use of one pod.
#[derive(Debug, Clone)]
pub struct PodStats {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Its cgroup.
    pub cgroup: String,
    /// The pod as a whole.
    pub usage: Usage,
    /// CPU in billionths of a core since an earlier look.
    pub nano_cores: Option<u64>,
    /// When it was accepted.
    pub started_at: Option<Timestamp>,
    /// Network, unless it is the node's.
    pub network: Option<Network>,
    /// Its running containers.
    pub containers: Vec<ContainerStats>,
}

/// Use of a node at one moment.
#[derive(Debug, Clone)]
pub struct NodeStats {
    /// The moment.
    pub at: Timestamp,
    /// The node's name.
    pub node: String,
    /// All pods together.
    pub usage: Usage,
    /// CPU in billionths of a core since an earlier look.
    pub nano_cores: Option<u64>,
    /// Memory of the node.
    pub memory: i64,
    /// CPU of the node in thousandths.
    pub cpu_milli: i64,
    /// Each pod with something that runs.
    pub pods: Vec<PodStats>,
}

impl Source {
    /// Reads everything now.
    pub async fn read(&self) -> NodeStats {
        let listed = self.shared.runtime.list().await.unwrap_or_default();
        let listed: Vec<Info> = listed
            .into_iter()
            .filter(|info| info.pid > 0 && self.shared.owns_cgroup(&info.cgroup))
            .collect();
        let pods: HashMap<String, Arc<Pod>> = lock(&self.links)
            .iter()
            .map(|(uid, link)| (uid.clone(), Arc::clone(&link.view.borrow().pod)))
            .collect();
        let this = self.clone();
        let empty = NodeStats {
            at: Timestamp::now(),
            node: self.shared.node_name.clone(),
            usage: Usage::default(),
            nano_cores: None,
            memory: self.shared.facts.memory,
            cpu_milli: self.shared.facts.cpu_milli,
            pods: Vec::new(),
        };
        let read = tokio::task::spawn_blocking(move || this.read_now(empty, &listed, &pods));
        match read.await {
            Ok(stats) => stats,
            Err(err) => {
                tracing::error!(%err, "reading statistics failed");
                NodeStats {
                    at: Timestamp::now(),
                    node: self.shared.node_name.clone(),
                    usage: Usage::default(),
                    nano_cores: None,
                    memory: self.shared.facts.memory,
                    cpu_milli: self.shared.facts.cpu_milli,
                    pods: Vec::new(),
                }
            }
        }
    }

    /// CPU use over a window of about 15 seconds, and memory. When nobody has asked for a while, this takes a second.
    pub async fn resources(&self) -> ResourceUsage {
        let stats = self.read().await;
        let window = || self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window().look(&stats) {
            return ResourceUsage::new(&stats, &window());
        }
        tokio::time::sleep(SHORTEST).await;
        let stats = self.read().await;
        window().look(&stats);
        ResourceUsage::new(&stats, &window())
    }

    /// The pods of the node.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        lock(&self.links)
            .values()
            .map(|link| Arc::clone(&link.view.borrow().pod))
            .collect()
    }

    fn read_now(&self, mut stats: NodeStats, listed: &[Info], pods: &HashMap<String, Arc<Pod>>) -> NodeStats {
        let layout = &self.shared.layout;
        let mut by_pod: BTreeMap<&str, Vec<&Info>> = BTreeMap::new();
        for info in listed {
            by_pod
                .entry(info.id.split('.').next().unwrap_or_default())
                .or_default()
                .push(info);
        }
        let [plain, idle] = self.shared.cgroups();
        stats.usage = layout.usage(&plain).and(&layout.usage(&idle));
        stats.nano_cores = self.rate("/", stats.usage.cpu_nanos);
        for (uid, infos) in by_pod {
            let Some(pod) = pods.get(uid) else { continue };
            let cgroup = self.shared.pod_cgroup(pod);
            let usage = layout.usage(&cgroup);
            let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
            let network = infos
                .first()
                .filter(|_| !host_network)
                .and_then(|info| network_of(info.pid));
            let containers = infos
                .iter()
                .filter_map(|info| self.container(layout, pod, info))
                .collect();
            stats.pods.push(PodStats {
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
                name: pod.metadata.name.clone().unwrap_or_default(),
                uid: uid.to_owned(),
                nano_cores: self.rate(uid, usage.cpu_nanos),
                usage,
                started_at: pod
                    .status
                    .as_ref()
                    .and_then(|status| status.start_time.as_ref())
                    .map(|time| time.0),
                network,
                containers,
                cgroup,
            });
        }
        self.before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, _| key == "/" || pods.contains_key(key.split('.').next().unwrap_or_default()));
        stats
    }

    fn container(&self, layout: &Layout, pod: &Pod, info: &Info) -> Option<ContainerStats> {
        let name = info.id.split('.').nth(1)?;
        let spec = resources::containers(pod).find(|container| container.name == name)?;
        let usage = layout.usage(&info.cgroup);
        let list = spec.resources.as_ref();
        Some(ContainerStats {
            name: name.to_owned(),
            image: spec.image.clone().unwrap_or_default(),
            id: info.id.clone(),
            cgroup: info.cgroup.clone(),
            started_at: Timestamp::from_nanosecond(i128::from(info.started_at))
                .unwrap_or(Timestamp::UNIX_EPOCH),
            nano_cores: self.rate(&info.id, usage.cpu_nanos),
            usage,
            limits: (resources::limit(list, "cpu"), resources::limit(list, "memory")),
        })
    }

    /// CPU use since a look at least a second ago; looks that are closer together share the figure before.
    fn rate(&self, key: &str, cpu_nanos: u64) -> Option<u64> {
        let now = Timestamp::now();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let (rate, keep) = next_rate(before.get(key).copied(), now, cpu_nanos);
        before.insert(key.to_owned(), keep);
        rate
    }
}

/// The rate to show and what to remember: time, CPU and rate (0 is none yet).
fn next_rate(
    before: Option<(Timestamp, u64, u64)>,
    now: Timestamp,
    cpu: u64,
) -> (Option<u64>, (Timestamp, u64, u64)) {
    let Some((at, old, rate)) = before else {
        return (None, (now, cpu, 0));
    };
    let elapsed = now.duration_since(at).as_secs_f64();
    if elapsed < 1.0 || cpu < old {
        let shown = (rate > 0).then_some(rate);
        return if cpu < old {
            (None, (now, cpu, 0))
        } else {
            (shown, (at, old, rate))
        };
    }
    let rate = ((cpu - old) as f64 / elapsed) as u64;
    (Some(rate), (now, cpu, rate.max(1)))
}

fn network_of(pid: i32) -> Option<Network> {
    let table = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/dev")).ok()?;
    parse_network(&table)
}

/// `/proc/PID/net/dev` without loopback.
fn parse_network(table: &str) -> Option<Network> {
    let mut network = Network::default();
    let mut any = false;
    for line in table.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        if counters.len() < 16 {
            continue;
        }
        any = true;
        for index in 0..4 {
            network.received[index] += counters[index];
            network.sent[index] += counters[index + 8];
        }
    }
    any.then_some(network)
}

impl NodeStats {
    /// The summary API's document (`/stats/summary`).
    pub fn summary(&self) -> Value {
        let now = crate::status::time(self.at);
        let cpu = |usage: &Usage, rate: Option<u64>| {
            let mut value = json!({"time": now, "usageCoreNanoSeconds": usage.cpu_nanos});
            if let Some(rate) = rate {
                value["usageNanoCores"] = json!(rate);
            }
            value
        };
        let memory = |usage: &Usage, limit: Option<i64>| {
            let mut value = json!({"time": now, "usageBytes": usage.memory, "workingSetBytes": usage.working_set,
                "rssBytes": usage.rss, "pageFaults": usage.faults, "majorPageFaults": usage.major_faults});
            if let Some(limit) = limit {
                value["availableBytes"] = json!(
                    u64::try_from(limit)
                        .unwrap_or(0)
                        .saturating_sub(usage.working_set)
                );
            }
            value
        };
        let pods: Vec<Value> = self
            .pods
            .iter()
            .map(|pod| {
                let containers: Vec<Value> = pod
                    .containers
                    .iter()
                    .map(|container| {
                        json!({"name": container.name, "startTime": crate::status::time(container.started_at),
                            "cpu": cpu(&container.usage, container.nano_cores),
                            "memory": memory(&container.usage, container.limits.1)})
                    })
                    .collect();
                let mut value = json!({
                    "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                    "startTime": pod.started_at.map(crate::status::time),
                    "containers": containers,
                    "cpu": cpu(&pod.usage, pod.nano_cores),
                    "memory": memory(&pod.usage, None),
                    "process_stats": {"process_count": pod.usage.processes},
                });
                if let Some(network) = &pod.network {
                    value["network"] = json!({"time": now, "name": "eth0",
                        "rxBytes": network.received[0], "rxErrors": network.received[2],
                        "txBytes": network.sent[0], "txErrors": network.sent[2]});
                }
                value
            })
            .collect();
        json!({
            "node": {"nodeName": self.node, "cpu": cpu(&self.usage, self.nano_cores),
                "memory": memory(&self.usage, Some(self.memory))},
            "pods": pods,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_counters() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 20 5 6 7 0 0 0 0\n";
        let network = parse_network(table).unwrap();
        assert_eq!((network.received, network.sent), ([10, 2, 3, 4], [20, 5, 6, 7]));
        assert_eq!(parse_network("nothing"), None);
    }

    #[test]
    fn rates_need_a_second() {
        let at = |millis: i64| Timestamp::from_millisecond(millis).unwrap();
        let (rate, kept) = next_rate(None, at(0), 0);
        assert_eq!(rate, None);
        let (rate, kept) = next_rate(Some(kept), at(500), 100);
        assert_eq!(rate, None);
        let (rate, kept) = next_rate(Some(kept), at(2000), 1_000_000_000);
        assert_eq!(rate, Some(500_000_000));
        let (rate, _) = next_rate(Some(kept), at(2100), 1_000_000_001);
        assert_eq!(rate, Some(500_000_000));
    }
}
