//! `podFailurePolicy` of Jobs (upstream `pkg/apis/batch/validation/validation.go`).
use kube_types::is_qualified_name;

use crate::field::{Errors, Node, show};

const RULES: usize = 20;
const VALUES: usize = 255;
const PATTERNS: usize = 20;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub(crate) fn failure_policy(e: &mut Errors, spec: &Node<'_>) {
    let rules = spec.at(&["podFailurePolicy", "rules"]);
    if rules.len() > RULES {
        e.too_many(&rules, RULES);
    }
    for rule in rules.items() {
        let (action, codes, conditions) = (
            rule.get("action"),
            rule.get("onExitCodes"),
            rule.get("onPodConditions"),
        );
        match action.text() {
            "" => e.required(
                &action,
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            ),
            "FailIndex" if !spec.get("backoffLimitPerIndex").present() => {
                e.invalid(&action, "requires the backoffLimitPerIndex to be set");
            }
            other if ACTIONS.contains(&other) => {}
            _ => e.unsupported(&action, &ACTIONS),
        }
        if codes.present() {
            exit_codes(e, spec, &codes);
        }
        if conditions.len() > PATTERNS {
            e.too_many(&conditions, PATTERNS);
        }
        for pattern in conditions.items() {
            let (kind, status) = (pattern.get("type"), pattern.get("status"));
            e.complaints(&kind, is_qualified_name(kind.text()));
            match status.text() {
                "" => e.required(&status, "valid values: [\"False\" \"True\" \"Unknown\"]"),
                "False" | "True" | "Unknown" => {}
                _ => e.unsupported(&status, &["False", "True", "Unknown"]),
            }
        }
        match (codes.present(), conditions.is_empty()) {
            (true, false) => {
                e.invalid_bare(
                    &rule,
                    "specifying both OnExitCodes and OnPodConditions is not supported",
                );
            }
            (false, true) => {
                e.invalid_bare(
                    &rule,
                    "specifying one of OnExitCodes and OnPodConditions is required",
                );
            }
            _ => {}
        }
    }
}

fn exit_codes(e: &mut Errors, spec: &Node<'_>, codes: &Node<'_>) {
    let (operator, name, values) = (
        codes.get("operator"),
        codes.get("containerName"),
        codes.get("values"),
    );
    match operator.text() {
        "" => e.required(&operator, "valid values: [\"In\" \"NotIn\"]"),
        "In" | "NotIn" => {}
        _ => e.unsupported(&operator, &["In", "NotIn"]),
    }
    let pod = spec.at(&["template", "spec"]);
    let mut containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod.get(list).items());
    if name.present() && !containers.any(|c| c.get("name").text() == name.text()) {
        e.invalid(
            &name,
            "must be one of the container or initContainer names in the pod template",
        );
    }
    if values.is_empty() {
        e.invalid(&values, "at least one value is required");
    } else if values.len() > VALUES {
        e.too_many(&values, VALUES);
    }
    let mut seen = Vec::new();
    for value in values.items() {
        let code = value.int().unwrap_or(0);
        if operator.text() == "In" && code == 0 {
            e.invalid(&value, "must not be 0 for the In operator");
        }
        if seen.contains(&code) {
            e.duplicate(&value);
        }
        seen.push(code);
    }
    if !seen.is_sorted() {
        e.invalid(&values, "must be ordered");
    }
}

/// The policy as upstream shows it: its internal type has no JSON names, and every field.
pub(crate) fn internal_struct(policy: &Node<'_>) -> String {
    let list = |list: &Node<'_>, item: fn(&Node<'_>) -> String| {
        if list.present() {
            let items: Vec<String> = list.items().iter().map(item).collect();
            format!("[{}]", items.join(","))
        } else {
            "null".to_owned()
        }
    };
    let text = |node: &Node<'_>| show(&node.text().into());
    let condition = |condition: &Node<'_>| {
        let text = |field: &str| show(&condition.get(field).text().into());
        format!("{{\"Type\":{},\"Status\":{}}}", text("type"), text("status"))
    };
    let rules = policy.get("rules");
    let shown: Vec<String> = rules
        .items()
        .iter()
        .map(|rule| {
            let codes = rule.get("onExitCodes");
            let codes = if codes.present() {
                format!(
                    "{{\"ContainerName\":{},\"Operator\":{},\"Values\":{}}}",
                    show(codes.get("containerName").value()),
                    text(&codes.get("operator")),
                    show(codes.get("values").value())
                )
            } else {
                "null".to_owned()
            };
            format!(
                "{{\"Action\":{},\"OnExitCodes\":{codes},\"OnPodConditions\":{}}}",
                text(&rule.get("action")),
                list(&rule.get("onPodConditions"), condition)
            )
        })
        .collect();
    if rules.present() {
        format!("{{\"Rules\":[{}]}}", shown.join(","))
    } else {
        "{\"Rules\":null}".to_owned()
    }
}
