//! Versions of kinds that upstream can still read and serves no more: their types are in its scheme (`staging/src/k8s.io/api/*/v*/register.go`),
//! so that whoever sends one is told of the version, not of an unknown kind.

/// The version, the group whose kinds these are now, and the kinds.
const OLDER: [(&str, &str, &str); 35] = [
    (
        "admissionregistration.k8s.io/v1alpha1",
        "",
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        "",
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding",
    ),
    ("apiextensions.k8s.io/v1beta1", "", "CustomResourceDefinition"),
    ("apiregistration.k8s.io/v1beta1", "", "APIService"),
    ("apps/v1beta1", "", "Deployment StatefulSet ControllerRevision"),
    ("apps/v1beta1", "autoscaling", "Scale"),
    (
        "apps/v1beta2",
        "",
        "Deployment StatefulSet DaemonSet ReplicaSet ControllerRevision",
    ),
    ("apps/v1beta2", "autoscaling", "Scale"),
    ("authentication.k8s.io/v1alpha1", "", "SelfSubjectReview"),
    (
        "authentication.k8s.io/v1beta1",
        "",
        "SelfSubjectReview TokenReview",
    ),
    (
        "authorization.k8s.io/v1beta1",
        "",
        "SelfSubjectRulesReview SelfSubjectAccessReview SubjectAccessReview LocalSubjectAccessReview",
    ),
    ("batch/v1beta1", "", "CronJob"),
    (
        "certificates.k8s.io/v1beta1",
        "",
        "CertificateSigningRequest ClusterTrustBundle PodCertificateRequest",
    ),
    ("coordination.k8s.io/v1beta1", "", "Lease LeaseCandidate"),
    ("discovery.k8s.io/v1beta1", "", "EndpointSlice"),
    ("events.k8s.io/v1beta1", "", "Event"),
    ("extensions/v1beta1", "apps", "Deployment DaemonSet ReplicaSet"),
    ("extensions/v1beta1", "autoscaling", "Scale"),
    ("extensions/v1beta1", "networking.k8s.io", "Ingress NetworkPolicy"),
    (
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "",
        "FlowSchema PriorityLevelConfiguration",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "",
        "FlowSchema PriorityLevelConfiguration",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "",
        "FlowSchema PriorityLevelConfiguration",
    ),
    (
        "networking.k8s.io/v1beta1",
        "",
        "Ingress IngressClass IPAddress ServiceCIDR",
    ),
    ("node.k8s.io/v1alpha1", "", "RuntimeClass"),
    ("node.k8s.io/v1beta1", "", "RuntimeClass"),
    ("policy/v1beta1", "", "PodDisruptionBudget Eviction"),
    (
        "rbac.authorization.k8s.io/v1alpha1",
        "",
        "Role RoleBinding ClusterRole ClusterRoleBinding",
    ),
    (
        "rbac.authorization.k8s.io/v1beta1",
        "",
        "Role RoleBinding ClusterRole ClusterRoleBinding",
    ),
    (
        "resource.k8s.io/v1alpha3",
        "",
        "DeviceTaintRule ResourcePoolStatusRequest",
    ),
    (
        "resource.k8s.io/v1beta1",
        "",
        "DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice",
    ),
    (
        "resource.k8s.io/v1beta2",
        "",
        "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice",
    ),
    ("scheduling.k8s.io/v1alpha2", "", "Workload PodGroup"),
    ("scheduling.k8s.io/v1beta1", "", "PriorityClass"),
    (
        "storage.k8s.io/v1alpha1",
        "",
        "VolumeAttachment CSIStorageCapacity VolumeAttributesClass",
    ),
    (
        "storage.k8s.io/v1beta1",
        "",
        "StorageClass VolumeAttachment CSIDriver CSINode CSIStorageCapacity VolumeAttributesClass",
    ),
];

/// The group to whose internal types upstream converts a kind of this version; nothing where it has never heard of it.
pub fn internal_group<'a>(api_version: &'a str, name: &str) -> Option<&'a str> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let older = OLDER
        .iter()
        .find(|(of, _, kinds)| *of == api_version && kinds.split(' ').any(|kind| kind == name));
    match older {
        Some((_, "", _)) => Some(group),
        Some((_, now, _)) => Some(now),
        None => schema::is_registered(group, version, name).then_some(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_versions_are_known() {
        assert_eq!(internal_group("apps/v1beta1", "Deployment"), Some("apps"));
        assert_eq!(internal_group("apps/v1beta1", "DaemonSet"), None);
        assert_eq!(
            internal_group("extensions/v1beta1", "Ingress"),
            Some("networking.k8s.io")
        );
        assert_eq!(internal_group("apps/v1beta2", "Scale"), Some("autoscaling"));
        assert_eq!(internal_group("v1", "Pod"), Some(""));
        assert_eq!(
            internal_group("autoscaling/v2beta2", "HorizontalPodAutoscaler"),
            None
        );
    }
}
