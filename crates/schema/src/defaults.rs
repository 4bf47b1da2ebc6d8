//! Defaulting, as `pkg/apis/*/v1/defaults.go` and `zz_generated.defaults.go` of 1.36 do it: a kind's rule first, then the
//! declared defaults of its fields, then what is below.

use kube_types::Quantity;
use serde_json::{Map, Value, json};

use crate::{
    image::image_tag,
    pod_defaults::{default_pod, default_pod_spec},
    table::Table,
    types::{Definition, Node},
};

type Fields = Map<String, Value>;

/// Fill in every default that upstream would (`SetDefaults_*` and `+default`), and mirror the fields that its conversion keeps in
/// step (`serviceAccount`, `podIPs`, a Secret's `stringData`), in place. `definition` is an OpenAPI definition name; idempotent.
pub fn set_defaults(definition: &str, object: &mut Value) {
    let Some(definition) = Table::get().find(definition) else {
        return;
    };
    if let Value::Object(fields) = object {
        default_struct(definition, fields);
    }
}

fn default_struct(definition: &'static Definition, fields: &mut Fields) {
    // Structs that are not pointers are always there in Go.
    for field in &definition.fields {
        if matches!(field.node, Node::Object { .. })
            && !field.pointer
            && !field.omit_zero
            && is_absent(fields, field.name)
        {
            fields.insert(field.name.to_owned(), json!({}));
        }
    }
    default_kind(definition.name, fields);
    for field in &definition.fields {
        if let Some(default) = field.default() {
            let zero = if field.pointer {
                is_absent(fields, field.name)
            } else {
                is_zero(fields, field.name)
            };
            let no_op =
                !field.pointer && (default == json!("") || default == json!(0) || default == json!(false));
            if zero && !no_op {
                fields.insert(field.name.to_owned(), default);
            }
        }
        if let Some(value) = fields.get_mut(field.name) {
            if field.go_type == "v1.ResourceList" {
                round_up_resources(value);
            } else {
                default_node(&field.node, value);
            }
        }
    }
}

fn default_node(node: &'static Node, value: &mut Value) {
    match (node, value) {
        (Node::Object { definition, .. }, Value::Object(fields)) => {
            default_struct(Table::get().at(*definition), fields);
        }
        (Node::List { item, .. }, Value::Array(list)) => list.iter_mut().for_each(|v| default_node(item, v)),
        (Node::Map { value: inner, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|v| default_node(inner, v));
        }
        _ => {}
    }
}

/// Resources are kept to the milli: `SetDefaults_ResourceList`.
fn round_up_resources(value: &mut Value) {
    for value in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(quantity) = value.as_str().and_then(|s| s.parse::<Quantity>().ok()) else {
            continue;
        };
        let nanos = quantity.nano_value();
        if nanos % 1_000_000 != 0 {
            let rounded = (nanos / 1_000_000 + i128::from(nanos.signum() as i32)) * 1_000_000;
            *value = Value::String(Quantity::from_nano(rounded, quantity.format()).to_string());
        }
    }
}

fn default_kind(definition: &str, fields: &mut Fields) {
    let Some(name) = definition.strip_prefix("io.k8s.api.") else {
        return;
    };
    match name {
        "core.v1.Pod" => default_pod(fields),
        "core.v1.PodSpec" => default_pod_spec(fields),
        "core.v1.Container" | "core.v1.EphemeralContainer" => default_container(fields),
        "core.v1.Volume" => default_volume(fields),
        "core.v1.Probe" => default_each_zero(
            fields,
            [
                ("timeoutSeconds", json!(1)),
                ("periodSeconds", json!(10)),
                ("successThreshold", json!(1)),
                ("failureThreshold", json!(3)),
            ],
        ),
        "core.v1.HTTPGetAction" => {
            default_each_zero(fields, [("path", json!("/")), ("scheme", json!("HTTP"))])
        }
        "core.v1.ObjectFieldSelector" => default_zero(fields, "apiVersion", "v1"),
        "core.v1.SecretVolumeSource"
        | "core.v1.ConfigMapVolumeSource"
        | "core.v1.DownwardAPIVolumeSource"
        | "core.v1.ProjectedVolumeSource" => default_absent(fields, "defaultMode", 0o644),
        "core.v1.ServiceAccountTokenProjection" | "authentication.v1.TokenRequestSpec" => {
            default_absent(fields, "expirationSeconds", 3600);
        }
        "core.v1.HostPathVolumeSource" => default_absent(fields, "type", ""),
        "core.v1.Secret" => default_secret(fields),
        "core.v1.Service" => default_service(fields),
        "core.v1.EndpointPort" => default_zero(fields, "protocol", "TCP"),
        "core.v1.Namespace" => default_namespace(fields),
        "core.v1.NamespaceStatus" => default_zero(fields, "phase", "Active"),
        "core.v1.NodeStatus" => {
            if is_absent(fields, "allocatable")
                && let Some(capacity) = fields.get("capacity").cloned()
            {
                fields.insert("allocatable".to_owned(), capacity);
            }
        }
        "core.v1.PersistentVolumeSpec" => {
            default_zero(fields, "persistentVolumeReclaimPolicy", "Retain");
            default_absent(fields, "volumeMode", "Filesystem");
        }
        "core.v1.PersistentVolume" => default_in(fields, "status", |s| default_zero(s, "phase", "Pending")),
        "core.v1.PersistentVolumeClaim" => {
            default_in(fields, "status", |s| default_zero(s, "phase", "Pending"))
        }
        "core.v1.PersistentVolumeClaimSpec" => default_absent(fields, "volumeMode", "Filesystem"),
        "core.v1.PodStatus" => mirror_list(fields, "podIP", "podIPs", "ip"),
        "core.v1.NodeSpec" => mirror_plain_list(fields, "podCIDR", "podCIDRs"),
        "core.v1.LimitRangeItem" => default_limit_range_item(fields),
        "apps.v1.DeploymentSpec" => default_deployment(fields),
        "apps.v1.DaemonSetSpec" => default_daemon_set(fields),
        "apps.v1.StatefulSetSpec" => default_stateful_set(fields),
        "apps.v1.ReplicaSetSpec" => default_absent(fields, "replicas", 1),
        "batch.v1.Job" => default_job_labels(fields),
        "batch.v1.CronJobSpec" => {
            default_zero(fields, "concurrencyPolicy", "Allow");
            default_absent(fields, "suspend", false);
            default_absent(fields, "successfulJobsHistoryLimit", 3);
            default_absent(fields, "failedJobsHistoryLimit", 1);
        }
        "batch.v1.PodFailurePolicyOnPodConditionsPattern" => default_zero(fields, "status", "True"),
        "autoscaling.v1.HorizontalPodAutoscalerSpec" => default_absent(fields, "minReplicas", 1),
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => default_autoscaler(fields),
        "discovery.v1.EndpointPort" => {
            default_absent(fields, "name", "");
            default_absent(fields, "protocol", "TCP");
        }
        "rbac.v1.RoleRef" => default_zero(fields, "apiGroup", "rbac.authorization.k8s.io"),
        "rbac.v1.Subject" => {
            if matches!(text(fields, "kind"), "User" | "Group") {
                default_zero(fields, "apiGroup", "rbac.authorization.k8s.io");
            }
        }
        "storage.v1.StorageClass" => {
            default_absent(fields, "reclaimPolicy", "Delete");
            default_absent(fields, "volumeBindingMode", "Immediate");
        }
        "networking.v1.NetworkPolicyPort" => default_absent(fields, "protocol", "TCP"),
        "networking.v1.NetworkPolicySpec" => default_network_policy(fields),
        "networking.v1.IngressClassParametersReference" => default_absent(fields, "scope", "Cluster"),
        "scheduling.v1.PriorityClass" => default_absent(fields, "preemptionPolicy", "PreemptLowerPriority"),
        _ => {}
    }
}

fn default_container(fields: &mut Fields) {
    if is_zero(fields, "imagePullPolicy") {
        let policy = pull_policy(text(fields, "image"));
        fields.insert("imagePullPolicy".to_owned(), policy.into());
    }
    default_zero(fields, "terminationMessagePath", "/dev/termination-log");
    default_zero(fields, "terminationMessagePolicy", "File");
}

fn default_volume(fields: &mut Fields) {
    let has_source = fields
        .iter()
        .any(|(key, value)| key != "name" && !value.is_null());
    if !has_source {
        fields.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(Value::Object(image)) = fields.get_mut("image")
        && is_zero(image, "pullPolicy")
    {
        let policy = pull_policy(text(image, "reference"));
        image.insert("pullPolicy".to_owned(), policy.into());
    }
}

fn pull_policy(image: &str) -> &'static str {
    if image_tag(image) == Some("latest") {
        "Always"
    } else {
        "IfNotPresent"
    }
}

fn default_secret(fields: &mut Fields) {
    default_zero(fields, "type", "Opaque");
    // Write-only convenience, folded in by upstream's conversion.
    if let Some(Value::Object(strings)) = fields.remove("stringData") {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let data = fields.entry("data").or_insert_with(|| json!({}));
        if data.is_null() {
            *data = json!({});
        }
        if let Value::Object(data) = data {
            data.extend(strings.into_iter().map(|(key, value)| {
                let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
                (key, Value::String(encoded))
            }));
        }
    }
}

fn default_service(fields: &mut Fields) {
    let Some(Value::Object(spec)) = fields.get_mut("spec") else {
        return;
    };
    default_zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let timeout = spec
                .get("sessionAffinityConfig")
                .and_then(|c| c.pointer("/clientIP/timeoutSeconds"));
            if timeout.is_none_or(Value::is_null) {
                spec.insert(
                    "sessionAffinityConfig".to_owned(),
                    json!({"clientIP": {"timeoutSeconds": 10800}}),
                );
            }
        }
        _ => {}
    }
    default_zero(spec, "type", "ClusterIP");
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Value::Object(port) = port else { continue };
        default_zero(port, "protocol", "TCP");
        if is_zero(port, "targetPort") {
            let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let external = kind == "ClusterIP"
        && spec
            .get("externalIPs")
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty());
    if external || kind == "NodePort" || kind == "LoadBalancer" {
        default_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default_absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_absent(spec, "allocateLoadBalancerNodePorts", true);
        let ingress = fields
            .get_mut("status")
            .and_then(|s| s.pointer_mut("/loadBalancer/ingress"));
        for ingress in ingress.and_then(Value::as_array_mut).into_iter().flatten() {
            let Value::Object(ingress) = ingress else { continue };
            if !is_zero(ingress, "ip") {
                default_absent(ingress, "ipMode", "VIP");
            }
        }
    }
}

fn default_namespace(fields: &mut Fields) {
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return;
    };
    let Some(name) = metadata
        .get("name")
        .filter(|n| n.as_str().is_some_and(|n| !n.is_empty()))
        .cloned()
    else {
        return;
    };
    if is_absent(metadata, "labels") {
        metadata.insert("labels".to_owned(), json!({}));
    }
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
}

fn default_limit_range_item(fields: &mut Fields) {
    if text(fields, "type") != "Container" {
        return;
    }
    for (from, to) in [
        ("max", "default"),
        ("default", "defaultRequest"),
        ("min", "defaultRequest"),
    ] {
        let Some(Value::Object(source)) = fields.get(from).cloned() else {
            continue;
        };
        let target = fields.entry(to).or_insert_with(|| json!({}));
        if let Value::Object(target) = target {
            for (key, value) in source {
                target.entry(key).or_insert(value);
            }
        }
    }
}

fn default_deployment(spec: &mut Fields) {
    default_absent(spec, "replicas", 1);
    default_in(spec, "strategy", |strategy| {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_absent(strategy, "rollingUpdate", json!({}));
            default_in(strategy, "rollingUpdate", |update| {
                default_absent(update, "maxUnavailable", "25%");
                default_absent(update, "maxSurge", "25%");
            });
        }
    });
    default_absent(spec, "revisionHistoryLimit", 10);
    default_absent(spec, "progressDeadlineSeconds", 600);
}

fn default_daemon_set(spec: &mut Fields) {
    default_in(spec, "updateStrategy", |strategy| {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_absent(strategy, "rollingUpdate", json!({}));
            default_in(strategy, "rollingUpdate", |update| {
                default_absent(update, "maxUnavailable", 1);
                default_absent(update, "maxSurge", 0);
            });
        }
    });
    default_absent(spec, "revisionHistoryLimit", 10);
}

fn default_stateful_set(spec: &mut Fields) {
    default_zero(spec, "podManagementPolicy", "OrderedReady");
    default_in(spec, "updateStrategy", |strategy| {
        if is_zero(strategy, "type") {
            strategy.insert("type".to_owned(), "RollingUpdate".into());
            default_absent(strategy, "rollingUpdate", json!({}));
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(Value::Object(update)) = strategy.get_mut("rollingUpdate")
        {
            default_absent(update, "partition", 0);
        }
    });
    default_absent(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    default_in(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
        default_each_zero(
            policy,
            [("whenDeleted", json!("Retain")), ("whenScaled", json!("Retain"))],
        );
    });
    default_absent(spec, "replicas", 1);
    default_absent(spec, "revisionHistoryLimit", 10);
}

/// A whole Job: a CronJob's template is not defaulted by this rule upstream.
fn default_job_labels(job: &mut Fields) {
    let labels = job
        .get("spec")
        .and_then(|s| s.pointer("/template/metadata/labels"))
        .filter(|l| l.is_object())
        .cloned();
    default_in(job, "spec", default_job);
    if let Some(labels) = labels {
        default_in(job, "metadata", |metadata| {
            if is_zero(metadata, "labels") {
                metadata.insert("labels".to_owned(), labels);
            }
        });
    }
}

fn default_job(spec: &mut Fields) {
    if is_absent(spec, "completions") && is_absent(spec, "parallelism") {
        spec.insert("completions".to_owned(), json!(1));
    }
    default_absent(spec, "parallelism", 1);
    let per_index = !is_absent(spec, "backoffLimitPerIndex");
    default_absent(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    default_absent(spec, "completionMode", "NonIndexed");
    default_absent(spec, "suspend", false);
    let has_policy = !is_absent(spec, "podFailurePolicy");
    default_absent(
        spec,
        "podReplacementPolicy",
        if has_policy {
            "Failed"
        } else {
            "TerminatingOrFailed"
        },
    );
    default_absent(spec, "manualSelector", false);
}

fn default_autoscaler(spec: &mut Fields) {
    default_absent(spec, "minReplicas", 1);
    if is_zero(spec, "metrics") {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert(
            "metrics".to_owned(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    if let Some(Value::Object(behavior)) = spec.get_mut("behavior") {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent]});
        let down = json!({"selectPolicy": "Max", "policies": [percent]});
        for (name, rules) in [("scaleUp", up), ("scaleDown", down)] {
            default_absent(behavior, name, json!({}));
            default_in(behavior, name, |fields| {
                for (key, value) in rules.as_object().into_iter().flatten() {
                    default_absent(fields, key, value.clone());
                }
            });
        }
    }
}

fn default_network_policy(spec: &mut Fields) {
    if is_zero(spec, "policyTypes") {
        let egress = !is_zero(spec, "egress");
        spec.insert(
            "policyTypes".to_owned(),
            if egress {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            },
        );
    }
}

/// A first element and a list of objects that upstream keeps in step.
fn mirror_list(fields: &mut Fields, single: &str, list: &str, key: &str) {
    let first = fields
        .get(list)
        .and_then(|l| l.pointer(&format!("/0/{key}")))
        .cloned();
    match first {
        Some(first) => {
            fields.insert(single.to_owned(), first);
        }
        None => {
            if let Some(value) = fields
                .get(single)
                .filter(|v| v.as_str().is_some_and(|v| !v.is_empty()))
                .cloned()
            {
                fields.insert(list.to_owned(), json!([{ key: value }]));
            }
        }
    }
}

fn mirror_plain_list(fields: &mut Fields, single: &str, list: &str) {
    let first = fields.get(list).and_then(|l| l.get(0)).cloned();
    match first {
        Some(first) => {
            fields.insert(single.to_owned(), first);
        }
        None => {
            if let Some(value) = fields
                .get(single)
                .filter(|v| v.as_str().is_some_and(|v| !v.is_empty()))
                .cloned()
            {
                fields.insert(list.to_owned(), json!([value]));
            }
        }
    }
}

/// Where Go has a pointer: set when absent.
pub(crate) fn default_absent(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    if is_absent(fields, key) {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Where Go has a value: set when absent or zero.
pub(crate) fn default_zero(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    if is_zero(fields, key) {
        fields.insert(key.to_owned(), value.into());
    }
}

fn default_each_zero<const N: usize>(fields: &mut Fields, defaults: [(&str, Value); N]) {
    for (key, value) in defaults {
        default_zero(fields, key, value);
    }
}

pub(crate) fn default_in(fields: &mut Fields, key: &str, rule: impl FnOnce(&mut Fields)) {
    if let Some(Value::Object(inner)) = fields.get_mut(key) {
        rule(inner);
    }
}

pub(crate) fn is_absent(fields: &Fields, key: &str) -> bool {
    fields.get(key).is_none_or(Value::is_null)
}

pub(crate) fn is_zero(fields: &Fields, key: &str) -> bool {
    match fields.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(value)) => !value,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
    }
}

pub(crate) fn text<'a>(fields: &'a Fields, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{by_kind, normalise};

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
        assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
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
        for kind in crate::kinds() {
            defaulted(kind.definition, json!({}));
        }
        assert!(by_kind("", "v1", "Pod").is_some());
    }
}
