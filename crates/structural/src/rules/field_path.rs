//! `fieldPath` of a rule (`validation.go` ValidFieldPath): a JSON path of fields and keys that the schema knows.
use serde_json::Value;

/// The path as errors show it, below the place of the rule.
pub fn normalise(path: &str, schema: &Value) -> Result<String, String> {
    let mut rest = path;
    let mut at = schema;
    let mut shown = String::new();
    while let Some(first) = rest.chars().next() {
        let name = match first {
            '.' => {
                let end = rest[1..].find(['.', '[', ']']).map_or(rest.len(), |end| end + 1);
                let name = rest[1..end].to_owned();
                if name.is_empty() {
                    return Err("unexpected end of JSON path".to_owned());
                }
                rest = &rest[end..];
                name
            }
            '[' => {
                let (name, after) = quoted(&rest[1..])?;
                rest = after
                    .strip_prefix(']')
                    .ok_or_else(|| format!("expected ] but got {after}"))?;
                name
            }
            _ => return Err(format!("expected [ or . but got: {rest}")),
        };
        let unknown = || "does not refer to a valid field".to_owned();
        if at["properties"].is_object() {
            at = at["properties"].get(&name).ok_or_else(unknown)?;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(&name);
        } else if at["additionalProperties"].is_object() {
            at = &at["additionalProperties"];
            shown.push_str(&format!("[{name}]"));
        } else {
            return Err(unknown());
        }
    }
    Ok(shown)
}

/// A text in single quotes, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let body = text
        .strip_prefix('\'')
        .ok_or_else(|| format!("expected single quoted string but got {text}"))?;
    let mut name = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((name, &body[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => name.push('\n'),
                Some('t') => name.push('\t'),
                Some('r') => name.push('\r'),
                Some(c @ ('\'' | '\\')) => name.push(c),
                other => return Err(format!("invalid escape char \\{}", other.unwrap_or_default())),
            },
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let schema =
            json!({"properties": {"foo": {"properties": {"b.c": {}}}, "map": {"additionalProperties": {}}}});
        for (path, shown) in [
            (".foo", Some("foo")),
            (".foo['b.c']", Some("foo.b.c")),
            ("['foo']['b.c']", Some("foo.b.c")),
            (".map['a']", Some("map[a]")),
            (".map.a", Some("map[a]")),
            (".bar", None),
            ("foo", None),
            (".foo[0]", None),
            (".", None),
            (".foo['b", None),
        ] {
            assert_eq!(normalise(path, &schema).ok().as_deref(), shown, "{path}");
        }
    }
}
