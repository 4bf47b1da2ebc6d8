//! Persistent volumes, claims and storage classes.
use std::collections::{BTreeMap, BTreeSet};

use kube_types::{Quantity, is_dns1123_subdomain, is_qualified_name};
use serde_json::Value;

use crate::{
    field::{Errors, Node, same, show},
    meta, pod, volume_plugins,
};

const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

fn access_modes(e: &mut Errors, modes: &Node<'_>) {
    let (mut alone, mut others) = (false, false);
    for mode in modes.items() {
        let known = ACCESS_MODES.contains(&mode.text());
        if !known {
            e.unsupported_value(modes, mode.value(), &ACCESS_MODES);
        }
        if mode.text() == "ReadWriteOncePod" {
            alone = true;
        } else {
            others |= known;
        }
    }
    if alone && others {
        e.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

fn positive(e: &mut Errors, node: &Node<'_>) {
    if let Some(quantity) = node.quantity().filter(|q| q.sign() <= 0) {
        e.invalid_text(node, &quantity.to_string(), "must be greater than zero");
    }
}

/// The spec of a claim (also of one in a template).
pub(crate) fn claim_spec(e: &mut Errors, spec: &Node<'_>) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        e.required(&modes, "at least 1 access mode is required");
    }
    meta::selector(e, &spec.get("selector"));
    access_modes(e, &modes);
    // Upstream's path leaves out `requests`.
    let shown = spec.get("resources").key("storage");
    let storage = spec
        .at(&["resources", "requests", "storage"])
        .renamed(shown.path());
    if storage.present() {
        positive(e, &storage);
    } else {
        e.required(&storage, "");
    }
    let class = spec.get("storageClassName");
    if !class.is_empty() {
        e.complaints(&class, is_dns1123_subdomain(class.text()));
    }
    e.maybe_one_of(&spec.get("volumeMode"), &VOLUME_MODES);
    for source in ["dataSource", "dataSourceRef"] {
        let source = spec.get(source);
        if source.present() {
            for field in ["name", "kind"] {
                if source.get(field).is_empty() {
                    e.required(&source.get(field), "");
                }
            }
            if source.get("apiGroup").is_empty() && source.get("kind").text() != "PersistentVolumeClaim" {
                let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
                e.invalid_value(&source, source.value(), detail);
            }
        }
    }
}

fn size<'a>(claim: &Node<'a>) -> Node<'a> {
    claim.at(&["spec", "resources", "requests", "storage"])
}

/// What of a claim may change: the volume's name once, and the size of a bound claim.
pub(crate) fn claim_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let bound = new.at(&["status", "phase"]).text() == "Bound";
    let (old_spec, new_spec) = (old.get("spec"), new.get("spec"));
    let mut munged = new_spec.value().clone();
    if let Some(spec) = munged.as_object_mut() {
        let mut take = |field: &str| match old_spec.get(field).value() {
            Value::Null => drop(spec.remove(field)),
            value => drop(spec.insert(field.to_owned(), value.clone())),
        };
        if old_spec.get("volumeName").is_empty() {
            take("volumeName");
        }
        if !old_spec.get("storageClassName").present() {
            take("storageClassName");
        }
        if bound {
            take("volumeAttributesClassName");
        }
    }
    if bound
        && let Some(requests) = munged
            .pointer_mut("/resources/requests")
            .and_then(Value::as_object_mut)
    {
        requests.insert("storage".to_owned(), size(old).value().clone());
    }
    if !same(&munged, old_spec.value()) {
        let definition = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
        let diff = schema::internal_diff(definition, old_spec.value(), &munged).unwrap_or_default();
        e.forbidden(
            &new_spec,
            &format!(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{diff}"
            ),
        );
    }
    let zero = Quantity::default();
    let capacity = old
        .at(&["status", "capacity", "storage"])
        .quantity()
        .unwrap_or_default();
    let (now, before) = (
        size(new).quantity().unwrap_or_default(),
        size(old).quantity().unwrap_or(zero),
    );
    if now < before && now <= capacity {
        e.forbidden(&size(new), "field can not be less than status.capacity");
    }
    e.immutable(
        &new_spec.get("volumeMode").renamed("volumeMode"),
        &old_spec.get("volumeMode"),
    );
}

/// Where a volume may come from.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

pub(crate) fn volume(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (modes, capacity) = (spec.get("accessModes"), spec.get("capacity"));
    if modes.is_empty() {
        e.required(&modes, "");
    }
    access_modes(e, &modes);
    if capacity.is_empty() {
        e.required(&capacity, "");
    }
    if !capacity.key("storage").present() || capacity.len() > 1 {
        e.unsupported_raw(&capacity, &show(capacity.value()), &["storage"]);
    }
    for (_, quantity) in capacity.entries() {
        if let Some(negative) = quantity.quantity().filter(|q| q.value() < 0) {
            let shown = negative.value().to_string();
            e.invalid_raw(&quantity, &shown, "must be a valid resource quantity");
        }
        positive(e, &quantity);
    }
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        e.maybe_one_of(&policy, &["Delete", "Recycle", "Retain"]);
    }
    let affinity = spec.at(&["nodeAffinity", "required"]);
    if spec.get("nodeAffinity").present() {
        if affinity.present() {
            pod::node_selector(e, &affinity);
        } else {
            e.required(&affinity, "must specify required node constraints");
        }
    }
    let mut found = 0;
    for kind in SOURCES {
        let source = spec.get(kind);
        if !source.present() {
            continue;
        }
        found += 1;
        // Upstream counts this one and does not mind.
        if found > 1 && kind != "flexVolume" {
            let source = volume_plugins::surplus(&source, kind);
            e.forbidden(&source, "may not specify more than 1 volume type");
            continue;
        }
        match kind {
            "hostPath" => pod::host_path(e, &source),
            "nfs" => pod::nfs(e, &source),
            "csi" => volume_plugins::driver(e, &source),
            "local" => {
                let path = source.get("path");
                if path.is_empty() {
                    e.required(&path, "");
                } else {
                    pod::no_backsteps(e, &path);
                }
                if !affinity.present() {
                    e.required(&spec.get("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            _ => volume_plugins::check(e, kind, &source),
        }
    }
    if found == 0 {
        e.required(&spec, "must specify a volume type");
    }
    let root = spec.at(&["hostPath", "path"]).text().trim_matches('/').is_empty();
    if spec.get("hostPath").present() && root && policy.text() == "Recycle" {
        e.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = spec.get("storageClassName");
    if !class.is_empty() {
        e.complaints(&class, is_dns1123_subdomain(class.text()));
    }
    e.maybe_one_of(&spec.get("volumeMode"), &VOLUME_MODES);
}

pub(crate) fn volume_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (old, new) = (old.get("spec"), new.get("spec"));
    if SOURCES
        .iter()
        .any(|kind| !same(old.get(kind).value(), new.get(kind).value()))
    {
        let source = new.renamed("spec.persistentvolumesource");
        let definition = "io.k8s.api.core.v1.PersistentVolumeSource";
        let diff = schema::internal_diff(definition, old.value(), new.value()).unwrap_or_default();
        e.forbidden(
            &source,
            &format!("spec.persistentvolumesource is immutable after creation\n{diff}"),
        );
    }
    e.immutable(
        &new.get("volumeMode").renamed("volumeMode"),
        &old.get("volumeMode"),
    );
    if old.get("nodeAffinity").present() {
        e.immutable(
            &new.get("nodeAffinity").renamed("nodeAffinity"),
            &old.get("nodeAffinity"),
        );
    }
}

pub(crate) fn class(e: &mut Errors, object: &Node<'_>) {
    provisioner(e, &object.get("provisioner"));
    let parameters = object.get("parameters");
    let size: usize = parameters
        .entries()
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if parameters.len() > 512 {
        e.too_long(&parameters, 512);
    } else if size > 256 << 10 {
        e.too_long(&parameters, 256 << 10);
    }
    let policy = object.get("reclaimPolicy");
    if !policy.is_empty() {
        e.maybe_one_of(&policy, &["Delete", "Retain"]);
    }
    let mode = object.get("volumeBindingMode");
    if mode.present() {
        e.maybe_one_of(&mode, &["Immediate", "WaitForFirstConsumer"]);
    } else {
        e.required(&mode, "");
    }
    topologies(e, &object.get("allowedTopologies"));
}

/// The name of who makes volumes (`validateProvisioner`).
pub(crate) fn provisioner(e: &mut Errors, name: &Node<'_>) {
    if name.is_empty() {
        return e.required(name, "");
    }
    let lower = name.text().to_lowercase();
    for complaint in is_qualified_name(&lower) {
        e.invalid_text(name, &lower, &complaint);
    }
}

/// Where volumes of a class may be (`validateAllowedTopologies`): no two terms say the same, and none says nothing.
fn topologies(e: &mut Errors, terms: &Node<'_>) {
    let mut seen: Vec<BTreeMap<String, BTreeSet<String>>> = vec![BTreeMap::new()];
    for term in terms.items() {
        let expressions = term.get("matchLabelExpressions");
        let mut said = BTreeMap::new();
        for expression in expressions.items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            if values.is_empty() {
                e.required(&values, "");
            }
            let mut own = BTreeSet::new();
            for value in values.items() {
                if !own.insert(value.text().to_owned()) {
                    e.duplicate_value(&value, &value.text().into());
                }
            }
            for complaint in is_qualified_name(key.text()) {
                e.invalid_text(&key, key.text(), &complaint);
            }
            if said.insert(key.text().to_owned(), own).is_some() {
                e.duplicate_value(&key, &key.text().into());
            }
        }
        if seen.contains(&said) {
            e.duplicate_value(&expressions, &"".into());
        }
        seen.push(said);
    }
}
