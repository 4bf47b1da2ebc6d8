//! Drivers of storage: what they can, where they run, what they attach and how much is left (upstream `pkg/apis/storage/validation`).
use std::collections::HashSet;

use kube_types::{is_dns1123_subdomain, is_qualified_name};
use serde_json::Value;

use crate::{
    field::{Errors, Node, same, show},
    meta, storage,
};

/// The rules of a new object of one of these kinds.
pub(crate) fn create(e: &mut Errors, kind: &str, object: &Node<'_>) {
    match kind {
        "CSIDriver" => driver(e, &object.get("spec")),
        "CSINode" => storage_node(e, object),
        "CSIStorageCapacity" => capacity(e, object),
        "VolumeAttachment" => attachment(e, &object.get("spec")),
        _ => {}
    }
}

/// The rules of a changed one.
pub(crate) fn update(e: &mut Errors, kind: &str, old: &Node<'_>, new: &Node<'_>) {
    create(e, kind, new);
    match kind {
        "CSIDriver" => {
            let (old, new) = (old.get("spec"), new.get("spec"));
            e.immutable(
                &new.get("attachRequired").renamed("spec.attachedRequired"),
                &old.get("attachRequired"),
            );
            e.immutable(&new.get("volumeLifecycleModes"), &old.get("volumeLifecycleModes"));
        }
        "CSINode" => drivers_stay(e, old, new),
        "CSIStorageCapacity" => {
            for field in ["nodeTopology", "storageClassName"] {
                e.immutable(&new.get(field), &old.get(field));
            }
        }
        "VolumeAttachment" => {
            let spec = new.get("spec");
            if !same(spec.value(), old.get("spec").value()) {
                let definition = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
                let shown = schema::internal_compact(definition, spec.value()).unwrap_or_default();
                e.invalid_raw(&spec, &shown, "field is immutable");
            }
        }
        _ => {}
    }
}

fn capacity(e: &mut Errors, object: &Node<'_>) {
    meta::selector(e, &object.get("nodeTopology"));
    let (class, amount) = (object.get("storageClassName"), object.get("capacity"));
    for complaint in is_dns1123_subdomain(class.text()) {
        e.invalid_text(&class, class.text(), &complaint);
    }
    if let Some(negative) = amount.quantity().filter(|q| q.sign() < 0) {
        e.invalid_text(
            &amount,
            &negative.to_string(),
            "must be greater than or equal to 0",
        );
    }
}

/// A driver that stays on its node stays as it is, but for what may be attached (`ValidateCSINodeUpdate`).
fn drivers_stay(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let drivers = new.at(&["spec", "drivers"]);
    let fixed = |driver: &Node<'_>| ["nodeID", "topologyKeys"].map(|field| driver.get(field).value().clone());
    for before in old.at(&["spec", "drivers"]).items() {
        for now in drivers.items() {
            let name = now.get("name").text();
            let [id, keys] = fixed(&now);
            let [old_id, old_keys] = fixed(&before);
            if name == before.get("name").text() && !(same(&id, &old_id) && same(&keys, &old_keys)) {
                let text = |value: &Value| show(&value.as_str().unwrap_or_default().into());
                let shown = format!(
                    "{{\"Name\":{},\"NodeID\":{},\"TopologyKeys\":{},\"Allocatable\":null}}",
                    show(&name.into()),
                    text(&id),
                    show(&keys)
                );
                e.invalid_raw(&drivers, &shown, "field is immutable");
            }
        }
    }
}

/// The name of a driver of storage or of devices (`ValidateCSIDriverName`).
pub(crate) fn driver_name(e: &mut Errors, name: &Node<'_>) {
    if name.is_empty() {
        return e.required(name, "");
    }
    if name.len() > 63 {
        e.too_long(name, 63);
    }
    e.complaints(name, is_dns1123_subdomain(&name.text().to_lowercase()));
}

fn driver(e: &mut Errors, spec: &Node<'_>) {
    e.maybe_one_of(
        &spec.get("fsGroupPolicy"),
        &["File", "None", "ReadWriteOnceWithFSType"],
    );
    let requests = spec.get("tokenRequests").items();
    for (at, request) in requests.iter().enumerate() {
        let audience = request.get("audience");
        if requests[..at]
            .iter()
            .any(|other| other.get("audience").text() == audience.text())
        {
            e.duplicate_value(&audience, &audience.text().into());
            continue;
        }
        let seconds = request.get("expirationSeconds");
        if seconds.int().is_some_and(|s| s < 600) {
            e.invalid(&seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds.int().is_some_and(|s| s > 1 << 32) {
            e.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.items() {
        if !matches!(mode.text(), "Persistent" | "Ephemeral") {
            e.unsupported_value(&modes, mode.value(), &["Persistent", "Ephemeral"]);
        }
    }
    let period = spec.get("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|s| s < 10) {
        e.invalid(&period, "must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.get("serviceAccountTokenInSecrets");
    if in_secrets.present() && requests.is_empty() {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        e.invalid(&in_secrets, detail);
    }
}

fn storage_node(e: &mut Errors, object: &Node<'_>) {
    let drivers = object.at(&["spec", "drivers"]).items();
    for (at, driver) in drivers.iter().enumerate() {
        let name = driver.get("name");
        driver_name(e, &name);
        let id = driver.get("nodeID");
        if id.is_empty() {
            e.required(&id, "");
        }
        if id.len() > 256 {
            e.invalid(&id, "must be 256 characters or less");
        }
        e.non_negative(&driver.at(&["allocatable", "count"]));
        if drivers[..at]
            .iter()
            .any(|other| other.get("name").text() == name.text())
        {
            e.duplicate(&name);
        }
        let mut seen = HashSet::new();
        for key in driver.get("topologyKeys").items() {
            if key.is_empty() {
                e.required(driver, "");
            }
            if !seen.insert(key.text()) {
                e.duplicate_value(driver, key.value());
            }
            for complaint in is_qualified_name(key.text()) {
                e.invalid_text(driver, key.text(), &complaint);
            }
        }
    }
}

fn attachment(e: &mut Errors, spec: &Node<'_>) {
    driver_name(e, &spec.get("attacher"));
    let source = spec.get("source");
    let (inline, volume) = (source.get("inlineVolumeSpec"), source.get("persistentVolumeName"));
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.present(), volume.present()) {
        (false, false) => e.required(&source, detail),
        (true, true) => e.forbidden(&source, detail),
        (false, true) if volume.is_empty() => {
            e.required(&volume, "must specify non empty persistentVolumeName");
        }
        (true, false) => storage::inline_volume(e, &inline),
        _ => {}
    }
    let node = spec.get("nodeName");
    e.complaints(&node, is_dns1123_subdomain(node.text()));
    if volume.present() {
        e.complaints(&volume, is_dns1123_subdomain(volume.text()));
    }
}
