//! Requests and limits in a pod's status: what was promised, and what is in force (pkg/kubelet/kubelet_pods.go,
//! convertContainerStatusResources and convertToAPIPodLevelResourcesStatus).
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_types::pod_resources::Amounts;

use super::Inputs;
use crate::resources::{limit, request};

/// Below these, amounts mean what was promised (MinShares and MinMilliCPULimit of pkg/kubelet/cm/helpers_linux.go).
const LEAST_REQUEST: i64 = 2;
const LEAST_LIMIT: i64 = 10;

/// Of a container: while it runs what it runs with, as far as that can be changed.
pub(super) fn of_container(
    container: &Container,
    running: bool,
    inputs: &Inputs<'_>,
) -> ResourceRequirements {
    let mut shown = container.resources.clone().unwrap_or_default();
    let actual = inputs
        .kept
        .and_then(|kept| kept.actuated.containers.get(&container.name));
    let Some(actual) = actual.filter(|_| running) else {
        return shown;
    };
    let replace = |shown: &mut Option<BTreeMap<String, Quantity>>,
                   actual: &Option<BTreeMap<String, Quantity>>| {
        let Some(shown) = shown else { return };
        for name in ["cpu", "memory"] {
            if let Some(amount) = actual.as_ref().and_then(|actual| actual.get(name)) {
                shown.insert(name.to_owned(), amount.clone());
            }
        }
    };
    replace(&mut shown.limits, &actual.limits);
    replace(&mut shown.requests, &actual.requests);
    shown
}

/// Of the pod as a whole: what its cgroup has once it runs. Upstream does this for every pod, also for one that asks for nothing as a whole. Where it
/// reads the requests back from a v2 cgroup, which rounds them, the figures here are those that were written; and a request of memory, which
/// no cgroup knows, is not held at what it was when the pod began to run.
pub(super) fn of_pod(pod: &Pod, phase: &str, inputs: &Inputs<'_>) -> ResourceRequirements {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let mut shown = own.cloned().unwrap_or_default();
    let Some(group) = inputs.kept.map(|kept| &kept.group).filter(|_| phase == "Running") else {
        shown.requests = quantities(&inputs.whole.requests);
        shown.limits = quantities(&inputs.whole.limits);
        return shown;
    };
    let mut requests = shown.requests.take().unwrap_or_default();
    let mut limits = shown.limits.take().unwrap_or_default();
    let milli = |amount: i64| Quantity(kube_types::Quantity::from_milli(amount).canonical());
    // Rounded up, so that what was made a share of comes out again.
    let cpu = group
        .cpu_shares
        .map_or(0, |shares| (shares as i64 * 1000 + 1023) / 1024);
    if cpu > LEAST_REQUEST || request(own, "cpu").unwrap_or(0) > LEAST_REQUEST {
        requests.insert("cpu".to_owned(), milli(cpu));
    }
    if let Some(memory) = inputs.whole.requests.get("memory") {
        requests
            .entry("memory".to_owned())
            .or_insert_with(|| Quantity(memory.canonical()));
    }
    let quota = group.cpu_quota.filter(|quota| *quota > 0);
    let cpu = quota.map(|quota| quota * 1000 / group.cpu_period.map_or(100_000, |period| period as i64));
    if let Some(cpu) = cpu.filter(|cpu| *cpu > LEAST_LIMIT || limit(own, "cpu").unwrap_or(0) > LEAST_LIMIT) {
        limits.insert("cpu".to_owned(), milli(cpu));
    }
    if let Some(memory) = group.memory.filter(|memory| *memory > 0) {
        let shown = kube_types::Quantity::from_bytes(memory).canonical();
        limits.insert("memory".to_owned(), Quantity(shown));
    }
    shown.requests = Some(requests).filter(|map| !map.is_empty());
    shown.limits = Some(limits).filter(|map| !map.is_empty());
    shown
}

/// Amounts as the API has them.
pub(super) fn quantities(amounts: &Amounts) -> Option<BTreeMap<String, Quantity>> {
    let shown =
        |(name, amount): (&String, &kube_types::Quantity)| (name.clone(), Quantity(amount.canonical()));
    let all: BTreeMap<String, Quantity> = amounts.iter().map(shown).collect();
    (!all.is_empty()).then_some(all)
}
