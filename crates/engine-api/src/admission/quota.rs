//! ResourceQuota: what a namespace may use (apiserver `admission/plugin/resourcequota`). Use is counted from the store, under
//! a lock; `status.used` is written so that people can see it.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use engine_store::{Precondition, Stored};
use kube_types::Quantity;
use kube_types::pod_resources::{PodResources, is_pod_level_resource, qos_class};
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::Api,
    custom,
    json::{list, number, object, strings, text},
    keys,
    status::{ApiError, Result},
};

type Usage = BTreeMap<String, Quantity>;

/// Quotas whose `status.used` changes once the object is stored.
#[derive(Debug, Default)]
pub struct Charge(Vec<(String, Usage)>);

fn quotas(api: &Api, namespace: &str) -> Vec<Arc<Stored>> {
    api.store.list(&keys::core("resourcequotas", namespace, "")).items
}

/// Whether creating this kind in this namespace is counted at all.
pub fn counted(api: &Api, kind: &KindInfo, namespace: &str) -> bool {
    kind.namespaced && !is_event(kind) && !namespace.is_empty() && !quotas(api, namespace).is_empty()
}

fn is_event(kind: &KindInfo) -> bool {
    kind.plural == "events" && !custom::is(kind)
}

fn is_pod(kind: &KindInfo) -> bool {
    kind.plural == "pods" && !custom::is(kind)
}

/// Refuse what goes over a quota (`controller.go` CheckRequest): first all quotas are asked what has to be said, then what is left.
pub fn check(api: &Api, kind: &'static KindInfo, new: &Value, old: Option<&Value>) -> Result<Charge> {
    let namespace = text(new, "/metadata/namespace");
    if !counted(api, kind, namespace) {
        return Ok(Charge::default());
    }
    let refuse = |why: String| Err(ApiError::forbidden(kind, text(new, "/metadata/name"), why));
    let mut interesting = Vec::new();
    for quota in quotas(api, namespace) {
        let stored = quota.value();
        let Some(hard) = stored["spec"]["hard"].as_object() else {
            continue;
        };
        let limited: Usage = hard
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.parse().ok()?)))
            .filter(|(k, _)| canonical_matches(kind, k))
            .collect();
        if limited.is_empty() || !in_scope(&stored, kind, new) {
            continue;
        }
        // Every container must say what it uses of what is limited, unless the pod says it for all.
        if is_pod(kind) && !speaks_for_all(new) {
            let missing: Vec<String> = limited
                .keys()
                .filter(|k| is_compute(k) && !k.ends_with("ephemeral-storage"))
                .map(|k| (k, containers_without(new, k)))
                .filter(|(_, names)| !names.is_empty())
                .map(|(k, names)| format!("{k} for: {names}"))
                .collect();
            if !missing.is_empty() {
                let name = text(&stored, "/metadata/name");
                return refuse(format!(
                    "failed quota: {name}: must specify {}",
                    missing.join("; ")
                ));
            }
        }
        let status = |field: &str, name: &str| stored["status"][field].get(name).is_some();
        if limited.keys().any(|k| status("hard", k) && !status("used", k)) {
            return refuse(format!(
                "status unknown for quota: {}, resources: {}",
                text(&stored, "/metadata/name"),
                limited.into_keys().collect::<Vec<_>>().join(",")
            ));
        }
        interesting.push((quota, limited));
    }
    let mut charge = Charge::default();
    for (quota, limited) in interesting {
        let stored = quota.value();
        let mut delta = usage(kind, new);
        // What was counted before is subtracted, if it was.
        if let Some(old) = old.filter(|old| in_scope(&stored, kind, old)) {
            for (resource, quantity) in usage(kind, old) {
                let entry = delta.entry(resource).or_insert_with(|| Quantity::from_integer(0));
                *entry = entry.sub(&quantity);
            }
        }
        delta.retain(|_, q| q.sign() > 0);
        let mut used = count(api, namespace, kind, &stored);
        let (mut requested, mut in_use, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        for (resource, bound) in &limited {
            let before = find(&used, resource)
                .cloned()
                .unwrap_or_else(|| Quantity::from_integer(0));
            let Some(wanted) = find(&delta, resource) else {
                continue;
            };
            let after = before.add(wanted);
            if after > *bound {
                requested.push(format!("{resource}={}", wanted.canonical()));
                in_use.push(format!("{resource}={}", before.canonical()));
                limit.push(format!("{resource}={}", bound.canonical()));
            }
            used.insert(resource.clone(), after);
        }
        if !requested.is_empty() {
            return refuse(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                text(&stored, "/metadata/name"),
                requested.join(","),
                in_use.join(","),
                limit.join(",")
            ));
        }
        let shown = limited
            .keys()
            .filter_map(|k| Some((k.clone(), find(&used, k)?.clone())))
            .collect();
        charge.0.push((quota.key.to_string(), shown));
    }
    Ok(charge)
}

/// Write what is used now into the quotas' status, as the API server's own doing.
pub async fn charge(api: &Arc<Api>, charge: Charge) {
    let time = crate::time::now();
    let manager = ::patch::Manager {
        name: "kube-apiserver",
        api_version: "v1",
        subresource: "status",
        time: &time,
    };
    for (key, used) in charge.0 {
        for _ in 0..4 {
            let Some(stored) = api.store.get(&key) else { break };
            let old = stored.value();
            let mut value = Value::clone(&old);
            let shown = object(&mut value, &["status", "used"]);
            for (resource, quantity) in &used {
                shown.insert(resource.clone(), quantity.canonical().into());
            }
            let same = value == *old;
            if !same {
                ::patch::track_update(
                    "io.k8s.api.core.v1.ResourceQuota",
                    Some(&old),
                    &mut value,
                    &manager,
                );
            }
            if same
                || api
                    .store
                    .put(&key, value, Precondition::Revision(stored.revision))
                    .await
                    .is_ok()
            {
                break;
            }
        }
    }
}

fn is_compute(resource: &str) -> bool {
    let resource = resource
        .strip_prefix("requests.")
        .or(resource.strip_prefix("limits."))
        .unwrap_or(resource);
    matches!(resource, "cpu" | "memory" | "ephemeral-storage")
}

fn containers_without(pod: &Value, resource: &str) -> String {
    let (what, resource) = match resource.split_once('.') {
        Some((what, resource)) => (what, resource),
        None => ("requests", resource),
    };
    let all = list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"));
    let names: BTreeSet<&str> = all
        .filter(|c| c["resources"][what].get(resource).is_none())
        .map(|c| text(c, "/name"))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// Whether requests or limits are those of the pod as a whole (IsPodLevelResourcesSet).
fn speaks_for_all(pod: &Value) -> bool {
    ["requests", "limits"].iter().any(|what| {
        let own = pod["spec"]["resources"][*what].as_object();
        own.is_some_and(|own| own.keys().any(|name| is_pod_level_resource(name)))
    })
}

/// `cpu` is `requests.cpu`.
fn find<'a>(usage: &'a Usage, resource: &str) -> Option<&'a Quantity> {
    usage
        .get(resource)
        .or_else(|| usage.get(&format!("requests.{resource}")))
}

fn canonical_matches(kind: &KindInfo, resource: &str) -> bool {
    if let Some(counted) = resource.strip_prefix("count/") {
        return counted == crate::status::qualified(kind);
    }
    if custom::is(kind) {
        return false;
    }
    match kind.plural {
        "pods" => resource == "pods" || is_compute(resource) || is_extended(resource),
        "services" => matches!(
            resource,
            "services" | "services.nodeports" | "services.loadbalancers"
        ),
        "persistentvolumeclaims" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
                || resource.ends_with(".storageclass.storage.k8s.io/requests.storage")
                || resource.ends_with(".storageclass.storage.k8s.io/persistentvolumeclaims")
        }
        plural => resource == plural,
    }
}

/// Huge pages, and what nodes offer besides: of the latter only requests are limited (`pkg/quota/v1/evaluator/core/pods.go`,
/// isExtendedResourceNameForQuota).
fn is_extended(resource: &str) -> bool {
    let asked = resource.strip_prefix("requests.");
    asked.unwrap_or(resource).starts_with("hugepages-")
        || asked.is_some_and(|name| name.contains('/') && !name.contains("kubernetes.io/"))
}

/// Whether the object is in all scopes of a quota: pods and claims have some, of other kinds nothing is in any
/// (`pkg/quota/v1/evaluator/core`, podMatchesScopeFunc and pvcMatchesScopeFunc).
fn in_scope(quota: &Value, kind: &KindInfo, object: &Value) -> bool {
    let listed = strings(quota, "/spec/scopes")
        .into_iter()
        .map(|scope| (scope, "Exists", Vec::new()));
    let selected = list(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .map(|e| (text(e, "/scopeName"), text(e, "/operator"), strings(e, "/values")));
    let named = |names: &[&str], operator: &str, values: &[&str]| match operator {
        "In" => names.iter().any(|name| values.contains(name)),
        "NotIn" => !names.iter().any(|name| values.contains(name)),
        "Exists" => !names.is_empty(),
        _ => names.is_empty(),
    };
    let terminating = || {
        object
            .pointer("/spec/activeDeadlineSeconds")
            .is_some_and(|v| !v.is_null())
    };
    let best_effort = || qos_class(object) == "BestEffort";
    let is_claim = kind.plural == "persistentvolumeclaims" && !custom::is(kind);
    let filled = |pointers: &[&str]| -> Vec<&str> {
        let names = pointers.iter().map(|p| text(object, p));
        names.filter(|name| !name.is_empty()).collect()
    };
    listed
        .chain(selected)
        .all(|(scope, operator, values)| match scope {
            "VolumeAttributesClass" if is_claim => {
                let names = filled(&[
                    "/spec/volumeAttributesClassName",
                    "/status/currentVolumeAttributesClassName",
                    "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
                ]);
                named(&names, operator, &values)
            }
            _ if !is_pod(kind) => false,
            "Terminating" => terminating(),
            "NotTerminating" => !terminating(),
            "BestEffort" => best_effort(),
            "NotBestEffort" => !best_effort(),
            "PriorityClass" => named(&filled(&["/spec/priorityClassName"]), operator, &values),
            "CrossNamespacePodAffinity" => looks_abroad(object),
            _ => false,
        })
}

/// Whether a term of a pod's affinity looks beyond its namespace (pkg/quota/v1/evaluator/core/pods.go, usesNamespacesOnAffinity).
fn looks_abroad(pod: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let of = |rule: &str| {
            list(
                pod,
                &format!("/spec/affinity/{kind}/{rule}DuringSchedulingIgnoredDuringExecution"),
            )
        };
        let abroad = |term: &Value| {
            !list(term, "/namespaces").is_empty()
                || term.get("namespaceSelector").is_some_and(|s| !s.is_null())
        };
        of("required").iter().any(abroad)
            || of("preferred")
                .iter()
                .any(|weighted| abroad(&weighted["podAffinityTerm"]))
    })
}

/// What one object uses.
fn usage(kind: &KindInfo, object: &Value) -> Usage {
    let mut used = Usage::new();
    let one = || Quantity::from_integer(1);
    used.insert(format!("count/{}", crate::status::qualified(kind)), one());
    // Of a custom kind only the number counts, whatever it is called.
    if custom::is(kind) {
        return used;
    }
    match kind.plural {
        "pods" => {
            if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") {
                return used;
            }
            used.insert("pods".to_owned(), one());
            // Of a resize that is under way, whichever is more.
            let resources = PodResources::of(object, true);
            for (what, amounts) in [("requests", resources.requests()), ("limits", resources.limits())] {
                let amounts = amounts.into_iter();
                used.extend(amounts.map(|(resource, quantity)| (format!("{what}.{resource}"), quantity)));
            }
        }
        "services" => {
            used.insert("services".to_owned(), one());
            let ports = list(object, "/spec/ports").len() as i64;
            match text(object, "/spec/type") {
                "NodePort" => {
                    used.insert("services.nodeports".to_owned(), Quantity::from_integer(ports));
                }
                // Without ports of nodes of their own only those count that are asked for by number.
                "LoadBalancer" if object["spec"]["allocateLoadBalancerNodePorts"] == false => {
                    used.insert("services.loadbalancers".to_owned(), one());
                    let asked = list(object, "/spec/ports")
                        .iter()
                        .filter(|p| number(p, "/nodePort").unwrap_or_default() != 0);
                    used.insert(
                        "services.nodeports".to_owned(),
                        Quantity::from_integer(asked.count() as i64),
                    );
                }
                "LoadBalancer" => {
                    used.insert("services.loadbalancers".to_owned(), one());
                    used.insert("services.nodeports".to_owned(), Quantity::from_integer(ports));
                }
                _ => {}
            }
        }
        "persistentvolumeclaims" => {
            used.insert("persistentvolumeclaims".to_owned(), one());
            let storage = text(object, "/spec/resources/requests/storage")
                .parse::<Quantity>()
                .ok();
            let class = text(object, "/spec/storageClassName");
            if !class.is_empty() {
                used.insert(
                    format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"),
                    one(),
                );
            }
            if let Some(storage) = storage {
                if !class.is_empty() {
                    used.insert(
                        format!("{class}.storageclass.storage.k8s.io/requests.storage"),
                        storage.clone(),
                    );
                }
                used.insert("requests.storage".to_owned(), storage);
            }
        }
        plural => {
            used.insert(plural.to_owned(), one());
        }
    }
    used
}

/// What all objects of this kind use now.
fn count(api: &Api, namespace: &str, kind: &'static KindInfo, quota: &Value) -> Usage {
    let mut total = Usage::new();
    for stored in api.store.list(&keys::prefix(kind, namespace)).items {
        if !in_scope(quota, kind, &stored.value()) {
            continue;
        }
        for (resource, quantity) in usage(kind, &stored.value()) {
            let sum = total
                .get(&resource)
                .map_or_else(|| quantity.clone(), |before| before.add(&quantity));
            total.insert(resource, sum);
        }
    }
    // Both spellings of a request.
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(quantity) = total.get(&format!("requests.{resource}")).cloned() {
            total.insert(resource.to_owned(), quantity);
        }
    }
    total
}
