//! Requests and limits of a pod and its containers apart from the rest of its spec.
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use serde::{Deserialize, Serialize};

use crate::model::is_ephemeral;
use crate::resources;

/// What a pod was promised, or what is in force of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// Of the pod as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<ResourceRequirements>,
    /// Of its init containers and regular containers by name.
    pub containers: BTreeMap<String, ResourceRequirements>,
}

impl Granted {
    /// What the spec asks for.
    pub fn of(pod: &Pod) -> Self {
        let own = |c: &k8s_openapi::api::core::v1::Container| c.resources.clone().unwrap_or_default();
        Self {
            pod: pod.spec.as_ref().and_then(|spec| spec.resources.clone()),
            containers: resources::containers(pod)
                .map(|container| (container.name.clone(), own(container)))
                .collect(),
        }
    }

    /// What is in force once all of this is carried out: a container without a limit of its own has the pod's.
    pub fn in_force(pod: &Pod) -> Self {
        Self {
            pod: pod.spec.as_ref().and_then(|spec| spec.resources.clone()),
            containers: resources::containers(pod)
                .map(|container| (container.name.clone(), in_force(pod, &container.name)))
                .collect(),
        }
    }

    /// The pod with these in place of what its spec asks for (UpdatePodFromAllocation).
    pub fn applied(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        if self.is_same(&Self::of(pod)) {
            return Arc::clone(pod);
        }
        let mut pod = (**pod).clone();
        if let Some(spec) = &mut pod.spec {
            spec.resources.clone_from(&self.pod);
            let init = spec.init_containers.iter_mut().flatten();
            let main = spec.containers.iter_mut().filter(|c| !is_ephemeral(c));
            for container in init.chain(main) {
                let asked = container.resources.clone().unwrap_or_default();
                let own = self.containers.get(&container.name);
                if let Some(own) = own.filter(|own| !is_same(own, &asked)) {
                    container.resources = Some(own.clone());
                }
            }
        }
        Arc::new(pod)
    }

    /// Whether all amounts are equal, however they are written.
    pub fn is_same(&self, other: &Self) -> bool {
        let pod = |granted: &Self| granted.pod.clone().unwrap_or_default();
        let names = self.containers.keys().eq(other.containers.keys());
        let pairs = || self.containers.values().zip(other.containers.values());
        names && pairs().all(|(a, b)| is_same(a, b)) && is_same(&pod(self), &pod(other))
    }
}

/// Requests of a container, and the limits that its cgroup has.
pub fn in_force(pod: &Pod, container: &str) -> ResourceRequirements {
    let found = resources::containers(pod).find(|c| c.name == container);
    let Some(container) = found else {
        return ResourceRequirements::default();
    };
    let requests = container.resources.as_ref().and_then(|r| r.requests.clone());
    let limits = resources::effective_limits(pod, container);
    ResourceRequirements {
        claims: None,
        limits: (!limits.is_empty()).then_some(limits),
        requests,
    }
}

fn is_same(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    let amounts = |r: &ResourceRequirements| {
        (
            resources::amounts(r.requests.as_ref()),
            resources::amounts(r.limits.as_ref()),
        )
    };
    amounts(a) == amounts(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(cpu: &str) -> Arc<Pod> {
        let own = json!({"requests": {"cpu": cpu}});
        let spec =
            json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c", "resources": own}]});
        Arc::new(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    }

    #[test]
    fn a_pod_with_what_it_was_promised() {
        let granted = Granted::of(&pod("1"));
        assert_eq!(granted.applied(&pod("2")), pod("1"));
        assert!(granted.is_same(&Granted::of(&pod("1000m"))));
        let same = pod("1000m");
        assert!(Arc::ptr_eq(&granted.applied(&same), &same), "nothing is copied");
    }

    #[test]
    fn a_container_without_a_limit_has_the_pods() {
        let spec = json!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}}}]});
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let own = &Granted::in_force(&pod).containers["c"];
        assert_eq!(
            serde_json::to_value(own).unwrap(),
            json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Mi"}})
        );
    }
}
