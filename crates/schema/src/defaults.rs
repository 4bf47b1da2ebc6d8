//! Defaulting, as `pkg/apis/*/v1/defaults.go` and `zz_generated.defaults.go` of 1.36 do it: a kind's rule first, then the
//! declared defaults of its fields, then what is below.

use kube_types::Quantity;
use serde_json::{Map, Value, json};

use crate::{
    core_defaults::{
        default_limit_range_item, default_namespace, default_network_policy, default_secret, default_service,
        mirror_list, mirror_plain_list,
    },
    extension_defaults::default_extension,
    pod_defaults::{default_container, default_pod, default_pod_spec, default_volume},
    table::Table,
    types::{Definition, Node},
    workload_defaults::{
        default_autoscaler, default_daemon_set, default_deployment, default_replication_controller,
        default_stateful_set, default_whole_job,
    },
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
            if field.go_type == "v1.ResourceList" && definition.name != UNROUNDED {
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

/// Its group has no defaults of its own (`pkg/apis/node`).
const UNROUNDED: &str = "io.k8s.api.node.v1.Overhead";

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
    default_extension(definition.trim_start_matches("io.k8s."), fields);
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
            default_each_zero(fields, [("path", json!("/")), ("scheme", json!("HTTP"))]);
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
        // A volume that is an object, not one that is attached without being one.
        "core.v1.PersistentVolume" => {
            default_in(fields, "spec", |spec| {
                default_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
                default_absent(spec, "volumeMode", "Filesystem");
            });
            default_in(fields, "status", |s| default_zero(s, "phase", "Pending"));
        }
        "core.v1.PersistentVolumeClaim" => {
            default_in(fields, "status", |s| default_zero(s, "phase", "Pending"));
        }
        "core.v1.PersistentVolumeClaimSpec" => default_absent(fields, "volumeMode", "Filesystem"),
        "core.v1.PodStatus" => mirror_list(fields, "podIP", "podIPs", "ip"),
        "core.v1.NodeSpec" => mirror_plain_list(fields, "podCIDR", "podCIDRs"),
        "core.v1.ReplicationController" => default_replication_controller(fields),
        "core.v1.LimitRangeItem" => default_limit_range_item(fields),
        "apps.v1.DeploymentSpec" => default_deployment(fields),
        "apps.v1.DaemonSetSpec" => default_daemon_set(fields),
        "apps.v1.StatefulSetSpec" => default_stateful_set(fields),
        "apps.v1.ReplicaSetSpec" => default_absent(fields, "replicas", 1),
        "batch.v1.Job" => default_whole_job(fields),
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

pub(crate) fn default_each_zero<const N: usize>(fields: &mut Fields, defaults: [(&str, Value); N]) {
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
