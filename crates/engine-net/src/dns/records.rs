//! Which records the cluster's names have; pure. Follows the Kubernetes DNS specification 1.1.0 and, where that leaves
//! room, CoreDNS' kubernetes plugin (plugin/kubernetes/kubernetes.go) as kubeadm configures it.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::catalog::{EndpointInfo, Key, Protocol, ServiceInfo, State};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Srv,
    Ptr,
    Cname,
    Txt,
    Soa,
    Ns,
    Any,
    /// A type that no name here has.
    Other,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Records of the name, and addresses of the names in them.
    Records(Vec<Data>, Vec<(String, Ipv4Addr)>),
    /// The name exists; such a record does not.
    NoData,
    /// The name does not exist.
    NoName,
    /// Another name, which may be one that others know.
    Alias(String),
    /// Not a name of the cluster.
    Foreign,
}

/// A record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Srv { weight: u16, port: u16, target: String },
    Ptr(String),
    Txt(&'static str),
    Soa,
    Ns,
}

/// The cluster's domain and the ranges whose reverse names it owns.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    /// Labels of the domain, as `["cluster", "local"]`.
    pub domain: Vec<String>,
    pub ranges: Vec<Ipv4Net>,
}

impl Zone {
    /// Answers for a name given by its lower-case labels.
    pub(crate) fn answer(&self, state: &State, labels: &[String], kind: Kind) -> Answer {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        if let Some(rest) = labels.strip_suffix(&["in-addr", "arpa"]) {
            return self.reverse(state, rest, kind);
        }
        let domain: Vec<&str> = self.domain.iter().map(String::as_str).collect();
        let Some(rest) = labels.strip_suffix(domain.as_slice()) else {
            return Answer::Foreign;
        };
        match rest {
            [] => match kind {
                Kind::Soa | Kind::Any => records(vec![Data::Soa]),
                Kind::Ns => records(vec![Data::Ns]),
                _ => Answer::NoData,
            },
            ["svc" | "pod"] => Answer::NoData,
            ["dns-version"] => typed(kind, &[Kind::Txt], || vec![Data::Txt("1.1.0")]),
            // The name in our SOA and NS records: the DNS service itself.
            ["ns", "dns"] => match state.services.get(&("kube-system".into(), "kube-dns".into())) {
                Some(dns) => typed(kind, &[Kind::A], || {
                    dns.cluster_ip.into_iter().map(Data::A).collect()
                }),
                None => Answer::NoData,
            },
            [rest @ .., namespace, "svc"] => self.service(state, rest, namespace, kind),
            [rest @ .., namespace, "pod"] => pod(state, rest, namespace, kind),
            _ => Answer::NoName,
        }
    }

    fn service(&self, state: &State, rest: &[&str], namespace: &str, kind: Kind) -> Answer {
        let Some((service, above)) = rest.split_last() else {
            return if state.namespaces.contains_key(namespace) {
                Answer::NoData
            } else {
                Answer::NoName
            };
        };
        let key: Key = (namespace.to_owned(), (*service).to_owned());
        let Some(info) = state.services.get(&key) else {
            return Answer::NoName;
        };
        let (endpoint, port) = match above {
            [] => (None, None),
            [endpoint] => (Some(*endpoint), None),
            [port, protocol] => {
                let plain = |label: &str| label.strip_prefix('_').unwrap_or(label).to_owned();
                (None, Some((plain(port), plain(protocol))))
            }
            _ => return Answer::NoName,
        };
        let name = format!("{service}.{namespace}.svc.{}.", self.domain.join("."));
        if let Some(target) = &info.external_name {
            return if above.is_empty() {
                Answer::Alias(target.clone())
            } else {
                Answer::NoName
            };
        }
        let wanted = |name: &str, protocol: Protocol| {
            port.as_ref()
                .is_none_or(|(wanted, over)| wanted == name && over == protocol.name())
        };
        let found = match (info.cluster_ip, endpoint) {
            (Some(ip), None) => {
                let ports = info.ports.iter().filter(|port| wanted(&port.name, port.protocol));
                let found: Vec<_> = ports.map(|port| (name.clone(), ip, port.port)).collect();
                // A ClusterIP without ports is not valid, but has its address.
                if found.is_empty() && port.is_none() {
                    vec![(name.clone(), ip, 0)]
                } else {
                    found
                }
            }
            _ => endpoints(state, &key, info, &wanted, port.is_none())
                .into_iter()
                .filter(|(host, ..)| endpoint.is_none_or(|wanted| wanted == host))
                .map(|(host, ip, port)| (format!("{host}.{name}"), ip, port))
                .collect(),
        };
        if found.is_empty() {
            return Answer::NoName;
        }
        match kind {
            Kind::A | Kind::Any => {
                let addresses: BTreeSet<Ipv4Addr> = found.iter().map(|(_, ip, _)| *ip).collect();
                records(addresses.into_iter().map(Data::A).collect())
            }
            Kind::Srv => {
                let found: BTreeSet<_> = found.into_iter().filter(|(.., port)| *port != 0).collect();
                let weight = (100 / found.len().max(1)).max(1) as u16;
                let addresses: BTreeSet<_> = found
                    .iter()
                    .map(|(target, ip, _)| (target.clone(), *ip))
                    .collect();
                let data = found
                    .into_iter()
                    .map(|(target, _, port)| Data::Srv { weight, port, target });
                match data.collect::<Vec<_>>() {
                    none if none.is_empty() => Answer::NoData,
                    data => Answer::Records(data, addresses.into_iter().collect()),
                }
            }
            _ => Answer::NoData,
        }
    }

    fn reverse(&self, state: &State, rest: &[&str], kind: Kind) -> Answer {
        let parts: Option<Vec<u8>> = rest.iter().rev().map(|label| label.parse().ok()).collect();
        let Some(Ok(octets)) = parts.map(<[u8; 4]>::try_from) else {
            return Answer::Foreign;
        };
        let ip = Ipv4Addr::from(octets);
        let suffix = self.domain.join(".");
        let mut names = Vec::new();
        for (key, info) in &state.services {
            if info.cluster_ip == Some(ip) {
                names.push(format!("{}.{}.svc.{suffix}.", key.1, key.0));
            }
        }
        for (key, slices) in &state.slices {
            let Some(info) = state.services.get(key) else {
                continue;
            };
            // Upstream: endpoints of services with a ClusterIP have a name only if they were given one.
            for endpoint in slices.values().flat_map(|slice| &slice.endpoints) {
                let named = info.cluster_ip.is_none() || endpoint.hostname.is_some();
                if endpoint.ip == ip && named && listed(endpoint, info) {
                    names.push(format!(
                        "{}.{}.{}.svc.{suffix}.",
                        host_name(endpoint),
                        key.1,
                        key.0
                    ));
                }
            }
        }
        names.sort();
        names.dedup();
        if !names.is_empty() {
            return typed(kind, &[Kind::Ptr], || names.into_iter().map(Data::Ptr).collect());
        }
        // Nobody else knows names in the cluster's own ranges.
        if self.ranges.iter().any(|range| range.contains(&ip)) {
            Answer::NoName
        } else {
            Answer::Foreign
        }
    }
}

fn pod(state: &State, rest: &[&str], namespace: &str, kind: Kind) -> Answer {
    if !state.namespaces.contains_key(namespace) {
        return Answer::NoName;
    }
    match rest {
        [] => Answer::NoData,
        // CoreDNS' mode "insecure": the address is in the name, whether such a pod is there or not.
        [dashed] => match dashed.replace('-', ".").parse() {
            Ok(ip) => typed(kind, &[Kind::A], || vec![Data::A(ip)]),
            Err(_) => Answer::NoName,
        },
        _ => Answer::NoName,
    }
}

/// Host name, address and port of the endpoints of a service.
fn endpoints(
    state: &State,
    key: &Key,
    info: &ServiceInfo,
    wanted: &dyn Fn(&str, Protocol) -> bool,
    portless: bool,
) -> Vec<(String, Ipv4Addr, u16)> {
    let mut found = Vec::new();
    for slice in state
        .slices
        .get(key)
        .into_iter()
        .flat_map(|slices| slices.values())
    {
        for endpoint in slice.endpoints.iter().filter(|endpoint| listed(endpoint, info)) {
            let before = found.len();
            for (name, protocol, port) in &slice.ports {
                if wanted(name, *protocol) {
                    found.push((host_name(endpoint), endpoint.ip, *port));
                }
            }
            if found.len() == before && portless {
                found.push((host_name(endpoint), endpoint.ip, 0));
            }
        }
    }
    found
}

fn listed(endpoint: &EndpointInfo, info: &ServiceInfo) -> bool {
    endpoint.ready || info.publish_not_ready
}

fn host_name(endpoint: &EndpointInfo) -> String {
    endpoint
        .hostname
        .clone()
        .unwrap_or_else(|| endpoint.ip.to_string().replace('.', "-"))
        .to_lowercase()
}

fn records(data: Vec<Data>) -> Answer {
    Answer::Records(data, Vec::new())
}

fn typed(kind: Kind, kinds: &[Kind], data: impl FnOnce() -> Vec<Data>) -> Answer {
    if kinds.contains(&kind) || kind == Kind::Any {
        records(data())
    } else {
        Answer::NoData
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Catalog;

    fn catalog() -> Catalog {
        let catalog = Catalog::default();
        for (name, spec) in [
            (
                "web",
                json!({"clusterIP": "10.112.0.7", "ports": [{"name": "http", "port": 80}]}),
            ),
            (
                "db",
                json!({"clusterIP": "None", "ports": [{"name": "redis", "port": 6379}]}),
            ),
            ("empty", json!({"clusterIP": "None"})),
            (
                "early",
                json!({"clusterIP": "None", "publishNotReadyAddresses": true}),
            ),
            (
                "away",
                json!({"type": "ExternalName", "externalName": "example.org"}),
            ),
        ] {
            let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
            catalog.apply_service(&serde_json::from_value(service).unwrap());
        }
        for (service, ready) in [("db", true), ("early", false), ("web", true)] {
            let slice = json!({
                "metadata": {"name": format!("{service}-x"), "namespace": "shop",
                    "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["10.64.1.5"], "hostname": "db-0", "conditions": {"ready": ready}},
                    {"addresses": ["10.64.2.6"], "conditions": {"ready": ready}},
                    {"addresses": ["10.64.2.7"], "conditions": {"ready": false}},
                ],
                "ports": [{"name": if service == "web" {"http"} else {"redis"}, "port": 6379}],
            });
            catalog.apply_slice(&serde_json::from_value(slice).unwrap());
        }
        catalog
    }

    fn ask(name: &str, kind: Kind) -> Answer {
        let zone = Zone {
            domain: vec!["cluster".into(), "local".into()],
            ranges: vec!["10.64.0.0/16".parse().unwrap(), "10.112.0.0/16".parse().unwrap()],
        };
        let labels: Vec<String> = name.split('.').map(Into::into).collect();
        zone.answer(&catalog().read(), &labels, kind)
    }

    fn addresses(list: &[&str]) -> Answer {
        records(list.iter().map(|ip| Data::A(ip.parse().unwrap())).collect())
    }

    #[test]
    fn services_and_their_endpoints_have_addresses() {
        assert_eq!(
            ask("web.shop.svc.cluster.local", Kind::A),
            addresses(&["10.112.0.7"])
        );
        assert_eq!(
            ask("db.shop.svc.cluster.local", Kind::A),
            addresses(&["10.64.1.5", "10.64.2.6"])
        );
        assert_eq!(
            ask("db-0.db.shop.svc.cluster.local", Kind::A),
            addresses(&["10.64.1.5"])
        );
        assert_eq!(
            ask("10-64-2-6.db.shop.svc.cluster.local", Kind::A),
            addresses(&["10.64.2.6"])
        );
        assert_eq!(
            ask("10-64-2-7.db.shop.svc.cluster.local", Kind::A),
            Answer::NoName
        );
        let early = addresses(&["10.64.1.5", "10.64.2.6", "10.64.2.7"]);
        assert_eq!(ask("early.shop.svc.cluster.local", Kind::A), early);
        assert_eq!(
            ask("10-64-1-5.shop.pod.cluster.local", Kind::A),
            addresses(&["10.64.1.5"])
        );
    }

    #[test]
    fn existing_names_without_such_a_record_differ_from_absent_names() {
        for name in [
            "web.shop.svc",
            "db.shop.svc",
            "db-0.db.shop.svc",
            "shop.svc",
            "svc",
            "10-0-0-1.shop.pod",
        ] {
            assert_eq!(
                ask(&format!("{name}.cluster.local"), Kind::Other),
                Answer::NoData,
                "{name}"
            );
        }
        for name in [
            "no.shop.svc",
            "web.no.svc",
            "no.svc",
            "x.db.shop.svc",
            "a.b.c.web.shop.svc",
            "empty.shop.svc",
            "x",
            "x.no.pod",
            "x.shop.pod",
        ] {
            assert_eq!(
                ask(&format!("{name}.cluster.local"), Kind::A),
                Answer::NoName,
                "{name}"
            );
        }
        assert_eq!(ask("example.org", Kind::A), Answer::Foreign);
        assert_eq!(
            ask("web.shop.svc.cluster.local.example.org", Kind::A),
            Answer::Foreign
        );
        assert_eq!(ask("cluster.local", Kind::Soa), records(vec![Data::Soa]));
    }

    #[test]
    fn ports_are_found_by_name_and_protocol() {
        let name = "web.shop.svc.cluster.local.".to_owned();
        let expected = Answer::Records(
            vec![Data::Srv {
                weight: 100,
                port: 80,
                target: name.clone(),
            }],
            vec![(name, "10.112.0.7".parse().unwrap())],
        );
        assert_eq!(ask("_http._tcp.web.shop.svc.cluster.local", Kind::Srv), expected);
        assert_eq!(ask("web.shop.svc.cluster.local", Kind::Srv), expected);
        assert_eq!(
            ask("_http._udp.web.shop.svc.cluster.local", Kind::Srv),
            Answer::NoName
        );
        let Answer::Records(data, also) = ask("_redis._tcp.db.shop.svc.cluster.local", Kind::Srv) else {
            panic!()
        };
        let target = |host: &str| format!("{host}.db.shop.svc.cluster.local.");
        assert_eq!(
            data,
            [
                Data::Srv {
                    weight: 50,
                    port: 6379,
                    target: target("10-64-2-6")
                },
                Data::Srv {
                    weight: 50,
                    port: 6379,
                    target: target("db-0")
                }
            ]
        );
        assert_eq!(also.len(), 2);
    }

    #[test]
    fn addresses_have_names() {
        let web = records(vec![Data::Ptr("web.shop.svc.cluster.local.".into())]);
        assert_eq!(ask("7.0.112.10.in-addr.arpa", Kind::Ptr), web);
        let Answer::Records(names, _) = ask("5.1.64.10.in-addr.arpa", Kind::Ptr) else {
            panic!()
        };
        assert!(
            names.contains(&Data::Ptr("db-0.db.shop.svc.cluster.local.".into())),
            "{names:?}"
        );
        assert_eq!(ask("99.1.64.10.in-addr.arpa", Kind::Ptr), Answer::NoName);
        assert_eq!(ask("1.2.0.192.in-addr.arpa", Kind::Ptr), Answer::Foreign);
        assert_eq!(ask("64.10.in-addr.arpa", Kind::Ptr), Answer::Foreign);
    }

    #[test]
    fn external_names_are_aliases() {
        assert_eq!(
            ask("away.shop.svc.cluster.local", Kind::A),
            Answer::Alias("example.org".into())
        );
        assert_eq!(
            ask("_x._tcp.away.shop.svc.cluster.local", Kind::Srv),
            Answer::NoName
        );
    }
}
