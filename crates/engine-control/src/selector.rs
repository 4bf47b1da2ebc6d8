//! Label selectors of typed objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels or node labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Whether the labels satisfy the selector. An empty selector matches everything.
pub(crate) fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let get = |key: &str| labels.and_then(|l| l.get(key));
    let by_label = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| get(key) == Some(value));
    by_label
        && selector.match_expressions.iter().flatten().all(|e| {
            let values = e.values.as_deref().unwrap_or_default();
            match e.operator.as_str() {
                "In" => get(&e.key).is_some_and(|v| values.contains(v)),
                "NotIn" => get(&e.key).is_none_or(|v| !values.contains(v)),
                "Exists" => get(&e.key).is_some(),
                "DoesNotExist" => get(&e.key).is_none(),
                _ => false,
            }
        })
}

/// An absent selector matches nothing, as in pod affinity terms and budgets.
pub(crate) fn matches_opt(selector: Option<&LabelSelector>, labels: Option<&Labels>) -> bool {
    selector.is_some_and(|s| matches(s, labels))
}

/// A selector without any requirement: workload controllers refuse to act on it.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// The map form of a selector, as Services have it.
pub(crate) fn matches_map(selector: &Labels, labels: Option<&Labels>) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

/// As Go prints one in messages (metav1.LabelSelector's String).
pub(crate) fn in_words(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "nil".into();
    };
    let mut labels = String::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        labels += &format!("{key}: {value},");
    }
    let mut expressions = String::new();
    for e in selector.match_expressions.iter().flatten() {
        let values = e.values.as_deref().unwrap_or_default().join(" ");
        expressions += &format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
            e.key, e.operator
        );
    }
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn words_are_gos() {
        let selector = LabelSelector {
            match_labels: Some(labels(&[("a", "1"), ("b", "2")])),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "k".into(),
                operator: "In".into(),
                values: Some(vec!["x".into(), "y".into()]),
            }]),
        };
        assert_eq!(
            in_words(Some(&selector)),
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},\
             MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
        );
    }

    #[test]
    fn expressions() {
        let requirement = |key: &str, operator: &str, values: &[&str]| LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.into(),
                operator: operator.into(),
                values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
            }]),
            match_labels: None,
        };
        let l = labels(&[("a", "1")]);
        assert!(matches(&requirement("a", "In", &["1", "2"]), Some(&l)));
        assert!(!matches(&requirement("a", "NotIn", &["1"]), Some(&l)));
        assert!(matches(&requirement("b", "NotIn", &["1"]), Some(&l)));
        assert!(matches(&requirement("a", "Exists", &[]), Some(&l)));
        assert!(matches(&requirement("b", "DoesNotExist", &[]), None));
        assert!(!matches(&requirement("a", "Bogus", &[]), Some(&l)));
        assert!(matches(&LabelSelector::default(), None));
        assert!(!matches_opt(None, Some(&l)));
    }
}
