//! What a claim was given, and who may use it (`validateResourceClaimStatusUpdate`).
use std::collections::HashSet;
use std::net::IpAddr;

use kube_types::is_dns1123_label;
use serde_json::{Value, json};

use super::{
    binding,
    claim::{Names, configuration, raw},
    label, list, pool_name, set, text, unchanged,
};
use crate::{
    csi::driver_name,
    field::{Errors, Node, show},
    pod, status,
};

pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (before, now) = (old.get("status"), new.get("status"));
    let names = Names::of(&new.get("spec"));
    let (reserved, allocation) = (now.get("reservedFor"), now.get("allocation"));
    set(e, &reserved, 256, consumer, |one| text(&one.get("uid")));
    let results = allocation.at(&["devices", "results"]).items();
    let allocated: HashSet<String> = results
        .iter()
        .map(|result| identity(result).to_string())
        .collect();
    devices(e, &now.get("devices"), &allocated);
    if !reserved.is_empty() && !allocation.present() {
        e.forbidden(&reserved, "may not be specified when `allocated` is not set");
    } else if !reserved.is_empty() && new.at(&["metadata", "deletionTimestamp"]).present() {
        let had = before.get("reservedFor").items();
        let added = |one: &Node<'_>| !had.iter().any(|other| other.value() == one.value());
        if reserved.items().iter().any(added) {
            let detail =
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            e.forbidden(&reserved, detail);
        }
    }
    let earlier = before.get("allocation");
    if earlier.present() && allocation.present() {
        unchanged(e, &allocation, &earlier, "AllocationResult");
    } else if allocation.present() {
        given(e, &allocation, &names);
    }
}

fn consumer(e: &mut Errors, consumer: &Node<'_>) {
    for field in ["resource", "name", "uid"] {
        if consumer.get(field).is_empty() {
            e.required(&consumer.get(field), "");
        }
    }
}

/// What tells a device from others, or a share of it.
fn identity(of: &Node<'_>) -> Value {
    json!([
        of.get("driver").text(),
        of.get("pool").text(),
        of.get("device").text(),
        of.get("shareID").text()
    ])
}

fn shown_identity(of: &Node<'_>) -> String {
    let part = |field: &str| show(&text(&of.get(field)));
    format!(
        "{{\"Driver\":{},\"Pool\":{},\"Device\":{},\"ShareID\":{}}}",
        part("driver"),
        part("pool"),
        part("device"),
        part("shareID")
    )
}

fn devices(e: &mut Errors, devices: &Node<'_>, allocated: &HashSet<String>) {
    let items = devices.items();
    for item in &items {
        device(e, item, allocated);
    }
    let mut seen = HashSet::new();
    for item in &items {
        if !seen.insert(identity(item).to_string()) {
            e.duplicate_raw(item, &shown_identity(item));
        }
    }
}

/// What a driver tells of a device (`validateDeviceStatus`).
fn device(e: &mut Errors, device: &Node<'_>, allocated: &HashSet<String>) {
    driver_name(e, &device.get("driver"));
    pool_name(e, &device.get("pool"));
    label(e, &device.get("device"));
    share(e, &device.get("shareID"));
    if !allocated.contains(&identity(device).to_string()) {
        let detail = "must be an allocated device in the claim";
        e.invalid_raw(device, &shown_identity(device), detail);
    }
    let conditions = device.get("conditions");
    if conditions.len() > 8 {
        e.too_many(&conditions, 8);
    }
    status::conditions(e, &conditions);
    let data = device.get("data");
    if data.present() {
        raw(e, &data);
    }
    let network = device.get("networkData");
    for (field, limit) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if network.get(field).len() > limit {
            e.too_long(&network.get(field), limit);
        }
    }
    set(e, &network.get("ips"), 16, interface_address, text);
}

/// An address of an interface, with the length of its network's prefix (`IsValidInterfaceAddress`).
fn interface_address(e: &mut Errors, node: &Node<'_>) {
    let parsed = node.text().split_once('/').and_then(|(ip, length)| {
        let ip: IpAddr = ip.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        (length <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, length))
    });
    let Some((ip, length)) = parsed else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return e.invalid_text(node, node.text(), detail);
    };
    let canonical = format!("{ip}/{length}");
    if canonical != node.text() {
        e.invalid_text(
            node,
            node.text(),
            &format!("must be in canonical form ({canonical:?})"),
        );
    }
}

/// A device's share, a UUID (`validateUID`).
fn share(e: &mut Errors, uid: &Node<'_>) {
    if !uid.present() {
        return;
    }
    let text = uid.text();
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let dashed = |text: &str| {
        let groups: Vec<&str> = text.split('-').collect();
        groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| hex(group))
    };
    let bare = match text.len() {
        32 | 36 => Ok(text),
        45 => match text.get(..9) {
            Some(prefix) if prefix.eq_ignore_ascii_case("urn:uuid:") => Ok(&text[9..]),
            prefix => Err(format!("invalid urn prefix: {:?}", prefix.unwrap_or_default())),
        },
        38 => match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(rest) => Ok(rest),
            None => Err("invalid bracketed UUID format".to_owned()),
        },
        other => Err(format!("invalid UUID length: {other}")),
    };
    let fault = match bare {
        Err(fault) => Some(fault),
        Ok(bare) if bare.len() == 32 && hex(bare) || dashed(bare) => None,
        Ok(_) => Some("invalid UUID format".to_owned()),
    };
    if let Some(fault) = fault {
        e.invalid_text(uid, text, &format!("error validating uid: {fault}"));
    } else if text.len() != 36 || text != text.to_lowercase() {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
        e.invalid_text(uid, text, detail);
    }
}

/// What a scheduler found for the claim (`validateAllocationResult`).
fn given(e: &mut Errors, allocation: &Node<'_>, names: &Names<'_>) {
    let devices = allocation.get("devices");
    list(e, &devices.get("results"), 32, |e, result| {
        names.reference(e, &result.get("request"));
        driver_name(e, &result.get("driver"));
        pool_name(e, &result.get("pool"));
        let device = result.get("device");
        e.complaints(&device, is_dns1123_label(device.text()));
        binding(e, result);
        share(e, &result.get("shareID"));
    });
    list(e, &devices.get("config"), 64, |e, config| {
        e.one_of(&config.get("source"), &["FromClaim", "FromClass"]);
        names.references(e, &config.get("requests"));
        configuration(e, config);
    });
    let selector = allocation.get("nodeSelector");
    if selector.present() {
        pod::node_selector(e, &selector);
    }
}
