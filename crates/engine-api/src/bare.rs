//! Objects in a list: upstream's items say neither their kind nor its version, which the list does (Go's typed items have none;
//! custom resources, which have no Go type, keep theirs).
use serde_json::Value;

/// Add the JSON text of an object, as the store keeps it, without its kind and version.
pub fn put(out: &mut Vec<u8>, json: &[u8]) {
    out.push(b'{');
    let mut rest = json.get(1..).unwrap_or_default();
    let mut first = true;
    while let Some(end) = field_end(rest) {
        let field = &rest[..end];
        if !field.starts_with(b"\"kind\":") && !field.starts_with(b"\"apiVersion\":") {
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(field);
            first = false;
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    out.push(b'}');
}

/// The same of an object that is no text yet.
pub fn strip(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
}

/// Where the first field of compact JSON ends: at a comma or bracket that is in no string, list or object.
fn field_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => return Some(at).filter(|end| *end > 0),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(json: &str) -> String {
        let mut out = Vec::new();
        put(&mut out, json.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_objects_own_kind_goes() {
        assert_eq!(
            bare(
                r#"{"apiVersion":"v1","data":{"kind":"x","a":"\",\"kind\":"},"kind":"ConfigMap","metadata":{"name":"n"}}"#
            ),
            r#"{"data":{"kind":"x","a":"\",\"kind\":"},"metadata":{"name":"n"}}"#
        );
        assert_eq!(bare(r#"{"apiVersion":"v1","kind":"K"}"#), "{}");
        assert_eq!(
            bare(r#"{"list":[{"kind":"x"},[1,2]],"kind":"K"}"#),
            r#"{"list":[{"kind":"x"},[1,2]]}"#
        );
        assert_eq!(bare("{}"), "{}");
    }
}
