//! Devices: what can be had, what is asked for and what was given (upstream `pkg/apis/resource/validation/validation.go`). Selectors in CEL are
//! not compiled here.
mod claim;
mod slice;
mod status;

use std::collections::HashSet;

use kube_types::{is_c_identifier, is_dns1123_label, is_dns1123_subdomain, is_label_value};
use serde_json::Value;

use crate::{
    csi::driver_name,
    field::{Errors, Node, same},
    meta, pod,
};

/// The rules of a new object of one of these kinds.
pub(crate) fn create(e: &mut Errors, kind: &str, object: &Node<'_>) {
    let spec = object.get("spec");
    match kind {
        "DeviceClass" => class(e, &spec),
        "ResourceClaim" => claim::spec(e, &spec),
        "ResourceClaimTemplate" => {
            meta::template(e, &spec.get("metadata"));
            claim::spec(e, &spec.get("spec"));
        }
        "ResourceSlice" => slice::spec(e, None, &spec),
        _ => {}
    }
}

/// The rules of a changed one; claims stay as they are.
pub(crate) fn update(e: &mut Errors, kind: &str, old: &Node<'_>, new: &Node<'_>) {
    let (before, spec) = (old.get("spec"), new.get("spec"));
    match kind {
        "DeviceClass" => class(e, &spec),
        "ResourceClaim" | "ResourceClaimTemplate" => {
            if kind == "ResourceClaimTemplate" {
                create(e, kind, new);
            }
            unchanged(e, &spec, &before, &format!("{kind}Spec"));
        }
        "ResourceSlice" => slice::spec(e, Some(&before), &spec),
        _ => {}
    }
}

pub(crate) use status::update as update_status;

/// `ValidateImmutableField` of one of this group's structs, which is shown as Go's internal type.
fn unchanged(e: &mut Errors, new: &Node<'_>, old: &Node<'_>, name: &str) {
    if !same(new.value(), old.value()) {
        e.invalid_raw(new, &shown(name, new.value()), "field is immutable");
    }
}

/// A struct of this group as messages show it.
fn shown(name: &str, value: &Value) -> String {
    schema::internal_compact(&format!("io.k8s.api.resource.v1.{name}"), value).unwrap_or_default()
}

fn class(e: &mut Errors, spec: &Node<'_>) {
    claim::selectors(e, &spec.get("selectors"));
    list(e, &spec.get("config"), 32, claim::configuration);
    let resource = spec.get("extendedResourceName");
    if resource.present() && !pod::is_extended(resource.text()) {
        e.invalid_text(
            &resource,
            resource.text(),
            "must be a valid extended resource name",
        );
    }
}

/// At most so many, each of them sound (`validateSlice`).
fn list(e: &mut Errors, list: &Node<'_>, most: usize, mut check: impl FnMut(&mut Errors, &Node<'_>)) {
    if list.len() > most {
        return e.too_many(list, most);
    }
    for item in list.items() {
        check(e, &item);
    }
}

/// At most so many, each of them sound and none twice (`validateSet`).
fn set(
    e: &mut Errors,
    all: &Node<'_>,
    most: usize,
    check: impl FnMut(&mut Errors, &Node<'_>),
    key: impl Fn(&Node<'_>) -> Value,
) {
    list(e, all, most, check);
    if all.len() > most {
        return;
    }
    let mut seen = HashSet::new();
    for item in all.items() {
        let key = key(&item);
        if !seen.insert(key.to_string()) {
            e.duplicate_value(&item, &key);
        }
    }
}

/// At most so many entries, keys and values sound (`validateMap`); long keys are shown in part.
fn map(
    e: &mut Errors,
    map: &Node<'_>,
    (most, longest): (usize, usize),
    key_check: impl Fn(&mut Errors, &Node<'_>),
    mut check: impl FnMut(&mut Errors, &Node<'_>),
) {
    if map.len() > most {
        return e.too_many(map, most);
    }
    for (key, item) in map.entries() {
        let named = Value::from(key);
        key_check(e, &map.holding(&named));
        check(
            e,
            &item.renamed(format!("{}[{}]", map.path(), shortened(key, longest))),
        );
    }
}

fn shortened(key: &str, longest: usize) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() <= longest {
        return key.to_owned();
    }
    let rest = longest - 3;
    let head: String = chars[..rest.div_ceil(2)].iter().collect();
    let tail: String = chars[chars.len() - rest / 2..].iter().collect();
    format!("{head}...{tail}")
}

/// A string, empty when it is not there.
fn text(node: &Node<'_>) -> Value {
    node.text().into()
}

/// The name of a request, of a device, of a counter.
fn label(e: &mut Errors, node: &Node<'_>) {
    e.complaints(node, is_dns1123_label(node.text()));
}

fn label_or_nothing(e: &mut Errors, node: &Node<'_>) {
    if node.is_empty() {
        e.required(node, "");
    } else {
        label(e, node);
    }
}

fn pool_name(e: &mut Errors, name: &Node<'_>) {
    if name.is_empty() {
        return e.required(name, "");
    }
    if name.len() > 253 {
        e.too_long(name, 253);
    }
    for part in name.text().split('/') {
        for complaint in is_dns1123_subdomain(part) {
            e.invalid_text(name, part, &complaint);
        }
    }
}

/// The name of an attribute or of a capacity, perhaps with a domain.
fn qualified_name(e: &mut Errors, name: &Node<'_>) {
    let parts: Vec<&str> = name.text().split('/').collect();
    match parts[..] {
        [id] => identifier(e, name, id),
        [domain, id] => {
            if domain.is_empty() {
                e.invalid_text(name, "", "the domain must not be empty");
            } else {
                driver_name(e, &name.holding(&domain.into()));
            }
            if id.is_empty() {
                e.invalid_text(name, "", "the name must not be empty");
            } else {
                identifier(e, name, id);
            }
        }
        // Upstream lets more slashes pass.
        _ => {}
    }
}

fn fully_qualified_name(e: &mut Errors, name: &Node<'_>) {
    qualified_name(e, name);
    if !name.text().contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        e.invalid_text(name, name.text(), detail);
    }
}

fn identifier(e: &mut Errors, at: &Node<'_>, id: &str) {
    if id.len() > 32 {
        e.too_long(at, 32);
    }
    for complaint in is_c_identifier(id) {
        e.invalid_text(at, id, &complaint);
    }
}

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

fn taint(e: &mut Errors, taint: &Node<'_>) {
    meta::label_name(e, &taint.get("key"));
    let value = taint.get("value");
    if !value.is_empty() {
        e.complaints(&value, is_label_value(value.text()));
    }
    e.one_of(&taint.get("effect"), &EFFECTS);
}

fn toleration(e: &mut Errors, toleration: &Node<'_>) {
    let (key, operator, value) = (
        toleration.get("key"),
        toleration.get("operator"),
        toleration.get("value"),
    );
    if !key.is_empty() {
        meta::label_name(e, &key);
    }
    match operator.text() {
        "Exists" if !value.is_empty() => e.invalid(&value, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => e.complaints(&value, is_label_value(value.text())),
        "" => e.required(&operator, ""),
        _ => e.unsupported(&operator, &["Equal", "Exists"]),
    }
    let effect = toleration.get("effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect.text()) {
        e.unsupported(&effect, &EFFECTS);
    }
}

/// What must and what must not become true before a pod is bound (`validateDeviceBindingParameters`).
fn binding(e: &mut Errors, of: &Node<'_>) {
    let (wanted, failures) = (of.get("bindingConditions"), of.get("bindingFailureConditions"));
    for conditions in [&wanted, &failures] {
        list(e, conditions, 4, meta::label_name);
    }
    let (mut wants, mut fails) = (HashSet::new(), HashSet::new());
    for condition in wanted.items() {
        if !wants.insert(condition.text()) {
            e.duplicate(&condition);
        }
    }
    for condition in failures.items() {
        if !fails.insert(condition.text()) {
            e.duplicate(&condition);
        }
        if wants.contains(condition.text()) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            e.invalid(&condition, detail);
        }
    }
    if wanted.is_empty() && !failures.is_empty() {
        e.invalid(
            &wanted,
            "bindingConditions are required to use bindingFailureConditions",
        );
    }
    if failures.is_empty() && !wanted.is_empty() {
        e.invalid(
            &failures,
            "bindingFailureConditions are required to use bindingConditions",
        );
    }
}
