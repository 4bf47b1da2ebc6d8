//! Local storage: pods that use more than they may, or that fill the disk which the whole cluster is on, are evicted
//! (pkg/kubelet/eviction).
mod usage;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube_types::Quantity;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::agent::lock;
use crate::resources;
use crate::shared::Shared;
use crate::worker::{Link, Message};
pub use usage::Usage;

/// How often free space is looked at while there are pods: one system call. A disk that takes 1 GB/s fills the reserve in half a second
/// more than the kernel's own delay, so this is no guarantee; it is what keeps a busy cluster's disk from running full unnoticed.
const LOOK: Duration = Duration::from_secs(1);
/// How often what limited pods use is counted, as upstream does (`--eviction-monitor-period`).
const COUNT: Duration = Duration::from_secs(10);
/// Free space below which pods are evicted: what the store, logs and images need to go on. Upstream takes a tenth of the disk, but a node's
/// disk there is nobody else's.
const RESERVE: u64 = 512 << 20;
/// Once there was too little, this much must be free for the pressure to be over.
const RELIEF: u64 = RESERVE + (256 << 20);

/// Watches the disk until dropped; tells whether there is too little space.
pub async fn keep(
    shared: Arc<Shared>,
    links: Arc<Mutex<HashMap<String, Link>>>,
    pressure: watch::Sender<bool>,
) {
    let mut counted = Instant::now();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let pods = active(&links);
        if pods.is_empty() && !*pressure.borrow() {
            continue;
        }
        let free = free(&shared.node_dir);
        let was = *pressure.borrow();
        let is = free < if was { RELIEF } else { RESERVE };
        if is != was {
            tracing::warn!(
                node = shared.node_name,
                free,
                low = is,
                "space on the cluster's disk"
            );
            pressure.send_replace(is);
            if is {
                // As upstream: what nobody needs goes before anybody has to.
                shared.images.prune().await;
                continue;
            }
        }
        let due = counted.elapsed() >= COUNT;
        if due {
            counted = Instant::now();
        }
        let mut evicted = false;
        for (pod, link) in pods.iter().filter(|(pod, _)| due && is_limited(pod)) {
            let used = measure(&shared, pod).await;
            if let Some(why) = excess(pod, &used) {
                evicted = true;
                evict(pod, link, why);
            }
        }
        // One at a time: what it leaves may be enough.
        if free < RESERVE && !evicted {
            evict_largest(&shared, &pods, free).await;
        }
    }
}

/// Pods that have something to lose.
fn active(links: &Mutex<HashMap<String, Link>>) -> Vec<(Arc<Pod>, Link)> {
    let all = lock(links);
    let views = all.values().map(|link| (link, link.view.borrow()));
    views
        .filter(|(_, view)| matches!(view.status.phase.as_deref(), Some("Pending" | "Running")))
        .map(|(link, view)| (Arc::clone(&view.pod), link.clone()))
        .collect()
}

fn free(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

async fn measure(shared: &Shared, pod: &Pod) -> Usage {
    let dir = shared.pod_dir(pod.metadata.uid.as_deref().unwrap_or_default());
    tokio::task::spawn_blocking(move || Usage::of(&dir))
        .await
        .unwrap_or_default()
}

fn evict(pod: &Pod, link: &Link, why: String) {
    tracing::info!(
        namespace = pod.metadata.namespace,
        pod = pod.metadata.name,
        why,
        "evicting"
    );
    let _ = link.sender.send(Message::Evict(why));
}

/// Evicts the pod that uses most beyond what it requested; of the least priority first.
async fn evict_largest(shared: &Shared, pods: &[(Arc<Pod>, Link)], free: u64) {
    let mut worst: Option<((bool, i64, u64), usize, Usage)> = None;
    for (index, (pod, _)) in pods.iter().enumerate() {
        let used = measure(shared, pod).await;
        let beyond = used.total().saturating_sub(requested(pod));
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        let rank = (beyond > 0, -i64::from(priority), beyond);
        if used.total() > 0 && worst.as_ref().is_none_or(|(before, ..)| *before < rank) {
            worst = Some((rank, index, used));
        }
    }
    let Some((_, index, used)) = worst else { return };
    let (pod, link) = &pods[index];
    let amount = |bytes: u64| Quantity::from_bytes(i64::try_from(bytes).unwrap_or(i64::MAX)).canonical();
    let mut why = format!(
        "The node was low on resource: ephemeral-storage. Threshold quantity: {}, available: {}. ",
        amount(RESERVE),
        amount(free)
    );
    for (name, bytes) in &used.containers {
        let request = resources::containers(pod)
            .find(|container| container.name == *name)
            .and_then(|container| resources::request(container.resources.as_ref(), "ephemeral-storage"))
            .unwrap_or(0);
        if *bytes > request.max(0) as u64 {
            why += &format!(
                "Container {name} was using {}, request is {}, has larger consumption of ephemeral-storage. ",
                amount(*bytes),
                amount(request.max(0) as u64)
            );
        }
    }
    evict(pod, link, why);
}

fn requested(pod: &Pod) -> u64 {
    let of = |container: &_| storage(container, resources::request);
    resources::pod_total(pod, of).max(0) as u64
}

fn storage(
    container: &k8s_openapi::api::core::v1::Container,
    which: fn(Option<&k8s_openapi::api::core::v1::ResourceRequirements>, &str) -> Option<i64>,
) -> i64 {
    which(container.resources.as_ref(), "ephemeral-storage").unwrap_or(0)
}

/// Whether anything bounds what the pod may use.
fn is_limited(pod: &Pod) -> bool {
    let by_container = resources::containers(pod).any(|container| storage(container, resources::limit) > 0);
    by_container || bounded_volumes(pod).next().is_some()
}

/// Volumes of type emptyDir on disk that have a size limit, with it.
fn bounded_volumes(pod: &Pod) -> impl Iterator<Item = (&str, Quantity)> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let source = volume.empty_dir.as_ref()?;
        let limit: Quantity = source.size_limit.as_ref()?.0.parse().ok()?;
        let on_disk = source.medium.as_deref().unwrap_or_default().is_empty();
        (on_disk && limit.sign() > 0).then_some((volume.name.as_str(), limit))
    })
}

/// What of the pod's limits it exceeds, in upstream's order and words (`localStorageEviction`).
fn excess(pod: &Pod, used: &Usage) -> Option<String> {
    for (name, limit) in bounded_volumes(pod) {
        if used
            .volumes
            .get(name)
            .is_some_and(|bytes| *bytes > limit.value().max(0) as u64)
        {
            return Some(format!(
                "Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\". "
            ));
        }
    }
    let total = resources::pod_total(pod, |container| storage(container, resources::limit));
    if total > 0 && used.total() > total as u64 {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
            Quantity::from_bytes(total).canonical()
        ));
    }
    resources::containers(pod).find_map(|container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        let limit: Quantity = limits.get("ephemeral-storage")?.0.parse().ok()?;
        let bytes = *used.containers.get(&container.name)?;
        (limit.sign() > 0 && bytes > limit.value() as u64).then(|| {
            format!(
                "Container {} exceeded its local ephemeral storage limit \"{limit}\". ",
                container.name
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({"spec": {
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
            "containers": [
                {"name": "a", "resources": {"limits": {"ephemeral-storage": "5Mi"}, "requests": {"ephemeral-storage": "1Mi"}}},
                {"name": "b"}
            ]
        }}))
        .unwrap()
    }

    fn used(a: u64, v: u64) -> Usage {
        Usage {
            containers: [("a".to_owned(), a << 20), ("b".to_owned(), 0)].into(),
            volumes: [("v".to_owned(), v << 20)].into(),
        }
    }

    #[test]
    fn limits_are_told_in_upstreams_words() {
        let pod = pod();
        assert!(is_limited(&pod));
        assert_eq!(requested(&pod), 1 << 20);
        assert_eq!(excess(&pod, &used(1, 1)), None);
        let text = excess(&pod, &used(0, 11)).unwrap();
        assert_eq!(
            text,
            "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". "
        );
        let text = excess(&pod, &used(3, 3)).unwrap();
        assert_eq!(
            text,
            "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "
        );
    }
}
