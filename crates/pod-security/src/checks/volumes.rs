//! What may be mounted (`policy/check_hostPathVolumes.go`, `check_restrictedVolumes.go`).
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    Violation,
    checks::Found,
    pod::{Pod, items, text},
    words,
};

const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// In the order in which upstream looks for them.
const RESTRICTED: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn has(volume: &Value, source: &str) -> bool {
    !volume[source].is_null()
}

fn name(volume: &Value) -> &str {
    text(&volume["name"])
}

pub(super) fn host_path(pod: Pod<'_>) -> Found {
    let bad: Vec<&str> = items(&pod.spec["volumes"])
        .iter()
        .filter(|volume| has(volume, "hostPath"))
        .map(name)
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!(
            "{} {}",
            words::plural(bad.len(), "volume", "volumes"),
            words::quoted(bad)
        ),
    })
}

pub(super) fn restricted(pod: Pod<'_>) -> Found {
    let bad: Vec<&Value> = items(&pod.spec["volumes"])
        .iter()
        .filter(|volume| !ALLOWED.iter().any(|source| has(volume, source)))
        .collect();
    let kinds: BTreeSet<&str> = bad
        .iter()
        .map(|volume| {
            let found = RESTRICTED.into_iter().find(|source| has(volume, source));
            found.unwrap_or("unknown")
        })
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            words::plural(bad.len(), "volume", "volumes"),
            words::quoted(bad.iter().map(|volume| name(volume))),
            words::plural(bad.len(), "uses", "use"),
            words::plural(kinds.len(), "restricted volume type", "restricted volume types"),
            words::quoted(kinds)
        ),
    })
}
