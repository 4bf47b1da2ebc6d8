//! RFC 7386 merge patch.
use serde_json::{Map, Value};

use crate::{error::PatchError, go};

/// Apply a merge patch; `patch` is the request body.
pub fn merge_patch(object: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    if patch.trim_ascii() == b"null" {
        return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
    }
    let patch = go::parse_object(patch).map_err(|error| match error {
        PatchError::Malformed(message) => PatchError::Malformed(format!("error decoding patch: {message}")),
        other => other,
    })?;
    let mut object = object.clone();
    merge(&mut object, patch);
    Ok(object)
}

fn merge(target: &mut Value, patch: Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(inner) => merge(target.entry(key).or_insert(Value::Null), inner),
            other => {
                target.insert(key, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cases_of_rfc_7386() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (object, patch, wanted) in cases {
            assert_eq!(
                merge_patch(&object, patch.to_string().as_bytes()).unwrap(),
                wanted,
                "{object} {patch}"
            );
        }
        let error = merge_patch(&json!({}), b"{\"a\":").unwrap_err();
        assert_eq!(
            error,
            PatchError::Malformed("error decoding patch: unexpected end of JSON input".into())
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i8>().prop_map(Value::from),
            "[a-c]".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-d]", value(), 0..4)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        /// The crate json-patch is the oracle.
        #[test]
        fn agrees_with_another_implementation(object in object(), patch in object()) {
            let mut wanted = object.clone();
            ::json_patch::merge(&mut wanted, &patch);
            prop_assert_eq!(merge_patch(&object, patch.to_string().as_bytes()).unwrap(), wanted);
        }
    }
}
