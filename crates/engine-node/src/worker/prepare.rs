//! What a pod needs before its containers, and what is taken away after them: network, files, volumes, cgroup.
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use engine_net::{Protocol, PublishedPort};
use engine_runtime::proto::Limits;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{Done, Life, Network, Worker, containers_dir};
use crate::downward;
use crate::model::Unit;
use crate::names;
use crate::resources;
use crate::shared::Shared;
use crate::volumes::{self, Failure};

impl Worker {
    /// Gives the pod its network, its cgroup and its files.
    pub(super) fn attach(&mut self) {
        self.network_busy = true;
        let (shared, pod) = (Arc::clone(&self.shared), Arc::clone(&self.pod));
        let host_network = self.is_host_network();
        let cgroup = self.pod_cgroup();
        let limits = self.group_limits();
        if limits != Limits::default() {
            let group = self.whole.group.clone();
            self.shared.book.note(&self.uid, |kept| kept.group = group);
        }
        let prepared = async move { prepare(&shared, &pod, host_network, &cgroup, limits).await };
        self.operate(prepared.map(Done::Network), |why| Done::Network(Err(why)));
    }

    /// Limits of the pod's cgroup when it is made. One with containers in it has limits already, which change with theirs only.
    fn group_limits(&self) -> Limits {
        if self.units.iter().any(Unit::is_running) {
            return Limits::default();
        }
        Limits {
            pids: self.shared.pod_pids,
            ..self.whole.group.clone()
        }
    }

    /// Makes the volumes, or brings them up to date.
    pub(super) fn mount(&mut self) {
        self.volumes_busy = true;
        self.volumes_stale = false;
        let (volumes, pod) = (Arc::clone(&self.volumes), Arc::clone(&self.pod));
        let ip = self.network.as_ref().map(|network| network.ip);
        let facts = downward::Facts {
            pod_ip: ip,
            ..self.shared.facts.clone()
        };
        let mounted = async move {
            let mut volumes = volumes.lock().await;
            let result = volumes.sync(&pod, &facts).await;
            Done::Volumes(result, volumes.refresh_at())
        };
        let failed = |message| {
            let volume = String::new();
            Done::Volumes(Err(Failure { volume, message }), None)
        };
        self.operate(mounted, failed);
    }

    pub(super) fn volumes_done(&mut self, result: Result<(), Failure>, refresh_at: Option<Timestamp>) {
        self.volumes_busy = false;
        self.refresh_at = refresh_at;
        match result {
            Ok(()) => {
                self.volumes_ready = true;
                self.volumes_retry = None;
                self.volumes_backoff.reset();
            }
            Err(failure) => {
                self.volumes_stale = true;
                let now = Timestamp::now();
                self.volumes_backoff.next(now);
                self.volumes_retry = Some(now + self.volumes_backoff.delay());
                self.shared
                    .recorder
                    .pod(&self.pod, None, true, "FailedMount", failure.to_string());
            }
        }
    }

    /// Waits for a change of an object that the pod uses.
    pub(super) fn watch_objects(&mut self) {
        if matches!(self.life, Life::TearingDown | Life::Over) {
            return;
        }
        let volumes = Arc::clone(&self.volumes);
        let changed = async move {
            let mut handles = volumes.lock().await.handles();
            if handles.is_empty() {
                std::future::pending::<()>().await;
            }
            loop {
                futures::future::select_all(handles.iter_mut().map(|handle| handle.changed().boxed())).await;
                let mut volumes = volumes.lock().await;
                if !volumes.is_current() {
                    volumes.acknowledge();
                    break;
                }
            }
            Done::Changed
        };
        // Whoever can no longer tell what has changed says that everything may have.
        self.watching = Some(self.operate(changed, |_| Done::Changed));
    }

    /// Takes away all but the logs.
    pub(super) fn tear_down(&mut self) {
        let shared = Arc::clone(&self.shared);
        let ids: Vec<String> = self
            .units
            .iter()
            .filter_map(|unit| Some(unit.current.as_ref()?.id.clone()))
            .collect();
        let (uid, cgroup) = (self.uid.clone(), self.pod_cgroup());
        let names: Vec<String> = self.units.iter().map(|unit| unit.name.clone()).collect();
        for name in names {
            self.stop_probes(&name, None);
        }
        let removed = async move { remove_pod(&shared, &uid, &ids, &[cgroup]).await };
        self.operate(removed.map(Done::TornDown), |why| Done::TornDown(Err(why)));
    }

    /// The pod is gone for good: nothing of it stays.
    pub(super) async fn forget(&mut self) {
        self.shared.images.forget(&self.uid);
        let dir = self.pod_dir.clone();
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(dir)).await;
        if let Ok(Err(err)) = removed
            && err.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(pod = self.label(), %err, "folder not removed");
        }
    }
}

/// Takes containers, network, volumes and cgroups of a pod away; logs stay. Everything is tried, the first failure is returned.
pub async fn remove_pod(
    shared: &Shared,
    uid: &str,
    ids: &[String],
    cgroups: &[String],
) -> Result<(), String> {
    let mut failed = Vec::new();
    for id in ids {
        if let Err(err) = shared.runtime.remove(id).await {
            failed.push(format!("container {id}: {err}"));
        }
    }
    let (pod_dir, memory_dir) = (shared.pod_dir(uid), shared.memory_dir.join(uid));
    let files = tokio::task::spawn_blocking(move || volumes::remove(&pod_dir, &memory_dir));
    let (network, files) = tokio::join!(shared.net.detach_pod(uid), files);
    if let Err(err) = network {
        failed.push(format!("network: {err}"));
    }
    if let Ok(Err(err)) = files {
        failed.push(format!("volumes: {err}"));
    }
    for cgroup in cgroups {
        if let Err(err) = shared.runtime.remove_cgroup(cgroup, true).await {
            failed.push(format!("cgroup {cgroup}: {err}"));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

async fn prepare(
    shared: &Arc<Shared>,
    pod: &Arc<Pod>,
    host_network: bool,
    cgroup: &str,
    limits: Limits,
) -> Result<Network, String> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let cgroup = shared.runtime.ensure_cgroup(cgroup, limits);
    let network = async {
        if host_network {
            let netns = shared.net.namespace().path().to_owned();
            return Ok::<_, String>(Network {
                ip: shared.node_ip,
                netns,
            });
        }
        let attached = shared.net.attach_pod(&uid).await;
        let attached = attached.map_err(|err| err.to_string())?;
        let published = shared.net.publish(&uid, host_ports(pod)).await;
        published.map_err(|err| err.to_string())?;
        Ok(Network {
            ip: IpAddr::V4(attached.ip),
            netns: attached.netns,
        })
    };
    let (cgroup, network) = tokio::join!(cgroup, network);
    let network = network?;
    cgroup.map_err(|err| err.to_string())?;
    let (shared, pod, ip) = (Arc::clone(shared), Arc::clone(pod), network.ip);
    let files = tokio::task::spawn_blocking(move || write_files(&shared, &pod, ip, host_network));
    files
        .await
        .unwrap_or_else(|err| Err(std::io::Error::other(err)))
        .map_err(|err| err.to_string())?;
    Ok(network)
}

/// Ports that the pod has on its node's address.
fn host_ports(pod: &Pod) -> Vec<PublishedPort> {
    let ports = resources::containers(pod).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = |value: i32| u16::try_from(value).ok().filter(|number| *number > 0);
            let ip = port.host_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
            Some(PublishedPort {
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => return None,
                    _ => Protocol::Tcp,
                },
                ip: ip.filter(|ip| !ip.is_unspecified()),
                port: number(port.host_port?)?,
                target: number(port.container_port)?,
            })
        })
        .collect()
}

/// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` and the shared memory of a pod.
fn write_files(shared: &Shared, pod: &Pod, ip: IpAddr, host_network: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let dir = shared.pod_dir(uid);
    fs::create_dir_all(containers_dir(&dir))?;
    let spec = pod.spec.as_ref();
    let aliases = spec
        .and_then(|spec| spec.host_aliases.as_deref())
        .unwrap_or_default();
    let (name, domain) = names::hostname(pod, &shared.dns.domain);
    let hosts = if host_network {
        names::host_network_hosts_file(&fs::read_to_string("/etc/hosts").unwrap_or_default(), aliases)
    } else {
        names::hosts_file(&[ip], &name, &domain, aliases)
    };
    let hostname = if host_network {
        shared.node_name.clone()
    } else {
        names::kernel_hostname(pod, &shared.dns.domain)
    };
    write_once(&dir.join("etc-hosts"), &hosts)?;
    write_once(&dir.join("hostname"), &format!("{hostname}\n"))?;
    write_once(&dir.join("resolv.conf"), &names::resolv_conf(pod, &shared.dns))?;
    let memory = shared.memory_dir.join(uid);
    fs::create_dir_all(&memory)?;
    if resources::containers(pod).count() > 1 {
        let shm = memory.join(".shm");
        fs::create_dir_all(&shm)?;
        fs::set_permissions(&shm, fs::Permissions::from_mode(0o1777))?;
    }
    Ok(())
}

/// Containers have these files mounted and may have changed them: they are written only once.
fn write_once(path: &Path, content: &str) -> std::io::Result<()> {
    if path.exists() {
        Ok(())
    } else {
        fs::write(path, content)
    }
}
