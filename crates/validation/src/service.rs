//! Services.
use std::{collections::HashSet, net::IpAddr};

use kube_types::{is_dns1123_label, is_dns1123_subdomain, is_port_number, is_qualified_name};
use serde_json::{Value, json};

use crate::{
    field::{Errors, Node},
    meta, network, pod,
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn headless(spec: &Node<'_>) -> bool {
    spec.get("clusterIP").text() == "None" || spec.get("clusterIPs").index(0).text() == "None"
}

/// The cluster's addresses for the Service, whichever of the two fields has them.
fn addresses(spec: &Node<'_>) -> Value {
    let (single, list) = (spec.get("clusterIP"), spec.get("clusterIPs"));
    if list.is_empty() && !single.is_empty() {
        json!([single.text()])
    } else {
        json!(list.value())
    }
}

/// The rules for a new or changed Service.
pub(crate) fn service(e: &mut Errors, object: &Node<'_>, old: Option<&Node<'_>>) {
    let spec = object.get("spec");
    let (kind, ports) = (spec.get("type"), spec.get("ports"));
    if ports.is_empty() && !headless(&spec) && kind.text() != "ExternalName" {
        e.required(&ports, "");
    }
    match kind.text() {
        "LoadBalancer" | "NodePort" if headless(&spec) => {
            let detail = format!("may not be set to 'None' for {} services", kind.text());
            e.invalid_text(&spec.get("clusterIPs").index(0), "None", &detail);
        }
        "ExternalName" => external_name(e, &spec),
        _ => {}
    }
    let mut names = HashSet::new();
    for port in ports.items() {
        service_port(e, &port, ports.len() > 1, &mut names);
    }
    meta::labels(e, &spec.get("selector"));
    affinity(e, &spec);
    cluster_ips(e, &spec);
    let existing: Vec<_> = old
        .map(|old| {
            old.at(&["spec", "externalIPs"])
                .items()
                .iter()
                .map(Node::text)
                .collect()
        })
        .unwrap_or_default();
    for ip in spec.get("externalIPs").items() {
        if !existing.contains(&ip.text()) {
            let before = e.count();
            pod::ip(e, &ip);
            if e.count() == before {
                network::endpoint_ip(e, &ip);
            }
        }
    }
    e.one_of(&kind, &TYPES);
    if kind.text() == "ClusterIP" {
        for port in ports.items() {
            if port.get("nodePort").int().unwrap_or(0) != 0 {
                e.forbidden(
                    &port.get("nodePort"),
                    "may not be used when `type` is 'ClusterIP'",
                );
            }
        }
    }
    duplicates(e, &ports);
    let ranges = spec
        .get("loadBalancerSourceRanges")
        .renamed("spec.LoadBalancerSourceRanges");
    if !ranges.is_empty() {
        if kind.text() != "LoadBalancer" {
            e.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
        }
        for range in ranges.items() {
            network::cidr(e, &range.holding(&range.text().trim().into()));
        }
    }
    if spec.get("allocateLoadBalancerNodePorts").present() && kind.text() != "LoadBalancer" {
        e.forbidden(
            &spec.get("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        );
    }
    load_balancer_class(e, &spec);
    traffic(e, &spec);
}

fn external_name(e: &mut Errors, spec: &Node<'_>) {
    for field in ["clusterIPs", "ipFamilies"] {
        // Who says clusterIP means clusterIPs.
        let alias = field == "clusterIPs" && !spec.get("clusterIP").is_empty();
        if alias || !spec.get(field).is_empty() {
            e.forbidden(&spec.get(field), "may not be set for ExternalName services");
        }
    }
    if spec.get("ipFamilyPolicy").present() {
        e.forbidden(
            &spec.get("ipFamilyPolicy"),
            "may not be set for ExternalName services",
        );
    }
    let name = spec.get("externalName");
    let cname = name.text().strip_suffix('.').unwrap_or(name.text());
    if cname.is_empty() {
        e.required(&name, "");
    }
    for complaint in if cname.is_empty() {
        Vec::new()
    } else {
        is_dns1123_subdomain(cname)
    } {
        e.invalid_text(&name, cname, &complaint);
    }
}

fn service_port<'a>(e: &mut Errors, port: &Node<'a>, named: bool, names: &mut HashSet<&'a str>) {
    let name = port.get("name");
    if !name.is_empty() {
        e.complaints(&name, is_dns1123_label(name.text()));
        if !names.insert(name.text()) {
            e.duplicate(&name);
        }
    } else if named {
        e.required(&name, "");
    }
    let number = port.get("port");
    let value = number.int().unwrap_or(0);
    for complaint in is_port_number(value) {
        e.invalid_value(&number, &value.into(), &complaint);
    }
    e.one_of(&port.get("protocol"), &PROTOCOLS);
    pod::port(e, &port.get("targetPort"));
    let app = port.get("appProtocol");
    if app.present() {
        e.complaints(&app, is_qualified_name(app.text()));
    }
}

fn affinity(e: &mut Errors, spec: &Node<'_>) {
    let (affinity, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    e.one_of(&affinity, &["ClientIP", "None"]);
    match affinity.text() {
        "ClientIP" => {
            let detail = "when session affinity type is ClientIP";
            let seconds = config.at(&["clientIP", "timeoutSeconds"]);
            if !config.present() {
                e.required(&config, detail);
            } else if !config.get("clientIP").present() {
                e.required(&config.get("clientIP"), detail);
            } else if !seconds.present() {
                e.required(&seconds, detail);
            } else if seconds.int().is_none_or(|n| !(1..=86400).contains(&n)) {
                e.invalid(&seconds, "must be greater than 0 and less than 86400");
            }
        }
        "None" if config.present() => e.forbidden(&config, "must not be set when session affinity is None"),
        _ => {}
    }
}

/// Whether no addresses can be found for what the Service says of them. That is tried before all else is looked at, and is all that
/// is told then (`pkg/registry/core/service/storage/alloc.go` initIPFamilyFields).
pub(crate) fn unallocatable(e: &mut Errors, object: &Node<'_>) -> bool {
    let before = e.count();
    cluster_ips(e, &object.get("spec"));
    e.count() > before
}

fn cluster_ips(e: &mut Errors, spec: &Node<'_>) {
    if spec.get("type").text() == "ExternalName" {
        return;
    }
    let (single, list) = (spec.get("clusterIP"), spec.get("clusterIPs"));
    // Upstream's strategy has filled in the list from the single address by now; here it may still be to come.
    if single.is_empty() {
        if !list.is_empty() {
            e.invalid(&list, "must be empty when `clusterIP` is not specified");
        }
    } else if !list.is_empty() && list.index(0).text() != single.text() {
        e.invalid(&list, "first value must match `clusterIP`");
    }
    let addresses = addresses(spec);
    let list = list.holding(&addresses);
    let mut families = HashSet::new();
    for family in spec.get("ipFamilies").items() {
        e.maybe_one_of(&family, &["IPv4", "IPv6"]);
        if !families.insert(family.text()) {
            e.duplicate(&family);
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    e.maybe_one_of(&spec.get("ipFamilyPolicy"), &policies);
    let before = e.count();
    for (at, ip) in list.items().iter().enumerate() {
        if at == 0 && ip.text() == "None" {
            if list.len() > 1 {
                e.invalid(&list, "'None' must be the first and only value");
            }
            continue;
        }
        pod::ip(e, ip);
    }
    if list.len() > 2 {
        e.invalid(&list, "may only hold up to 2 values");
    }
    if e.count() > before {
        return;
    }
    let is_v6 = |ip: &Node<'_>| ip.text().parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let addresses = list.items();
    if addresses.len() == 2 && is_v6(&addresses[0]) == is_v6(&addresses[1]) {
        e.invalid(&list, "may specify no more than one IP for each IP family");
    }
    if headless(spec) {
        return;
    }
    for (at, (ip, family)) in addresses.iter().zip(spec.get("ipFamilies").items()).enumerate() {
        if is_v6(ip) != (family.text() == "IPv6") {
            let detail = format!(
                "expected an {} value as indicated by `ipFamilies[{at}]`",
                family.text()
            );
            e.invalid(ip, &detail);
        }
    }
}

fn duplicates(e: &mut Errors, ports: &Node<'_>) {
    let mut seen = HashSet::new();
    for port in ports.items() {
        let node_port = port.get("nodePort");
        if let Some(number) = node_port.int().filter(|n| *n != 0)
            && !seen.insert((port.get("protocol").text(), number))
        {
            e.duplicate(&node_port);
        }
    }
    let mut seen = HashSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.get("protocol").text(), port.get("port").int().unwrap_or(0));
        if !seen.insert((protocol, number)) {
            // The internal struct, as upstream shows it.
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                Value::from(protocol)
            );
            e.duplicate_raw(&port, &shown);
        }
    }
}

fn load_balancer_class(e: &mut Errors, spec: &Node<'_>) {
    let class = spec.get("loadBalancerClass");
    if !class.present() {
        return;
    }
    if spec.get("type").text() == "LoadBalancer" {
        e.complaints(&class, is_qualified_name(class.text()));
    } else {
        e.forbidden(&class, "may only be used when `type` is 'LoadBalancer'");
    }
}

/// Reachable from outside the cluster.
fn external(spec: &Node<'_>) -> bool {
    matches!(spec.get("type").text(), "NodePort" | "LoadBalancer")
        || spec.get("type").text() == "ClusterIP" && !spec.get("externalIPs").is_empty()
}

fn needs_health_check(spec: &Node<'_>) -> bool {
    spec.get("type").text() == "LoadBalancer" && spec.get("externalTrafficPolicy").text() == "Local"
}

fn traffic(e: &mut Errors, spec: &Node<'_>) {
    let policy = spec.get("externalTrafficPolicy");
    if external(spec) {
        e.one_of(&policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        e.invalid(&policy, "may only be set for externally-accessible services");
    }
    let health = spec.get("healthCheckNodePort");
    match (needs_health_check(spec), health.int().unwrap_or(0)) {
        // It is given one after this.
        (_, 0) => {}
        (false, _) => e.invalid(
            &health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
        (true, number) => e.complaints(&health, is_port_number(number)),
    }
    let internal = spec.get("internalTrafficPolicy");
    if !internal.present() && matches!(spec.get("type").text(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        e.required(&internal, "");
    }
    e.maybe_one_of(&internal, &["Cluster", "Local"]);
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    e.maybe_one_of(&spec.get("trafficDistribution"), &distributions);
}

/// What of a Service may not change.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (old, new) = (old.get("spec"), new.get("spec"));
    let external_name = |spec: &Node<'_>| spec.get("type").text() == "ExternalName";
    let (old_list, new_list) = (addresses(&old), addresses(&new));
    let (before, now) = (
        old.get("clusterIPs").holding(&old_list),
        new.get("clusterIPs").holding(&new_list),
    );
    let exempt = external_name(&old) || external_name(&new) || headless(&old) && headless(&new);
    if !exempt {
        let value = if now.present() {
            now.value().clone()
        } else {
            json!([])
        };
        match before.len().cmp(&now.len()) {
            std::cmp::Ordering::Equal => {
                for (ip, was) in now.items().iter().zip(before.items()) {
                    if ip.text() != was.text() {
                        e.invalid_value(ip, &value, "may not change once set");
                    }
                }
            }
            std::cmp::Ordering::Greater => {
                if now.is_empty() {
                    e.invalid_value(&now.index(0), &value, "primary clusterIP can not be unset");
                } else if now.index(0).text() != before.index(0).text() {
                    e.invalid_value(&now.index(0), &value, "may not change once set");
                }
                let policy = new.get("ipFamilyPolicy");
                if now.len() == 1 && policy.text() != "SingleStack" {
                    e.invalid(
                        &policy,
                        "must be set to 'SingleStack' when releasing the secondary clusterIP",
                    );
                }
            }
            std::cmp::Ordering::Less => {
                if !before.is_empty() && now.index(0).text() != before.index(0).text() {
                    e.invalid_value(&now.index(0), &value, "may not change once set");
                }
            }
        }
    }
    let balanced = |spec: &Node<'_>| spec.get("type").text() == "LoadBalancer";
    let class = new.get("loadBalancerClass");
    if balanced(&old) && balanced(&new) && class.value() != old.get("loadBalancerClass").value() {
        e.invalid(&class, "may not change once set");
    }
    load_balancer_class(e, &new);
    let health = new.get("healthCheckNodePort");
    if needs_health_check(&old)
        && needs_health_check(&new)
        && health.int() != old.get("healthCheckNodePort").int()
    {
        e.forbidden(&health, "field is immutable");
    }
}
