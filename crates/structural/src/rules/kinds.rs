//! Types of expressions by a schema (`k8s.io/apiserver/pkg/cel/common/schemas.go` SchemaDeclType), and how big their values can be.
use std::sync::Arc;

use expressions::{Identity, ListType, Sizes, Type};
use serde_json::Value;

/// No request is bigger (`k8s.io/apiserver/pkg/apis/cel/config.go` MaxRequestSizeBytes).
pub const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;

/// The fields by which the elements of a list are told apart.
pub fn keys(schema: &Value) -> Vec<String> {
    let all = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The type of what a schema describes, unless expressions do not see it. `root` for whole objects.
pub fn of(schema: &Value, root: bool) -> Option<Type> {
    if schema["x-kubernetes-int-or-string"] == true {
        return Some(Type::Dyn);
    }
    Some(match schema["type"].as_str()? {
        "array" => {
            let items = &schema["items"];
            let element = of(items, items["x-kubernetes-embedded-resource"] == true)?;
            let identity = match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => Identity::Value,
                Some("map") => Identity::Keys(keys(schema)),
                _ => Identity::Place,
            };
            Type::List(Arc::new(ListType { element, identity }))
        }
        "object" => {
            let others = &schema["additionalProperties"];
            if others.is_object() && !root {
                let value = of(others, others["x-kubernetes-embedded-resource"] == true)?;
                return Some(Type::map(Type::String, value));
            }
            let properties = schema["properties"].as_object().into_iter().flatten();
            let mut fields: Vec<(String, Type)> = properties
                .filter_map(|(name, inner)| {
                    let kind = of(inner, inner["x-kubernetes-embedded-resource"] == true)?;
                    Some((name.clone(), kind))
                })
                .collect();
            if root {
                fields.retain(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
                let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::String));
                fields.extend([
                    ("apiVersion".to_owned(), Type::String),
                    ("kind".to_owned(), Type::String),
                    ("metadata".to_owned(), Type::object("object", names)),
                ]);
            }
            Type::object("object", fields)
        }
        "string" => match schema["format"].as_str() {
            Some("byte") => Type::Bytes,
            Some("duration") => Type::Duration,
            Some("date" | "date-time") => Type::Timestamp,
            _ => Type::String,
        },
        "boolean" => Type::Bool,
        "number" => Type::Double,
        "integer" => Type::Int,
        _ => return None,
    })
}

/// The least number of bytes that something of this schema takes.
pub fn least(schema: &Value) -> u64 {
    if schema["x-kubernetes-int-or-string"] == true {
        return 1;
    }
    match schema["type"].as_str() {
        Some("object") if schema["additionalProperties"].is_object() => 2,
        Some("object") => {
            let required = |name: &str| {
                schema["required"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|r| r == name))
            };
            let properties = schema["properties"].as_object().into_iter().flatten();
            let needed = properties.filter(|(name, inner)| required(name) && inner["default"].is_null());
            needed.fold(2, |sum, (name, inner)| sum + name.len() as u64 + least(inner) + 4)
        }
        Some("string") => match schema["format"].as_str() {
            Some("duration") => 3,
            Some("date") => 12,
            Some("date-time") => 21,
            _ => 2,
        },
        Some("boolean") => 4,
        Some("array") => 2,
        _ => 1,
    }
}

/// The most elements or characters of something of this schema.
pub fn most(schema: &Value) -> u64 {
    let said = |field: &str| schema[field].as_i64().map(|n| n.max(0).unsigned_abs());
    let text = || match schema["format"].as_str() {
        Some("duration" | "date-time") => 32,
        Some("date") => 12,
        _ => LARGEST_REQUEST - 2,
    };
    if schema["x-kubernetes-int-or-string"] == true {
        return said("maxLength").map_or(LARGEST_REQUEST - 2, |n| n.saturating_mul(4));
    }
    match schema["type"].as_str() {
        Some("array") => {
            said("maxItems").unwrap_or_else(|| (LARGEST_REQUEST - 2) / (least(&schema["items"]) + 1))
        }
        Some("object") if schema["additionalProperties"].is_object() => said("maxProperties")
            .unwrap_or_else(|| (LARGEST_REQUEST - 2) / (least(&schema["additionalProperties"]) + 6)),
        Some("object") => schema["properties"].as_object().map_or(0, |all| all.len() as u64),
        Some("string") if schema["format"] == "byte" => said("maxLength").unwrap_or_else(text),
        Some("string") => match (said("maxLength"), schema["enum"].as_array()) {
            (Some(n), _) => n.saturating_mul(4),
            (None, Some(all)) if !all.is_empty() => {
                let lengths = all.iter().filter_map(Value::as_str).map(str::len);
                lengths.max().unwrap_or(0) as u64
            }
            _ => text(),
        },
        _ => 1,
    }
}

/// How big what a rule sees can be, by its schema.
pub struct BySchema<'s> {
    /// The schema of `self` and `oldSelf`.
    pub schema: &'s Value,
}

impl BySchema<'_> {
    fn find(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        // Upstream takes whatever comes first for `self`, also the elements of what has no place in the schema
        // (`pkg/apiserver/schema/cel/compilation.go` EstimateSize).
        if !matches!(first.as_str(), "self" | "oldSelf" | "@items" | "@values") {
            return None;
        }
        let mut at = self.schema;
        for step in rest {
            at = match step.as_str() {
                "@items" => at.get("items")?,
                "@values" => at.get("additionalProperties")?,
                name => {
                    let properties = at.get("properties")?.as_object()?;
                    match properties.get(name) {
                        Some(inner) => inner,
                        None => {
                            properties
                                .iter()
                                .find(|(json, _)| expressions::escape(json).as_deref() == Some(name))?
                                .1
                        }
                    }
                }
            };
        }
        Some(at)
    }
}

impl Sizes for BySchema<'_> {
    fn size(&self, path: &[String]) -> Option<u64> {
        // Keys have no schema, and count for nothing upstream either.
        if path.last().is_some_and(|last| last == "@keys") {
            return Some(0);
        }
        self.find(path).map(most)
    }

    fn is_map(&self, path: &[String]) -> bool {
        self.find(path)
            .is_some_and(|schema| schema["additionalProperties"].is_object())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_type_is_not_seen() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"x-kubernetes-preserve-unknown-fields": true},
            "c": {"type": "array"}, "d-e": {"type": "integer"}, "f$": {"type": "string"},
            "g": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "boolean"}}}}});
        let Some(Type::Object(object)) = of(&schema, true) else {
            panic!("an object");
        };
        let names: Vec<&str> = object.fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "apiVersion", "d__dash__e", "g", "kind", "metadata"]);
        assert_eq!(object.fields["g"].kind.to_string(), "map(string, list(bool))");
    }

    #[test]
    fn sizes_are_bounded_by_what_is_said_or_by_the_request() {
        assert_eq!(most(&json!({"type": "string", "maxLength": 5})), 20);
        assert_eq!(most(&json!({"type": "string", "enum": ["a", "abc"]})), 3);
        assert_eq!(
            most(&json!({"type": "array", "items": {"type": "string"}})),
            (LARGEST_REQUEST - 2) / 3
        );
        let needed = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
        assert_eq!(least(&needed), 2 + 1 + 1 + 4);
    }
}
