//! What upstream answers (conformance cases 01, 04 and 05 among it), and that ordinary objects pass.
use serde_json::{Value, json};

use crate::{Cause, validate_create, validate_update};

mod changes;
mod devices;
mod others;
mod pods;
mod resizes;

/// What an API server does before it validates.
fn prepared(definition: &str, mut object: Value) -> Value {
    schema::normalise(definition, &mut object).unwrap();
    schema::set_defaults(definition, &mut object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    let namespaced = schema::kinds()
        .iter()
        .any(|k| k.definition == definition && k.namespaced);
    if namespaced {
        metadata.entry("namespace").or_insert("ns".into());
    }
    object
}

fn definition(kind: &str) -> &'static str {
    schema::kinds()
        .iter()
        .find(|k| k.kind == kind && !k.version.contains("beta"))
        .unwrap()
        .definition
}

/// `FIELD: MESSAGE` of each.
pub(crate) fn told(causes: Vec<Cause>) -> Vec<String> {
    let one = |cause: Cause| format!("{}: {}", cause.field, cause.message);
    causes.into_iter().map(one).collect()
}

/// Everything wrong with a new object.
fn create(kind: &str, object: Value) -> Vec<String> {
    let definition = definition(kind);
    told(validate_create(definition, &prepared(definition, object)))
}

/// Everything wrong with a change of an object.
fn update(kind: &str, subresource: &str, old: Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let definition = definition(kind);
    let mut old = prepared(definition, old);
    old["metadata"]["resourceVersion"] = "1".into();
    let mut new = old.clone();
    change(&mut new);
    schema::normalise(definition, &mut new).unwrap();
    told(validate_update(definition, subresource, &old, &new))
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn container() -> Value {
    json!({"name": "c", "image": "x"})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container()]}})
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn bad_pods_of_case_05() {
    assert_eq!(
        create("Pod", pod(json!({"containers": []}))),
        ["spec.containers: Required value"]
    );
    let bad = json!({"metadata": {"name": "Bad Name"}, "spec": {"restartPolicy": "Sometimes", "containers": [{
        "name": "c", "image": "x", "imagePullPolicy": "Maybe", "ports": [{"containerPort": 70000}],
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}});
    assert_eq!(
        create("Pod", bad),
        [
            format!("metadata.name: Invalid value: \"Bad Name\": {SUBDOMAIN}"),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive".into(),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"".into(),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1".into(),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"".into(),
        ]
    );
}

#[test]
fn the_others_of_cases_01_and_05() {
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [container()]}}}});
    assert_eq!(
        create("Deployment", deployment),
        [
            "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"
        ]
    );
    assert_eq!(
        create(
            "Service",
            json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 0}]}})
        ),
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"
        ]
    );
    let labels = json!({"controller-uid": "u", "job-name": "j", "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j"});
    let job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container()]}}}});
    assert_eq!(
        create("Job", job),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
    assert_eq!(
        create(
            "ConfigMap",
            json!({"metadata": {"name": "x", "labels": {"bad key!": "v"}}})
        ),
        [
            "metadata.labels: Invalid value: \"bad key!\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(
        create("ConfigMap", json!({"metadata": {"name": "Bad_Name"}})),
        [format!("metadata.name: Invalid value: \"Bad_Name\": {SUBDOMAIN}")]
    );
}

/// The pod of conformance case 04, as upstream's admission leaves it, and the diff that upstream prints.
#[test]
fn pod_updates_of_case_04() {
    let mount = json!({"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    let container = |name: &str, image: &str| json!({"name": name, "image": image, "volumeMounts": [mount]});
    let old = pod(json!({
        "nodeName": "nowhere", "serviceAccountName": "default",
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "containers": [container("a", "demo.local/busybox:1"), container("b", "demo.local/busybox:2")],
        "volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}]
    }));
    let found = update("Pod", "", old.clone(), |pod| {
        pod["spec"]["containers"][1]["command"] = json!(["x"]);
    });
    let wanted = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n\
        @@ -134,7 +134,9 @@\n   {\n    \"Name\": \"b\",\n    \"Image\": \"demo.local/busybox:2\",\n-   \"Command\": null,\n+   \"Command\": [\n+    \"x\"\n+   ],\n    \"Args\": null,\n    \"WorkingDir\": \"\",\n    \"Ports\": null,\n";
    assert_eq!(found, [wanted]);
    let image = update("Pod", "", old.clone(), |pod| {
        pod["spec"]["containers"][1]["image"] = "y".into();
    });
    assert_eq!(image, [""; 0]);
    let fewer = update("Pod", "", old.clone(), |pod| {
        drop(pod["spec"]["containers"].as_array_mut().unwrap().pop());
    });
    assert_eq!(
        fewer,
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    let labels = update("Pod", "", old, |pod| {
        pod["metadata"]["labels"] = json!({"a": "b"});
    });
    assert_eq!(labels, [""; 0]);
}

#[test]
fn ordinary_objects_pass() {
    let rich = json!({
        "initContainers": [{"name": "i", "image": "x", "command": ["sh"]}, {"name": "side", "image": "x", "restartPolicy": "Always",
            "readinessProbe": {"exec": {"command": ["true"]}}}],
        "containers": [{"name": "c", "image": "x", "env": [{"name": "A.b", "value": "1"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
            "ports": [{"name": "http", "containerPort": 80}], "livenessProbe": {"httpGet": {"port": "http"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": 1, "example.com/gpu": 2}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "d", "mountPath": "/d"}], "securityContext": {"runAsUser": 0}}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "s", "secret": {"secretName": "s", "defaultMode": 256}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "tolerations": [{"operator": "Exists"}]
    });
    let selector = json!({"matchLabels": {"a": "b"}});
    let template = |spec: &Value| json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let objects = [
        ("Pod", json!({"spec": rich})),
        (
            "Deployment",
            json!({"spec": {"selector": selector, "template": template(&rich)}}),
        ),
        (
            "ReplicaSet",
            json!({"spec": {"selector": selector, "template": template(&rich)}}),
        ),
        (
            "DaemonSet",
            json!({"spec": {"selector": selector, "template": template(&rich)}}),
        ),
        (
            "StatefulSet",
            json!({"spec": {"serviceName": "s", "selector": selector, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}}}}),
        ),
        (
            "CronJob",
            json!({"spec": {"schedule": "*/5 1-3,4 * jan-mar mon", "timeZone": "Europe/Berlin",
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}}}),
        ),
        (
            "Service",
            json!({"spec": {"selector": {"a": "b"}, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP"}]}}),
        ),
        (
            "Service",
            json!({"spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
        ),
        (
            "Service",
            json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
        ),
        (
            "Service",
            json!({"spec": {"type": "ExternalName", "externalName": "example.com."}}),
        ),
        (
            "ConfigMap",
            json!({"data": {"a.b": "1"}, "binaryData": {"bin": "AAH/"}}),
        ),
        (
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "AA==", "tls.key": "AA=="}}),
        ),
        ("PersistentVolumeClaim", json!({"spec": claim})),
        (
            "PersistentVolume",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}}),
        ),
        ("StorageClass", json!({"provisioner": "cncfdemo/local"})),
        ("PriorityClass", json!({"value": -10})),
        ("Namespace", json!({"spec": {"finalizers": ["kubernetes"]}})),
        ("ServiceAccount", json!({})),
        (
            "Node",
            json!({"spec": {"podCIDRs": ["10.64.1.0/24"], "taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        ),
        (
            "ResourceQuota",
            json!({"spec": {"hard": {"pods": 3, "requests.cpu": "1", "count/deployments.apps": 2}}}),
        ),
        (
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}]}}),
        ),
        (
            "Role",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        (
            "ClusterRole",
            json!({"rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}),
        ),
        (
            "RoleBinding",
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "system:r"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]}),
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}}),
        ),
        (
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "50%", "selector": selector}}),
        ),
        (
            "Lease",
            json!({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 40}}),
        ),
        (
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
        ),
        (
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]}),
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80, "endPort": 90}]}]}}),
        ),
        (
            "Event",
            json!({"involvedObject": {"kind": "Pod", "namespace": "ns"}}),
        ),
    ];
    for (kind, mut object) in objects {
        object["metadata"] = json!({"name": "n", "annotations": {"Example.com/Note": "any text"}, "finalizers": ["example.com/hold"]});
        assert_eq!(create(kind, object.clone()), [""; 0], "{kind}");
        assert_eq!(
            update(kind, "", object, |o| o["metadata"]["labels"] = json!({"x": "y"})),
            [""; 0],
            "{kind} changed"
        );
    }
}

#[test]
fn metadata() {
    let meta = |metadata: Value| create("ConfigMap", json!({"metadata": metadata}));
    assert_eq!(
        meta(json!({})),
        ["metadata.name: Required value: name or generateName is required"]
    );
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]);
    assert_eq!(
        meta(json!({"name": "n", "ownerReferences": owner})),
        ["metadata.ownerReferences.name: Invalid value: \"\": must not be empty"]
    );
    assert_eq!(
        meta(json!({"name": "n", "annotations": {"a": "x".repeat(262_144)}})),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    );
    assert!(
        meta(json!({"name": "n", "finalizers": ["not a name"]}))[0]
            .starts_with("metadata.finalizers: Invalid value: \"not a name\"")
    );
    let object = json!({"metadata": {"name": "n"}});
    assert_eq!(
        update("ConfigMap", "", object.clone(), |o| o["metadata"]["uid"] =
            "other".into()),
        // Once as every kind is asked, and once by the kind's own rules.
        ["metadata.uid: Invalid value: \"other\": field is immutable"; 2]
    );
    let deleting = json!({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(
        update("ConfigMap", "", deleting, |o| o["metadata"]["finalizers"] =
            json!(["a/b"])),
        ["metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/b\"}";
            2]
    );
    assert_eq!(
        create("Namespace", json!({"metadata": {"name": "a.b"}})),
        ["metadata.name: Invalid value: \"a.b\": must not contain dots"]
    );
}

#[test]
fn immutable_fields() {
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template()}});
    let changed = update("Deployment", "", deployment, |d| {
        d["spec"]["selector"]["matchLabels"] = json!({"a": "c"});
        d["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    });
    assert_eq!(
        changed,
        ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"]
    );
    let class = json!({"metadata": {"name": "p"}, "value": 1});
    assert_eq!(
        update("PriorityClass", "", class, |c| c["value"] = 2.into()),
        ["value: Forbidden: may not be changed in an update."]
    );
    let map = json!({"metadata": {"name": "m"}, "immutable": true, "data": {"a": "1"}});
    assert_eq!(
        update("ConfigMap", "", map, |m| m["data"]["a"] = "2".into()),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 1}]}});
    let moved = update("Service", "", service, |s| {
        s["spec"]["clusterIP"] = "10.0.0.2".into();
        s["spec"]["clusterIPs"] = json!(["10.0.0.2"]);
    });
    assert_eq!(
        moved,
        ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]
    );
    let set = json!({"metadata": {"name": "s"}, "spec": {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": template()}});
    let renamed = update("StatefulSet", "", set.clone(), |s| {
        s["spec"]["serviceName"] = "y".into();
    });
    assert!(renamed[0].starts_with(
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals'"
    ));
    assert_eq!(
        update("StatefulSet", "", set, |s| s["spec"]["replicas"] = 3.into()),
        [""; 0]
    );
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}});
    assert!(
        update("RoleBinding", "", binding, |b| b["roleRef"]["name"] = "s".into())[0]
            .ends_with("cannot change roleRef")
    );
}

#[test]
fn other_complaints() {
    let mut spec = json!({"containers": [container()]});
    spec["containers"][0]["volumeMounts"] = json!([{"name": "none", "mountPath": "/x"}]);
    spec["containers"][0]["env"] = json!([{"name": "A=B"}]);
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]);
    let found = create("Pod", pod(spec));
    assert_eq!(
        found[0],
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"
    );
    assert!(
        found[1].starts_with("spec.containers[0].env[0].name: Invalid value: \"A=B\""),
        "{found:?}"
    );
    assert_eq!(
        found[2],
        "spec.containers[0].volumeMounts[0].name: Not found: \"none\""
    );
    let twice = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}});
    assert_eq!(
        create("Service", twice),
        [
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}"
        ]
    );
    let cron = |schedule: &str| {
        json!({"metadata": {"name": "c"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [container()]}}}}}})
    };
    assert_eq!(
        create("CronJob", cron("61 * * * *")),
        ["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"]
    );
    assert_eq!(
        create("CronJob", cron("* *")),
        ["spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: [* *]"]
    );
    assert_eq!(create("CronJob", cron("@daily")), [""; 0]);
    let strategy = json!({"metadata": {"name": "d"}, "spec": {"strategy": {"type": "Slow"}, "selector": {"matchLabels": {"a": "b"}}, "template": template()}});
    assert_eq!(
        create("Deployment", strategy),
        [
            "spec.strategy: Unsupported value: {\"Type\":\"Slow\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\""
        ]
    );
    let big = json!({"metadata": {"name": "m"}, "data": {"a": "x".repeat((1 << 20) + 1)}});
    assert_eq!(
        create("ConfigMap", big),
        ["[]: Too long: may not be more than 1048576 bytes"]
    );
    let policy = json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": [{"to": [{}]}]}});
    assert_eq!(
        create("NetworkPolicy", policy),
        ["spec.egress[0].to[0]: Required value: must specify a peer"]
    );
}
