//! What a driver has to give on a node, or on several: pools, devices, their attributes and capacities.
use kube_types::{Quantity, is_dns1123_subdomain};
use serde_json::Value;

use super::{
    binding, label, label_or_nothing, list, map, pool_name, qualified_name, set, shown, taint, text,
};
use crate::{
    csi::driver_name,
    field::{Errors, Node, same},
    pod,
};

/// The longest key of an attribute or capacity: domain, slash and name.
const KEY: usize = 63 + 1 + 32;
const NO_LIMIT: usize = usize::MAX;

pub(super) fn spec(e: &mut Errors, old: Option<&Node<'_>>, spec: &Node<'_>) {
    let (driver, pool) = (spec.get("driver"), spec.get("pool"));
    driver_name(e, &driver);
    pool_name(e, &pool.get("name"));
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    let number = count.int().unwrap_or(0);
    if number <= 0 {
        e.invalid_value(&count, &number.into(), "must be greater than zero");
    }
    if generation.int().is_some_and(|n| n < 0) {
        e.invalid(&generation, "must be greater than or equal to zero");
    }
    if let Some(old) = old {
        e.immutable(&pool.get("name"), &old.at(&["pool", "name"]));
        e.immutable(&driver, &old.get("driver"));
        e.immutable(&spec.get("nodeName"), &old.get("nodeName"));
    }
    where_spec(e, spec);
    let (devices, shared) = (spec.get("devices"), spec.get("sharedCounters"));
    if shared.present() && devices.present() {
        e.invalid_text(spec, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let rich = |device: &Node<'_>| {
        !device.get("taints").is_empty()
            || !device.get("consumesCounters").is_empty()
            || device
                .get("attributes")
                .entries()
                .iter()
                .any(|(_, a)| LISTS.iter().any(|l| a.get(l).present()))
    };
    let most = if devices.items().iter().any(rich) { 64 } else { 128 };
    let by_device = spec.get("perDeviceNodeSelection").is_true();
    set(
        e,
        &devices,
        most,
        |e, one| device(e, before(old, one).as_ref(), one, by_device),
        |one| text(&one.get("name")),
    );
    set(e, &shared, 8, counter_set, |one| text(&one.get("name")));
}

/// The device of the same name as it was.
fn before<'a>(old: Option<&Node<'a>>, device: &Node<'_>) -> Option<Node<'a>> {
    let name = device.get("name");
    let devices = old?.get("devices").items();
    devices
        .into_iter()
        .find(|other| other.get("name").text() == name.text())
}

/// Which nodes can reach what the slice has.
fn where_spec(e: &mut Errors, spec: &Node<'_>) {
    let mut given = Vec::new();
    let (name, selector) = (spec.get("nodeName"), spec.get("nodeSelector"));
    if name.present() && name.is_empty() {
        e.invalid_text(&name, "", "must be either unset or set to a non-empty string");
    } else if name.present() {
        given.push("`nodeName`");
        e.complaints(&name, is_dns1123_subdomain(name.text()));
    }
    if selector.present() {
        given.push("`nodeSelector`");
        pod::node_selector(e, &selector);
        let terms = selector.get("nodeSelectorTerms");
        if terms.len() != 1 {
            let shown = node_terms(&terms);
            e.invalid_raw(&terms, &shown, "must have exactly one node selector term");
        }
    }
    flag(e, &spec.get("allNodes"), "`allNodes`", &mut given);
    flag(
        e,
        &spec.get("perDeviceNodeSelection"),
        "`perDeviceNodeSelection`",
        &mut given,
    );
    let detail =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match given.len() {
        0 => e.required(spec, detail),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", given.join(", "));
            e.invalid_text(spec, &shown, &format!("{detail}, but multiple fields are set"));
        }
    }
}

fn flag(e: &mut Errors, node: &Node<'_>, name: &'static str, given: &mut Vec<&'static str>) {
    if node.is_true() {
        given.push(name);
    } else if node.present() {
        e.invalid(node, "must be either unset or set to true");
    }
}

fn node_terms(terms: &Node<'_>) -> String {
    if !terms.present() {
        return "null".to_owned();
    }
    let definition = "io.k8s.api.core.v1.NodeSelectorTerm";
    let shown = terms.items();
    let shown = shown
        .iter()
        .map(|term| schema::internal_compact(definition, term.value()).unwrap_or_default());
    format!("[{}]", shown.collect::<Vec<_>>().join(","))
}

fn counter_set(e: &mut Errors, set: &Node<'_>) {
    label_or_nothing(e, &set.get("name"));
    counters(e, &set.get("counters"));
}

fn counters(e: &mut Errors, counters: &Node<'_>) {
    if counters.is_empty() {
        return e.required(counters, "");
    }
    // Any amount will do.
    map(e, counters, (32, 63), label, |_, _| {});
}

const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

fn device(e: &mut Errors, old: Option<&Node<'_>>, device: &Node<'_>, by_device: bool) {
    label(e, &device.get("name"));
    let (attributes, capacity) = (device.get("attributes"), device.get("capacity"));
    let both = attributes.len() + capacity.len();
    if both > 32 {
        let detail = "the total number of attributes and capacities must not exceed 32";
        e.invalid_value(device, &both.into(), detail);
    }
    let values: usize = attributes
        .entries()
        .iter()
        .map(|(_, a)| LISTS.iter().map(|list| a.get(list).len()).sum::<usize>().max(1))
        .sum();
    if values > 48 {
        let detail = "the total number of attribute values must not exceed 48";
        e.invalid_value(device, &values.into(), detail);
    }
    map(e, &attributes, (NO_LIMIT, KEY), qualified_name, attribute);
    let many = device.get("allowMultipleAllocations").is_true();
    map(e, &capacity, (NO_LIMIT, KEY), qualified_name, |e, one| {
        let policy = one.get("requestPolicy");
        if policy.present() && many {
            request_policy(e, &one.get("value"), &policy);
        } else if policy.present() {
            e.forbidden(&policy, "allowMultipleAllocations must be true");
        }
    });
    let taints = device.get("taints");
    if old.is_none_or(|old| !same(old.get("taints").value(), taints.value())) {
        list(e, &taints, 16, taint);
    }
    set(
        e,
        &device.get("consumesCounters"),
        2,
        |e, one| {
            label_or_nothing(e, &one.get("counterSet"));
            counters(e, &one.get("counters"));
        },
        |one| text(&one.get("counterSet")),
    );
    where_device(e, device, by_device);
    binding(e, device);
}

fn where_device(e: &mut Errors, device: &Node<'_>, by_device: bool) {
    let (name, selector, all) = (
        device.get("nodeName"),
        device.get("nodeSelector"),
        device.get("allNodes"),
    );
    if !by_device {
        if name.present() || selector.present() || all.present() {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the \
                          ResourceSlice spec";
            e.invalid_raw(device, "null", detail);
        }
        return;
    }
    let mut given = Vec::new();
    if name.present() && name.is_empty() {
        e.invalid_text(&name, "", "must not be empty");
    } else if name.present() {
        given.push("`nodeName`");
        e.complaints(&name, is_dns1123_subdomain(name.text()));
    }
    if selector.present() {
        given.push("`nodeSelector`");
        pod::node_selector(e, &selector);
    }
    flag(e, &all, "`allNodes`", &mut given);
    let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in \
                  the ResourceSlice spec";
    match given.len() {
        0 => e.required(device, detail),
        1 => {}
        _ => e.invalid_text(device, &format!("{{{}}}", given.join(", ")), detail),
    }
}

fn attribute(e: &mut Errors, attribute: &Node<'_>) {
    let mut given = ["bool", "int"]
        .iter()
        .filter(|f| attribute.get(f).present())
        .count();
    for (field, check) in [
        ("string", short as fn(&mut Errors, &Node<'_>)),
        ("version", version),
    ] {
        let value = attribute.get(field);
        if value.present() {
            given += 1;
            check(e, &value);
        }
    }
    for field in LISTS {
        let values = attribute.get(field);
        if !values.present() {
            continue;
        }
        given += 1;
        if values.is_empty() {
            e.invalid(&values, "must not be empty if specified");
        }
        for value in values.items() {
            match field {
                "strings" => short(e, &value),
                "versions" => version(e, &value),
                _ => {}
            }
        }
    }
    match given {
        0 => e.invalid_text(attribute, "", "exactly one value must be specified"),
        1 => {}
        _ => {
            let shown = shown("DeviceAttribute", attribute.value());
            e.invalid_raw(attribute, &shown, "exactly one value must be specified");
        }
    }
}

fn short(e: &mut Errors, value: &Node<'_>) {
    if value.len() > 64 {
        e.too_long(value, 64);
    }
}

fn version(e: &mut Errors, value: &Node<'_>) {
    if !is_semver(value.text()) {
        let detail = "must be a string compatible with semver.org spec 2.0.0";
        e.invalid_text(value, value.text(), detail);
    }
    short(e, value);
}

fn is_semver(text: &str) -> bool {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, release) = match text.split_once('-') {
        Some((core, release)) => (core, Some(release)),
        None => (text, None),
    };
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let number = |part: &str| !part.is_empty() && digits(part) && (part == "0" || !part.starts_with('0'));
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|part| number(part))
        && release.is_none_or(|all| {
            all.split('.')
                .all(|part| plain(part) && (!digits(part) || number(part)))
        })
        && build.is_none_or(|all| all.split('.').all(plain))
}

/// How a capacity may be had in parts (`validateRequestPolicy`).
fn request_policy(e: &mut Errors, capacity: &Node<'_>, policy: &Node<'_>) {
    let (values, range, default) = (
        policy.get("validValues"),
        policy.get("validRange"),
        policy.get("default"),
    );
    let most = capacity.quantity().unwrap_or_default();
    match (!values.is_empty(), range.present(), default.quantity()) {
        (true, true, _) => e.forbidden(
            policy,
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        ),
        (true, false, None) => e.required(&default, "required when validValues is defined"),
        (true, false, Some(default)) => valid_values(e, &values, &default, &most),
        (false, true, None) => e.required(&default, "required when validRange is defined"),
        (false, true, Some(default)) => valid_range(e, &range, &default, &most),
        (false, false, _) => {}
    }
}

fn valid_values(e: &mut Errors, values: &Node<'_>, default: &Quantity, most: &Quantity) {
    let items = values.items();
    for pair in items.windows(2) {
        if let [one, next] = pair
            && one.quantity() > next.quantity()
        {
            e.invalid(next, "values must be sorted in ascending order");
        }
    }
    let check = |e: &mut Errors, option: &Node<'_>| {
        if option.quantity().is_some_and(|q| q > *most) {
            e.invalid(option, &format!("option is larger than capacity value: {most}"));
        }
    };
    let key = |option: &Node<'_>| Value::from(option.quantity().unwrap_or_default().value().to_string());
    set(e, values, 10, check, key);
    let found = values.len() <= 10
        && items
            .iter()
            .any(|option| option.quantity().as_ref() == Some(default));
    if !found {
        let detail = "default value is not valid according to the requestPolicy";
        e.invalid_text(values, &default.to_string(), detail);
    }
}

fn valid_range(e: &mut Errors, range: &Node<'_>, default: &Quantity, most: &Quantity) {
    let (low, high, step) = (range.get("min"), range.get("max"), range.get("step"));
    let Some(min) = low.quantity() else {
        return e.required(&low, "required when validRange is defined");
    };
    let mut wrong = |at: &Node<'_>, bad: bool, shown: &Quantity, detail: &str, than: &Quantity| {
        if bad {
            e.invalid_text(at, &shown.to_string(), &format!("{detail}: {than}"));
        }
    };
    wrong(&low, min > *most, &min, "min is larger than capacity value", most);
    wrong(&low, *default < min, default, "default is less than min", &min);
    let max = high.quantity();
    if let Some(max) = &max {
        wrong(&high, min > *max, &min, "min is larger than max", max);
        wrong(&high, max > most, max, "max is larger than capacity value", most);
        wrong(&high, default > max, default, "default is more than max", max);
    }
    let Some(by) = step.quantity() else { return };
    let added = min.add(&by);
    let detail = format!("one step {added} is larger than capacity value");
    wrong(&step, added > *most, &by, &detail, most);
    for value in [Some(default), max.as_ref()].into_iter().flatten() {
        let rest = value
            .value()
            .wrapping_sub(min.value())
            .checked_rem(by.value())
            .unwrap_or(0);
        if rest != 0 {
            let detail = format!("value is not a multiple of a given step ({by}) from ({min})");
            e.invalid_text(&step, &value.to_string(), &detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.2.3", "0.0.0", "1.2.3-alpha.1", "1.0.0-x-y+b.01", "1.0.0-0a"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in [
            "",
            "1.2",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3+",
            "v1.2.3",
            "1.2.3-a..b",
        ] {
            assert!(!is_semver(bad), "{bad}");
        }
    }
}
