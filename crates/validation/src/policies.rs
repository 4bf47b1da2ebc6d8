//! Admission policies and their bindings, without their expressions (upstream `pkg/apis/admissionregistration/validation`).
use kube_types::{is_dns1035_label, is_dns1123_subdomain};

use crate::{
    field::{Errors, Node},
    meta, webhook,
};

/// What both kinds of policies say beside their expressions.
pub(crate) fn policy(e: &mut Errors, kind: &str, object: &Node<'_>) {
    let spec = object.get("spec");
    let failure = spec.get("failurePolicy");
    if failure.present() {
        e.maybe_one_of(&failure, &["Fail", "Ignore"]);
    } else {
        e.required(&failure, "");
    }
    let param_kind = spec.get("paramKind");
    if param_kind.present() {
        self::param_kind(e, &param_kind);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.present() {
        match_resources(e, &constraints);
        let rules = constraints.get("resourceRules");
        if rules.is_empty() {
            e.required(&rules, "");
        }
    } else {
        e.required(&constraints, "");
    }
    if kind == "MutatingAdmissionPolicy" {
        mutable_operations(e, &constraints);
        let mutations = spec.get("mutations");
        if mutations.is_empty() {
            e.required(&mutations, "mutations must contain at least one item");
        }
        for mutation in mutations.items() {
            self::mutation(e, &mutation);
        }
        e.one_of(&spec.get("reinvocationPolicy"), &["IfNeeded", "Never"]);
    }
}

/// A binding of a policy of either kind.
pub(crate) fn binding(e: &mut Errors, kind: &str, object: &Node<'_>) {
    let spec = object.get("spec");
    let name = spec.get("policyName");
    if name.is_empty() {
        e.required(&name, "");
    } else {
        e.complaints(&name, is_dns1123_subdomain(name.text()));
    }
    let reference = spec.get("paramRef");
    if reference.present() {
        param_ref(e, &reference);
    }
    let resources = spec.get("matchResources");
    if resources.present() {
        match_resources(e, &resources);
    }
    if kind == "MutatingAdmissionPolicyBinding" {
        mutable_operations(e, &resources);
    } else {
        actions(e, &spec.get("validationActions"));
    }
}

fn param_kind(e: &mut Errors, kind: &Node<'_>) {
    let version = kind.get("apiVersion");
    match version.text().split_once('/') {
        _ if version.is_empty() => e.required(&version, ""),
        Some((_, rest)) if rest.contains('/') => {
            let detail = format!("unexpected GroupVersion string: {}", version.text());
            e.invalid(&version, &detail);
        }
        split => {
            let (group, own) = split.unwrap_or(("", version.text()));
            let joined = |e: &mut Errors, text: &str, complaints: Vec<String>| {
                if !complaints.is_empty() {
                    e.invalid_text(&version, text, &complaints.join(","));
                }
            };
            if !group.is_empty() {
                joined(e, group, is_dns1123_subdomain(group));
            }
            if own.is_empty() {
                e.invalid(&version, "version must be specified");
            } else {
                joined(e, own, is_dns1035_label(own));
            }
        }
    }
    let name = kind.get("kind");
    let complaints = is_dns1035_label(&name.text().to_lowercase());
    if name.is_empty() {
        e.required(&name, "");
    } else if !complaints.is_empty() {
        let detail = format!(
            "may have mixed case, but should otherwise match: {}",
            complaints.join(",")
        );
        e.invalid(&name, &detail);
    }
}

/// Selectors that select everything are empty, which cannot be told from absent here.
fn match_resources(e: &mut Errors, resources: &Node<'_>) {
    e.one_of(&resources.get("matchPolicy"), &["Equivalent", "Exact"]);
    for selector in ["namespaceSelector", "objectSelector"] {
        meta::selector(e, &resources.get(selector));
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.get(field).items() {
            let names = rule.get("resourceNames").items();
            for (at, name) in names.iter().enumerate() {
                e.complaints(name, meta::path_segment(name.text()));
                if names[..at].iter().any(|other| other.text() == name.text()) {
                    e.duplicate(name);
                }
            }
            webhook::rule(e, &rule);
        }
    }
}

/// Only what is created or updated can be changed.
fn mutable_operations(e: &mut Errors, resources: &Node<'_>) {
    let rules = resources.get("resourceRules");
    let shown = rules.get("operations");
    for rule in rules.items() {
        for operation in rule.get("operations").items() {
            if !matches!(operation.text(), "CREATE" | "UPDATE") {
                e.unsupported_value(&shown, operation.value(), &["CREATE", "UPDATE"]);
            }
        }
    }
}

fn param_ref(e: &mut Errors, reference: &Node<'_>) {
    let (name, selector) = (reference.get("name"), reference.get("selector"));
    if !name.is_empty() {
        e.complaints(&name, meta::path_segment(name.text()));
    }
    let both = !name.is_empty() && selector.present();
    let detail = "name and selector are mutually exclusive";
    if both {
        e.forbidden(&name, detail);
    }
    meta::selector(e, &selector);
    if both {
        e.forbidden(&selector, detail);
    }
    if name.is_empty() && !selector.present() {
        e.required(reference, "one of name or selector must be specified");
    }
    e.one_of(&reference.get("parameterNotFoundAction"), &["Deny", "Allow"]);
}

fn actions(e: &mut Errors, actions: &Node<'_>) {
    let items = actions.items();
    let mut seen: Vec<&str> = Vec::new();
    for action in &items {
        e.maybe_one_of(action, &["Audit", "Deny", "Warn"]);
        if seen.contains(&action.text()) {
            e.duplicate(action);
        }
        seen.push(action.text());
    }
    if items.is_empty() {
        e.required(actions, "at least one validation action is required");
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        e.invalid(
            actions,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        );
    }
}

fn mutation(e: &mut Errors, mutation: &Node<'_>) {
    let kind = mutation.get("patchType");
    let (own, other) = match kind.text() {
        "" => return e.required(&kind, ""),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        _ => return e.one_of(&kind, &["ApplyConfiguration", "JSONPatch"]),
    };
    let (own, other) = (mutation.get(own), mutation.get(other));
    if !own.present() {
        let detail = format!("must be specified when patchType is {}", kind.text());
        e.required(&own, &detail);
    } else if own.get("expression").text().trim().is_empty() {
        e.required(&own.get("expression"), "");
    }
    if other.present() {
        let field = other.path().rsplit('.').next().unwrap_or_default();
        let detail = format!("must not be specified when patchType is {}", kind.text());
        e.invalid_text(&other, &format!("{{{field}}}"), &detail);
    }
}
