//! What of existing objects may not become so, as kube-apiserver 1.36.2 answered (`PUT` of the object or of its status).
use serde_json::{Value, json};

use super::update;

/// One field is set; complaints once each, as messages have them.
fn set(kind: &str, subresource: &str, object: &Value, field: &str, value: Value) -> Vec<String> {
    let mut told = update(kind, subresource, object.clone(), |new| {
        let mut at = new;
        for part in field.split('.') {
            at = match part.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[part],
            };
        }
        *at = value;
    });
    let mut seen = Vec::new();
    told.retain(|line| {
        let new = !seen.contains(line);
        seen.push(line.clone());
        new
    });
    told
}

/// Kind, subresource, object, field, its new value, and what is said of it.
type Case<'a> = (&'a str, &'a str, &'a Value, &'a str, Value, Vec<String>);

#[test]
fn one_field_at_a_time() {
    let meta = json!({"name": "x"});
    let budget = json!({"metadata": meta, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
        "status": {"disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "conditions": [
            {"type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let node = json!({"metadata": meta, "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "1.2.3.4"}]}});
    let service = |kind: &str| {
        json!({"metadata": meta, "spec": {"type": kind, "selector": {"a": "b"}, "ports": [{"port": 80}], "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}, "status": {"loadBalancer": {}}})
    };
    let (inside, balanced) = (service("ClusterIP"), service("LoadBalancer"));
    let map = json!({"metadata": meta});
    let class = json!({"metadata": meta, "provisioner": "a.b/c"});
    let runtime = json!({"metadata": meta, "handler": "h", "scheduling": {"tolerations": [{"key": "a", "operator": "Exists"}]}});
    let event = json!({"metadata": {"name": "x", "namespace": "ns"}, "involvedObject": {"namespace": "ns"}});
    let pod = json!({"metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"qosClass": "BestEffort"}});
    let space = json!({"metadata": meta, "status": {"phase": "Active"}});
    let ip = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let job = json!({"metadata": meta, "spec": {"manualSelector": true, "selector": {"matchLabels": {"a": "b"}},
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let routes = json!({"metadata": meta, "spec": {"controller": "a.b/c"}});
    let cases: Vec<Case<'_>> = vec![
        ("PodDisruptionBudget", "status", &budget, "status.conditions.0.status", json!("Truex"), vec![
            "status.conditions[0].status: Unsupported value: \"Truex\": supported values: \"False\", \"True\", \"Unknown\"".into(),
        ]),
        ("PodDisruptionBudget", "status", &budget, "status.conditions.0.reason", json!(""), vec![
            "status.conditions[0].reason: Required value".into(),
        ]),
        ("Node", "", &node, "spec.podCIDRs", json!(["10.0.0.0/24", "10.0.1.0/24"]), vec![
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than one CIDR for each IP family".into(),
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid".into(),
        ]),
        ("Node", "status", &node, "status.addresses", json!([{"type": "A", "address": "b"}, {"type": "A", "address": "b"}]), vec![
            "status.addresses[1]: Duplicate value: {\"Type\":\"A\",\"Address\":\"b\"}".into(),
        ]),
        ("Service", "status", &inside, "status.loadBalancer.ingress", json!([{"ip": "1.2.3.4"}]), vec![
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'".into(),
        ]),
        ("Service", "status", &balanced, "status.loadBalancer.ingress", json!([{"ip": "x", "ipMode": "VIP"}]), vec![
            format!("status.loadBalancer.ingress[0].ip: Invalid value: \"x\": {ip}"),
        ]),
        ("StorageClass", "", &class, "provisioner", json!(""), vec![
            "provisioner: Required value".into(),
            "provisioner: Invalid value: \"\": field is immutable".into(),
        ]),
        ("RuntimeClass", "", &runtime, "scheduling.tolerations.0.operator", json!("7"), vec![
            "scheduling.tolerations[0].operator: Unsupported value: \"7\": supported values: \"Equal\", \"Exists\"".into(),
        ]),
        ("Event", "", &event, "involvedObject.namespace", json!("7"), vec![
            "involvedObject.namespace: Invalid value: \"7\": does not match event.namespace".into(),
        ]),
        ("Pod", "status", &pod, "status.hostIPs", json!([{"ip": "1.2.3.5"}]), vec![
            "status.hostIPs[0].ip: Invalid value: \"1.2.3.5\": must be equal to `hostIP`".into(),
        ]),
        ("Pod", "status", &pod, "status.qosClass", json!("Other"), vec![
            "status.qosClass: Invalid value: \"Other\": field is immutable".into(),
        ]),
        ("Namespace", "status", &space, "status.phase", json!("x"), vec![
            "status.Phase: Invalid value: \"x\": may only be 'Active' if `deletionTimestamp` is empty".into(),
        ]),
        ("ConfigMap", "", &map, "metadata.deletionGracePeriodSeconds", json!(3), vec![
            "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable".into(),
        ]),
        (
            "Job",
            "",
            &job,
            "spec.podFailurePolicy.rules.0.onExitCodes.values",
            json!([2]),
            vec![
                "spec.podFailurePolicy: Invalid value: {\"Rules\":[{\"Action\":\"FailJob\",\"OnExitCodes\":{\"ContainerName\":null,\"Operator\":\"In\",\
                 \"Values\":[2]},\"OnPodConditions\":null}]}: field is immutable"
                    .into(),
            ],
        ),
        (
            "IngressClass",
            "",
            &routes,
            "spec.controller",
            Value::Null,
            vec![
                "spec.controller: Invalid value: \"\": field is immutable".into(),
                "spec.controller: Required value".into(),
            ],
        ),
    ];
    for (kind, subresource, object, field, value, told) in cases {
        assert_eq!(
            set(kind, subresource, object, field, value),
            told,
            "{kind} {field}"
        );
    }
}

#[test]
fn classes_ranges_and_addresses() {
    let meta = json!({"name": "x"});
    let class = json!({"metadata": meta, "provisioner": "a.b/c", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}]});
    let attributes = json!({"metadata": meta, "driverName": "a.b", "parameters": {"a": "b"}});
    let range = json!({"metadata": meta, "spec": {"cidrs": ["10.77.0.0/24"]}});
    let parent = json!({"group": "", "resource": "services", "namespace": "d", "name": "x"});
    let address = json!({"metadata": {"name": "10.77.0.5"}, "spec": {"parentRef": parent}});
    let cases: Vec<Case<'_>> = vec![
        ("StorageClass", "", &class, "allowedTopologies.0.matchLabelExpressions", Value::Null, vec![
            "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\"".into(),
        ]),
        ("StorageClass", "", &class, "allowedTopologies.0.matchLabelExpressions.0.values", json!(["b", "b"]), vec![
            "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"b\"".into(),
        ]),
        ("VolumeAttributesClass", "", &attributes, "driverName", json!(""), vec![
            "driverName: Forbidden: updates to driverName are forbidden.".into(),
            "driverName: Required value".into(),
        ]),
        ("VolumeAttributesClass", "", &attributes, "parameters", json!({"a": "other"}), vec![
            "parameters: Forbidden: updates to parameters are forbidden.".into(),
        ]),
        ("ServiceCIDR", "", &range, "spec.cidrs.0", json!("other"), vec![
            "spec.cidrs[0]: Invalid value: \"other\": field is immutable".into(),
        ]),
        ("ServiceCIDR", "", &range, "spec.cidrs", json!(["10.77.0.0/24", "x"]), vec![
            "spec.cidrs[1]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into(),
        ]),
        ("ServiceCIDR", "", &range, "spec.cidrs", json!(["10.77.0.0/24", "2001:db8::/64"]), vec![]),
        ("IPAddress", "", &address, "spec.parentRef.name", json!(""), vec![
            "spec.parentRef.name: Required value".into(),
            "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"d\",\"Name\":\"\"}: field is immutable".into(),
        ]),
    ];
    for (kind, subresource, object, field, value, told) in cases {
        assert_eq!(
            set(kind, subresource, object, field, value),
            told,
            "{kind} {field}"
        );
    }
}
