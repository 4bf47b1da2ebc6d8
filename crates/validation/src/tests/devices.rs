//! Devices, and what claims of volumes are filled with. What upstream answered stands in `tests/bad`; here is what its tests say.
use serde_json::{Value, json};

use super::{create, update};

fn claim(spec: Value) -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"devices": spec}})
}

fn request() -> Value {
    json!({"name": "r", "exactly": {"deviceClassName": "d"}})
}

#[test]
fn claims() {
    let wrong = |spec: Value| create("ResourceClaim", claim(spec));
    assert_eq!(wrong(json!({"requests": [request()]})), [""; 0]);
    assert_eq!(
        wrong(json!({"requests": [{"name": "r"}]})),
        [
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"
        ]
    );
    assert_eq!(
        wrong(
            json!({"requests": [request(), request()], "constraints": [{"requests": ["x"], "matchAttribute": "a"}]})
        ),
        [
            "spec.devices.requests[1]: Duplicate value: \"r\"",
            "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim or the name of a \
             request and a subrequest separated by '/'",
            "spec.devices.constraints[0].matchAttribute: Invalid value: \"a\": a fully qualified name must be a domain and a name separated \
             by a slash",
        ]
    );
    let taken = json!({"name": "r", "exactly": {"deviceClassName": "d", "allocationMode": "All", "count": 1,
        "tolerations": [{"operator": "Exists", "value": "v", "effect": "x"}]}});
    assert_eq!(
        wrong(json!({"requests": [taken]})),
        [
            "spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'",
            "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`",
            "spec.devices.requests[0].exactly.tolerations[0].effect: Unsupported value: \"x\": supported values: \"NoExecute\", \"NoSchedule\", \
             \"None\"",
        ]
    );
    assert_eq!(
        update(
            "ResourceClaim",
            "",
            claim(json!({"requests": [request()]})),
            |new| {
                new["spec"]["devices"] = json!({});
            }
        ),
        [
            "spec: Invalid value: {\"Devices\":{\"Requests\":null,\"Constraints\":null,\"Config\":null}}: field is immutable"
        ]
    );
}

#[test]
fn what_claims_were_given() {
    let result = json!({"request": "r", "driver": "a.b", "pool": "p", "device": "d"});
    let given = |status: Value| {
        update(
            "ResourceClaim",
            "status",
            claim(json!({"requests": [request()]})),
            |new| new["status"] = status,
        )
    };
    assert_eq!(
        given(json!({"allocation": {"devices": {"results": [result]}}})),
        [""; 0]
    );
    assert_eq!(
        given(
            json!({"reservedFor": [{"resource": "pods", "name": "p", "uid": ""}],
            "devices": [{"driver": "a.b", "pool": "p", "device": "d"}]})
        ),
        [
            "status.reservedFor[0].uid: Required value",
            "status.devices[0]: Invalid value: {\"Driver\":\"a.b\",\"Pool\":\"p\",\"Device\":\"d\",\"ShareID\":\"\"}: must be an allocated device \
             in the claim",
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ]
    );
}

#[test]
fn slices() {
    let slice = |change: &dyn Fn(&mut Value)| {
        let mut slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "a.b", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1},
            "devices": [{"name": "d", "attributes": {"a": {"int": 1}}}]}});
        change(&mut slice["spec"]);
        create("ResourceSlice", slice)
    };
    assert_eq!(slice(&|_| ()), [""; 0]);
    assert_eq!(
        slice(&|spec| spec["allNodes"] = true.into()),
        [
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` \
             is required, but multiple fields are set"
        ]
    );
    assert_eq!(
        slice(&|spec| spec["devices"][0]["attributes"] = json!({"a b": {"int": 1, "version": "1"}})),
        [
            "spec.devices[0].attributes: Invalid value: \"a b\": a valid C identifier must start with alphabetic character or '_', followed by \
             a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
             '[A-Za-z_][A-Za-z0-9_]*')",
            "spec.devices[0].attributes[a b].version: Invalid value: \"1\": must be a string compatible with semver.org spec 2.0.0",
            "spec.devices[0].attributes[a b]: Invalid value: {\"IntValue\":1,\"BoolValue\":null,\"StringValue\":null,\"VersionValue\":\"1\",\
             \"IntValues\":null,\"BoolValues\":null,\"StringValues\":null,\"VersionValues\":null}: exactly one value must be specified",
        ]
    );
    assert_eq!(
        slice(&|spec| {
            spec["devices"][0]["capacity"] = json!({"c": {"value": "4", "requestPolicy": {"default": "1", "validRange": {"min": "2", "step": "3"}}}});
            spec["devices"][0]["allowMultipleAllocations"] = true.into();
        }),
        [
            "spec.devices[0].capacity[c].requestPolicy.validRange.min: Invalid value: \"1\": default is less than min: 2",
            "spec.devices[0].capacity[c].requestPolicy.validRange.step: Invalid value: \"3\": one step 5 is larger than capacity value: 4",
            "spec.devices[0].capacity[c].requestPolicy.validRange.step: Invalid value: \"1\": value is not a multiple of a given step (3) from (2)",
        ]
    );
}

#[test]
fn sources_of_claims() {
    let claim = |more: Value| {
        let mut spec =
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        create(
            "PersistentVolumeClaim",
            json!({"metadata": {"name": "c"}, "spec": spec}),
        )
    };
    let source = json!({"apiGroup": "a.b", "kind": "K", "name": "n"});
    assert_eq!(
        claim(json!({"dataSource": source, "dataSourceRef": source})),
        [""; 0]
    );
    assert_eq!(
        claim(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "n"}, "dataSourceRef": source})),
        ["spec: Invalid value: {}: must match dataSourceRef"]
    );
    assert_eq!(
        claim(json!({"dataSourceRef": {"kind": "K", "name": ""}})),
        [
            "spec.dataSourceRef.name: Required value",
            "spec.dataSourceRef: Invalid value: \"K\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ]
    );
}

#[test]
fn where_volumes_are() {
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}]}}}});
    let becomes = |key: &'static str| {
        update("PersistentVolume", "", volume.clone(), move |new| {
            new["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["key"] =
                key.into();
        })
    };
    assert_eq!(becomes("kubernetes.io/os"), [""; 0]);
    assert_eq!(
        becomes("x"),
        [
            "nodeAffinity: Invalid value: {\"Required\":{\"NodeSelectorTerms\":[{\"MatchExpressions\":[{\"Key\":\"x\",\"Operator\":\"Exists\",\
             \"Values\":null}],\"MatchFields\":null}]}}: field is immutable, except for updating from beta label to GA"
        ]
    );
}
