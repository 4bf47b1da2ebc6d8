//! Which kind is printed how.
mod cluster;
mod core;
mod extensions;
mod policy;
mod workloads;

use serde_json::Value;

use crate::cell::{name, text};
use crate::{Column, Printer, pod};

/// A column; `c!(wide …)` is shown only with `-o wide`.
macro_rules! c {
    (wide $name:literal $kind:literal) => {
        crate::Column {
            name: $name,
            kind: $kind,
            format: "",
            description: $name,
            priority: 1,
        }
    };
    ($name:literal $kind:literal) => {
        crate::Column {
            name: $name,
            kind: $kind,
            format: "",
            description: $name,
            priority: 0,
        }
    };
}
pub(super) use c;

/// The primary column.
pub(super) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// How old the object is.
pub(super) const AGE: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    priority: 0,
};

const POD: Printer = Printer {
    columns: &[
        NAME,
        c!("Ready" "string"),
        c!("Status" "string"),
        c!("Restarts" "string"),
        AGE,
        c!(wide "IP" "string"),
        c!(wide "Node" "string"),
        c!(wide "Nominated Node" "string"),
        c!(wide "Readiness Gates" "string"),
    ],
    cells: pod::cells,
};

/// Upstream's table for kinds without a printer: the creation time is printed as it is.
const OTHER: Printer = Printer {
    columns: &[
        NAME,
        Column {
            name: "Created At",
            kind: "date",
            format: "",
            description: AGE.description,
            priority: 0,
        },
    ],
    cells: |object: &Value, _| vec![name(object), text(object, "/metadata/creationTimestamp").into()],
};

pub(crate) fn printer(definition: &str) -> &'static Printer {
    match definition {
        "io.k8s.api.core.v1.Pod" => &POD,
        "io.k8s.api.core.v1.ConfigMap" => &core::CONFIG_MAP,
        "io.k8s.api.core.v1.Secret" => &core::SECRET,
        "io.k8s.api.core.v1.Service" => &core::SERVICE,
        "io.k8s.api.core.v1.ServiceAccount" => &core::SERVICE_ACCOUNT,
        "io.k8s.api.core.v1.Endpoints" => &core::ENDPOINTS,
        "io.k8s.api.core.v1.Event" => &core::EVENT,
        "io.k8s.api.events.v1.Event" => &core::EVENT_V1,
        "io.k8s.api.discovery.v1.EndpointSlice" => &core::ENDPOINT_SLICE,
        "io.k8s.api.core.v1.Namespace" => &cluster::NAMESPACE,
        "io.k8s.api.core.v1.Node" => &cluster::NODE,
        "io.k8s.api.core.v1.PersistentVolume" => &cluster::VOLUME,
        "io.k8s.api.core.v1.PersistentVolumeClaim" => &cluster::CLAIM,
        "io.k8s.api.storage.v1.StorageClass" => &cluster::STORAGE_CLASS,
        "io.k8s.api.coordination.v1.Lease" => &cluster::LEASE,
        "io.k8s.api.rbac.v1.RoleBinding" | "io.k8s.api.rbac.v1.ClusterRoleBinding" => &cluster::BINDING,
        "io.k8s.api.apps.v1.Deployment" => &workloads::DEPLOYMENT,
        "io.k8s.api.apps.v1.ReplicaSet" | "io.k8s.api.core.v1.ReplicationController" => {
            &workloads::REPLICA_SET
        }
        "io.k8s.api.autoscaling.v1.Scale" => &workloads::SCALE,
        "io.k8s.api.core.v1.PodTemplate" => &workloads::POD_TEMPLATE,
        "io.k8s.api.apps.v1.StatefulSet" => &workloads::STATEFUL_SET,
        "io.k8s.api.apps.v1.DaemonSet" => &workloads::DAEMON_SET,
        "io.k8s.api.apps.v1.ControllerRevision" => &workloads::CONTROLLER_REVISION,
        "io.k8s.api.batch.v1.Job" => &workloads::JOB,
        "io.k8s.api.batch.v1.CronJob" => &workloads::CRON_JOB,
        "io.k8s.api.scheduling.v1.PriorityClass" => &policy::PRIORITY_CLASS,
        "io.k8s.api.core.v1.ResourceQuota" => &policy::QUOTA,
        "io.k8s.api.core.v1.LimitRange" => &policy::LIMIT_RANGE,
        "io.k8s.api.policy.v1.PodDisruptionBudget" => &policy::DISRUPTION_BUDGET,
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler" => &policy::AUTOSCALER,
        "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler" => &policy::AUTOSCALER_V1,
        "io.k8s.api.networking.v1.NetworkPolicy" => &policy::NETWORK_POLICY,
        "io.k8s.api.networking.v1.Ingress" => &policy::INGRESS,
        "io.k8s.api.networking.v1.IngressClass" => &policy::INGRESS_CLASS,
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService" => &cluster::API_SERVICE,
        _ => extensions::printer(definition).unwrap_or(&OTHER),
    }
}
