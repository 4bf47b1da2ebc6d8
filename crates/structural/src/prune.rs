//! What the schema does not name goes, and what is missing gets its default (apiextensions `pkg/apiserver/schema/{pruning,defaulting}`).
use std::fmt::Write as _;

use serde_json::Value;

use crate::{embeds, keeps_unknown};

/// Fields that every object has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// So many paths are told; each may be nearly as long as the object.
const MAX_TOLD: usize = 100;

/// Take away what the schema of a whole object does not name; yields the paths of what was taken (of the first, if it is much), sorted.
pub fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut walk = Walk::default();
    walk.prune(schema, object, true);
    walk.taken.sort_unstable();
    walk.taken
}

/// The same of a part of an object, by the schema of that part.
pub(crate) fn prune_part(schema: &Value, part: &mut Value) -> Vec<String> {
    let mut walk = Walk::default();
    walk.prune(schema, part, embeds(schema));
    walk.taken
}

/// A walk through an object: where it is, and what was taken.
#[derive(Default)]
struct Walk {
    path: String,
    taken: Vec<String>,
}

impl Walk {
    /// Go on at a part of the path.
    fn at(&mut self, part: std::fmt::Arguments<'_>, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to a string cannot fail.
        let _ = self.path.write_fmt(part);
        walk(self);
        self.path.truncate(length);
    }

    fn field(&mut self, key: &str, walk: impl FnOnce(&mut Self)) {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.at(format_args!("{dot}{key}"), walk);
    }

    fn prune(&mut self, schema: &Value, value: &mut Value, whole: bool) {
        let keep = keeps_unknown(schema);
        match value {
            Value::Object(map) => {
                let meta = |key: &str| whole && META.contains(&key);
                let gone: Vec<String> = map
                    .keys()
                    .filter(|key| !keep && !meta(key) && below(schema, key).is_none() && !any_below(schema))
                    .cloned()
                    .collect();
                for key in gone {
                    map.remove(&key);
                    if self.taken.len() < MAX_TOLD {
                        self.field(&key, |walk| walk.taken.push(walk.path.clone()));
                    }
                }
                for (key, value) in map.iter_mut().filter(|(key, _)| !meta(key)) {
                    if let Some(schema) = below(schema, key) {
                        self.field(key, |walk| walk.prune(schema, value, embeds(schema)));
                    }
                }
            }
            Value::Array(items) if schema["items"].is_object() => {
                let schema = &schema["items"];
                for (at, item) in items.iter_mut().enumerate() {
                    self.at(format_args!("[{at}]"), |walk| {
                        walk.prune(schema, item, embeds(schema))
                    });
                }
            }
            _ => {}
        }
    }
}

/// The schema of a field: a property of this name, or what all others are.
fn below<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    schema["properties"]
        .get(key)
        .or_else(|| Some(&schema["additionalProperties"]).filter(|s| s.is_object()))
}

fn any_below(schema: &Value) -> bool {
    schema["additionalProperties"] == true
}

fn is_bad_null(value: &Value, schema: &Value) -> bool {
    value.is_null() && schema["nullable"] != true
}

/// Fill in the defaults; a null where none may be is taken as absent.
pub fn set_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object();
            for (key, property) in properties.into_iter().flatten() {
                let missing = map.get(key).is_none_or(|value| is_bad_null(value, property));
                match property.get("default") {
                    Some(default) if missing => drop(map.insert(key.clone(), default.clone())),
                    _ if missing => drop(map.remove(key)),
                    _ => {}
                }
            }
            map.retain(|key, value| {
                below(schema, key).is_none_or(|s| !is_bad_null(value, s) || s.get("default").is_some())
            });
            for (key, value) in map.iter_mut() {
                if let Some(schema) = below(schema, key) {
                    if is_bad_null(value, schema)
                        && let Some(default) = schema.get("default")
                    {
                        *value = default.clone();
                    }
                    set_defaults(schema, value);
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for item in items {
                set_defaults(&schema["items"], item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "replicas": {"type": "integer", "default": 1},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}},
        }}}})
    }

    #[test]
    fn what_is_not_named_goes() {
        let mut object = json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n"}, "other": 1,
            "spec": {"free": {"x": {"y": 1}}, "labels": {"z": "1"}, "bad": 1, "list": [{"a": "1", "b": 2}]}});
        assert_eq!(
            prune(&schema(), &mut object),
            ["other", "spec.bad", "spec.list[0].b"]
        );
        assert_eq!(
            object["spec"],
            json!({"free": {"x": {"y": 1}}, "labels": {"z": "1"}, "list": [{"a": "1"}]})
        );
    }

    #[test]
    fn what_is_missing_gets_its_default() {
        let mut object = json!({"spec": {"replicas": null, "labels": null, "list": [{}, {"a": "1"}]}});
        set_defaults(&schema(), &mut object);
        assert_eq!(
            object["spec"],
            json!({"replicas": 1, "list": [{"a": "x"}, {"a": "1"}]})
        );
    }
}
