//! Ingresses and their classes (upstream `pkg/apis/networking/validation/validation.go`).
use std::net::IpAddr;

use kube_types::{
    is_dns1123_label, is_dns1123_subdomain, is_port_name, is_port_number, is_wildcard_dns1123_subdomain,
};

use crate::{
    field::{Errors, Node},
    meta,
};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const CONTROLLER_LIMIT: usize = 250;

/// What is asked of a new ingress only.
pub(crate) fn create(e: &mut Errors, object: &Node<'_>) {
    ingress(e, object);
    let class = object.at(&["spec", "ingressClassName"]);
    let annotation = object.at(&["metadata", "annotations"]).key(CLASS_ANNOTATION);
    if annotation.present() && class.present() && annotation.text() != class.text() {
        e.invalid(
            &annotation.renamed(format!("annotations.{CLASS_ANNOTATION}")),
            "must match `ingressClassName` when both are specified",
        );
    }
}

pub(crate) fn ingress(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (rules, default) = (spec.get("rules"), spec.get("defaultBackend"));
    if rules.is_empty() && !default.present() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        e.invalid_value(&spec, rules.value(), detail);
    }
    if default.present() {
        backend(e, &default);
    }
    for rule in rules.items() {
        let host = rule.get("host");
        if !host.is_empty() {
            if host.text().parse::<IpAddr>().is_ok() {
                e.invalid(&host, "must be a DNS name, not an IP address");
            }
            host_name(e, &host);
        }
        let http = rule.get("http");
        if http.present() {
            let paths = http.get("paths");
            if paths.is_empty() {
                e.required(&paths, "");
            }
            for one in paths.items() {
                path(e, &one);
            }
        }
    }
    for tls in spec.get("tls").items() {
        for host in tls.get("hosts").items() {
            host_name(e, &host);
        }
        let secret = tls.get("secretName");
        if !secret.is_empty() {
            e.complaints(&secret, is_dns1123_subdomain(secret.text()));
        }
    }
    let class = spec.get("ingressClassName");
    if class.present() {
        e.complaints(&class, is_dns1123_subdomain(class.text()));
    }
}

fn host_name(e: &mut Errors, host: &Node<'_>) {
    let complaints = if host.text().contains('*') {
        is_wildcard_dns1123_subdomain(host.text())
    } else {
        is_dns1123_subdomain(host.text())
    };
    e.complaints(host, complaints);
}

fn path(e: &mut Errors, rule: &Node<'_>) {
    let (kind, path) = (rule.get("pathType"), rule.get("path"));
    if !kind.present() {
        return e.required(&kind, "pathType must be specified");
    }
    let absolute = path.text().starts_with('/');
    match kind.text() {
        "Exact" | "Prefix" => {
            if !absolute {
                e.invalid_text(&path, path.text(), "must be an absolute path");
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.text().contains(sequence) {
                    e.invalid(&path, &format!("must not contain '{sequence}'"));
                }
            }
            for end in ["/..", "/."] {
                if path.text().ends_with(end) {
                    e.invalid(&path, &format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && !absolute {
                e.invalid(&path, "must be an absolute path");
            }
        }
        _ => e.unsupported(&kind, &PATH_TYPES),
    }
    backend(e, &rule.get("backend"));
}

fn backend(e: &mut Errors, backend: &Node<'_>) {
    let (resource, service) = (backend.get("resource"), backend.get("service"));
    match (resource.present(), service.present()) {
        (true, true) => e.invalid_text(backend, "", "cannot set both resource and service backends"),
        (true, false) => reference(e, &resource),
        (false, true) => {
            let name = service.get("name");
            if name.is_empty() {
                e.required(&name, "");
            } else {
                e.complaints(&name, is_dns1123_label(name.text()));
            }
            let (name, number) = (service.at(&["port", "name"]), service.at(&["port", "number"]));
            match (name.is_empty(), number.int().unwrap_or(0)) {
                (false, 0) => e.complaints(&name, is_port_name(name.text())),
                (false, _) => e.invalid_text(backend, "", "cannot set both port name & port number"),
                (true, 0) => e.required(backend, "port name or number is required"),
                (true, port) => e.complaints(&number, is_port_number(port)),
            }
        }
        (false, false) => e.invalid_text(backend, "", "resource or service backend is required"),
    }
}

fn reference(e: &mut Errors, reference: &Node<'_>) {
    let group = reference.get("apiGroup");
    if group.present() {
        e.complaints(&group, is_dns1123_subdomain(group.text()));
    }
    for field in ["kind", "name"] {
        let field = reference.get(field);
        if field.is_empty() {
            e.required(&field, "");
        } else {
            e.complaints(&field, meta::path_segment(field.text()));
        }
    }
}

pub(crate) fn class(e: &mut Errors, object: &Node<'_>) {
    let controller = object.at(&["spec", "controller"]);
    if controller.len() > CONTROLLER_LIMIT {
        e.too_long(&controller, CONTROLLER_LIMIT);
    }
    meta::domain_prefixed_path(e, &controller);
    let parameters = object.at(&["spec", "parameters"]);
    if !parameters.present() {
        return;
    }
    reference(e, &parameters);
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    match scope.text() {
        "" if !scope.present() => e.required(&scope, ""),
        "Cluster" if namespace.present() => e.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'"),
        "Namespace" if !namespace.present() => {
            e.required(&namespace, "`parameters.scope` is set to 'Namespace'")
        }
        "Namespace" => e.complaints(&namespace, is_dns1123_label(namespace.text())),
        "Cluster" => {}
        _ => e.unsupported(&scope, &["Cluster", "Namespace"]),
    }
}
