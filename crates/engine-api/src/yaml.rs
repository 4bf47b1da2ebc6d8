//! YAML as upstream writes it (sigs.k8s.io/yaml on go-yaml v2): keys in order, lists as deep as the keys that hold them, text of several
//! lines as a block, long lines folded.
use std::fmt::Write;

use serde_json::Value;

/// The column behind which the next space ends a line.
const WIDTH: usize = 80;

/// A document.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

/// An object or list that is not empty, from the beginning of a line on; its first line is indented by who calls.
fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            for (n, (key, value)) in fields.into_iter().enumerate() {
                if n > 0 {
                    indent(out, depth);
                }
                scalar(out, key, None);
                out.push(':');
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        indent(out, depth + 1);
                        block(out, value, depth + 1);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        indent(out, depth);
                        block(out, value, depth);
                    }
                    value => {
                        out.push(' ');
                        inline(out, value, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    indent(out, depth);
                }
                out.push_str("- ");
                match item {
                    Value::Object(map) if !map.is_empty() => block(out, item, depth + 1),
                    Value::Array(inner) if !inner.is_empty() => block(out, item, depth + 1),
                    item => {
                        inline(out, item, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        _ => {}
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// What stands behind its key, without the end of the line.
fn inline(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) if is_block(text) => {
            out.push('|');
            // Text that begins with a space would be taken for more indentation.
            if text.starts_with([' ', '\n']) {
                out.push('2');
            }
            match (text.ends_with('\n'), text.ends_with("\n\n") || text == "\n") {
                (false, _) => out.push('-'),
                (true, true) => out.push('+'),
                (true, false) => {}
            }
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    indent(out, depth);
                    out.push_str(line);
                }
            }
        }
        Value::String(text) => scalar(out, text, Some(depth)),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether text is written over several lines.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.chars().all(|c| c == '\n' || printable(c))
        && !text.ends_with(' ')
        && !text.contains(" \n")
}

fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{fffd}') && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// A string as it is, or quoted where it would be read as something else. With a depth, it may go on in lines of that depth.
fn scalar(out: &mut String, text: &str, fold: Option<usize>) {
    match style(text) {
        None => folded(out, text, fold, false, String::push),
        Some('\'') => {
            out.push('\'');
            folded(out, text, fold, true, |out, c| match c {
                '\'' => out.push_str("''"),
                c => out.push(c),
            });
            out.push('\'');
        }
        Some(_) => {
            out.push('"');
            folded(out, text, fold, true, escaped);
            out.push('"');
        }
    }
}

/// How text is quoted.
fn style(text: &str) -> Option<char> {
    let odd = !text.chars().all(printable);
    if odd || text.is_empty() || resolves(text) {
        return Some('"');
    }
    let first = text.chars().next().unwrap_or_default();
    let starts = "&*!|>'\"%@`#,[]{}".contains(first)
        || matches!(first, '-' | '?' | ':') && text.chars().nth(1).is_none_or(|c| c == ' ')
        || first == '=';
    let within = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let edges =
        text.starts_with(' ') || text.ends_with(' ') || text.starts_with("---") || text.starts_with("...");
    (starts || within || edges).then_some('\'')
}

/// Text with a new line in place of the single spaces that are far to the right; within quotes not at the ends.
fn folded(
    out: &mut String,
    text: &str,
    fold: Option<usize>,
    quoted: bool,
    write: impl Fn(&mut String, char),
) {
    let mut chars = text.chars().peekable();
    let (mut first, mut spaces) = (true, false);
    let start = out.rfind('\n').map_or(0, |end| end + 1);
    let mut column = out[start..].chars().count();
    while let Some(c) = chars.next() {
        let end = if quoted {
            first || chars.peek().is_none()
        } else {
            false
        };
        let depth =
            fold.filter(|_| c == ' ' && !spaces && !end && column > WIDTH && chars.peek() != Some(&' '));
        if let Some(depth) = depth {
            out.push('\n');
            indent(out, depth);
            column = 2 * depth;
        } else {
            let before = out.len();
            write(out, c);
            column += out[before..].chars().count();
        }
        (first, spaces) = (false, c == ' ');
    }
}

fn escaped(out: &mut String, c: char) {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => c,
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if printable(c) => return out.push(c),
        c => {
            let code = u32::from(c);
            let _ = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return;
        }
    };
    out.extend(['\\', short]);
}

/// Whether bare text is a number, a boolean, null, a time, or what older versions of YAML took for one.
fn resolves(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", "<<", "nan",
    ];
    let lower = text.to_ascii_lowercase();
    let plain = lower.trim_start_matches(['-', '+']);
    let number = || {
        let digits = plain.replace('_', "");
        digits.parse::<f64>().is_ok() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            || ["0x", "0o", "0b"].iter().any(|prefix| digits.starts_with(prefix))
            || digits.contains(':') && digits.split(':').all(|part| part.parse::<f64>().is_ok())
    };
    let time = || {
        let date = text
            .get(..10)
            .map(|date| date.split('-').map(str::len).collect::<Vec<_>>());
        date.is_some_and(|parts| parts == [4, 2, 2]) && text.starts_with(|c: char| c.is_ascii_digit())
    };
    WORDS.contains(&lower.as_str()) || matches!(plain, ".inf" | ".nan") || number() || time()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_upstream_writes_it() {
        let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "1", "b": "x: y", "c": "one\ntwo\n", "d": "", "e": "yes",
            "f": "plain text", "g": "one\ntwo", "h": "2026-11-27T10:00:00Z", "i": "-x", "j": "- x"}, "list": [{"n": 1, "m": [true]}, "s", {}], "none": []});
        assert_eq!(
            text(&map),
            r#"apiVersion: v1
data:
  a: "1"
  b: 'x: y'
  c: |
    one
    two
  d: ""
  e: "yes"
  f: plain text
  g: |-
    one
    two
  h: "2026-11-27T10:00:00Z"
  i: -x
  j: '- x'
kind: ConfigMap
list:
- m:
  - true
  "n": 1
- s
- {}
none: []
"#
        );
    }

    /// Seen on upstream 1.36.2.
    #[test]
    fn long_lines_are_folded() {
        let words = |word: &str, n: usize| word.repeat(n);
        let map = json!({"a": words("word ", 30).trim(), "b": format!("x: {}", words("word ", 30).trim()),
            "c": format!("\t{}", words("word ", 30).trim()), "d": "a\tb", "e": "\nfoo", "f": "\n", "g": "emoji \u{1f600}",
            "j": format!("{} y z", words("x", 100)), "k": words("a  b", 40), "l": "  lead\nx", "m": "a\n\n",
            "o": format!("it's: {}", words("don't ", 20)), "p": "\u{1}\u{1b}\r\u{7}", "t": format!("{}  two", words("x", 79)),
            "u": words("é ", 60), "x": "\n\nfoo\n", "z": " \n"});
        let expected = r#"data:
  a: word word word word word word word word word word word word word word word word
    word word word word word word word word word word word word word word
  b: 'x: word word word word word word word word word word word word word word word
    word word word word word word word word word word word word word word word'
  c: "\tword word word word word word word word word word word word word word word
    word word word word word word word word word word word word word word word"
  d: "a\tb"
  e: |2-

    foo
  f: |2+

  g: "emoji \U0001F600"
  j: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    y z
  k: a  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  ba  b
  l: |2-
      lead
    x
  m: |+
    a

  o: 'it''s: don''t don''t don''t don''t don''t don''t don''t don''t don''t don''t
    don''t don''t don''t don''t don''t don''t don''t don''t don''t don''t '
  p: "\x01\e\r\a"
  t: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  two
  u: 'é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é
    é é é é é é é é é é é é é é é é é é é é é é '
  x: |2


    foo
  z: " \n"
"#;
        assert_eq!(text(&json!({ "data": map })), expected);
    }

    /// Whatever the style, a reader gets back what was written.
    #[test]
    fn it_is_read_back() {
        let odd = [
            " x",
            "x ",
            "a\tb",
            "\n",
            "a\n\n",
            "  a\nb",
            "a \nb",
            "{x}",
            "[",
            "#",
            "a #b",
            "a:",
            ":a",
            "?",
            "%",
            "@",
            "`",
            "!t",
            "&a",
            "*a",
            "0x1f",
            "1e3",
            "1_000",
            "12:30",
            ".5",
            "null",
            "~",
            "a'b",
            "a\"b",
            "---",
            "\u{1}",
            "é",
            "=",
            "|",
            ">",
            "-",
            "<<",
            "0o7",
            "+1",
            "a\r\nb",
            "\u{1f600}",
            "\nfoo",
            "\u{7f}\u{1b}",
            "\u{2028}\u{85}\u{a0}",
        ];
        for odd in odd {
            let document = json!({"k": odd, "l": [odd]});
            let read: Value = serde_saphyr::from_str(&text(&document)).unwrap();
            assert_eq!(read, document, "{}", text(&document));
        }
    }
}
