//! Small pieces that many kinds' cells are made of.
use std::time::Duration;

use serde_json::Value;

/// What upstream prints for nothing.
pub(crate) const NONE: &str = "<none>";
pub(crate) const UNKNOWN: &str = "<unknown>";
pub(crate) const UNSET: &str = "<unset>";

/// A string at a JSON pointer, or the empty string.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A string at a JSON pointer, or what to print instead when it is empty or absent.
pub(crate) fn text_or<'a>(object: &'a Value, pointer: &str, or: &'a str) -> &'a str {
    Some(text(object, pointer))
        .filter(|t| !t.is_empty())
        .unwrap_or(or)
}

pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(crate) fn size(object: &Value, pointer: &str) -> i64 {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len() as i64,
        Some(Value::Array(list)) => list.len() as i64,
        _ => 0,
    }
}

pub(crate) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// `metadata.creationTimestamp` as kubectl's short age.
pub(crate) fn age(object: &Value, now: i64) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

/// Time since an RFC 3339 instant, or `<unknown>`.
pub(crate) fn since(time: &str, now: i64) -> String {
    match seconds(time) {
        Some(then) if now >= then => kube_types::human_duration(Duration::from_secs((now - then) as u64)),
        // HumanDuration prints up to two seconds of a clock that runs ahead as zero, and more as invalid.
        Some(then) if then - now < 2 => "0s".to_owned(),
        Some(_) => "<invalid>".to_owned(),
        None => UNKNOWN.to_owned(),
    }
}

/// RFC 3339 to seconds since the epoch.
pub(crate) fn seconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_second)
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(object: Option<&Value>) -> String {
    let pairs = object.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        NONE.to_owned()
    } else {
        pairs.join(",")
    }
}

/// Names and images of a pod template's containers.
pub(crate) fn containers(object: &Value) -> (String, String) {
    let of = |key: &str| {
        let all = list(object, "/spec/template/spec/containers").iter();
        all.filter_map(|c| c[key].as_str()).collect::<Vec<_>>().join(",")
    };
    (of("name"), of("image"))
}

/// Joins strings, at most so many, the rest as ` + N more...`.
pub(crate) fn first_few(items: &[String], most: usize) -> String {
    if items.is_empty() {
        return NONE.to_owned();
    }
    let shown = items.iter().take(most).cloned().collect::<Vec<_>>().join(",");
    if items.len() > most {
        format!("{shown} + {} more...", items.len() - most)
    } else {
        shown
    }
}

/// Whether a boolean is set.
pub(crate) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}
