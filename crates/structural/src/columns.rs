//! The columns that a definition asks for (apiextensions `pkg/registry/customresource/tableconvertor`).
use std::time::Duration;

use serde_json::{Value, json};

/// One column: what a Table says of it, and where its cells come from.
#[derive(Debug, Clone)]
pub struct Column {
    /// `metav1.TableColumnDefinition`.
    pub definition: Value,
    path: String,
    kind: String,
}

/// The columns of a version of a definition after the name: its own, or the age.
pub fn columns(version: &Value) -> Vec<Column> {
    let own = version["additionalPrinterColumns"]
        .as_array()
        .filter(|c| !c.is_empty());
    let age = [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})];
    let all = own.map_or(&age[..], Vec::as_slice);
    all.iter()
        .map(|column| {
            let part = |field: &str| column[field].as_str().unwrap_or_default().to_owned();
            let mut description = part("description");
            if description.is_empty() {
                description = format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    part("jsonPath")
                );
            }
            Column {
                definition: json!({"name": part("name"), "type": part("type"), "format": part("format"),
                    "description": description, "priority": column["priority"].as_i64().unwrap_or(0)}),
                path: part("jsonPath"),
                kind: part("type"),
            }
        })
        .collect()
}

/// The cells of an object after its name. `now` is seconds since the epoch, for dates.
pub fn cells(columns: &[Column], object: &Value, now: i64) -> Vec<Value> {
    columns
        .iter()
        .map(|column| cell(column, value_at(object, &column.path), now))
        .collect()
}

fn cell(column: &Column, value: Option<&Value>, now: i64) -> Value {
    let Some(value) = value else { return Value::Null };
    match (column.kind.as_str(), value) {
        ("integer", Value::Number(n)) => n.as_i64().or(n.as_f64().map(|f| f as i64)).into(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => {
            value.clone()
        }
        ("date", Value::String(time)) => match kube_types::parse_seconds(time) {
            Ok(then) => {
                let past = u64::try_from(now - then.as_second()).unwrap_or(0);
                kube_types::human_duration(Duration::from_secs(past)).into()
            }
            Err(_) => "<invalid>".into(),
        },
        ("string", Value::Null) => Value::Null,
        ("string", other) => other.to_string().into(),
        _ => Value::Null,
    }
}

/// The first value that a JSON path finds: fields, indices, `[*]`, and filters of one comparison such as
/// `[?(@.type=="Ready")]`, which is what a definition may use.
pub fn value_at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        let step;
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            (step, rest) = (&inner[..end], &inner[end + 1..]);
            found = found.into_iter().flat_map(|value| bracket(value, step)).collect();
        } else {
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            let end = field_end(inner);
            (step, rest) = (&inner[..end], &inner[end..]);
            if !step.is_empty() {
                let key = step.replace('\\', "");
                found = found
                    .into_iter()
                    .flat_map(|value| {
                        if key == "*" {
                            all(value)
                        } else {
                            value.get(&key).into_iter().collect()
                        }
                    })
                    .collect();
            }
        }
    }
    found.first().copied()
}

/// Where a field's name ends: at a dot or bracket that is not escaped.
fn field_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    (0..bytes.len())
        .find(|at| matches!(bytes[*at], b'.' | b'[') && (*at == 0 || bytes[at - 1] != b'\\'))
        .unwrap_or(text.len())
}

fn all(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn bracket<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    if step == "*" {
        return all(value);
    }
    if let Ok(at) = step.parse::<i64>() {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let at = if at < 0 { items.len() as i64 + at } else { at };
        return usize::try_from(at)
            .ok()
            .and_then(|at| items.get(at))
            .into_iter()
            .collect();
    }
    if let Some(filter) = step.strip_prefix("?(").and_then(|s| s.strip_suffix(')')) {
        return all(value)
            .into_iter()
            .filter(|item| matches(item, filter))
            .collect();
    }
    let key = step.trim_matches(['\'', '"']);
    value.get(key).into_iter().collect()
}

/// `@.field=="text"`, `!=`, or whether `@.field` is there.
fn matches(item: &Value, filter: &str) -> bool {
    let filter = filter.trim();
    let parts = filter
        .split_once("==")
        .map(|(path, wanted)| (path, wanted, true))
        .or_else(|| {
            filter
                .split_once("!=")
                .map(|(path, wanted)| (path, wanted, false))
        });
    let Some((path, wanted, equal)) = parts else {
        return value_at(item, filter.trim_start_matches('@')).is_some();
    };
    let found = value_at(item, path.trim().trim_start_matches('@'));
    let wanted = wanted.trim().trim_matches(['\'', '"']);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let same = found.is_some_and(|value| text(value) == wanted);
    same == equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let object = json!({"spec": {"n": 3, "list": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]},
            "metadata": {"annotations": {"a.b/c": "d"}}});
        let at = |path: &str| value_at(&object, path).cloned();
        assert_eq!(at(".spec.n"), Some(json!(3)));
        assert_eq!(at(".spec.list[?(@.type==\"Ready\")].status"), Some(json!("True")));
        assert_eq!(at(".spec.list[0].type"), Some(json!("A")));
        assert_eq!(at(".spec.list[*].status"), Some(json!("x")));
        assert_eq!(at(".metadata.annotations['a.b/c']"), Some(json!("d")));
        assert_eq!(at(".metadata.annotations.a\\.b/c"), Some(json!("d")));
        assert_eq!(at(".spec.none"), None);
    }

    #[test]
    fn cells_by_type() {
        let version = json!({"additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"},
            {"name": "L", "type": "string", "jsonPath": ".spec.l"}, {"name": "Gone", "type": "string", "jsonPath": ".spec.x"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]});
        let object =
            json!({"spec": {"n": 3, "l": [1]}, "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"}});
        assert_eq!(
            cells(&columns(&version), &object, 120),
            [json!(3), json!("[1]"), Value::Null, json!("2m")]
        );
    }
}
