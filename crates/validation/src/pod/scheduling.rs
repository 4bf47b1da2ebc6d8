//! What the scheduler reads: tolerations, affinity, spread constraints, gates.
use std::collections::HashMap;

use kube_types::{is_dns1123_subdomain, is_label_value, is_qualified_name};
use serde_json::Value;

use super::label_keys::label_keys;
use crate::{
    field::{Errors, Node},
    meta,
};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(crate) fn tolerations(e: &mut Errors, list: &Node<'_>) {
    for toleration in list.items() {
        let field = |name: &str| toleration.get(name);
        if !field("key").is_empty() {
            meta::label_name(e, &field("key"));
        }
        let (operator, value) = (field("operator"), field("value"));
        if field("key").is_empty() && operator.text() != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid_text(&operator, operator.text(), detail);
        }
        if field("tolerationSeconds").present() && field("effect").text() != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            e.invalid_text(&field("effect"), field("effect").text(), detail);
        }
        match operator.text() {
            "Equal" | "" => {
                let complaints = is_label_value(value.text());
                if !complaints.is_empty() {
                    e.invalid_text(&operator, value.text(), &complaints.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                e.invalid_text(
                    &operator,
                    value.text(),
                    "value must be empty when `operator` is 'Exists'",
                );
            }
            "Exists" => {}
            "Lt" | "Gt" => e.unsupported(&operator, &["Equal", "Exists", "Lt", "Gt"]),
            _ => e.unsupported(&operator, &["Equal", "Exists"]),
        }
        if !field("effect").is_empty() && !EFFECTS.contains(&field("effect").text()) {
            e.unsupported(&field("effect"), &EFFECTS);
        }
    }
}

/// The taints of a node.
pub(crate) fn taints(e: &mut Errors, list: &Node<'_>) {
    let mut seen = Vec::new();
    for taint in list.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        meta::label_name(e, &key);
        let complaints = is_label_value(value.text());
        if !complaints.is_empty() {
            e.invalid_text(&value, value.text(), &complaints.join(";"));
        }
        e.one_of(&effect, &EFFECTS);
        if seen.contains(&(key.text(), effect.text())) {
            let fields = [("Key", "key"), ("Value", "value"), ("Effect", "effect")];
            let shown: Vec<_> = fields
                .iter()
                .map(|(name, field)| format!("{name:?}:{:?}", taint.get(field).text()))
                .collect();
            let shown = format!("{{{},\"TimeAdded\":null}}", shown.join(","));
            e.duplicate_because(&taint, &shown, "taints must be unique by key and effect pair");
        }
        seen.push((key.text(), effect.text()));
    }
}

pub(super) fn affinity(e: &mut Errors, affinity: &Node<'_>) {
    let node = affinity.get("nodeAffinity");
    let required = node.get("requiredDuringSchedulingIgnoredDuringExecution");
    if required.present() {
        node_selector(e, &required);
    }
    for term in node
        .get("preferredDuringSchedulingIgnoredDuringExecution")
        .items()
    {
        weight(e, &term.get("weight"));
        node_term(e, &term.get("preference"), false);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.get(kind);
        for term in pods.get("requiredDuringSchedulingIgnoredDuringExecution").items() {
            pod_term(e, &term);
        }
        for term in pods
            .get("preferredDuringSchedulingIgnoredDuringExecution")
            .items()
        {
            weight(e, &term.get("weight"));
            pod_term(e, &term.get("podAffinityTerm"));
        }
    }
}

fn weight(e: &mut Errors, weight: &Node<'_>) {
    let value = weight.int().unwrap_or(0);
    if !(1..=100).contains(&value) {
        e.invalid_value(weight, &value.into(), "must be in the range 1-100");
    }
}

/// A node selector (of a pod, or of a volume).
pub(crate) fn node_selector(e: &mut Errors, selector: &Node<'_>) {
    let terms = selector.get("nodeSelectorTerms");
    if terms.is_empty() {
        return e.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(e, &term, true);
    }
}

fn node_term(e: &mut Errors, term: &Node<'_>, check_values: bool) {
    for requirement in term.get("matchExpressions").items() {
        let (operator, values) = (requirement.get("operator"), requirement.get("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(
                    &values,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "Gt" | "Lt" if values.len() != 1 => {
                e.required(
                    &values,
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => e.invalid_text(&operator, other, "not a valid selector operator"),
        }
        meta::label_name(e, &requirement.get("key"));
        if check_values {
            for value in values.items() {
                e.complaints(&value, is_label_value(value.text()));
            }
        }
    }
    for requirement in term.get("matchFields").items() {
        let (key, operator, values) = (
            requirement.get("key"),
            requirement.get("operator"),
            requirement.get("values"),
        );
        match operator.text() {
            "In" | "NotIn" if values.len() != 1 => {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                e.required(&values, detail);
            }
            "In" | "NotIn" => {}
            other => e.invalid_text(&operator, other, "not a valid selector operator"),
        }
        if key.text() != "metadata.name" {
            e.invalid_text(&key, key.text(), "not a valid field selector key");
            continue;
        }
        for value in values.items() {
            e.complaints(&value, is_dns1123_subdomain(value.text()));
        }
    }
}

fn pod_term(e: &mut Errors, term: &Node<'_>) {
    meta::selector(e, &term.get("labelSelector"));
    meta::selector(e, &term.get("namespaceSelector"));
    for name in term.get("namespaces").items() {
        for complaint in kube_types::is_dns1123_label(name.text()) {
            e.invalid_text(&term.get("namespace"), name.text(), &complaint);
        }
    }
    label_keys(e, term);
    let key = term.get("topologyKey");
    if key.is_empty() {
        e.required(&key, "can not be empty");
    }
    meta::label_name(e, &key);
}

pub(super) fn gates(e: &mut Errors, list: &Node<'_>) {
    let mut seen = Vec::new();
    for gate in list.items() {
        let name = gate.get("name").text();
        for complaint in is_qualified_name(name) {
            e.invalid_text(&gate, name, &complaint);
        }
        if seen.contains(&name) {
            e.duplicate_value(&gate, &name.into());
        }
        seen.push(name);
    }
}

pub(super) fn spread(e: &mut Errors, list: &Node<'_>) {
    fn pair<'a>(constraint: &Node<'a>) -> [&'a str; 2] {
        ["topologyKey", "whenUnsatisfiable"]
            .map(|field| constraint.value()[field].as_str().unwrap_or_default())
    }
    let constraints = list.items();
    let mut left: HashMap<_, usize> = HashMap::new();
    for constraint in &constraints {
        *left.entry(pair(constraint)).or_default() += 1;
    }
    for constraint in &constraints {
        let (skew, key, action) = (
            constraint.get("maxSkew"),
            constraint.get("topologyKey"),
            constraint.get("whenUnsatisfiable"),
        );
        if skew.int().unwrap_or(0) <= 0 {
            e.invalid_value(
                &skew,
                &skew.int().unwrap_or(0).into(),
                "must be greater than zero",
            );
        }
        if key.is_empty() {
            e.required(&key, "can not be empty");
        }
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            e.unsupported(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let same = left.entry(pair(constraint)).or_default();
        *same -= 1;
        if *same > 0 {
            let pair = Value::from(format!("{{{}, {}}}", key.text(), action.text()));
            e.duplicate_value(&constraint.get("{topologyKey, whenUnsatisfiable}"), &pair);
        }
        let domains = constraint.get("minDomains");
        if let Some(number) = domains.int() {
            if number <= 0 {
                e.invalid(&domains, "must be greater than zero");
            }
            if action.text() != "DoNotSchedule" {
                let detail = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
                    action.text()
                );
                e.invalid(&domains, &detail);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            e.maybe_one_of(&constraint.get(policy), &["Honor", "Ignore"]);
        }
        label_keys(e, constraint);
        meta::selector(e, &constraint.get("labelSelector"));
    }
}
