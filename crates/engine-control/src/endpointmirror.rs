//! EndpointSlices that mirror the Endpoints which people write for Services without a selector
//! (pkg/controller/endpointslicemirroring).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort as OldPort, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::endpoints::hash;
use crate::endpointslice::{MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, enqueue_services_of_slices};
use crate::meta::{Key, Meta, controller_ref};
use crate::queue::{Outcome, Queue, run};

const COMPONENT: &str = "endpoint-slice-mirroring-controller";
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Of one subset no more addresses than this are mirrored.
const MOST: usize = 1000;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.endpoints.on_change(move |change| {
        if let Some(endpoints) = change.any() {
            q.add(endpoints.key());
        }
    });
    let q = Arc::clone(&queue);
    context.services.on_change(move |change| {
        if let Some(service) = change.any() {
            q.add(service.key());
        }
    });
    enqueue_services_of_slices(context, &queue, MANAGER);
    let context = Arc::clone(context);
    run(tasks, "endpointslice mirroring", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let mut left: Vec<Arc<EndpointSlice>> = context
        .endpoint_slices
        .in_namespace(&key.namespace)
        .into_iter()
        .filter(|s| s.label(SERVICE_NAME) == Some(&key.name) && s.label(MANAGED_BY) == Some(MANAGER))
        .collect();
    let mirrored = context.services.get(&key).is_some_and(|s| !has_selector(&s));
    if let Some(endpoints) = context.endpoints.get(&key).filter(|e| mirrored && is_meant(e)) {
        let (wanted, skipped) = groups(&endpoints);
        if skipped > 0 {
            let message = format!(
                "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
            );
            context
                .events
                .warning(COMPONENT, &*endpoints, "TooManyAddressesToMirror", message);
        }
        for ((family, _), (ports, members)) in wanted {
            // The slice that has these ports already, else one that would go otherwise.
            let of_family = |s: &&Arc<EndpointSlice>| s.address_type == family;
            let same = left
                .iter()
                .filter(of_family)
                .find(|s| s.ports.as_deref().unwrap_or_default() == ports);
            let slice = same.or_else(|| left.iter().find(of_family)).cloned();
            left.retain(|s| slice.as_ref().is_none_or(|taken| taken.name() != s.name()));
            write(&context, &endpoints, slice.as_deref(), family, ports, members).await?;
        }
    }
    for slice in left.iter().filter(|s| !s.deleting()) {
        context.endpoint_slices.delete(&**slice).await?;
    }
    Ok(None)
}

fn has_selector(service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| !s.is_empty())
}

fn is_meant(endpoints: &Endpoints) -> bool {
    !endpoints.deleting() && endpoints.label(SKIP) != Some("true") && endpoints.annotation(LEADER).is_none()
}

/// Address type and ports to what a slice is made of.
type Groups = BTreeMap<(&'static str, String), (Vec<EndpointPort>, Vec<Endpoint>)>;

/// A slice for each set of ports and address type, and how many addresses were too many.
fn groups(endpoints: &Endpoints) -> (Groups, usize) {
    let mut groups = Groups::new();
    let mut skipped = 0;
    for (ports, members) in repacked(endpoints) {
        skipped += members.len().saturating_sub(MOST);
        for (address, ready) in members.into_iter().take(MOST) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                continue;
            };
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let group = groups
                .entry((family, format!("{ports:?}")))
                .or_insert_with(|| (ports.clone(), Vec::new()));
            group.1.push(endpoint_of(address, ip, ready));
        }
    }
    (groups, skipped)
}

type Member<'a> = (&'a EndpointAddress, bool);

/// The ports that have the same addresses, in the same state, and those (pkg/api/v1/endpoints/util.go, RepackSubsets). Of an address that
/// stands in several subsets, what the first says holds for all; one that is said not to be ready for a port is not.
fn repacked(endpoints: &Endpoints) -> Vec<(Vec<EndpointPort>, Vec<Member<'_>>)> {
    type Known<'a> = (&'a str, Option<&'a str>);
    let mut first: HashMap<Known<'_>, &EndpointAddress> = HashMap::new();
    let mut by_port: Vec<(Option<&OldPort>, BTreeMap<Known<'_>, bool>)> = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ready = subset.addresses.iter().flatten().map(|a| (a, true));
        let other = subset.not_ready_addresses.iter().flatten().map(|a| (a, false));
        let members: Vec<Member<'_>> = ready.chain(other).collect();
        let mut ports: Vec<_> = subset.ports.iter().flatten().map(Some).collect();
        if ports.is_empty() {
            ports.push(None);
        }
        for port in ports {
            let at = by_port.iter().position(|(known, _)| *known == port);
            let at = at.unwrap_or_else(|| {
                by_port.push((port, BTreeMap::new()));
                by_port.len() - 1
            });
            for (address, ready) in &members {
                let uid = address.target_ref.as_ref().and_then(|t| t.uid.as_deref());
                let key = (address.ip.as_str(), uid);
                first.entry(key).or_insert(address);
                *by_port[at].1.entry(key).or_insert(true) &= *ready;
            }
        }
    }
    let mut packed: Vec<(Vec<&OldPort>, BTreeMap<Known<'_>, bool>)> = Vec::new();
    for (port, members) in by_port {
        match packed.iter_mut().find(|(_, same)| *same == members) {
            Some((ports, _)) => ports.extend(port),
            None => packed.push((port.into_iter().collect(), members)),
        }
    }
    let named = |members: BTreeMap<Known<'_>, bool>| {
        let members = members.into_iter();
        members
            .filter_map(|(key, ready)| Some((*first.get(&key)?, ready)))
            .collect()
    };
    packed
        .into_iter()
        .map(|(mut ports, members)| {
            ports.sort_by_cached_key(|port| hash(port));
            (ports.into_iter().map(port_of).collect(), named(members))
        })
        .collect()
}

fn port_of(port: &OldPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint_of(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        hostname: address.hostname.clone().filter(|h| !h.is_empty()),
        ..Endpoint::default()
    }
}

/// Makes the slice, or brings an existing one in line.
async fn write(
    context: &Context,
    endpoints: &Endpoints,
    slice: Option<&EndpointSlice>,
    family: &str,
    ports: Vec<EndpointPort>,
    members: Vec<Endpoint>,
) -> Result<(), Error> {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), endpoints.name().to_owned());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key != TRIGGER_TIME && key != LAST_APPLIED);
    let metadata = ObjectMeta {
        name: slice.map(|s| s.name().to_owned()),
        generate_name: Some(format!("{}-", endpoints.name())),
        namespace: Some(endpoints.ns().to_owned()),
        resource_version: slice.and_then(|s| s.metadata.resource_version.clone()),
        labels: Some(labels),
        annotations: Some(annotations).filter(|a| !a.is_empty()),
        owner_references: Some(vec![controller_ref(endpoints)]),
        ..ObjectMeta::default()
    };
    if let Some(slice) = slice
        && slice.endpoints.as_ref() == Some(&members)
        && slice.ports.as_deref().unwrap_or_default() == ports
        && slice.metadata.labels == metadata.labels
        && slice.metadata.annotations == metadata.annotations
        && slice.metadata.owner_references == metadata.owner_references
    {
        return Ok(());
    }
    let object = json!({"metadata": metadata, "addressType": family, "endpoints": members, "ports": ports});
    let written = match slice {
        Some(slice) => context.endpoint_slices.replace_value(&slice.key(), &object).await,
        None => {
            context
                .endpoint_slices
                .create_value(endpoints.ns(), &object)
                .await
        }
    };
    match written {
        Err(error) if error.is_namespace_terminating() => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_for_each_set_of_ports_and_address_type() {
        let endpoints: Endpoints = serde_json::from_value(json!({"subsets": [
            {"ports": [{"port": 80}], "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}]},
            {"ports": [{"port": 81}], "addresses": [{"ip": "10.0.0.3"}]},
            {"ports": [{"port": 80}], "addresses": [{"ip": "10.0.0.4"}]}]}))
        .unwrap();
        let (groups, skipped) = groups(&endpoints);
        let shape: Vec<_> = groups
            .iter()
            .map(|((family, _), (ports, members))| {
                let members: Vec<_> = members
                    .iter()
                    .map(|e| {
                        (
                            e.addresses[0].as_str(),
                            e.conditions.as_ref().and_then(|c| c.ready) == Some(true),
                        )
                    })
                    .collect();
                (*family, ports[0].port.unwrap(), members)
            })
            .collect();
        assert_eq!(
            shape,
            [
                (
                    "IPv4",
                    80,
                    vec![("10.0.0.1", true), ("10.0.0.2", false), ("10.0.0.4", true)]
                ),
                ("IPv4", 81, vec![("10.0.0.3", true)]),
                ("IPv6", 80, vec![("fd00::1", true)])
            ]
        );
        assert_eq!(skipped, 0);
    }

    #[test]
    fn an_address_is_what_its_first_mention_says() {
        let endpoints: Endpoints = serde_json::from_value(json!({"subsets": [
            {"ports": [{"port": 80}], "addresses": [{"ip": "10.0.0.1", "hostname": "a"}]},
            {"ports": [{"port": 81}], "addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1", "targetRef": {"uid": "u"}}]}]}))
        .unwrap();
        let (groups, _) = groups(&endpoints);
        let hosts: Vec<_> = groups
            .values()
            .flat_map(|(_, members)| members.iter().map(|e| e.hostname.as_deref()))
            .collect();
        assert_eq!(hosts, [Some("a"), Some("a"), None]);
    }

    #[test]
    fn ports_with_the_same_addresses_share_a_slice() {
        let subset = |name: &str, port: i32, addresses: &str| json!({"ports": [{"name": name, "port": port, "protocol": "TCP"}], addresses: [{"ip": "10.0.0.1", "hostname": name}]});
        let endpoints: Endpoints = serde_json::from_value(json!({"subsets": [
            subset("a", 80, "addresses"), subset("c", 82, "addresses"), subset("b", 81, "notReadyAddresses")]}))
        .unwrap();
        let (groups, _) = groups(&endpoints);
        let ports = |(ports, _): &(Vec<EndpointPort>, _)| ports.iter().filter_map(|p| p.port).collect();
        let mut shared: Vec<Vec<i32>> = groups.values().map(ports).collect();
        shared.sort();
        // In the order in which upstream was seen to list them.
        assert_eq!(shared, [vec![81], vec![82, 80]]);
        let is_first = |e: &Endpoint| e.hostname.as_deref() == Some("a");
        assert!(groups.values().all(|(_, m)| m.len() == 1 && is_first(&m[0])));
    }
}
