//! A pod that waits at a gate may still be told where to go, more narrowly than before (validation.go,
//! validateNodeSelectorMutation and validateNodeAffinityMutation).
use serde_json::{Map, Value};

use crate::field::{Errors, Node, same, show_json};

const TERMS: [&str; 3] = [
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
];

/// Both are specs.
pub(super) fn check(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let selector = new.get("nodeSelector");
    let kept = |(key, before): &(&str, Node<'_>)| selector.key(key).value() == before.value();
    if !old.get("nodeSelector").entries().iter().all(kept) {
        e.invalid(
            &selector,
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        );
    }
    let (before, now) = (
        old.get("affinity").at(&TERMS).items(),
        new.get("affinity").at(&TERMS),
    );
    if before.is_empty() {
        return;
    }
    let terms = now.items();
    if before.len() != terms.len() {
        let shown: Vec<String> = terms.iter().map(shown_term).collect();
        let shown = if now.present() {
            format!("[{}]", shown.join(","))
        } else {
            "null".to_owned()
        };
        return e.invalid_raw(
            &now,
            &shown,
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        );
    }
    for (before, now) in before.iter().zip(&terms) {
        if !only_adds(before, now) {
            e.invalid_raw(
                now,
                &shown_term(now),
                "only additions are allowed (no mutations or deletions)",
            );
        }
    }
}

const LISTS: [&str; 2] = ["matchExpressions", "matchFields"];

fn only_adds(before: &Node<'_>, now: &Node<'_>) -> bool {
    if LISTS.iter().all(|list| before.get(list).is_empty()) {
        // Such a term selects nothing; with anything in it, it might.
        return LISTS.iter().all(|list| now.get(list).is_empty());
    }
    LISTS.iter().all(|list| {
        let (before, now) = (before.get(list).items(), now.get(list).items());
        now.len() >= before.len() && before.iter().zip(&now).all(|(a, b)| same(a.value(), b.value()))
    })
}

/// The JSON of the internal type, which has no tags.
fn shown_term(term: &Node<'_>) -> String {
    let list = |name: &str| {
        let requirements: Vec<String> = term
            .get(name)
            .items()
            .iter()
            .map(|r| {
                format!(
                    "{{\"Key\":{},\"Operator\":{},\"Values\":{}}}",
                    show_json(&r.get("key").text().into()),
                    show_json(&r.get("operator").text().into()),
                    show_json(r.get("values").value())
                )
            })
            .collect();
        if term.get(name).present() {
            format!("[{}]", requirements.join(","))
        } else {
            "null".to_owned()
        }
    };
    format!(
        "{{\"MatchExpressions\":{},\"MatchFields\":{}}}",
        list("matchExpressions"),
        list("matchFields")
    )
}

/// Give the new spec the node affinity of the old one.
pub(super) fn restore_affinity(new: &mut Map<String, Value>, old: &Value) {
    let own = |affinity: Option<&Value>| affinity.and_then(|a| a.get("nodeAffinity")).cloned();
    let (before, now) = (own(old.get("affinity")), own(new.get("affinity")));
    if same(
        before.as_ref().unwrap_or(&Value::Null),
        now.as_ref().unwrap_or(&Value::Null),
    ) {
        return;
    }
    let Some(affinity) = new.get_mut("affinity").and_then(Value::as_object_mut) else {
        if let Some(before) = before {
            let affinity = Map::from_iter([("nodeAffinity".to_owned(), before)]);
            new.insert("affinity".to_owned(), affinity.into());
        }
        return;
    };
    affinity.remove("nodeAffinity");
    if old.get("affinity").is_none() && affinity.is_empty() {
        new.remove("affinity");
    } else if let Some(before) = before {
        affinity.insert("nodeAffinity".to_owned(), before);
    }
}
