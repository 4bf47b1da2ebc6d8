//! Requests and limits in the terms of cgroups: shares, quotas, quality of service, OOM scores
//! (pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go, pkg/apis/core/v1/helper/qos).
use std::collections::BTreeMap;

use engine_runtime::proto::Limits;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_types::pod_resources::{Actual, Amounts, PodResources, Share, Turn};

use crate::model::is_ephemeral;

const PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1_000;

/// Quality-of-service class, which is also the cgroup that a pod lives below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container has equal requests and limits of CPU and memory.
    Guaranteed,
    /// Some container has a request or a limit.
    Burstable,
    /// None has.
    BestEffort,
}

impl Qos {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// Name of its cgroup.
    pub fn cgroup(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        }
    }
}

/// Thousandths, rounded up; 0 for what cannot be parsed (the API server has validated it).
pub fn milli(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<kube_types::Quantity>()
        .map_or(0, |parsed| parsed.milli_value())
}

/// Units, rounded up.
pub fn value(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<kube_types::Quantity>()
        .map_or(0, |parsed| parsed.value())
}

fn part(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> Option<i64> {
    let quantity = list?.get(name)?;
    Some(if name == "cpu" {
        milli(quantity)
    } else {
        value(quantity)
    })
}

/// A request: of CPU in thousandths, of anything else in units.
pub fn request(resources: Option<&ResourceRequirements>, name: &str) -> Option<i64> {
    part(resources?.requests.as_ref(), name)
}

/// A limit: of CPU in thousandths, of anything else in units.
pub fn limit(resources: Option<&ResourceRequirements>, name: &str) -> Option<i64> {
    part(resources?.limits.as_ref(), name)
}

/// All containers of a pod that count, init containers first: not those that were added to the running pod.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let init = spec
        .and_then(|spec| spec.init_containers.as_deref())
        .unwrap_or_default();
    let main = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    init.iter()
        .chain(main.iter().filter(|container| !is_ephemeral(container)))
}

/// Class of a pod.
pub fn qos(pod: &Pod) -> Qos {
    if let Some(class) = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        match class {
            "Guaranteed" => return Qos::Guaranteed,
            "Burstable" => return Qos::Burstable,
            "BestEffort" => return Qos::BestEffort,
            _ => {}
        }
    }
    let mut any = false;
    let mut guaranteed = true;
    let whole = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let all: Vec<_> = match whole {
        Some(_) => vec![whole],
        None => containers(pod)
            .map(|container| container.resources.as_ref())
            .collect(),
    };
    for resources in all {
        for name in ["cpu", "memory"] {
            let (request, limit) = (
                request(resources, name).unwrap_or(0),
                limit(resources, name).unwrap_or(0),
            );
            any |= request > 0 || limit > 0;
            guaranteed &= limit > 0 && (request == limit || request == 0);
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// Whether a pod is background work, which runs on CPU time that nobody else asks for: its priority is negative. Upstream's kubelet
/// knows shares only.
pub fn is_background(pod: &Pod) -> bool {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority);
    priority.is_some_and(|priority| priority < 0)
}

/// CPU shares of a request in thousandths.
pub fn shares(milli: i64) -> u64 {
    (milli.max(0) as u64 * 1024 / 1000).clamp(2, 262_144)
}

/// CPU time per 100 ms of a limit in thousandths.
pub fn quota(milli: i64) -> i64 {
    (milli * PERIOD / 1000).max(MIN_QUOTA)
}

/// The limits of a container as its cgroup has them: its own, or else those of the pod as a whole (pkg/kubelet/util/util.go, GetLimits).
pub fn effective_limits(pod: &Pod, container: &Container) -> BTreeMap<String, Quantity> {
    let own = container.resources.as_ref().and_then(|r| r.limits.clone());
    let mut limits = own.unwrap_or_default();
    let spec = pod.spec.as_ref();
    let whole = spec.and_then(|spec| spec.resources.as_ref()?.limits.as_ref());
    for name in ["cpu", "memory"] {
        let missing = limits.get(name).is_none_or(|limit| milli(limit) == 0);
        if let Some(limit) = whole.and_then(|whole| whole.get(name)).filter(|_| missing) {
            limits.insert(name.to_owned(), limit.clone());
        }
    }
    limits
}

/// Limits of one container's cgroup.
pub fn container_limits(pod: &Pod, container: &Container) -> Limits {
    let limits = effective_limits(pod, container);
    let limit = |name: &str| part(Some(&limits), name).filter(|amount| *amount > 0);
    let cpu_limit = limit("cpu");
    // A limit alone is also the request (the API server has defaulted it; this is for pods that came another way).
    let cpu = request(container.resources.as_ref(), "cpu")
        .or(cpu_limit)
        .unwrap_or(0);
    Limits {
        cpu_shares: Some(shares(cpu)),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory: limit("memory"),
        pids: None,
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Requests (or limits) of a pod's containers: main ones and sidecars together, or the largest init container with the sidecars before it,
/// whichever is more (component-helpers/resource, PodRequests).
pub fn pod_total(pod: &Pod, of: impl Fn(&Container) -> i64) -> i64 {
    let Some(spec) = &pod.spec else { return 0 };
    let mut sidecars = 0;
    let mut init = 0;
    for container in spec.init_containers.iter().flatten() {
        if is_sidecar(container) {
            sidecars += of(container);
            init = init.max(sidecars);
        } else {
            init = init.max(sidecars + of(container));
        }
    }
    let main: i64 = spec.containers.iter().map(&of).sum();
    init.max(main + sidecars)
}

/// All that a pod asks for and may use, by [`kube_types::pod_resources`]. `actual` says what of a container is in force.
pub fn totals(pod: &Pod, actual: impl Fn(&str) -> Option<Actual>) -> PodResources {
    let share = |container: &Container, counts: bool| Share {
        actual: actual(&container.name).filter(|_| counts),
        ..share(container.resources.as_ref())
    };
    let all = containers(pod).map(|container| (turn(pod, container), container));
    let all = all.map(|(turn, container)| (turn, share(container, turn != Turn::Init)));
    let spec = pod.spec.as_ref();
    PodResources {
        containers: all.collect(),
        pod: spec
            .and_then(|spec| spec.resources.as_ref())
            .map(|own| self::share(Some(own))),
        overhead: amounts(spec.and_then(|spec| spec.overhead.as_ref())),
        infeasible: false,
    }
}

fn turn(pod: &Pod, container: &Container) -> Turn {
    let init = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref());
    let is_init = |c: &Container| c.name == container.name;
    match init.unwrap_or_default().iter().any(is_init) {
        true if is_sidecar(container) => Turn::Sidecar,
        true => Turn::Init,
        false => Turn::Main,
    }
}

fn share(resources: Option<&ResourceRequirements>) -> Share {
    Share {
        requests: amounts(resources.and_then(|r| r.requests.as_ref())),
        limits: amounts(resources.and_then(|r| r.limits.as_ref())),
        actual: None,
    }
}

/// Quantities that can be added and compared.
pub fn amounts(quantities: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let entries = quantities.into_iter().flatten();
    entries
        .filter_map(|(name, quantity)| Some((name.clone(), quantity.0.parse().ok()?)))
        .collect()
}

/// What follows from a pod's requests and limits for it as a whole.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// Limits of its cgroup.
    pub group: Limits,
    /// All that it asks for.
    pub requests: Amounts,
    /// All that it may use.
    pub limits: Amounts,
}

/// See [`Whole`].
pub fn whole(pod: &Pod) -> Whole {
    let totals = totals(pod, |_| None);
    Whole {
        group: pod_limits(pod, None),
        requests: totals.requests(),
        limits: totals.limits(),
    }
}

/// Limits of a pod's cgroup: only when every container has one, or the pod as a whole (pkg/kubelet/cm/helpers_linux.go,
/// ResourceConfigForPod).
pub fn pod_limits(pod: &Pod, pids: Option<i64>) -> Limits {
    let totals = totals(pod, |_| None);
    let (requests, limits) = (totals.requests(), totals.limits());
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let declared = |name: &str| {
        let of = |resources| limit(resources, name).is_some_and(|value| value > 0);
        of(own) || containers(pod).all(|container| of(container.resources.as_ref()))
    };
    let cpu = requests.get("cpu").map_or(0, kube_types::Quantity::milli_value);
    let cpu_limit = limits.get("cpu").filter(|_| declared("cpu"));
    let memory = limits.get("memory").filter(|_| declared("memory"));
    Limits {
        cpu_shares: Some(shares(cpu)),
        cpu_quota: cpu_limit.map(|limit| quota(limit.milli_value())),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory: memory.map(kube_types::Quantity::value),
        pids,
    }
}

/// Each container's part of what the pod as a whole requests of memory and none of its containers does (remainingPodMemReqPerContainer).
fn unclaimed_memory(pod: &Pod) -> i64 {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let Some(whole) = request(own, "memory") else {
        return 0;
    };
    let claimed = pod_total(pod, |container| {
        request(container.resources.as_ref(), "memory").unwrap_or(0)
    });
    (whole - claimed).max(0) / (containers(pod).count().max(1) as i64)
}

/// `oom_score_adj` of a container.
pub fn oom_score_adj(pod: &Pod, container: &Container, capacity: i64) -> i32 {
    let critical = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.priority_class_name.as_deref())
        == Some("system-node-critical");
    match qos(pod) {
        _ if critical => -997,
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let memory = |container: &Container| request(container.resources.as_ref(), "memory").unwrap_or(0);
            let extra = unclaimed_memory(pod);
            let score = |bytes: i64| 1000 - 1000 * (bytes + extra) / capacity.max(1);
            let mut adjust = score(memory(container));
            if is_sidecar(container) {
                let least = pod
                    .spec
                    .iter()
                    .flat_map(|spec| &spec.containers)
                    .map(memory)
                    .min()
                    .unwrap_or(0);
                adjust = adjust.min(score(least));
            }
            adjust.clamp(3, 999) as i32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": containers})).unwrap()
    }

    #[test]
    fn classes() {
        let none = pod(serde_json::json!({"containers": [{"name": "a"}]}));
        assert_eq!(qos(&none), Qos::BestEffort);
        let some = pod(
            serde_json::json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}]}),
        );
        assert_eq!(qos(&some), Qos::Burstable);
        let all = pod(serde_json::json!({"containers": [{"name": "a", "resources":
            {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}]}));
        assert_eq!(qos(&all), Qos::Guaranteed);
    }

    #[test]
    fn background_is_what_has_a_negative_priority() {
        let of = |priority: serde_json::Value| is_background(&pod(priority));
        assert!(of(serde_json::json!({"containers": [], "priority": -1})));
        assert!(!of(serde_json::json!({"containers": [], "priority": 0})));
        assert!(!of(serde_json::json!({"containers": []})));
    }

    #[test]
    fn shares_quota_and_memory() {
        let pod = pod(serde_json::json!({"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}}},
            {"name": "b", "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "1Mi"}}}
        ]}));
        let first = container_limits(&pod, &pod.spec.as_ref().unwrap().containers[0]);
        assert_eq!(
            (first.cpu_shares, first.cpu_quota, first.memory),
            (Some(102), None, Some(32 << 20))
        );
        let second = container_limits(&pod, &pod.spec.as_ref().unwrap().containers[1]);
        assert_eq!((second.cpu_shares, second.cpu_quota), (Some(256), Some(50_000)));
        let whole = pod_limits(&pod, None);
        assert_eq!(
            (whole.cpu_shares, whole.cpu_quota, whole.memory),
            (Some(358), None, Some(33 << 20))
        );
        assert_eq!(shares(0), 2);
        assert_eq!(quota(1), 1000);
    }

    #[test]
    fn what_the_pod_as_a_whole_asks_for() {
        let pod = pod(
            serde_json::json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "32Mi"}}}, {"name": "b"}]}),
        );
        let whole = pod_limits(&pod, None);
        assert_eq!(
            (whole.cpu_shares, whole.cpu_quota, whole.memory),
            (Some(1024), Some(200_000), Some(1 << 30))
        );
        let containers = &pod.spec.as_ref().unwrap().containers;
        let of = |index: usize| container_limits(&pod, &containers[index]);
        assert_eq!((of(0).cpu_quota, of(0).memory), (Some(200_000), Some(32 << 20)));
        assert_eq!((of(1).cpu_quota, of(1).memory), (Some(200_000), Some(1 << 30)));
    }

    #[test]
    fn oom_scores() {
        let burst = pod(
            serde_json::json!({"containers": [{"name": "a", "resources": {"requests": {"memory": "1Gi"}}}]}),
        );
        let container = &burst.spec.as_ref().unwrap().containers[0];
        assert_eq!(oom_score_adj(&burst, container, 4 << 30), 750);
        assert_eq!(oom_score_adj(&burst, container, 1 << 30), 3);
        let best = pod(serde_json::json!({"containers": [{"name": "a"}]}));
        assert_eq!(
            oom_score_adj(&best, &best.spec.as_ref().unwrap().containers[0], 1 << 30),
            1000
        );
    }

    #[test]
    fn init_containers_count_by_the_largest() {
        let pod = pod(serde_json::json!({
            "initContainers": [
                {"name": "i", "resources": {"requests": {"cpu": "2"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]
        }));
        assert_eq!(
            pod_total(&pod, |container| request(container.resources.as_ref(), "cpu")
                .unwrap_or(0)),
            2000
        );
    }
}
