//! What Go prints: values with `%v`, JSON with sorted keys and escaped HTML, and the decoder's error messages.
use std::fmt::Write;

use serde_json::{Map, Value, error::Category};

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
    serde_json::from_slice(bytes).map_err(|error| PatchError::Malformed(syntax_error(bytes, &error)))
}

/// Read a JSON object.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, PatchError> {
    let found = match parse(bytes)? {
        Value::Object(map) => return Ok(map),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Null => return Ok(Map::new()),
    };
    let message = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
    Err(PatchError::Malformed(message))
}

fn syntax_error(bytes: &[u8], error: &serde_json::Error) -> String {
    if error.classify() == Category::Eof {
        return "unexpected end of JSON input".to_owned();
    }
    let before: usize = bytes
        .split_inclusive(|b| *b == b'\n')
        .take(error.line() - 1)
        .map(<[u8]>::len)
        .sum();
    let at = (before + error.column()).saturating_sub(1);
    let character = bytes.get(at).map_or('\u{fffd}', |b| char::from(*b));
    let text = error.to_string();
    let place = [
        (
            "key must be a string",
            "looking for beginning of object key string",
        ),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("trailing characters", "after top-level value"),
        ("trailing comma", "looking for beginning of value"),
        ("control character", "in string literal"),
        ("invalid escape", "in string escape code"),
        ("invalid number", "in numeric literal"),
    ];
    let place = place.iter().find(|(ours, _)| text.starts_with(ours));
    let place = place.map_or("looking for beginning of value", |(_, theirs)| theirs);
    format!("invalid character {} {place}", quote(character))
}

/// A character as `strconv.QuoteRune` prints the common ones.
fn quote(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\n' => r"'\n'".to_owned(),
        '\t' => r"'\t'".to_owned(),
        '\r' => r"'\r'".to_owned(),
        c if c.is_control() => format!("'\\x{:02x}'", c as u32),
        c => format!("'{c}'"),
    }
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

    #[test]
    fn syntax_errors_are_gos() {
        let message = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(message("{\"data\":"), "unexpected end of JSON input");
        assert_eq!(message(""), "unexpected end of JSON input");
        assert_eq!(
            message("x"),
            "invalid character 'x' looking for beginning of value"
        );
        assert_eq!(
            message("{a:1}"),
            "invalid character 'a' looking for beginning of object key string"
        );
        assert_eq!(message("{\"a\" 1}"), "invalid character '1' after object key");
        assert_eq!(
            message("{\"a\":1 2}"),
            "invalid character '2' after object key:value pair"
        );
        assert_eq!(message("[1 2]"), "invalid character '2' after array element");
        assert_eq!(message("{} x"), "invalid character 'x' after top-level value");
        let array = parse_object(b"[]").unwrap_err().to_string();
        assert_eq!(
            array,
            "json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }
}
