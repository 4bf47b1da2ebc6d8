//! What differs from kind to kind when objects are written (kubernetes `pkg/registry/*/*/strategy.go`).
use kube_types::pod_resources::qos_class;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    admission, aggregation, custom,
    json::{self, list, number, set, text},
    registry::{data_sources, gates, label_keys, meta, resize},
};

/// A StatefulSet's field behind a gate that is closed (MaxUnavailableStatefulSet): dropped unless it was there before
/// (pkg/registry/apps/statefulset/strategy.go).
const MAX_UNAVAILABLE: [&str; 4] = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];

/// Whether the kind counts generations.
pub fn counts_generations(kind: &KindInfo) -> bool {
    custom::is(kind)
        || matches!(
            kind.plural,
            "deployments"
                | "replicasets"
                | "replicationcontrollers"
                | "statefulsets"
                | "daemonsets"
                | "jobs"
                | "cronjobs"
                | "pods"
                | "podtemplates"
                | "endpointslices"
                | "ingresses"
                | "ingressclasses"
                | "networkpolicies"
                | "poddisruptionbudgets"
                | "priorityclasses"
                | "customresourcedefinitions"
                | "deviceclasses"
                | "flowschemas"
                | "prioritylevelconfigurations"
                | "resourceslices"
        )
        || kind.group == "admissionregistration.k8s.io"
}

/// Whether a DELETE answers with the object rather than with a Status.
pub fn returns_deleted(kind: &KindInfo) -> bool {
    !custom::is(kind)
        && matches!(
            kind.plural,
            "namespaces"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "pods"
                | "podtemplates"
                | "resourcequotas"
                | "services"
                | "serviceaccounts"
                | "storageclasses"
                | "csidrivers"
                | "csinodes"
                | "csistoragecapacities"
                | "volumeattachments"
                | "volumeattributesclasses"
        )
        || kind.group == "resource.k8s.io"
}

/// Whether a DELETE that says nothing of dependents leaves them (DefaultGarbageCollectionPolicy, for old clients of these two).
pub fn orphans_by_default(kind: &KindInfo) -> bool {
    matches!(
        (kind.group, kind.plural),
        ("batch", "jobs") | ("", "replicationcontrollers")
    )
}

/// Whether a PUT makes an object that is not there.
pub fn put_creates(kind: &KindInfo) -> bool {
    !custom::is(kind)
        && matches!(
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
                | "runtimeclasses"
        )
}

/// Whether a PUT may leave the resource version out.
pub fn unconditional(kind: &KindInfo) -> bool {
    !custom::is(kind)
        && !matches!(
            kind.plural,
            "leases"
                | "poddisruptionbudgets"
                | "apiservices"
                | "runtimeclasses"
                | "csidrivers"
                | "csinodes"
                | "csistoragecapacities"
                | "volumeattachments"
                | "customresourcedefinitions"
        )
        && kind.group != "admissionregistration.k8s.io"
}

fn has_status(kind: &KindInfo) -> bool {
    kind.subresources.contains(&"status")
}

/// Before managed fields are worked out for a create: what the client may not say.
pub fn before_create(kind: &KindInfo, object: &mut Value) {
    if kind.plural == "daemonsets" && !custom::is(kind) {
        // Whoever creates it owns the annotation.
        template_generation(object, None);
    }
    // Nodes register themselves with their status (pkg/registry/core/node/strategy.go).
    if has_status(kind) && (kind.plural != "nodes" || custom::is(kind)) {
        json::remove(object, &["status"]);
    }
    gates::drop_disabled(kind, object, None);
}

/// A new object's initial state.
pub fn prepare_create(kind: &KindInfo, object: &mut Value) {
    if custom::is(kind) {
        return;
    }
    without_empty(kind, object);
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
                let condition = json!({"type": "PodScheduled", "status": "False", "lastProbeTime": null,
                    "lastTransitionTime": crate::time::now(), "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates"});
                set(object, &["status", "conditions"], vec![condition]);
            }
            label_keys::fold(object);
        }
        "serviceaccounts" => bare_secrets(object),
        "limitranges" if text(object, "/metadata/name").is_empty() => {
            set(object, &["metadata", "name"], uuid::Uuid::new_v4().to_string());
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
        "persistentvolumeclaims" => {
            data_sources::settle(&mut object["spec"], None);
            set(object, &["status"], json!({"phase": "Pending"}));
        }
        "persistentvolumes" => {
            let status = json!({"phase": "Pending", "lastPhaseTransitionTime": crate::time::now()});
            set(object, &["status"], status);
        }
        "services" | "ingresses" => set(object, &["status"], json!({"loadBalancer": {}})),
        "replicasets" | "replicationcontrollers" => set(object, &["status"], json!({"replicas": 0})),
        "statefulsets" => {
            set(
                object,
                &["status"],
                json!({"availableReplicas": 0, "replicas": 0}),
            );
            json::remove(object, &MAX_UNAVAILABLE);
        }
        "daemonsets" => {
            set(
                object,
                &["status"],
                json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}),
            );
        }
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
        "volumeattachments" => set(object, &["status"], json!({"attached": false})),
        "customresourcedefinitions" => {
            let names = json!({"kind": "", "plural": ""});
            set(
                object,
                &["status"],
                json!({"acceptedNames": names, "conditions": null}),
            );
            stored_versions(object);
        }
        "apiservices" if object["spec"]["service"].is_null() => {
            let condition = aggregation::local_condition();
            set(object, &["status", "conditions"], vec![condition]);
        }
        _ if has_status(kind) => set(object, &["status"], json!({})),
        _ => {}
    }
}

/// Upstream's storage knows no empty lists, and tells of those that are always said as `null`. Definitions and API services are kept as JSON,
/// by servers of their own.
fn without_empty(kind: &KindInfo, object: &mut Value) {
    if !matches!(kind.group, "apiextensions.k8s.io" | "apiregistration.k8s.io") {
        schema::without_empties(kind.definition, object);
    }
}

/// The version that objects are stored in now is one that they may be stored in (apiextensions
/// `pkg/registry/customresourcedefinition/strategy.go`).
fn stored_versions(definition: &mut Value) {
    let mut all = list(definition, "/status/storedVersions").to_vec();
    let storage = list(definition, "/spec/versions")
        .iter()
        .find(|v| v["storage"] == true);
    if let Some(name) = storage.map(|v| v["name"].clone())
        && !all.contains(&name)
    {
        all.push(name);
    }
    set(definition, &["status", "storedVersions"], all);
}

/// Secrets of a service account are references by name only (`pkg/registry/core/serviceaccount/strategy.go` cleanSecretReferences).
fn bare_secrets(account: &mut Value) {
    let secrets = account.get_mut("secrets").and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        secret.retain(|field, _| field == "name");
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

/// A Job without labels has those of its template (`pkg/apis/batch/v1/defaults.go`). Whether it was without any: it then gets those that are
/// made up for its pods, too, see [`share_labels`].
pub fn left_labels_out(kind: &KindInfo, job: &mut Value) -> bool {
    let has_some = |labels: Option<&Value>| labels.and_then(Value::as_object).is_some_and(|l| !l.is_empty());
    if kind.plural != "jobs" || custom::is(kind) || has_some(job.pointer("/metadata/labels")) {
        return false;
    }
    share_labels(job);
    true
}

/// Upstream's Job and its template then have one and the same map, to which `generateSelector` adds.
pub fn share_labels(job: &mut Value) {
    if let Some(labels) = job
        .pointer("/spec/template/metadata/labels")
        .filter(|l| l.is_object())
    {
        let labels = labels.clone();
        set(job, &["metadata", "labels"], labels);
    }
}

/// What the old API's counter of a DaemonSet's templates was is kept as an annotation (pkg/apis/apps/v1/conversion.go).
fn template_generation(new: &mut Value, old: Option<&Value>) {
    const ANNOTATION: &str = "deprecated.daemonset.template.generation";
    let count = match old {
        None => 1,
        Some(old) => {
            let before = &old["metadata"]["annotations"][ANNOTATION];
            let before: i64 = before.as_str().and_then(|n| n.parse().ok()).unwrap_or(1);
            before + i64::from(new["spec"]["template"] != old["spec"]["template"])
        }
    };
    set(new, &["metadata", "annotations", ANNOTATION], count.to_string());
}

/// Kinds whose status is written without their metadata (`ResetObjectMetaForStatus`, or all of it, in their strategies).
const METADATA_STAYS: [&str; 7] = [
    "apiservices",
    "devicetaintrules",
    "flowschemas",
    "prioritylevelconfigurations",
    "resourceclaims",
    "servicecidrs",
    "volumeattachments",
];

/// Who leaves out which generation was observed means no change, either (`pkg/registry/core/pod/strategy.go`
/// preserveOldObservedGeneration).
fn keep_observed(new: &mut Value, old: &Value) {
    const FIELD: &str = "observedGeneration";
    if number(new, "/status/observedGeneration").unwrap_or_default() == 0 {
        json::restore(new, old, &["status", FIELD]);
    }
    let mut before: Vec<&Value> = list(old, "/status/conditions").iter().collect();
    let conditions = new
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let own = before.iter().position(|c| c["type"] == condition["type"]);
        let Some(own) = own.map(|at| before.remove(at)) else {
            continue;
        };
        if number(condition, "/observedGeneration").unwrap_or_default() == 0
            && let Some(observed) = own.get(FIELD)
        {
            condition[FIELD] = observed.clone();
        }
    }
}

fn keep_metadata(new: &mut Value, old: &Value) {
    for field in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "deletionTimestamp",
    ] {
        json::restore(new, old, &["metadata", field]);
    }
}

/// Before managed fields are worked out for an update: what this subresource may not touch is put back. `None` when the
/// subresource is not an update of the object.
pub fn before_update(kind: &KindInfo, subresource: &str, new: &mut Value, old: &Value) {
    meta::keep_old(new, old);
    gates::drop_disabled(kind, new, Some(old));
    match subresource {
        "binding" => {}
        // pkg/registry/core/pod, dropNonEphemeralContainerUpdates.
        "ephemeralcontainers" => {
            let added = new.pointer("/spec/ephemeralContainers").cloned();
            let fields = new.get("metadata").and_then(|m| m.get("managedFields")).cloned();
            *new = old.clone();
            match added {
                Some(added) => set(new, &["spec", "ephemeralContainers"], added),
                None => drop(json::remove(new, &["spec", "ephemeralContainers"])),
            }
            if let Some(fields) = fields {
                set(new, &["metadata", "managedFields"], fields);
            }
        }
        "resize" => resize::keep_others(new, old),
        "status" | "approval" => {
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
            if custom::is(kind) {
                let fields = new["metadata"].get("managedFields").cloned();
                json::restore(new, old, &["metadata"]);
                if let Some(fields) = fields {
                    set(new, &["metadata", "managedFields"], fields);
                }
            } else if kind.plural == "pods" {
                json::restore(new, old, &["metadata", "ownerReferences"]);
                json::restore(new, old, &["metadata", "deletionTimestamp"]);
                // Who leaves it out means no change; who says another one is refused.
                if new["status"]["qosClass"].is_null() {
                    json::restore(new, old, &["status", "qosClass"]);
                }
            } else if kind.plural == "deployments" {
                json::restore(new, old, &["metadata", "labels"]);
            } else if METADATA_STAYS.contains(&kind.plural) {
                keep_metadata(new, old);
            } else if kind.plural == "certificatesigningrequests" {
                if subresource == "approval" {
                    // Who approves says nothing but conditions.
                    let conditions = new.pointer("/status/conditions").cloned();
                    json::restore(new, old, &["status"]);
                    set(new, &["status", "conditions"], conditions.unwrap_or_default());
                    if new["status"]["conditions"].is_null() {
                        json::remove(new, &["status", "conditions"]);
                    }
                } else {
                    admission::keep_decisions(new, old);
                }
                admission::date_conditions(new, old);
            }
        }
        _ => {
            if has_status(kind) {
                json::restore(new, old, &["status"]);
            }
            if custom::is(kind) {
                return;
            }
            if kind.plural == "certificatesigningrequests" {
                json::restore(new, old, &["spec"]);
            }
            // (pkg/registry/core/namespace/strategy.go) Whoever finalizes may change all but the status.
            if kind.plural == "namespaces" && subresource != "finalize" {
                json::restore(new, old, &["spec", "finalizers"]);
            }
            left_labels_out(kind, new);
        }
    }
}

/// After admission: generations.
pub fn prepare_update(kind: &KindInfo, subresource: &str, new: &mut Value, old: &Value) {
    if custom::is(kind) {
        return custom_generation(kind, subresource, new, old);
    }
    without_empty(kind, new);
    match (kind.plural, subresource) {
        ("pods", "status") => keep_observed(new, old),
        // (pkg/registry/admissionregistration/validatingadmissionpolicy/strategy.go)
        ("validatingadmissionpolicies", "status") => keep_metadata(new, old),
        ("persistentvolumeclaims", "") => data_sources::settle(&mut new["spec"], Some(&old["spec"])),
        _ => {}
    }
    if kind.plural == "serviceaccounts" {
        bare_secrets(new);
    }
    if kind.plural == "customresourcedefinitions" && subresource.is_empty() {
        stored_versions(new);
    }
    if matches!(subresource, "status" | "binding" | "approval") || !counts_generations(kind) {
        return;
    }
    if kind.plural == "daemonsets" {
        template_generation(new, Some(old));
    }
    if kind.plural == "statefulsets" && old.pointer(&format!("/{}", MAX_UNAVAILABLE.join("/"))).is_none() {
        json::remove(new, &MAX_UNAVAILABLE);
    }
    let changed = match kind.plural {
        // Labels as well (pkg/registry/discovery/endpointslice/strategy.go PrepareForUpdate).
        "endpointslices" => ["/endpoints", "/ports", "/addressType", "/metadata/labels"]
            .iter()
            .any(|f| new.pointer(f) != old.pointer(f)),
        // Annotations are copied to ReplicaSets (pkg/registry/apps/deployment/strategy.go PrepareForUpdate).
        "deployments" => {
            let annotations = |o: &Value| o["metadata"]["annotations"].clone();
            new.get("spec") != old.get("spec") || annotations(new) != annotations(old)
        }
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            new.get("webhooks") != old.get("webhooks")
        }
        "podtemplates" => new.get("template") != old.get("template"),
        // StatefulSets and Jobs: metadata alone never counts (strategy.go PrepareForUpdate of each).
        _ => new.get("spec") != old.get("spec"),
    };
    if changed {
        meta::bump_generation(new);
    }
}

/// Below where an empty list makes another object of one that has none, so that it is another generation (those of
/// `pkg/registry/*/*/strategy.go` that go by `reflect.DeepEqual`).
pub fn tells_empty(kind: &KindInfo) -> Option<&'static str> {
    match kind.plural {
        _ if custom::is(kind) => None,
        "networkpolicies" => Some("/spec/"),
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => Some("/webhooks/"),
        _ => None,
    }
}

/// All but metadata counts, and status where it has an endpoint of its own (apiextensions `pkg/registry/customresource/strategy.go`).
fn custom_generation(kind: &KindInfo, subresource: &str, new: &mut Value, old: &Value) {
    let counted = |object: &Value| {
        let mut object = object.clone();
        json::remove(&mut object, &["metadata"]);
        if has_status(kind) {
            json::remove(&mut object, &["status"]);
        }
        object
    };
    if subresource != "status" && counted(new) != counted(old) {
        meta::bump_generation(new);
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
    fn grace() {
        let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
        assert_eq!(pod_grace(&pod("n", "Running"), None), 30);
        assert_eq!(pod_grace(&pod("n", "Running"), Some(5)), 5);
        assert_eq!(pod_grace(&pod("n", "Running"), Some(-1)), 1);
        assert_eq!(pod_grace(&pod("", "Pending"), None), 0);
        assert_eq!(pod_grace(&pod("n", "Succeeded"), None), 0);
    }

    #[test]
    fn labels_count_in_slices_alone() {
        let after = |group: &str, plural: &str, change: &str| {
            let kind = schema::by_resource(group, "v1", plural).unwrap();
            let old = json!({"metadata": {"name": "a", "generation": 3, "labels": {"a": "b"}}, "spec": {}, "endpoints": null});
            let mut new = old.clone();
            new["metadata"][change] = json!({"a": "c"});
            prepare_update(kind, "", &mut new, &old);
            new["metadata"]["generation"].as_i64()
        };
        assert_eq!(after("discovery.k8s.io", "endpointslices", "labels"), Some(4));
        assert_eq!(
            after("discovery.k8s.io", "endpointslices", "annotations"),
            Some(3)
        );
        assert_eq!(after("batch", "jobs", "labels"), Some(3));
    }
}
