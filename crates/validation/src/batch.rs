//! Jobs (upstream `pkg/apis/batch/validation`).
use kube_types::{LabelSelector, is_dns1123_label};
use serde_json::{Value, json};

use crate::{
    failure_policy,
    field::{Errors, Node, same, show},
    meta, pod, success_policy,
};

/// What `spec.parallelism` of an indexed Job may be, and its `maxFailedIndexes`.
const INDEXED_MAX: i64 = 100_000;
/// Beyond so many completions with a limit for each index …
const MANY: i64 = 100_000;
/// … so many pods may run at once, and so many indexes may fail.
const LIMIT_OF_MANY: i64 = 10_000;
/// The length of `spec.managedBy`.
const MANAGER: usize = 63;

pub(crate) fn job(e: &mut Errors, object: &Node<'_>) {
    generated_selector(e, object);
    let spec = object.get("spec");
    whole_spec(e, &spec);
    let completions = spec.get("completions").int().unwrap_or(0);
    if spec.get("completionMode").text() == "Indexed" && completions > 0 {
        let name = object.at(&["metadata", "name"]);
        let hostname = format!("{}-{}", name.text(), completions - 1);
        if !is_dns1123_label(&hostname).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {hostname}");
            e.invalid_text(&name, name.text(), &detail);
        }
    }
}

/// The spec of a Job; that of a Job template has no selector.
fn whole_spec(e: &mut Errors, spec: &Node<'_>) {
    job_spec(e, spec);
    let selector = spec.get("selector");
    if selector.present() {
        meta::selector(e, &selector);
    } else {
        e.required(&selector, "");
    }
    let labels = spec.at(&["template", "metadata", "labels"]);
    if LabelSelector::from_object(selector.value()).is_ok_and(|selector| !selector.matches(labels.value())) {
        e.invalid(&labels, "`selector` does not match template `labels`");
    }
}

/// What the strategy should have put there.
fn generated_selector(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let selector = spec.get("selector");
    if spec.get("manualSelector").is_true() || !selector.present() {
        return;
    }
    let (uid, name) = (object.at(&["metadata", "uid"]), object.at(&["metadata", "name"]));
    if uid.is_empty() {
        e.required(&uid, "");
    }
    let expected = [
        ("controller-uid", uid.text()),
        ("job-name", name.text()),
        ("batch.kubernetes.io/controller-uid", uid.text()),
        ("batch.kubernetes.io/job-name", name.text()),
    ];
    let labels = spec.at(&["template", "metadata", "labels"]);
    for (key, value) in expected {
        let label = labels.key(key);
        let detail = format!("must be '{value}'");
        if !label.present() {
            e.required(&label, &detail);
        } else if label.text() != value {
            e.invalid_value(&label, labels.value(), &detail);
        }
    }
    let all: Value = expected
        .iter()
        .map(|(k, v)| ((*k).to_owned(), json!(v)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    if LabelSelector::from_object(selector.value()).is_ok_and(|s| !s.matches(&all)) {
        e.invalid(&selector, "`selector` not auto-generated");
    }
}

pub(crate) fn job_spec(e: &mut Errors, spec: &Node<'_>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        e.non_negative(&spec.get(field));
    }
    let (per_index, max_failed) = (spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes"));
    if max_failed.present() && !per_index.present() {
        e.required(&per_index, "when maxFailedIndexes is specified");
    }
    let manager = spec.get("managedBy");
    if manager.present() {
        meta::domain_prefixed_path(e, &manager);
        if manager.len() > MANAGER {
            e.too_long(&manager, MANAGER);
        }
    }
    let mode = spec.get("completionMode");
    e.maybe_one_of(&mode, &["NonIndexed", "Indexed"]);
    if mode.text() == "Indexed" {
        let (completions, parallelism) = (spec.get("completions"), spec.get("parallelism"));
        if !completions.present() {
            e.required(&completions, "when completion mode is Indexed");
        }
        if parallelism.int().is_some_and(|n| n > INDEXED_MAX) {
            e.invalid(
                &parallelism,
                "must be less than or equal to 100000 when completion mode is Indexed",
            );
        }
        if let (Some(total), Some(failed)) = (completions.int(), max_failed.int())
            && failed > total
        {
            e.invalid(&max_failed, "must be less than or equal to completions");
        }
        if max_failed.int().is_some_and(|n| n > INDEXED_MAX) {
            e.invalid(&max_failed, "must be less than or equal to 100000");
        }
        if completions.int().is_some_and(|n| n > MANY) && per_index.present() {
            many_completions(e, &parallelism, &max_failed);
        }
    } else if mode.text() == "NonIndexed" || !mode.present() {
        for field in [&per_index, &max_failed] {
            if field.present() {
                e.invalid(field, "requires indexed completion mode");
            }
        }
    }
    failure_policy::failure_policy(e, spec);
    let policy = spec.get("successPolicy");
    if policy.present() {
        if mode.text() == "Indexed" {
            success_policy::success_policy(e, &policy, spec.get("completions").int().unwrap_or(0));
        } else {
            let shown = success_policy::internal_struct(&policy);
            e.invalid_raw(&policy, &shown, "requires indexed completion mode");
        }
    }
    let replacements: &[&str] = if spec.get("podFailurePolicy").present() {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    e.maybe_one_of(&spec.get("podReplacementPolicy"), replacements);
    let template = spec.get("template");
    pod::template(e, &template);
    let policy = template.at(&["spec", "restartPolicy"]);
    match policy.text() {
        "" | "Always" => e.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.get("podFailurePolicy").present() => {
            e.invalid(
                &policy,
                "only \"Never\" is supported when podFailurePolicy is specified",
            );
        }
        "OnFailure" | "Never" => {}
        _ => e.unsupported(&policy, &["OnFailure", "Never"]),
    }
}

fn many_completions(e: &mut Errors, parallelism: &Node<'_>, max_failed: &Node<'_>) {
    if !max_failed.present() {
        e.required(max_failed, "must be specified when completions is above 100000");
    }
    for field in [parallelism, max_failed] {
        if field.int().is_some_and(|n| n > LIMIT_OF_MANY) {
            e.invalid(
                field,
                "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
            );
        }
    }
}

pub(crate) fn job_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let suspended = is_suspended(old);
    let (old, new) = (old.get("spec"), new.get("spec"));
    whole_spec(e, &new);
    let (completions, before) = (new.get("completions"), old.get("completions"));
    if new.get("completionMode").text() != "Indexed" {
        e.immutable(&completions, &before);
    } else if !same(completions.value(), before.value())
        && completions.present()
        && completions.int() != new.get("parallelism").int()
    {
        e.invalid(
            &completions,
            "can only be modified in tandem with spec.parallelism",
        );
    }
    e.immutable(&new.get("selector"), &old.get("selector"));
    let template = new.get("template");
    if suspended {
        let spec = template.get("spec");
        let before = old.at(&["template", "spec"]);
        if !same(&apart_from_directives(&spec), &apart_from_directives(&before)) {
            let shown = schema::internal_compact("io.k8s.api.core.v1.PodSpec", spec.value());
            e.invalid_raw(&spec, &shown.unwrap_or_default(), "field is immutable");
        }
    } else {
        let before = old.get("template");
        if !same(template.value(), before.value()) {
            e.invalid_raw(&template, &shown_template(&template), "field is immutable");
        }
    }
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        let (now, before) = (new.get(field), old.get(field));
        let changed = now.present() && !same(now.value(), before.value());
        match field {
            "podFailurePolicy" if changed => {
                e.invalid_raw(&now, &failure_policy::internal_struct(&now), "field is immutable");
            }
            "successPolicy" if changed => {
                e.invalid_raw(&now, &success_policy::internal_struct(&now), "field is immutable");
            }
            _ => e.immutable(&now, &before),
        }
    }
}

/// A template as upstream shows it: its internal type has the fields of its metadata beside `Spec`.
fn shown_template(template: &Node<'_>) -> String {
    let metadata = template.get("metadata");
    let fields = [
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
    ];
    let mut shown: Vec<String> = fields
        .iter()
        .map(|field| (field, metadata.get(field)))
        .filter(|(_, node)| !node.is_empty())
        .map(|(field, node)| format!("{field:?}:{}", show(node.value())))
        .collect();
    let spec = schema::internal_compact("io.k8s.api.core.v1.PodSpec", template.get("spec").value());
    shown.push(format!("\"Spec\":{}", spec.unwrap_or_default()));
    format!("{{{}}}", shown.join(","))
}

/// Whether a Job waits, and none of its pods run (registry `batch/job/strategy.go` shouldAllowMutablePodTemplate).
fn is_suspended(job: &Node<'_>) -> bool {
    let status = job.get("status");
    let told = status
        .get("conditions")
        .items()
        .iter()
        .any(|c| c.get("type").text() == "Suspended" && c.get("status").text() == "True");
    job.at(&["spec", "suspend"]).is_true()
        && (told || !status.get("startTime").present())
        && status.get("active").int().unwrap_or(0) == 0
}

/// A template's spec without what may change while a Job is suspended: where its pods run, and with how much.
fn apart_from_directives(spec: &Node<'_>) -> Value {
    let mut spec = spec.value().clone();
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        fields.remove(field);
    }
    if let Some(affinity) = fields.get_mut("affinity").and_then(Value::as_object_mut) {
        affinity.remove("nodeAffinity");
        if affinity.is_empty() {
            fields.remove("affinity");
        }
    }
    for list in ["containers", "initContainers"] {
        let containers = fields.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            container
                .as_object_mut()
                .map(|container| container.remove("resources"));
        }
    }
    spec
}
