//! Validation of Kubernetes objects on create and update, worded as upstream words it; pure.
//!
//! [`validate_create`] and [`validate_update`] answer with the causes that upstream's `pkg/apis/*/validation` (1.36, default feature
//! gates) would give, in its order. Objects are expected to be defaulted and normalised. Where upstream walks a Go map in random
//! order, keys are sorted here. Kinds without rules of their own get the rules for `metadata`.

mod aggregation;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod cluster;
mod config;
mod cron;
mod csi;
mod custom;
mod custom_schema;
mod custom_shown;
mod custom_version;
mod devices;
mod event;
mod extensions;
mod failure_policy;
mod field;
mod flow;
mod ingress;
mod job_status;
mod limits;
mod meta;
mod network;
mod pem;
mod pod;
mod policies;
mod rbac;
mod service;
mod status;
mod storage;
mod success_policy;
mod volume_plugins;
mod warnings;
mod webhook;

#[cfg(test)]
mod tests;

use serde_json::Value;

use field::{Errors, Node, go_struct};
use meta::{NameRule, Rules};

pub use custom_schema::is_structural;
pub use warnings::{deprecation, warnings};

/// The definitions of `resource.k8s.io`.
const DEVICES: &str = "io.k8s.api.resource.";

/// What a kind's own rules say of the metadata of a changed object, after what is said of all kinds' (the `Validate…Update` of
/// `pkg/apis/*/validation` and `ValidateUpdate` of the strategies).
#[derive(Clone, Copy)]
enum Metadata {
    /// Nothing here: nothing at all, or the rules of the kind see to it.
    Nothing,
    /// Looked at as if it were new.
    New,
    /// Held against what it was.
    Changed,
    /// Both.
    Both,
}

impl Metadata {
    fn of(kind: &str) -> Self {
        match kind {
            "EndpointSlice" | "LimitRange" | "PersistentVolume" | "PodDisruptionBudget" => Self::Nothing,
            "CSINode"
            | "FlowSchema"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding"
            | "MutatingWebhookConfiguration"
            | "PriorityLevelConfiguration"
            | "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "ValidatingWebhookConfiguration"
            | "VolumeAttachment" => Self::New,
            "APIService"
            | "CSIStorageCapacity"
            | "ControllerRevision"
            | "DeviceClass"
            | "Endpoints"
            | "IPAddress"
            | "Namespace"
            | "Node"
            | "ResourceClaim"
            | "ResourceClaimTemplate"
            | "RuntimeClass"
            | "StorageClass"
            | "VolumeAttributesClass" => Self::Both,
            _ => Self::Changed,
        }
    }
}

/// One cause of a 422 Status (`metav1.StatusCause`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden`, `FieldValueDuplicate`, …
    pub reason: &'static str,
    /// Path such as `spec.containers[0].name`.
    pub field: String,
    /// Message without the field, such as `Required value`.
    pub message: String,
}

/// Everything wrong with the metadata of an object within a custom one, which may do without a name and a namespace.
pub fn validate_embedded(metadata: &Value, path: &str) -> Vec<Cause> {
    let mut errors = Errors::default();
    let mut named = metadata.clone();
    if metadata["name"].as_str().unwrap_or_default().is_empty() && named.is_object() {
        named["name"] = "fakename".into();
    }
    let rules = Rules {
        namespaced: metadata["namespace"].as_str().is_some_and(|n| !n.is_empty()),
        name: NameRule::Segment,
        prefix: true,
        finalizers: false,
    };
    let object = serde_json::json!({ "metadata": named });
    meta::create(&mut errors, &Node::root(&object), rules);
    let mut causes = errors.finish();
    for cause in &mut causes {
        cause.field = cause.field.replacen("metadata", path, 1);
    }
    causes
}

/// Everything wrong with a new object of this definition, after defaulting, in upstream's order.
pub fn validate_create(definition: &str, object: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    let object = Node::root(object);
    let kind = kind_of(definition);
    let rules = meta_rules(definition);
    if kind == "Service" && service::unallocatable(&mut errors, &object) {
        return errors.finish();
    }
    create_kind(&mut errors, definition, kind, rules, &object);
    if errors.count() == 0 {
        // What is asked of every kind, said only when the kind's own rules have nothing to say (apiserver
        // `pkg/registry/rest/create.go` BeforeCreate).
        meta::create(&mut errors, &object, general(rules));
    }
    errors.finish()
}

fn create_kind(e: &mut Errors, definition: &str, kind: &str, rules: Rules, object: &Node<'_>) {
    if kind == "Event" {
        let new = definition.starts_with("io.k8s.api.events.");
        let reporter = if new {
            "reportingController"
        } else {
            "reportingComponent"
        };
        event::event(e, object, reporter);
        if new {
            meta::create(e, object, rules);
            event::strict(e, object);
        }
        return;
    }
    if kind == "APIService" {
        aggregation::name(e, object);
    }
    // Nobody looks at a budget's metadata before the last.
    if kind != "PodDisruptionBudget" {
        meta::create(e, object, rules);
    }
    if kind == "ReplicationController" {
        // The first name that a rule in its type's comments looks after, with other words (`validate.LongName`).
        let (words, others) = (
            "must be no more than 253 characters",
            "must be no more than 253 bytes",
        );
        e.reworded(0, words, others);
    }
    match kind {
        "Pod" => pod::create(e, object),
        "PodTemplate" => pod::template(e, &object.get("template")),
        "ReplicationController" => apps::replication_controller(e, object),
        "Deployment" => apps::deployment(e, object),
        "ReplicaSet" => apps::replica_set(e, object),
        "StatefulSet" => apps::stateful_set(e, object, false),
        "DaemonSet" => apps::daemon_set(e, object),
        "ControllerRevision" => apps::controller_revision(e, object),
        "Job" => batch::job(e, object),
        "CronJob" => cron::cron_job(e, object, None),
        "Service" => service::service(e, object, None),
        "ConfigMap" => config::config_map(e, object),
        "Secret" => config::secret(e, object),
        "PersistentVolumeClaim" => storage::claim_spec(e, &object.get("spec")),
        "PersistentVolume" => {
            storage::volume(e, object);
            storage::mount_options(e, object);
        }
        "StorageClass" => storage::class(e, object),
        "PriorityClass" => cluster::priority_class(e, object),
        "Namespace" => cluster::namespace(e, object),
        "Node" => cluster::node(e, object),
        "ResourceQuota" => cluster::quota_spec(e, &object.get("spec")),
        "LimitRange" => limits::limit_range(e, object),
        "Lease" => cluster::lease(e, object),
        "Role" => rbac::rules(e, object, true),
        "ClusterRole" => rbac::cluster_role(e, object),
        "RoleBinding" => rbac::binding(e, object, true),
        "ClusterRoleBinding" => rbac::binding(e, object, false),
        "HorizontalPodAutoscaler" => autoscaling::autoscaler(e, object, None),
        "PodDisruptionBudget" => autoscaling::disruption_budget(e, object),
        "APIService" => aggregation::api_service(e, object),
        "EndpointSlice" => network::endpoint_slice(e, object),
        "Endpoints" => network::endpoints(e, object),
        "NetworkPolicy" => network::network_policy(e, object),
        "Ingress" => ingress::create(e, object),
        "IngressClass" => ingress::class(e, object),
        "CustomResourceDefinition" => {
            custom::name(e, object);
            custom::definition(e, object);
            custom::approval(e, object, None);
            custom::preserved(e, object, None);
        }
        _ if definition.starts_with(DEVICES) => devices::create(e, kind, object),
        _ => extensions::create(e, kind, object),
    }
}

/// Everything wrong with replacing `old` by `new`, immutable fields included. `subresource` is empty, `status`, `scale`, …
pub fn validate_update(definition: &str, subresource: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    let (old, new) = (Node::root(old), Node::root(new));
    let e = &mut errors;
    let kind = kind_of(definition);
    let rules = meta_rules(definition);
    if kind == "Service" && subresource.is_empty() && service::unallocatable(e, &new) {
        return errors.finish();
    }
    // Said of every kind before its own rules, which say it again (apiserver `pkg/registry/rest/update.go` validateCommonFields).
    meta::create(e, &new, general(rules));
    meta::update(e, &old, &new, general(rules));
    if matches!(
        kind,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding"
    ) {
        meta::create(e, &new, rules);
        match kind {
            "Role" => rbac::rules(e, &new, true),
            "ClusterRole" => rbac::cluster_role(e, &new),
            _ => rbac::binding(e, &new, kind == "RoleBinding"),
        }
        meta::update(e, &old, &new, rules);
        if old.get("roleRef").value() != new.get("roleRef").value() {
            let reference = new.get("roleRef");
            let fields = [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")];
            e.invalid_raw(
                &reference,
                &go_struct(&reference, &fields),
                "cannot change roleRef",
            );
        }
        return errors.finish();
    }
    if kind == "Job" && subresource.is_empty() {
        // Its strategy checks the new Job as such first.
        meta::create(e, &new, rules);
        batch::job(e, &new);
    }
    if kind == "Event" {
        event_update(e, definition, &old, &new, rules);
        return errors.finish();
    }
    let again = if subresource.is_empty() {
        Metadata::of(kind)
    } else {
        Metadata::Changed
    };
    if matches!(again, Metadata::New | Metadata::Both) || kind == "CertificateSigningRequest" {
        meta::create(e, &new, rules);
    }
    if matches!(again, Metadata::Changed | Metadata::Both) {
        meta::update(e, &old, &new, rules);
    }
    match subresource {
        _ if kind == "CertificateSigningRequest" => certificates::signing_update(e, subresource, &old, &new),
        "" if definition.starts_with(DEVICES) => devices::update(e, kind, &old, &new),
        "" => update_main(e, kind, rules, &old, &new),
        "status" if kind == "ResourceClaim" => devices::update_status(e, &old, &new),
        "status" => update_status(e, kind, &old, &new),
        "ephemeralcontainers" => pod::update_ephemeral(e, &old, &new),
        "resize" => pod::update_resize(e, &old, &new),
        "finalize" => cluster::finalized(e, &new),
        "scale" => e.non_negative(&new.get("spec").get("replicas")),
        _ => {}
    }
    errors.finish()
}

fn event_update(e: &mut Errors, definition: &str, old: &Node<'_>, new: &Node<'_>, rules: Rules) {
    if definition.starts_with("io.k8s.api.events.") {
        event::event(e, new, "reportingController");
        meta::update(e, old, new, rules);
        event::strict_update(e, old, new);
    } else {
        event::event(e, new, "reportingComponent");
    }
}

fn update_main(e: &mut Errors, kind: &str, rules: Rules, old: &Node<'_>, new: &Node<'_>) {
    let spec = |field: &str| new.get("spec").get(field);
    let immutable = |e: &mut Errors, field: &str| e.immutable(&spec(field), &old.get("spec").get(field));
    match kind {
        "Pod" => {
            meta::create(e, new, rules);
            pod::update(e, old, new);
        }
        "PodTemplate" => pod::template(e, &new.get("template")),
        "ReplicationController" => apps::replication_controller(e, new),
        "Deployment" => {
            apps::deployment(e, new);
            immutable(e, "selector");
        }
        "ReplicaSet" => {
            apps::replica_set(e, new);
            immutable(e, "selector");
        }
        "StatefulSet" => {
            apps::stateful_set(e, new, true);
            apps::stateful_set_update(e, old, new);
        }
        "DaemonSet" => {
            immutable(e, "selector");
            apps::daemon_set(e, new);
        }
        "ControllerRevision" => {
            e.non_negative(&new.get("revision"));
            e.immutable(&new.get("data"), &old.get("data"));
        }
        "Job" => batch::job_update(e, old, new),
        "CronJob" => cron::cron_job(e, new, Some(old)),
        "Service" => {
            service::update(e, old, new);
            service::service(e, new, Some(old));
        }
        "ConfigMap" => {
            config::immutable(e, old, new, &["data", "binaryData"]);
            meta::create(e, new, rules);
            config::config_map(e, new);
        }
        "Secret" => {
            e.immutable(&new.get("type"), &old.get("type"));
            config::immutable(e, old, new, &["data"]);
            meta::create(e, new, rules);
            config::secret(e, new);
        }
        "PersistentVolumeClaim" => {
            meta::create(e, new, rules);
            storage::changed_claim_spec(e, &old.get("spec"), &new.get("spec"));
            storage::claim_update(e, old, new);
        }
        "PersistentVolume" => {
            // ValidatePersistentVolumeUpdate looks at the new one as such once more.
            for time in 0..2 {
                meta::create(e, new, rules);
                storage::volume(e, new);
                if time == 0 {
                    storage::mount_options(e, new);
                }
            }
            storage::volume_update(e, old, new);
        }
        "StorageClass" => {
            storage::class(e, new);
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                e.immutable(&new.get(field), &old.get(field));
            }
        }
        "PriorityClass" => {
            if new.get("value").int() != old.get("value").int() {
                e.forbidden(&new.get("value"), "may not be changed in an update.");
            }
            e.immutable(&new.get("preemptionPolicy"), &old.get("preemptionPolicy"));
        }
        "ServiceAccount" => meta::create(e, new, rules),
        "Node" => cluster::node_update(e, old, new),
        "ResourceQuota" => cluster::quota_update(e, old, new),
        "LimitRange" => {
            meta::create(e, new, rules);
            limits::limit_range(e, new);
        }
        "Lease" => cluster::lease(e, new),
        "HorizontalPodAutoscaler" => autoscaling::autoscaler(e, new, Some(old)),
        "PodDisruptionBudget" => autoscaling::disruption_budget(e, new),
        "APIService" => {
            aggregation::name(e, new);
            aggregation::api_service(e, new);
        }
        "EndpointSlice" => {
            meta::create(e, new, rules);
            network::endpoint_slice(e, new);
            e.immutable(&new.get("addressType"), &old.get("addressType"));
        }
        "Endpoints" => network::endpoints(e, new),
        "NetworkPolicy" => network::network_policy(e, new),
        "Ingress" => {
            meta::create(e, new, rules);
            ingress::ingress(e, new);
        }
        "IngressClass" => {
            let (now, before) = (spec("controller"), old.get("spec").get("controller"));
            if now.text() != before.text() {
                e.invalid_text(&now, now.text(), "field is immutable");
            }
            meta::create(e, new, rules);
            ingress::class(e, new);
        }
        "CustomResourceDefinition" => custom::update(e, old, new),
        _ => extensions::update(e, kind, old, new),
    }
}

fn update_status(e: &mut Errors, kind: &str, old: &Node<'_>, new: &Node<'_>) {
    let status = new.get("status");
    match kind {
        "Pod" => pod::update_status(e, old, new),
        "Deployment" => apps::deployment_status(e, old, new),
        "ReplicaSet" | "ReplicationController" => apps::replica_set_status(e, new),
        "StatefulSet" => apps::stateful_set_status(e, old, new),
        "DaemonSet" => apps::daemon_set_status(e, old, new),
        "Job" => job_status::update(e, old, new),
        "HorizontalPodAutoscaler" => {
            e.non_negative(&status.get("currentReplicas"));
            e.non_negative(&status.get("desiredReplicas"));
        }
        "PodDisruptionBudget" => {
            status::conditions(e, &status.get("conditions"));
            for field in [
                "disruptionsAllowed",
                "currentHealthy",
                "desiredHealthy",
                "expectedPods",
            ] {
                e.non_negative(&status.get(field));
            }
        }
        "Node" => cluster::node_update(e, old, new),
        "APIService" => aggregation::status(e, &status),
        "PersistentVolumeClaim" => storage::claim_status(e, new),
        "PersistentVolume" if new.at(&["metadata", "resourceVersion"]).is_empty() => {
            e.required(&new.get("resourceVersion"), "");
        }
        _ => status::update(e, kind, new),
    }
}

/// What is wrong with the metadata of a new custom resource.
pub fn validate_custom(object: &Value, namespaced: bool) -> Vec<Cause> {
    let mut errors = Errors::default();
    let rules = Rules {
        namespaced,
        name: NameRule::Subdomain,
        prefix: true,
        finalizers: false,
    };
    meta::create(&mut errors, &Node::root(object), rules);
    errors.finish()
}

/// What is wrong with the metadata of a changed custom resource.
pub fn validate_custom_update(old: &Value, new: &Value, namespaced: bool) -> Vec<Cause> {
    let mut errors = Errors::default();
    let rules = Rules {
        namespaced,
        name: NameRule::Segment,
        prefix: true,
        finalizers: false,
    };
    let (old, new) = (Node::root(old), Node::root(new));
    meta::create(&mut errors, &new, rules);
    // Once for all kinds, and once for custom resources.
    for _ in 0..2 {
        meta::update(&mut errors, &old, &new, rules);
    }
    errors.finish()
}

/// The kind at the end of a definition's name.
fn kind_of(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

fn is_namespaced(definition: &str) -> bool {
    schema::kinds()
        .iter()
        .find(|kind| kind.definition == definition)
        .is_some_and(|kind| kind.namespaced)
}

fn meta_rules(definition: &str) -> Rules {
    let kind = kind_of(definition);
    let name = match kind {
        "Namespace" | "Service" | "StatefulSet" => NameRule::Label,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" | "APIService" => NameRule::Segment,
        "CertificateSigningRequest" => NameRule::Free,
        "IPAddress" => NameRule::Address,
        _ => NameRule::Subdomain,
    };
    // Kinds whose validation is built on apimachinery alone.
    let plain = definition.starts_with("io.k8s.api.admissionregistration.")
        || matches!(
            kind,
            "Lease" | "RuntimeClass" | "APIService" | "CustomResourceDefinition"
        );
    Rules {
        namespaced: is_namespaced(definition),
        name,
        prefix: !matches!(kind, "DeviceClass" | "ReplicationController"),
        finalizers: !plain,
    }
}

/// What every kind's metadata is held to, whatever the kind says itself.
fn general(rules: Rules) -> Rules {
    Rules {
        name: NameRule::Segment,
        prefix: true,
        finalizers: false,
        ..rules
    }
}
