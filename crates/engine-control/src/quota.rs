//! ResourceQuota status: what a namespace uses of what it may (pkg/controller/resourcequota). Admission refuses
//! what goes over; this counts anew when something has gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, PodAffinityTerm, PodSpec, ResourceQuota, ResourceQuotaStatus, Service,
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
        // What is used is written by the API server as well, ahead of the object that uses it.
        context.quotas.on_change(move |change| {
            if let Some(quota) = change.new
                && change.old.is_none_or(|old| old.spec != quota.spec)
            {
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
        let weak = Arc::downgrade(&counter);
        context.claims.on_change(move |change| {
            if let (Some(old), Some(new), Some(counter)) = (change.old, change.new, weak.upgrade())
                && (claim_usage(old) != claim_usage(new) || attributes(old) != attributes(new))
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

    /// What could not be counted may be served now.
    pub fn look_again(&self) {
        for quota in self.context.quotas.all() {
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
        let scopes = scopes(&quota);
        let mut all = Usage::new();
        for pod in self.context.pods.in_namespace(&key.namespace) {
            if scopes.iter().all(|s| pod_in_scope(s, &pod)) {
                sum(&mut all, pod_usage(&pod));
            }
        }
        for claim in self.context.claims.in_namespace(&key.namespace) {
            if scopes.iter().all(|s| claim_in_scope(s, &claim)) {
                sum(&mut all, claim_usage(&claim));
            }
        }
        // Nothing else is in any scope.
        if scopes.is_empty() {
            for service in self.context.services.in_namespace(&key.namespace) {
                sum(&mut all, service_usage(&service));
            }
        }
        let told = quota.status.as_ref().and_then(|s| s.used.as_ref());
        let mut used = BTreeMap::new();
        for name in hard.keys() {
            let amount = match all.get(name) {
                Some(amount) => Some(amount.clone()),
                None if is_measured(name) => Some(Quantity::from_integer(0)),
                None => self.objects(name, &key.namespace, scopes.is_empty()).await?,
            };
            // Of what nobody can count the last that was told stays.
            let amount = match amount {
                Some(amount) => Some(ApiQuantity(amount.to_string())),
                None => told.and_then(|t| t.get(name)).cloned(),
            };
            used.extend(amount.map(|amount| (name.clone(), amount)));
        }
        let mut updated = (*quota).clone();
        updated.status = Some(ResourceQuotaStatus {
            hard: Some(hard),
            used: Some(used),
        });
        self.context.quotas.update_status(&quota, &updated).await?;
        Ok(None)
    }

    /// Numbers of objects of a kind: `configmaps`, or `count/deployments.apps`; nothing of kinds that are not served.
    async fn objects(&self, name: &str, namespace: &str, in_scope: bool) -> Result<Option<Quantity>, Error> {
        let (plural, group) = match name.strip_prefix("count/") {
            Some(counted) => counted.split_once('.').unwrap_or((counted, "")),
            None if matches!(
                name,
                "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas"
            ) =>
            {
                (name, "")
            }
            None => return Ok(None),
        };
        let Some(kind) = self
            .kinds
            .all()
            .into_iter()
            .find(|k| k.resource.plural == plural && k.resource.group == group && k.namespaced)
        else {
            return Ok(None);
        };
        if !in_scope {
            return Ok(Some(Quantity::from_integer(0)));
        }
        let request = kind
            .request(namespace)
            .list(&ListParams::default())
            .map_err(Error::request)?;
        let list: ObjectList<PartialObjectMeta<DynamicObject>> =
            self.context.config.client.request(request).await?;
        Ok(Some(Quantity::from_integer(
            i64::try_from(list.items.len()).unwrap_or(i64::MAX),
        )))
    }
}

/// Whether this is an amount that pods, services or claims are measured by, even if there are none (`pkg/quota/v1/evaluator/core`,
/// MatchingResources).
fn is_measured(name: &str) -> bool {
    let asked = name.strip_prefix("requests.");
    let amount = asked.or(name.strip_prefix("limits.")).unwrap_or(name);
    matches!(
        amount,
        "cpu" | "memory" | "ephemeral-storage" | "storage" | "pods" | "services" | "persistentvolumeclaims"
    ) || matches!(
        name,
        "services.nodeports"
            | "services.loadbalancers"
            | "count/pods"
            | "count/services"
            | "count/persistentvolumeclaims"
    ) || amount.starts_with("hugepages-")
        || asked.is_some_and(|name| name.contains('/') && !name.contains("kubernetes.io/"))
        || name.ends_with(".storageclass.storage.k8s.io/requests.storage")
        || name.ends_with(".storageclass.storage.k8s.io/persistentvolumeclaims")
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
            let own = spec
                .ports
                .iter()
                .flatten()
                .filter(|p| p.node_port.is_some_and(|n| n != 0));
            let own = i64::try_from(own.count()).unwrap_or(0);
            let counted = if spec.allocate_load_balancer_node_ports == Some(false) {
                own
            } else {
                ports
            };
            usage.insert("services.nodeports".into(), Quantity::from_integer(counted));
        }
        _ => {}
    }
    usage
}

/// What a claim uses (`pkg/quota/v1/evaluator/core/persistent_volume_claims.go`): what it asks for, or has been promised if that is more.
fn claim_usage(claim: &PersistentVolumeClaim) -> Usage {
    let mut usage = Usage::from([
        ("persistentvolumeclaims".to_owned(), one()),
        ("count/persistentvolumeclaims".to_owned(), one()),
    ]);
    let spec = claim.spec.clone().unwrap_or_default();
    let storage = |amounts: Option<&BTreeMap<String, ApiQuantity>>| amounts?.get("storage").and_then(exact);
    let asked = storage(spec.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let promised = storage(claim.status.as_ref().and_then(|s| s.allocated_resources.as_ref()));
    let class = spec.storage_class_name.filter(|c| !c.is_empty());
    let of_class = |what: &str| {
        class
            .as_ref()
            .map(|c| format!("{c}.storageclass.storage.k8s.io/{what}"))
    };
    usage.extend(of_class("persistentvolumeclaims").map(|name| (name, one())));
    if let Some(asked) = asked {
        let storage = promised.filter(|p| *p > asked).unwrap_or(asked);
        usage.extend(of_class("requests.storage").map(|name| (name, storage.clone())));
        usage.insert("requests.storage".into(), storage);
    }
    usage
}

/// One scope of a quota: its name, operator and values.
type Scope = (String, String, Vec<String>);

fn scopes(quota: &ResourceQuota) -> Vec<Scope> {
    let spec = quota.spec.clone().unwrap_or_default();
    let listed = spec.scopes.unwrap_or_default();
    let selected = spec.scope_selector.and_then(|s| s.match_expressions);
    let selected = selected.unwrap_or_default();
    listed
        .into_iter()
        .map(|scope| (scope, "Exists".to_owned(), Vec::new()))
        .chain(
            selected
                .into_iter()
                .map(|e| (e.scope_name, e.operator, e.values.unwrap_or_default())),
        )
        .collect()
}

/// Whether the names are as an operator wants them.
fn named((_, operator, values): &Scope, names: &[&str]) -> bool {
    let listed = names.iter().any(|name| values.iter().any(|v| v == name));
    match operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => !names.is_empty(),
        _ => names.is_empty(),
    }
}

fn pod_in_scope(scope: &Scope, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let best_effort = || pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) == Some("BestEffort");
    let terminating = || spec.is_some_and(|s| s.active_deadline_seconds.is_some());
    match scope.0.as_str() {
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "CrossNamespacePodAffinity" => spec.is_some_and(looks_abroad),
        "PriorityClass" => {
            let class = spec.and_then(|s| s.priority_class_name.as_deref());
            named(
                scope,
                &class.into_iter().filter(|c| !c.is_empty()).collect::<Vec<_>>(),
            )
        }
        _ => false,
    }
}

/// The classes of attributes that a claim has, or is to get.
fn attributes(claim: &PersistentVolumeClaim) -> Vec<&str> {
    let status = claim.status.as_ref();
    let wanted = claim
        .spec
        .as_ref()
        .and_then(|s| s.volume_attributes_class_name.as_deref());
    let current = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
    let target = status
        .and_then(|s| s.modify_volume_status.as_ref())
        .and_then(|m| m.target_volume_attributes_class_name.as_deref());
    [wanted, current, target]
        .into_iter()
        .flatten()
        .filter(|c| !c.is_empty())
        .collect()
}

fn claim_in_scope(scope: &Scope, claim: &PersistentVolumeClaim) -> bool {
    scope.0 == "VolumeAttributesClass" && named(scope, &attributes(claim))
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

    #[test]
    fn who_is_in_which_scope() {
        let scope = |name: &str, operator: &str, values: &[&str]| -> Scope {
            (
                name.into(),
                operator.into(),
                values.iter().map(|v| (*v).to_owned()).collect(),
            )
        };
        let pod: Pod = serde_json::from_value(
            json!({"spec": {"containers": [], "activeDeadlineSeconds": 5, "priorityClassName": "high"},
            "status": {"qosClass": "BestEffort"}}),
        )
        .unwrap();
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"spec": {"volumeAttributesClassName": "gold"}})).unwrap();
        for (name, operator, values, has_pod, has_claim) in [
            ("Terminating", "Exists", &[][..], true, false),
            ("NotTerminating", "Exists", &[], false, false),
            ("BestEffort", "Exists", &[], true, false),
            ("PriorityClass", "In", &["high", "low"], true, false),
            ("PriorityClass", "NotIn", &["high"], false, false),
            ("PriorityClass", "DoesNotExist", &[], false, false),
            ("VolumeAttributesClass", "In", &["gold"], false, true),
            ("VolumeAttributesClass", "NotIn", &["silver"], false, true),
        ] {
            let scope = scope(name, operator, values);
            assert_eq!(
                (pod_in_scope(&scope, &pod), claim_in_scope(&scope, &claim)),
                (has_pod, has_claim),
                "{scope:?}"
            );
        }
    }

    #[test]
    fn what_claims_use_and_what_is_counted_at_all() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "spec": {"storageClassName": "c", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"allocatedResources": {"storage": "2Gi"}}}))
        .unwrap();
        let usage = claim_usage(&claim);
        assert_eq!(
            usage["c.storageclass.storage.k8s.io/requests.storage"].to_string(),
            "2Gi"
        );
        assert_eq!(
            usage["c.storageclass.storage.k8s.io/persistentvolumeclaims"].to_string(),
            "1"
        );
        for name in [
            "limits.cpu",
            "requests.example.com/gpu",
            "hugepages-2Mi",
            "count/pods",
            "services.nodeports",
        ] {
            assert!(is_measured(name), "{name}");
        }
        for name in ["count/ghosts.example.com", "example.com/gpu", "configmaps"] {
            assert!(!is_measured(name), "{name}");
        }
    }
}
