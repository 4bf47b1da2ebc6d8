//! Pods: what only one system has, keys of labels, annotations, amounts of the whole pod, pods at a gate.
use serde_json::{Value, json};

use super::{container, create, pod, template, update};

#[test]
fn windows_has_no_linux_settings() {
    let context = json!({"runAsUser": 1, "fsGroup": 1, "sysctls": [{"name": "a.b", "value": "1"}], "supplementalGroups": [1]});
    let mut own = container();
    own["securityContext"] = json!({"privileged": false, "capabilities": {}, "readOnlyRootFilesystem": true});
    let spec = json!({"os": {"name": "windows"}, "hostPID": true, "hostUsers": true, "securityContext": context,
        "containers": [own]});
    let not = "Forbidden: cannot be set for a windows pod";
    assert_eq!(
        create("Pod", pod(spec)),
        [
            format!("spec.hostUsers: {not}"),
            format!("spec.hostPID: {not}"),
            format!("spec.securityContext.fsGroup: {not}"),
            format!("spec.securityContext.sysctls: {not}"),
            format!("spec.securityContext.runAsUser: {not}"),
            format!("spec.securityContext.supplementalGroups: {not}"),
            format!("spec.containers[0].securityContext.capabilities: {not}"),
            format!("spec.containers[0].securityContext.readOnlyRootFilesystem: {not}"),
            format!("spec.containers[0].securityContext.privileged: {not}"),
        ]
    );
    let fine = json!({"os": {"name": "windows"}, "containers": [container()],
        "securityContext": {"windowsOptions": {"runAsUserName": "NT AUTHORITY\\NETWORK SERVICE"}}});
    assert_eq!(create("Pod", pod(fine)), [""; 0]);
    let whole = json!({"os": {"name": "windows"}, "resources": {"limits": {"cpu": "1"}}, "containers": [container()]});
    assert_eq!(
        create("Pod", pod(whole)),
        ["spec.resources: Forbidden: may not be set for a windows pod"]
    );
}

#[test]
fn linux_has_no_windows_settings() {
    let mut own = container();
    own["securityContext"] = json!({"windowsOptions": {}});
    let spec = json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "a"}}, "containers": [own]});
    let not = "Forbidden: windows options cannot be set for a linux pod";
    assert_eq!(
        create("Pod", pod(spec)),
        [
            format!("spec.securityContext.windowsOptions: {not}"),
            format!("spec.containers[0].securityContext.windowsOptions: {not}"),
        ]
    );
    assert_eq!(
        create("Pod", pod(json!({"os": {}, "containers": [container()]}))),
        ["spec.os.name: Required value"]
    );
}

#[test]
fn windows_options() {
    let user = |name: &str| {
        let context = json!({"windowsOptions": {"runAsUserName": name}});
        let found = create(
            "Pod",
            pod(json!({"securityContext": context, "containers": [container()]})),
        );
        let prefix = format!(
            "spec.securityContext.windowsOptions.runAsUserName: Invalid value: {}: ",
            json!(name)
        );
        let stripped = found.iter().map(|f| f.strip_prefix(&prefix).unwrap().to_owned());
        stripped.collect::<Vec<_>>()
    };
    assert_eq!(user("a"), [""; 0]);
    assert_eq!(user("corp.example\\a b"), [""; 0]);
    assert_eq!(user(""), ["runAsUserName cannot be an empty string"]);
    assert_eq!(
        user("a\\b\\c"),
        ["runAsUserName cannot contain more than one backslash"]
    );
    assert_eq!(
        user(".\\"),
        [
            "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
            "runAsUserName's User cannot be empty",
        ]
    );
    assert_eq!(
        user(". ."),
        ["runAsUserName's User cannot contain only periods or spaces"]
    );
    assert_eq!(
        user("a@b"),
        ["runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]
    );
    let mut process = container();
    process["securityContext"] = json!({"windowsOptions": {"hostProcess": true}});
    let mut other = container();
    other["name"] = "d".into();
    assert_eq!(
        create("Pod", pod(json!({"containers": [process, other]}))),
        [
            "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be HostProcess containers",
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
        ]
    );
}

#[test]
fn keys_of_labels() {
    let spread = |rest: Value| {
        let mut constraint =
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        constraint
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        create(
            "Pod",
            pod(json!({"containers": [container()], "topologySpreadConstraints": [constraint]})),
        )
    };
    assert_eq!(
        spread(json!({"matchLabelKeys": ["app"]})),
        [
            "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
        ]
    );
    // What the API server makes of a key that the selector has already.
    let selector = json!({"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]});
    assert_eq!(
        spread(json!({"matchLabelKeys": ["other", "app"], "labelSelector": selector})),
        [
            "spec.topologySpreadConstraints[0][1]: Invalid value: \"app\": exists in both matchLabelKeys and labelSelector"
        ]
    );
    assert_eq!(
        spread(json!({"matchLabelKeys": ["app"], "labelSelector": {}})),
        [""; 0]
    );
    let term = json!({"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a b", "c"], "mismatchLabelKeys": ["c"]});
    let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let found = create(
        "Pod",
        pod(json!({"containers": [container()], "affinity": affinity})),
    );
    let path = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys";
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with(&format!(
        "{path}[0]: Invalid value: \"a b\": name part must consist of"
    )));
    assert_eq!(
        found[1],
        format!("{path}[1]: Invalid value: \"c\": exists in both matchLabelKeys and mismatchLabelKeys")
    );
}

#[test]
fn annotations_that_mean_something() {
    let annotated = |annotations: Value, context: Value| {
        let mut own = container();
        own["securityContext"] = context;
        create(
            "Pod",
            json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [own]}}),
        )
    };
    assert_eq!(
        annotated(
            json!({"controller.kubernetes.io/pod-deletion-cost": "+1", "kubernetes.io/config.mirror": "x",
                "seccomp.security.alpha.kubernetes.io/pod": "strict",
                "container.apparmor.security.beta.kubernetes.io/nobody": "strict"}),
            json!({})
        ),
        [
            "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
            "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer",
            "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"strict\": must be a valid seccomp profile",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/nobody]: Invalid value: \"nobody\": container not found",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/nobody]: Invalid value: \"strict\": invalid AppArmor \
             profile name: \"strict\"",
        ]
    );
    for fine in ["-5", "0", "2147483647"] {
        let annotations = json!({"controller.kubernetes.io/pod-deletion-cost": fine});
        assert_eq!(annotated(annotations, json!({})), [""; 0]);
    }
    assert_eq!(
        annotated(
            json!({"container.seccomp.security.alpha.kubernetes.io/c": "unconfined",
                "container.apparmor.security.beta.kubernetes.io/c": "localhost/a"}),
            json!({"seccompProfile": {"type": "RuntimeDefault"},
                "appArmorProfile": {"type": "Localhost", "localhostProfile": "b"}})
        ),
        [
            "spec.containers[0].securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
            "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field \
             must match",
        ]
    );
    let old = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [container()]}});
    let found = update("Pod", "", old, |new| {
        new["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    });
    assert_eq!(
        found,
        ["metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"]
    );
}

#[test]
fn amounts_of_the_whole_pod() {
    let mut one = container();
    one["resources"] = json!({"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}});
    let mut two = container();
    two["name"] = "d".into();
    two["resources"] = json!({"requests": {"cpu": "500m"}});
    let whole = json!({"requests": {"cpu": "1", "disk": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}});
    assert_eq!(
        create("Pod", pod(json!({"resources": whole, "containers": [one, two]}))),
        [
            "spec.resources.requests[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified",
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 1500m",
            "spec.resources.containers[0][memory].limits: Invalid value: \"2Gi\": must be less than or equal to pod limits of 1Gi",
        ]
    );
    let other = json!({"requests": {"ephemeral-storage": "1"}});
    assert_eq!(
        create(
            "Pod",
            pod(json!({"resources": other, "containers": [container()]}))
        ),
        [
            "spec.resources.requests[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \
             \"hugepages-\", \"memory\""
        ]
    );
    assert_eq!(
        create(
            "Pod",
            pod(json!({"overhead": {"pods": "1"}, "containers": [container()]}))
        ),
        ["spec.overhead.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers"]
    );
}

#[test]
fn files_of_variables() {
    let mut own = container();
    own["env"] = json!([{"name": "A", "valueFrom": {"fileKeyRef": {"key": "A", "volumeName": "v", "path": "../f"}}},
        {"name": "B", "valueFrom": {"fileKeyRef": {"key": "B", "volumeName": "none", "path": "f"}}}]);
    let spec = json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}], "containers": [own]});
    assert_eq!(
        create("Pod", pod(spec)),
        [
            "spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: \"../f\": must not contain '..'",
            "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"v\": referenced volume must be of type emptyDir",
            "spec.containers[0].env[1].valueFrom.fileKeyRef.volumeName: Not found: \"none\"",
        ]
    );
}

#[test]
fn pods_at_a_gate() {
    let term = |keys: &[&str]| {
        let expressions: Vec<Value> = keys
            .iter()
            .map(|key| json!({"key": key, "operator": "Exists"}))
            .collect();
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": expressions}]}}})
    };
    let gated = json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}, "affinity": term(&["x"]),
        "containers": [container()]});
    let narrower = update("Pod", "", pod(gated.clone()), |new| {
        new["spec"]["nodeSelector"]["c"] = "d".into();
        new["spec"]["affinity"] = term(&["x", "y"]);
    });
    assert_eq!(narrower, [""; 0]);
    let other = update("Pod", "", pod(gated.clone()), |new| {
        new["spec"]["nodeSelector"] = json!({"c": "d"});
        new["spec"]["affinity"] = term(&["y"]);
    });
    assert_eq!(
        other,
        [
            "spec.nodeSelector: Invalid value: {\"c\":\"d\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid value: \
             {\"MatchExpressions\":[{\"Key\":\"y\",\"Operator\":\"Exists\",\"Values\":null}],\"MatchFields\":null}: only additions are \
             allowed (no mutations or deletions)",
        ]
    );
    let elsewhere = update("Pod", "", pod(gated), |new| {
        new["spec"]["affinity"]["podAffinity"] = json!({"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "k", "labelSelector": {}}]});
    });
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].starts_with("spec: Forbidden: pod updates may not change fields other than"));
}

#[test]
fn users_of_its_own_and_raw_devices() {
    let mut own = container();
    own["volumeDevices"] = json!([{"name": "v", "devicePath": "/dev/x"}]);
    let spec = json!({"hostUsers": false, "containers": [own],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    assert_eq!(
        create("Pod", pod(spec)),
        ["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"]
    );
}

#[test]
fn templates_are_held_to_the_same() {
    let mut template = template();
    template["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "x"});
    template["spec"]["os"] = json!({"name": "windows"});
    template["spec"]["hostPID"] = true.into();
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    assert_eq!(
        create("Deployment", json!({"metadata": {"name": "d"}, "spec": spec})),
        [
            "spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"x\": must be a 32bit integer",
            "spec.template.spec.hostPID: Forbidden: cannot be set for a windows pod",
        ]
    );
}
