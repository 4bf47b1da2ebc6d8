//! Deployments and their kin (upstream `pkg/apis/apps/validation`).
use kube_types::{IntOrString, LabelSelector, is_dns1123_label, is_percent};
use serde_json::{Value, json};

use crate::{
    field::{Errors, Node, go_struct, same},
    meta, pod, storage,
};

const MISMATCH: &str = "`selector` does not match template `labels`";

/// A number that is not negative, or a percentage.
pub(crate) fn int_or_percent(e: &mut Errors, node: &Node<'_>) {
    match IntOrString::from_value(node.value()) {
        Some(IntOrString::String(text)) => e.complaints(node, is_percent(&text)),
        Some(IntOrString::Int(_)) => e.non_negative(node),
        None => {}
    }
}

/// Not more than 100 %.
pub(crate) fn at_most_all(e: &mut Errors, node: &Node<'_>) {
    if node.text().ends_with('%') && amount(node) > 100 {
        e.invalid(node, "must not be greater than 100%");
    }
}

/// What is no percentage counts as 0 (`getIntOrPercentValue`).
fn amount(node: &Node<'_>) -> i64 {
    let text = node.text();
    let digits = match text.strip_suffix('%') {
        Some(percent) => Some(percent).filter(|_| is_percent(text).is_empty()),
        // What is no percentage is read as a number all the same (`getIntOrPercentValue`).
        None => Some(text),
    };
    node.int().or_else(|| digits?.parse().ok()).unwrap_or(0)
}

/// `spec.selector`, which must be there and select something.
fn required_selector(e: &mut Errors, selector: &Node<'_>, kind: &str) {
    if !selector.present() {
        return e.required(selector, "");
    }
    meta::selector(e, selector);
    if selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty() {
        e.invalid(selector, &format!("empty selector is invalid for {kind}"));
    }
}

/// A template that the selector must select; `detail` is said of a selector that cannot be read.
fn selected_template(e: &mut Errors, spec: &Node<'_>, detail: &str) -> bool {
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    let Ok(parsed) = LabelSelector::from_object(selector.value()) else {
        e.invalid(&selector, detail);
        return false;
    };
    let labels = template.at(&["metadata", "labels"]);
    if !parsed.is_everything() && !parsed.matches(labels.value()) {
        e.invalid(&labels, MISMATCH);
    }
    true
}

fn always(e: &mut Errors, spec: &Node<'_>, kind: &str) {
    let pod = spec.at(&["template", "spec"]);
    if pod.get("restartPolicy").text() != "Always" {
        e.unsupported(&pod.get("restartPolicy"), &["Always"]);
    }
    if pod.get("activeDeadlineSeconds").present() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        e.forbidden(&pod.get("activeDeadlineSeconds"), &detail);
    }
}

fn replicated(e: &mut Errors, spec: &Node<'_>) {
    required_selector(e, &spec.get("selector"), "deployment");
    if selected_template(e, spec, "invalid label selector") {
        pod::template(e, &spec.get("template"));
        always(e, spec, "ReplicaSet");
    }
}

pub(crate) fn deployment(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    e.non_negative(&spec.get("replicas"));
    replicated(e, &spec);
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "Recreate" => {
            if rolling.present() {
                e.forbidden(
                    &rolling,
                    "may not be specified when strategy `type` is 'Recreate'",
                );
            }
        }
        "RollingUpdate" => {
            if rolling.present() {
                let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
                int_or_percent(e, &unavailable);
                int_or_percent(e, &surge);
                if amount(&unavailable) == 0 && amount(&surge) == 0 {
                    e.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
                }
                at_most_all(e, &unavailable);
            } else {
                e.required(&rolling, "this should be defaulted and never be nil");
            }
        }
        other => {
            let message = strategy_struct(other, &rolling);
            e.unsupported_raw(&strategy, &message, &["Recreate", "RollingUpdate"]);
        }
    }
    e.non_negative(&spec.get("minReadySeconds"));
    e.non_negative(&spec.get("revisionHistoryLimit"));
    let deadline = spec.get("progressDeadlineSeconds");
    if let Some(seconds) = deadline.int() {
        e.non_negative(&deadline);
        if seconds <= spec.get("minReadySeconds").int().unwrap_or(0) {
            e.invalid(&deadline, "must be greater than minReadySeconds");
        }
    }
}

/// A strategy as upstream shows it: the internal struct has no JSON names, and its fields keep their order.
fn strategy_struct(kind: &str, rolling: &Node<'_>) -> String {
    // Neither is a pointer there.
    let field = |name: &str| match rolling.get(name).value() {
        Value::Null => "0".to_owned(),
        value => crate::field::show(value),
    };
    let rolling = if rolling.present() {
        format!(
            "{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}",
            field("maxUnavailable"),
            field("maxSurge")
        )
    } else {
        "null".to_owned()
    };
    format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", Value::from(kind))
}

/// The same of a StatefulSet.
fn partition_struct(kind: &str, rolling: &Node<'_>) -> String {
    let rolling = if rolling.present() {
        format!(
            "{{\"Partition\":{},\"MaxUnavailable\":{}}}",
            rolling.get("partition").int().unwrap_or(0),
            crate::field::show(rolling.get("maxUnavailable").value())
        )
    } else {
        "null".to_owned()
    };
    format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", Value::from(kind))
}

pub(crate) fn replica_set(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    e.non_negative(&spec.get("replicas"));
    e.non_negative(&spec.get("minReadySeconds"));
    replicated(e, &spec);
}

pub(crate) fn replication_controller(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    e.non_negative(&spec.get("minReadySeconds"));
    let selector = spec.get("selector");
    if selector.is_empty() {
        e.required(&selector, "");
    }
    if spec.get("replicas").present() {
        e.non_negative(&spec.get("replicas"));
    } else {
        e.required(&spec.get("replicas"), "");
    }
    let template = spec.get("template");
    if !template.present() {
        return e.required(&template, "");
    }
    let labels = template.at(&["metadata", "labels"]);
    if selector
        .entries()
        .iter()
        .any(|(key, value)| labels.key(key).text() != value.text())
    {
        e.invalid(&labels, MISMATCH);
    }
    pod::template(e, &template);
    always(e, &spec, "ReplicationController");
}

pub(crate) fn stateful_set(e: &mut Errors, object: &Node<'_>, update: bool) {
    let spec = object.get("spec");
    let management = spec.get("podManagementPolicy");
    match management.text() {
        "" => e.required(&management, ""),
        "OrderedReady" | "Parallel" => {}
        _ => e.invalid(&management, "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "" => e.required(&strategy, ""),
        "OnDelete" => {
            if rolling.present() {
                let fields = [("Partition", "partition"), ("MaxUnavailable", "maxUnavailable")];
                let shown = go_struct(&rolling, &fields);
                e.invalid_raw(
                    &rolling,
                    &shown,
                    "only allowed for updateStrategy 'RollingUpdate'",
                );
            }
        }
        "RollingUpdate" => {
            e.non_negative(&rolling.get("partition"));
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.present() {
                int_or_percent(e, &unavailable);
                if amount(&unavailable) == 0 {
                    e.invalid(&unavailable, "cannot be 0");
                }
                at_most_all(e, &unavailable);
            }
        }
        other => {
            let shown = partition_struct(other, &rolling);
            e.invalid_raw(&strategy, &shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    if retention.present() {
        for field in ["whenDeleted", "whenScaled"] {
            if !matches!(retention.get(field).text(), "Retain" | "Delete") {
                e.unsupported(&retention.get(field), &["Retain", "Delete"]);
            }
        }
    }
    if !update {
        for claim in spec.get("volumeClaimTemplates").items() {
            storage::claim_spec(e, &claim.get("spec"));
        }
    }
    e.non_negative(&spec.get("replicas"));
    e.non_negative(&spec.get("minReadySeconds"));
    e.non_negative(&spec.get("ordinals").get("start"));
    let service = spec.get("serviceName");
    if !update && !service.is_empty() {
        e.complaints(&service, is_dns1123_label(service.text()));
    }
    required_selector(e, &spec.get("selector"), "statefulset");
    if selected_template(e, &spec, "") {
        let (own, with) = (spec.get("template"), with_claims(&spec));
        pod::template(e, &own.holding(&with));
        // Upstream looks at labels and annotations twice.
        pod::template_metadata(e, &own);
    }
    always(e, &spec, "StatefulSet");
}

/// The template as its pods will have it: with a volume for each claim, and without what the controller sets.
fn with_claims(spec: &Node<'_>) -> Value {
    let mut template = spec.get("template").value().clone();
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return template;
    };
    pod.remove("subdomain");
    pod.remove("hostname");
    let claims = spec.get("volumeClaimTemplates").items();
    let mut names: Vec<&str> = Vec::new();
    for name in claims.iter().map(|claim| claim.at(&["metadata", "name"]).text()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut volumes: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    let own = pod
        .get("volumes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    volumes.extend(
        own.into_iter()
            .filter(|v| !names.contains(&v["name"].as_str().unwrap_or_default())),
    );
    pod.insert("volumes".to_owned(), volumes.into());
    template
}

pub(crate) fn stateful_set_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    let rest = |object: &Node<'_>| {
        let mut spec = object.get("spec").value().clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !MUTABLE.contains(&field.as_str()));
        }
        spec
    };
    if !same(&rest(old), &rest(new)) {
        e.forbidden(
            &new.get("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

pub(crate) fn daemon_set(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    meta::selector(e, &selector);
    let labels = template.at(&["metadata", "labels"]);
    if LabelSelector::from_object(selector.value()).is_ok_and(|selector| !selector.matches(labels.value())) {
        e.invalid(&labels, MISMATCH);
    }
    if selector.present()
        && selector.get("matchLabels").is_empty()
        && selector.get("matchExpressions").is_empty()
    {
        e.invalid(&selector, "empty selector is invalid for daemonset");
    }
    pod::template(e, &template);
    always(e, &spec, "DaemonSet");
    e.non_negative(&spec.get("minReadySeconds"));
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.present() => e.required(&rolling, ""),
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            for check in [int_or_percent, at_most_all] {
                check(e, &unavailable);
                check(e, &surge);
            }
            match (amount(&unavailable) != 0, amount(&surge) != 0) {
                (true, true) => e.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
                (false, false) => e.required(&unavailable, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        other => {
            let shown = strategy_struct(other, &rolling);
            e.unsupported_raw(&strategy, &shown, &["RollingUpdate", "OnDelete"]);
        }
    }
    e.non_negative(&spec.get("revisionHistoryLimit"));
}

pub(crate) fn controller_revision(e: &mut Errors, object: &Node<'_>) {
    e.non_negative(&object.get("revision"));
    match object.get("data").value() {
        Value::Null => e.required(&object.get("data"), "data is mandatory"),
        Value::Object(_) => {}
        _ => e.required(&object.get("data"), "data must be a valid JSON object"),
    }
}

/// Fields of a status that count something.
fn counts(e: &mut Errors, status: &Node<'_>, fields: &[&str]) {
    for field in fields {
        e.non_negative(&status.get(field));
    }
}

/// Fields that cannot be more than others.
fn at_most(e: &mut Errors, status: &Node<'_>, pairs: &[(&str, &str, &str)]) {
    for (field, limit, detail) in pairs {
        let number = |name: &str| status.get(name).int().unwrap_or(0);
        if number(field) > number(limit) {
            e.invalid_value(&status.get(field), &number(field).into(), detail);
        }
    }
}

fn collisions(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let count = |object: &Node<'_>| object.at(&["status", "collisionCount"]).int();
    if let Some(before) = count(old)
        && count(new).is_none_or(|now| now < before)
    {
        let node = new.at(&["status", "collisionCount"]);
        e.invalid_value(&node, &count(new).unwrap_or(0).into(), "cannot be decremented");
    }
}

const TOO_MANY: &str = "cannot be greater than status.replicas";
const NOT_READY: &str = "cannot be greater than readyReplicas";

pub(crate) fn deployment_status(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let status = new.get("status");
    let fields = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    counts(e, &status, &fields);
    let pairs = [
        ("updatedReplicas", "replicas", TOO_MANY),
        ("readyReplicas", "replicas", TOO_MANY),
        ("availableReplicas", "replicas", TOO_MANY),
        ("availableReplicas", "readyReplicas", NOT_READY),
    ];
    at_most(e, &status, &pairs);
    collisions(e, old, new);
}

pub(crate) fn replica_set_status(e: &mut Errors, new: &Node<'_>) {
    let status = new.get("status");
    let fields = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ];
    counts(e, &status, &fields);
    let pairs = [
        ("fullyLabeledReplicas", "replicas", TOO_MANY),
        ("readyReplicas", "replicas", TOO_MANY),
        ("availableReplicas", "replicas", TOO_MANY),
        ("availableReplicas", "readyReplicas", NOT_READY),
    ];
    at_most(e, &status, &pairs);
}

pub(crate) fn stateful_set_status(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let status = new.get("status");
    let fields = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    counts(e, &status, &fields);
    let pairs = [
        ("readyReplicas", "replicas", TOO_MANY),
        ("currentReplicas", "replicas", TOO_MANY),
        ("updatedReplicas", "replicas", TOO_MANY),
        ("availableReplicas", "replicas", TOO_MANY),
        (
            "availableReplicas",
            "readyReplicas",
            "cannot be greater than status.readyReplicas",
        ),
    ];
    at_most(e, &status, &pairs);
    collisions(e, old, new);
}

pub(crate) fn daemon_set_status(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let fields = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    counts(e, &new.get("status"), &fields);
    collisions(e, old, new);
}
