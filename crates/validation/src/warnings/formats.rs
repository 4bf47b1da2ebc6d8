//! Formats in the schemas of custom resources of which nobody takes account (apiextensions `pkg/apiserver/validation/formats.go`).
use std::collections::BTreeSet;

use serde_json::Value;

/// Of texts, without their dashes.
const KNOWN: [&str; 27] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "",
];

/// Those that are new, in the order of their names (upstream's is none).
pub(super) fn warnings(old: Option<&Value>, new: &Value) -> Vec<String> {
    let of = |definition: &'_ Value| {
        let mut unknown = BTreeSet::new();
        for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
            find(&version["schema"]["openAPIV3Schema"], &mut unknown);
        }
        unknown.into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let before = old.map(of).unwrap_or_default();
    of(new)
        .difference(&before)
        .map(|format| format!("unrecognized format {format:?}"))
        .collect()
}

fn find<'a>(schema: &'a Value, unknown: &mut BTreeSet<&'a str>) {
    if let Some(format) = schema["format"].as_str() {
        let known = match schema["type"].as_str() {
            Some("integer") => matches!(format, "" | "int32" | "int64"),
            Some("number") => matches!(format, "" | "float" | "double"),
            Some("array" | "boolean" | "object") => format.is_empty(),
            _ => KNOWN.contains(&format.replace('-', "").as_str()),
        };
        if !known {
            unknown.insert(format);
        }
    }
    for field in ["items", "additionalProperties", "not"] {
        if schema[field].is_object() {
            find(&schema[field], unknown);
        }
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        for schema in schema[field].as_array().into_iter().flatten() {
            find(schema, unknown);
        }
    }
    for (_, schema) in schema["properties"].as_object().into_iter().flatten() {
        find(schema, unknown);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn new_formats_that_nobody_knows_are_told_of() {
        let of = |schema| json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        let old = of(json!({"properties": {
            "a": {"type": "string", "format": "date-time"},
            "b": {"type": "integer", "format": "int32"},
            "c": {"type": "string", "format": "int32"},
            "d": {"items": {"format": "ulid"}},
            "e": {"type": "array", "format": "date"},
        }}));
        let told = super::warnings(None, &old);
        let formats = ["date", "int32", "ulid"];
        assert_eq!(told, formats.map(|f| format!("unrecognized format {f:?}")));
        let new = of(json!({"properties": {"d": {"format": "ulid"}, "f": {"not": {"format": "new"}}}}));
        assert_eq!(super::warnings(Some(&old), &new), ["unrecognized format \"new\""]);
    }
}
