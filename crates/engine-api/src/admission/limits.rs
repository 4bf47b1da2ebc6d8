//! LimitRanger: defaults and bounds of a namespace's containers, pods and claims.
use kube_types::Quantity;
use kube_types::pod_resources::{Amounts, PodResources};
use schema::KindInfo;
use serde_json::{Map, Value, json};

use crate::{
    api::Api,
    json::{list, object, text},
    keys,
    status::{ApiError, Result},
};

fn limits(api: &Api, namespace: &str) -> Vec<Value> {
    let prefix = keys::core("limitranges", namespace, "");
    api.store
        .list(&prefix)
        .items
        .iter()
        .flat_map(|r| list(&r.value(), "/spec/limits").to_vec())
        .collect()
}

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Requests and limits that a pod leaves out; an annotation tells of them.
pub fn apply_defaults(api: &Api, namespace: &str, pod: &mut Value) {
    let told = fill_all(api, namespace, pod);
    if !told.is_empty() {
        let note = format!("LimitRanger plugin set: {}", told.join("; "));
        crate::json::set(pod, &["metadata", "annotations", ANNOTATION], note);
    }
}

/// The same for a pod that is resized, whose annotations nobody changes; none that is on its way out.
pub fn fill_containers(api: &Api, pod: &mut Value, old: &Value) {
    if text(old, "/metadata/deletionTimestamp").is_empty() {
        let namespace = text(pod, "/metadata/namespace").to_owned();
        fill_all(api, &namespace, pod);
    }
}

/// Fills in what is missing; tells of it.
fn fill_all(api: &Api, namespace: &str, pod: &mut Value) -> Vec<String> {
    let mut told = Vec::new();
    for limit in limits(api, namespace)
        .iter()
        .filter(|l| text(l, "/type") == "Container")
    {
        for (containers, what) in [("containers", "container"), ("initContainers", "init container")] {
            let Some(list) = pod["spec"].get_mut(containers).and_then(Value::as_array_mut) else {
                continue;
            };
            for container in list {
                let name = text(container, "/name").to_owned();
                let limits = fill(container, "limits", &limit["default"]);
                let requests = fill(container, "requests", &limit["defaultRequest"]);
                for (kind, set) in [("request", requests), ("limit", limits)] {
                    if !set.is_empty() {
                        told.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                    }
                }
            }
        }
    }
    told
}

/// Fills in what is missing; gives its names.
fn fill(container: &mut Value, what: &str, defaults: &Value) -> Vec<String> {
    let mut filled = Vec::new();
    let Some(defaults) = defaults.as_object().filter(|d| !d.is_empty()) else {
        return filled;
    };
    let own: &mut Map<String, Value> = object(container, &["resources", what]);
    for (resource, quantity) in defaults {
        if !own.contains_key(resource) {
            own.insert(resource.clone(), quantity.clone());
            filled.push(resource.clone());
        }
    }
    filled
}

fn quantity(value: Option<&Value>) -> Option<Quantity> {
    value?.as_str()?.parse().ok()
}

/// Refuse what is out of bounds.
pub fn check(api: &Api, kind: &'static KindInfo, object: &Value) -> Result<()> {
    if !matches!(kind.plural, "pods" | "persistentvolumeclaims") {
        return Ok(());
    }
    let mut found = Vec::new();
    for limit in limits(api, text(object, "/metadata/namespace")) {
        match (kind.plural, text(&limit, "/type")) {
            ("pods", "Container") => {
                let all = list(object, "/spec/containers")
                    .iter()
                    .chain(list(object, "/spec/initContainers"));
                for container in all {
                    bounds(&limit, "Container", &container["resources"], &mut found);
                }
            }
            ("pods", "Pod") => bounds(&limit, "Pod", &sum(object), &mut found),
            ("persistentvolumeclaims", "PersistentVolumeClaim") => {
                bounds(
                    &limit,
                    "PersistentVolumeClaim",
                    &object["spec"]["resources"],
                    &mut found,
                );
            }
            _ => {}
        }
    }
    match found.as_slice() {
        [] => Ok(()),
        [one] => Err(ApiError::forbidden(kind, text(object, "/metadata/name"), one)),
        many => Err(ApiError::forbidden(
            kind,
            text(object, "/metadata/name"),
            format!("[{}]", many.join(", ")),
        )),
    }
}

/// The requests and limits of a whole pod.
fn sum(pod: &Value) -> Value {
    let mut resources = PodResources::of(pod, false);
    resources.overhead.clear();
    let shown = |amounts: Amounts| -> Map<String, Value> {
        let entries = amounts.into_iter();
        entries
            .map(|(name, amount)| (name, amount.canonical().into()))
            .collect()
    };
    json!({"requests": shown(resources.requests()), "limits": shown(resources.limits())})
}

fn bounds(limit: &Value, kind: &str, resources: &Value, found: &mut Vec<String>) {
    let own = |what: &str, resource: &str| quantity(resources[what].get(resource));
    for (resource, minimum) in limit["min"].as_object().into_iter().flatten() {
        let Some(bound) = quantity(Some(minimum)) else {
            continue;
        };
        let shown = bound.canonical();
        let least = format!("minimum {resource} usage per {kind} is {shown}");
        // One complaint for each bound.
        match (own("requests", resource), own("limits", resource)) {
            (None, _) => found.push(format!("{least}.  No request is specified")),
            (Some(r), _) if r < bound => found.push(format!("{least}, but request is {}", r.canonical())),
            (_, Some(l)) if l < bound => found.push(format!("{least}, but limit is {}", l.canonical())),
            _ => {}
        }
    }
    for (resource, maximum) in limit["max"].as_object().into_iter().flatten() {
        let Some(bound) = quantity(Some(maximum)) else {
            continue;
        };
        let shown = bound.canonical();
        if kind == "PersistentVolumeClaim" {
            if let Some(r) = own("requests", resource).filter(|r| *r > bound) {
                found.push(format!(
                    "maximum {resource} usage per {kind} is {shown}, but request is {}",
                    r.canonical()
                ));
            }
            continue;
        }
        let most = format!("maximum {resource} usage per {kind} is {shown}");
        match (own("limits", resource), own("requests", resource)) {
            (None, _) => found.push(format!("{most}.  No limit is specified")),
            (Some(l), _) if l > bound => found.push(format!("{most}, but limit is {}", l.canonical())),
            (_, Some(r)) if r > bound => found.push(format!("{most}, but request is {}", r.canonical())),
            _ => {}
        }
    }
    for (resource, ratio) in limit["maxLimitRequestRatio"].as_object().into_iter().flatten() {
        let Some(bound) = quantity(Some(ratio)) else {
            continue;
        };
        let (Some(request), Some(limit)) = (own("requests", resource), own("limits", resource)) else {
            found.push(format!(
                "{resource} max limit to request ratio per {kind} is {}, but no request is specified or request is 0.",
                bound.canonical()
            ));
            continue;
        };
        let observed = limit.as_f64() / request.as_f64();
        if observed > bound.as_f64() {
            found.push(format!(
                "{resource} max limit to request ratio per {kind} is {}, but provided ratio is {observed:.6}",
                bound.canonical()
            ));
        }
    }
}
