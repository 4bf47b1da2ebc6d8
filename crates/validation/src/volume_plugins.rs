//! Sources of volumes that other machines serve, of pods and of persistent volumes alike (`validateVolumeSource` and
//! `ValidatePersistentVolumeSpec` in pkg/apis/core/validation/validation.go, 1.36). Nothing here mounts them.
use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use crate::{
    csi::driver_name,
    field::{Errors, Node},
    pod,
};

const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
/// 0 is allowed all the same.
const PARTITION: &str = "must be between 1 and 255, inclusive";
const OUTSIDE: &str = "must be valid format starting with iqn, eui, or naa";
const BYTE: &str = "must be between 0 and 255, inclusive";

/// Fields that a source must have.
const NEEDED: [(&str, &[&str]); 16] = [
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("storageos", &["volumeName"]),
];

/// How upstream names a source that is one too many; some of its names have a slip.
pub(crate) fn surplus<'a>(source: &Node<'a>, kind: &str) -> Node<'a> {
    let written = match kind {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        _ => return source.clone(),
    };
    let path = source.path();
    source.renamed(format!("{}{written}", &path[..path.len() - kind.len()]))
}

/// What is wrong with a source of a persistent volume, whose secrets may be in any namespace.
pub(crate) fn persistent(e: &mut Errors, kind: &str, source: &Node<'_>) {
    let before = e.count();
    check(e, kind, source);
    if kind == "iscsi" {
        e.reworded(before, OUTSIDE, "must be valid format");
    }
    let namespace = |field: &str| source.get(field);
    match kind {
        "cinder" | "storageos" => {
            let secret = source.get("secretRef");
            if secret.present() && secret.get("namespace").is_empty() {
                e.required(&secret.get("namespace"), "");
            }
        }
        "azureFile" if namespace("secretNamespace").present() && namespace("secretNamespace").is_empty() => {
            e.required(&namespace("secretNamespace"), "");
        }
        "glusterfs" if namespace("endpointsNamespace").present() => {
            let node = namespace("endpointsNamespace");
            if node.is_empty() {
                let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                e.invalid_text(&node, "", detail);
            } else {
                e.complaints(&node, is_dns1123_label(node.text()));
            }
        }
        _ => {}
    }
}

/// What is wrong with a source of one of these kinds.
pub(crate) fn check(e: &mut Errors, kind: &str, source: &Node<'_>) {
    // Upstream calls this one `persistentDisk` where it looks inside.
    let source = &if kind == "gcePersistentDisk" {
        let path = source.path();
        source.renamed(format!("{}persistentDisk", &path[..path.len() - kind.len()]))
    } else {
        source.clone()
    };
    let needed = NEEDED.iter().find(|(name, _)| *name == kind);
    for field in needed.into_iter().flat_map(|(_, fields)| *fields) {
        if source.get(field).is_empty() {
            e.required(&source.get(field), "");
        }
    }
    match kind {
        "gitRepo" => pod::descending(e, &source.get("directory")),
        "gcePersistentDisk" | "awsElasticBlockStore" => byte(e, &source.get("partition"), PARTITION),
        "flocker" => flocker(e, source),
        "quobyte" => quobyte(e, source),
        "iscsi" => iscsi(e, source),
        "fc" => fibre_channel(e, source),
        "flexVolume" => flex(e, source),
        "azureDisk" => azure_disk(e, source),
        "storageos" => {
            for field in ["volumeName", "volumeNamespace"] {
                let field = source.get(field);
                if !field.is_empty() {
                    e.complaints(&field, is_dns1123_label(field.text()));
                }
            }
            secret(e, source);
        }
        "cinder" => secret(e, source),
        _ => {}
    }
}

/// What is wrong with the source of a persistent volume that a driver serves.
pub(crate) fn driver(e: &mut Errors, source: &Node<'_>) {
    driver_name(e, &source.get("driver"));
    if source.get("volumeHandle").is_empty() {
        e.required(&source.get("volumeHandle"), "");
    }
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let secret = source.get(field);
        if !secret.present() {
            continue;
        }
        let parts = [
            ("name", is_dns1123_subdomain as fn(&str) -> Vec<String>),
            ("namespace", is_dns1123_label),
        ];
        for (part, check) in parts {
            let node = secret.get(part);
            if node.is_empty() {
                e.required(&node, "");
            } else {
                e.complaints(&node, check(node.text()));
            }
        }
    }
}

fn byte(e: &mut Errors, number: &Node<'_>, detail: &str) {
    if number.int().is_some_and(|n| !(0..=255).contains(&n)) {
        e.invalid(number, detail);
    }
}

fn secret(e: &mut Errors, source: &Node<'_>) {
    let secret = source.get("secretRef");
    if secret.present() && secret.get("name").is_empty() {
        e.required(&secret.get("name"), "");
    }
}

fn flocker(e: &mut Errors, source: &Node<'_>) {
    let (name, uuid) = (source.get("datasetName"), source.get("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => e.required(source, "one of datasetName and datasetUUID is required"),
        (false, false) => e.invalid_text(
            source,
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        ),
        _ => {}
    }
    if name.text().contains('/') {
        e.invalid(&name, "must not contain '/'");
    }
}

fn quobyte(e: &mut Errors, source: &Node<'_>) {
    let (registry, tenant) = (source.get("registry"), source.get("tenant"));
    if registry.is_empty() {
        e.required(&registry, PAIRS);
    } else if tenant.len() >= 65 {
        e.required(
            &tenant,
            "must be a UUID and may not exceed a length of 64 characters",
        );
    } else {
        for pair in registry.text().split(',') {
            let sound = pair.rsplit_once(':').is_some_and(|(host, port)| {
                let bracketed = host.starts_with('[') && host.ends_with(']');
                !port.contains(']') && (bracketed || !host.contains(':'))
            });
            if !sound {
                e.invalid(&registry, PAIRS);
            }
        }
    }
    if source.get("volume").is_empty() {
        e.required(&source.get("volume"), "");
    }
}

fn iscsi(e: &mut Errors, source: &Node<'_>) {
    let iqn = source.get("iqn");
    if !iqn.is_empty() {
        initiator(e, &iqn);
    }
    byte(e, &source.get("lun"), BYTE);
    let asks = source.get("chapAuthDiscovery").is_true() || source.get("chapAuthSession").is_true();
    if asks && !source.get("secretRef").present() {
        e.required(&source.get("secretRef"), "");
    }
    let name = source.get("initiatorName");
    if name.present() {
        initiator(e, &name.renamed(format!("{}.initiatorname", source.path())));
    }
}

fn initiator(e: &mut Errors, name: &Node<'_>) {
    let text = name.text();
    let numbered = |rest: &str, count: usize| {
        // Any one character stands between.
        let mut rest = rest.chars();
        rest.next().is_some() && rest.clone().count() == count && rest.all(|c| c.is_ascii_alphanumeric())
    };
    let sound = if let Some(rest) = text.strip_prefix("eui") {
        numbered(rest, 16)
    } else if let Some(rest) = text.strip_prefix("naa") {
        numbered(rest, 32)
    } else if let Some(rest) = text.strip_prefix("iqn") {
        is_dated(rest)
    } else {
        return e.invalid(name, OUTSIDE);
    };
    if !sound {
        e.invalid(name, "must be valid format");
    }
}

/// `.2014-12.com.example:storage.disk1`, all of a name after its `iqn`.
fn is_dated(rest: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let Some((date, rest)) = rest.strip_prefix('.').and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let Some((authority, name)) = rest.split_once(':') else {
        return false;
    };
    let dated = date
        .split_once('-')
        .is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let owned = !authority.is_empty()
        && authority
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    dated && owned && !name.is_empty() && !name.contains(|c: char| ",;*&$|".contains(c) || c.is_whitespace())
}

fn fibre_channel(e: &mut Errors, source: &Node<'_>) {
    let (targets, wwids, lun) = (source.get("targetWWNs"), source.get("wwids"), source.get("lun"));
    match (targets.is_empty(), wwids.is_empty()) {
        (true, true) => e.required(&targets, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => e.invalid(
            &targets,
            "targetWWNs and wwids can not be specified simultaneously",
        ),
        _ => {}
    }
    if !targets.is_empty() {
        if lun.present() {
            byte(e, &lun, BYTE);
        } else {
            e.required(&lun, "lun is required if targetWWNs is specified");
        }
    }
}

fn flex(e: &mut Errors, source: &Node<'_>) {
    let options = source.get("options");
    for (key, _) in options.entries() {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let namespace = format!(".{}", namespace.to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            e.invalid_text(&options.key(key), key, detail);
        }
    }
}

fn azure_disk(e: &mut Errors, source: &Node<'_>) {
    let (uri, kind) = (source.get("diskURI"), source.get("kind"));
    e.maybe_one_of(&source.get("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    e.maybe_one_of(&kind, &["Dedicated", "Managed", "Shared"]);
    if !kind.present() {
        return;
    }
    let (prefix, form) = if kind.text() == "Managed" {
        (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        )
    } else {
        (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        )
    };
    if !uri.text().starts_with(prefix) {
        e.unsupported(&uri, &[form]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults(kind: &str, source: Value) -> Vec<String> {
        let (volume, mut errors) = (json!({ kind: source }), Errors::default());
        check(&mut errors, kind, &Node::root(&volume).get(kind));
        crate::tests::told(errors.finish())
    }

    #[test]
    fn as_upstream_answered() {
        assert_eq!(
            faults("iscsi", json!({"iqn": "new", "lun": 300, "targetPortal": "new"})),
            [
                "iscsi.iqn: Invalid value: \"new\": must be valid format starting with iqn, eui, or naa",
                "iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive",
            ]
        );
        assert_eq!(
            faults("quobyte", json!({"registry": "new", "volume": "new"})),
            [
                "quobyte.registry: Invalid value: \"new\": must be a host:port pair or multiple pairs separated by commas"
            ]
        );
        assert_eq!(
            faults(
                "azureDisk",
                json!({"diskName": "n", "diskURI": "new", "kind": "Shared"})
            ),
            [
                "azureDisk.diskURI: Unsupported value: \"new\": supported values: \
             \"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd\""
            ]
        );
        assert_eq!(
            faults("fc", json!({})),
            ["fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]
        );
        assert_eq!(
            faults("flocker", json!({})),
            ["flocker: Required value: one of datasetName and datasetUUID is required"]
        );
        assert_eq!(
            faults("storageos", json!({})),
            ["storageos.volumeName: Required value"]
        );
        assert_eq!(
            faults("gcePersistentDisk", json!({})),
            ["persistentDisk.pdName: Required value"]
        );
    }

    #[test]
    fn names_of_initiators() {
        let sound = |iqn: &str| faults("iscsi", json!({"iqn": iqn, "targetPortal": "p"})).is_empty();
        assert!(sound("iqn.2015-02.example.com:test"));
        assert!(sound("eui.0123456789ABCDEF") && sound("naa.62004567BA64678D0123456789ABCDEF"));
        for bad in [
            "iqn.2015-2.example.com:test",
            "iqn.2015-02.example.com",
            "eui.0123",
            "naa.6",
            "iqn.2015-02.a:b c",
        ] {
            assert!(!sound(bad), "{bad}");
        }
    }
}
