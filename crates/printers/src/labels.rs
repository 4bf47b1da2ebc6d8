//! Label selectors as text, as `metav1.FormatLabelSelector` writes them.
use serde_json::Value;

use crate::cell::{NONE, list};

/// A LabelSelector object as text: `a=b,c in (d,e),!f`, or `<none>`.
pub(crate) fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|s| !s.is_null()) else {
        return NONE.to_owned();
    };
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<(String, String)> = equal
        .map(|(k, v)| (k.clone(), format!("{k}={}", v.as_str().unwrap_or_default())))
        .collect();
    for requirement in list(selector, "/matchExpressions") {
        let key = requirement["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> = list(requirement, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match requirement["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            other => format!("{key} {other} ({values})"),
        };
        parts.push((key.to_owned(), text));
    }
    // Requirements are kept sorted by key.
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    let text = parts.into_iter().map(|(_, t)| t).collect::<Vec<_>>().join(",");
    if text.is_empty() { NONE.to_owned() } else { text }
}
