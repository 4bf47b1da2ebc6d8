//! What the statuses of small kinds may say (`Validate…StatusUpdate` of upstream's `pkg/apis/*/validation`).
use std::collections::HashSet;

use kube_types::{is_dns1123_subdomain, is_qualified_name, regex_message};

use crate::{
    cluster, custom,
    field::{Errors, Node},
    flow, meta, pod,
};

/// The rules of a kind's new status, if it has any here.
pub(crate) fn update(e: &mut Errors, kind: &str, new: &Node<'_>) {
    let status = new.get("status");
    match kind {
        "Namespace" => namespace(e, new),
        "Service" => {
            let exposed = new.at(&["spec", "type"]).text() == "LoadBalancer";
            load_balancer(e, &status.get("loadBalancer"), exposed);
        }
        "Ingress" => {
            for entry in status.at(&["loadBalancer", "ingress"]).items() {
                address(e, &entry);
            }
        }
        "ResourceQuota" => cluster::quota_status(e, &status),
        "FlowSchema" | "PriorityLevelConfiguration" => flow::conditions(e, new),
        "CustomResourceDefinition" => custom::accepted_names(e, &status.get("acceptedNames")),
        _ => {}
    }
}

fn namespace(e: &mut Errors, object: &Node<'_>) {
    let phase = object.at(&["status", "phase"]).renamed("status.Phase");
    let (wanted, detail) = if object.at(&["metadata", "deletionTimestamp"]).present() {
        (
            "Terminating",
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        )
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase.text() != wanted {
        e.invalid_text(&phase, phase.text(), detail);
    }
}

fn load_balancer(e: &mut Errors, status: &Node<'_>, exposed: bool) {
    let list = status.get("ingress");
    if !exposed && !list.is_empty() {
        return e.forbidden(&list, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for entry in list.items() {
        address(e, &entry);
        let (ip, mode) = (entry.get("ip"), entry.get("ipMode"));
        match (mode.present(), ip.is_empty()) {
            (false, false) => e.required(&mode, "must be specified when `ip` is set"),
            (true, true) => e.forbidden(&mode, "may not be specified when `ip` is not set"),
            _ => e.maybe_one_of(&mode, &["Proxy", "VIP"]),
        }
    }
}

/// Where a load balancer is reached.
fn address(e: &mut Errors, entry: &Node<'_>) {
    let (ip, hostname) = (entry.get("ip"), entry.get("hostname"));
    if !ip.is_empty() {
        pod::ip(e, &ip);
    }
    if !hostname.is_empty() {
        e.complaints(&hostname, is_dns1123_subdomain(hostname.text()));
        if hostname.text().parse::<std::net::IpAddr>().is_ok() {
            e.invalid(&hostname, "must be a DNS name, not an IP address");
        }
    }
}

const REASON: usize = 1024;
const MESSAGE: usize = 32 << 10;

/// `metav1.Condition`s (apimachinery `pkg/apis/meta/v1/validation`).
pub(crate) fn conditions(e: &mut Errors, list: &Node<'_>) {
    let items = list.items();
    let mut seen = HashSet::new();
    for condition in &items {
        let kind = condition.get("type");
        if !seen.insert(kind.text()) {
            e.duplicate_value(&kind, &kind.text().into());
        }
        meta::label_name(e, &kind);
        let status = condition.get("status");
        if !matches!(status.text(), "False" | "True" | "Unknown") {
            e.unsupported(&status, &["False", "True", "Unknown"]);
        }
        let observed = condition.get("observedGeneration");
        if observed.int().is_some_and(|n| n < 0) {
            e.invalid(&observed, "must be greater than or equal to zero");
        }
        let since = condition.get("lastTransitionTime");
        if !since.present() {
            e.required(&since, "");
        }
        let (reason, message) = (condition.get("reason"), condition.get("message"));
        if reason.is_empty() {
            e.required(&reason, "");
        } else if !is_reason(reason.text()) {
            let complaint = regex_message(
                "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters \
                 or '_,:', and must end with an alphanumeric character or '_'",
                "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
                &[
                    "my_name",
                    "MY_NAME",
                    "MyName",
                    "ReasonA,ReasonB",
                    "ReasonA:ReasonB",
                ],
            );
            e.invalid(&reason, &complaint);
        }
        if reason.len() > REASON {
            e.too_long(&reason, REASON);
        }
        if message.len() > MESSAGE {
            e.too_long(&message, MESSAGE);
        }
    }
}

fn is_reason(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_,:".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(inside)
}

/// Conditions of a pod.
pub(crate) fn pod_conditions(e: &mut Errors, list: &Node<'_>) {
    for condition in list.items() {
        let observed = condition.get("observedGeneration");
        if observed.int().is_some_and(|n| n < 0) {
            e.invalid(&observed, "must be a non-negative integer");
        }
        let kind = condition.get("type");
        if !matches!(kind.text(), "PodScheduled" | "Ready" | "Initialized") {
            let shown = kind.renamed(format!("{}.Type", condition.path()));
            for complaint in is_qualified_name(kind.text()) {
                e.invalid_text(&shown, kind.text(), &complaint);
            }
        }
    }
}
