//! RFC 6902 JSON patch, with the peculiarities of the library that upstream uses (evanphx/json-patch v4): `replace` adds a key
//! that an object does not have, negative indices count from the end, and `test` of an absent key succeeds for null.
use serde_json::{Map, Value};

use crate::{error::PatchError, go};

/// As many operations as upstream allows (apiserver `handlers/patch.go`).
const MAX_OPERATIONS: usize = 10_000;

/// Copies may not blow an object up beyond this (apiserver sets `AccumulatedCopySizeLimit` to its body limit).
const MAX_COPIED: usize = 3 << 20;

/// What an operation puts somewhere may not make the object deeper than this. Copies and moves, in themselves small, could otherwise
/// nest it until whoever walks through it runs out of stack.
const MAX_DEPTH: usize = 200;

/// So many values may be pushed aside in lists and looked at in what is moved. 10,000 operations at the head of a list of a million
/// would take a minute; a second is enough for anybody.
const MAX_TOUCHED: usize = 50_000_000;

/// Apply a JSON patch; `patch` is the request body.
pub fn json_patch(object: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let malformed = |message: String| PatchError::Malformed(format!("error decoding patch: {message}"));
    let found = match go::parse(patch) {
        Ok(Value::Array(operations)) => return run(object, &operations),
        Err(error) => return Err(malformed(error.to_string())),
        Ok(Value::Null) => return Ok(object.clone()),
        Ok(Value::Object(_)) => "object",
        Ok(Value::String(_)) => "string",
        Ok(Value::Bool(_)) => "bool",
        Ok(Value::Number(_)) => "number",
    };
    Err(malformed(format!(
        "json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
    )))
}

fn run(object: &Value, operations: &[Value]) -> Result<Value, PatchError> {
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::Malformed(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut object = object.clone();
    let mut spent = Spent::default();
    for operation in operations {
        let Value::Object(operation) = operation else {
            let message = format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type handlers.jsonPatchOp",
                go::kind(operation)
            );
            return Err(PatchError::Malformed(message));
        };
        step(&mut object, operation, &mut spent).map_err(PatchError::Unprocessable)?;
    }
    Ok(object)
}

/// What a patch has taken so far.
#[derive(Default)]
struct Spent {
    /// Bytes.
    copied: usize,
    /// Values.
    touched: usize,
}

impl Spent {
    fn touch(&mut self, values: usize) -> Result<(), String> {
        self.touched += values;
        if self.touched > MAX_TOUCHED {
            return Err(format!(
                "the operations of the patch move more than {MAX_TOUCHED} values"
            ));
        }
        Ok(())
    }
}

/// How many values there are, inside of each other too.
fn values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum::<usize>(),
        Value::Object(map) => map.values().map(values).sum(),
        _ => 0,
    }
}

fn step(object: &mut Value, operation: &Map<String, Value>, spent: &mut Spent) -> Result<(), String> {
    let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| format!("{kind} operation failed to decode path: missing value"));
    let value = operation.get("value").cloned().unwrap_or(Value::Null);
    match kind {
        "add" => {
            let path = path?;
            fits(path, &value)?;
            let (parent, key) = find(object, path).ok_or_else(|| {
                format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            add(parent, &key, value, spent).map_err(|e| format!("error in add for path: '{path}': {e}"))
        }
        "remove" => {
            let path = path?;
            let (parent, key) = find(object, path).ok_or_else(|| {
                format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            remove(parent, &key, spent)
                .map(drop)
                .map_err(|e| format!("error in remove for path: '{path}': {e}"))
        }
        "replace" => replace(object, path?, value),
        "test" => test(object, path?, &value),
        "move" => {
            let from = text("from").ok_or("move operation failed to decode from: missing value")?;
            let (parent, key) = find(object, from).ok_or_else(|| {
                format!("move operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            let moved =
                remove(parent, &key, spent).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
            let path = path?;
            spent.touch(values(&moved))?;
            fits(path, &moved)?;
            let (parent, key) = find(object, path).ok_or_else(|| {
                format!(
                    "move operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(parent, &key, moved, spent).map_err(|e| format!("error in move for path: '{path}': {e}"))
        }
        "copy" => {
            let from = text("from").ok_or("copy operation failed to decode from: missing value")?;
            let (parent, key) = find(object, from).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            let copy = get(parent, &key)
                .map_err(|e| format!("error in copy for from: '{from}': {e}"))?
                .unwrap_or(&Value::Null);
            spent.copied += copy.to_string().len();
            if spent.copied > MAX_COPIED {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {MAX_COPIED}",
                    spent.copied
                ));
            }
            let copy = copy.clone();
            let path = path?;
            fits(path, &copy)?;
            let (parent, key) = find(object, path).ok_or_else(|| {
                format!(
                    "copy operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(parent, &key, copy, spent).map_err(|e| format!("error while adding value during copy: {e}"))
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    fits(path, &value)?;
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array".to_owned());
        }
        *object = value;
        return Ok(());
    }
    let (parent, key) = find(object, path).ok_or_else(|| {
        format!("replace operation does not apply: doc is missing path: {path}: missing value")
    })?;
    match parent {
        Value::Object(map) => {
            map.insert(key, value);
            Ok(())
        }
        Value::Array(items) => {
            let at = index(&key, items.len()).map_err(|_| {
                format!("replace operation does not apply: doc is missing key: {path}: missing value")
            })?;
            items[at] = value;
            Ok(())
        }
        _ => Err(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        )),
    }
}

fn test(object: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let failed = || format!("testing value {path} failed: test failed");
    if path.is_empty() {
        return if object == value { Ok(()) } else { Err(failed()) };
    }
    let (parent, key) = find(object, path)
        .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: missing value"))?;
    let found = get(parent, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
    if same(found.unwrap_or(&Value::Null), value) {
        Ok(())
    } else {
        Err(failed())
    }
}

/// Equal as JSON documents, in which 1 and 1.0 are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

/// The container that a pointer's last part is looked up in, and that part.
fn find<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = path
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .peekable();
    let mut at = object;
    loop {
        let part = parts.next()?;
        if parts.peek().is_none() {
            return (at.is_object() || at.is_array()).then_some((at, part));
        }
        at = match at {
            Value::Object(map) => map.get_mut(&part)?,
            Value::Array(items) => {
                let at = index(&part, items.len()).ok()?;
                &mut items[at]
            }
            _ => return None,
        };
    }
}

fn get<'a>(parent: &'a Value, key: &str) -> Result<Option<&'a Value>, String> {
    match parent {
        Value::Array(items) => index(key, items.len()).map(|at| Some(&items[at])),
        other => Ok(other.get(key)),
    }
}

/// Whether a value may stand at this path.
fn fits(path: &str, value: &Value) -> Result<(), String> {
    if path.matches('/').count() + kube_types::depth(value) > MAX_DEPTH {
        return Err(format!("the result is nested more than {MAX_DEPTH} levels deep"));
    }
    Ok(())
}

fn add(parent: &mut Value, key: &str, value: Value, spent: &mut Spent) -> Result<(), String> {
    match parent {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(key, items.len() + 1)?;
            spent.touch(items.len() - at)?;
            items.insert(at, value);
        }
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        _ => {}
    }
    Ok(())
}

fn remove(parent: &mut Value, key: &str, spent: &mut Spent) -> Result<Value, String> {
    match parent {
        Value::Array(items) => {
            let at = index(key, items.len())?;
            spent.touch(items.len() - at)?;
            Ok(items.remove(at))
        }
        Value::Object(map) => map
            .remove(key)
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value")),
        _ => Ok(Value::Null),
    }
}

/// An index below `length`; a negative one counts from the end.
fn index(key: &str, length: usize) -> Result<usize, String> {
    let at: i64 = key.parse().map_err(|_| {
        format!(
            "value was not a proper array index: '{key}': strconv.Atoi: parsing \"{key}\": invalid syntax"
        )
    })?;
    let absolute = if at < 0 { at + length as i64 } else { at };
    usize::try_from(absolute)
        .ok()
        .filter(|absolute| *absolute < length)
        .ok_or_else(|| format!("Unable to access invalid index: {at}: invalid index referenced"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn patched(object: Value, patch: Value) -> Result<Value, String> {
        json_patch(&object, patch.to_string().as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn operations() {
        let object = json!({"data": {"y": "2"}, "list": [1, 2], "a/b": {"~": 1}});
        let cases = [
            (
                json!([{"op": "add", "path": "/data/z", "value": "3"}]),
                "/data/z",
                json!("3"),
            ),
            (
                json!([{"op": "add", "path": "/list/1", "value": 9}]),
                "/list",
                json!([1, 9, 2]),
            ),
            (
                json!([{"op": "add", "path": "/list/-", "value": 9}]),
                "/list",
                json!([1, 2, 9]),
            ),
            (json!([{"op": "remove", "path": "/list/-1"}]), "/list", json!([1])),
            (
                json!([{"op": "replace", "path": "/data/new", "value": 1}]),
                "/data/new",
                json!(1),
            ),
            (
                json!([{"op": "replace", "path": "/a~1b/~0", "value": 2}]),
                "/a~1b/~0",
                json!(2),
            ),
            (
                json!([{"op": "move", "from": "/data/y", "path": "/list/0"}]),
                "/list",
                json!(["2", 1, 2]),
            ),
            (
                json!([{"op": "copy", "from": "/list", "path": "/data/l"}]),
                "/data/l",
                json!([1, 2]),
            ),
            (
                json!([{"op": "test", "path": "/data/none", "value": null}]),
                "/data/y",
                json!("2"),
            ),
            (
                json!([{"op": "test", "path": "/list/0", "value": 1.0}]),
                "/list/0",
                json!(1),
            ),
        ];
        for (patch, at, wanted) in cases {
            assert_eq!(
                patched(object.clone(), patch.clone()).unwrap().pointer(at),
                Some(&wanted),
                "{patch}"
            );
        }
    }

    #[test]
    fn what_does_not_apply() {
        let object = json!({"data": {"y": "2"}, "list": [1]});
        let fails = |patch: Value| patched(object.clone(), patch).unwrap_err();
        assert_eq!(
            fails(json!([{"op": "test", "path": "/data/y", "value": "9"}])),
            "testing value /data/y failed: test failed"
        );
        assert_eq!(
            fails(json!([{"op": "remove", "path": "/data/none"}])),
            "error in remove for path: '/data/none': Unable to remove nonexistent key: none: missing value"
        );
        assert_eq!(
            fails(json!([{"op": "add", "path": "/no/way", "value": 1}])),
            "add operation does not apply: doc is missing path: \"/no/way\": missing value"
        );
        assert!(fails(json!([{"op": "add", "path": "/list/7", "value": 1}])).contains("invalid index"));
        assert_eq!(
            fails(json!([{"op": "fly", "path": "/data"}])),
            "Unexpected kind: fly"
        );
        assert!(matches!(
            json_patch(&object, b"{}"),
            Err(PatchError::Malformed(_))
        ));
        assert!(matches!(
            json_patch(&object, b"[1]"),
            Err(PatchError::Malformed(_))
        ));
        let twice: Vec<_> = (0..30)
            .map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/x{n}")}))
            .collect();
        assert!(
            fails(Value::from(twice)).contains("accumulated size"),
            "copies cannot grow without end"
        );
    }

    #[test]
    fn a_short_patch_is_short_work() {
        let long = json!({"a": vec![0; 100_000]});
        let at_the_head = vec![json!({"op": "add", "path": "/a/0", "value": 1}); 9_999];
        let back_and_forth =
            [("/a", "/b"), ("/b", "/a")].map(|(from, to)| json!({"op": "move", "from": from, "path": to}));
        for patch in [
            at_the_head,
            back_and_forth.iter().cycle().take(8_000).cloned().collect(),
        ] {
            let error = patched(long.clone(), Value::from(patch)).unwrap_err();
            assert!(error.contains("move more than 50000000 values"), "{error}");
        }
        let at_the_end = vec![json!({"op": "add", "path": "/a/-", "value": 1}); 9_999];
        assert!(patched(long, Value::from(at_the_end)).is_ok());
    }

    #[test]
    fn depth_does_not_double_with_every_copy() {
        let mut patch = vec![json!({"op": "add", "path": "/a", "value": {"a": {}}})];
        for doubled in 1..17 {
            let leaf = "/a".repeat(1 << doubled);
            patch.push(json!({"op": "copy", "from": "/a", "path": format!("{leaf}/a")}));
        }
        let error = patched(json!({}), Value::from(patch)).unwrap_err();
        assert_eq!(error, "the result is nested more than 200 levels deep");
        let moves = (0..1000).flat_map(|_| {
            [
                json!({"op": "add", "path": "/n", "value": {}}),
                json!({"op": "move", "from": "/a", "path": "/n/a"}),
                json!({"op": "move", "from": "/n", "path": "/a"}),
            ]
        });
        let error = patched(json!({"a": 1}), moves.collect()).unwrap_err();
        assert_eq!(error, "the result is nested more than 200 levels deep");
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i8>().prop_map(Value::from), "[a-c]".prop_map(Value::from)];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-c]", document(), 0..3)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    fn operation() -> impl Strategy<Value = Value> {
        let path = || "(/(a|b|c|0|1|-)){1,3}";
        prop_oneof![
            (path(), document()).prop_map(|(path, value)| json!({"op": "add", "path": path, "value": value})),
            path().prop_map(|path| json!({"op": "remove", "path": path})),
            (path(), path()).prop_map(|(from, path)| json!({"op": "move", "from": from, "path": path})),
            (path(), path()).prop_map(|(from, path)| json!({"op": "copy", "from": from, "path": path})),
            (path(), document())
                .prop_map(|(path, value)| json!({"op": "test", "path": path, "value": value})),
        ]
    }

    proptest! {
        /// The crate json-patch is the oracle where it accepts a patch. (`replace` and a copy of an absent key differ on purpose.)
        #[test]
        fn agrees_with_another_implementation(object in object(), patch in prop::collection::vec(operation(), 1..4)) {
            let mut wanted = object.clone();
            let operations: ::json_patch::Patch = serde_json::from_value(Value::from(patch.clone())).unwrap();
            let accepted = ::json_patch::patch_unsafe(&mut wanted, &operations).is_ok();
            let ours = patched(object, Value::from(patch));
            if accepted {
                prop_assert_eq!(ours, Ok(wanted));
            }
        }
    }
}
