//! Requests and limits in the terms of cgroups: shares, quotas, quality of service, OOM scores
//! (pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go, pkg/apis/core/v1/helper/qos).
use std::collections::BTreeMap;

use engine_runtime::proto::Limits;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

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
    for container in containers(pod) {
        let resources = container.resources.as_ref();
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

/// Limits of one container's cgroup.
pub fn container_limits(container: &Container) -> Limits {
    let resources = container.resources.as_ref();
    let cpu_limit = limit(resources, "cpu").filter(|milli| *milli > 0);
    // A limit alone is also the request (the API server has defaulted it; this is for pods that came another way).
    let cpu = request(resources, "cpu").or(cpu_limit).unwrap_or(0);
    Limits {
        cpu_shares: Some(shares(cpu)),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory: limit(resources, "memory").filter(|bytes| *bytes > 0),
        pids: None,
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Requests (or limits) of a pod: its containers and sidecars together, or the largest init container with the sidecars before it,
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

/// Limits of a pod's cgroup: limits only when every container has one.
pub fn pod_limits(pod: &Pod, pids: Option<i64>) -> Limits {
    let all = |name: &str| {
        containers(pod)
            .all(|container| limit(container.resources.as_ref(), name).is_some_and(|value| value > 0))
    };
    let cpu = pod_total(pod, |container| {
        request(container.resources.as_ref(), "cpu").unwrap_or(0)
    });
    let cpu_limit = all("cpu").then(|| {
        pod_total(pod, |container| {
            limit(container.resources.as_ref(), "cpu").unwrap_or(0)
        })
    });
    let memory = all("memory").then(|| {
        pod_total(pod, |container| {
            limit(container.resources.as_ref(), "memory").unwrap_or(0)
        })
    });
    Limits {
        cpu_shares: Some(shares(cpu)),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory,
        pids,
    }
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
            let score = |bytes: i64| 1000 - 1000 * bytes / capacity.max(1);
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
        let first = container_limits(&pod.spec.as_ref().unwrap().containers[0]);
        assert_eq!(
            (first.cpu_shares, first.cpu_quota, first.memory),
            (Some(102), None, Some(32 << 20))
        );
        let second = container_limits(&pod.spec.as_ref().unwrap().containers[1]);
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
