use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use results::{Environment, Machine};

/// CPU time of the machine so far, in ticks: stolen by the hypervisor, and all.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    stolen: u64,
    all: u64,
}

impl Ticks {
    /// Reads them; `None` where /proc does not say.
    pub fn now() -> Option<Ticks> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; guest times are in user's already.
        let fields: Vec<u64> = text
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .filter_map(|f| f.parse().ok())
            .collect();
        Some(Ticks {
            stolen: *fields.get(7)?,
            all: fields.iter().take(8).sum(),
        })
    }

    /// Percent that was stolen since.
    pub fn stolen_since(self, before: Ticks) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        100.0 * self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// This machine, as far as it tells.
pub fn machine() -> Machine {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|t| t.trim().to_owned())
            .filter(|t| !t.is_empty())
    };
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo
            .lines()
            .find(|l| l.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = read("/proc/meminfo").and_then(|text| {
        let kib: u64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    Machine {
        cpu: field("model name"),
        cpus: std::thread::available_parallelism()
            .ok()
            .and_then(|n| u32::try_from(n.get()).ok()),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        steal_percent: None,
        memory,
        kernel: read("/proc/sys/kernel/osrelease"),
        virtualisation: Some(virtualisation(&read, field("flags").as_deref())),
        cgroup: cgroup(),
        mtu: mtu(),
    }
}

/// What the firmware says, where the processor admits to a hypervisor.
fn virtualisation(read: &dyn Fn(&str) -> Option<String>, flags: Option<&str>) -> String {
    if let Some(kind) = read("/sys/hypervisor/type") {
        return kind;
    }
    if !flags
        .unwrap_or_default()
        .split_whitespace()
        .any(|f| f == "hypervisor")
    {
        return "none".to_owned();
    }
    match (
        read("/sys/class/dmi/id/sys_vendor"),
        read("/sys/class/dmi/id/product_name"),
    ) {
        (Some(vendor), Some(product)) => format!("{vendor} {product}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "a hypervisor that does not name itself".to_owned(),
    }
}

fn cgroup() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let kinds: Vec<&str> = mounts.lines().filter_map(|l| l.split(' ').nth(2)).collect();
    let (one, two) = (kinds.contains(&"cgroup"), kinds.contains(&"cgroup2"));
    Some(
        match (one, two) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => return None,
        }
        .to_owned(),
    )
}

/// MTU of the interface of the default route.
fn mtu() -> Option<u32> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let line = routes
        .lines()
        .skip(1)
        .find(|l| l.split_whitespace().nth(1) == Some("00000000"))?;
    let interface = line.split_whitespace().next()?;
    fs::read_to_string(format!("/sys/class/net/{interface}/mtu"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The environment of a run on a cluster.
pub async fn environment(client: &Client, namespace: &str, local: bool) -> Result<Environment, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut images = BTreeMap::new();
    let mut background = false;
    for pod in pods
        .list(&ListParams::default().labels("app.kubernetes.io/part-of=cncfdemo"))
        .await?
    {
        let app = pod
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get("app.kubernetes.io/name"))
            .cloned()
            .unwrap_or_default();
        background |= app == "background";
        for status in pod.status.and_then(|s| s.container_statuses).unwrap_or_default() {
            images.insert(format!("{app}/{}", status.name), status.image_id);
        }
    }
    Ok(Environment {
        generator: machine(),
        shared_with_cluster: local.then_some(true),
        network: if local {
            Some("cncfdemo: routed veth pairs, nftables".to_owned())
        } else {
            network(client).await
        },
        images,
        background: Some(if background { "on" } else { "off" }.to_owned()),
    })
}

/// A network plugin gives itself away by its DaemonSet.
async fn network(client: &Client) -> Option<String> {
    const KNOWN: &[&str] = &[
        "cilium",
        "calico",
        "flannel",
        "kindnet",
        "weave",
        "aws-node",
        "antrea",
        "kube-router",
        "azure-cni",
    ];
    let sets: Api<DaemonSet> = Api::all(client.clone());
    let sets = sets.list(&ListParams::default()).await.ok()?;
    let mut names = sets.iter().filter_map(|s| s.metadata.name.as_deref());
    let found = names.find(|name| KNOWN.iter().any(|known| name.contains(known)));
    found.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_what_every_machine_tells() {
        let machine = machine();
        assert!(machine.cpus.is_some_and(|n| n > 0) && machine.kernel.is_some() && machine.memory.is_some());
        let (a, b) = (
            Ticks {
                stolen: 10,
                all: 1000,
            },
            Ticks {
                stolen: 15,
                all: 1100,
            },
        );
        assert!((b.stolen_since(a) - 5.0).abs() < 1e-9);
    }
}
