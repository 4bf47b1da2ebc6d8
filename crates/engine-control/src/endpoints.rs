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
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// An object holds no more addresses than this; EndpointSlices hold all.
const MOST: usize = 1000;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_services(context, &queue);
    let q = Arc::clone(&queue);
    context.endpoints.on_change(move |change| {
        if let Some(endpoints) = change.any() {
            q.add(endpoints.key());
        }
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
        // Only what this controller made goes with its Service.
        if let Some(endpoints) = existing.filter(|e| e.label(MANAGED_BY) == Some("endpoint-controller")) {
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
    labels.insert(MANAGED_BY.into(), "endpoint-controller".into());
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
    match existing {
        Some(existing) => {
            context.endpoints.update(&existing, &updated).await?;
        }
        None => match context.endpoints.create(&updated).await {
            Err(error) if error.is_namespace_terminating() => {}
            result => drop(result?),
        },
    }
    Ok(None)
}

/// Ports, ready and not ready addresses.
type Group = (Vec<EndpointPort>, Vec<EndpointAddress>, Vec<EndpointAddress>);

fn subsets(service: &Service, members: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses == Some(true);
    let family = spec
        .ip_families
        .as_ref()
        .and_then(|f| f.first())
        .map_or("IPv4", String::as_str);
    // By ports, since named ones may differ between pods.
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
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
            node_name: pod_spec.node_name.filter(|n| !n.is_empty()),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(pod.ns().to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
                ..ObjectReference::default()
            }),
        };
        let ports: Vec<EndpointPort> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
                Some(EndpointPort {
                    name: port.name.clone().filter(|n| !n.is_empty()),
                    port: target_port(port.target_port.as_ref(), port.port, &protocol, pod)?,
                    protocol: Some(protocol),
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect();
        if ports.is_empty() && spec.ports.as_ref().is_some_and(|p| !p.is_empty()) {
            continue;
        }
        let group = groups
            .entry(format!("{ports:?}"))
            .or_insert_with(|| (ports, Vec::new(), Vec::new()));
        if publish || pods::is_ready(pod) {
            group.1.push(endpoint);
        } else {
            group.2.push(endpoint);
        }
    }
    groups
        .into_values()
        .map(|(mut ports, mut ready, mut not_ready)| {
            ports.sort_by(|a, b| (&a.name, a.port).cmp(&(&b.name, b.port)));
            ready.sort_by(|a, b| a.ip.cmp(&b.ip));
            not_ready.sort_by(|a, b| a.ip.cmp(&b.ip));
            EndpointSubset {
                addresses: Some(ready).filter(|a| !a.is_empty()),
                not_ready_addresses: Some(not_ready).filter(|a| !a.is_empty()),
                ports: Some(ports).filter(|p| !p.is_empty()),
            }
        })
        .collect()
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
