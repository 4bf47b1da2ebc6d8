//! APIServices (kube-aggregator `pkg/apis/apiregistration/validation`).
use kube_types::{is_dns1035_label, is_dns1123_subdomain, is_port_number};

use crate::field::{Errors, Node};

/// Its name says group and version, and is looked at before all else of the metadata.
pub(crate) fn name(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (group, version) = (spec.get("group"), spec.get("version"));
    let wanted = format!("{}.{}", version.text(), group.text());
    for field in ["generateName", "name"] {
        let name = object.at(&["metadata", field]);
        if !name.is_empty() && name.text() != wanted {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            e.invalid(&name, &detail);
        }
    }
}

pub(crate) fn api_service(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (group, version) = (spec.get("group"), spec.get("version"));
    if group.is_empty() {
        if version.text() != "v1" {
            e.required(
                &group,
                "only v1 may have an empty group and it better be legacy kube",
            );
        }
    } else {
        e.complaints(&group, is_dns1123_subdomain(group.text()));
    }
    e.complaints(&version, is_dns1035_label(version.text()));
    priority(e, &spec.get("groupPriorityMinimum"), 20_000);
    priority(e, &spec.get("versionPriority"), 1000);
    let service = spec.get("service");
    let (bundle, insecure) = (spec.get("caBundle"), spec.get("insecureSkipTLSVerify"));
    if !service.present() {
        if !bundle.is_empty() {
            // What is shown is the length of the decoded bytes.
            let padding = bundle.text().bytes().rev().take_while(|b| *b == b'=').count();
            let bytes = (bundle.len() / 4 * 3).saturating_sub(padding);
            e.invalid_text(
                &bundle,
                &format!("{bytes} bytes"),
                "local APIServices may not have a caBundle",
            );
        }
        if insecure.is_true() {
            e.invalid(&insecure, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for field in ["namespace", "name"] {
        if service.get(field).is_empty() {
            e.required(&service.get(field), "");
        }
    }
    let port = service.get("port");
    let complaints = is_port_number(port.int().unwrap_or(0));
    if !complaints.is_empty() {
        e.invalid(&port, &format!("port is not valid: {}", complaints.join(", ")));
    }
    if insecure.is_true() && !bundle.is_empty() {
        e.invalid(&insecure, "may not be true if caBundle is present");
    }
}

pub(crate) fn status(e: &mut Errors, status: &Node<'_>) {
    for condition in status.get("conditions").items() {
        let node = condition.get("status");
        if !matches!(node.text(), "True" | "False" | "Unknown") {
            e.unsupported(&node, &["True", "False", "Unknown"]);
        }
    }
}

fn priority(e: &mut Errors, node: &Node<'_>, most: i64) {
    let number = node.int().unwrap_or(0);
    if number <= 0 || number > most {
        let detail = format!("must be positive and less than {most}");
        e.invalid_value(node, &number.into(), &detail);
    }
}
