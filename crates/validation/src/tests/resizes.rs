//! What a resize may do to a pod (ValidatePodResize; the cases are those of upstream's TestValidatePodResize, and its words).
use serde_json::{Value, json};

use super::{create, pod, update};

fn resources(requests: Value, limits: Value) -> Value {
    json!({"requests": requests, "limits": limits})
}

/// A pod with one container that asks for this, and what its node says of it.
fn running(resources: &Value, class: &str) -> Value {
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    json!({"metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i", "resources": resources}]},
        "status": {"qosClass": class, "containerStatuses": [{"name": "c", "image": "i", "imageID": "x", "ready": true,
            "restartCount": 0, "state": state, "resources": resources}]}})
}

#[test]
fn what_containers_ask_for() {
    let only = "spec: Forbidden: only cpu and memory resources are mutable";
    let qos = |class: &str| {
        format!("spec: Invalid value: \"{class}\": Pod QOS Class may not change as a result of resizing")
    };
    let cpu = |amount: &str| json!({"cpu": amount});
    let two = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let both = |cpu: &str, memory: &str| resources(two(cpu, memory), two(cpu, memory));
    let less = resources(cpu("100m"), json!({}));
    let removed = |what: &str| {
        format!("spec.containers[0].resources.{what}: Forbidden: resource {what} cannot be removed")
    };
    // Class, before, after, what is said of it.
    let cases: Vec<(&str, Value, Value, Vec<String>)> = vec![
        ("Burstable", less.clone(), resources(cpu("200m"), json!({})), vec![]),
        ("Burstable", less.clone(), resources(cpu("50m"), json!({})), vec![]),
        ("Burstable", less.clone(), resources(cpu("100m"), cpu("1")), vec![]),
        ("Burstable", less.clone(), resources(two("100m", "1Gi"), json!({})), vec![]),
        ("Guaranteed", both("1", "1Gi"), both("2", "512Mi"), vec![]),
        ("Guaranteed", both("1", "1Gi"), both("0.5", "2Gi"), vec![]),
        ("Burstable", less.clone(), both("1", "1Gi"), vec![qos("Burstable")]),
        ("Guaranteed", both("1", "1Gi"), resources(two("1", "512Mi"), two("1", "1Gi")), vec![qos("Guaranteed")]),
        ("BestEffort", json!({}), less.clone(), vec![qos("BestEffort")]),
        ("Burstable", less.clone(), json!({}), vec![qos("Burstable"), removed("requests")]),
        ("Burstable", resources(two("1", "1Gi"), cpu("1")), resources(two("1", "1Gi"), json!({})), vec![removed("limits")]),
        ("Burstable", resources(two("1", "1Gi"), cpu("1")), resources(json!({"memory": "1Gi"}), cpu("1")),
            // Defaulting gives the request back where the limit is; a raw change shows the rule.
            vec![removed("requests")]),
        ("Burstable", less.clone(), resources(json!({"cpu": "100m", "ephemeral-storage": "1Gi"}), json!({})), vec![only.into()]),
        ("Burstable", resources(json!({"cpu": "1", "a.b/c": "1"}), json!({"a.b/c": "1"})),
            resources(json!({"cpu": "2", "a.b/c": "2"}), json!({"a.b/c": "2"})), vec![only.into()]),
        ("Burstable", less.clone(), resources(cpu("2"), cpu("1")),
            vec!["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1".into()]),
    ];
    for (class, before, after, said) in cases {
        let told = update("Pod", "resize", running(&before, class), |new| {
            new["spec"]["containers"][0]["resources"] = after.clone();
        });
        assert_eq!(told, said, "{before} -> {after}");
    }
}

#[test]
fn pods_that_cannot_be_resized() {
    let asked = resources(json!({"cpu": "1"}), json!({}));
    let grow = |new: &mut Value| new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("2");
    let mut mirror = running(&asked, "Burstable");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    assert_eq!(
        update("Pod", "resize", mirror, grow),
        ["[]: Forbidden: static pods cannot be resized"]
    );
    let mut windows = running(&asked, "Burstable");
    windows["spec"]["os"] = json!({"name": "windows"});
    assert_eq!(
        update("Pod", "resize", windows, grow),
        ["[]: Forbidden: windows pods cannot be resized"]
    );
    let mut old_node = running(&asked, "Burstable");
    old_node["status"]["containerStatuses"][0]
        .as_object_mut()
        .unwrap()
        .remove("resources");
    assert_eq!(
        update("Pod", "resize", old_node.clone(), grow),
        ["spec: Forbidden: Pod running on node without support for resize"]
    );
    old_node["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(update("Pod", "resize", old_node, grow), [""; 0]);
    let mut devices = running(&asked, "Burstable");
    devices["status"]["nodeAllocatableResourceClaimStatuses"] =
        json!([{"resourceClaimName": "x", "resources": {"cpu": "1"}}]);
    assert_eq!(
        update("Pod", "resize", devices, grow),
        ["spec: Forbidden: pods with node allocatable resource claims cannot be resized"]
    );
}

#[test]
fn nothing_else_changes() {
    let asked = resources(json!({"cpu": "1"}), json!({}));
    let mut two = running(&asked, "Burstable");
    let second = json!({"name": "d", "image": "i"});
    two["spec"]["containers"].as_array_mut().unwrap().push(second);
    two["spec"]["initContainers"] = json!([{"name": "i", "image": "i"}]);
    let said = |change: fn(&mut Value)| update("Pod", "resize", two.clone(), change);
    assert_eq!(
        said(|new| drop(new["spec"]["containers"].as_array_mut().unwrap().pop())),
        ["spec.containers: Forbidden: containers may not be added or removed on resize"]
    );
    assert_eq!(
        said(|new| new["spec"]["containers"].as_array_mut().unwrap().reverse()),
        [
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
            "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize",
        ]
    );
    assert_eq!(
        said(|new| new["spec"]["initContainers"] = json!([])),
        ["spec.initContainers: Forbidden: initContainers may not be added or removed on resize"]
    );
    assert_eq!(
        said(|new| new["spec"]["initContainers"][0]["name"] = json!("j")),
        ["spec.initContainers[0].name: Forbidden: initContainers may not be renamed or reordered on resize"]
    );
    let only = "spec: Forbidden: only cpu and memory resources are mutable";
    assert_eq!(
        said(|new| new["spec"]["containers"][1]["resizePolicy"] =
            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])),
        [only]
    );
    assert_eq!(
        said(|new| new["spec"]["initContainers"][0]["image"] = json!("j")),
        [
            "spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"
        ]
    );
    assert_eq!(said(|new| new["spec"]["hostNetwork"] = json!(true)), [only]);
    assert_eq!(
        said(|new| new["spec"]["initContainers"][0]["resources"] = json!({"requests": {"cpu": "1"}})),
        [""; 0]
    );
}

#[test]
fn what_the_pod_as_a_whole_asks_for() {
    let none = json!({});
    let mut whole = running(&none, "Burstable");
    let requests = |cpu: &str| json!({"cpu": cpu, "memory": "1Gi"});
    whole["spec"]["resources"] = resources(requests("1"), json!({"memory": "1Gi"}));
    let said = |after: Value| {
        update("Pod", "resize", whole.clone(), |new| {
            new["spec"]["resources"] = after
        })
    };
    assert_eq!(said(resources(requests("2"), json!({"memory": "2Gi"}))), [""; 0]);
    assert_eq!(
        said(Value::Null),
        [
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.resources: Forbidden: pod-level resources cannot be removed",
        ]
    );
    assert_eq!(
        said(resources(requests("1"), json!({}))),
        ["spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"]
    );
    assert_eq!(
        said(resources(
            json!({"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "2Mi"}),
            json!({"memory": "1Gi", "hugepages-2Mi": "2Mi"})
        )),
        ["spec: Forbidden: only cpu and memory resources are mutable at pod-level"]
    );
    // It may be given some where it had none.
    let bare = running(&resources(json!({"cpu": "1"}), none), "Burstable");
    let given = update("Pod", "resize", bare, |new| {
        new["spec"]["resources"] = json!({"requests": {"cpu": "2"}})
    });
    assert_eq!(given, [""; 0]);
}

#[test]
fn only_sidecars_restart_for_a_resize() {
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let spec = |restart: Value| {
        let init = json!({"name": "i", "image": "i", "resizePolicy": policy, "restartPolicy": restart});
        pod(json!({"initContainers": [init], "containers": [{"name": "c", "image": "i"}]}))
    };
    assert_eq!(create("Pod", spec(json!("Always"))), [""; 0]);
    assert_eq!(
        create("Pod", spec(Value::Null)),
        [
            "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to \
             'RestartContainer' for non-sidecar initContainers"
        ]
    );
}
