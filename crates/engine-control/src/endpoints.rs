//! The older Endpoints object of Services with a selector (pkg/controller/endpoint).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::endpointslice::{
    HEADLESS, TriggerTimes, address, enqueue_services, selected, target_port, tell_trigger,
};
use crate::meta::{Key, Meta};
use crate::pods;
use crate::queue::{Outcome, Queue, run};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const COMPONENT: &str = "endpoint-controller";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// An object holds no more addresses than this; EndpointSlices hold all.
const MOST: usize = 1000;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_services(context, &queue);
    let q = Arc::clone(&queue);
    // What is deleted is made again, and what a Service has left behind goes. What others write there stays until something happens.
    let weak = Arc::downgrade(context);
    let alone = move |endpoints: &Endpoints| {
        let context = weak.upgrade();
        context.is_some_and(|context| context.services.get(&endpoints.key()).is_none())
    };
    context
        .endpoints
        .on_change(move |change| match (change.old, change.new) {
            (Some(endpoints), None) => q.add(endpoints.key()),
            (None, Some(endpoints)) if endpoints.label(MANAGED_BY) == Some(MANAGER) && alone(endpoints) => {
                q.add(endpoints.key());
            }
            _ => {}
        });
    let context = Arc::clone(context);
    let times: Arc<TriggerTimes> = Arc::default();
    run(tasks, "endpoints", &queue, 5, move |key| {
        sync(Arc::clone(&context), Arc::clone(&times), key)
    });
}

async fn sync(context: Arc<Context>, times: Arc<TriggerTimes>, key: Key) -> Outcome {
    let existing = context.endpoints.get(&key);
    if context.services.get(&key).is_none() {
        times.forget(&key);
        // Whoever made them, and also when they have not been heard of yet (endpoints_controller.go, syncService).
        let left = match existing {
            Some(endpoints) => Some(endpoints),
            None => context.endpoints.fetch(&key).await?.map(Arc::new),
        };
        if let Some(endpoints) = left {
            context.endpoints.delete(&*endpoints).await?;
        }
        return Ok(None);
    }
    let Some((service, members)) = selected(&context, &key) else {
        times.forget(&key);
        return Ok(None);
    };
    let trigger = times.next(&service, &members);
    let mut subsets = subsets(&service, &members);
    let over = truncate(&mut subsets);
    let subsets = Some(subsets).filter(|s| !s.is_empty());
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let base = existing.as_deref().cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    if existing.is_some() && base.subsets == subsets && base.metadata.labels.as_ref() == Some(&labels) {
        return Ok(None);
    }
    let mut updated = Endpoints { subsets, ..base };
    updated.metadata.labels = Some(labels);
    let annotations = updated.metadata.annotations.get_or_insert_default();
    if over {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    tell_trigger(&mut updated.metadata, trigger);
    let (written, reason, what) = match &existing {
        Some(existing) => (
            context.endpoints.update(existing, &updated).await.map(drop),
            "FailedToUpdateEndpoint",
            format!("Failed to update endpoint {key}"),
        ),
        None => (
            context.endpoints.create(&updated).await.map(drop),
            "FailedToCreateEndpoint",
            format!("Failed to create endpoint for service {key}"),
        ),
    };
    match written {
        Err(error) if existing.is_none() && error.is_namespace_terminating() => Ok(None),
        Err(error) => {
            let message = format!("{what}: {}", error.message());
            context.events.warning(COMPONENT, &updated, reason, message);
            Err(error)
        }
        Ok(()) => Ok(None),
    }
}

fn subsets(service: &Service, members: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses == Some(true);
    let family = spec
        .ip_families
        .as_ref()
        .and_then(|f| f.first())
        .map_or("IPv4", String::as_str);
    let mut all: Vec<(EndpointAddress, bool, Vec<EndpointPort>)> = Vec::new();
    for pod in members {
        if pods::is_terminal(pod) || (pod.deleting() && !publish) {
            continue;
        }
        let Some(ip) = address(pod, family) else { continue };
        let pod_spec = pod.spec.clone().unwrap_or_default();
        let named = pod_spec.subdomain.as_deref() == Some(service.name());
        let endpoint = EndpointAddress {
            ip,
            hostname: pod_spec.hostname.filter(|h| named && !h.is_empty()),
            // Said even when there is none, which the API server refuses.
            node_name: Some(pod_spec.node_name.unwrap_or_default()),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(pod.ns().to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
                ..ObjectReference::default()
            }),
        };
        let ports = spec.ports.iter().flatten();
        let ports = ports.filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some(EndpointPort {
                name: port.name.clone().filter(|n| !n.is_empty()),
                port: target_port(port.target_port.as_ref(), port.port, &protocol, pod)?,
                protocol: Some(protocol),
                app_protocol: port.app_protocol.clone(),
            })
        });
        let ports: Vec<EndpointPort> = ports.collect();
        if ports.is_empty() && spec.ports.as_ref().is_some_and(|p| !p.is_empty()) {
            continue;
        }
        all.push((endpoint, publish || pods::is_ready(pod), ports));
    }
    all.sort_by(|a, b| key_of(&a.0).cmp(&key_of(&b.0)));
    repack(&all)
}

/// What makes two addresses the same, and orders them.
fn key_of(address: &EndpointAddress) -> (&str, Option<&str>) {
    let uid = address.target_ref.as_ref().and_then(|t| t.uid.as_deref());
    (&address.ip, uid)
}

/// A subset for each set of addresses, with all the ports that just these have (pkg/api/v1/endpoints/util.go RepackSubsets).
fn repack(all: &[(EndpointAddress, bool, Vec<EndpointPort>)]) -> Vec<EndpointSubset> {
    // Where nobody has a port there is one group, of all.
    let mut who: Vec<(Option<&EndpointPort>, Vec<usize>)> = Vec::new();
    for (at, (_, _, ports)) in all.iter().enumerate() {
        let ports: Vec<Option<&EndpointPort>> = if ports.is_empty() {
            vec![None]
        } else {
            ports.iter().map(Some).collect()
        };
        for port in ports {
            match who.iter_mut().find(|(known, _)| *known == port) {
                Some((_, members)) if members.last() == Some(&at) => {}
                Some((_, members)) => members.push(at),
                None => who.push((port, vec![at])),
            }
        }
    }
    let mut groups: BTreeMap<Vec<usize>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, members) in who {
        groups.entry(members).or_default().extend(port.cloned());
    }
    let subset = |(members, mut ports): (Vec<usize>, Vec<EndpointPort>)| {
        ports.sort_by_cached_key(hash);
        let of = |wanted: bool| {
            let members = members.iter().map(|at| &all[*at]);
            let list: Vec<EndpointAddress> = members
                .filter(|(_, ready, _)| *ready == wanted)
                .map(|(address, _, _)| address.clone())
                .collect();
            Some(list).filter(|list| !list.is_empty())
        };
        EndpointSubset {
            addresses: of(true),
            not_ready_addresses: of(false),
            ports: Some(ports).filter(|p| !p.is_empty()),
        }
    };
    groups.into_iter().map(subset).collect()
}

/// By which upstream orders ports: FNV-1a of the Go value in print (k8s.io/utils/dump ForHash).
pub(crate) fn hash(port: &EndpointPort) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let app = port.app_protocol.as_deref().unwrap_or("<nil>");
    let printed = format!(
        "(v1.EndpointPort){{Name:(string){} Port:(int32){} Protocol:(v1.Protocol){} AppProtocol:(*string){app}}}",
        text(&port.name),
        port.port,
        text(&port.protocol)
    );
    let step = |state: u128, byte: u8| (state ^ u128::from(byte)).wrapping_mul(PRIME);
    printed.bytes().fold(OFFSET, step)
}

fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let mut left = MOST;
    let mut cut = false;
    for list in subsets
        .iter_mut()
        .flat_map(|s| [&mut s.addresses, &mut s.not_ready_addresses])
        .flatten()
    {
        cut |= list.len() > left;
        list.truncate(left);
        left -= list.len();
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ready_and_not_ready() {
        let pod = |name: &str, ip: &str, ready: &str| -> Arc<Pod> {
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": {"containers": []},
                "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]}})).unwrap())
        };
        let service: Service = serde_json::from_value(
            json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
        )
        .unwrap();
        let subsets = subsets(
            &service,
            &[
                pod("b", "10.0.0.2", "True"),
                pod("a", "10.0.0.1", "True"),
                pod("c", "10.0.0.3", "False"),
            ],
        );
        assert_eq!(subsets.len(), 1);
        let ips: Vec<&str> = subsets[0]
            .addresses
            .iter()
            .flatten()
            .map(|a| a.ip.as_str())
            .collect();
        assert_eq!(ips, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(subsets[0].not_ready_addresses.as_ref().unwrap()[0].ip, "10.0.0.3");
        assert_eq!(subsets[0].ports.as_ref().unwrap()[0].port, 8080);
    }
}
