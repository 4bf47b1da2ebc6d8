//! ResourceQuota status: what a namespace uses of what it may (pkg/controller/resourcequota). Admission refuses
//! what goes over; this counts anew when something has gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Pod, PodAffinityTerm, PodSpec, ResourceQuota, ResourceQuotaStatus, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::api::ListParams;
use kube::core::{DynamicObject, ObjectList, PartialObjectMeta};
use kube_types::Quantity;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::pods;
use crate::quantity::exact;
use crate::queue::{Outcome, Queue, run};
use crate::requests;
use crate::world::{Kinds, Sighting};

type Usage = BTreeMap<String, Quantity>;

/// See the module's documentation.
pub(crate) struct Counter {
    context: Arc<Context>,
    kinds: Arc<Kinds>,
    queue: Arc<Queue<Key>>,
}

impl Counter {
    pub fn new(context: &Arc<Context>, kinds: Arc<Kinds>) -> Arc<Self> {
        let counter = Arc::new(Self {
            context: Arc::clone(context),
            kinds,
            queue: Queue::new(),
        });
        let queue = Arc::clone(&counter.queue);
        context.quotas.on_change(move |change| {
            if let Some(quota) = change.new {
                queue.add(quota.key());
            }
        });
        // A finished pod no longer uses anything; a resized one uses something else, and again when its node is done with it.
        let weak = Arc::downgrade(&counter);
        context.pods.on_change(move |change| {
            if let (Some(old), Some(new), Some(counter)) = (change.old, change.new, weak.upgrade())
                && (old.spec != new.spec || pod_usage(old) != pod_usage(new))
            {
                counter.recount(new.ns());
            }
        });
        let weak = Arc::downgrade(&counter);
        context.services.on_change(move |change| {
            if let (Some(old), Some(new), Some(counter)) = (change.old, change.new, weak.upgrade())
                && old.spec != new.spec
            {
                counter.recount(new.ns());
            }
        });
        counter
    }

    fn recount(&self, namespace: &str) {
        for quota in self.context.quotas.in_namespace(namespace) {
            self.queue.add(quota.key());
        }
    }

    /// Whatever comes or goes may be counted.
    pub fn see(&self, sighting: &Sighting<'_>) {
        if sighting.kind.namespaced
            && (sighting.old.is_none() || sighting.new.is_none())
            && let Some(namespace) = sighting.new.or(sighting.old).and_then(|m| m.namespace.as_deref())
        {
            self.recount(namespace);
        }
    }

    pub fn run(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let counter = Arc::clone(self);
        run(tasks, "quota", &self.queue, 2, move |key| {
            let counter = Arc::clone(&counter);
            async move { counter.sync(&key).await }
        });
    }

    async fn sync(&self, key: &Key) -> Outcome {
        let Some(quota) = self.context.quotas.get(key) else {
            return Ok(None);
        };
        let hard = quota
            .spec
            .as_ref()
            .and_then(|s| s.hard.clone())
            .unwrap_or_default();
        let mut all = Usage::new();
        for pod in self
            .context
            .pods
            .in_namespace(&key.namespace)
            .iter()
            .filter(|p| in_scope(&quota, p))
        {
            sum(&mut all, pod_usage(pod));
        }
        for service in self.context.services.in_namespace(&key.namespace) {
            sum(&mut all, service_usage(&service));
        }
        for claim in self.context.claims.in_namespace(&key.namespace) {
            let spec = claim.spec.clone().unwrap_or_default();
            let storage = spec
                .resources
                .and_then(|r| r.requests)
                .and_then(|r| r.get("storage").and_then(exact));
            let mut usage = Usage::from([("persistentvolumeclaims".to_owned(), one())]);
            if let Some(storage) = storage {
                usage.insert("requests.storage".into(), storage.clone());
                if let Some(class) = spec.storage_class_name {
                    usage.insert(
                        format!("{class}.storageclass.storage.k8s.io/requests.storage"),
                        storage,
                    );
                    usage.insert(
                        format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"),
                        one(),
                    );
                }
            }
            sum(&mut all, usage);
        }
        let mut used = BTreeMap::new();
        for name in hard.keys() {
            let amount = match all.get(name) {
                Some(amount) => amount.clone(),
                None => self.objects(name, &key.namespace).await?,
            };
            used.insert(name.clone(), ApiQuantity(amount.to_string()));
        }
        let mut updated = (*quota).clone();
        updated.status = Some(ResourceQuotaStatus {
            hard: Some(hard),
            used: Some(used),
        });
        self.context.quotas.update_status(&quota, &updated).await?;
        Ok(None)
    }

    /// Numbers of objects of a kind: `configmaps`, or `count/deployments.apps`.
    async fn objects(&self, name: &str, namespace: &str) -> Result<Quantity, Error> {
        let (plural, group) = match name.strip_prefix("count/") {
            Some(counted) => counted.split_once('.').unwrap_or((counted, "")),
            None if matches!(
                name,
                "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas"
            ) =>
            {
                (name, "")
            }
            None => return Ok(Quantity::from_integer(0)),
        };
        let Some(kind) = self
            .kinds
            .all()
            .into_iter()
            .find(|k| k.resource.plural == plural && k.resource.group == group && k.namespaced)
        else {
            return Ok(Quantity::from_integer(0));
        };
        let request = kind
            .request(namespace)
            .list(&ListParams::default())
            .map_err(Error::request)?;
        let list: ObjectList<PartialObjectMeta<DynamicObject>> =
            self.context.config.client.request(request).await?;
        Ok(Quantity::from_integer(
            i64::try_from(list.items.len()).unwrap_or(i64::MAX),
        ))
    }
}

fn one() -> Quantity {
    Quantity::from_integer(1)
}

fn sum(all: &mut Usage, more: Usage) {
    for (name, amount) in more {
        let total = all.entry(name).or_insert_with(|| Quantity::from_integer(0));
        *total = total.add(&amount);
    }
}

/// Whether a pod should have gone by now: one that is stuck costs nobody anything (pkg/quota/v1/evaluator/core/pods.go, QuotaV1Pod).
fn is_overdue(pod: &Pod, now: Timestamp) -> bool {
    let meta = &pod.metadata;
    match (&meta.deletion_timestamp, meta.deletion_grace_period_seconds) {
        (Some(at), Some(grace)) => now > at.0 + SignedDuration::from_secs(grace),
        _ => false,
    }
}

/// Whether a term of the pod's affinity looks beyond its namespace.
fn looks_abroad(spec: &PodSpec) -> bool {
    let abroad = |t: &PodAffinityTerm| {
        t.namespaces.as_ref().is_some_and(|n| !n.is_empty()) || t.namespace_selector.is_some()
    };
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|a| a.pod_affinity.as_ref());
    let far = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
    let required = near
        .map(|a| &a.required_during_scheduling_ignored_during_execution)
        .into_iter()
        .chain(far.map(|a| &a.required_during_scheduling_ignored_during_execution));
    let preferred = near
        .map(|a| &a.preferred_during_scheduling_ignored_during_execution)
        .into_iter()
        .chain(far.map(|a| &a.preferred_during_scheduling_ignored_during_execution));
    required.flatten().flatten().any(abroad)
        || preferred
            .flatten()
            .flatten()
            .any(|w| abroad(&w.pod_affinity_term))
}

/// What a pod that has not finished uses.
fn pod_usage(pod: &Pod) -> Usage {
    let mut usage = Usage::from([("count/pods".to_owned(), one())]);
    if pods::is_terminal(pod) || is_overdue(pod, Timestamp::now()) {
        return usage;
    }
    usage.insert("pods".into(), one());
    let resources = requests::of(pod, false);
    for (name, amount) in resources.requests() {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount.clone());
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    let limits = resources.limits().into_iter();
    usage.extend(limits.map(|(name, amount)| (format!("limits.{name}"), amount)));
    usage
}

fn service_usage(service: &Service) -> Usage {
    let mut usage = Usage::from([
        ("services".to_owned(), one()),
        ("count/services".to_owned(), one()),
    ]);
    let spec = service.spec.clone().unwrap_or_default();
    let ports = i64::try_from(spec.ports.as_ref().map_or(0, Vec::len)).unwrap_or(0);
    match spec.type_.as_deref() {
        Some("NodePort") => {
            usage.insert("services.nodeports".into(), Quantity::from_integer(ports));
        }
        Some("LoadBalancer") => {
            usage.insert("services.loadbalancers".into(), one());
            if spec.allocate_load_balancer_node_ports != Some(false) {
                usage.insert("services.nodeports".into(), Quantity::from_integer(ports));
            }
        }
        _ => {}
    }
    usage
}

/// Whether a quota with scopes counts the pod.
fn in_scope(quota: &ResourceQuota, pod: &Pod) -> bool {
    let Some(spec) = &quota.spec else { return true };
    let pod_spec = pod.spec.clone().unwrap_or_default();
    let best_effort = pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) == Some("BestEffort");
    let terminating = pod_spec.active_deadline_seconds.is_some();
    let abroad = looks_abroad(&pod_spec);
    let class = pod_spec.priority_class_name.unwrap_or_default();
    let holds = |scope: &str, operator: &str, values: &[String]| match (scope, operator) {
        ("BestEffort", _) => best_effort,
        ("NotBestEffort", _) => !best_effort,
        ("Terminating", _) => terminating,
        ("NotTerminating", _) => !terminating,
        ("CrossNamespacePodAffinity", _) => abroad,
        ("PriorityClass", "In") => values.contains(&class),
        ("PriorityClass", "NotIn") => !values.contains(&class),
        ("PriorityClass", "DoesNotExist") => class.is_empty(),
        ("PriorityClass", _) => !class.is_empty(),
        _ => false,
    };
    let listed = spec.scopes.iter().flatten().all(|s| holds(s, "Exists", &[]));
    let selected = spec
        .scope_selector
        .iter()
        .flat_map(|s| s.match_expressions.iter().flatten());
    listed
        && selected.into_iter().all(|e| {
            holds(
                &e.scope_name,
                &e.operator,
                e.values.as_deref().unwrap_or_default(),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_uses() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}, {"name": "b", "resources": {"requests": {"cpu": "200m"}}}],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}]}}))
        .unwrap();
        let usage = pod_usage(&pod);
        assert_eq!(usage["requests.cpu"].to_string(), "1");
        assert_eq!(usage["cpu"].to_string(), "1");
        assert_eq!(usage["limits.memory"].to_string(), "1Gi");
        let mut shrinking = pod.clone();
        let status = json!({"containerStatuses": [{"name": "b", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "allocatedResources": {"cpu": "200m"}, "resources": {"requests": {"cpu": "1500m"}}}]});
        shrinking.status = serde_json::from_value(status).unwrap();
        assert_eq!(pod_usage(&shrinking)["requests.cpu"].to_string(), "1600m");
        let mut finished = pod;
        finished.status.get_or_insert_default().phase = Some("Succeeded".into());
        assert_eq!(pod_usage(&finished).keys().collect::<Vec<_>>(), ["count/pods"]);
    }

    #[test]
    fn who_is_stuck_or_looks_abroad() {
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30});
        let pod: Pod = serde_json::from_value(json!({"metadata": going})).unwrap();
        let at = |text: &str| text.parse().unwrap();
        assert!(!is_overdue(&pod, at("2026-01-01T00:00:30Z")));
        assert!(is_overdue(&pod, at("2026-01-01T00:00:31Z")));
        assert!(!is_overdue(&Pod::default(), at("2026-01-01T00:00:31Z")));
        let spec = |kind: &str, rule: &str, term: serde_json::Value| -> PodSpec {
            serde_json::from_value(json!({"containers": [], "affinity": {kind: {rule: [term]}}})).unwrap()
        };
        let (hard, soft) = (
            "requiredDuringSchedulingIgnoredDuringExecution",
            "preferredDuringSchedulingIgnoredDuringExecution",
        );
        let abroad = json!({"topologyKey": "k", "namespaceSelector": {}});
        assert!(looks_abroad(&spec("podAffinity", hard, abroad.clone())));
        let weighted = json!({"weight": 1, "podAffinityTerm": abroad});
        assert!(looks_abroad(&spec("podAntiAffinity", soft, weighted)));
        assert!(!looks_abroad(&spec(
            "podAffinity",
            hard,
            json!({"topologyKey": "k"})
        )));
        assert!(!looks_abroad(&PodSpec::default()));
    }
}
