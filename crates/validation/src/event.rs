//! Events (upstream `pkg/apis/core/validation/events.go`).
use kube_types::{is_dns1123_subdomain, is_qualified_name};
use serde_json::Value;

use crate::field::{Errors, Node, same};

const INSTANCE_LIMIT: usize = 128;
const ACTION_LIMIT: usize = 128;
const REASON_LIMIT: usize = 128;
const NOTE_LIMIT: usize = 1024;

/// What holds in every version. Objects are in the stored form, that of core; `reporter` is the name that the request's
/// version has for the reporting controller.
pub(crate) fn event(e: &mut Errors, object: &Node<'_>, reporter: &str) {
    let (namespace, about) = (
        object.at(&["metadata", "namespace"]),
        object.at(&["involvedObject", "namespace"]),
    );
    let place = namespace.text();
    // An event with a time follows the newer rules.
    if object.get("eventTime").present() {
        if about.is_empty() && place != "default" && place != "kube-system" {
            e.invalid_text(&about, "", "does not match event.namespace");
        }
        let controller = object.get("reportingComponent").renamed(reporter);
        if controller.is_empty() {
            e.required(&controller, "");
        }
        e.complaints(&controller, is_qualified_name(controller.text()));
        limited(e, &object.get("reportingInstance"), INSTANCE_LIMIT, true);
        limited(e, &object.get("action"), ACTION_LIMIT, true);
        limited(e, &object.get("reason"), REASON_LIMIT, true);
        limited(e, &object.get("message"), NOTE_LIMIT, false);
    } else {
        let fits = if about.is_empty() {
            place.is_empty() || place == "default"
        } else {
            place == about.text()
        };
        if !fits {
            e.invalid_text(&about, about.text(), "does not match event.namespace");
        }
    }
    e.complaints(&namespace.renamed("namespace"), is_dns1123_subdomain(place));
}

fn limited(e: &mut Errors, node: &Node<'_>, limit: usize, required: bool) {
    if required && node.is_empty() {
        e.required(node, "");
    }
    if node.len() > limit {
        e.invalid_text(node, "", &format!("can have at most {limit} characters"));
    }
}

/// What `events.k8s.io` lets nobody change.
pub(crate) fn strict_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    if !same(old.get("series").value(), new.get("series").value()) {
        series(e, new);
    }
    for field in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        // Upstream asks twice.
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
    ] {
        stays(e, &new.get(field), &old.get(field));
    }
    let controller = new.get("reportingComponent").renamed("reportingController");
    stays(e, &controller, &old.get("reportingComponent"));
    stays(e, &new.get("reportingInstance"), &old.get("reportingInstance"));
}

/// As `ValidateImmutableField` shows internal types.
fn stays(e: &mut Errors, new: &Node<'_>, old: &Node<'_>) {
    if same(new.value(), old.value()) {
        return;
    }
    let name = match new.path() {
        "involvedObject" | "related" => "ObjectReference",
        "source" => "EventSource",
        _ => "",
    };
    // One of them is a pointer.
    let shown = match new.value() {
        Value::Null if new.path() == "related" => None,
        value => schema::internal_compact(&format!("io.k8s.api.core.v1.{name}"), value),
    };
    let text = old.value().is_string()
        && !new.present()
        && !new.path().ends_with("Time")
        && !new.path().ends_with("Timestamp");
    match shown {
        Some(shown) => e.invalid_raw(new, &shown, "field is immutable"),
        None if text => e.invalid_text(new, "", "field is immutable"),
        None => e.invalid(new, "field is immutable"),
    }
}

fn series(e: &mut Errors, object: &Node<'_>) {
    let series = object.get("series");
    if series.present() {
        if series.get("count").int().unwrap_or(0) < 2 {
            e.invalid_text(&series.get("count"), "", "should be at least 2");
        }
        if !series.get("lastObservedTime").present() {
            e.required(&series.get("lastObservedTime"), "");
        }
    }
}

/// What `events.k8s.io` asks of a new event besides.
pub(crate) fn strict(e: &mut Errors, object: &Node<'_>) {
    series(e, object);
    if !object.get("eventTime").present() {
        e.required(&object.get("eventTime"), "");
    }
    let kind = object.get("type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        e.invalid_text(&kind, "", &format!("has invalid value: {}", kind.text()));
    }
    for unset in ["firstTimestamp", "lastTimestamp", "count"] {
        let node = object.get(unset);
        if node.present() && node.int() != Some(0) {
            e.invalid_text(&node, "", "needs to be unset");
        }
    }
    let source = object.get("source");
    if !source.get("component").is_empty() || !source.get("host").is_empty() {
        e.invalid_text(&source, "", "needs to be unset");
    }
}
