//! From services to nf_tables rules; pure. The shape follows kube-proxy's nftables mode: verdict maps find a chain per
//! service port in constant time, the chain picks an endpoint.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use ipnet::Ipv4Net;

use crate::{
    catalog::{Key, PortInfo, Protocol, ServiceInfo, SliceInfo},
    netlink::nft::{
        Endpoint, Expression as E, Hook, OUTPUT, POSTROUTING, PREROUTING, R0, R1, R2, Rule, Set, Transaction,
    },
};

/// The table in each namespace.
pub(crate) const TABLE: &str = "cncfdemo";
const SERVICES: &str = "services";
const NODE_PORTS: &str = "node-ports";
const HAIRPINS: &str = "hairpins";
/// Marks the packet whose connection gets a source address of this machine. Marks don't leave a namespace.
const MASQUERADE: u32 = 0x4000;

/// The place the rules are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Its own address, where NodePorts are answered.
    pub address: Ipv4Addr,
    /// The node's name; none for the backbone, to which every endpoint counts as local.
    pub node: Option<String>,
    /// The node's pods, which may talk to themselves through a service.
    pub pods: Option<Ipv4Net>,
    /// All pods.
    pub cluster: Ipv4Net,
    /// All ClusterIPs.
    pub services: Ipv4Net,
}

/// What one service contributes to a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServiceRules {
    pub chains: BTreeMap<String, Vec<Rule>>,
    /// Affinity maps and their seconds.
    pub maps: BTreeMap<String, u32>,
    /// Elements of the map of services.
    pub addresses: BTreeMap<Vec<u8>, String>,
    /// Elements of the map of node ports.
    pub node_ports: BTreeMap<Vec<u8>, String>,
    /// UDP addresses and ports with their living endpoints, to end the flows to others.
    pub udp: BTreeMap<(Ipv4Addr, u16), BTreeSet<Endpoint>>,
}

/// Chooses among endpoints as kube-proxy's `CategorizeEndpoints`: those that are ready, or else those that still serve
/// while they terminate.
fn usable(
    port: &PortInfo,
    slices: &[Arc<SliceInfo>],
    accept: impl Fn(Option<&str>) -> bool,
) -> BTreeSet<Endpoint> {
    let mut ready = BTreeSet::new();
    let mut leaving = BTreeSet::new();
    for slice in slices {
        let number = slice
            .ports
            .iter()
            .find(|(name, protocol, _)| *name == port.name && *protocol == port.protocol)
            .map(|(_, _, number)| *number);
        let Some(number) = number else { continue };
        for endpoint in slice
            .endpoints
            .iter()
            .filter(|endpoint| accept(endpoint.node.as_deref()))
        {
            if endpoint.ready {
                ready.insert((endpoint.ip, number));
            } else if endpoint.serving && endpoint.terminating {
                leaving.insert((endpoint.ip, number));
            }
        }
    }
    if ready.is_empty() { leaving } else { ready }
}

impl ServiceRules {
    pub(crate) fn compile(key: &Key, service: &ServiceInfo, slices: &[Arc<SliceInfo>], view: &View) -> Self {
        let mut rules = Self::default();
        let Some(cluster_ip) = service.cluster_ip else {
            return rules;
        };
        for port in &service.ports {
            rules.add_port(key, service, port, cluster_ip, slices, view);
        }
        rules
    }

    fn add_port(
        &mut self,
        key: &Key,
        service: &ServiceInfo,
        port: &PortInfo,
        cluster_ip: Ipv4Addr,
        slices: &[Arc<SliceInfo>],
        view: &View,
    ) {
        let name = format!("{}/{}/{}/{}", key.0, key.1, port.protocol.name(), port.port);
        let all = usable(port, slices, |_| true);
        let near = |wanted: bool| match &view.node {
            Some(node) if wanted => usable(port, slices, |at| at == Some(node)),
            _ => all.clone(),
        };
        let (internal, external) = (near(service.internal_local), near(service.external_local));
        let affinity = service.affinity.map(|seconds| {
            let map = format!("affinity/{name}");
            self.maps.insert(map.clone(), seconds);
            (map, seconds)
        });
        let body = |endpoints: &BTreeSet<Endpoint>| {
            if endpoints.is_empty() && !all.is_empty() {
                // A policy asks for local endpoints and this node has none: silence, as upstream.
                return vec![vec![E::Drop]];
            }
            pick(endpoints, port.protocol, affinity.as_ref())
        };

        let chain = format!("service/{name}");
        self.chains.insert(chain.clone(), body(&internal));
        self.addresses
            .insert(address_key(cluster_ip, port.protocol, port.port), chain);

        let mut outside = vec![(cluster_ip, port.port, &internal)];
        if port.node_port.is_some() || !service.external_ips.is_empty() {
            let chain = format!("external/{name}");
            let mut rules = Vec::new();
            if service.external_local && view.node.is_some() {
                // Pods are not outside: for them the policy does not count (kube-proxy's short circuit).
                let from_pod = [E::Prefix(true, R0), E::Equals(R0, prefix(view.cluster))];
                for rule in pick(&all, port.protocol, affinity.as_ref()) {
                    rules.push(
                        from_pod
                            .iter()
                            .cloned()
                            .chain([E::SetMark(MASQUERADE)])
                            .chain(rule)
                            .collect(),
                    );
                }
            } else if !service.external_local {
                rules.push(vec![E::SetMark(MASQUERADE)]);
            }
            rules.extend(body(&external));
            self.chains.insert(chain.clone(), rules);
            for ip in &service.external_ips {
                self.addresses
                    .insert(address_key(*ip, port.protocol, port.port), chain.clone());
                outside.push((*ip, port.port, &external));
            }
            if let Some(number) = port.node_port {
                self.node_ports
                    .insert(node_port_key(port.protocol, number), chain);
                outside.push((view.address, number, &external));
            }
        }
        if port.protocol == Protocol::Udp {
            self.udp.extend(
                outside
                    .into_iter()
                    .map(|(ip, number, living)| ((ip, number), living.clone())),
            );
        }
    }
}

/// Sends a new connection to one of the endpoints, or refuses it.
fn pick(endpoints: &BTreeSet<Endpoint>, protocol: Protocol, affinity: Option<&(String, u32)>) -> Vec<Rule> {
    if endpoints.is_empty() {
        return vec![vec![if protocol == Protocol::Tcp {
            E::Reset
        } else {
            E::Unreachable
        }]];
    }
    let endpoints: Vec<Endpoint> = endpoints.iter().copied().collect();
    // A packet that is underway in the old rule while a transaction is committed finds the old rule's map emptied: rules
    // change by reference at the chain's start, elements by generation when they are looked up. One packet in some
    // 10,000 during 200 changes/s passed untranslated; this rule has no map and catches it.
    let mut fallback = Vec::new();
    if let [first, _, ..] = endpoints.as_slice() {
        fallback.push(vec![E::Choose(vec![*first]), E::Redirect]);
    }
    let Some((map, seconds)) = affinity else {
        return [vec![vec![E::Choose(endpoints), E::Redirect]], fallback].concat();
    };
    let recall = || {
        [
            E::Source(R0),
            E::Recall {
                map: map.clone(),
                key: R0,
            },
        ]
    };
    let remember = || E::Remember {
        map: map.clone(),
        key: R0,
        seconds: *seconds,
    };
    let rules = vec![
        // A known client whose endpoint lives goes there again,
        recall()
            .into_iter()
            .chain([
                E::Among {
                    endpoints: endpoints.clone(),
                    wanted: true,
                },
                remember(),
                E::Redirect,
            ])
            .collect(),
        // one whose endpoint is gone is forgotten,
        recall()
            .into_iter()
            .chain([
                E::Among {
                    endpoints: endpoints.clone(),
                    wanted: false,
                },
                E::Forget {
                    map: map.clone(),
                    key: R0,
                },
            ])
            .collect(),
        // and every other is given one.
        vec![E::Source(R0), E::Choose(endpoints), remember(), E::Redirect],
    ];
    [rules, fallback].concat()
}

fn address_key(ip: Ipv4Addr, protocol: Protocol, port: u16) -> Vec<u8> {
    let ([high, low], [a, b, c, d]) = (port.to_be_bytes(), ip.octets());
    vec![a, b, c, d, protocol as u8, 0, 0, 0, high, low, 0, 0]
}

fn node_port_key(protocol: Protocol, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![protocol as u8, 0, 0, 0, high, low, 0, 0]
}

/// The two bytes that all addresses of a `/16` begin with.
fn prefix(range: Ipv4Net) -> Vec<u8> {
    range.network().octets()[..2].to_vec()
}

/// The table without services.
pub(crate) fn replace(transaction: &mut Transaction, view: &View) {
    transaction.replace_table();
    transaction.add_set(SERVICES, &Set::Services);
    transaction.add_set(NODE_PORTS, &Set::NodePorts);
    transaction.add_set(HAIRPINS, &Set::Pairs);
    transaction.add_chain("dispatch", None);
    // Priorities of NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC.
    transaction.add_chain(
        "incoming",
        Some(&Hook {
            number: PREROUTING,
            priority: -100,
        }),
    );
    transaction.add_chain(
        "outgoing",
        Some(&Hook {
            number: OUTPUT,
            priority: -100,
        }),
    );
    transaction.add_chain(
        "leaving",
        Some(&Hook {
            number: POSTROUTING,
            priority: 100,
        }),
    );

    let tcp = || [E::Protocol(R0), E::Equals(R0, vec![Protocol::Tcp as u8])];
    let to_service = || [E::Prefix(false, R0), E::Equals(R0, prefix(view.services))];
    let dispatch: [Rule; 4] = [
        vec![
            E::Destination(R0),
            E::Protocol(R1),
            E::Port(R2),
            E::Dispatch {
                map: SERVICES,
                key: R0,
            },
        ],
        vec![
            E::Destination(R0),
            E::Equals(R0, view.address.octets().to_vec()),
            E::Protocol(R0),
            E::Port(R1),
            E::Dispatch {
                map: NODE_PORTS,
                key: R0,
            },
        ],
        // A ClusterIP that has no such port.
        to_service().into_iter().chain(tcp()).chain([E::Reset]).collect(),
        to_service().into_iter().chain([E::Unreachable]).collect(),
    ];
    for rule in &dispatch {
        transaction.add_rule("dispatch", rule);
    }
    for chain in ["incoming", "outgoing"] {
        transaction.add_rule(chain, &vec![E::Jump("dispatch".into())]);
    }
    let marked = vec![
        E::Mark(R0),
        E::Equals(R0, MASQUERADE.to_ne_bytes().to_vec()),
        E::Masquerade,
    ];
    transaction.add_rule("leaving", &marked);
    if let Some(pods) = view.pods {
        // A pod that reached itself through a service would get a packet from its own address and drop it.
        transaction.add_keys(
            HAIRPINS,
            pods.hosts().map(|pod| [pod.octets(), pod.octets()].concat()),
        );
        let hairpin = vec![
            E::Source(R0),
            E::Destination(R1),
            E::Within {
                set: HAIRPINS,
                key: R0,
            },
            E::Masquerade,
        ];
        transaction.add_rule("leaving", &hairpin);
    }
}

/// The changes from one set of services to another. Each pair is what a service had and what it is to have.
pub(crate) fn change(transaction: &mut Transaction, pairs: &[(&ServiceRules, &ServiceRules)]) {
    // Elements hold on to chains, chains to maps: take away from the front, add from the back. All of it in passes over
    // all services, because an address may move from one to another.
    for (old, new) in pairs {
        transaction.delete_keys(SERVICES, gone(&old.addresses, &new.addresses));
        transaction.delete_keys(NODE_PORTS, gone(&old.node_ports, &new.node_ports));
    }
    for (old, new) in pairs {
        for (chain, rules) in &old.chains {
            if new.chains.get(chain) != Some(rules) || remade(old, new) {
                transaction.flush_chain(chain);
            }
        }
    }
    for (old, new) in pairs {
        for chain in old.chains.keys().filter(|chain| !new.chains.contains_key(*chain)) {
            transaction.delete_chain(chain);
        }
        for (map, _) in old
            .maps
            .iter()
            .filter(|(map, seconds)| new.maps.get(*map) != Some(seconds))
        {
            transaction.delete_set(map);
        }
    }
    for (old, new) in pairs {
        for (map, seconds) in new
            .maps
            .iter()
            .filter(|(map, seconds)| old.maps.get(*map) != Some(seconds))
        {
            transaction.add_set(map, &Set::Affinity(*seconds));
        }
        for (chain, rules) in &new.chains {
            if !old.chains.contains_key(chain) {
                transaction.add_chain(chain, None);
            } else if old.chains.get(chain) == Some(rules) && !remade(old, new) {
                continue;
            }
            for rule in rules {
                transaction.add_rule(chain, rule);
            }
        }
    }
    for (old, new) in pairs {
        transaction.add_verdicts(SERVICES, fresh(&old.addresses, &new.addresses));
        transaction.add_verdicts(NODE_PORTS, fresh(&old.node_ports, &new.node_ports));
    }
}

/// Whether a map is made anew: rules that name it have to be as well.
fn remade(old: &ServiceRules, new: &ServiceRules) -> bool {
    old.maps != new.maps
}

type Elements = BTreeMap<Vec<u8>, String>;

fn gone<'a>(old: &'a Elements, new: &'a Elements) -> impl Iterator<Item = Vec<u8>> + 'a {
    old.iter()
        .filter(|(key, chain)| new.get(*key) != Some(chain))
        .map(|(key, _)| key.clone())
}

fn fresh<'a>(old: &'a Elements, new: &'a Elements) -> impl Iterator<Item = (Vec<u8>, &'a str)> + 'a {
    new.iter()
        .filter(|(key, chain)| old.get(*key) != Some(chain))
        .map(|(key, chain)| (key.clone(), chain.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::EndpointInfo;

    const A: Ipv4Addr = Ipv4Addr::new(10, 64, 1, 2);
    const B: Ipv4Addr = Ipv4Addr::new(10, 64, 2, 2);

    fn view(node: Option<&str>) -> View {
        View {
            address: Ipv4Addr::new(10, 160, 0, 11),
            node: node.map(Into::into),
            pods: node.map(|_| "10.64.1.0/24".parse().unwrap()),
            cluster: "10.64.0.0/16".parse().unwrap(),
            services: "10.112.0.0/16".parse().unwrap(),
        }
    }

    fn endpoint(ip: Ipv4Addr, ready: bool, terminating: bool, node: &str) -> EndpointInfo {
        EndpointInfo {
            ip,
            ready,
            serving: ready || terminating,
            terminating,
            node: Some(node.into()),
            hostname: None,
        }
    }

    fn service() -> ServiceInfo {
        let port = PortInfo {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        };
        ServiceInfo {
            cluster_ip: Some(Ipv4Addr::new(10, 112, 0, 7)),
            ports: vec![port],
            ..ServiceInfo::default()
        }
    }

    fn slices(endpoints: Vec<EndpointInfo>) -> Vec<Arc<SliceInfo>> {
        let ports = vec![
            ("other".into(), Protocol::Tcp, 1),
            ("http".into(), Protocol::Tcp, 8080),
        ];
        vec![Arc::new(SliceInfo { ports, endpoints })]
    }

    fn compile(service: &ServiceInfo, slices: &[Arc<SliceInfo>], node: Option<&str>) -> ServiceRules {
        ServiceRules::compile(&("ns".into(), "web".into()), service, slices, &view(node))
    }

    fn only(rules: &ServiceRules, chain: &str) -> Vec<Rule> {
        rules.chains[chain].clone()
    }

    #[test]
    fn ready_endpoints_are_chosen_by_named_port() {
        let slices = slices(vec![
            endpoint(A, true, false, "n1"),
            endpoint(B, false, true, "n2"),
        ]);
        let rules = compile(&service(), &slices, Some("n1"));
        let expected = vec![vec![E::Choose(vec![(A, 8080)]), E::Redirect]];
        assert_eq!(only(&rules, "service/ns/web/tcp/80"), expected);
        assert_eq!(rules.addresses.len(), 1);
        assert!(rules.node_ports.is_empty() && rules.udp.is_empty());
    }

    #[test]
    fn terminating_ones_serve_when_no_other_does() {
        let slices = slices(vec![
            endpoint(A, false, false, "n1"),
            endpoint(B, false, true, "n2"),
        ]);
        let rules = compile(&service(), &slices, None);
        assert_eq!(
            only(&rules, "service/ns/web/tcp/80"),
            [vec![E::Choose(vec![(B, 8080)]), E::Redirect]]
        );
    }

    #[test]
    fn nobody_there_is_a_refusal_and_nobody_near_a_silence() {
        assert_eq!(
            only(&compile(&service(), &[], None), "service/ns/web/tcp/80"),
            [vec![E::Reset]]
        );
        let mut local = service();
        local.internal_local = true;
        let slices = slices(vec![endpoint(B, true, false, "n2")]);
        assert_eq!(
            only(&compile(&local, &slices, Some("n1")), "service/ns/web/tcp/80"),
            [vec![E::Drop]]
        );
        let there = [vec![E::Choose(vec![(B, 8080)]), E::Redirect]];
        assert_eq!(
            only(&compile(&local, &slices, Some("n2")), "service/ns/web/tcp/80"),
            there
        );
        assert_eq!(
            only(&compile(&local, &slices, None), "service/ns/web/tcp/80"),
            there
        );
        let mut udp = service();
        udp.ports[0].protocol = Protocol::Udp;
        assert_eq!(
            only(&compile(&udp, &[], None), "service/ns/web/udp/80"),
            [vec![E::Unreachable]]
        );
    }

    #[test]
    fn node_ports_are_masqueraded_unless_local() {
        let mut service = service();
        service.ports[0].node_port = Some(30080);
        let slices = slices(vec![endpoint(A, true, false, "n1")]);
        let chain = "external/ns/web/tcp/80";
        let rules = compile(&service, &slices, Some("n2"));
        assert_eq!(only(&rules, chain)[0], [E::SetMark(MASQUERADE)]);
        service.external_local = true;
        let near = only(&compile(&service, &slices, Some("n1")), chain);
        assert_eq!(near.len(), 2, "pods, then the outside");
        assert_eq!(near[1], [E::Choose(vec![(A, 8080)]), E::Redirect]);
        assert_eq!(only(&compile(&service, &slices, Some("n2")), chain)[1], [E::Drop]);
    }

    #[test]
    fn a_choice_has_a_rule_without_a_map_behind_it() {
        let slices = slices(vec![
            endpoint(A, true, false, "n1"),
            endpoint(B, true, false, "n2"),
        ]);
        let mut sticky = service();
        for _ in 0..2 {
            let rules = only(&compile(&sticky, &slices, None), "service/ns/web/tcp/80");
            assert_eq!(rules.last(), Some(&vec![E::Choose(vec![(A, 8080)]), E::Redirect]));
            sticky.affinity = Some(60);
        }
    }

    #[test]
    fn headless_services_have_no_rules() {
        let headless = ServiceInfo {
            cluster_ip: None,
            ..service()
        };
        assert_eq!(compile(&headless, &[], None), ServiceRules::default());
    }

    #[test]
    fn what_does_not_change_is_not_sent() {
        let slices = slices(vec![endpoint(A, true, false, "n1")]);
        let rules = compile(&service(), &slices, None);
        let mut transaction = Transaction::new(TABLE);
        change(&mut transaction, &[(&rules, &rules)]);
        assert!(transaction.is_empty());
    }
}
