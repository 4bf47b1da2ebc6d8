//! Defaulted objects, as upstream 1.36 shows them.
#![allow(clippy::unwrap_used)] // Helpers outside #[test] functions are not exempt by themselves.

use schema::{by_kind, normalise, set_defaults};
use serde_json::{Value, json};

fn defaulted(definition: &str, mut object: Value) -> Value {
    normalise(definition, &mut object).unwrap();
    set_defaults(definition, &mut object);
    let before = object.clone();
    set_defaults(definition, &mut object);
    assert_eq!(object, before, "defaulting is idempotent");
    normalise(definition, &mut object).unwrap();
    assert_eq!(object, before, "defaulted objects are normal");
    object
}

#[test]
fn deployment_as_the_conformance_case_shows_it() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "demo.local/busybox:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}]}}}});
    let spec = defaulted("io.k8s.api.apps.v1.Deployment", deployment)["spec"].to_string();
    assert_eq!(
        spec,
        r#"{"progressDeadlineSeconds":600,"replicas":0,"revisionHistoryLimit":10,"selector":{"matchLabels":{"app":"web"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"image":"demo.local/busybox:1","imagePullPolicy":"IfNotPresent","name":"c","ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}],"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}}"#
    );
}

#[test]
fn pod() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "sa", "hostNetwork": true,
        "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "0.0001"}},
            "readinessProbe": {"httpGet": {"port": "http"}}, "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}],
        "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "m"}}, {"name": "c", "hostPath": {"path": "/"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}});
    let pod = defaulted("io.k8s.api.core.v1.Pod", pod);
    assert_eq!(
        pod["spec"],
        json!({"serviceAccountName": "sa", "serviceAccount": "sa", "hostNetwork": true, "enableServiceLinks": true,
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "c", "image": "x", "imagePullPolicy": "Always", "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}},
                "readinessProbe": {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "m", "defaultMode": 420}},
                {"name": "c", "hostPath": {"path": "/", "type": ""}},
                {"name": "d", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}]})
    );
    assert_eq!(pod["status"], json!({}));
}

#[test]
fn others() {
    let service = defaulted(
        "io.k8s.api.core.v1.Service",
        json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
    );
    assert_eq!(
        service["spec"],
        json!({"type": "NodePort", "sessionAffinity": "None", "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    );
    let job = defaulted(
        "io.k8s.api.batch.v1.Job",
        json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
    );
    assert_eq!(job["spec"]["completions"], json!(1));
    assert_eq!(job["spec"]["podReplacementPolicy"], json!("TerminatingOrFailed"));
    let cron = defaulted(
        "io.k8s.api.batch.v1.CronJob",
        json!({"spec": {"schedule": "@daily"}}),
    );
    assert_eq!(cron["spec"]["jobTemplate"]["spec"].get("suspend"), None);
    assert_eq!(
        cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"],
        json!("ClusterFirst")
    );
    let secret = defaulted("io.k8s.api.core.v1.Secret", json!({"stringData": {"a": "b"}}));
    assert_eq!(
        secret,
        json!({"metadata": {}, "type": "Opaque", "data": {"a": "Yg=="}})
    );
    let namespace = defaulted("io.k8s.api.core.v1.Namespace", json!({"metadata": {"name": "n"}}));
    assert_eq!(
        namespace["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "n"})
    );
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    let set = json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}});
    let set = defaulted("io.k8s.api.apps.v1.StatefulSet", set);
    assert_eq!(
        set["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"],
        json!("Filesystem")
    );
    assert_eq!(
        set["spec"]["volumeClaimTemplates"][0]["status"],
        json!({"phase": "Pending"})
    );
    assert_eq!(
        set["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    );
    let hpa = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}});
    let hpa = defaulted("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", hpa);
    assert_eq!(hpa["spec"]["behavior"]["scaleDown"]["selectPolicy"], json!("Max"));
    assert_eq!(
        hpa["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        json!(80)
    );
    let binding = defaulted(
        "io.k8s.api.rbac.v1.RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}),
    );
    assert_eq!(binding["subjects"][0]["apiGroup"], binding["roleRef"]["apiGroup"]);
}

#[test]
fn pod_level_requests() {
    let pod = json!({"spec": {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "containers": [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {"requests": {"cpu": "200m"}}}],
        "initContainers": [{"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}}, {"resources": {"requests": {"cpu": "1"}}}]}});
    let pod = defaulted("io.k8s.api.core.v1.Pod", pod);
    assert_eq!(
        pod["spec"]["resources"]["requests"],
        json!({"cpu": "1050m", "memory": "1Gi"})
    );
}

#[test]
fn every_kind_takes_an_empty_object() {
    for kind in schema::kinds() {
        defaulted(kind.definition, json!({}));
    }
    assert!(by_kind("", "v1", "Pod").is_some());
}
