//! Whether the defaults of a schema fit it (apiextensions `pkg/apiserver/schema/defaulting/validation.go`).
use serde_json::{Map, Value};

use crate::{Fault, embeds, prune::prune_part, rules::Rules, validate::validate};

/// Everything wrong with the defaults of a schema of whole objects that stands at `path`: fields that nobody has declared, and what
/// the schema or its rules refuse. Below `additionalProperties` there are none, and those of metadata are not looked at.
pub fn check_defaults(schema: &Value, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(schema, path, true, &mut faults);
    faults
}

/// Patterns that are none (`pkg/apiserver/schema/validation.go` validateValueValidation).
pub fn check_patterns(schema: &Value, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    patterns(schema, path, &mut faults);
    faults
}

fn patterns(schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    for field in [
        "items",
        "properties",
        "additionalProperties",
        "anyOf",
        "allOf",
        "oneOf",
        "not",
    ] {
        match &schema[field] {
            Value::Array(list) => {
                for (at, inner) in list.iter().enumerate() {
                    patterns(inner, &format!("{path}.{field}[{at}]"), faults);
                }
            }
            Value::Object(named) if field == "properties" => {
                for (name, inner) in named {
                    patterns(inner, &format!("{path}.properties[{name}]"), faults);
                }
            }
            inner @ Value::Object(_) => patterns(inner, &format!("{path}.{field}"), faults),
            _ => {}
        }
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    if let Err(why) = expressions::pattern(pattern, expressions::LARGEST_PATTERN) {
        faults.push(Fault {
            reason: "FieldValueInvalid",
            field: format!("{path}.pattern"),
            message: format!(
                "Invalid value: {}: must be a valid regular expression, but isn't: {why}",
                kube_types::quote(pattern)
            ),
        });
    }
}

fn walk(schema: &Value, path: &str, whole: bool, faults: &mut Vec<Fault>) {
    if let Some(default) = schema.get("default").filter(|d| !d.is_null()) {
        let path = format!("{path}.default");
        check(schema, default, &path, faults);
        if whole && default.is_object() {
            says_what_it_is(default, &path, faults);
        }
    }
    if schema["items"].is_object() {
        let items = &schema["items"];
        walk(items, &format!("{path}.items"), embeds(items), faults);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_meta = whole && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        if !is_meta {
            let path = format!("{path}.properties[{name}]");
            walk(property, &path, embeds(property), faults);
        }
    }
}

/// Whether the objects within an object say what they are (`pkg/apiserver/schema/objectmeta/validation.go` validateEmbeddedResource); `also` is
/// shown each of them, with its path.
pub fn check_embedded(schema: &Value, value: &Value, also: &mut dyn FnMut(&str, &Value)) -> Vec<Fault> {
    let mut faults = Vec::new();
    embedded(schema, value, "", &mut |path, object| {
        says_what_it_is(object, path, &mut faults);
        also(path, object);
    });
    faults
}

fn embedded(schema: &Value, value: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    if embeds(schema) && value.is_object() {
        visit(path, value);
    }
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let Some((schema, path)) = below(schema, path, name) {
                    embedded(schema, inner, &path, visit);
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (at, item) in items.iter().enumerate() {
                embedded(&schema["items"], item, &format!("{path}[{at}]"), visit);
            }
        }
        _ => {}
    }
}

/// The schema and the path of a field.
fn below<'s>(schema: &'s Value, path: &str, name: &str) -> Option<(&'s Value, String)> {
    let (property, others) = (&schema["properties"][name], &schema["additionalProperties"]);
    if property.is_object() {
        let dot = if path.is_empty() { "" } else { "." };
        return Some((property, format!("{path}{dot}{name}")));
    }
    others.is_object().then(|| (others, format!("{path}[{name}]")))
}

/// What is done to an object within another, of which the path is known.
type Change<'a, E> = dyn FnMut(&str, &mut Map<String, Value>) -> Result<(), E> + 'a;

/// Let the objects within an object be changed (`pkg/apiserver/schema/objectmeta/algorithm.go` coerce); the first failure ends it.
pub fn change_embedded<E>(schema: &Value, value: &mut Value, change: &mut Change<'_, E>) -> Result<(), E> {
    change_at(schema, value, "", change)
}

fn change_at<E>(schema: &Value, value: &mut Value, path: &str, change: &mut Change<'_, E>) -> Result<(), E> {
    match value {
        Value::Object(map) => {
            if embeds(schema) {
                change(path, map)?;
            }
            for (name, inner) in map {
                if let Some((schema, path)) = below(schema, path, name) {
                    change_at(schema, inner, &path, change)?;
                }
            }
            Ok(())
        }
        Value::Array(items) if schema["items"].is_object() => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(at, item)| {
                change_at(&schema["items"], item, &format!("{path}[{at}]"), change)
            })
        }
        _ => Ok(()),
    }
}

fn says_what_it_is(object: &Value, path: &str, faults: &mut Vec<Fault>) {
    for field in ["apiVersion", "kind"] {
        let said = object[field].as_str().unwrap_or_default();
        let wrong = if field == "apiVersion" {
            (said.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {said}"))
        } else {
            let complaints = kube_types::is_dns1035_label(&said.to_lowercase());
            let words = "may have mixed case, but should otherwise match";
            (!complaints.is_empty()).then(|| format!("{words}: {}", complaints.join(",")))
        };
        let (reason, message) = match wrong {
            _ if said.is_empty() => ("FieldValueRequired", "Required value".to_owned()),
            Some(wrong) => (
                "FieldValueInvalid",
                format!("Invalid value: {}: {wrong}", kube_types::quote(said)),
            ),
            None => continue,
        };
        faults.push(Fault {
            reason,
            field: format!("{path}.{field}"),
            message,
        });
    }
}

fn check(schema: &Value, default: &Value, path: &str, faults: &mut Vec<Fault>) {
    if !prune_part(schema, &mut default.clone()).is_empty() {
        faults.push(Fault {
            reason: "FieldValueInvalid",
            field: path.to_owned(),
            message: format!(
                "Invalid value: {}: must not have unknown fields",
                kube_types::shown_value(default)
            ),
        });
    }
    let mut found = validate(schema, default);
    if found.is_empty()
        && let Some(rules) = Rules::of_part(schema)
    {
        found = rules.validate(default, None).faults;
    }
    faults.extend(found.into_iter().map(|fault| Fault {
        field: match fault.field.trim_start_matches('.') {
            "" | "<nil>" => path.to_owned(),
            list if list.starts_with('[') => format!("{path}{list}"),
            field => format!("{path}.{field}"),
        },
        ..fault
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_held_against_their_schema() {
        let field = |schema: Value| json!({"type": "object", "properties": {"spec": schema}});
        let of = |schema: Value| -> Vec<(String, String)> {
            let faults = check_defaults(&field(schema), "s");
            faults.into_iter().map(|f| (f.field, f.message)).collect()
        };
        assert!(of(json!({"type": "integer", "default": 3, "maximum": 3})).is_empty());
        assert!(
            of(json!({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"a": "b"}}))
                .is_empty()
        );
        let (path, message) = of(json!({"type": "integer", "default": 4, "maximum": 3})).remove(0);
        assert_eq!(path, "s.properties[spec].default");
        assert!(message.contains("should be less than or equal to 3"), "{message}");
        let unknown =
            of(json!({"type": "object", "default": {"a": "b"}, "properties": {"c": {"type": "string"}}}));
        assert_eq!(
            unknown[0].1,
            "Invalid value: {\"a\":\"b\"}: must not have unknown fields"
        );
        let wrong =
            of(json!({"type": "object", "default": {"a": 1}, "properties": {"a": {"type": "string"}}}));
        assert_eq!(wrong[0].0, "s.properties[spec].default.a");
        let ruled = of(json!({"type": "integer", "default": 1,
            "x-kubernetes-validations": [{"rule": "self > 1", "message": "too small"}]}));
        assert!(ruled[0].1.contains("too small"), "{ruled:?}");
    }
}
