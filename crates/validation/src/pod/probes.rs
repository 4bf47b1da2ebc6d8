//! Probes and lifecycle hooks.
use kube_types::{IntOrString, is_http_header_name, is_port_name, is_port_number};

use crate::field::{Errors, Node};

pub(super) fn all(e: &mut Errors, container: &Node<'_>, spec: &Node<'_>) {
    for (field, once) in [
        ("livenessProbe", true),
        ("readinessProbe", false),
        ("startupProbe", true),
    ] {
        let probe = container.get(field);
        if !probe.present() {
            continue;
        }
        handler(e, &probe, spec, &["exec", "httpGet", "tcpSocket", "grpc"]);
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            e.non_negative(&probe.get(field));
        }
        let grace = probe.get("terminationGracePeriodSeconds");
        if grace.int().is_some_and(|n| n <= 0) {
            e.invalid(&grace, "must be greater than 0");
        }
        let threshold = probe.get("successThreshold");
        if once {
            if threshold.int().unwrap_or(0) != 1 {
                e.invalid_value(&threshold, &threshold.int().unwrap_or(0).into(), "must be 1");
            }
        } else if grace.present() {
            e.invalid(&grace, "must not be set for readinessProbes");
        }
    }
}

pub(super) fn lifecycle(e: &mut Errors, lifecycle: &Node<'_>, spec: &Node<'_>) {
    for field in ["postStart", "preStop"] {
        if lifecycle.get(field).present() {
            handler(
                e,
                &lifecycle.get(field),
                spec,
                &["exec", "httpGet", "tcpSocket", "sleep"],
            );
        }
    }
    let signal = lifecycle.get("stopSignal");
    if signal.present() && !spec.get("os").present() {
        e.forbidden(&signal, "may not be set for containers with empty `spec.os.name`");
    }
}

fn handler(e: &mut Errors, parent: &Node<'_>, spec: &Node<'_>, kinds: &[&str]) {
    let mut found = 0;
    for kind in kinds {
        let action = parent.get(kind);
        if !action.present() {
            continue;
        }
        found += 1;
        if found > 1 {
            e.forbidden(&action, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if action.get("command").is_empty() => e.required(&action.get("command"), ""),
            "httpGet" => http_get(e, &action),
            "tcpSocket" | "grpc" => port(e, &action.get("port")),
            "sleep" => {
                let seconds = action.get("seconds").int().unwrap_or(0);
                if let Some(grace) = spec.get("terminationGracePeriodSeconds").int()
                    && !(0..=grace).contains(&seconds)
                {
                    let detail =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    e.invalid_value(&action, &seconds.into(), &detail);
                }
            }
            _ => {}
        }
    }
    if found == 0 {
        e.required(parent, "must specify a handler type");
    }
}

fn http_get(e: &mut Errors, action: &Node<'_>) {
    if action.get("path").is_empty() {
        e.required(&action.get("path"), "");
    }
    port(e, &action.get("port"));
    if !matches!(action.get("scheme").text(), "HTTP" | "HTTPS") {
        e.unsupported(&action.get("scheme"), &["HTTP", "HTTPS"]);
    }
    let headers = action.get("httpHeaders");
    for header in headers.items() {
        let name = header.get("name");
        for complaint in is_http_header_name(name.text()) {
            e.invalid_text(&headers, name.text(), &complaint);
        }
    }
}

/// A port by number or name.
pub(crate) fn port(e: &mut Errors, node: &Node<'_>) {
    match IntOrString::from_value(node.value()).unwrap_or(IntOrString::Int(0)) {
        IntOrString::Int(number) => {
            for complaint in is_port_number(number.into()) {
                e.invalid_value(node, &number.into(), &complaint);
            }
        }
        IntOrString::String(name) => e.complaints(node, is_port_name(&name)),
    }
}
