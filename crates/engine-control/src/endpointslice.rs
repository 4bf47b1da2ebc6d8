//! EndpointSlices of Services with a selector (staging/src/k8s.io/endpointslice).

mod topology;
mod trigger;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::events::Level;
use crate::meta::{Key, Meta, controller_ref};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::selector::{self, Labels};

pub(crate) use trigger::{TRIGGER_TIME, TriggerTimes, tell_trigger};

pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const COMPONENT: &str = "endpoint-slice-controller";
const MANAGER: &str = "endpointslice-controller.k8s.io";
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
const PER_SLICE: usize = 100;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    enqueue_services(context, &queue);
    enqueue_services_of_slices(context, &queue, MANAGER);
    // Where CPUs are decides on hints.
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.nodes.on_change(move |change| {
        let face = |node: &Arc<Node>| topology::face(node);
        if change.old.map(face) != change.new.map(face)
            && let Some(context) = weak.upgrade()
        {
            for service in context.services.filter(topology::is_asked) {
                q.add(service.key());
            }
        }
    });
    let context = Arc::clone(context);
    let memory: Arc<Memory> = Arc::default();
    run(tasks, "endpointslice", &queue, 5, move |key| {
        sync(Arc::clone(&context), Arc::clone(&memory), key)
    });
}

/// What is remembered of Services from one look to the next.
#[derive(Default)]
struct Memory {
    times: TriggerTimes,
    hinted: topology::Hinted,
}

/// Wakes Services when they, or pods that they select, change in a way that endpoints show.
pub(crate) fn enqueue_services(context: &Arc<Context>, queue: &Arc<Queue<Key>>) {
    let q = Arc::clone(queue);
    context.services.on_change(move |change| {
        if let Some(service) = change.any() {
            q.add(service.key());
        }
    });
    let q = Arc::clone(queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        let face = |p: &Arc<Pod>| {
            let status = p.status.as_ref();
            (
                p.metadata.labels.clone(),
                status.and_then(|s| s.pod_ips.clone()),
                status.and_then(|s| s.pod_ip.clone()),
                pods::is_ready(p),
                pods::is_terminal(p),
                p.deleting(),
                pods::node_name(p).map(str::to_owned),
            )
        };
        if change.old.map(face) == change.new.map(face) {
            return;
        }
        let (Some(pod), Some(context)) = (change.any(), weak.upgrade()) else {
            return;
        };
        for service in context.services.in_namespace(pod.ns()) {
            let Some(selector) = service
                .spec
                .as_ref()
                .and_then(|s| s.selector.as_ref())
                .filter(|s| !s.is_empty())
            else {
                continue;
            };
            if [change.old, change.new]
                .into_iter()
                .flatten()
                .any(|p| selector::matches_map(selector, p.metadata.labels.as_ref()))
            {
                q.add(service.key());
            }
        }
    });
}

/// Wakes Services when slices of this manager change.
pub(crate) fn enqueue_services_of_slices(
    context: &Arc<Context>,
    queue: &Arc<Queue<Key>>,
    manager: &'static str,
) {
    let q = Arc::clone(queue);
    context.endpoint_slices.on_change(move |change| {
        if let Some(slice) = change.any().filter(|s| s.label(MANAGED_BY) == Some(manager))
            && let Some(service) = slice.label(SERVICE_NAME)
        {
            q.add(Key::new(slice.ns(), service));
        }
    });
}

/// A Service whose endpoints are to be kept, and the pods that it selects.
pub(crate) fn selected(context: &Context, key: &Key) -> Option<(Arc<Service>, Vec<Arc<Pod>>)> {
    let service = context.services.get(key).filter(|s| !s.deleting())?;
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|s| !s.is_empty())?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let mut members = context.pods.in_namespace(&key.namespace);
    members.retain(|p| selector::matches_map(selector, p.metadata.labels.as_ref()));
    Some((service, members))
}

async fn sync(context: Arc<Context>, memory: Arc<Memory>, key: Key) -> Outcome {
    let Some((service, members)) = selected(&context, &key) else {
        memory.times.forget(&key);
        memory.hinted.forget(&key);
        return Ok(None);
    };
    let trigger = memory.times.next(&service, &members);
    let existing: Vec<Arc<EndpointSlice>> = context
        .endpoint_slices
        .in_namespace(&key.namespace)
        .into_iter()
        .filter(|s| {
            s.label(SERVICE_NAME) == Some(&key.name) && s.label(MANAGED_BY) == Some(MANAGER) && !s.deleting()
        })
        .collect();
    let families = service
        .spec
        .as_ref()
        .and_then(|s| s.ip_families.clone())
        .filter(|f| !f.is_empty())
        .unwrap_or_else(|| vec!["IPv4".into()]);
    let node = |name: &str| context.nodes.get(&Key::new("", name));
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let (members, skipped): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|p| publish || pods::node_name(p).and_then(node).is_some());
    for family in &families {
        let wanted = endpoints_of(&service, &members, family, node);
        let of_family: Vec<Arc<EndpointSlice>> = existing
            .iter()
            .filter(|s| s.address_type == *family)
            .cloned()
            .collect();
        let mut plan = plan(&of_family, wanted);
        let nodes = context.nodes.all();
        if let Some((level, reason, message)) = memory.hinted.settle(&service, family, &mut plan.0, &nodes) {
            match level {
                Level::Normal => context.events.normal(COMPONENT, &*service, reason, message),
                Level::Warning => context.events.warning(COMPONENT, &*service, reason, message),
            }
        }
        apply(&context, &service, family, trigger, plan).await?;
    }
    for stray in existing.iter().filter(|s| !families.contains(&s.address_type)) {
        context.endpoint_slices.delete(&**stray).await?;
    }
    let skipped: Vec<String> = skipped
        .iter()
        .filter(|p| !pods::is_terminal(p) && families.iter().any(|f| address(p, f).is_some()))
        .map(|p| without_node(&service, p))
        .collect();
    let why = match skipped.as_slice() {
        [] => return Ok(None),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let message = format!("Error updating Endpoint Slices for Service {key}: {why}");
    context
        .events
        .warning(COMPONENT, &*service, "FailedToUpdateEndpointSlices", message);
    Err(Error::Invalid(why))
}

/// A pod whose node is not there is left out until it is (staging/src/k8s.io/endpointslice/reconciler.go).
fn without_node(service: &Service, pod: &Pod) -> String {
    format!(
        "skipping Pod {} for Service {}: Node {} Not Found",
        pod.name(),
        service.key(),
        pods::node_name(pod).unwrap_or_default()
    )
}

/// Endpoints by the ports that they serve: named ports may differ from pod to pod.
type ByPorts = BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)>;

fn endpoints_of(
    service: &Service,
    members: &[Arc<Pod>],
    family: &str,
    node: impl Fn(&str) -> Option<Arc<Node>>,
) -> ByPorts {
    let mut all = ByPorts::new();
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    for pod in members {
        if pods::is_terminal(pod) {
            continue;
        }
        let Some(address) = address(pod, family) else {
            continue;
        };
        let ports = ports_of(service, pod);
        let (serving, terminating) = (pods::is_ready(pod), pod.deleting());
        let spec = pod.spec.clone().unwrap_or_default();
        let named = spec.subdomain.as_deref() == Some(service.name())
            && spec.hostname.as_deref().is_some_and(|h| !h.is_empty());
        let mut endpoint = Endpoint {
            addresses: vec![address],
            conditions: Some(EndpointConditions {
                ready: Some(publish || (serving && !terminating)),
                serving: Some(serving),
                terminating: Some(terminating),
            }),
            hostname: spec.hostname.filter(|_| named),
            zone: pods::node_name(pod)
                .and_then(&node)
                .and_then(|n| n.label(topology::ZONE).map(str::to_owned)),
            node_name: spec.node_name.filter(|n| !n.is_empty()),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(pod.ns().to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        };
        endpoint.hints = hints(service, &endpoint);
        all.entry(format!("{ports:?}"))
            .or_insert_with(|| (ports, Vec::new()))
            .1
            .push(endpoint);
    }
    all
}

/// Whom an endpoint is for, when the Service wants its traffic kept close (trafficdist/trafficdist.go).
fn hints(service: &Service, endpoint: &Endpoint) -> Option<EndpointHints> {
    let wanted = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    if topology::is_asked(service) {
        return None;
    }
    let ready = endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true);
    if !ready || !matches!(wanted, "PreferClose" | "PreferSameZone" | "PreferSameNode") {
        return None;
    }
    let for_zones = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
    let node = endpoint.node_name.clone().filter(|_| wanted == "PreferSameNode");
    let for_nodes = node.map(|name| vec![ForNode { name }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

pub(crate) fn address(pod: &Pod, family: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let listed = status.pod_ips.iter().flatten().map(|p| p.ip.clone());
    listed
        .chain(status.pod_ip.clone())
        .find(|ip| !ip.is_empty() && ip.contains(':') == (family == "IPv6"))
}

fn ports_of(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target_port(port.target_port.as_ref(), port.port, &protocol, pod)?),
                protocol: Some(protocol),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// The number of a Service's target port on a pod; a name is looked up among the containers' ports.
pub(crate) fn target_port(
    target: Option<&IntOrString>,
    default: i32,
    protocol: &str,
    pod: &Pod,
) -> Option<i32> {
    match target {
        None | Some(IntOrString::Int(0)) => Some(default),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec
                .init_containers
                .iter()
                .flatten()
                .filter(|c| c.restart_policy.as_deref() == Some("Always"));
            spec.containers
                .iter()
                .chain(sidecars)
                .flat_map(|c| c.ports.iter().flatten())
                .find(|p| {
                    p.name.as_deref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol
                })
                .map(|p| p.container_port)
        }
    }
}

/// What one slice should hold; without a slice it is a new one.
#[derive(Debug)]
struct Wanted {
    slice: Option<Arc<EndpointSlice>>,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

/// Endpoints stay in the slice they are in; new ones fill what has room; an empty slice is reused, or goes.
fn plan(existing: &[Arc<EndpointSlice>], wanted: ByPorts) -> (Vec<Wanted>, Vec<Arc<EndpointSlice>>) {
    let mut plans = Vec::new();
    let mut free: Vec<Arc<EndpointSlice>> = Vec::new();
    let mut taken: HashSet<String> = HashSet::new();
    for (ports, endpoints) in wanted.into_values() {
        let id = |e: &Endpoint| {
            (
                e.target_ref.as_ref().and_then(|t| t.uid.clone()),
                e.addresses.clone(),
            )
        };
        let mut new: HashMap<_, Endpoint> = endpoints.into_iter().map(|e| (id(&e), e)).collect();
        let mut group = Vec::new();
        for slice in existing
            .iter()
            .filter(|s| s.ports.as_deref().unwrap_or_default() == ports)
        {
            let kept: Vec<Endpoint> = slice
                .endpoints
                .iter()
                .flatten()
                .filter_map(|e| new.remove(&id(e)))
                .collect();
            if !kept.is_empty() {
                taken.insert(slice.name().to_owned());
                group.push(Wanted {
                    slice: Some(Arc::clone(slice)),
                    ports: ports.clone(),
                    endpoints: kept,
                });
            }
        }
        let mut rest: Vec<Endpoint> = new.into_values().collect();
        rest.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        for wanted in &mut group {
            let room = PER_SLICE.saturating_sub(wanted.endpoints.len()).min(rest.len());
            wanted.endpoints.extend(rest.drain(..room));
        }
        while !rest.is_empty() {
            let chunk: Vec<Endpoint> = rest.drain(..rest.len().min(PER_SLICE)).collect();
            group.push(Wanted {
                slice: None,
                ports: ports.clone(),
                endpoints: chunk,
            });
        }
        plans.extend(group);
    }
    free.extend(existing.iter().filter(|s| !taken.contains(s.name())).cloned());
    if plans.is_empty() {
        // One empty slice says that the Service is known and has nobody.
        plans.push(Wanted {
            slice: None,
            ports: Vec::new(),
            endpoints: Vec::new(),
        });
    }
    for wanted in plans.iter_mut().filter(|p| p.slice.is_none()) {
        wanted.slice = free.pop();
    }
    (plans, free)
}

async fn apply(
    context: &Context,
    service: &Service,
    family: &str,
    trigger: Option<Timestamp>,
    plan: (Vec<Wanted>, Vec<Arc<EndpointSlice>>),
) -> Result<(), Error> {
    let (wanted, surplus) = plan;
    for wanted in wanted {
        let labels = labels_of(service);
        if let Some(slice) = &wanted.slice
            && slice.endpoints.as_deref().unwrap_or_default() == wanted.endpoints
            && slice.ports.as_deref().unwrap_or_default() == wanted.ports
            && slice.metadata.labels.as_ref() == Some(&labels)
        {
            continue;
        }
        // Null, not absent: that is how upstream shows a slice without endpoints or ports.
        let list = |items: Value, empty: bool| if empty { Value::Null } else { items };
        let mut metadata = match &wanted.slice {
            Some(slice) => slice.metadata.clone(),
            None => ObjectMeta {
                generate_name: Some(format!("{}-", service.name())),
                namespace: Some(service.ns().to_owned()),
                owner_references: Some(vec![controller_ref(service)]),
                ..ObjectMeta::default()
            },
        };
        metadata.labels = Some(labels);
        tell_trigger(&mut metadata, trigger);
        let object = json!({
            "metadata": metadata,
            "addressType": family,
            "endpoints": list(json!(wanted.endpoints), wanted.endpoints.is_empty()),
            "ports": list(json!(wanted.ports), wanted.ports.is_empty()),
        });
        match &wanted.slice {
            Some(slice) => {
                context
                    .endpoint_slices
                    .replace_value(&slice.key(), &object)
                    .await?;
            }
            None => match context.endpoint_slices.create_value(service.ns(), &object).await {
                Err(error) if error.is_namespace_terminating() => return Ok(()),
                result => drop(result?),
            },
        }
    }
    for slice in surplus {
        context.endpoint_slices.delete(&*slice).await?;
    }
    Ok(())
}

/// The Service's labels, and whose slice it is.
fn labels_of(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.name().to_owned());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::now;

    fn pod(name: &str, ip: &str, ready: bool) -> Arc<Pod> {
        let status = if ready { "True" } else { "False" };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "uid": name},
                "spec": {"hostname": name, "subdomain": "s", "nodeName": "node", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
                "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": status}]}
            }))
            .unwrap(),
        )
    }

    fn service() -> Service {
        serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}})).unwrap()
    }

    fn compute(pods: &[Arc<Pod>]) -> ByPorts {
        endpoints_of(&service(), pods, "IPv4", |_| None)
    }

    #[test]
    fn traffic_that_is_to_stay_close() {
        let node: Node = serde_json::from_value(
            json!({"metadata": {"name": "node", "labels": {"topology.kubernetes.io/zone": "z"}}}),
        )
        .unwrap();
        let node = Arc::new(node);
        let hints = |distribution: Option<&str>, ready| {
            let mut service = service();
            service.spec.as_mut().unwrap().traffic_distribution = distribution.map(str::to_owned);
            let all = endpoints_of(&service, &[pod("a", "10.0.0.1", ready)], "IPv4", |_| {
                Some(Arc::clone(&node))
            });
            serde_json::to_value(&all.into_values().next().unwrap().1[0].hints).unwrap()
        };
        let zone = json!({"forZones": [{"name": "z"}]});
        assert_eq!(hints(None, true), Value::Null);
        assert_eq!(hints(Some("PreferClose"), true), zone);
        assert_eq!(hints(Some("PreferSameZone"), true), zone);
        assert_eq!(hints(Some("PreferSameZone"), false), Value::Null);
        let both = json!({"forZones": [{"name": "z"}], "forNodes": [{"name": "node"}]});
        assert_eq!(hints(Some("PreferSameNode"), true), both);
    }

    #[test]
    fn named_port_and_conditions() {
        let all = compute(&[pod("a", "10.0.0.1", true), pod("b", "10.0.0.2", false)]);
        let (ports, endpoints) = all.into_values().next().unwrap();
        assert_eq!(
            (ports[0].port, ports[0].name.as_deref()),
            (Some(8080), Some("http"))
        );
        let ready: Vec<_> = endpoints
            .iter()
            .map(|e| e.conditions.as_ref().unwrap().ready)
            .collect();
        assert_eq!(ready, [Some(true), Some(false)]);
        assert_eq!(endpoints[0].hostname.as_deref(), Some("a"));
    }

    #[test]
    fn terminating_serves_but_is_not_ready() {
        let mut leaving = (*pod("a", "10.0.0.1", true)).clone();
        leaving.metadata.deletion_timestamp = Some(now());
        let all = compute(&[Arc::new(leaving)]);
        let conditions = all.into_values().next().unwrap().1[0].conditions.clone().unwrap();
        assert_eq!(
            (conditions.ready, conditions.serving, conditions.terminating),
            (Some(false), Some(true), Some(true))
        );
    }

    #[test]
    fn slices_are_kept_filled_and_reused() {
        let slice = |name: &str, endpoints: Vec<Endpoint>, ports: Vec<EndpointPort>| {
            Arc::new(EndpointSlice {
                metadata: ObjectMeta {
                    name: Some(name.into()),
                    ..Default::default()
                },
                endpoints: Some(endpoints),
                ports: Some(ports),
                address_type: "IPv4".into(),
            })
        };
        let (ports, endpoints) = compute(&[pod("a", "10.0.0.1", true)])
            .into_values()
            .next()
            .unwrap();
        let old = slice("x", endpoints, ports);
        // A second pod joins the slice of the first.
        let (plans, free) = plan(
            &[Arc::clone(&old)],
            compute(&[pod("a", "10.0.0.1", true), pod("b", "10.0.0.2", true)]),
        );
        assert_eq!((plans.len(), plans[0].endpoints.len(), free.len()), (1, 2, 0));
        // Nobody left: the slice becomes the empty one.
        let (plans, free) = plan(&[Arc::clone(&old)], ByPorts::new());
        assert_eq!((plans.len(), free.len()), (1, 0));
        assert!(plans[0].endpoints.is_empty() && plans[0].slice.as_ref().unwrap().name() == "x");
        // 150 pods need two slices.
        let many: Vec<_> = (0..150)
            .map(|i| pod(&format!("p{i}"), &format!("10.0.1.{i}"), true))
            .collect();
        let (plans, _) = plan(&[old], compute(&many));
        assert_eq!(plans.iter().map(|p| p.endpoints.len()).sum::<usize>(), 150);
        assert_eq!(plans.len(), 2);
    }
}
