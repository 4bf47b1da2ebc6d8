//! What pods ask for, as the scheduler and quotas count it: [`kube_types::pod_resources`] from typed pods.
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_types::pod_resources::{Actual, Amounts, PodResources, Share, Turn};

use crate::quantity::exact;

/// A pod, as far as its resources go; a resize that is not done yet counts with whichever is more, before or after. The scheduler counts
/// that of the pod as a whole, too; quota does not (PodUsageFunc in pkg/quota/v1/evaluator/core/pods.go).
pub(crate) fn of(pod: &Pod, whole_pod_status: bool) -> PodResources {
    let Some(spec) = &pod.spec else {
        return PodResources::default();
    };
    let status = pod.status.as_ref();
    let known = |list: Option<&Vec<ContainerStatus>>, name: &str| {
        let status = list?.iter().find(|status| status.name == name)?;
        actual(status.resources.as_ref(), status.allocated_resources.as_ref())
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let mut share = share(container.resources.as_ref());
        if !is_sidecar(container) {
            return (Turn::Init, share);
        }
        share.actual = known(
            status.and_then(|s| s.init_container_statuses.as_ref()),
            &container.name,
        );
        (Turn::Sidecar, share)
    });
    let main = spec.containers.iter().map(|container| {
        let mut share = share(container.resources.as_ref());
        share.actual = known(
            status.and_then(|s| s.container_statuses.as_ref()),
            &container.name,
        );
        (Turn::Main, share)
    });
    let whole = spec.resources.as_ref().map(|resources| Share {
        actual: status
            .filter(|_| whole_pod_status)
            .and_then(|s| actual(s.resources.as_ref(), s.allocated_resources.as_ref())),
        ..share(Some(resources))
    });
    let pending = status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .find(|condition| condition.type_ == "PodResizePending");
    PodResources {
        containers: init.chain(main).collect(),
        pod: whole,
        overhead: amounts(spec.overhead.as_ref()),
        infeasible: pending.is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible")),
    }
}

pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn share(resources: Option<&ResourceRequirements>) -> Share {
    Share {
        requests: amounts(resources.and_then(|r| r.requests.as_ref())),
        limits: amounts(resources.and_then(|r| r.limits.as_ref())),
        actual: None,
    }
}

fn actual(
    resources: Option<&ResourceRequirements>,
    allocated: Option<&BTreeMap<String, Quantity>>,
) -> Option<Actual> {
    let resources = resources?;
    Some(Actual {
        requests: amounts(resources.requests.as_ref()),
        limits: amounts(resources.limits.as_ref()),
        allocated: amounts(allocated),
    })
}

fn amounts(quantities: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let entries = quantities.into_iter().flatten();
    entries
        .filter_map(|(name, quantity)| Some((name.clone(), exact(quantity)?)))
        .collect()
}
