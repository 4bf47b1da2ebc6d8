//! What this server registers of itself: an APIService for each group version that it serves, and the ConfigMap by which
//! extension servers recognise its requests (kubernetes `pkg/controlplane/controller/clusterauthenticationtrust`).
use std::sync::Arc;

use engine_store::Precondition;
use futures::future::try_join_all;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::Api,
    bootstrap::{ensure as ensure_object, failed},
    config::BuildError,
    json::{set, text},
    keys, resource_metrics,
    status::ApiError,
    time,
};

/// The label of APIServices that the server makes and removes by itself (`autoregister_controller.go`).
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// `groupPriorityMinimum` and `versionPriority` of the groups served here (`DefaultGenericAPIServicePriorities` and
/// `cmd/kube-apiserver/app/aggregator.go`); metrics-server registers itself with 100 and 100.
pub fn priority(group: &str, version: &str) -> (i64, i64) {
    match (group, version) {
        // Higher than anybody may ask for: always first.
        ("apiregistration.k8s.io", _) => (20_001, 1000),
        ("", _) => (18_000, 1),
        ("apps", _) => (17_800, 15),
        ("events.k8s.io", _) => (17_750, 15),
        ("authentication.k8s.io", _) => (17_700, 15),
        ("authorization.k8s.io", _) => (17_600, 15),
        ("autoscaling", "v2") => (17_500, 30),
        ("autoscaling", _) => (17_500, 15),
        ("batch", _) => (17_400, 15),
        ("certificates.k8s.io", _) => (17_300, 15),
        ("networking.k8s.io", _) => (17_200, 15),
        ("policy", _) => (17_100, 15),
        ("rbac.authorization.k8s.io", _) => (17_000, 15),
        ("storage.k8s.io", _) => (16_800, 15),
        ("admissionregistration.k8s.io" | "apiextensions.k8s.io", _) => (16_700, 15),
        ("scheduling.k8s.io", _) => (16_600, 15),
        ("coordination.k8s.io", _) => (16_500, 15),
        ("node.k8s.io", _) => (16_300, 15),
        ("discovery.k8s.io", _) => (16_200, 15),
        ("flowcontrol.apiserver.k8s.io", _) => (16_100, 21),
        ("resource.k8s.io", _) => (16_200, 21),
        ("metrics.k8s.io", _) => (100, 100),
        _ => (1000, 9),
    }
}

/// `NewLocalAvailableAPIServiceCondition`.
pub fn condition() -> Value {
    json!({"type": "Available", "status": "True", "lastTransitionTime": time::now(), "reason": "Local",
        "message": "Local APIServices are always available"})
}

fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for kind in schema::kinds() {
        // The aggregator has no APIService of its own API.
        let served = (kind.group, kind.version);
        if kind.group != "apiregistration.k8s.io" && !all.contains(&served) {
            all.push(served);
        }
    }
    all.push((resource_metrics::GROUP, resource_metrics::VERSION));
    all
}

/// Makes what is missing, and removes APIServices of groups that an earlier version of this server served.
pub async fn ensure(api: &Arc<Api>) -> Result<(), BuildError> {
    let kind = api_services()?;
    let (mut names, mut objects) = (Vec::new(), Vec::new());
    for (group, version) in group_versions() {
        let (group_priority, version_priority) = priority(group, version);
        let name = format!("{version}.{group}");
        let mut spec = json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority});
        if !group.is_empty() {
            spec["group"] = group.into();
        }
        let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec,
            "metadata": {"name": name, "labels": {MANAGED: "onstart"}}});
        objects.push(object);
        names.push(name);
    }
    try_join_all(objects.into_iter().map(|object| ensure_object(api, object))).await?;
    for stored in api.store.list(&keys::prefix(kind, "")).items {
        let value = stored.value();
        let name = text(&value, "/metadata/name");
        let ours = value["metadata"]["labels"][MANAGED] == "onstart";
        if ours && value["spec"]["service"].is_null() && !names.iter().any(|n| n == name) {
            api.erase(kind, &stored.key, Precondition::None)
                .await
                .map_err(|e| failed(name, &e))?;
        }
    }
    publish_authentication(api).await
}

/// An APIService for each group version of custom kinds, as long as there are any (kubernetes `pkg/controlplane/controller/crdregistration`).
pub async fn register_customs(api: &Arc<Api>) {
    let Ok(kind) = api_services() else { return };
    let mut names = Vec::new();
    for custom in api.customs.all() {
        let (group, version) = (custom.kind.group, custom.kind.version);
        let name = format!("{version}.{group}");
        let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {MANAGED: "true"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100}});
        if !names.contains(&name)
            && let Err(error) = ensure_object(api, object).await
        {
            tracing::debug!(%error, name, "a custom group is not registered");
        }
        names.push(name);
    }
    for stored in api.store.list(&keys::prefix(kind, "")).items {
        let value = stored.value();
        let ours = value["metadata"]["labels"][MANAGED] == "true" && value["spec"]["service"].is_null();
        if ours && !names.iter().any(|name| name == text(&value, "/metadata/name")) {
            let gone = api
                .erase(kind, &stored.key, Precondition::Revision(stored.revision))
                .await;
            if let Err(error) = gone {
                tracing::debug!(%error, key = %stored.key, "an APIService stays");
            }
        }
    }
}

/// The kind of APIServices.
pub fn api_services() -> Result<&'static KindInfo, BuildError> {
    schema::by_resource("apiregistration.k8s.io", "v1", "apiservices").ok_or_else(|| BuildError::Bootstrap {
        what: "apiservices".to_owned(),
        message: ApiError::no_such_path().message,
    })
}

/// `kube-system/extension-apiserver-authentication`: kept as the certificates are now.
async fn publish_authentication(api: &Arc<Api>) -> Result<(), BuildError> {
    let mut data = json!({"client-ca-file": api.config.ca_pem});
    if let Some(proxy) = &api.config.front_proxy {
        for (key, value) in [
            ("requestheader-client-ca-file", proxy.ca_pem.as_str()),
            ("requestheader-allowed-names", "[\"front-proxy-client\"]"),
            ("requestheader-username-headers", "[\"X-Remote-User\"]"),
            ("requestheader-uid-headers", "[\"X-Remote-Uid\"]"),
            ("requestheader-group-headers", "[\"X-Remote-Group\"]"),
            ("requestheader-extra-headers-prefix", "[\"X-Remote-Extra-\"]"),
        ] {
            data[key] = value.into();
        }
    }
    let name = "extension-apiserver-authentication";
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": name, "namespace": "kube-system"}});
    ensure_object(api, object).await?;
    let key = keys::core("configmaps", "kube-system", name);
    match api.store.get(&key) {
        Some(stored) if stored.value()["data"] != data => {
            let mut value = Value::clone(&stored.value());
            set(&mut value, &["data"], data);
            api.store
                .put(&key, value, Precondition::None)
                .await
                .map_err(|e| failed(&key, &e))?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_give_the_order_of_the_kinds() {
        let all = group_versions();
        let mut sorted = all.clone();
        sorted.sort_by_key(|(group, version)| {
            let (minimum, priority) = priority(group, version);
            (-minimum, *group, -priority)
        });
        assert_eq!(all, sorted);
        assert!(
            all.iter()
                .all(|(group, version)| priority(group, version) != (1000, 9))
        );
    }
}
