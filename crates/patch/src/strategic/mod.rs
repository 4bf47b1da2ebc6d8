//! Kubernetes' strategic merge patch: lists merge by the schema's keys; directives in the patch delete, replace and order.
//!
//! Behaviour is that of apimachinery's `strategicpatch.StrategicMergeMapPatch` (merging parallel lists, ignoring unmatched
//! nulls), followed by the conversion to the Go type, whose errors a client sees (apiserver `handlers/patch.go`).

mod convert;
mod lists;

use std::collections::HashSet;

use schema::{Field, Type, type_of};
use serde_json::{Map, Value};

use crate::{error::PatchError, go};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

const BAD_RETAIN_KEYS: &str = "invalid patch format of retainKeys";
const BAD_ELEMENT_ORDER: &str = "invalid patch format of setElementOrder list";
const BAD_PRIMITIVES: &str = "invalid patch format of primitive list";

type Result<T> = std::result::Result<T, PatchError>;

/// Apply a strategic merge patch to an object of this OpenAPI definition; `patch` is the request body.
pub fn strategic_merge_patch(definition: &str, object: &Value, patch: &[u8]) -> Result<Value> {
    let patch = go::parse_object(patch)?;
    let ty = type_of(definition);
    let original = object.as_object().cloned().unwrap_or_default();
    let patched = Value::Object(merge_map(original, patch.clone(), ty)?);
    if let Some(ty) = ty {
        convert::check(ty, &patched).map_err(|message| {
            let printed = go::print_map(&patch);
            PatchError::Unprocessable(format!("patch: Invalid value: {}: {message}", quoted(&printed)))
        })?;
    }
    Ok(patched)
}

/// A string as `strconv.Quote` writes it, near enough: JSON escapes the same characters.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What the schema says of a field that a patch touches.
#[derive(Clone, Copy, Default)]
struct Meta {
    ty: Option<Type>,
    merge_key: Option<&'static str>,
    merges: bool,
    replaces: bool,
}

impl Meta {
    fn of(parent: Option<Type>, key: &str) -> Self {
        let Some(parent) = parent else {
            return Self::default();
        };
        let Some(field) = parent.field(key) else {
            return Self {
                ty: parent.child(key),
                ..Self::default()
            };
        };
        Self {
            ty: Some(field.ty()),
            merge_key: field.patch_merge_key(),
            merges: field.patch_merges(),
            replaces: strategy_replaces(field),
        }
    }

    /// The type of a list's elements.
    fn item(self) -> Option<Type> {
        self.ty.and_then(Type::item)
    }
}

fn strategy_replaces(field: &Field) -> bool {
    field.patch_strategy().split(',').any(|s| s == "replace")
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    ty: Option<Type>,
) -> Result<Map<String, Value>> {
    match patch.get(DIRECTIVE) {
        None => {}
        Some(directive) if directive == "replace" => {
            patch.remove(DIRECTIVE);
            return Ok(patch);
        }
        Some(directive) if directive == "delete" => return Ok(Map::new()),
        Some(directive) => return Err(bad_directive(directive, &patch)),
    }
    retain_keys(&mut original, &mut patch)?;
    lists::merge_ordered(&mut original, &mut patch, ty)?;
    for (key, value) in patch {
        let deleted = parallel_key(&key, DELETE_PRIMITIVES, BAD_PRIMITIVES)?;
        let (key, deletes) = match deleted {
            Some(list) => (list.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let merged = match (original.remove(&key), value) {
            (None, _) if deletes => continue,
            (Some(Value::Object(before)), Value::Object(change)) => {
                let meta = Meta::of(ty, &key);
                Some(Value::Object(if meta.replaces {
                    change
                } else {
                    merge_map(before, change, meta.ty)?
                }))
            }
            (Some(Value::Array(before)), Value::Array(change)) => {
                let meta = Meta::of(ty, &key);
                Some(Value::Array(lists::merge_list(before, change, meta, deletes)?))
            }
            (Some(before), value) if deletes && go::type_name(&before) != go::type_name(&value) => {
                Some(before)
            }
            (_, value) => without_directives(without_nulls(value)),
        };
        if let Some(merged) = merged {
            original.insert(key, merged);
        }
    }
    Ok(original)
}

/// The list that a directive such as `$setElementOrder/ports` is about.
fn parallel_key<'a>(key: &'a str, prefix: &str, wrong: &str) -> Result<Option<&'a str>> {
    let Some(rest) = key.strip_prefix(prefix) else {
        return Ok(None);
    };
    match rest.strip_prefix('/') {
        Some(list) if !list.contains('/') => Ok(Some(list)),
        _ => Err(PatchError::Malformed(wrong.to_owned())),
    }
}

fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<()> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad = || PatchError::Malformed(BAD_RETAIN_KEYS.to_owned());
    let keys = keys.as_array().ok_or_else(bad)?;
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let kept = |key: &str| keys.contains(key);
    for (key, value) in patch.iter() {
        let directive = key.starts_with(DELETE_PRIMITIVES) || key.starts_with(ELEMENT_ORDER);
        if !value.is_null() && !directive && !kept(key) {
            return Err(bad());
        }
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

/// A value that is added whole: nulls in maps have nothing to remove.
fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            for v in map.values_mut() {
                *v = without_nulls(v.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_nulls(item.take());
            }
        }
        _ => {}
    }
    value
}

/// A value that is added whole, without the maps that are directives.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter_map(|(k, v)| Some((k, without_directives(v)?)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(
            items.into_iter().filter_map(without_directives).collect(),
        )),
        other => Some(other),
    }
}

fn bad_directive(directive: &Value, map: &Map<String, Value>) -> PatchError {
    PatchError::Malformed(format!(
        "unknown patch type: {} in map: {}",
        go::print(directive),
        go::print_map(map)
    ))
}

#[cfg(test)]
mod tests;
