use serde_json::Value;

use super::{AGE, NAME, c};
use crate::cell::{NONE, UNKNOWN, UNSET, age, flag, list, name, text, text_or};
use crate::{Column, Printer};

pub(super) const NAMESPACE: Printer = Printer {
    columns: &[NAME, c!("Status" "string"), AGE],
    cells: |o, now| vec![name(o), text(o, "/status/phase").into(), age(o, now)],
};

pub(super) const NODE: Printer = Printer {
    columns: &[
        NAME,
        c!("Status" "string"),
        c!("Roles" "string"),
        AGE,
        c!("Version" "string"),
        c!(wide "Internal-IP" "string"),
        c!(wide "External-IP" "string"),
        c!(wide "OS-Image" "string"),
        c!(wide "Kernel-Version" "string"),
        c!(wide "Container-Runtime" "string"),
    ],
    cells: |o, now| {
        let ready = list(o, "/status/conditions")
            .iter()
            .find(|c| c["type"] == "Ready");
        let mut status = match ready.and_then(|c| c["status"].as_str()) {
            Some("True") => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        }
        .to_owned();
        if flag(o, "/spec/unschedulable") {
            status += ",SchedulingDisabled";
        }
        let address = |kind: &str| {
            let found = list(o, "/status/addresses").iter().find(|a| a["type"] == kind);
            found
                .and_then(|a| a["address"].as_str())
                .unwrap_or(NONE)
                .to_owned()
        };
        vec![
            name(o),
            status.into(),
            roles(o).into(),
            age(o, now),
            text(o, "/status/nodeInfo/kubeletVersion").into(),
            address("InternalIP").into(),
            address("ExternalIP").into(),
            text_or(o, "/status/nodeInfo/osImage", UNKNOWN).into(),
            kernel(o).into(),
            text_or(o, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN).into(),
        ]
    },
};

/// `ConvertToTable` of kube-aggregator's `pkg/registry/apiservice/etcd/etcd.go`.
pub(super) const API_SERVICE: Printer = Printer {
    columns: &[NAME, c!("Service" "string"), c!("Available" "string"), AGE],
    cells: |o, now| {
        let service = if o["spec"]["service"].is_object() {
            let part = |field: &str| text(o, &format!("/spec/service/{field}")).to_owned();
            format!("{}/{}", part("namespace"), part("name"))
        } else {
            "Local".to_owned()
        };
        let found = list(o, "/status/conditions")
            .iter()
            .find(|c| c["type"] == "Available");
        let part = |field: &str| found.and_then(|c| c[field].as_str()).unwrap_or_default();
        let available = match (part("status"), part("reason")) {
            ("", _) => "Unknown".to_owned(),
            ("True", _) | (_, "") => part("status").to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        };
        vec![name(o), service.into(), available.into(), age(o, now)]
    },
};

/// The version, and for what processor.
fn kernel(node: &Value) -> String {
    let version = text_or(node, "/status/nodeInfo/kernelVersion", UNKNOWN);
    match text(node, "/status/nodeInfo/architecture") {
        "" => version.to_owned(),
        architecture => format!("{version} ({architecture})"),
    }
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) if !role.is_empty() => Some(role),
                _ if key == "kubernetes.io/role" => value.as_str().filter(|v| !v.is_empty()),
                _ => None,
            },
        )
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        NONE.to_owned()
    } else {
        roles.join(",")
    }
}

/// `RWO,ROX`.
fn access_modes(modes: &[Value]) -> String {
    let short = |mode: &Value| {
        Some(match mode.as_str()? {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            _ => return None,
        })
    };
    let mut all: Vec<&str> = modes.iter().filter_map(short).collect();
    all.dedup();
    all.join(",")
}

pub(super) const VOLUME: Printer = Printer {
    columns: &[
        NAME,
        c!("Capacity" "string"),
        c!("Access Modes" "string"),
        c!("Reclaim Policy" "string"),
        c!("Status" "string"),
        c!("Claim" "string"),
        c!("StorageClass" "string"),
        c!("VolumeAttributesClass" "string"),
        c!("Reason" "string"),
        AGE,
        c!(wide "VolumeMode" "string"),
    ],
    cells: |o, now| {
        let claim = &o["spec"]["claimRef"];
        let claim = match claim["name"].as_str() {
            Some(claimed) => format!("{}/{claimed}", claim["namespace"].as_str().unwrap_or_default()),
            None => String::new(),
        };
        vec![
            name(o),
            text(o, "/spec/capacity/storage").into(),
            access_modes(list(o, "/spec/accessModes")).into(),
            text(o, "/spec/persistentVolumeReclaimPolicy").into(),
            status_or_terminating(o).into(),
            claim.into(),
            text(o, "/spec/storageClassName").into(),
            text_or(o, "/spec/volumeAttributesClassName", UNSET).into(),
            text(o, "/status/reason").into(),
            age(o, now),
            text_or(o, "/spec/volumeMode", UNSET).into(),
        ]
    },
};

fn status_or_terminating(o: &Value) -> &str {
    if o["metadata"]["deletionTimestamp"].is_null() {
        text(o, "/status/phase")
    } else {
        "Terminating"
    }
}

pub(super) const CLAIM: Printer = Printer {
    columns: &[
        NAME,
        c!("Status" "string"),
        c!("Volume" "string"),
        c!("Capacity" "string"),
        c!("Access Modes" "string"),
        c!("StorageClass" "string"),
        c!("VolumeAttributesClass" "string"),
        AGE,
        c!(wide "VolumeMode" "string"),
    ],
    cells: |o, now| {
        let bound = !text(o, "/spec/volumeName").is_empty();
        let modes = if bound {
            access_modes(list(o, "/status/accessModes"))
        } else {
            String::new()
        };
        let capacity = if bound {
            text(o, "/status/capacity/storage")
        } else {
            ""
        };
        vec![
            name(o),
            status_or_terminating(o).into(),
            text(o, "/spec/volumeName").into(),
            capacity.into(),
            modes.into(),
            text(o, "/spec/storageClassName").into(),
            text_or(o, "/spec/volumeAttributesClassName", UNSET).into(),
            age(o, now),
            text_or(o, "/spec/volumeMode", UNSET).into(),
        ]
    },
};

pub(super) const STORAGE_CLASS: Printer = Printer {
    columns: &[
        NAME,
        c!("Provisioner" "string"),
        c!("ReclaimPolicy" "string"),
        c!("VolumeBindingMode" "string"),
        c!("AllowVolumeExpansion" "string"),
        AGE,
    ],
    cells: |o, now| {
        let annotation = text(
            o,
            "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
        );
        let mark = if annotation == "true" { " (default)" } else { "" };
        vec![
            format!("{}{mark}", text(o, "/metadata/name")).into(),
            text(o, "/provisioner").into(),
            text_or(o, "/reclaimPolicy", "Delete").into(),
            text_or(o, "/volumeBindingMode", "Immediate").into(),
            flag(o, "/allowVolumeExpansion").into(),
            age(o, now),
        ]
    },
};

pub(super) const LEASE: Printer = Printer {
    columns: &[NAME, c!("Holder" "string"), AGE],
    cells: |o, now| vec![name(o), text(o, "/spec/holderIdentity").into(), age(o, now)],
};

pub(super) const BINDING: Printer = Printer {
    columns: &[
        NAME,
        c!("Role" "string"),
        AGE,
        c!(wide "Users" "string"),
        c!(wide "Groups" "string"),
        c!(wide "ServiceAccounts" "string"),
    ] as &[Column],
    cells: |o, now| {
        let subjects = |kind: &str| {
            let of_kind = list(o, "/subjects").iter().filter(|s| s["kind"] == kind);
            let named = of_kind.map(|s| {
                let named = s["name"].as_str().unwrap_or_default();
                match s["namespace"].as_str() {
                    Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{named}"),
                    _ => named.to_owned(),
                }
            });
            named.collect::<Vec<_>>().join(", ")
        };
        vec![
            name(o),
            format!("{}/{}", text(o, "/roleRef/kind"), text(o, "/roleRef/name")).into(),
            age(o, now),
            subjects("User").into(),
            subjects("Group").into(),
            subjects("ServiceAccount").into(),
        ]
    },
};
