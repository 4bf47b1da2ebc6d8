//! Autoscalers and disruption budgets.
use kube_types::is_dns1123_label;

use crate::{
    apps,
    field::{Errors, Node, go_struct},
    meta, pod,
};

pub(crate) fn disruption_budget(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (min, max) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if min.present() && max.present() {
        let fields = [
            ("MinAvailable", "minAvailable"),
            ("Selector", "selector"),
            ("MaxUnavailable", "maxUnavailable"),
            ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy"),
        ];
        e.invalid_raw(
            &spec,
            &go_struct(&spec, &fields),
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    for node in [min, max] {
        apps::int_or_percent(e, &node);
        apps::at_most_all(e, &node);
    }
    meta::selector(e, &spec.get("selector"));
    e.maybe_one_of(
        &spec.get("unhealthyPodEvictionPolicy"),
        &["AlwaysAllow", "IfHealthyBudget"],
    );
}

const METRICS: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

/// How an object that is referred to may be named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// The version was there before, and stays as it is.
    Any,
    /// Objects of the core group are fine.
    AnyGroup,
    /// Nothing of the core group can be scaled, but for one kind.
    OtherThanCore,
}

/// `old` is absent for a new one.
pub(crate) fn autoscaler(e: &mut Errors, object: &Node<'_>, old: Option<&Node<'_>>) {
    let spec = object.get("spec");
    let (min, max) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if min.int().is_some_and(|n| n < 1) {
        e.invalid(&min, "must be greater than or equal to 1");
    }
    let most = max.int().unwrap_or(0);
    if most == 0 {
        e.required(&max, "must be set and greater than 0");
    } else if most < 0 {
        e.invalid(&max, "must be greater than or equal to 1");
    }
    if min.int().is_some_and(|n| most < n) {
        e.invalid_value(
            &max,
            &most.into(),
            "must be greater than or equal to `minReplicas`",
        );
    }
    let target = spec.get("scaleTargetRef");
    let kept = old.is_some_and(|old| {
        let before = old.at(&["spec", "scaleTargetRef"]);
        ["apiVersion", "kind"]
            .iter()
            .all(|field| before.get(field).text() == target.get(field).text())
    });
    let version = if kept {
        Version::Any
    } else if target.get("kind").text() == "ReplicationController" {
        Version::AnyGroup
    } else {
        Version::OtherThanCore
    };
    reference(e, &target, version);
    let described = if old.is_some_and(describes_badly) {
        Version::Any
    } else {
        Version::AnyGroup
    };
    let metrics = spec.get("metrics");
    for metric in metrics.items() {
        metric_spec(e, &metric, described);
    }
    let outside = |metric: &Node<'_>| matches!(metric.get("type").text(), "Object" | "External");
    if min.int() == Some(0) && !metrics.items().iter().any(outside) {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        e.forbidden(&metrics, detail);
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = spec.at(&["behavior", direction]);
        if rules.present() {
            scaling_rules(e, &rules);
        }
    }
}

/// Whether a metric describes an object whose version cannot be read.
fn describes_badly(old: &Node<'_>) -> bool {
    old.at(&["spec", "metrics"]).items().iter().any(|metric| {
        let object = metric.get("object");
        metric.get("type").text() == "Object"
            && object.present()
            && bad_version(
                object.at(&["describedObject", "apiVersion"]).text(),
                Version::AnyGroup,
            )
            .is_some()
    })
}

/// What is wrong with a group and version (apimachinery `runtime/schema` ParseGroupVersion).
fn bad_version(text: &str, version: Version) -> Option<String> {
    let group = match text.split('/').collect::<Vec<_>>().as_slice() {
        [_] | ["", ""] => "",
        [group, _] => group,
        _ => return Some(format!("unexpected GroupVersion string: {text}")),
    };
    (version == Version::OtherThanCore && group.is_empty())
        .then(|| "apiVersion must specify API group".to_owned())
}

fn reference(e: &mut Errors, reference: &Node<'_>, version: Version) {
    for field in ["kind", "name"] {
        let node = reference.get(field);
        if node.is_empty() {
            e.required(&node, "");
        } else {
            e.complaints(&node, meta::path_segment(node.text()));
        }
    }
    let named = reference.get("apiVersion");
    if version != Version::Any
        && let Some(complaint) = bad_version(named.text(), version)
    {
        e.invalid_text(&named, named.text(), &complaint);
    }
}

fn metric_spec(e: &mut Errors, metric: &Node<'_>, described: Version) {
    let kind = metric.get("type");
    let types = METRICS.map(|(name, _)| name);
    if kind.is_empty() {
        e.required(&kind, "must specify a metric source type");
    }
    let expected = METRICS
        .iter()
        .find(|(name, _)| *name == kind.text())
        .map(|(_, field)| *field);
    if expected.is_none() {
        e.unsupported(&kind, &types);
    }
    let present: Vec<_> = ["object", "external", "pods", "resource", "containerResource"]
        .into_iter()
        .filter(|field| metric.get(field).present())
        .collect();
    if let Some(field) = present.first() {
        source(e, field, &metric.get(field), described);
    }
    match expected {
        Some(field) if !metric.get(field).present() => {
            e.required(
                &metric.get(field),
                "must populate information for the given metric source",
            );
        }
        Some(_) => {}
        None => e.unsupported(&kind, &types),
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| Some(**field) != expected) {
            e.forbidden(&metric.get(field), "must populate the given metric source only");
        }
    }
}

fn source(e: &mut Errors, kind: &str, source: &Node<'_>, described: Version) {
    let target = source.get("target");
    let (value, average) = (target.get("value"), target.get("averageValue"));
    match kind {
        "object" | "pods" | "external" => {
            if kind == "object" {
                reference(e, &source.get("describedObject"), described);
            }
            let name = source.at(&["metric", "name"]);
            if name.is_empty() {
                e.required(&name, "must specify a metric name");
            } else {
                e.complaints(&name, meta::path_segment(name.text()));
            }
            metric_target(e, &target);
            if kind == "pods" {
                if !average.present() {
                    e.required(&average, "must specify a positive target averageValue");
                }
            } else if !value.present() && !average.present() {
                let what = if kind == "object" {
                    "must set either a target value or averageValue"
                } else {
                    "must set either a target value for metric or a per-pod target"
                };
                e.required(&average, what);
            } else if kind == "external" && value.present() && average.present() {
                e.forbidden(
                    &value,
                    "may not set both a target value for metric and a per-pod target",
                );
            }
        }
        _ => {
            let (name, container) = (source.get("name"), source.get("container"));
            if name.is_empty() {
                e.required(&name, "must specify a resource name");
            } else if kind == "containerResource" {
                pod::container_resource_name(e, &name, name.text());
            }
            if kind == "containerResource" {
                if container.is_empty() {
                    e.required(&container, "must specify a container");
                } else {
                    e.complaints(&container, is_dns1123_label(container.text()));
                }
            }
            metric_target(e, &target);
            let utilization = target.get("averageUtilization");
            if !utilization.present() && !average.present() {
                e.required(
                    &utilization,
                    "must set either a target raw value or a target utilization",
                );
            } else if utilization.present() && average.present() {
                e.forbidden(
                    &average,
                    "may not set both a target raw value and a target utilization",
                );
            }
        }
    }
}

fn metric_target(e: &mut Errors, target: &Node<'_>) {
    let kind = target.get("type");
    if kind.is_empty() {
        e.required(&kind, "must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        e.invalid_text(
            &kind,
            kind.text(),
            "must be either Utilization, Value, or AverageValue",
        );
    }
    for field in ["value", "averageValue"] {
        if target.get(field).quantity().is_some_and(|q| q.sign() <= 0) {
            e.invalid(&target.get(field), "must be positive");
        }
    }
    let utilization = target.get("averageUtilization");
    if utilization.int().is_some_and(|n| n < 1) {
        e.invalid(&utilization, "must be greater than 0");
    }
}

fn scaling_rules(e: &mut Errors, rules: &Node<'_>) {
    let window = rules.get("stabilizationWindowSeconds");
    if window.int().is_some_and(|n| n < 0) {
        e.invalid(&window, "must be greater than or equal to zero");
    }
    if window.int().is_some_and(|n| n > 3600) {
        e.invalid(&window, "must be less than or equal to 3600");
    }
    e.maybe_one_of(&rules.get("selectPolicy"), &["Disabled", "Max", "Min"]);
    let policies = rules.get("policies");
    if policies.is_empty() {
        e.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        if !matches!(policy.get("type").text(), "Pods" | "Percent") {
            e.unsupported(&policy.get("type"), &["Percent", "Pods"]);
        }
        for (field, limit) in [("value", None), ("periodSeconds", Some(1800))] {
            let node = policy.get(field);
            let number = node.int().unwrap_or(0);
            if number <= 0 {
                e.invalid_value(&node, &number.into(), "must be greater than zero");
            }
            if limit.is_some_and(|limit| number > limit) {
                e.invalid(&node, "must be less than or equal to 1800");
            }
        }
    }
    let tolerance = rules.get("tolerance");
    if tolerance.quantity().is_some_and(|q| q.sign() < 0) {
        e.invalid(&tolerance, "must be greater than or equal to 0");
    }
}
