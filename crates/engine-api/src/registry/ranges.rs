//! From where Services have their addresses: the ServiceCIDRs that are ready (`pkg/registry/core/service/ipallocator/cidrallocator.go`).
use std::{collections::HashSet, net::Ipv4Addr};

use ipnet::Ipv4Net;
use rand::Rng as _;
use serde_json::Value;

use crate::{
    api::Api,
    json::{list, strings, text},
    keys,
};

/// The ranges of IPv4 that addresses are given out of, that of the configuration first.
pub fn ready(api: &Api) -> Vec<Ipv4Net> {
    let configured = api.config.service_cidr;
    let Some(kind) = schema::by_resource("networking.k8s.io", "v1", "servicecidrs") else {
        return vec![configured];
    };
    let all = api.store.list(&keys::prefix(kind, "")).items;
    let mut ranges: Vec<Ipv4Net> = all
        .iter()
        .map(|o| o.value())
        .filter(|o| is_ready(o))
        .flat_map(|o| {
            let cidrs = strings(&o, "/spec/cidrs").into_iter();
            cidrs.filter_map(|c| c.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    if ranges.is_empty() && api.store.get(&keys::key(kind, "", "kubernetes")).is_none() {
        // While the cluster is being made.
        ranges.push(configured);
    }
    ranges.sort_by_key(|r| *r != configured);
    ranges.dedup();
    ranges
}

/// One of which nothing is said yet counts as ready: its controller may not run.
fn is_ready(cidr: &Value) -> bool {
    let condition = list(cidr, "/status/conditions")
        .iter()
        .find(|c| c["type"] == "Ready");
    text(cidr, "/metadata/deletionTimestamp").is_empty() && condition.is_none_or(|c| c["status"] == "True")
}

/// Whether an address is one of the range that may be given out (`pkg/api/servicecidr`, PrefixContainsIP).
pub fn holds(range: Ipv4Net, ip: Ipv4Addr) -> bool {
    range.contains(&ip) && ip != range.network() && ip != range.broadcast()
}

/// A free address: random, out of the lower band that static addresses are taken from as long as there is room
/// (KEP 3070).
pub fn free(range: Ipv4Net, dns: Option<Ipv4Addr>, used: &HashSet<&str>) -> Option<String> {
    let first = u32::from(range.network()) + 1;
    let last = u32::from(range.broadcast()).checked_sub(1)?;
    let size = last.checked_sub(first)? + 1;
    // The reserved band: between 16 and 256 addresses, a 16th of the range.
    let band = (size / 16).clamp(16, 256).min(size.saturating_sub(1));
    let is_free = |ip: u32| {
        let address = Ipv4Addr::from(ip);
        let text = address.to_string();
        (ip != first && Some(address) != dns && !used.contains(text.as_str())).then_some(text)
    };
    let mut rng = rand::rng();
    for _ in 0..64 {
        if let Some(ip) = is_free(rng.random_range(first + band..=last)) {
            return Some(ip);
        }
    }
    (first + band..=last).chain(first..first + band).find_map(is_free)
}
