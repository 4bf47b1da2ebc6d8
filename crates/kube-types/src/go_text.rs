//! Values as Go's messages show them: `%q` of strings (`strconv/quote.go`), and JSON as `encoding/json` writes it.
use std::fmt::Write;

use serde_json::Value;

/// A string as `%q` prints it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let short = match c {
            '"' | '\\' => Some(c),
            '\u{7}' => Some('a'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{b}' => Some('v'),
            _ => None,
        };
        // Writing to a string cannot fail.
        let _ = match (short, u32::from(c)) {
            (Some(short), _) => write!(out, "\\{short}"),
            (None, 0x20..0x7f) => write!(out, "{c}"),
            (None, code @ (0..0x20 | 0x7f)) => write!(out, "\\x{code:02x}"),
            _ if is_print(c) => write!(out, "{c}"),
            (None, code @ ..0x10000) => write!(out, "\\u{code:04x}"),
            (None, code) => write!(out, "\\U{code:08x}"),
        };
    }
    out.push('"');
    out
}

/// Letters, marks, numbers, punctuation and symbols. Rust escapes marks as well, which may join what is before them.
fn is_print(c: char) -> bool {
    let marks = matches!(u32::from(c),
        0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef);
    marks || c.escape_debug().len() == 1
}

/// JSON as `json.Marshal` writes it: `<`, `>` and `&` escaped for pages.
pub fn json_text(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A value as a field's error shows it (apimachinery `util/validation/field/errors.go` ErrorBody).
pub fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => json_text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_as_go_quotes() {
        for (text, shown) in [
            ("a\"b\\", r#""a\"b\\""#),
            ("a\u{1}\u{7f}\n\t\u{b}", r#""a\x01\x7f\n\t\v""#),
            ("ünï \u{1f600} e\u{301}", "\"ünï \u{1f600} e\u{301}\""),
            (
                "\u{85}\u{a0}\u{200b}\u{e0001}",
                r#""\u0085\u00a0\u200b\U000e0001""#,
            ),
        ] {
            assert_eq!(quote(text), shown);
        }
    }

    #[test]
    fn escaped_for_pages() {
        let value = serde_json::json!({"a": ["<b>", "&"]});
        assert_eq!(json_text(&value), r#"{"a":["\u003cb\u003e","\u0026"]}"#);
        assert_eq!(shown_value(&Value::from("<\u{1}")), r#""<\x01""#);
    }
}
