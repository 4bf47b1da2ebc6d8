//! An IPAddress for each address of a Service, made and removed with it (kubernetes `pkg/registry/core/service/ipallocator/ipallocator.go`
//! createIPAddress, `repairip.go`).
use engine_store::{Precondition, WriteError};
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, storage_error},
    config::BuildError,
    json::{strings, text},
    keys,
    registry::meta,
    said,
    status::{ApiError, Result},
};

const GROUP: &str = "networking.k8s.io";
/// Who makes them, in the labels and in managed fields.
const MAKER: &str = "ipallocator.k8s.io";
const WRITER: &str = "kube-apiserver";

fn kind() -> Option<&'static KindInfo> {
    schema::by_resource(GROUP, "v1", "ipaddresses")
}

/// The addresses of a Service.
fn of(service: &Value) -> Vec<&str> {
    let mut all = strings(service, "/spec/clusterIPs");
    all.retain(|ip| !matches!(*ip, "" | "None"));
    all
}

fn object(kind: &KindInfo, ip: &str, service: &Value) -> Value {
    let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": {"name": ip, "labels": {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": MAKER}},
        "spec": {"parentRef": {"resource": "services", "namespace": text(service, "/metadata/namespace"), "name": text(service, "/metadata/name")}}});
    said::updated(kind, None, &mut object, WRITER, "");
    meta::fill_new(&mut object, false);
    object
}

/// The addresses that are taken by an IPAddress, whoever made it.
pub fn taken(api: &Api) -> Vec<String> {
    let Some(kind) = kind() else { return Vec::new() };
    let prefix = keys::prefix(kind, "");
    let all = api.store.list(&prefix).items;
    all.iter()
        .filter_map(|o| o.key.strip_prefix(&*prefix).map(str::to_owned))
        .collect()
}

/// Take the addresses that a Service has and had not before; yields them.
pub async fn take(api: &Api, service: &Value, old: Option<&Value>) -> Result<Vec<String>> {
    let had = old.map(of).unwrap_or_default();
    let mut made = Vec::new();
    let Some(kind) = kind() else { return Ok(made) };
    for ip in of(service).into_iter().filter(|ip| !had.contains(ip)) {
        let address = object(kind, ip, service);
        match api
            .write(kind, &keys::key(kind, "", ip), address, Precondition::Absent)
            .await
        {
            Ok(_) => made.push(ip.to_owned()),
            Err(error) => {
                release(api, &made).await;
                return Err(match error {
                    WriteError::Exists { .. } => already(service, ip),
                    other => storage_error(&other),
                });
            }
        }
    }
    Ok(made)
}

fn already(service: &Value, ip: &str) -> ApiError {
    let cause = validation::Cause {
        reason: "FieldValueInvalid",
        field: "spec.clusterIPs".to_owned(),
        message: format!(
            "Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated"
        ),
    };
    ApiError::invalid("", "Service", text(service, "/metadata/name"), &[cause])
}

/// Give up addresses.
pub async fn release(api: &Api, addresses: &[String]) {
    let Some(kind) = kind() else { return };
    for ip in addresses {
        // One that is gone already is given up, too.
        let _ = api
            .store
            .delete(&keys::key(kind, "", ip), Precondition::None)
            .await;
    }
}

/// The addresses that a Service had and has no more.
pub async fn release_left(api: &Api, service: Option<&Value>, old: &Value) {
    let kept = service.map(of).unwrap_or_default();
    let left: Vec<String> = of(old)
        .into_iter()
        .filter(|ip| !kept.contains(ip))
        .map(str::to_owned)
        .collect();
    release(api, &left).await;
}

/// The address of a Service that is there still is made again by upstream's repair loop.
pub async fn made_again(api: &Api, gone: &Value) {
    let reference = &gone["spec"]["parentRef"];
    let (namespace, name, ip) = (
        text(reference, "/namespace"),
        text(reference, "/name"),
        text(gone, "/metadata/name"),
    );
    if text(reference, "/resource") != "services" || !text(reference, "/group").is_empty() {
        return;
    }
    if let (Some(kind), Some(service)) = (kind(), api.store.get(&keys::core("services", namespace, name)))
        && of(&service.value()).contains(&ip)
    {
        let address = object(kind, ip, &service.value());
        let _ = api
            .store
            .put(&keys::key(kind, "", ip), address, Precondition::Absent)
            .await;
    }
}

/// At the start: every Service has its addresses, and those of Services that are gone go.
pub async fn repair(api: &Api) -> Result<(), BuildError> {
    let Some(kind) = kind() else { return Ok(()) };
    let prefix = keys::prefix(kind, "");
    let services = api.store.list("services/").items;
    let mut wanted = Vec::new();
    for service in &services {
        let service = service.value();
        for ip in of(&service) {
            wanted.push(ip.to_owned());
            let key = keys::key(kind, "", ip);
            if api.store.get(&key).is_none() {
                let made = api
                    .store
                    .put(&key, object(kind, ip, &service), Precondition::None)
                    .await;
                made.map_err(|e| crate::bootstrap::failed(&key, &e))?;
            }
        }
    }
    for address in api.store.list(&prefix).items {
        let value = address.value();
        let ours = value["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == MAKER;
        if ours && !wanted.iter().any(|ip| *ip == text(&value, "/metadata/name")) {
            release(api, &[text(&value, "/metadata/name").to_owned()]).await;
        }
    }
    Ok(())
}
