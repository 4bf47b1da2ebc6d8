//! Keys whose values a pod's own labels give: `matchLabelKeys`, `mismatchLabelKeys` (validation.go,
//! ValidateMatchLabelKeysAndMismatchLabelKeys).
use std::collections::HashSet;

use crate::{
    field::{Errors, Node},
    meta,
};

/// The keys of an affinity term or a spread constraint. When a pod is made they have become part of its selector.
pub(super) fn label_keys(e: &mut Errors, term: &Node<'_>) {
    let (matching, other) = (term.get("matchLabelKeys"), term.get("mismatchLabelKeys"));
    let selector = term.get("labelSelector");
    for keys in [&matching, &other] {
        if keys.is_empty() {
            continue;
        }
        if !selector.present() {
            e.forbidden(keys, "must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            meta::label_name(e, &key);
        }
    }
    let mut known: HashSet<&str> = selector
        .get("matchLabels")
        .entries()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    for requirement in selector.get("matchExpressions").items() {
        let key = requirement.get("key").text();
        let at = matching.items().iter().rposition(|own| own.text() == key);
        if let Some(at) = at.filter(|_| known.contains(key)) {
            // Upstream leaves the name of the list out of the path.
            e.invalid_text(
                &term.renamed(format!("{}[{at}]", term.path())),
                key,
                "exists in both matchLabelKeys and labelSelector",
            );
        }
        known.insert(key);
    }
    for key in matching.items() {
        if other.items().iter().any(|other| other.text() == key.text()) {
            e.invalid(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}
