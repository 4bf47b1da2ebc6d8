//! Reading documents as Go does: errors, canonical forms, what appears and what goes.
#![allow(clippy::unwrap_used)] // Helpers outside #[test] functions are not exempt by themselves.

use schema::{normalise, unknown_fields};
use serde_json::{Value, json};

const SECRET: &str = "io.k8s.api.core.v1.Secret";
const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fn error(definition: &str, mut object: Value) -> String {
    normalise(definition, &mut object).unwrap_err().message
}

#[test]
fn wrong_types_are_worded_as_go_does() {
    assert_eq!(
        error(
            "io.k8s.api.core.v1.ConfigMap",
            json!({"metadata": {"annotations": {"a": true}}})
        ),
        "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.annotations of type string"
    );
    assert_eq!(
        error(DEPLOYMENT, json!({"spec": {"replicas": "3"}})),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        error(DEPLOYMENT, json!({"spec": {"replicas": 1.5}})),
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        error(POD, json!({"spec": {"containers": {"name": "c"}}})),
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
    );
    assert_eq!(
        error(
            POD,
            json!({"spec": {"containers": [{"imagePullPolicy": 1}, {"image": 2}]}})
        ),
        "json: cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy"
    );
    assert_eq!(
        error(POD, json!({"spec": {"volumes": [{"emptyDir": "x"}]}})),
        "json: cannot unmarshal string into Go struct field Volume.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource"
    );
    assert_eq!(
        error(
            DEPLOYMENT,
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": true}}}})
        ),
        "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"
    );
    assert_eq!(
        error(POD, json!("x")),
        "json: cannot unmarshal string into Go value of type v1.Pod"
    );
    assert_eq!(
        error(
            POD,
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}})
        ),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
    assert_eq!(
        error("io.k8s.api.core.v1.Secret", json!({"data": {"a": "b*"}})),
        "illegal base64 data at input byte 1"
    );
    // Each of them as Go's decoder says it.
    for (text, at) in [
        ("Bad_Name!", 3),
        ("AAAAA", 4),
        ("AA=", 3),
        ("AA=A", 2),
        ("AAA=A", 4),
        ("=", 0),
        ("AA\nA_", 4),
    ] {
        assert_eq!(
            error("io.k8s.api.core.v1.Secret", json!({"data": {"a": text}})),
            format!("illegal base64 data at input byte {at}"),
            "{text}"
        );
    }
    assert_eq!(
        error("io.k8s.api.core.v1.Secret", json!({"data": {"a": 7}})),
        "json: cannot unmarshal number into Go struct field Secret.data of type []uint8"
    );
    assert_eq!(
        error(POD, json!({"metadata": {"creationTimestamp": "x"}})),
        r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#
    );
}

#[test]
fn go_round_trip() {
    let mut pod = json!({
        "metadata": {"name": "p", "labels": null, "annotations": {}, "creationTimestamp": null},
        "spec": {
            "hostNetwork": false, "shareProcessNamespace": false, "unknown": 1,
            "containers": [{"name": "c", "image": "", "env": [], "tty": false, "resources": {"limits": {"cpu": "1000m", "memory": 1024}},
                "securityContext": {"privileged": false}, "livenessProbe": {"httpGet": {"port": 80}}}]
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}
    });
    normalise(POD, &mut pod).unwrap();
    assert_eq!(
        pod,
        json!({
            "metadata": {"name": "p"},
            "spec": {
                "shareProcessNamespace": false,
                "containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1024"}},
                    "securityContext": {"privileged": false}, "livenessProbe": {"httpGet": {"port": 80}}}]
            },
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}]}
        })
    );
    let before = pod.clone();
    normalise(POD, &mut pod).unwrap();
    assert_eq!(pod, before);
}

#[test]
fn what_go_always_writes() {
    let mut deployment = json!({"metadata": {"name": "d"}});
    normalise(DEPLOYMENT, &mut deployment).unwrap();
    assert_eq!(
        deployment,
        json!({"metadata": {"name": "d"}, "status": {}, "spec": {"selector": null, "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": null}}}})
    );
}

#[test]
fn unknown_fields_with_paths() {
    let pod = json!({"kinda": 1, "metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c"}, {"imagee": "x", "ports": [{"p": 1}]}]}});
    assert_eq!(
        unknown_fields(POD, &pod),
        [
            r#"unknown field "kinda""#,
            r#"unknown field "spec.containers[1].imagee""#,
            r#"unknown field "spec.containers[1].ports[0].p""#
        ]
    );
}

/// What a JSON text of this kind is told, as a body of a request is.
fn of_text(definition: &str, json: &str) -> Result<Value, String> {
    let mut object = serde_json::from_str(json).unwrap();
    schema::normalise_text(definition, &mut object, json.as_bytes()).map_err(|e| e.message)?;
    Ok(object)
}

#[test]
fn numbers_are_told_as_they_were_written() {
    for (field, literal, kind) in [
        ("terminationGracePeriodSeconds", "1e2", "int64"),
        ("terminationGracePeriodSeconds", "99999999999999999999", "int64"),
        ("priority", "1E0", "int32"),
        ("priority", "1.50", "int32"),
    ] {
        assert_eq!(
            of_text(POD, &format!(r#"{{"spec": {{"{field}": {literal}}}}}"#)).unwrap_err(),
            format!(
                "json: cannot unmarshal number {literal} into Go struct field PodSpec.spec.{field} of type {kind}"
            )
        );
    }
    assert_eq!(
        of_text(POD, r#"{"spec": {"priority": -0}}"#).unwrap()["spec"]["priority"],
        0
    );
    let limit = |number: &str| {
        let json =
            format!(r#"{{"spec": {{"containers": [{{"resources": {{"limits": {{"cpu": {number}}}}}}}]}}}}"#);
        of_text(POD, &json).unwrap()["spec"]["containers"][0]["resources"]["limits"]["cpu"].clone()
    };
    assert_eq!(limit("1e3"), "1e3");
    assert_eq!(limit("1.5"), "1500m");
    assert_eq!(limit("0.000000001"), "1n");
}

#[test]
fn the_first_wrong_type_in_the_text_is_told() {
    let told = |json: &str| of_text(POD, json).unwrap_err();
    let name = "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string";
    let host = "json: cannot unmarshal number into Go struct field PodSpec.spec.hostname of type string";
    assert_eq!(
        told(r#"{"spec": {"hostname": 1}, "metadata": {"name": 1}}"#),
        host
    );
    assert_eq!(
        told(r#"{"metadata": {"name": 1}, "spec": {"hostname": 1}}"#),
        name
    );
    // Bytes that are none do not end the reading, a type that reads itself does.
    let secret = r#"{"metadata": {"name": 1}, "data": {"a": "!!"}}"#;
    assert_eq!(of_text(SECRET, secret).unwrap_err(), name);
    assert!(
        told(r#"{"spec": {"hostname": 1}, "metadata": {"creationTimestamp": "x"}}"#)
            .starts_with("parsing time")
    );
}

#[test]
fn zero_times_and_bytes() {
    let zero = r#"{"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z", "deletionTimestamp": "0001-01-01T00:00:00Z"}}"#;
    assert_eq!(
        of_text(SECRET, zero).unwrap()["metadata"],
        json!({"deletionTimestamp": null})
    );
    let bytes = r#"{"data": {"a": null, "b": [1, 2, null], "c": "AB==", "d": "AAB="}}"#;
    assert_eq!(
        of_text(SECRET, bytes).unwrap()["data"],
        json!({"a": "", "b": "AQIA", "c": "AA==", "d": "AAA="})
    );
    assert_eq!(
        of_text(SECRET, r#"{"data": {"a": ["x"]}}"#).unwrap_err(),
        "json: cannot unmarshal string into Go struct field Secret.data of type uint8"
    );
}
