//! Small readers and writers over `serde_json::Value`; what is absent reads as empty.
use serde_json::{Map, Value};

/// The string at a JSON pointer, or an empty one.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Whether the JSON pointer holds `true`.
pub fn truth(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// The list at a JSON pointer, or an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The strings of the list at a JSON pointer.
pub fn strings<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(value, pointer).iter().filter_map(Value::as_str).collect()
}

/// The object at a path, made when it is missing or of another type.
pub fn object<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for step in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else {
            unreachable!("made an object above")
        };
        at = map.entry((*step).to_owned()).or_insert(Value::Null);
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    let Value::Object(map) = at else {
        unreachable!("made an object above")
    };
    map
}

/// Write a value at a path, making the objects on the way.
pub fn set(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    if let Some((last, parents)) = path.split_last() {
        object(value, parents).insert((*last).to_owned(), to.into());
    }
}

/// Remove the value at a path; the objects on the way stay.
pub fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut at = value;
    for step in parents {
        at = at.get_mut(*step)?;
    }
    at.as_object_mut()?.remove(*last)
}

/// Give `to` what `from` has at a top-level key, or nothing when `from` has nothing there.
pub fn restore(to: &mut Value, from: &Value, path: &[&str]) {
    let mut at = Some(from);
    for step in path {
        at = at.and_then(|v| v.get(*step));
    }
    match at {
        Some(found) => set(to, path, found.clone()),
        None => {
            remove(to, path);
        }
    }
}
