//! Validation of Kubernetes objects on create and update, worded as upstream words it; pure.
//!
//! [`validate_create`] and [`validate_update`] answer with the causes that upstream's `pkg/apis/*/validation` (1.36, default feature
//! gates) would give, in its order. Objects are expected to be defaulted and normalised. Where upstream walks a Go map in random
//! order, keys are sorted here. Kinds without rules of their own get the rules for `metadata`.

mod aggregation;
mod apps;
mod autoscaling;
mod batch;
mod cluster;
mod config;
mod cron;
mod custom;
mod event;
mod extensions;
mod failure_policy;
mod field;
mod ingress;
mod job_status;
mod limits;
mod meta;
mod network;
mod pod;
mod rbac;
mod service;
mod storage;
mod success_policy;
mod warnings;

#[cfg(test)]
mod tests;

use serde_json::Value;

use field::{Errors, Node, go_struct};
use meta::NameRule;

pub use warnings::{deprecation, warnings};

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

/// Everything wrong with a new object of this definition, after defaulting, in upstream's order.
pub fn validate_create(definition: &str, object: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    let object = Node::root(object);
    let namespaced = is_namespaced(definition);
    let kind = kind_of(definition);
    if kind == "Event" {
        // Events of core are not held to the rules for metadata.
        let new = definition.starts_with("io.k8s.api.events.");
        let reporter = if new {
            "reportingController"
        } else {
            "reportingComponent"
        };
        event::event(&mut errors, &object, reporter);
        if new {
            meta::create(&mut errors, &object, namespaced, name_rule(kind));
            event::strict(&mut errors, &object);
        }
        return errors.finish();
    }
    meta::create(&mut errors, &object, namespaced, name_rule(kind));
    match kind {
        "Pod" => pod::create(&mut errors, &object),
        "PodTemplate" => pod::template(&mut errors, &object.get("template")),
        "ReplicationController" => apps::replication_controller(&mut errors, &object),
        "Deployment" => apps::deployment(&mut errors, &object),
        "ReplicaSet" => apps::replica_set(&mut errors, &object),
        "StatefulSet" => apps::stateful_set(&mut errors, &object, false),
        "DaemonSet" => apps::daemon_set(&mut errors, &object),
        "ControllerRevision" => apps::controller_revision(&mut errors, &object),
        "Job" => batch::job(&mut errors, &object),
        "CronJob" => cron::cron_job(&mut errors, &object, None),
        "Service" => service::service(&mut errors, &object, None),
        "ConfigMap" => config::config_map(&mut errors, &object),
        "Secret" => config::secret(&mut errors, &object),
        "PersistentVolumeClaim" => storage::claim_spec(&mut errors, &object.get("spec")),
        "PersistentVolume" => storage::volume(&mut errors, &object),
        "StorageClass" => storage::class(&mut errors, &object),
        "PriorityClass" => cluster::priority_class(&mut errors, &object),
        "Namespace" => cluster::namespace(&mut errors, &object),
        "Node" => cluster::node(&mut errors, &object),
        "ResourceQuota" => cluster::quota_spec(&mut errors, &object.get("spec")),
        "LimitRange" => limits::limit_range(&mut errors, &object),
        "Lease" => cluster::lease(&mut errors, &object),
        "Role" => rbac::rules(&mut errors, &object, true),
        "ClusterRole" => rbac::cluster_role(&mut errors, &object),
        "RoleBinding" => rbac::binding(&mut errors, &object, true),
        "ClusterRoleBinding" => rbac::binding(&mut errors, &object, false),
        "HorizontalPodAutoscaler" => autoscaling::autoscaler(&mut errors, &object, None),
        "PodDisruptionBudget" => autoscaling::disruption_budget(&mut errors, &object),
        "APIService" => aggregation::api_service(&mut errors, &object),
        "EndpointSlice" => network::endpoint_slice(&mut errors, &object),
        "Endpoints" => network::endpoints(&mut errors, &object),
        "NetworkPolicy" => network::network_policy(&mut errors, &object),
        "Ingress" => ingress::create(&mut errors, &object),
        "IngressClass" => ingress::class(&mut errors, &object),
        "CustomResourceDefinition" => {
            custom::name(&mut errors, &object);
            custom::definition(&mut errors, &object);
        }
        _ => extensions::create(&mut errors, kind, &object),
    }
    errors.finish()
}

/// Everything wrong with replacing `old` by `new`, immutable fields included. `subresource` is empty, `status`, `scale`, …
pub fn validate_update(definition: &str, subresource: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    let (old, new) = (Node::root(old), Node::root(new));
    let e = &mut errors;
    let kind = kind_of(definition);
    let namespaced = is_namespaced(definition);
    if matches!(
        kind,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding"
    ) {
        meta::create(e, &new, namespaced, name_rule(kind));
        match kind {
            "Role" => rbac::rules(e, &new, true),
            "ClusterRole" => rbac::cluster_role(e, &new),
            _ => rbac::binding(e, &new, kind == "RoleBinding"),
        }
        meta::update(e, &old, &new);
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
        meta::create(e, &new, namespaced, name_rule(kind));
        batch::job(e, &new);
    }
    meta::update(e, &old, &new);
    match subresource {
        _ if kind == "CertificateSigningRequest" => extensions::signing_update(e, subresource, &old, &new),
        "" => update_main(e, kind, namespaced, &old, &new),
        "status" => update_status(e, kind, &old, &new),
        "ephemeralcontainers" => pod::update_ephemeral(e, &old, &new),
        "scale" => e.non_negative(&new.get("spec").get("replicas")),
        _ => {}
    }
    errors.finish()
}

fn update_main(e: &mut Errors, kind: &str, namespaced: bool, old: &Node<'_>, new: &Node<'_>) {
    let spec = |field: &str| new.get("spec").get(field);
    let immutable = |e: &mut Errors, field: &str| e.immutable(&spec(field), &old.get("spec").get(field));
    match kind {
        "Pod" => {
            meta::create(e, new, namespaced, name_rule(kind));
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
            meta::create(e, new, namespaced, name_rule(kind));
            config::config_map(e, new);
        }
        "Secret" => {
            e.immutable(&new.get("type"), &old.get("type"));
            config::immutable(e, old, new, &["data"]);
            meta::create(e, new, namespaced, name_rule(kind));
            config::secret(e, new);
        }
        "PersistentVolumeClaim" => {
            meta::create(e, new, namespaced, name_rule(kind));
            storage::claim_spec(e, &new.get("spec"));
            storage::claim_update(e, old, new);
        }
        "PersistentVolume" => {
            meta::create(e, new, namespaced, name_rule(kind));
            storage::volume(e, new);
            storage::volume_update(e, old, new);
        }
        "StorageClass" => {
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
        "ServiceAccount" => meta::create(e, new, namespaced, name_rule(kind)),
        "Node" => cluster::node_update(e, old, new),
        "ResourceQuota" => cluster::quota_update(e, old, new),
        "LimitRange" => {
            meta::create(e, new, namespaced, name_rule(kind));
            limits::limit_range(e, new);
        }
        "Lease" => cluster::lease(e, new),
        "HorizontalPodAutoscaler" => autoscaling::autoscaler(e, new, Some(old)),
        "PodDisruptionBudget" => autoscaling::disruption_budget(e, new),
        "APIService" => aggregation::api_service(e, new),
        "EndpointSlice" => {
            meta::create(e, new, namespaced, name_rule(kind));
            network::endpoint_slice(e, new);
            e.immutable(&new.get("addressType"), &old.get("addressType"));
        }
        "Endpoints" => network::endpoints(e, new),
        "NetworkPolicy" => network::network_policy(e, new),
        "Ingress" => {
            meta::create(e, new, namespaced, name_rule(kind));
            ingress::ingress(e, new);
        }
        "IngressClass" => {
            immutable(e, "controller");
            meta::create(e, new, namespaced, name_rule(kind));
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
        _ => {}
    }
}

/// What is wrong with the metadata of a new custom resource.
pub fn validate_custom(object: &Value, namespaced: bool) -> Vec<Cause> {
    let mut errors = Errors::default();
    meta::create(&mut errors, &Node::root(object), namespaced, NameRule::Subdomain);
    errors.finish()
}

/// What is wrong with the metadata of a changed custom resource.
pub fn validate_custom_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    meta::update(&mut errors, &Node::root(old), &Node::root(new));
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

fn name_rule(kind: &str) -> NameRule {
    match kind {
        "Namespace" | "Service" | "StatefulSet" => NameRule::Label,
        "Role"
        | "ClusterRole"
        | "RoleBinding"
        | "ClusterRoleBinding"
        | "CertificateSigningRequest"
        | "APIService" => NameRule::Segment,
        _ => NameRule::Subdomain,
    }
}
