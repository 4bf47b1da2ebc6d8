//! The fields that field selectors may name (kubernetes `pkg/apis/*/v1/conversion.go` AddFieldLabelConversionsFor…).
use std::borrow::Cow;

use schema::KindInfo;
use serde_json::Value;

use crate::{
    custom,
    json::{text, truth},
};

/// Selectable fields of a kind besides `metadata.name` and `metadata.namespace`.
pub fn extra(kind: &KindInfo) -> &'static [&'static str] {
    if let Some(custom) = custom::of(kind) {
        return custom.selectable;
    }
    match kind.plural {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "jobs" => &["status.successful"],
        "replicationcontrollers" => &["status.replicas"],
        "certificatesigningrequests" => &["spec.signerName"],
        "resourceslices" => &["spec.nodeName", "spec.driver"],
        "events" if kind.group.is_empty() => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "events" => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

/// Upstream's words for a field that cannot be selected by; kubectl puts the selectors in front.
pub fn refusal(kind: &KindInfo, field: &str) -> String {
    if kind.plural == "jobs" && !custom::is(kind) {
        format!("field label {field:?} not supported for Job")
    } else if kind.plural == "resourceslices" && !custom::is(kind) {
        format!("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {field}")
    } else if extra(kind).is_empty() && !custom::is(kind) {
        format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {field}")
    }
}

/// The value of a selectable field of a stored object.
pub fn value<'a>(object: &'a Value, field: &str) -> Cow<'a, str> {
    let at = match field {
        "status.successful" => {
            return Cow::Owned(
                object
                    .pointer("/status/succeeded")
                    .and_then(Value::as_i64)
                    .unwrap_or(0)
                    .to_string(),
            );
        }
        "status.replicas" => {
            let replicas = object.pointer("/status/replicas").and_then(Value::as_i64);
            return Cow::Owned(replicas.unwrap_or(0).to_string());
        }
        "spec.unschedulable" | "spec.hostNetwork" => {
            return Cow::Owned(truth(object, &format!("/{}", field.replace('.', "/"))).to_string());
        }
        "source" => {
            let component = text(object, "/source/component");
            return Cow::Borrowed(if component.is_empty() {
                text(object, "/reportingComponent")
            } else {
                component
            });
        }
        "reportingController" => "reportingComponent".to_owned(),
        other => other
            .strip_prefix("regarding.")
            .map_or_else(|| other.to_owned(), |f| format!("involvedObject.{f}")),
    };
    Cow::Borrowed(text(object, &format!("/{}", at.replace('.', "/"))))
}
