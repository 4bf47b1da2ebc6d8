//! Limit ranges.
use kube_types::{Quantity, is_qualified_name};

use crate::{
    field::{Errors, Node},
    pod,
};

pub(crate) fn limit_range(e: &mut Errors, object: &Node<'_>) {
    let mut kinds = Vec::new();
    for limit in object.at(&["spec", "limits"]).items() {
        let kind = limit.get("type");
        let complaints = is_qualified_name(kind.text());
        let standard = ["Pod", "Container", "PersistentVolumeClaim"].contains(&kind.text());
        if complaints.is_empty() && !kind.text().contains('/') && !standard {
            e.invalid(&kind, "must be a standard limit type or fully qualified");
        }
        for complaint in complaints {
            e.invalid_text(&kind, kind.text(), &complaint);
        }
        if kinds.contains(&kind.text()) {
            e.duplicate(&kind);
        }
        kinds.push(kind.text());
        names(e, &limit, &["max", "min"]);
        if kind.text() == "Pod" {
            for field in ["default", "defaultRequest"] {
                if !limit.get(field).is_empty() {
                    e.forbidden(&limit.get(field), "may not be specified when `type` is 'Pod'");
                }
            }
        } else {
            names(e, &limit, &["default", "defaultRequest"]);
        }
        let storage = |field: &str| limit.get(field).key("storage").present();
        if kind.text() == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            e.required(&limit.get("limits"), detail);
        }
        names(e, &limit, &["maxLimitRequestRatio"]);
        consistent(e, &limit);
    }
}

/// The names of what is limited.
fn names(e: &mut Errors, limit: &Node<'_>, fields: &[&str]) {
    let of_containers = matches!(limit.get("type").text(), "Pod" | "Container");
    for field in fields {
        for (name, quantity) in limit.get(field).entries() {
            if of_containers {
                pod::container_resource_name(e, &quantity, name);
            } else {
                pod::resource_name(e, &quantity, name);
            }
        }
    }
}

/// Minimum, default request, default and maximum in this order.
fn consistent(e: &mut Errors, limit: &Node<'_>) {
    let mut names: Vec<&str> = Vec::new();
    let defaults: &[&str] = if limit.get("type").text() == "Pod" {
        &[]
    } else {
        &["default", "defaultRequest"]
    };
    for field in ["max", "min", "maxLimitRequestRatio"].iter().chain(defaults) {
        names.extend(limit.get(field).entries().iter().map(|(name, _)| *name));
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        let get = |field: &str| limit.get(field).key(name);
        let value = |field: &str| {
            let counts = !field.starts_with("default") || defaults.contains(&field);
            get(field).quantity().filter(|_| counts)
        };
        let rules = [
            ("min", "max", "min", "min", "min value", "max value"),
            (
                "min",
                "defaultRequest",
                "defaultRequest",
                "defaultRequest",
                "min value",
                "default request value",
            ),
            (
                "defaultRequest",
                "max",
                "defaultRequest",
                "defaultRequest",
                "default request value",
                "max value",
            ),
            (
                "defaultRequest",
                "default",
                "defaultRequest",
                "defaultRequest",
                "default request value",
                "default limit value",
            ),
            ("min", "default", "default", "min", "min value", "default value"),
            ("default", "max", "default", "max", "default value", "max value"),
        ];
        for (low, high, at, shown, low_name, high_name) in rules {
            if let (Some(a), Some(b)) = (value(low), value(high))
                && a > b
            {
                let shown = value(shown).map(|q| q.to_string()).unwrap_or_default();
                e.invalid_text(
                    &get(at),
                    &shown,
                    &format!("{low_name} {a} is greater than {high_name} {b}"),
                );
            }
        }
        ratio(e, &get("maxLimitRequestRatio"), value("min"), value("max"));
        if let (Some(limit), Some(request)) = (value("default"), value("defaultRequest"))
            && !pod::may_overcommit(name)
            && limit != request
        {
            e.invalid_text(
                &get("defaultRequest"),
                &request.to_string(),
                &format!("default value {limit} must equal to defaultRequest value {request} in {name}"),
            );
        }
    }
}

/// How much more than its request a limit may be: at least as much, and not more than minimum and maximum leave room for.
fn ratio(e: &mut Errors, node: &Node<'_>, min: Option<Quantity>, max: Option<Quantity>) {
    let Some(ratio) = node.quantity() else { return };
    if ratio < Quantity::from_integer(1) {
        let detail = format!("ratio {ratio} is less than 1");
        e.invalid_text(node, &ratio.to_string(), &detail);
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
            e.invalid_text(node, &ratio.to_string(), &detail);
        }
    }
}
