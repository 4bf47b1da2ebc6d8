//! What Go prints: values with `%v`, JSON with sorted keys and escaped HTML, and what its decoder says.
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::error::PatchError;

/// A value as `fmt.Sprintf("%v")` prints it.
pub(crate) fn print(value: &Value) -> String {
    let mut out = String::new();
    print_into(&mut out, value);
    out
}

/// A map as `fmt.Sprintf("%v")` prints it.
pub(crate) fn print_map(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    print_map_into(&mut out, map);
    out
}

/// A value as `fmt.Sprintf("%#v")` prints it.
pub(crate) fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let entries = sorted(map).into_iter();
            let entries: Vec<String> = entries.map(|(k, v)| format!("{k:?}:{}", syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        Value::String(text) => format!("{text:?}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn print_into(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                print_into(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => print_map_into(out, map),
        // Writing to a string cannot fail.
        Value::Bool(_) | Value::Number(_) => drop(write!(out, "{value}")),
    }
}

fn print_map_into(out: &mut String, map: &Map<String, Value>) {
    out.push_str("map[");
    for (n, (key, value)) in sorted(map).into_iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(key);
        out.push(':');
        print_into(out, value);
    }
    out.push(']');
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

/// A value as `encoding/json` writes it: keys sorted; `<`, `>`, `&` and the two line separators escaped.
pub(crate) fn json(value: &Value) -> String {
    let mut out = String::new();
    json_into(&mut out, value);
    out
}

pub(crate) fn json_into(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            out.push('{');
            for (n, (key, value)) in sorted(map).into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                string_into(out, key);
                out.push(':');
                json_into(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                json_into(out, item);
            }
            out.push(']');
        }
        Value::String(text) => string_into(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => drop(write!(out, "{value}")),
    }
}

/// A JSON string.
pub(crate) fn string_into(out: &mut String, text: &str) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
}

/// The kind of a value as `reflect` names it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// The type of a value as `reflect` names it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match kind(value) {
        "slice" => "[]interface {}",
        "map" => "map[string]interface {}",
        "nil" => "%!s(<nil>)",
        other => other,
    }
}

/// Read JSON; the error is worded as `encoding/json` words it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, PatchError> {
    kube_types::parse_json(bytes).map_err(PatchError::Malformed)
}

/// Read a JSON object.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, PatchError> {
    kube_types::parse_json_object(bytes).map_err(PatchError::Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn printed_as_go_prints() {
        let value = json!({"b": [1, "x", null, true, 1.5], "a": {"y": 7}});
        assert_eq!(print(&value), "map[a:map[y:7] b:[1 x <nil> true 1.5]]");
        assert_eq!(
            json(&json!({"b": "<&>", "a": 1})),
            r#"{"a":1,"b":"\u003c\u0026\u003e"}"#
        );
    }
}
