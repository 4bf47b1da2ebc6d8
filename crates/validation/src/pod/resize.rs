//! What a resize may change of a pod: the CPU and memory that it and its containers ask for (validation.go, ValidatePodResize).
use kube_types::pod_resources::qos_class;
use serde_json::{Map, Value, json};

use super::pod_spec;
use crate::field::{Errors, Node, alike};

const MIRROR: &str = "kubernetes.io/config.mirror";
const ONLY: &str = "only cpu and memory resources are mutable";

/// The rules for a pod that was resized, its metadata aside.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    // Upstream names the whole with a path that has a step without a name.
    let whole = new.renamed("[]");
    let refusal = if old.at(&["metadata", "annotations", MIRROR]).present() {
        Some("static pods cannot be resized")
    } else if old.at(&["spec", "os", "name"]).text() == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return e.forbidden(&whole, refusal);
    }
    pod_spec(e, new);
    let (was, spec) = (old.get("spec"), new.get("spec"));
    let class = match old.at(&["status", "qosClass"]).text() {
        "" => qos_class(old.value()),
        class => class,
    };
    if class != qos_class(new.value()) {
        let shown = new.at(&["status", "qosClass"]);
        e.invalid_text(
            &spec,
            shown.text(),
            "Pod QOS Class may not change as a result of resizing",
        );
    }
    if !is_supported(old) {
        e.forbidden(&spec, "Pod running on node without support for resize");
    }
    let mut masked = spec.value().as_object().cloned().unwrap_or_default();
    if has_own(&was) || has_own(&spec) {
        own_resources(e, &was, &spec, &mut masked);
    }
    if !old
        .at(&["status", "nodeAllocatableResourceClaimStatuses"])
        .is_empty()
    {
        e.forbidden(
            &spec,
            "pods with node allocatable resource claims cannot be resized",
        );
    }
    if !in_order(e, &was, &spec) {
        return;
    }
    for list in ["initContainers", "containers"] {
        for (before, now) in was.get(list).items().iter().zip(spec.get(list).items()) {
            let (before, now) = (before.get("resources"), now.get("resources"));
            for (what, detail) in [
                ("requests", "resource requests cannot be removed"),
                ("limits", "resource limits cannot be removed"),
            ] {
                if removed(&now.get(what), &before.get(what)) {
                    e.forbidden(&now.get(what), detail);
                }
            }
        }
    }
    containers(e, &was, &spec, &mut masked);
    init_containers(e, &was, &spec, &mut masked);
    if e.count() == 0 && !alike(&Value::Object(masked), was.value()) {
        e.forbidden(&spec, ONLY);
    }
}

/// A node that tells of its containers' resources can change them; nobody knows before the first of them runs.
fn is_supported(pod: &Node<'_>) -> bool {
    let statuses = pod.at(&["status", "containerStatuses"]).items();
    let running = statuses.iter().find(|s| s.at(&["state", "running"]).present());
    running.is_none_or(|status| status.get("resources").present())
}

fn has_own(spec: &Node<'_>) -> bool {
    let own = spec.get("resources");
    !own.get("requests").is_empty() || !own.get("limits").is_empty()
}

/// Requests and limits of the pod as a whole (validatePodLevelResourcesResize).
fn own_resources(e: &mut Errors, was: &Node<'_>, spec: &Node<'_>, masked: &mut Map<String, Value>) {
    let (before, now) = (was.get("resources"), spec.get("resources"));
    if before.present() && !now.present() {
        return e.forbidden(&now, "pod-level resources cannot be removed");
    }
    for (what, detail) in [
        ("requests", "pod-level resource requests cannot be removed"),
        ("limits", "pod-level resource limits cannot be removed"),
    ] {
        if removed(&now.get(what), &before.get(what)) {
            e.forbidden(&now.get(what), detail);
        }
    }
    if now.present() {
        let own = masked_resources(&now, &before, now.value().clone());
        if !alike(&own, before.value()) {
            e.forbidden(spec, "only cpu and memory resources are mutable at pod-level");
        }
        masked.insert("resources".to_owned(), own);
    }
}

/// Containers are neither added nor removed, renamed nor moved (validatePodResizeContainerOrdering).
fn in_order(e: &mut Errors, was: &Node<'_>, spec: &Node<'_>) -> bool {
    let before = e.count();
    for list in ["containers", "initContainers"] {
        let (old, new) = (was.get(list).items(), spec.get(list).items());
        if old.len() != new.len() {
            let detail = format!("{list} may not be added or removed on resize");
            e.forbidden(&spec.get(list), &detail);
            continue;
        }
        for (old, new) in old.iter().zip(&new) {
            if old.get("name").text() != new.get("name").text() {
                let detail = format!("{list} may not be renamed or reordered on resize");
                e.forbidden(&new.get("name"), &detail);
            }
        }
    }
    e.count() == before
}

fn containers(e: &mut Errors, was: &Node<'_>, spec: &Node<'_>, masked: &mut Map<String, Value>) {
    let pairs = was.get("containers").items();
    let pairs = pairs.iter().zip(spec.get("containers").items());
    let all: Vec<Value> = pairs
        .map(|(before, now)| {
            let masked = masked_container(&now, before);
            if !alike(&masked, before.value()) {
                e.forbidden(spec, ONLY);
            }
            masked
        })
        .collect();
    masked.insert("containers".to_owned(), all.into());
}

fn init_containers(e: &mut Errors, was: &Node<'_>, spec: &Node<'_>, masked: &mut Map<String, Value>) {
    let mut all = Vec::new();
    let pairs = was.get("initContainers").items();
    for (before, now) in pairs.iter().zip(spec.get("initContainers").items()) {
        let container = masked_container(&now, before);
        if !alike(&container, before.value()) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            e.forbidden(&now, detail);
        }
        if now.get("restartPolicy").text() != "Always" && !alike(now.value(), before.value()) {
            for policy in now.get("resizePolicy").items() {
                if policy.get("restartPolicy").text() == "RestartContainer" {
                    let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                    e.forbidden(&now, detail);
                }
            }
        }
        all.push(container);
    }
    if !all.is_empty() {
        masked.insert("initContainers".to_owned(), all.into());
    }
}

/// The container with the CPU and memory of before (dropCPUMemoryResourcesFromContainer). Its claims go, so that one that has claims
/// differs.
fn masked_container(now: &Node<'_>, before: &Node<'_>) -> Value {
    let mut masked = now.value().clone();
    masked["resources"] = masked_resources(&now.get("resources"), &before.get("resources"), json!({}));
    masked
}

/// Requests and limits with the CPU and memory of before (dropCPUMemoryUpdates), put into `rest`; what is empty is left out.
fn masked_resources(now: &Node<'_>, before: &Node<'_>, mut rest: Value) -> Value {
    for what in ["requests", "limits"] {
        let mut amounts = now.get(what).value().as_object().cloned().unwrap_or_default();
        for name in ["cpu", "memory"] {
            amounts.remove(name);
            if let Some(amount) = before.get(what).value().get(name) {
                amounts.insert(name.to_owned(), amount.clone());
            }
        }
        if let Some(rest) = rest.as_object_mut() {
            rest.remove(what);
            if !amounts.is_empty() {
                rest.insert(what.to_owned(), amounts.into());
            }
        }
    }
    rest
}

fn removed(now: &Node<'_>, before: &Node<'_>) -> bool {
    before.len() > now.len() || before.entries().iter().any(|(name, _)| !now.key(name).present())
}
