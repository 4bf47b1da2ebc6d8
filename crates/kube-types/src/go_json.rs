//! JSON whose errors are worded as Go's `encoding/json` words them.
use serde_json::{Map, Value, error::Category};

/// Read JSON.
pub fn parse_json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| syntax_error(bytes, &error))
}

/// How many lists and objects are inside of each other.
pub fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or_default()
}

/// Read a JSON object; `null` is an empty one.
pub fn parse_json_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let found = match parse_json(bytes)? {
        Value::Object(map) => return Ok(map),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Null => return Ok(Map::new()),
    };
    Err(format!(
        "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
    ))
}

fn syntax_error(bytes: &[u8], error: &serde_json::Error) -> String {
    if error.classify() == Category::Eof {
        return "unexpected end of JSON input".to_owned();
    }
    let before: usize = bytes
        .split_inclusive(|b| *b == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let at = (before + error.column()).saturating_sub(1);
    let character = bytes.get(at).map_or('\u{fffd}', |b| char::from(*b));
    let text = error.to_string();
    if text.starts_with("expected ident")
        && let Some((literal, expected)) = literal(&bytes[..at])
    {
        return format!(
            "invalid character {} in literal {literal} (expecting {})",
            quote(character),
            quote(expected)
        );
    }
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

/// The literal that a text ends in the middle of, and what comes next in it.
fn literal(before: &[u8]) -> Option<(&'static str, char)> {
    let letters = before.iter().rev().take_while(|b| b.is_ascii_lowercase()).count();
    let begun = std::str::from_utf8(&before[before.len() - letters..]).ok()?;
    let literal = ["null", "true", "false"]
        .into_iter()
        .find(|l| !begun.is_empty() && l.starts_with(begun))?;
    Some((literal, literal[letters..].chars().next()?))
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
    use super::*;

    #[test]
    fn depths() {
        let of = |text: &str| depth(&parse_json(text.as_bytes()).unwrap());
        assert_eq!([of("1"), of("{}"), of("[[], {\"a\": [1]}]")], [0, 1, 3]);
    }

    #[test]
    fn syntax_errors_are_gos() {
        let message = |text: &str| parse_json(text.as_bytes()).unwrap_err();
        assert_eq!(message("{\"data\":"), "unexpected end of JSON input");
        assert_eq!(message(""), "unexpected end of JSON input");
        assert_eq!(
            message("x"),
            "invalid character 'x' looking for beginning of value"
        );
        assert_eq!(
            message("nope"),
            "invalid character 'o' in literal null (expecting 'u')"
        );
        assert_eq!(
            message("{\"a\": fals}"),
            "invalid character '}' in literal false (expecting 'e')"
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
        let array = parse_json_object(b"[]").unwrap_err();
        assert_eq!(
            array,
            "json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }
}
