//! Endpoints, endpoint slices and network policies.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kube_types::{
    IntOrString, is_dns1123_label, is_dns1123_subdomain, is_label_value, is_port_name, is_port_number,
    is_qualified_name,
};

use crate::{
    field::{Errors, Node},
    meta, pod,
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// An address that traffic can be sent to from anywhere in the cluster.
pub(crate) fn endpoint_ip(e: &mut Errors, node: &Node<'_>) {
    let Ok(ip) = node.text().parse::<IpAddr>() else {
        return e.invalid_text(node, node.text(), "must be a valid IP address");
    };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    let link_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    if ip.is_unspecified() {
        e.invalid(node, &format!("may not be unspecified ({})", node.text()));
    }
    if ip.is_loopback() {
        e.invalid(node, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        e.invalid(
            node,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        );
    }
    if link_multicast {
        e.invalid(
            node,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        );
    }
}

/// Address and prefix length.
fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (ip, length) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let length: u32 = length.parse().ok()?;
    (length <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, length))
}

/// The address with the bits behind the prefix cleared.
fn masked(ip: IpAddr, length: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            Ipv4Addr::from(u32::from(ip) & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from(u128::from(ip) & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()
        }
    }
}

/// A range of addresses without bits behind its prefix.
pub(crate) fn cidr(e: &mut Errors, node: &Node<'_>) {
    match parse_cidr(node.text()) {
        None => {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            e.invalid_text(node, node.text(), detail);
        }
        Some((ip, length)) if masked(ip, length) != ip => {
            e.invalid(node, "must not have bits set beyond the prefix length");
        }
        Some(_) => {}
    }
}

pub(crate) fn endpoints(e: &mut Errors, object: &Node<'_>) {
    for subset in object.get("subsets").items() {
        if subset.get("addresses").is_empty() && subset.get("notReadyAddresses").is_empty() {
            e.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.get(list).items() {
                let ip = address.get("ip");
                pod::ip(e, &ip);
                optional(e, &address.get("hostname"), is_dns1123_label);
                present(e, &address.get("nodeName"), is_dns1123_subdomain);
                endpoint_ip(e, &ip);
            }
        }
        let ports = subset.get("ports");
        for port in ports.items() {
            let name = port.get("name");
            if ports.len() > 1 && name.is_empty() {
                e.required(&name, "");
            }
            optional(e, &name, is_dns1123_label);
            let number = port.get("port");
            for complaint in is_port_number(number.int().unwrap_or(0)) {
                e.invalid_value(&number, &number.int().unwrap_or(0).into(), &complaint);
            }
            e.one_of(&port.get("protocol"), &PROTOCOLS);
            optional(e, &port.get("appProtocol"), is_qualified_name);
        }
    }
}

fn optional(e: &mut Errors, node: &Node<'_>, check: fn(&str) -> Vec<String>) {
    if !node.is_empty() {
        e.complaints(node, check(node.text()));
    }
}

/// A pointer in Go: empty is not absent.
fn present(e: &mut Errors, node: &Node<'_>, check: fn(&str) -> Vec<String>) {
    if node.present() {
        e.complaints(node, check(node.text()));
    }
}

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

pub(crate) fn endpoint_slice(e: &mut Errors, object: &Node<'_>) {
    let kind = object.get("addressType");
    e.one_of(&kind, &ADDRESS_TYPES);
    let ports = object.get("ports");
    if ports.len() > 20_000 {
        return e.too_many(&ports, 20_000);
    }
    let mut names = Vec::new();
    for port in ports.items() {
        let name = port.get("name");
        optional(e, &name, is_dns1123_label);
        if names.contains(&name.text()) {
            e.duplicate_value(&name, &name.text().into());
        }
        names.push(name.text());
        let protocol = port.get("protocol");
        if protocol.present() {
            e.maybe_one_of(&protocol, &PROTOCOLS);
        } else {
            e.required(&protocol, "");
        }
        present(e, &port.get("appProtocol"), is_qualified_name);
    }
    let endpoints = object.get("endpoints");
    if endpoints.len() > 1000 {
        return e.too_many(&endpoints, 1000);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.get("addresses");
        if addresses.is_empty() {
            e.required(&addresses, "must contain at least 1 address");
        } else if addresses.len() > 100 {
            e.too_many(&addresses, 100);
        }
        if ADDRESS_TYPES.contains(&kind.text()) {
            for address in addresses.items() {
                slice_address(e, &kind, &addresses, &address);
            }
        }
        present(e, &endpoint.get("nodeName"), is_dns1123_subdomain);
        present(e, &endpoint.get("hostname"), is_dns1123_label);
        let hints = endpoint.get("hints");
        hinted(e, &hints.get("forZones"), is_label_value);
        hinted(e, &hints.get("forNodes"), is_dns1123_subdomain);
    }
}

/// The zones or nodes that an endpoint is meant for.
fn hinted(e: &mut Errors, list: &Node<'_>, check: fn(&str) -> Vec<String>) {
    if list.len() > 8 {
        return e.too_many(list, 8);
    }
    let mut seen = Vec::new();
    for item in list.items() {
        let name = item.get("name");
        if seen.contains(&name.text()) {
            e.duplicate_value(&name, &name.text().into());
        }
        seen.push(name.text());
        e.complaints(&name, check(name.text()));
    }
}

fn slice_address(e: &mut Errors, kind: &Node<'_>, list: &Node<'_>, address: &Node<'_>) {
    if kind.text() == "FQDN" {
        let name = address.text().strip_suffix('.').unwrap_or(address.text());
        for complaint in is_dns1123_subdomain(name) {
            e.invalid(address, &complaint);
        }
        return;
    }
    let before = e.count();
    pod::ip(e, address);
    if e.count() > before {
        return;
    }
    let is_v4 = address.text().parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
    if is_v4 != (kind.text() == "IPv4") {
        e.invalid_text(
            list,
            address.text(),
            &format!("must be an {} address", kind.text()),
        );
    }
    endpoint_ip(e, address);
}

pub(crate) fn network_policy(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    meta::selector(e, &spec.get("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.get(direction).items() {
            for port in rule.get("ports").items() {
                policy_port(e, &port);
            }
            for peer in rule.get(peers).items() {
                policy_peer(e, &peer);
            }
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        return e.invalid(&types, "may not specify more than two policyTypes");
    }
    for kind in types.items() {
        e.maybe_one_of(&kind, &["Ingress", "Egress"]);
    }
}

fn policy_port(e: &mut Errors, rule: &Node<'_>) {
    e.maybe_one_of(&rule.get("protocol"), &["TCP", "UDP", "SCTP"]);
    let (port, end) = (rule.get("port"), rule.get("endPort"));
    match IntOrString::from_value(port.value()) {
        None => {
            if end.present() {
                e.invalid(&end, "may not be specified when `port` is not specified");
            }
        }
        Some(IntOrString::Int(number)) => {
            e.complaints(&port, is_port_number(number.into()));
            if let Some(last) = end.int() {
                if last < number.into() {
                    e.invalid_value(&end, port.value(), "must be greater than or equal to `port`");
                }
                e.complaints(&end, is_port_number(last));
            }
        }
        Some(IntOrString::String(name)) => {
            if end.present() {
                e.invalid(&end, "may not be specified when `port` is non-numeric");
            }
            e.complaints(&port, is_port_name(&name));
        }
    }
}

fn policy_peer(e: &mut Errors, peer: &Node<'_>) {
    let mut kinds = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if peer.get(field).present() {
            kinds += 1;
            meta::selector(e, &peer.get(field));
        }
    }
    let block = peer.get("ipBlock");
    if block.present() {
        kinds += 1;
        let range = block.get("cidr");
        if range.is_empty() {
            e.required(&range, "");
        } else {
            cidr(e, &range);
            if let Some((ip, length)) = parse_cidr(range.text()) {
                for except in block.get("except").items() {
                    cidr(e, &except);
                    if let Some((inner, inner_length)) = parse_cidr(except.text())
                        && (masked(inner, length.min(inner_length)) != masked(ip, length)
                            || length >= inner_length)
                    {
                        e.invalid(&except, "must be a strict subset of `cidr`");
                    }
                }
            }
        }
    }
    if kinds == 0 {
        e.required(peer, "must specify a peer");
    } else if kinds > 1 && block.present() {
        e.forbidden(peer, "may not specify both ipBlock and another peer");
    }
}
