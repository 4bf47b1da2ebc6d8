//! Strategic merge patch: what kubectl sends, directives, and what does not fit.
use serde_json::{Value, json};

use super::strategic_merge_patch;
use crate::PatchError;

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const SERVICE: &str = "io.k8s.api.core.v1.Service";

fn patch(definition: &str, object: Value, patch: Value) -> Value {
    strategic_merge_patch(definition, &object, patch.to_string().as_bytes()).unwrap()
}

fn fails(definition: &str, object: Value, patch: &str) -> PatchError {
    strategic_merge_patch(definition, &object, patch.as_bytes()).unwrap_err()
}

fn pod(containers: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": containers}})
}

fn containers(definition_patch: Value, before: Value) -> Value {
    patch(
        POD,
        pod(before),
        json!({"spec": {"containers": definition_patch}}),
    )["spec"]["containers"]
        .clone()
}

#[test]
fn maps_merge_and_null_deletes() {
    let map = json!({"data": {"x": "1", "y": "2"}});
    let patched = patch(
        CONFIG_MAP,
        map.clone(),
        json!({"data": {"x": null, "z": "3", "none": null}}),
    );
    assert_eq!(patched, json!({"data": {"y": "2", "z": "3"}}));
    assert_eq!(patch(CONFIG_MAP, map.clone(), json!({"data": null})), json!({}));
    let fresh = patch(
        CONFIG_MAP,
        map,
        json!({"metadata": {"labels": {"a": "b", "c": null}}}),
    );
    assert_eq!(
        fresh["metadata"],
        json!({"labels": {"a": "b"}}),
        "nulls of an added map vanish"
    );
}

#[test]
fn lists_merge_by_key() {
    let before = json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1", "env": [{"name": "X", "value": "1"}]}]);
    let merged = containers(
        json!([{"name": "b", "image": "2", "env": [{"name": "Y", "value": "2"}]}]),
        before.clone(),
    );
    assert_eq!(
        merged,
        json!([
            {"name": "a", "image": "1"},
            {"name": "b", "image": "2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}
        ])
    );
    let added = containers(json!([{"name": "c", "image": "3"}]), before.clone());
    assert_eq!(added.as_array().unwrap().len(), 3);
    assert_eq!(
        added[0]["name"], "c",
        "an added element comes before those of the server that it is not ordered with"
    );
    let deleted = containers(json!([{"name": "b", "$patch": "delete"}]), before.clone());
    assert_eq!(deleted, json!([{"name": "a", "image": "1"}]));
    let replaced = containers(
        json!([{"name": "z", "image": "9"}, {"$patch": "replace"}]),
        before,
    );
    assert_eq!(replaced, json!([{"name": "z", "image": "9"}]));
}

#[test]
fn ports_merge_by_port_number_alone() {
    let before =
        json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
    let patched = patch(
        SERVICE,
        before,
        json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
    );
    assert_eq!(
        patched["spec"]["ports"][0],
        json!({"port": 80, "protocol": "TCP", "targetPort": 8080})
    );
}

#[test]
fn map_directives() {
    let before = json!({"data": {"x": "1"}});
    let replaced = patch(
        CONFIG_MAP,
        before.clone(),
        json!({"data": {"$patch": "replace", "y": "2"}}),
    );
    assert_eq!(replaced, json!({"data": {"y": "2"}}));
    assert_eq!(
        patch(CONFIG_MAP, before.clone(), json!({"data": {"$patch": "delete"}})),
        json!({"data": {}})
    );
    let error = fails(CONFIG_MAP, before, r#"{"data": {"$patch": "sing", "y": "2"}}"#);
    assert_eq!(
        error,
        PatchError::Malformed("unknown patch type: sing in map: map[$patch:sing y:2]".into())
    );
}

#[test]
fn retain_keys_drops_the_other_kind_of_volume() {
    let before = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let change = json!({"spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]}});
    assert_eq!(
        patch(POD, before.clone(), change)["spec"]["volumes"],
        json!([{"name": "v", "hostPath": {"path": "/"}}])
    );
    let wrong =
        r#"{"spec": {"volumes": [{"$retainKeys": ["name"], "name": "v", "hostPath": {"path": "/"}}]}}"#;
    assert_eq!(
        fails(POD, before, wrong),
        PatchError::Malformed("invalid patch format of retainKeys".into())
    );
    let strategy = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let recreate = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(
        patch(DEPLOYMENT, strategy, recreate)["spec"]["strategy"],
        json!({"type": "Recreate"})
    );
}

/// What `kubectl apply` sends when an element is removed, one is added and the order changes.
#[test]
fn element_order() {
    let before =
        json!([{"name": "A", "value": "1"}, {"name": "server", "value": "s"}, {"name": "B", "value": "2"}]);
    let before = json!([{"name": "c", "image": "i", "env": before}]);
    let merged = containers(
        json!([{"name": "c", "$setElementOrder/env": [{"name": "C"}, {"name": "B"}],
                "env": [{"name": "C", "value": "3"}, {"name": "A", "$patch": "delete"}]}]),
        before,
    );
    let names: Vec<_> = merged[0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["C", "server", "B"]);
    let wrong = fails(
        POD,
        pod(json!([{"name": "c"}])),
        r#"{"spec":{"$setElementOrder/containers":[{"name":"x"}],"containers":[{"name":"c"}]}}"#,
    );
    assert!(
        wrong
            .to_string()
            .starts_with("The order in patch list:\n[map[name:c]]\n doesn't match"),
        "{wrong}"
    );
}

#[test]
fn primitive_lists() {
    let before = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let patched = patch(
        POD,
        before.clone(),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}),
    );
    assert_eq!(patched["metadata"]["finalizers"], json!(["a", "c"]));
    let merged = patch(
        POD,
        before.clone(),
        json!({"metadata": {"finalizers": ["d", "a"]}}),
    );
    assert_eq!(merged["metadata"]["finalizers"], json!(["d", "a", "b", "c"]));
    let ordered = patch(
        POD,
        before,
        json!({"metadata": {"$setElementOrder/finalizers": ["c", "x", "a"], "finalizers": ["x"],
               "$deleteFromPrimitiveList/finalizers": ["b"]}}),
    );
    assert_eq!(ordered["metadata"]["finalizers"], json!(["c", "x", "a"]));
    let atomic = json!({"spec": {"containers": [{"name": "c", "command": ["x", "y"]}]}});
    let replaced = patch(
        POD,
        atomic,
        json!({"spec": {"containers": [{"name": "c", "command": ["z"]}]}}),
    );
    assert_eq!(
        replaced["spec"]["containers"][0]["command"],
        json!(["z"]),
        "atomic lists are replaced"
    );
}

#[test]
fn what_does_not_fit_the_type() {
    let map = json!({"data": {"x": "1"}});
    let error = fails(CONFIG_MAP, map.clone(), r#"{"data":{"y":7}}"#);
    assert_eq!(
        error,
        PatchError::Unprocessable(
            r#"patch: Invalid value: "map[data:map[y:7]]": cannot convert int64 to string"#.into()
        )
    );
    let message = |definition: &str, patch: &str| fails(definition, json!({}), patch).to_string();
    assert!(message(DEPLOYMENT, r#"{"spec":{"replicas":"x"}}"#).ends_with(": unrecognized type: int32"));
    assert!(
        message(DEPLOYMENT, r#"{"spec":{"replicas":1.5}}"#).ends_with(": cannot convert float64 to int32")
    );
    assert!(message(POD, r#"{"spec":[]}"#).ends_with(": cannot restore struct from: slice"));
    assert!(message(POD, r#"{"spec":{"containers":"x"}}"#).ends_with(": cannot restore slice from string"));
    assert!(message(CONFIG_MAP, r#"{"data":"x"}"#).ends_with(": cannot restore map from string"));
    assert!(
        message(POD, r#"{"spec":{"restartPolicy":3}}"#)
            .ends_with(": cannot convert int64 to v1.RestartPolicy")
    );
    assert_eq!(message(CONFIG_MAP, "{\"data\":"), "unexpected end of JSON input");
    let no_key = fails(
        POD,
        pod(json!([{"name": "c"}])),
        r#"{"spec":{"containers":[{"image":"x"}]}}"#,
    );
    assert_eq!(
        no_key,
        PatchError::Malformed("map: map[image:x] does not contain declared merge key: name".into())
    );
}

mod properties {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
        prop::collection::btree_map("[a-d]", prop::option::of("[xy]"), 0..4)
    }

    /// Environment variables by name.
    fn variables() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[A-E]", "[12]", 0..4)
    }

    fn env(variables: &BTreeMap<String, String>) -> Vec<Value> {
        variables
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect()
    }

    proptest! {
        /// On plain maps a strategic merge patch is a merge patch.
        #[test]
        fn maps_as_merge_patch(before in labels(), change in labels()) {
            let before: BTreeMap<_, _> = before.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
            let object = json!({"metadata": {"name": "p", "labels": before}});
            let change = json!({"metadata": {"labels": change}});
            let merged = crate::merge_patch(&object, change.to_string().as_bytes()).unwrap();
            prop_assert_eq!(patch(POD, object, change), merged);
        }

        /// Merging a keyed list is merging a map from key to element; deletions are part of it, and nothing comes twice.
        #[test]
        fn lists_as_maps(before in variables(), change in variables(), gone in prop::collection::btree_set("[A-E]", 0..3)) {
            let object = pod(json!([{"name": "c", "env": env(&before)}]));
            let mut list = env(&change);
            let gone: Vec<_> = gone.into_iter().filter(|name| !change.contains_key(name)).collect();
            list.extend(gone.iter().map(|name| json!({"name": name, "$patch": "delete"})));
            let patched = patch(POD, object, json!({"spec": {"containers": [{"name": "c", "env": list}]}}));
            let found = patched["spec"]["containers"][0]["env"].as_array().unwrap();
            let found: Vec<_> = found.iter().map(|v| (v["name"].as_str().unwrap(), v["value"].as_str().unwrap())).collect();
            let mut wanted = before.clone();
            wanted.extend(change.clone());
            wanted.retain(|name, _| !gone.contains(name));
            prop_assert_eq!(found.len(), wanted.len());
            let found: BTreeMap<_, _> = found.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

/// Each key looked for in a list of all would be 10^10 steps.
#[test]
fn many_keys_are_retained() {
    let keys: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let data: Value = keys.iter().map(|key| (key.clone(), json!("x"))).collect();
    let retained = json!({"data": {"$retainKeys": keys[1..]}});
    let patched = patch(CONFIG_MAP, json!({"data": data}), retained);
    assert_eq!(
        patched["data"].as_object().map(serde_json::Map::len),
        Some(99_999)
    );
}
