//! ServiceAccount: every pod runs as one, and gets its token (plugin/pkg/admission/serviceaccount/admission.go).
use std::{sync::Arc, time::Duration};

use engine_store::Stored;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::Api,
    auth::node_graph::{MIRROR, names_secret},
    json::{list, set, text},
    keys,
    registry::meta,
    status::{ApiError, Result},
};

/// Where programs look for their token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Upstream's WarnOnlyBoundTokenExpirationPeriod: an hour, recognisable.
const SECONDS: i64 = 3607;
/// The controller makes `default` moments after the namespace; a pod that comes in between waits this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Give a pod its account and its token.
pub async fn admit_pod(api: &Arc<Api>, kind: &'static KindInfo, pod: &mut Value) -> Result<()> {
    if pod.pointer(MIRROR).is_some() {
        return check_mirror(kind, pod);
    }
    if text(pod, "/spec/serviceAccountName").is_empty() {
        set(pod, &["spec", "serviceAccountName"], "default");
    }
    let namespace = text(pod, "/metadata/namespace").to_owned();
    let name = text(pod, "/spec/serviceAccountName").to_owned();
    let Some(account) = find(api, &namespace, &name).await else {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        return Err(ApiError::forbidden(kind, super::name(pod), why));
    };
    let account = account.value();
    let automount = pod
        .pointer("/spec/automountServiceAccountToken")
        .and_then(Value::as_bool)
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if automount {
        mount_token(pod);
    }
    if list(pod, "/spec/imagePullSecrets").is_empty() {
        let secrets = list(&account, "/imagePullSecrets");
        if !secrets.is_empty() {
            set(pod, &["spec", "imagePullSecrets"], secrets.to_vec());
        }
    }
    Ok(())
}

/// What a kubelet shows of its own files may not refer to the API.
fn check_mirror(kind: &'static KindInfo, pod: &Value) -> Result<()> {
    let refuse = |why: &str| Err(ApiError::forbidden(kind, super::name(pod), why));
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return refuse("a mirror pod may not reference service accounts");
    }
    if names_secret(pod) {
        return refuse("a mirror pod may not reference secrets");
    }
    let sources = list(pod, "/spec/volumes")
        .iter()
        .flat_map(|volume| list(volume, "/projected/sources"));
    if sources
        .into_iter()
        .any(|source| source["serviceAccountToken"].is_object())
    {
        return refuse("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

async fn find(api: &Api, namespace: &str, name: &str) -> Option<Arc<Stored>> {
    let key = keys::core("serviceaccounts", namespace, name);
    let found = api.store.get(&key);
    if found.is_some() || name != "default" {
        return found;
    }
    let mut watch = api.store.watch(&key, api.store.revision()).ok()?;
    // It may have come between the look and the watch.
    if let Some(found) = api.store.get(&key) {
        return Some(found);
    }
    let wait = async {
        while let Some(Ok(_)) = watch.next().await {
            if let Some(found) = api.store.get(&key) {
                return Some(found);
            }
        }
        None
    };
    tokio::time::timeout(PATIENCE, wait).await.ok().flatten()
}

fn mount_token(pod: &mut Value) {
    // A volume of this name prefix that the client brought (kubectl get | replace) is used again.
    let volume = list(pod, "/spec/volumes")
        .iter()
        .map(|v| text(v, "/name"))
        .find(|n| n.starts_with("kube-api-access-"))
        .map(str::to_owned);
    let known = volume.is_some();
    let volume = volume.unwrap_or_else(|| format!("kube-api-access-{}", meta::random_suffix()));
    let mut mounted = false;
    for containers in ["initContainers", "containers"] {
        let Some(list) = pod["spec"].get_mut(containers).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in list {
            let mounts = container
                .get("volumeMounts")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            if mounts.iter().any(|m| m["mountPath"] == MOUNT) {
                continue;
            }
            let mut mounts = mounts;
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
            container["volumeMounts"] = mounts.into();
            mounted = true;
        }
    }
    if !mounted || known {
        return;
    }
    let mut volumes = list(pod, "/spec/volumes").to_vec();
    volumes.push(
        json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}),
    );
    set(pod, &["spec", "volumes"], volumes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_once() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [
            {"name": "own", "mountPath": MOUNT}]}]}});
        mount_token(&mut pod);
        assert_eq!(list(&pod, "/spec/volumes").len(), 1);
        assert_eq!(list(&pod, "/spec/containers/0/volumeMounts").len(), 1);
        assert_eq!(list(&pod, "/spec/containers/1/volumeMounts")[0]["name"], "own");
        mount_token(&mut pod);
        assert_eq!(list(&pod, "/spec/volumes").len(), 1);
    }
}
