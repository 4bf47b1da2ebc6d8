//! Hints for zones in proportion to their CPUs, for Services whose annotation asks for them
//! (staging/src/k8s.io/endpointslice/topologycache).

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, ForZone};

use super::Wanted;
use crate::events::Level;
use crate::meta::{Key, Meta};
use crate::{nodelifecycle, quantity};

const MODE: &str = "service.kubernetes.io/topology-mode";
/// Of before, and stronger.
const OLD_MODE: &str = "service.kubernetes.io/topology-aware-hints";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
const EXCLUDED: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];
/// By how much an endpoint may get more than its share.
const OVERLOAD: f64 = 0.2;

/// Whether hints are to be worked out for the Service; then its `trafficDistribution` does not count.
pub(super) fn is_asked(service: &Service) -> bool {
    let mode = service.annotation(OLD_MODE).or(service.annotation(MODE));
    matches!(mode, Some("Auto" | "auto"))
}

/// What of a node counts here: its zone, whether it is ready, and its thousandths of CPUs.
pub(super) fn face(node: &Node) -> (Option<String>, bool, i64) {
    let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
    let cpu = allocatable.and_then(|a| a.get("cpu")).and_then(quantity::milli);
    (
        node.label(ZONE).map(str::to_owned),
        nodelifecycle::is_ready(node),
        cpu.unwrap_or(0),
    )
}

/// Each zone's part of all CPUs; `None` if a node does not say, or there are fewer than two zones.
fn ratios(nodes: &[Arc<Node>]) -> Option<BTreeMap<String, f64>> {
    let mut by_zone: BTreeMap<String, i64> = BTreeMap::new();
    for node in nodes {
        let (zone, ready, cpu) = face(node);
        if !ready || EXCLUDED.iter().any(|label| node.label(label).is_some()) {
            continue;
        }
        let zone = zone.filter(|zone| !zone.is_empty() && cpu > 0)?;
        *by_zone.entry(zone).or_insert(0) += cpu;
    }
    let total: i64 = by_zone.values().sum();
    let part = |cpu: i64| cpu as f64 / total as f64;
    (by_zone.len() >= 2).then(|| {
        by_zone
            .iter()
            .map(|(zone, cpu)| (zone.clone(), part(*cpu)))
            .collect()
    })
}

/// How many endpoints a zone has to be given, may be, and should be.
struct Share {
    least: usize,
    most: usize,
    desired: f64,
}

fn shares(nodes: &[Arc<Node>], endpoints: usize) -> Result<BTreeMap<String, Share>, String> {
    let ratios = ratios(nodes).ok_or_else(|| {
        "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes".to_owned()
    })?;
    let of = format!("({endpoints} endpoints, {} zones)", ratios.len());
    if ratios.len() > endpoints {
        return Err(format!("Insufficient number of endpoints {of}"));
    }
    let mut shares = BTreeMap::new();
    for (zone, ratio) in ratios {
        let desired = ratio * endpoints as f64;
        let least = (desired * (1.0 / (1.0 + OVERLOAD))).ceil();
        let share = Share {
            least: least as usize,
            most: 0,
            desired: desired.max(least),
        };
        shares.insert(zone, share);
    }
    let least: usize = shares.values().map(|s| s.least).sum();
    let Some(spare) = endpoints.checked_sub(least) else {
        return Err(format!(
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold {of}"
        ));
    };
    for share in shares.values_mut() {
        share.most = share.least + spare;
    }
    Ok(shares)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true)
}

fn for_zone(name: &str) -> EndpointHints {
    EndpointHints {
        for_nodes: None,
        for_zones: Some(vec![ForZone {
            name: name.to_owned(),
        }]),
    }
}

/// The hints of endpoints that have not changed, by zone, if they may stay.
fn kept(
    there: &[Endpoint],
    given: &BTreeMap<String, usize>,
    shares: &BTreeMap<String, Share>,
) -> Option<BTreeMap<String, usize>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in there.iter().filter(|e| is_ready(e)) {
        let zones = endpoint.hints.as_ref()?.for_zones.as_ref()?;
        for zone in zones {
            shares.get(&zone.name)?;
            *counts.entry(zone.name.clone()).or_insert(0) += 1;
        }
        if zones.is_empty() {
            return None;
        }
    }
    let fits = |(zone, n): (&String, &usize)| {
        n + given.get(zone).copied().unwrap_or(0) <= shares.get(zone).map_or(0, |s| s.most)
    };
    counts.iter().all(fits).then_some(counts)
}

/// Which zones give how many endpoints away, and which get some.
fn exchange(
    shares: &BTreeMap<String, Share>,
    given: &BTreeMap<String, usize>,
) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let over = |zone: &String, share: &Share| given.get(zone).copied().unwrap_or(0) as f64 - share.desired;
    let all = || shares.iter().map(|(zone, share)| (zone, over(zone, share)));
    let mut much: BTreeMap<&String, f64> = all().filter(|(_, over)| *over > 0.0).collect();
    let mut little: BTreeMap<&String, f64> = all()
        .filter(|(_, over)| *over < 0.0)
        .map(|(zone, over)| (zone, -over))
        .collect();
    let most = |zones: &BTreeMap<&String, f64>| -> Option<(String, f64)> {
        let most = zones.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(((*most.0).clone(), *most.1))
    };
    let (mut giving, mut receiving) = (BTreeMap::new(), BTreeMap::new());
    while let (Some((from, gives)), Some((to, takes))) = (most(&much), most(&little)) {
        if (gives < 1.0 && takes < 1.0) || gives < 0.5 || takes < 0.5 {
            break;
        }
        for (zones, zone, counts) in [(&mut much, from, &mut giving), (&mut little, to, &mut receiving)] {
            if let Some(left) = zones.get_mut(&zone) {
                *left -= 1.0;
            }
            *counts.entry(zone).or_insert(0) += 1;
        }
    }
    (giving, receiving)
}

/// Gives every endpoint of these slices its zone, or says why there are no hints.
fn hint(plans: &mut [Wanted], nodes: &[Arc<Node>]) -> Result<(), String> {
    let ready = plans
        .iter()
        .flat_map(|p| &p.endpoints)
        .filter(|e| is_ready(e))
        .count();
    let shares = shares(nodes, ready)?;
    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    let mut open = Vec::new();
    for plan in plans.iter_mut() {
        let there = plan
            .slice
            .as_ref()
            .and_then(|s| s.endpoints.clone())
            .unwrap_or_default();
        let bare = |e: &Endpoint| Endpoint {
            hints: None,
            ..e.clone()
        };
        let same = plan.slice.is_some() && there.iter().map(bare).eq(plan.endpoints.iter().map(bare));
        match kept(&there, &given, &shares).filter(|_| same) {
            Some(counts) => {
                for (zone, n) in counts {
                    *given.entry(zone).or_insert(0) += n;
                }
                plan.endpoints = there;
            }
            None => open.push(plan),
        }
    }
    for endpoint in open
        .iter_mut()
        .flat_map(|p| &mut p.endpoints)
        .filter(|e| is_ready(e))
    {
        let zone = endpoint.zone.clone().filter(|z| !z.is_empty());
        let zone = zone.ok_or("One or more endpoints do not have a zone specified")?;
        endpoint.hints = Some(for_zone(&zone));
        *given.entry(zone).or_insert(0) += 1;
    }
    let (mut giving, mut receiving) = exchange(&shares, &given);
    for endpoint in open
        .iter_mut()
        .flat_map(|p| &mut p.endpoints)
        .filter(|e| is_ready(e))
    {
        let Some(gives) = endpoint
            .zone
            .as_ref()
            .and_then(|z| giving.get_mut(z))
            .filter(|n| **n > 0)
        else {
            continue;
        };
        let Some((zone, takes)) = receiving.iter_mut().find(|(_, n)| **n > 0) else {
            break;
        };
        endpoint.hints = Some(for_zone(zone));
        *gives -= 1;
        *takes -= 1;
    }
    if given.is_empty() {
        return Err("No hints allocated for zones".to_owned());
    }
    Ok(())
}

/// The Services that have hints now, by address type.
#[derive(Default)]
pub(super) struct Hinted(Mutex<HashSet<(Key, String)>>);

impl Hinted {
    /// Hints for a Service that wants them, and what an event says of it.
    pub fn settle(
        &self,
        service: &Service,
        family: &str,
        plans: &mut [Wanted],
        nodes: &[Arc<Node>],
    ) -> Option<(Level, &'static str, String)> {
        let entry = (service.key(), family.to_owned());
        let mut hinted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |why: &str| format!("{why}, addressType: {family}");
        if !is_asked(service) {
            return hinted.remove(&entry).then(|| {
                let why = told("Topology Aware Hints has been disabled");
                (Level::Warning, "TopologyAwareHintsDisabled", why)
            });
        }
        match hint(plans, nodes) {
            Ok(()) => hinted.insert(entry).then(|| {
                let why = told("Topology Aware Hints has been enabled");
                (Level::Normal, "TopologyAwareHintsEnabled", why)
            }),
            Err(why) => {
                hinted.remove(&entry);
                for endpoint in plans.iter_mut().flat_map(|p| &mut p.endpoints) {
                    endpoint.hints = None;
                }
                Some((Level::Warning, "TopologyAwareHintsDisabled", told(&why)))
            }
        }
    }

    pub fn forget(&self, service: &Key) {
        let mut hinted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hinted.retain(|(key, _)| key != service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(zone: &str, cpu: &str) -> Arc<Node> {
        let labels = if zone.is_empty() {
            json!({})
        } else {
            json!({ZONE: zone})
        };
        let node = json!({"metadata": {"labels": labels}, "status": {"allocatable": {"cpu": cpu},
            "conditions": [{"type": "Ready", "status": "True"}]}});
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn plans(zones: &[&str]) -> Vec<Wanted> {
        let endpoint = |zone: &&str| -> Endpoint {
            serde_json::from_value(
                json!({"addresses": ["10.0.0.1"], "zone": zone, "conditions": {"ready": true}}),
            )
            .unwrap()
        };
        vec![Wanted {
            slice: None,
            ports: Vec::new(),
            endpoints: zones.iter().map(endpoint).collect(),
        }]
    }

    fn hints(plans: &[Wanted]) -> Vec<String> {
        let zone = |e: &Endpoint| {
            e.hints
                .as_ref()
                .and_then(|h| Some(h.for_zones.as_ref()?[0].name.clone()))
        };
        plans
            .iter()
            .flat_map(|p| &p.endpoints)
            .map(|e| zone(e).unwrap_or_default())
            .collect()
    }

    fn service(mode: Value) -> Service {
        serde_json::from_value(
            json!({"metadata": {"namespace": "n", "name": "s", "annotations": {MODE: mode}}}),
        )
        .unwrap()
    }

    #[test]
    fn zones_get_what_their_cpus_call_for() {
        let nodes = [node("a", "4"), node("b", "4")];
        let mut even = plans(&["a", "b"]);
        hint(&mut even, &nodes).unwrap();
        assert_eq!(hints(&even), ["a", "b"]);
        let mut uneven = plans(&["a", "a", "a", "a", "a", "b"]);
        hint(&mut uneven, &nodes).unwrap();
        assert_eq!(hints(&uneven), ["b", "b", "a", "a", "a", "b"]);
    }

    #[test]
    fn why_there_are_none() {
        let two = [node("a", "4"), node("b", "4")];
        let why = |zones: &[&str], nodes: &[Arc<Node>]| hint(&mut plans(zones), nodes).unwrap_err();
        let unknown =
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
        assert_eq!(why(&["a", "b"], &[node("a", "4"), node("", "4")]), unknown);
        assert_eq!(why(&["a", "b"], &[node("a", "4")]), unknown);
        assert_eq!(
            why(&["a"], &two),
            "Insufficient number of endpoints (1 endpoints, 2 zones)"
        );
        let skewed = [node("a", "5"), node("b", "5"), node("c", "1"), node("d", "1")];
        assert_eq!(
            why(&["a", "b", "c", "d"], &skewed),
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (4 endpoints, 4 zones)"
        );
        assert_eq!(
            why(&["a", ""], &two),
            "One or more endpoints do not have a zone specified"
        );
    }

    #[test]
    fn what_events_say() {
        let (hinted, nodes) = (Hinted::default(), [node("a", "4"), node("b", "4")]);
        let say = |mode: Value, zones: &[&str]| {
            let told = hinted.settle(&service(mode), "IPv4", &mut plans(zones), &nodes);
            told.map(|(_, reason, message)| format!("{reason} {message}"))
        };
        let enabled = "TopologyAwareHintsEnabled Topology Aware Hints has been enabled, addressType: IPv4";
        assert_eq!(say(json!("Auto"), &["a", "b"]).as_deref(), Some(enabled));
        assert_eq!(say(json!("Auto"), &["a", "b"]), None);
        let disabled = "TopologyAwareHintsDisabled Topology Aware Hints has been disabled, addressType: IPv4";
        assert_eq!(say(json!("Disabled"), &["a", "b"]).as_deref(), Some(disabled));
        assert_eq!(say(json!("Disabled"), &["a", "b"]), None);
    }
}
