//! The resources the engine serves, as upstream 1.36 lists them in `api/discovery/`.

/// One API resource the engine serves.
#[derive(Debug, Clone)]
pub struct KindInfo {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version, such as `v1`.
    pub version: &'static str,
    /// Kind, such as `Pod`.
    pub kind: &'static str,
    /// Plural resource name, such as `pods`.
    pub plural: &'static str,
    /// Singular resource name, such as `pod`.
    pub singular: &'static str,
    /// Short names, such as `po`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Subresources with their own endpoint: `status`, `scale`, `log`, `exec`, `eviction`, `token`, …
    pub subresources: &'static [&'static str],
    /// The same subresources with what discovery says of them.
    pub subresource_table: &'static [Subresource],
    /// Verbs as discovery lists them.
    pub verbs: &'static [&'static str],
    /// OpenAPI definition name, such as `io.k8s.api.core.v1.Pod`.
    pub definition: &'static str,
}

/// A subresource as discovery lists it.
#[derive(Debug, Clone)]
pub struct Subresource {
    /// Its name, such as `scale`.
    pub name: &'static str,
    /// Group of the kind that is sent and answered.
    pub group: &'static str,
    /// Version of that kind.
    pub version: &'static str,
    /// That kind, such as `Scale`.
    pub kind: &'static str,
    /// Verbs as discovery lists them.
    pub verbs: &'static [&'static str],
}

impl KindInfo {
    /// `group/version`, or just the version for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresource_table.iter().find(|s| s.name == name)
    }

    /// Whether objects of this kind are kept (reviews and bindings only answer).
    pub fn stored(&self) -> bool {
        self.verbs.contains(&"get")
    }

    /// Whether discovery lists `verb`.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// All kinds, in discovery order.
pub fn kinds() -> &'static [KindInfo] {
    KINDS
}

/// The resource served at this group, version and plural.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
    KINDS
        .iter()
        .find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The resource of this group, version and kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS
        .iter()
        .find(|k| k.group == group && k.version == version && k.kind == kind)
}

const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];

// One resource a line; the order of groups is that of upstream's discovery.
#[rustfmt::skip]
static KINDS: &[KindInfo] = &[
    KindInfo { group: "", version: "v1", kind: "Binding", plural: "bindings", singular: "binding", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.core.v1.Binding" },
    KindInfo { group: "", version: "v1", kind: "ComponentStatus", plural: "componentstatuses", singular: "componentstatus", short_names: &["cs"], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["get", "list"], definition: "io.k8s.api.core.v1.ComponentStatus" },
    KindInfo { group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", singular: "configmap", short_names: &["cm"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.ConfigMap" },
    KindInfo { group: "", version: "v1", kind: "Endpoints", plural: "endpoints", singular: "endpoints", short_names: &["ep"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.Endpoints" },
    KindInfo { group: "", version: "v1", kind: "Event", plural: "events", singular: "event", short_names: &["ev"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.Event" },
    KindInfo { group: "", version: "v1", kind: "LimitRange", plural: "limitranges", singular: "limitrange", short_names: &["limits"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.LimitRange" },
    KindInfo { group: "", version: "v1", kind: "Namespace", plural: "namespaces", singular: "namespace", short_names: &["ns"], categories: &[], namespaced: false, subresources: &["finalize", "status"], subresource_table: &[Subresource { name: "finalize", group: "", version: "v1", kind: "Namespace", verbs: &["update"] }, Subresource { name: "status", group: "", version: "v1", kind: "Namespace", verbs: GET_PATCH_UPDATE }], verbs: &["create", "delete", "get", "list", "patch", "update", "watch"], definition: "io.k8s.api.core.v1.Namespace" },
    KindInfo { group: "", version: "v1", kind: "Node", plural: "nodes", singular: "node", short_names: &["no"], categories: &[], namespaced: false, subresources: &["proxy", "status"], subresource_table: &[Subresource { name: "proxy", group: "", version: "v1", kind: "NodeProxyOptions", verbs: &["create", "delete", "get", "patch", "update"] }, Subresource { name: "status", group: "", version: "v1", kind: "Node", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.Node" },
    KindInfo { group: "", version: "v1", kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims", singular: "persistentvolumeclaim", short_names: &["pvc"], categories: &[], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "", version: "v1", kind: "PersistentVolumeClaim", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.PersistentVolumeClaim" },
    KindInfo { group: "", version: "v1", kind: "PersistentVolume", plural: "persistentvolumes", singular: "persistentvolume", short_names: &["pv"], categories: &[], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "", version: "v1", kind: "PersistentVolume", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.PersistentVolume" },
    KindInfo { group: "", version: "v1", kind: "Pod", plural: "pods", singular: "pod", short_names: &["po"], categories: &["all"], namespaced: true, subresources: &["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize", "status"], subresource_table: &[Subresource { name: "attach", group: "", version: "v1", kind: "PodAttachOptions", verbs: &["create", "get"] }, Subresource { name: "binding", group: "", version: "v1", kind: "Binding", verbs: &["create"] }, Subresource { name: "ephemeralcontainers", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE }, Subresource { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: &["create"] }, Subresource { name: "exec", group: "", version: "v1", kind: "PodExecOptions", verbs: &["create", "get"] }, Subresource { name: "log", group: "", version: "v1", kind: "Pod", verbs: &["get"] }, Subresource { name: "portforward", group: "", version: "v1", kind: "PodPortForwardOptions", verbs: &["create", "get"] }, Subresource { name: "proxy", group: "", version: "v1", kind: "PodProxyOptions", verbs: &["create", "delete", "get", "patch", "update"] }, Subresource { name: "resize", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.Pod" },
    KindInfo { group: "", version: "v1", kind: "PodTemplate", plural: "podtemplates", singular: "podtemplate", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.PodTemplate" },
    KindInfo { group: "", version: "v1", kind: "ReplicationController", plural: "replicationcontrollers", singular: "replicationcontroller", short_names: &["rc"], categories: &["all"], namespaced: true, subresources: &["scale", "status"], subresource_table: &[Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "", version: "v1", kind: "ReplicationController", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.ReplicationController" },
    KindInfo { group: "", version: "v1", kind: "ResourceQuota", plural: "resourcequotas", singular: "resourcequota", short_names: &["quota"], categories: &[], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "", version: "v1", kind: "ResourceQuota", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.ResourceQuota" },
    KindInfo { group: "", version: "v1", kind: "Secret", plural: "secrets", singular: "secret", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.core.v1.Secret" },
    KindInfo { group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts", singular: "serviceaccount", short_names: &["sa"], categories: &[], namespaced: true, subresources: &["token"], subresource_table: &[Subresource { name: "token", group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: &["create"] }], verbs: ALL, definition: "io.k8s.api.core.v1.ServiceAccount" },
    KindInfo { group: "", version: "v1", kind: "Service", plural: "services", singular: "service", short_names: &["svc"], categories: &["all"], namespaced: true, subresources: &["proxy", "status"], subresource_table: &[Subresource { name: "proxy", group: "", version: "v1", kind: "ServiceProxyOptions", verbs: &["create", "delete", "get", "patch", "update"] }, Subresource { name: "status", group: "", version: "v1", kind: "Service", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.core.v1.Service" },
    KindInfo { group: "apiregistration.k8s.io", version: "v1", kind: "APIService", plural: "apiservices", singular: "apiservice", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "apiregistration.k8s.io", version: "v1", kind: "APIService", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService" },
    KindInfo { group: "apps", version: "v1", kind: "ControllerRevision", plural: "controllerrevisions", singular: "controllerrevision", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.apps.v1.ControllerRevision" },
    KindInfo { group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets", singular: "daemonset", short_names: &["ds"], categories: &["all"], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "apps", version: "v1", kind: "DaemonSet", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.apps.v1.DaemonSet" },
    KindInfo { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", singular: "deployment", short_names: &["deploy"], categories: &["all"], namespaced: true, subresources: &["scale", "status"], subresource_table: &[Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "apps", version: "v1", kind: "Deployment", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.apps.v1.Deployment" },
    KindInfo { group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets", singular: "replicaset", short_names: &["rs"], categories: &["all"], namespaced: true, subresources: &["scale", "status"], subresource_table: &[Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "apps", version: "v1", kind: "ReplicaSet", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.apps.v1.ReplicaSet" },
    KindInfo { group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets", singular: "statefulset", short_names: &["sts"], categories: &["all"], namespaced: true, subresources: &["scale", "status"], subresource_table: &[Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "apps", version: "v1", kind: "StatefulSet", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.apps.v1.StatefulSet" },
    KindInfo { group: "events.k8s.io", version: "v1", kind: "Event", plural: "events", singular: "event", short_names: &["ev"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.events.v1.Event" },
    KindInfo { group: "authentication.k8s.io", version: "v1", kind: "SelfSubjectReview", plural: "selfsubjectreviews", singular: "selfsubjectreview", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authentication.v1.SelfSubjectReview" },
    KindInfo { group: "authentication.k8s.io", version: "v1", kind: "TokenReview", plural: "tokenreviews", singular: "tokenreview", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authentication.v1.TokenReview" },
    KindInfo { group: "authorization.k8s.io", version: "v1", kind: "LocalSubjectAccessReview", plural: "localsubjectaccessreviews", singular: "localsubjectaccessreview", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authorization.v1.LocalSubjectAccessReview" },
    KindInfo { group: "authorization.k8s.io", version: "v1", kind: "SelfSubjectAccessReview", plural: "selfsubjectaccessreviews", singular: "selfsubjectaccessreview", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authorization.v1.SelfSubjectAccessReview" },
    KindInfo { group: "authorization.k8s.io", version: "v1", kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", singular: "selfsubjectrulesreview", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authorization.v1.SelfSubjectRulesReview" },
    KindInfo { group: "authorization.k8s.io", version: "v1", kind: "SubjectAccessReview", plural: "subjectaccessreviews", singular: "subjectaccessreview", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: &["create"], definition: "io.k8s.api.authorization.v1.SubjectAccessReview" },
    KindInfo { group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", singular: "horizontalpodautoscaler", short_names: &["hpa"], categories: &["all"], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler" },
    KindInfo { group: "autoscaling", version: "v1", kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", singular: "horizontalpodautoscaler", short_names: &["hpa"], categories: &["all"], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "autoscaling", version: "v1", kind: "HorizontalPodAutoscaler", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler" },
    KindInfo { group: "batch", version: "v1", kind: "CronJob", plural: "cronjobs", singular: "cronjob", short_names: &["cj"], categories: &["all"], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "batch", version: "v1", kind: "CronJob", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.batch.v1.CronJob" },
    KindInfo { group: "batch", version: "v1", kind: "Job", plural: "jobs", singular: "job", short_names: &[], categories: &["all"], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "batch", version: "v1", kind: "Job", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.batch.v1.Job" },
    KindInfo { group: "certificates.k8s.io", version: "v1", kind: "CertificateSigningRequest", plural: "certificatesigningrequests", singular: "certificatesigningrequest", short_names: &["csr"], categories: &[], namespaced: false, subresources: &["approval", "status"], subresource_table: &[Subresource { name: "approval", group: "certificates.k8s.io", version: "v1", kind: "CertificateSigningRequest", verbs: GET_PATCH_UPDATE }, Subresource { name: "status", group: "certificates.k8s.io", version: "v1", kind: "CertificateSigningRequest", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.certificates.v1.CertificateSigningRequest" },
    KindInfo { group: "networking.k8s.io", version: "v1", kind: "IngressClass", plural: "ingressclasses", singular: "ingressclass", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.networking.v1.IngressClass" },
    KindInfo { group: "networking.k8s.io", version: "v1", kind: "Ingress", plural: "ingresses", singular: "ingress", short_names: &["ing"], categories: &[], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "networking.k8s.io", version: "v1", kind: "Ingress", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.networking.v1.Ingress" },
    KindInfo { group: "networking.k8s.io", version: "v1", kind: "IPAddress", plural: "ipaddresses", singular: "ipaddress", short_names: &["ip"], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.networking.v1.IPAddress" },
    KindInfo { group: "networking.k8s.io", version: "v1", kind: "NetworkPolicy", plural: "networkpolicies", singular: "networkpolicy", short_names: &["netpol"], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.networking.v1.NetworkPolicy" },
    KindInfo { group: "networking.k8s.io", version: "v1", kind: "ServiceCIDR", plural: "servicecidrs", singular: "servicecidr", short_names: &[], categories: &[], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "networking.k8s.io", version: "v1", kind: "ServiceCIDR", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.networking.v1.ServiceCIDR" },
    KindInfo { group: "policy", version: "v1", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", singular: "poddisruptionbudget", short_names: &["pdb"], categories: &[], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "policy", version: "v1", kind: "PodDisruptionBudget", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.policy.v1.PodDisruptionBudget" },
    KindInfo { group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRoleBinding", plural: "clusterrolebindings", singular: "clusterrolebinding", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.rbac.v1.ClusterRoleBinding" },
    KindInfo { group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRole", plural: "clusterroles", singular: "clusterrole", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.rbac.v1.ClusterRole" },
    KindInfo { group: "rbac.authorization.k8s.io", version: "v1", kind: "RoleBinding", plural: "rolebindings", singular: "rolebinding", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.rbac.v1.RoleBinding" },
    KindInfo { group: "rbac.authorization.k8s.io", version: "v1", kind: "Role", plural: "roles", singular: "role", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.rbac.v1.Role" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "CSIDriver", plural: "csidrivers", singular: "csidriver", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.storage.v1.CSIDriver" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "CSINode", plural: "csinodes", singular: "csinode", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.storage.v1.CSINode" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "CSIStorageCapacity", plural: "csistoragecapacities", singular: "csistoragecapacity", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.storage.v1.CSIStorageCapacity" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "StorageClass", plural: "storageclasses", singular: "storageclass", short_names: &["sc"], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.storage.v1.StorageClass" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "VolumeAttachment", plural: "volumeattachments", singular: "volumeattachment", short_names: &[], categories: &[], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "storage.k8s.io", version: "v1", kind: "VolumeAttachment", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.storage.v1.VolumeAttachment" },
    KindInfo { group: "storage.k8s.io", version: "v1", kind: "VolumeAttributesClass", plural: "volumeattributesclasses", singular: "volumeattributesclass", short_names: &["vac"], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.storage.v1.VolumeAttributesClass" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "MutatingAdmissionPolicy", plural: "mutatingadmissionpolicies", singular: "mutatingadmissionpolicy", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "MutatingAdmissionPolicyBinding", plural: "mutatingadmissionpolicybindings", singular: "mutatingadmissionpolicybinding", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "MutatingWebhookConfiguration", plural: "mutatingwebhookconfigurations", singular: "mutatingwebhookconfiguration", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "ValidatingAdmissionPolicy", plural: "validatingadmissionpolicies", singular: "validatingadmissionpolicy", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "admissionregistration.k8s.io", version: "v1", kind: "ValidatingAdmissionPolicy", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "ValidatingAdmissionPolicyBinding", plural: "validatingadmissionpolicybindings", singular: "validatingadmissionpolicybinding", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding" },
    KindInfo { group: "admissionregistration.k8s.io", version: "v1", kind: "ValidatingWebhookConfiguration", plural: "validatingwebhookconfigurations", singular: "validatingwebhookconfiguration", short_names: &[], categories: &["api-extensions"], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration" },
    KindInfo { group: "apiextensions.k8s.io", version: "v1", kind: "CustomResourceDefinition", plural: "customresourcedefinitions", singular: "customresourcedefinition", short_names: &["crd", "crds"], categories: &["api-extensions"], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "apiextensions.k8s.io", version: "v1", kind: "CustomResourceDefinition", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition" },
    KindInfo { group: "scheduling.k8s.io", version: "v1", kind: "PriorityClass", plural: "priorityclasses", singular: "priorityclass", short_names: &["pc"], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.scheduling.v1.PriorityClass" },
    KindInfo { group: "coordination.k8s.io", version: "v1", kind: "Lease", plural: "leases", singular: "lease", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.coordination.v1.Lease" },
    KindInfo { group: "node.k8s.io", version: "v1", kind: "RuntimeClass", plural: "runtimeclasses", singular: "runtimeclass", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.node.v1.RuntimeClass" },
    KindInfo { group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice", plural: "endpointslices", singular: "endpointslice", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.discovery.v1.EndpointSlice" },
    KindInfo { group: "resource.k8s.io", version: "v1", kind: "DeviceClass", plural: "deviceclasses", singular: "deviceclass", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.resource.v1.DeviceClass" },
    KindInfo { group: "resource.k8s.io", version: "v1", kind: "ResourceClaim", plural: "resourceclaims", singular: "resourceclaim", short_names: &[], categories: &[], namespaced: true, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "resource.k8s.io", version: "v1", kind: "ResourceClaim", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.resource.v1.ResourceClaim" },
    KindInfo { group: "resource.k8s.io", version: "v1", kind: "ResourceClaimTemplate", plural: "resourceclaimtemplates", singular: "resourceclaimtemplate", short_names: &[], categories: &[], namespaced: true, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.resource.v1.ResourceClaimTemplate" },
    KindInfo { group: "resource.k8s.io", version: "v1", kind: "ResourceSlice", plural: "resourceslices", singular: "resourceslice", short_names: &[], categories: &[], namespaced: false, subresources: &[], subresource_table: &[], verbs: ALL, definition: "io.k8s.api.resource.v1.ResourceSlice" },
    KindInfo { group: "flowcontrol.apiserver.k8s.io", version: "v1", kind: "FlowSchema", plural: "flowschemas", singular: "flowschema", short_names: &[], categories: &[], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "flowcontrol.apiserver.k8s.io", version: "v1", kind: "FlowSchema", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.flowcontrol.v1.FlowSchema" },
    KindInfo { group: "flowcontrol.apiserver.k8s.io", version: "v1", kind: "PriorityLevelConfiguration", plural: "prioritylevelconfigurations", singular: "prioritylevelconfiguration", short_names: &[], categories: &[], namespaced: false, subresources: &["status"], subresource_table: &[Subresource { name: "status", group: "flowcontrol.apiserver.k8s.io", version: "v1", kind: "PriorityLevelConfiguration", verbs: GET_PATCH_UPDATE }], verbs: ALL, definition: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration" },
];
