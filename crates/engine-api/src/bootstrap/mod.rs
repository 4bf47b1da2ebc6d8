//! The objects that every cluster has from the start. What exists already is left as people have changed it.
use std::sync::Arc;

use engine_store::{Precondition, WriteError};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    aggregation,
    api::Api,
    config::BuildError,
    json::{set, text},
    keys,
    registry::{addresses, meta, strategy},
    time,
};

pub mod flow;
mod owners;
mod policy;
mod roles;

pub use policy::role;

/// Write what is missing.
pub async fn run(api: &Arc<Api>) -> Result<(), BuildError> {
    let mut objects = Vec::new();
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        objects.push(
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description}),
        );
    }
    objects.push(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "cncfdemo.io/local-path", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"}));
    objects.extend(components());
    objects.extend(flow::all());
    // Since when the use of Secrets' tokens is noted (`pkg/controlplane/controller/legacytokentracking`).
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"},
        "data": {"since": time::today()}}));
    // As upstream's controller leaves it (`pkg/controlplane/controller/defaultservicecidr`, `pkg/controller/servicecidrs`).
    objects.push(json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
        "spec": {"cidrs": [api.config.service_cidr.to_string()]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
            "lastTransitionTime": time::now()}]}}));
    objects.extend(kubernetes_service(api));
    try_join_all(objects.into_iter().map(|object| ensure(api, object))).await?;
    try_join_all(
        roles::all()
            .into_iter()
            .chain(policy::all())
            .map(|object| complete(api, object)),
    )
    .await?;
    addresses::repair(api).await?;
    aggregation::ensure(api).await?;
    if let Some((ip, port)) = api.config.advertise {
        advertise(api, &ip.to_string(), port).await?;
    }
    Ok(())
}

/// What there is to be asked after: all of it is this program, so that whoever answers is healthy.
fn components() -> impl Iterator<Item = Value> {
    ["controller-manager", "scheduler", "etcd-0"]
        .into_iter()
        .map(|name| {
            json!({"apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": name},
            "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]})
        })
}

/// The service through which pods reach this API server.
fn kubernetes_service(api: &Api) -> Option<Value> {
    let (_, port) = api.config.advertise?;
    let range = api.config.service_cidr;
    let ip = std::net::Ipv4Addr::from(u32::from(range.network()) + 1).to_string();
    Some(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]}}))
}

/// Its endpoints, which follow the address that is configured now.
async fn advertise(api: &Arc<Api>, ip: &str, port: u16) -> Result<(), BuildError> {
    let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [{"addresses": [{"ip": ip}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}]});
    for object in [endpoints, slice] {
        let (key, ready) = prepare(object)?;
        if let Some(stored) = api.store.get(&key) {
            let old = stored.value();
            let mut value = Value::clone(&old);
            for part in ["subsets", "endpoints", "ports", "addressType"] {
                if let Some(found) = ready.get(part) {
                    value[part] = found.clone();
                }
            }
            if value != *old {
                api.store
                    .put(&key, value, Precondition::None)
                    .await
                    .map_err(|e| failed(&key, &e))?;
            }
        } else {
            api.store
                .put(&key, ready, Precondition::None)
                .await
                .map_err(|e| failed(&key, &e))?;
        }
    }
    Ok(())
}

/// What could not be written.
pub fn failed(what: &str, error: &WriteError) -> BuildError {
    BuildError::Bootstrap {
        what: what.to_owned(),
        message: error.to_string(),
    }
}

/// The key of an object and the object as a create would store it.
fn prepare(mut object: Value) -> Result<(String, Value), BuildError> {
    let api_version = text(&object, "/apiVersion").to_owned();
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let name = text(&object, "/metadata/name").to_owned();
    let kind =
        schema::by_kind(group, version, text(&object, "/kind")).ok_or_else(|| BuildError::Bootstrap {
            what: name.clone(),
            message: format!("{api_version} {} is not known", text(&object, "/kind")),
        })?;
    if kind.plural == "namespaces" {
        set(
            &mut object,
            &["metadata", "labels", "kubernetes.io/metadata.name"],
            name.as_str(),
        );
    }
    let status = object.get("status").cloned();
    schema::set_defaults(kind.definition, &mut object);
    // What upstream's controllers would say of it is said at once.
    let mut object = owners::tracked(kind, object, status.clone());
    strategy::prepare_create(kind, &mut object);
    if let Some(status) = status {
        object["status"] = status;
    }
    if kind.plural == "services" {
        // What is made of an address is nobody's.
        object["spec"]["clusterIPs"] = json!([object["spec"]["clusterIP"]]);
        object["spec"]["ipFamilies"] = json!(["IPv4"]);
    }
    meta::fill_new(&mut object, strategy::counts_generations(kind));
    Ok((
        keys::key(kind, text(&object, "/metadata/namespace"), &name),
        object,
    ))
}

/// Writes an object unless there is one of its name.
pub async fn ensure(api: &Arc<Api>, object: Value) -> Result<(), BuildError> {
    let (key, object) = prepare(object)?;
    ensure_prepared(api, key, object).await
}

async fn ensure_prepared(api: &Arc<Api>, key: String, object: Value) -> Result<(), BuildError> {
    if api.store.get(&key).is_some() {
        return Ok(());
    }
    match api.store.put(&key, object, Precondition::Absent).await {
        Ok(_) | Err(WriteError::Exists { .. }) => Ok(()),
        Err(error) => Err(failed(&key, &error)),
    }
}

/// Writes a default role or binding, or adds the rules and subjects that an older version's lacks; what others added stays, and so does
/// everything where `autoupdate` is `false` (`pkg/registry/rbac/rest/storage_rbac.go` and `reconciliation`, 1.36). A role that is made of
/// others is the aggregating controller's.
async fn complete(api: &Arc<Api>, object: Value) -> Result<(), BuildError> {
    let (key, wanted) = prepare(object)?;
    let Some(stored) = api.store.get(&key) else {
        return ensure_prepared(api, key, wanted).await;
    };
    let old = stored.value();
    let annotations = &old["metadata"]["annotations"];
    let left_alone = annotations["rbac.authorization.kubernetes.io/autoupdate"] == "false";
    if left_alone || wanted.get("aggregationRule").is_some() {
        return Ok(());
    }
    let mut value = Value::clone(&old);
    for part in ["rules", "subjects"] {
        let there = value[part].as_array().cloned().unwrap_or_default();
        let missing = wanted[part].as_array().into_iter().flatten();
        let missing: Vec<Value> = missing.filter(|one| !there.contains(one)).cloned().collect();
        if !missing.is_empty() {
            value[part] = [there, missing].concat().into();
        }
    }
    if value == *old {
        return Ok(());
    }
    let done = api.store.put(&key, value, Precondition::None).await;
    done.map(drop).map_err(|e| failed(&key, &e))
}
