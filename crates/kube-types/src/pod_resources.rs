//! What a pod asks for altogether (`k8s.io/component-helpers/resource/helpers.go`, 1.36), and its quality of service
//! (`pkg/apis/core/helper/qos/qos.go`).
use std::collections::BTreeMap;

use serde_json::Value;

use crate::Quantity;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// When a container of a pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before the others, alone.
    Init,
    /// From its turn among the init containers on, for good.
    Sidecar,
    /// When all init containers are done.
    Main,
}

/// Requests and limits of a container, or of a pod as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Requests of the spec.
    pub requests: Amounts,
    /// Limits of the spec.
    pub limits: Amounts,
    /// What the status says of them.
    pub actual: Option<Actual>,
}

/// What a node has made of requests and limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    /// Requests in force.
    pub requests: Amounts,
    /// Limits in force.
    pub limits: Amounts,
    /// Requests that the node has promised.
    pub allocated: Amounts,
}

/// A pod, as far as its resources go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodResources {
    /// Init containers in their order, and the regular ones.
    pub containers: Vec<(Turn, Share)>,
    /// Of the pod as a whole, which go before those of its containers.
    pub pod: Option<Share>,
    /// What its runtime takes besides.
    pub overhead: Amounts,
    /// The node cannot ever give what the spec asks for.
    pub infeasible: bool,
}

impl Share {
    fn requests(&self, infeasible: bool) -> Amounts {
        let Some(actual) = &self.actual else {
            return self.requests.clone();
        };
        let mut most = if infeasible {
            Amounts::new()
        } else {
            self.requests.clone()
        };
        raise(&mut most, &actual.requests);
        raise(&mut most, &actual.allocated);
        most
    }

    fn limits(&self, infeasible: bool) -> Amounts {
        let Some(actual) = &self.actual else {
            return self.limits.clone();
        };
        let mut most = if infeasible {
            Amounts::new()
        } else {
            self.limits.clone()
        };
        raise(&mut most, &actual.limits);
        most
    }
}

impl PodResources {
    /// Of a pod as the API has it. With `status`, a resize that is not done yet counts with whichever is more, before or after
    /// (PodResourcesOptions.UseStatusResources); that of the pod as a whole does not, as quota has it.
    pub fn of(pod: &Value, status: bool) -> Self {
        let spec = &pod["spec"];
        let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let statuses: Vec<Value> = ["containerStatuses", "initContainerStatuses"]
            .iter()
            .flat_map(|name| list(&pod["status"][*name]))
            .collect();
        let share = |container: &Value, counts: bool| {
            let known = statuses.iter().find(|s| s["name"] == container["name"]);
            let known = known.filter(|s| status && counts && s["resources"].is_object());
            let actual = known.map(|status| Actual {
                requests: amounts(&status["resources"]["requests"]),
                limits: amounts(&status["resources"]["limits"]),
                allocated: amounts(&status["allocatedResources"]),
            });
            Share {
                actual,
                ..share(&container["resources"])
            }
        };
        let init = list(&spec["initContainers"]).into_iter().map(|container| {
            let is_sidecar = container["restartPolicy"] == "Always";
            let turn = if is_sidecar { Turn::Sidecar } else { Turn::Init };
            (turn, share(&container, is_sidecar))
        });
        let main = list(&spec["containers"]).into_iter();
        let main = main.map(|container| (Turn::Main, share(&container, true)));
        let conditions = list(&pod["status"]["conditions"]);
        let pending = conditions.iter().find(|c| c["type"] == "PodResizePending");
        Self {
            containers: init.chain(main).collect(),
            pod: spec["resources"]
                .is_object()
                .then(|| self::share(&spec["resources"])),
            overhead: amounts(&spec["overhead"]),
            infeasible: pending.is_some_and(|c| c["reason"] == "Infeasible"),
        }
    }

    /// What it asks for (PodRequests).
    pub fn requests(&self) -> Amounts {
        let mut total = self.aggregate(|share| share.requests(self.infeasible));
        if let Some(own) = &self.pod {
            let effective = own.requests(self.infeasible);
            override_by(&mut total, &own.requests, &effective);
        }
        add(&mut total, &self.overhead);
        total
    }

    /// What it may use at most (PodLimits).
    pub fn limits(&self) -> Amounts {
        let mut total = self.aggregate(|share| share.limits(self.infeasible));
        if let Some(own) = &self.pod {
            let effective = own.limits(self.infeasible);
            override_by(&mut total, &own.limits, &effective);
        }
        for (name, amount) in &self.overhead {
            if let Some(limit) = total.get_mut(name).filter(|limit| !limit.is_zero()) {
                *limit = limit.add(amount);
            }
        }
        total
    }

    /// Containers and sidecars together, or an init container with the sidecars before it if that is more.
    fn aggregate(&self, of: impl Fn(&Share) -> Amounts) -> Amounts {
        let (mut running, mut sidecars, mut initial) = (Amounts::new(), Amounts::new(), Amounts::new());
        for (turn, share) in &self.containers {
            let mut own = of(share);
            match turn {
                Turn::Main => add(&mut running, &own),
                Turn::Sidecar => {
                    add(&mut running, &own);
                    add(&mut sidecars, &own);
                    raise(&mut initial, &sidecars);
                }
                Turn::Init => {
                    add(&mut own, &sidecars);
                    raise(&mut initial, &own);
                }
            }
        }
        raise(&mut running, &initial);
        running
    }
}

/// Whether a pod as a whole may ask for a resource (IsSupportedPodLevelResource).
pub fn is_pod_level_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn override_by(total: &mut Amounts, named: &Amounts, effective: &Amounts) {
    for name in named.keys().filter(|name| is_pod_level_resource(name)) {
        let amount = effective.get(name).cloned().unwrap_or_default();
        total.insert(name.clone(), amount);
    }
}

fn share(resources: &Value) -> Share {
    Share {
        requests: amounts(&resources["requests"]),
        limits: amounts(&resources["limits"]),
        actual: None,
    }
}

fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    let parsed = entries.filter_map(|(name, amount)| {
        let amount = match amount {
            Value::String(text) => text.parse().ok()?,
            Value::Number(number) => number.to_string().parse().ok()?,
            _ => return None,
        };
        Some((name.clone(), amount))
    });
    parsed.collect()
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = match to.get(name) {
            Some(before) => before.add(amount),
            None => amount.clone(),
        };
        to.insert(name.clone(), sum);
    }
}

fn raise(to: &mut Amounts, others: &Amounts) {
    for (name, amount) in others {
        if to.get(name).is_none_or(|before| before < amount) {
            to.insert(name.clone(), amount.clone());
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`, from the spec (ComputePodQOS). A request that is left out counts as the limit, which is
/// what defaulting makes of it.
pub fn qos_class(pod: &Value) -> &'static str {
    let resources = PodResources::of(pod, false);
    let all: Vec<&Share> = match &resources.pod {
        Some(own) => vec![own],
        None => resources.containers.iter().map(|(_, share)| share).collect(),
    };
    let positive = |amounts: &'_ Amounts, name: &str| amounts.get(name).filter(|q| q.sign() > 0).cloned();
    let (mut any, mut guaranteed) = (false, true);
    for share in all {
        for name in ["cpu", "memory"] {
            let (request, limit) = (positive(&share.requests, name), positive(&share.limits, name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(amounts: &Amounts) -> String {
        let parts: Vec<String> = amounts.iter().map(|(name, q)| format!("{name}={q}")).collect();
        parts.join(" ")
    }

    #[test]
    fn init_containers_sidecars_and_overhead() {
        let pod = json!({"spec": {"overhead": {"cpu": "10m"},
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}}},
                {"name": "i", "resources": {"requests": {"cpu": "2", "memory": "512"}, "limits": {"cpu": "3"}}}],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Ki"}}},
                {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}]}});
        let resources = PodResources::of(&pod, true);
        assert_eq!(shown(&resources.requests()), "cpu=2210m memory=1Ki");
        assert_eq!(shown(&resources.limits()), "cpu=3010m memory=2Gi");
    }

    /// pkg/scheduler/framework/types_test.go, TestCalculatePodResourcesWithResize.
    #[test]
    fn a_resize_counts_with_whichever_is_more() {
        let pod = |spec: &str, allocated: &str, actual: &str, pending: &str| {
            json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": spec}, "limits": {"cpu": spec}}}]},
                "status": {"conditions": [{"type": "PodResizePending", "reason": pending}],
                    "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": allocated},
                        "resources": {"requests": {"cpu": actual}, "limits": {"cpu": actual}}}]}})
        };
        let both = |pod: &Value, status: bool| {
            let resources = PodResources::of(pod, status);
            (shown(&resources.requests()), shown(&resources.limits()))
        };
        let cases = [
            (("1", "1", "1", ""), "cpu=1", "cpu=1"),
            (("2", "2", "1", ""), "cpu=2", "cpu=2"),
            (("1", "1", "2", ""), "cpu=2", "cpu=2"),
            (("1", "3", "2", ""), "cpu=3", "cpu=2"),
            (("8", "1", "1", "Deferred"), "cpu=8", "cpu=8"),
            (("8", "2", "1", "Infeasible"), "cpu=2", "cpu=1"),
        ];
        for ((spec, allocated, actual, pending), requests, limits) in cases {
            let pod = pod(spec, allocated, actual, pending);
            assert_eq!(
                both(&pod, true),
                (requests.to_owned(), limits.to_owned()),
                "{pod}"
            );
            assert_eq!(both(&pod, false).0, format!("cpu={spec}"));
        }
    }

    #[test]
    fn what_the_pod_asks_for_goes_before_what_its_containers_ask_for() {
        let pod = json!({"spec": {"resources": {"requests": {"cpu": "5", "nvidia.com/gpu": "1"}, "limits": {"memory": "1Gi"}},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}]}});
        let resources = PodResources::of(&pod, true);
        assert_eq!(shown(&resources.requests()), "cpu=5 memory=1Mi");
        assert_eq!(shown(&resources.limits()), "memory=1Gi");
    }

    #[test]
    fn quality_of_service() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let equal = json!({"cpu": "1", "memory": "1Gi"});
        let both = json!({"requests": equal, "limits": equal});
        assert_eq!(qos_class(&pod(both.clone())), "Guaranteed");
        assert_eq!(qos_class(&pod(json!({"limits": equal}))), "Guaranteed");
        let less = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": equal});
        assert_eq!(qos_class(&pod(less.clone())), "Burstable");
        let mut whole = pod(less);
        whole["spec"]["resources"] = both;
        assert_eq!(qos_class(&whole), "Guaranteed", "the pod's own resources decide");
    }
}
