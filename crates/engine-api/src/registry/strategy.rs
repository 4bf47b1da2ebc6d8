//! What differs from kind to kind when objects are written (kubernetes `pkg/registry/*/*/strategy.go`).
use kube_types::Quantity;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    json::{self, list, number, set, text},
    registry::meta,
};

/// Whether the kind counts generations.
pub fn counts_generations(kind: &KindInfo) -> bool {
    matches!(
        kind.plural,
        "deployments"
            | "replicasets"
            | "statefulsets"
            | "daemonsets"
            | "jobs"
            | "cronjobs"
            | "pods"
            | "endpointslices"
            | "ingresses"
            | "ingressclasses"
            | "networkpolicies"
            | "poddisruptionbudgets"
            | "priorityclasses"
    )
}

/// Whether a DELETE answers with the object rather than with a Status.
pub fn returns_deleted(kind: &KindInfo) -> bool {
    matches!(
        kind.plural,
        "namespaces"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "pods"
            | "resourcequotas"
            | "services"
            | "serviceaccounts"
            | "storageclasses"
    )
}

/// Whether a PUT makes an object that is not there.
pub fn put_creates(kind: &KindInfo) -> bool {
    matches!(
        kind.plural,
        "leases"
            | "endpoints"
            | "events"
            | "limitranges"
            | "services"
            | "roles"
            | "rolebindings"
            | "clusterroles"
            | "clusterrolebindings"
    )
}

/// Whether a PUT may leave the resource version out.
pub fn unconditional(kind: &KindInfo) -> bool {
    !matches!(kind.plural, "leases" | "poddisruptionbudgets")
}

fn has_status(kind: &KindInfo) -> bool {
    kind.subresources.contains(&"status")
}

/// Before managed fields are worked out for a create: what the client may not say.
pub fn before_create(kind: &KindInfo, object: &mut Value) {
    // Nodes register themselves with their status (pkg/registry/core/node/strategy.go).
    if has_status(kind) && kind.plural != "nodes" {
        json::remove(object, &["status"]);
    }
}

/// A new object's initial state.
pub fn prepare_create(kind: &KindInfo, object: &mut Value) {
    match kind.plural {
        "pods" => {
            json::remove(object, &["spec", "nodeSelectorTerms"]);
            let class = qos_class(object);
            set(
                object,
                &["status"],
                json!({"phase": "Pending", "qosClass": class}),
            );
            if !list(object, "/spec/schedulingGates").is_empty() {
                let condition = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates"});
                set(object, &["status", "conditions"], vec![condition]);
            }
        }
        "namespaces" => {
            set(object, &["status"], json!({"phase": "Active"}));
            let finalizers = &mut object["spec"]["finalizers"];
            if finalizers
                .as_array()
                .is_none_or(|f| !f.contains(&json!("kubernetes")))
            {
                let mut all = finalizers.as_array().cloned().unwrap_or_default();
                all.push("kubernetes".into());
                *finalizers = all.into();
            }
        }
        "persistentvolumeclaims" | "persistentvolumes" => {
            set(object, &["status"], json!({"phase": "Pending"}));
        }
        "services" | "ingresses" => set(object, &["status"], json!({"loadBalancer": {}})),
        "replicasets" => set(object, &["status"], json!({"replicas": 0})),
        "statefulsets" => set(
            object,
            &["status"],
            json!({"availableReplicas": 0, "replicas": 0}),
        ),
        "daemonsets" => set(
            object,
            &["status"],
            json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}),
        ),
        "poddisruptionbudgets" => set(
            object,
            &["status"],
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
        ),
        "horizontalpodautoscalers" => {
            set(
                object,
                &["status"],
                json!({"currentMetrics": null, "desiredReplicas": 0}),
            );
        }
        "jobs" => {
            set(object, &["status"], json!({}));
            job_selector(object);
        }
        "nodes" => {}
        _ if has_status(kind) => set(object, &["status"], json!({})),
        _ => {}
    }
}

/// The selector and labels that a Job's pods get (`pkg/registry/batch/job/strategy.go` generateSelector).
fn job_selector(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = text(job, "/metadata/uid").to_owned();
    let name = text(job, "/metadata/name").to_owned();
    for (label, value) in [
        ("controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
    ] {
        set(
            job,
            &["spec", "template", "metadata", "labels", label],
            value.as_str(),
        );
    }
    set(
        job,
        &[
            "spec",
            "selector",
            "matchLabels",
            "batch.kubernetes.io/controller-uid",
        ],
        uid,
    );
}

/// Before managed fields are worked out for an update: what this subresource may not touch is put back. `None` when the
/// subresource is not an update of the object.
pub fn before_update(kind: &KindInfo, subresource: &str, new: &mut Value, old: &Value) {
    meta::keep_old(new, old);
    match subresource {
        "binding" => {}
        "status" => {
            let keep: Vec<String> = old
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, _)| k.clone())
                .collect();
            let had: Vec<String> = new
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, _)| k.clone())
                .collect();
            for key in keep.iter().chain(&had) {
                if !matches!(key.as_str(), "status" | "metadata" | "apiVersion" | "kind") {
                    json::restore(new, old, &[key]);
                }
            }
            if kind.plural == "pods" {
                json::restore(new, old, &["metadata", "ownerReferences"]);
                json::restore(new, old, &["status", "qosClass"]);
            } else if matches!(kind.group, "apps" | "batch") {
                json::restore(new, old, &["metadata", "labels"]);
            }
        }
        _ => {
            if has_status(kind) {
                json::restore(new, old, &["status"]);
            }
            if kind.plural == "namespaces" {
                json::restore(new, old, &["spec", "finalizers"]);
            }
        }
    }
}

/// After admission: generations.
pub fn prepare_update(kind: &KindInfo, subresource: &str, new: &mut Value, old: &Value) {
    if matches!(subresource, "status" | "binding") || !counts_generations(kind) {
        return;
    }
    let changed = match kind.plural {
        "endpointslices" => ["endpoints", "ports", "addressType"]
            .iter()
            .any(|f| new.get(*f) != old.get(*f)),
        // StatefulSets, Deployments and Jobs: metadata alone never counts (strategy.go PrepareForUpdate of each).
        _ => new.get("spec") != old.get("spec"),
    };
    if changed {
        meta::bump_generation(new);
    }
}

/// Guaranteed, Burstable or BestEffort (`pkg/apis/core/helper/qos`).
pub fn qos_class(pod: &Value) -> &'static str {
    let mut guaranteed = true;
    let mut any = false;
    let positive = |v: Option<&Value>| {
        v.and_then(Value::as_str)
            .and_then(|q| q.parse::<Quantity>().ok())
            .filter(|q| q.milli_value() > 0)
    };
    for container in list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"))
    {
        for resource in ["cpu", "memory"] {
            let request = positive(container.pointer(&format!("/resources/requests/{resource}")));
            let limit = positive(container.pointer(&format!("/resources/limits/{resource}")));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.as_ref().is_none_or(|r| Some(r) == limit.as_ref());
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// How long a pod may take to end; 0 removes it at once (`pkg/registry/core/pod/strategy.go` CheckGracefulDelete).
pub fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let mut period = asked
        .or_else(|| number(pod, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(0);
    if text(pod, "/spec/nodeName").is_empty() || matches!(text(pod, "/status/phase"), "Failed" | "Succeeded")
    {
        period = 0;
    }
    if period < 0 { 1 } else { period }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let equal = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            qos_class(&pod(json!({"requests": equal, "limits": equal}))),
            "Guaranteed"
        );
        assert_eq!(qos_class(&pod(json!({"limits": equal}))), "Guaranteed");
        assert_eq!(
            qos_class(&pod(
                json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": equal})
            )),
            "Burstable"
        );
    }

    #[test]
    fn grace() {
        let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
        assert_eq!(pod_grace(&pod("n", "Running"), None), 30);
        assert_eq!(pod_grace(&pod("n", "Running"), Some(5)), 5);
        assert_eq!(pod_grace(&pod("n", "Running"), Some(-1)), 1);
        assert_eq!(pod_grace(&pod("", "Pending"), None), 0);
        assert_eq!(pod_grace(&pod("n", "Succeeded"), None), 0);
    }
}
