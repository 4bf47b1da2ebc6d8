//! Addresses (`k8s.io/apiserver/pkg/cel/library/{urls,ip,cidr}.go`).
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use url::Url;

use super::{Done, opaque::Opaque};
use crate::{
    evaluate::{Failure, made, no_overload},
    value::{Key, Map, Value},
};

/// A base for what is only a path.
const NOWHERE: &str = "cel://nowhere";

fn parse_url(text: &str) -> Result<Opaque, String> {
    let refused = |why: &str| format!("URL parse error during conversion from string: parse {text:?}: {why}");
    if text.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(refused("net/url: invalid control character in URL"));
    }
    // Go's ParseRequestURI takes absolute URLs and absolute paths.
    let whole = if text.starts_with('/') {
        format!("{NOWHERE}{text}")
    } else {
        text.to_owned()
    };
    if !text.starts_with('/') && !text.contains(':') {
        return Err(refused("invalid URI for request"));
    }
    let url = Url::parse(&whole).map_err(|e| refused(&e.to_string()))?;
    Ok(Opaque::Url(Arc::new(url), text.into()))
}

pub fn url<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let (url, text) = match (name, args) {
        ("url", [Value::String(text)]) => return parse_url(text).map(Value::Opaque).map_err(Failure::from),
        ("isURL", [Value::String(text)]) => return Ok(parse_url(text).is_ok().into()),
        (_, [Value::Opaque(Opaque::Url(url, text))]) => (url, text),
        _ => return Err(no_overload()),
    };
    let local = text.starts_with('/');
    // What Go keeps as it was written stands between the slashes and the path.
    let host = || match text.split_once("://") {
        Some((_, rest)) if !local => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let authority = &rest[..end];
            authority.rsplit_once('@').map_or(authority, |(_, host)| host)
        }
        _ => "",
    };
    let port = || {
        host()
            .rsplit_once(':')
            .map_or("", |(_, port)| if port.ends_with(']') { "" } else { port })
    };
    Ok(match name {
        "getScheme" => if local { "" } else { url.scheme() }.into(),
        "getHost" => host().into(),
        "getHostname" => {
            let whole = host();
            let without = whole
                .strip_suffix(port())
                .and_then(|h| h.strip_suffix(':'))
                .unwrap_or(whole);
            without.trim_start_matches('[').trim_end_matches(']').into()
        }
        "getPort" => port().into(),
        "getEscapedPath" => {
            let bare = !local
                && !host().is_empty()
                && !text.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
            if bare { "" } else { url.path() }.into()
        }
        _ => {
            let mut all: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
            for (name, value) in url.query_pairs() {
                all.entry(Key::String(name.into_owned()))
                    .or_default()
                    .push(value.into_owned().into());
            }
            Value::Map(Map::Made(Arc::new(
                all.into_iter()
                    .map(|(name, values)| (name, made(values)))
                    .collect(),
            )))
        }
    })
}

fn mapped(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!("IP address {text:?} with zone value is not allowed"));
    }
    let ip: IpAddr = text
        .parse()
        .map_err(|_| format!("IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"))?;
    if mapped(&ip) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok(ip)
}

fn parse_cidr(text: &str) -> Result<IpNet, String> {
    let refused = |why: &str| {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
        )
    };
    let (address, length) = text.rsplit_once('/').ok_or_else(|| refused("no '/'"))?;
    if length.len() > 1 && length.starts_with('0') || length.starts_with('+') {
        return Err(refused("bad bits after slash"));
    }
    let ip: IpAddr = address.parse().map_err(|_| refused("unable to parse IP"))?;
    if mapped(&ip) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    let length: u8 = length.parse().map_err(|_| refused("bad bits after slash"))?;
    IpNet::new(ip, length).map_err(|_| refused("prefix length out of range"))
}

/// The address as it is written shortest, which Rust and Go agree on.
fn canonical(text: &str, ip: &IpAddr) -> bool {
    ip.to_string() == text
}

fn of_v6(ip: &Ipv6Addr) -> (bool, bool) {
    let [first, ..] = ip.segments();
    (first & 0xffc0 == 0xfe80, first & 0xff0f == 0xff02)
}

pub fn ip<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let ip = match (name, args) {
        ("ip", [Value::String(text)]) => return Ok(Value::Opaque(Opaque::Ip(parse_ip(text)?))),
        ("ip", [Value::Opaque(Opaque::Cidr(cidr))]) => return Ok(Value::Opaque(Opaque::Ip(cidr.addr()))),
        ("isIP", [Value::String(text)]) => return Ok(parse_ip(text).is_ok().into()),
        ("ip.isCanonical", [Value::String(text)]) => return Ok(canonical(text, &parse_ip(text)?).into()),
        (_, [Value::Opaque(Opaque::Ip(ip))]) => ip,
        _ => return Err(no_overload()),
    };
    let (link_local_unicast, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => of_v6(ip),
    };
    let is = match name {
        "family" => return Ok(Value::Int(if ip.is_ipv4() { 4 } else { 6 })),
        "isUnspecified" => ip.is_unspecified(),
        "isLoopback" => ip.is_loopback(),
        "isLinkLocalMulticast" => link_local_multicast,
        "isLinkLocalUnicast" => link_local_unicast,
        "isGlobalUnicast" => {
            let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local_unicast || broadcast)
        }
        _ => return Err(no_overload()),
    };
    Ok(is.into())
}

pub fn cidr<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let (cidr, rest) = match (name, args) {
        ("cidr", [Value::String(text)]) => return Ok(Value::Opaque(Opaque::Cidr(parse_cidr(text)?))),
        ("isCIDR", [Value::String(text)]) => return Ok(parse_cidr(text).is_ok().into()),
        (_, [Value::Opaque(Opaque::Cidr(cidr)), rest @ ..]) => (cidr, rest),
        _ => return Err(no_overload()),
    };
    match (name, rest) {
        ("prefixLength", []) => Ok(Value::Int(cidr.prefix_len().into())),
        ("masked", []) => Ok(Value::Opaque(Opaque::Cidr(cidr.trunc()))),
        ("containsIP", [Value::String(text)]) => Ok(cidr.contains(&parse_ip(text)?).into()),
        ("containsIP", [Value::Opaque(Opaque::Ip(ip))]) => Ok(cidr.contains(ip).into()),
        ("containsCIDR", [Value::String(text)]) => {
            Ok(cidr.trunc().contains(&parse_cidr(text)?.trunc()).into())
        }
        ("containsCIDR", [Value::Opaque(Opaque::Cidr(other))]) => {
            Ok(cidr.trunc().contains(&other.trunc()).into())
        }
        _ => Err(no_overload()),
    }
}
