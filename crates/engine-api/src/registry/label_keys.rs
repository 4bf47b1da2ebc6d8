//! `matchLabelKeys` and `mismatchLabelKeys` of a new pod: the values of its own labels become part of its selectors
//! (`pkg/registry/core/pod/strategy.go`, mutatePodAffinity and mutateTopologySpreadConstraints).
use serde_json::{Value, json};

/// Fold the keys of affinity terms and spread constraints into their selectors.
pub fn fold(pod: &mut Value) {
    let labels = pod["metadata"]["labels"].clone();
    for constraint in list(pod, "/spec/topologySpreadConstraints") {
        fold_term(constraint, &labels);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let base = format!("/spec/affinity/{kind}");
        for term in list(
            pod,
            &format!("{base}/requiredDuringSchedulingIgnoredDuringExecution"),
        ) {
            fold_term(term, &labels);
        }
        for weighted in list(
            pod,
            &format!("{base}/preferredDuringSchedulingIgnoredDuringExecution"),
        ) {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                fold_term(term, &labels);
            }
        }
    }
}

fn list<'a>(pod: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    pod.pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn fold_term(term: &mut Value, labels: &Value) {
    let mut folded = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term[field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if let Some(value) = labels.get(key) {
                folded.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    // Without a selector the term selects nothing, and validation refuses the keys.
    let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else {
        return;
    };
    if folded.is_empty() {
        return;
    }
    let expressions = selector
        .entry("matchExpressions")
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(expressions) = expressions {
        expressions.append(&mut folded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_requirements() {
        let own = json!({"matchLabelKeys": ["app", "absent"], "mismatchLabelKeys": ["tenant"],
            "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}});
        let mut pod = json!({"metadata": {"labels": {"app": "web", "tenant": "t"}}, "spec": {
            "topologySpreadConstraints": [{"matchLabelKeys": ["app"], "labelSelector": {}}, {"matchLabelKeys": ["app"]}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": own}]}}}});
        fold(&mut pod);
        let app = json!({"key": "app", "operator": "In", "values": ["web"]});
        let spread = &pod["spec"]["topologySpreadConstraints"];
        assert_eq!(spread[0]["labelSelector"], json!({"matchExpressions": [app]}));
        assert_eq!(spread[1], json!({"matchLabelKeys": ["app"]}));
        let anti = &pod["spec"]["affinity"]["podAntiAffinity"];
        let all = json!([{"key": "a", "operator": "Exists"}, app, {"key": "tenant", "operator": "NotIn", "values": ["t"]}]);
        for term in [
            &anti["requiredDuringSchedulingIgnoredDuringExecution"][0],
            &anti["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"],
        ] {
            assert_eq!(term["labelSelector"]["matchExpressions"], all);
        }
    }
}
