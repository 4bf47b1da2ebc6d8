//! What is asked for: requests, constraints among them, and what their drivers are told.
use std::collections::HashMap;

use kube_types::is_dns1123_subdomain;

use super::{fully_qualified_name, label, list, set, text, toleration};
use crate::{
    csi::driver_name,
    field::{Errors, Node},
};

/// Names of requests, with those of their alternatives.
pub(super) struct Names<'a>(HashMap<&'a str, Vec<&'a str>>);

impl<'a> Names<'a> {
    pub(super) fn of(claim: &Node<'a>) -> Self {
        let requests = claim.at(&["devices", "requests"]).items();
        let alternatives = |request: &Node<'a>| {
            let all = request.get("firstAvailable").items();
            all.iter().map(|one| one.get("name").text()).collect()
        };
        Self(
            requests
                .iter()
                .map(|request| (request.get("name").text(), alternatives(request)))
                .collect(),
        )
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => self.0.get(request).is_some_and(|all| all.contains(&alternative)),
        }
    }

    /// A reference to one of them (`validateRequestNameRef`).
    pub(super) fn reference(&self, e: &mut Errors, node: &Node<'_>) {
        let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        let name = node.text();
        if name.matches('/').count() > 1 {
            return e.invalid_text(node, name, detail);
        }
        for part in name.split('/') {
            label(e, &node.holding(&part.into()));
        }
        if !self.has(name) {
            e.invalid_text(node, name, detail);
        }
    }

    /// Several of them.
    pub(super) fn references(&self, e: &mut Errors, nodes: &Node<'_>) {
        set(e, nodes, 32, |e, node| self.reference(e, node), text);
    }
}

pub(super) fn spec(e: &mut Errors, spec: &Node<'_>) {
    let (devices, names) = (spec.get("devices"), Names::of(spec));
    set(e, &devices.get("requests"), 32, request, |one| {
        text(&one.get("name"))
    });
    list(e, &devices.get("constraints"), 32, |e, one| {
        constraint(e, one, &names)
    });
    list(e, &devices.get("config"), 32, |e, one| {
        names.references(e, &one.get("requests"));
        configuration(e, one);
    });
}

fn request(e: &mut Errors, request: &Node<'_>) {
    label(e, &request.get("name"));
    let (exactly, first) = (request.get("exactly"), request.get("firstAvailable"));
    let detail = "exactly one of `exactly` or `firstAvailable` is required";
    match (exactly.present(), !first.is_empty()) {
        (false, false) => e.required(request, detail),
        (true, true) => {
            e.invalid_raw(request, "null", &format!("{detail}, but multiple fields are set"));
        }
        (false, true) => set(
            e,
            &first,
            8,
            |e, one| {
                label(e, &one.get("name"));
                wanted(e, one);
            },
            |one| text(&one.get("name")),
        ),
        (true, false) => wanted(e, &exactly),
    }
}

/// Which devices, and how many.
fn wanted(e: &mut Errors, request: &Node<'_>) {
    let class = request.get("deviceClassName");
    if class.is_empty() {
        e.required(&class, "");
    } else {
        e.complaints(&class, is_dns1123_subdomain(class.text()));
    }
    selectors(e, &request.get("selectors"));
    let (mode, count) = (request.get("allocationMode"), request.get("count"));
    let number = count.int().unwrap_or(0);
    match mode.text() {
        "All" if number != 0 => {
            e.invalid(&count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if number <= 0 => {
            e.invalid_value(&count, &number.into(), "must be greater than zero");
        }
        "All" | "ExactCount" => {}
        _ => e.unsupported(&mode, &["All", "ExactCount"]),
    }
    for one in request.get("tolerations").items() {
        toleration(e, &one);
    }
}

/// Expressions that a device must satisfy.
pub(super) fn selectors(e: &mut Errors, selectors: &Node<'_>) {
    list(e, selectors, 32, |e, selector| {
        let cel = selector.get("cel");
        if !cel.present() {
            return e.required(&cel, "");
        }
        let expression = cel.get("expression");
        if expression.len() > 10 << 10 {
            e.too_long(&expression, 10 << 10);
        }
    });
}

fn constraint(e: &mut Errors, constraint: &Node<'_>, names: &Names<'_>) {
    names.references(e, &constraint.get("requests"));
    let (same, distinct) = (
        constraint.get("matchAttribute"),
        constraint.get("distinctAttribute"),
    );
    if same.present() {
        fully_qualified_name(e, &same);
    } else if distinct.present() {
        fully_qualified_name(e, &distinct);
    } else {
        // Upstream's words, although none is set.
        let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        e.required(constraint, detail);
    }
}

/// What a driver is told (`validateDeviceConfiguration`).
pub(super) fn configuration(e: &mut Errors, config: &Node<'_>) {
    let opaque = config.get("opaque");
    if !opaque.present() {
        return e.required(&opaque, "");
    }
    driver_name(e, &opaque.get("driver"));
    raw(e, &opaque.get("parameters"));
}

/// Data that only its driver understands (`validateRawExtension`).
pub(super) fn raw(e: &mut Errors, data: &Node<'_>) {
    const LIMIT: usize = 10 << 10;
    if !data.present() {
        e.required(data, "");
    } else if data.value().to_string().len() > LIMIT {
        e.too_long(data, LIMIT);
    } else if !data.value().is_object() {
        e.invalid_text(data, "<value omitted>", "must be a valid JSON object");
    }
}
