//! Whether an object fits its schema (kube-openapi `pkg/validation/validate`, whose words these are, and apiextensions
//! `pkg/apiserver/validation` and `schema/listtype`, which decide what kind of fault each is).
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use regex::Regex;
use serde_json::{Map, Value};

use crate::{Fault, formats::formatted};

/// So much text is made of faults. The path in each may be nearly as long as the object, and so may be their number.
const MAX_TEXT: usize = 16 << 20;

/// Everything of `object` that does not fit the schema, in the order of the schema's fields.
pub fn validate(schema: &Value, object: &Value) -> Vec<Fault> {
    validate_update(schema, None, object)
}

/// The same of an object that was something before: what has not changed may stay as it is (apiextensions
/// `pkg/apiserver/validation/ratcheting.go`), except that lists have to be sets and maps.
pub fn validate_update(schema: &Value, old: Option<&Value>, object: &Value) -> Vec<Fault> {
    let mut check = Check::default();
    check.value(schema, object, old);
    check.lists(schema, object);
    check.faults
}

/// A walk through an object and its schema.
#[derive(Default)]
struct Check<'s> {
    /// Where it is.
    path: String,
    faults: Vec<Fault>,
    /// How much text they were, with those of alternatives that were tried.
    text: usize,
    /// Patterns are compiled once, however many strings they are for.
    patterns: HashMap<&'s str, Option<Regex>>,
}

impl Check<'_> {
    /// The path as a sentence names it.
    fn shown(&self) -> &str {
        self.path.trim_start_matches('.')
    }

    fn add(&mut self, reason: &'static str, message: impl FnOnce(&str) -> String) {
        if self.text > MAX_TEXT {
            // That there is one more counts, also where alternatives are tried.
            self.faults.push(Fault {
                reason,
                field: "<nil>".to_owned(),
                message: "Invalid value: there are too many faults to tell them all".to_owned(),
            });
            return;
        }
        let field = match self.shown() {
            "" => "<nil>".to_owned(),
            path => path.to_owned(),
        };
        let message = message(self.shown());
        self.text += field.len() + message.len();
        self.faults.push(Fault {
            reason,
            field,
            message,
        });
    }

    fn invalid(&mut self, value: &Value, detail: &str) {
        self.add("FieldValueInvalid", |path| {
            format!(
                "Invalid value: {}: {path} in body {detail}",
                kube_types::shown_value(value)
            )
        });
    }

    /// A fault of which upstream does not say where.
    fn nowhere(&mut self, message: impl FnOnce(&str) -> String) {
        self.add("FieldValueInvalid", message);
        if let Some(fault) = self.faults.last_mut() {
            "<nil>".clone_into(&mut fault.field);
        }
    }
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

fn count(schema: &Value, field: &str) -> Option<usize> {
    schema[field].as_u64().map(|n| n as usize)
}

/// What tells an element of a list from the others, where the list is a map.
fn key_of(schema: &Value, item: &Value) -> Option<String> {
    if schema["x-kubernetes-list-type"] != "map" {
        return None;
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array()?;
    let values = keys
        .iter()
        .filter_map(Value::as_str)
        .map(|key| item.get(key).cloned());
    // An absent key is not one that is null.
    let values: Value = values.map(|value| value.into_iter().collect::<Value>()).collect();
    Some(values.to_string())
}

/// The elements of an old list by their keys; only those of maps are found again.
fn known<'v>(schema: &Value, old: Option<&'v Value>) -> HashMap<String, &'v Value> {
    let mut known = HashMap::new();
    for item in old.and_then(Value::as_array).into_iter().flatten() {
        if let Some(key) = key_of(schema, item) {
            known.entry(key).or_insert(item);
        }
    }
    known
}

impl<'s> Check<'s> {
    /// What is below a part of the path.
    fn below(&mut self, part: std::fmt::Arguments<'_>, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to a string cannot fail.
        let _ = self.path.write_fmt(part);
        walk(self);
        self.path.truncate(length);
    }

    fn value(&mut self, schema: &'s Value, value: &Value, old: Option<&Value>) {
        if !schema.is_object() || old == Some(value) {
            return;
        }
        if value.is_null() {
            if schema["nullable"] != true && schema["type"].is_string() {
                self.wrong_type(schema, value);
            }
            return;
        }
        if !fits_type(schema, value) {
            self.wrong_type(schema, value);
            self.enumerated(schema, value);
            if value.is_number() && schema["type"] == "integer" {
                self.number(schema, value);
            }
            return;
        }
        self.enumerated(schema, value);
        match value {
            Value::Object(map) => self.object(schema, map, old),
            Value::Array(items) => self.list(schema, items, old),
            Value::String(text) => self.string(schema, text),
            Value::Number(_) => self.number(schema, value),
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value);
    }

    fn wrong_type(&mut self, schema: &Value, value: &Value) {
        let wanted = match schema["type"].as_str() {
            Some(wanted) if schema["x-kubernetes-int-or-string"] != true => wanted,
            _ => "integer,string",
        };
        let is = type_name(value);
        // A number of a format is told of by that.
        let format = schema["format"].as_str().unwrap_or_default();
        let (wanted, is) = match (is, format) {
            ("number", "int32" | "int64") => (format, "float64"),
            _ => (wanted, is),
        };
        self.add("FieldValueTypeInvalid", |path| {
            format!("Invalid value: {is:?}: {path} in body must be of type {wanted}: {is:?}")
        });
    }

    fn enumerated(&mut self, schema: &Value, value: &Value) {
        let Some(allowed) = schema["enum"].as_array() else {
            return;
        };
        if allowed.contains(value) {
            return;
        }
        self.add("FieldValueNotSupported", |_| {
            let words: Vec<String> = allowed
                .iter()
                .map(|v| match v {
                    Value::String(_) => v.to_string(),
                    other => Value::from(other.to_string()).to_string(),
                })
                .collect();
            format!(
                "Unsupported value: {}: supported values: {}",
                kube_types::shown_value(value),
                words.join(", ")
            )
        });
    }

    fn object(&mut self, schema: &'s Value, map: &Map<String, Value>, old: Option<&Value>) {
        let whole: Value = map.len().into();
        if let Some(least) = count(schema, "minProperties").filter(|least| map.len() < *least) {
            self.invalid(&whole, &format!("should have at least {least} properties"));
        }
        if let Some(most) = count(schema, "maxProperties").filter(|most| map.len() > *most) {
            self.add("FieldValueTooMany", |_| {
                format!("Too many: {}: must have at most {most} items", map.len())
            });
        }
        let properties = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        for (key, value) in map {
            let property = properties.and_then(|p| p.get(key));
            if let Some(property) = property.or(Some(others).filter(|o| o.is_object())) {
                let before = old.and_then(|old| old.get(key));
                self.below(format_args!(".{key}"), |check| {
                    check.value(property, value, before)
                });
            }
        }
        for key in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !map.contains_key(key) {
                self.below(format_args!(".{key}"), |check| {
                    check.add("FieldValueRequired", |_| "Required value".to_owned());
                });
            }
        }
    }

    fn list(&mut self, schema: &'s Value, items: &[Value], old: Option<&Value>) {
        let known = known(schema, old);
        for (at, item) in items.iter().enumerate() {
            let before = key_of(schema, item).and_then(|key| known.get(&key).copied());
            self.below(format_args!("[{at}]"), |check| {
                check.value(&schema["items"], item, before)
            });
        }
        let whole: Value = items.len().into();
        if let Some(least) = count(schema, "minItems").filter(|least| items.len() < *least) {
            self.invalid(&whole, &format!("should have at least {least} items"));
        }
        if let Some(most) = count(schema, "maxItems").filter(|most| items.len() > *most) {
            self.add("FieldValueTooMany", |_| {
                format!("Too many: {}: must have at most {most} items", items.len())
            });
        }
        if schema["uniqueItems"] == true {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(item.to_string())) {
                self.invalid(&Value::from(""), "shouldn't contain duplicates");
            }
        }
    }

    fn string(&mut self, schema: &'s Value, text: &str) {
        let length = text.chars().count();
        let value = Value::from(text);
        // The first of these is told (kube-openapi `validation/validate/validator.go` stringValidator).
        let before = self.faults.len();
        if let Some(most) = count(schema, "maxLength").filter(|most| length > *most) {
            self.add("FieldValueTooLong", |_| {
                format!("Too long: may not be more than {most} bytes")
            });
        } else if let Some(least) = count(schema, "minLength").filter(|least| length < *least) {
            self.invalid(&value, &format!("should be at least {least} chars long"));
        }
        if let Some(pattern) = schema["pattern"].as_str().filter(|_| self.faults.len() == before) {
            let compiled = self
                .patterns
                .entry(pattern)
                .or_insert_with(|| expressions::pattern(pattern, expressions::LARGEST_PATTERN).ok());
            if compiled.as_ref().is_some_and(|regex| !regex.is_match(text)) {
                self.invalid(&value, &format!("should match '{pattern}'"));
            }
        }
        if let Some(format) = schema["format"].as_str()
            && !formatted(format, text)
        {
            self.add("FieldValueTypeInvalid", |path| {
                let value = kube_types::shown_value(&value);
                format!("Invalid value: {value}: {path} in body must be of type {format}: {value}")
            });
        }
    }

    fn number(&mut self, schema: &Value, value: &Value) {
        let Some(is) = value.as_f64() else { return };
        // An integer is held against integers.
        let bound = |field: &str| {
            let limit = schema[field].as_f64()?;
            if value.is_i64() && limit.fract() != 0.0 && field != "multipleOf" {
                return Some((limit.trunc(), Value::from(limit as i64)));
            }
            Some((limit, schema[field].clone()))
        };
        self.fits_format(schema, value);
        if let Some((factor, shown)) = bound("multipleOf")
            && factor > 0.0
            && (is / factor).fract().abs() > 1e-9
        {
            self.invalid(value, &format!("should be a multiple of {shown}"));
        }
        if let Some((most, shown)) = bound("maximum") {
            let open = schema["exclusiveMaximum"] == true;
            if is > most || open && is >= most {
                let words = if open {
                    "less than"
                } else {
                    "less than or equal to"
                };
                self.invalid(value, &format!("should be {words} {shown}"));
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
                self.invalid(value, &format!("should be {words} {shown}"));
            }
        }
    }

    /// Whether a number fits its type and format (kube-openapi `validation/validate/values.go` IsValueValidAgainstRange).
    fn fits_format(&mut self, schema: &Value, value: &Value) {
        let whole = schema["type"] == "integer";
        let format = schema["format"].as_str().unwrap_or_default();
        let number = value.as_f64().unwrap_or_default();
        let fits = match (whole, format) {
            (true, "int32") => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            (true, _) => number.fract() == 0.0,
            (false, "float") => number.abs() <= f64::from(f32::MAX),
            _ => true,
        };
        if fits {
            return;
        }
        let kind = if whole { "integer" } else { "number" };
        let form = if format.is_empty() {
            "(default format)".to_owned()
        } else {
            format!("with format {format}")
        };
        self.nowhere(|path| {
            format!("Invalid value: \"\": Checked value must be of type {kind} {form} in {path}")
        });
    }

    fn combined(&mut self, schema: &'s Value, value: &Value) {
        let alternatives = |field: &str| schema[field].as_array().filter(|all| !all.is_empty());
        if let Some(all) = alternatives("anyOf") {
            let tried = self.tried(all, value);
            if tried.iter().all(|found| !found.is_empty()) {
                self.fails("must validate at least one schema (anyOf)");
                self.nearest(tried);
            }
        }
        if let Some(all) = alternatives("oneOf") {
            let tried = self.tried(all, value);
            match tried.iter().filter(|found| found.is_empty()).count() {
                1 => {}
                0 => {
                    self.fails("must validate one and only one schema (oneOf). Found none valid");
                    self.nearest(tried);
                }
                n => self.fails(&format!(
                    "must validate one and only one schema (oneOf). Found {n} valid alternatives"
                )),
            }
        }
        if let Some(all) = alternatives("allOf") {
            let tried = self.tried(all, value);
            if tried.iter().any(|found| !found.is_empty()) {
                let none = tried.iter().all(|found| !found.is_empty());
                self.faults.extend(tried.into_iter().flatten());
                let none = if none { ". None validated" } else { "" };
                self.fails(&format!("must validate all the schemas (allOf){none}"));
            }
        }
        let not = &schema["not"];
        if not.is_object() && self.tried(std::slice::from_ref(not), value)[0].is_empty() {
            self.fails("must not validate the schema (not)");
        }
    }

    fn fails(&mut self, detail: &str) {
        self.nowhere(|path| format!("Invalid value: \"\": {path:?} {detail}"));
    }

    /// What is wrong by each of several schemas.
    fn tried(&mut self, schemas: &'s [Value], value: &Value) -> Vec<Vec<Fault>> {
        let before = std::mem::take(&mut self.faults);
        let mut all = Vec::new();
        for schema in schemas {
            self.value(schema, value, None);
            all.push(std::mem::take(&mut self.faults));
        }
        self.faults = before;
        all
    }

    /// The alternative that is least wrong is told of.
    fn nearest(&mut self, tried: Vec<Vec<Fault>>) {
        self.faults
            .extend(tried.into_iter().min_by_key(Vec::len).into_iter().flatten());
    }

    /// Sets have no member twice, maps no key.
    fn lists(&mut self, schema: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let property = schema["properties"]
                        .get(key)
                        .unwrap_or(&schema["additionalProperties"]);
                    if property.is_object() {
                        self.below(format_args!(".{key}"), |check| check.lists(property, value));
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
                    self.below(format_args!("[{at}]"), |check| {
                        if let Some(name) = name
                            && !seen.insert(name.to_string())
                        {
                            check.add("FieldValueDuplicate", |_| format!("Duplicate value: {name}"));
                        }
                        check.lists(&schema["items"], item);
                    });
                }
            }
            _ => {}
        }
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
    fn patterns_and_times_are_gos() {
        let digits = json!({"type": "string", "pattern": r"^\d+$"});
        assert_eq!(faults(digits.clone(), json!("12")), [""; 0]);
        assert_eq!(faults(digits, json!("\u{663}")).len(), 1);
        let time = json!({"type": "string", "format": "date-time"});
        for (text, wrong) in [
            ("2026-01-01T00:00:00Z", 0),
            ("2026-01-01t00:00:00.5+01:00", 0),
            ("2026-01-01 00:00:00Z", 1),
            ("2026-01-01T00:00Z", 1),
            ("2026-01-01T00:00:00Z[UTC]", 1),
        ] {
            assert_eq!(faults(time.clone(), json!(text)).len(), wrong, "{text}");
        }
    }

    #[test]
    fn a_long_path_with_many_faults_is_told_in_part() {
        let schema = json!({"type": "object", "additionalProperties": {"type": "object",
            "additionalProperties": {"type": "integer"}}});
        let many: Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!("x"))).collect();
        let object = json!({"k".repeat(100_000): many});
        let faults = validate(&schema, &object);
        assert_eq!(faults.len(), 1000);
        let text: usize = faults.iter().map(|f| f.field.len() + f.message.len()).sum();
        assert!(text < 2 * MAX_TEXT, "{text}");
        assert_eq!(
            faults[999].message,
            "Invalid value: there are too many faults to tell them all"
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
