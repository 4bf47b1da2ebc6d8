//! Whether an object fits its schema (kube-openapi `pkg/validation/validate`, whose words these are, and apiextensions
//! `pkg/apiserver/validation` and `schema/listtype`, which decide what kind of fault each is).
use std::collections::HashSet;

use regex::Regex;
use serde_json::{Map, Value};

use crate::Fault;

/// Everything of `object` that does not fit the schema, in the order of the schema's fields.
pub fn validate(schema: &Value, object: &Value) -> Vec<Fault> {
    validate_update(schema, None, object)
}

/// The same of an object that was something before: what has not changed may stay as it is (apiextensions
/// `pkg/apiserver/validation/ratcheting.go`), except that lists have to be sets and maps.
pub fn validate_update(schema: &Value, old: Option<&Value>, object: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    check(schema, object, old, "", &mut faults);
    lists(schema, object, "", &mut faults);
    faults
}

/// The path as a sentence names it.
fn shown(path: &str) -> &str {
    path.trim_start_matches('.')
}

fn add(faults: &mut Vec<Fault>, reason: &'static str, path: &str, message: String) {
    let field = match shown(path) {
        "" => "<nil>".to_owned(),
        path => path.to_owned(),
    };
    faults.push(Fault {
        reason,
        field,
        message,
    });
}

fn invalid(faults: &mut Vec<Fault>, path: &str, value: &Value, detail: &str) {
    let message = format!("Invalid value: {value}: {} in body {detail}", shown(path));
    add(faults, "FieldValueInvalid", path, message);
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str, faults: &mut Vec<Fault>) {
    if !schema.is_object() || old == Some(value) {
        return;
    }
    if value.is_null() {
        if schema["nullable"] != true && schema["type"].is_string() {
            wrong_type(schema, value, path, faults);
        }
        return;
    }
    if !fits_type(schema, value) {
        wrong_type(schema, value, path, faults);
        return enumerated(schema, value, path, faults);
    }
    enumerated(schema, value, path, faults);
    match value {
        Value::Object(map) => object(schema, map, old, path, faults),
        Value::Array(items) => list(schema, items, old, path, faults),
        Value::String(text) => string(schema, text, path, faults),
        Value::Number(_) => number(schema, value, path, faults),
        Value::Null | Value::Bool(_) => {}
    }
    combined(schema, value, path, faults);
}

fn fits_type(schema: &Value, value: &Value) -> bool {
    let is = type_name(value);
    if schema["x-kubernetes-int-or-string"] == true {
        return matches!(is, "integer" | "string");
    }
    match schema["type"].as_str() {
        None | Some("") => true,
        Some("number") => matches!(is, "integer" | "number"),
        Some(wanted) => wanted == is,
    }
}

fn wrong_type(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    let wanted = match schema["type"].as_str() {
        Some(wanted) if schema["x-kubernetes-int-or-string"] != true => wanted,
        _ => "integer,string",
    };
    let is = type_name(value);
    let message = format!(
        "Invalid value: {is:?}: {} in body must be of type {wanted}: {is:?}",
        shown(path)
    );
    add(faults, "FieldValueTypeInvalid", path, message);
}

fn enumerated(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    let Some(allowed) = schema["enum"].as_array() else {
        return;
    };
    if allowed.contains(value) {
        return;
    }
    let words: Vec<String> = allowed
        .iter()
        .map(|v| match v {
            Value::String(_) => v.to_string(),
            other => Value::from(other.to_string()).to_string(),
        })
        .collect();
    let message = format!(
        "Unsupported value: {value}: supported values: {}",
        words.join(", ")
    );
    add(faults, "FieldValueNotSupported", path, message);
}

fn count(schema: &Value, field: &str) -> Option<usize> {
    schema[field].as_u64().map(|n| n as usize)
}

fn object(
    schema: &Value,
    map: &Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    let whole: Value = map.len().into();
    if let Some(least) = count(schema, "minProperties").filter(|least| map.len() < *least) {
        invalid(
            faults,
            path,
            &whole,
            &format!("should have at least {least} properties"),
        );
    }
    if let Some(most) = count(schema, "maxProperties").filter(|most| map.len() > *most) {
        let message = format!("Too many: {}: must have at most {most} items", map.len());
        add(faults, "FieldValueTooMany", path, message);
    }
    let properties = schema["properties"].as_object();
    let others = &schema["additionalProperties"];
    for (key, value) in map {
        let before = old.and_then(|old| old.get(key));
        match properties.and_then(|p| p.get(key)) {
            Some(property) => check(property, value, before, &format!("{path}.{key}"), faults),
            None if others.is_object() => check(others, value, before, &format!("{path}.{key}"), faults),
            None => {}
        }
    }
    for key in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(key) {
            let message = "Required value".to_owned();
            add(faults, "FieldValueRequired", &format!("{path}.{key}"), message);
        }
    }
}

/// The element of the old list that an element was; only elements of maps are found again.
fn before<'v>(schema: &Value, item: &Value, old: Option<&'v Value>) -> Option<&'v Value> {
    if schema["x-kubernetes-list-type"] != "map" {
        return None;
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array()?;
    let same = |other: &&Value| {
        keys.iter()
            .filter_map(Value::as_str)
            .all(|key| other.get(key) == item.get(key))
    };
    old?.as_array()?.iter().find(same)
}

fn list(schema: &Value, items: &[Value], old: Option<&Value>, path: &str, faults: &mut Vec<Fault>) {
    for (at, item) in items.iter().enumerate() {
        let before = before(schema, item, old);
        check(&schema["items"], item, before, &format!("{path}[{at}]"), faults);
    }
    let whole: Value = items.len().into();
    if let Some(least) = count(schema, "minItems").filter(|least| items.len() < *least) {
        invalid(
            faults,
            path,
            &whole,
            &format!("should have at least {least} items"),
        );
    }
    if let Some(most) = count(schema, "maxItems").filter(|most| items.len() > *most) {
        let message = format!("Too many: {}: must have at most {most} items", items.len());
        add(faults, "FieldValueTooMany", path, message);
    }
    if schema["uniqueItems"] == true && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
        invalid(faults, path, &Value::from(""), "shouldn't contain duplicates");
    }
}

fn string(schema: &Value, text: &str, path: &str, faults: &mut Vec<Fault>) {
    let length = text.chars().count();
    let value = Value::from(text);
    if let Some(most) = count(schema, "maxLength").filter(|most| length > *most) {
        let message = format!("Too long: may not be more than {most} bytes");
        add(faults, "FieldValueTooLong", path, message);
    }
    if let Some(least) = count(schema, "minLength").filter(|least| length < *least) {
        invalid(
            faults,
            path,
            &value,
            &format!("should be at least {least} chars long"),
        );
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        invalid(faults, path, &value, &format!("should match '{pattern}'"));
    }
    if let Some(format) = schema["format"].as_str()
        && !formatted(format, text)
    {
        let message = format!(
            "Invalid value: {value}: {} in body must be of type {format}: {value}",
            shown(path)
        );
        add(faults, "FieldValueTypeInvalid", path, message);
    }
}

/// The formats that are checked here; others pass (`go-openapi/strfmt`).
fn formatted(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            let (body, padding) = match text.find('=') {
                Some(at) => text.split_at(at),
                None => (text, ""),
            };
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
            text.len().is_multiple_of(4) && matches!(padding, "" | "=" | "==") && body.bytes().all(plain)
        }
        "email" => text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()),
        "uuid" => {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            let hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
            hex && (parts == [8, 4, 4, 4, 12] || parts == [32])
        }
        _ => true,
    }
}

fn number(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    let Some(is) = value.as_f64() else { return };
    let bound = |field: &str| schema[field].as_f64().map(|limit| (limit, schema[field].clone()));
    if let Some((factor, shown)) = bound("multipleOf")
        && factor > 0.0
        && (is / factor).fract().abs() > 1e-9
    {
        invalid(faults, path, value, &format!("should be a multiple of {shown}"));
    }
    if let Some((most, shown)) = bound("maximum") {
        let open = schema["exclusiveMaximum"] == true;
        if is > most || open && is >= most {
            let words = if open {
                "less than"
            } else {
                "less than or equal to"
            };
            invalid(faults, path, value, &format!("should be {words} {shown}"));
        }
    }
    if let Some((least, shown)) = bound("minimum") {
        let open = schema["exclusiveMinimum"] == true;
        if is < least || open && is <= least {
            let words = if open {
                "greater than"
            } else {
                "greater than or equal to"
            };
            invalid(faults, path, value, &format!("should be {words} {shown}"));
        }
    }
    let wide = match schema["format"].as_str() {
        Some("int32") => i32::try_from(value.as_i64().unwrap_or(i64::MAX)).is_err(),
        _ => false,
    };
    if wide {
        let message = format!(
            "Invalid value: \"\": Checked value must be of type integer with format int32 in {}",
            shown(path)
        );
        add(faults, "FieldValueInvalid", "", message);
    }
}

fn combined(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    let tried = |field: &str| -> Option<Vec<Vec<Fault>>> {
        let all = schema[field].as_array().filter(|all| !all.is_empty())?;
        let one = |schema: &Value| {
            let mut found = Vec::new();
            check(schema, value, None, path, &mut found);
            found
        };
        Some(all.iter().map(one).collect())
    };
    let bare = |faults: &mut Vec<Fault>, detail: &str| {
        // Upstream does not say where.
        let message = format!("Invalid value: \"\": {:?} {detail}", shown(path));
        add(faults, "FieldValueInvalid", "", message);
    };
    if let Some(all) = tried("anyOf")
        && all.iter().all(|found| !found.is_empty())
    {
        bare(faults, "must validate at least one schema (anyOf)");
        faults.extend(all.into_iter().min_by_key(Vec::len).into_iter().flatten());
    }
    if let Some(all) = tried("oneOf") {
        match all.iter().filter(|found| found.is_empty()).count() {
            1 => {}
            0 => {
                bare(
                    faults,
                    "must validate one and only one schema (oneOf). Found none valid",
                );
                faults.extend(all.into_iter().min_by_key(Vec::len).into_iter().flatten());
            }
            n => bare(
                faults,
                &format!("must validate one and only one schema (oneOf). Found {n} valid alternatives"),
            ),
        }
    }
    if let Some(all) = tried("allOf")
        && all.iter().any(|found| !found.is_empty())
    {
        faults.extend(all.into_iter().flatten());
        bare(faults, "must validate all the schemas (allOf)");
    }
    if schema["not"].is_object() {
        let mut found = Vec::new();
        check(&schema["not"], value, None, path, &mut found);
        if found.is_empty() {
            bare(faults, "must not validate the schema (not)");
        }
    }
}

/// Sets have no member twice, maps no key.
fn lists(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let property = schema["properties"]
                    .get(key)
                    .unwrap_or(&schema["additionalProperties"]);
                if property.is_object() {
                    lists(property, value, &format!("{path}.{key}"), faults);
                }
            }
        }
        Value::Array(items) => {
            let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let mut seen = HashSet::new();
            for (at, item) in items.iter().enumerate() {
                let here = format!("{path}[{at}]");
                let name = match schema["x-kubernetes-list-type"].as_str() {
                    Some("set") => Some(item.clone()),
                    Some("map") => {
                        let own = keys
                            .iter()
                            .filter_map(|k| Some(((*k).to_owned(), item.get(*k)?.clone())));
                        Some(Value::Object(own.collect()))
                    }
                    _ => None,
                };
                if let Some(name) = name
                    && !seen.insert(name.to_string())
                {
                    add(
                        faults,
                        "FieldValueDuplicate",
                        &here,
                        format!("Duplicate value: {name}"),
                    );
                }
                lists(&schema["items"], item, &here, faults);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(schema: Value, value: Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": schema}});
        validate(&schema, &json!({"spec": value}))
            .into_iter()
            .map(|f| format!("{}: {}", f.field, f.message))
            .collect()
    }

    #[test]
    fn words_of_kube_openapi() {
        assert_eq!(
            faults(json!({"type": "integer"}), json!("x")),
            ["spec: Invalid value: \"string\": spec in body must be of type integer: \"string\""]
        );
        assert_eq!(
            faults(json!({"type": "integer", "minimum": 1, "maximum": 10}), json!(0)),
            ["spec: Invalid value: 0: spec in body should be greater than or equal to 1"]
        );
        assert_eq!(
            faults(json!({"type": "string", "enum": ["a", "b"]}), json!("c")),
            ["spec: Unsupported value: \"c\": supported values: \"a\", \"b\""]
        );
        assert_eq!(
            faults(json!({"type": "string", "pattern": "^a+$"}), json!("b")),
            ["spec: Invalid value: \"b\": spec in body should match '^a+$'"]
        );
        assert_eq!(
            faults(json!({"type": "object", "required": ["a"]}), json!({})),
            ["spec.a: Required value"]
        );
        let set = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
        assert_eq!(
            faults(set, json!(["a", "a"])),
            ["spec[1]: Duplicate value: \"a\""]
        );
        let port = json!({"x-kubernetes-int-or-string": true});
        assert_eq!(faults(port.clone(), json!("a")), [""; 0]);
        assert_eq!(
            faults(port, json!(true)),
            ["spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\""]
        );
    }

    #[test]
    fn what_was_wrong_may_stay_wrong() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "integer"},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}},
            "plain": {"type": "array", "items": {"type": "integer", "maximum": 1}}}});
        let old = json!({"a": "long", "list": [{"k": "x", "v": 5}], "plain": [5]});
        let fields = |new: Value| -> Vec<String> {
            validate_update(&schema, Some(&old), &new)
                .into_iter()
                .map(|fault| fault.field)
                .collect()
        };
        let new =
            json!({"a": "long", "b": 1, "list": [{"k": "y", "v": 0}, {"k": "x", "v": 5}], "plain": [5]});
        assert_eq!(fields(new), [""; 0]);
        let worse = json!({"a": "longer", "list": [{"k": "x", "v": 6}], "plain": [5, 0]});
        assert_eq!(fields(worse), ["a", "list[0].v", "plain[0]"]);
    }
}
