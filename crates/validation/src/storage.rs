//! Persistent volumes, claims and storage classes.
use std::collections::{BTreeMap, BTreeSet};

use kube_types::{Quantity, is_dns1123_label, is_dns1123_subdomain, is_qualified_name};
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
    spec_of_claim(e, spec, false);
}

/// The spec of a claim that was there before.
pub(crate) fn changed_claim_spec(e: &mut Errors, old: &Node<'_>, spec: &Node<'_>) {
    spec_of_claim(e, spec, has_group(old));
}

fn spec_of_claim(e: &mut Errors, spec: &Node<'_>, lenient: bool) {
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
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for source in [&source, &reference] {
        if source.present() {
            data_source(e, source, lenient);
        }
    }
    if source.present() && reference.present() {
        // Upstream shows a path that has no form in JSON.
        if !reference.get("namespace").is_empty() {
            let detail = "may not be specified when dataSourceRef.namespace is specified";
            e.invalid_raw(spec, "{}", detail);
        } else if ["apiGroup", "kind", "name"]
            .iter()
            .any(|field| source.get(field).value() != reference.get(field).value())
        {
            e.invalid_raw(spec, "{}", "must match dataSourceRef");
        }
    }
    let attributes = spec.get("volumeAttributesClassName");
    if !attributes.is_empty() {
        e.complaints(&attributes, is_dns1123_subdomain(attributes.text()));
    }
}

/// Whether a claim's source has a group, so that whatever group it gets is let pass (`allowInvalidAPIGroupInDataSourceOrRef`).
fn has_group(spec: &Node<'_>) -> bool {
    ["dataSource", "dataSourceRef"]
        .iter()
        .any(|source| spec.at(&[source, "apiGroup"]).present())
}

/// What a claim's volume is filled with (`validateDataSource`, `validateDataSourceRef`).
fn data_source(e: &mut Errors, source: &Node<'_>, lenient: bool) {
    for field in ["name", "kind"] {
        if source.get(field).is_empty() {
            e.required(&source.get(field), "");
        }
    }
    let (group, kind) = (source.get("apiGroup"), source.get("kind").text());
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        e.invalid_text(source, kind, detail);
    }
    if !group.is_empty() && !lenient {
        e.complaints(&group, is_dns1123_subdomain(group.text()));
    }
    let namespace = source.get("namespace");
    if !namespace.is_empty() {
        e.complaints(&namespace, is_dns1123_label(namespace.text()));
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
    let class = new_spec.get("volumeAttributesClassName");
    let applied = old.at(&["status", "currentVolumeAttributesClassName"]);
    if applied.present() && !same(class.value(), old_spec.get("volumeAttributesClassName").value()) {
        let to = |what: &str| {
            format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil")
        };
        if !class.present() {
            e.forbidden(&class, &to("nil"));
        } else if class.is_empty() {
            e.forbidden(&class, &to("empty string"));
        }
    }
}

/// What a claim's status may say (`ValidatePersistentVolumeClaimStatusUpdate`).
pub(crate) fn claim_status(e: &mut Errors, new: &Node<'_>) {
    if new.at(&["metadata", "resourceVersion"]).is_empty() {
        e.required(&new.get("resourceVersion"), "");
    }
    let modes = new.at(&["spec", "accessModes"]).renamed("Spec.accessModes");
    if modes.is_empty() {
        e.required(&modes, "");
    }
    let status = new.get("status");
    for (_, amount) in status.get("capacity").entries() {
        basic(e, &amount);
    }
    let states = status.get("allocatedResourceStatuses");
    for (key, state) in states.entries() {
        resource_key(e, &states, key);
        if !RESIZES.contains(&state.text()) {
            e.unsupported_value(&states, &key.into(), &RESIZES);
        }
    }
    let allocated = status.get("allocatedResources");
    for (key, amount) in allocated.entries() {
        let before = e.count();
        resource_key(e, &allocated, key);
        if e.count() == before {
            basic(e, &amount);
        }
    }
}

const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// What of a claim may be counted (`validatePersistentVolumeClaimResourceKey`).
fn resource_key(e: &mut Errors, at: &Node<'_>, key: &str) {
    let complaints = is_qualified_name(key);
    let native = !key.contains('/') || key.contains("kubernetes.io/");
    if complaints.is_empty() && native && key != "storage" {
        e.unsupported_value(at, &key.into(), &["storage"]);
    }
    for complaint in complaints {
        e.invalid_text(at, key, &complaint);
    }
}

fn basic(e: &mut Errors, amount: &Node<'_>) {
    if let Some(negative) = amount.quantity().filter(|q| q.value() < 0) {
        let shown = negative.value().to_string();
        e.invalid_raw(amount, &shown, "must be a valid resource quantity");
    }
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
    volume_spec(e, &object.get("spec"));
}

/// A volume that is attached without being an object of its own (`validateInlinePersistentVolumeSpec`).
pub(crate) fn inline_volume(e: &mut Errors, spec: &Node<'_>) {
    const ELSEWHERE: &str = "may not be specified in the context of inline volumes";
    let only = |node: &Node<'_>, value: &str, what: &str| {
        (!node.is_empty() && node.text() != value)
            .then(|| format!("{what} {value} in the context of inline volumes"))
    };
    for field in ["claimRef", "capacity"] {
        if spec.get(field).present() {
            e.forbidden(&spec.get(field), ELSEWHERE);
        }
    }
    let source = spec.get("csi");
    if !source.present() {
        e.required(&source, "has to be specified in the context of inline volumes");
    }
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        e.required(&modes, "");
    }
    access_modes(e, &modes);
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if let Some(detail) = only(&policy, "Retain", "may only be") {
        e.forbidden(&policy, &detail);
    }
    if spec.get("nodeAffinity").present() {
        e.forbidden(&spec.get("nodeAffinity"), ELSEWHERE);
    }
    sources(e, spec);
    if !spec.get("storageClassName").is_empty() {
        e.forbidden(&spec.get("storageClassName"), ELSEWHERE);
    }
    let mode = spec.get("volumeMode");
    if let Some(detail) = only(&mode, "Filesystem", "may not specify volumeMode other than") {
        e.forbidden(&mode, &detail);
    }
}

fn volume_spec(e: &mut Errors, spec: &Node<'_>) {
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
        basic(e, &quantity);
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
    sources(e, spec);
    let root = spec.at(&["hostPath", "path"]).text().trim_matches('/').is_empty();
    if spec.get("hostPath").present() && root && policy.text() == "Recycle" {
        e.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = spec.get("storageClassName");
    if !class.is_empty() {
        e.complaints(&class, is_dns1123_subdomain(class.text()));
    }
    e.maybe_one_of(&spec.get("volumeMode"), &VOLUME_MODES);
    let attributes = spec.get("volumeAttributesClassName");
    if !attributes.present() {
        return;
    }
    if attributes.is_empty() {
        e.required(&attributes, "an empty string is disallowed");
    } else {
        e.complaints(&attributes, is_dns1123_subdomain(attributes.text()));
    }
    if !spec.get("csi").present() {
        e.required(
            &spec.get("csi"),
            "has to be specified when using volumeAttributesClassName",
        );
    }
}

/// Exactly one source of a volume.
fn sources(e: &mut Errors, spec: &Node<'_>) {
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
                if !spec.get("nodeAffinity").present() {
                    e.required(&spec.get("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            _ => volume_plugins::persistent(e, kind, &source),
        }
    }
    if found == 0 {
        e.required(spec, "must specify a volume type");
    }
}

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// The annotation of old that only some kinds of volume had (`pkg/volume/validation/pv_validation.go`).
pub(crate) fn mount_options(e: &mut Errors, object: &Node<'_>) {
    const WITHOUT: [&str; 9] = [
        "csi",
        "fc",
        "flexVolume",
        "flocker",
        "hostPath",
        "local",
        "portworxVolume",
        "scaleIO",
        "storageos",
    ];
    let spec = object.get("spec");
    let mounts = SOURCES
        .iter()
        .any(|kind| !WITHOUT.contains(kind) && spec.get(kind).present());
    if !mounts && object.at(&["metadata", "annotations", MOUNT_OPTIONS]).present() {
        let at = object.at(&["metadata", "annotations", MOUNT_OPTIONS]);
        e.forbidden(&at, "may not specify mount options for this volume type");
    }
}

const EXPAND_SECRET: &str = "controllerExpandSecretRef";

pub(crate) fn volume_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (old, new) = (old.get("spec"), new.get("spec"));
    let affinity = new.get("nodeAffinity");
    let mut taken = new.value().clone();
    if old.get("csi").present()
        && !old.at(&["csi", EXPAND_SECRET]).present()
        && let Some(csi) = taken.get_mut("csi").and_then(Value::as_object_mut)
    {
        csi.remove(EXPAND_SECRET);
    }
    let new = new.holding(&taken);
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
    let had = old.get("nodeAffinity");
    let mut relabelled = had.value().clone();
    as_relabelled(&mut relabelled, affinity.value());
    if had.present() && !same(affinity.value(), &relabelled) {
        let shown = match affinity.value() {
            Value::Null => None,
            value => schema::internal_compact("io.k8s.api.core.v1.VolumeNodeAffinity", value),
        };
        e.invalid_raw(
            &affinity.renamed("nodeAffinity"),
            &shown.unwrap_or_else(|| "null".to_owned()),
            "field is immutable, except for updating from beta label to GA",
        );
    }
    let class = "volumeAttributesClassName";
    if old.get(class).present() && !new.get(class).present() {
        e.forbidden(&new.get(class), "update from non-nil value to nil is forbidden");
    }
}

/// Labels of nodes by their names before and after they were settled (`betaToGALabel`).
const SETTLED: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    (
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
];

/// The keys that the new requirements have settled names of take those.
fn as_relabelled(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => {
            old.iter_mut().zip(new).for_each(|(o, n)| as_relabelled(o, n))
        }
        (Value::Object(old), Value::Object(new)) => {
            for (field, value) in old {
                let Some(now) = new.get(field) else { continue };
                let settled = |(from, to): &(&str, &str)| *value == *from && *now == *to;
                if field == "key" && SETTLED.iter().any(settled) {
                    *value = now.clone();
                } else {
                    as_relabelled(value, now);
                }
            }
        }
        _ => {}
    }
}

/// What a class tells its driver (`validateParameters`).
pub(crate) fn parameters(e: &mut Errors, parameters: &Node<'_>) {
    const MOST: usize = 512;
    const LARGEST: usize = 256 << 10;
    if parameters.len() > MOST {
        return e.too_long(parameters, MOST);
    }
    let entries = parameters.entries();
    if entries.iter().any(|(key, _)| key.is_empty()) {
        e.invalid_text(parameters, "", "field can not be empty.");
    }
    let size: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > LARGEST {
        e.too_long(parameters, LARGEST);
    }
}

pub(crate) fn class(e: &mut Errors, object: &Node<'_>) {
    provisioner(e, &object.get("provisioner"));
    parameters(e, &object.get("parameters"));
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
