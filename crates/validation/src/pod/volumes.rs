//! Volumes.
use std::collections::{HashMap, HashSet};

use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use super::{env, resources};
use crate::{
    csi::driver_name,
    field::{Errors, Node},
    meta, storage, volume_plugins,
};

/// The pod's sound volumes by name.
pub(super) type Volumes<'a> = HashMap<&'a str, Node<'a>>;

const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
const BAD_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Sources in the order in which upstream looks for them.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// `pod` is the name of a pod; templates have none.
pub(super) fn volumes<'a>(e: &mut Errors, list: &Node<'a>, pod: Option<&str>) -> Volumes<'a> {
    let mut sound = Volumes::new();
    let of_pod = pod.filter(|name| !name.is_empty());
    let made: HashSet<String> = list
        .items()
        .iter()
        .filter(|volume| volume.get("ephemeral").present())
        .filter_map(|volume| Some(format!("{}-{}", of_pod?, volume.get("name").text())))
        .collect();
    for volume in list.items() {
        let before = e.count();
        source(e, &volume, pod);
        let name = volume.get("name");
        if name.is_empty() {
            e.required(&name, "");
        } else {
            e.complaints(&name, is_dns1123_label(name.text()));
        }
        if sound.contains_key(name.text()) {
            e.duplicate(&name);
        }
        let claim = volume.at(&["persistentVolumeClaim", "claimName"]);
        if e.count() == before {
            sound.insert(name.text(), volume);
        }
        if made.contains(claim.text()) {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            e.invalid(&claim, detail);
        }
    }
    sound
}

fn source(e: &mut Errors, volume: &Node<'_>, pod: Option<&str>) {
    let mut found = 0;
    for kind in SOURCES {
        let source = volume.get(kind);
        if !source.present() {
            continue;
        }
        found += 1;
        if found > 1 {
            let source = volume_plugins::surplus(&source, kind);
            e.forbidden(&source, "may not specify more than 1 volume type");
            continue;
        }
        match kind {
            "emptyDir" if source.get("sizeLimit").quantity().is_some_and(|q| q.sign() < 0) => {
                e.forbidden(
                    &source.get("sizeLimit"),
                    "SizeLimit field must be a valid resource quantity",
                );
            }
            "hostPath" => host_path(e, &source),
            "secret" => keyed(e, &source, "secretName"),
            "configMap" => keyed(e, &source, "name"),
            "persistentVolumeClaim" if source.get("claimName").is_empty() => {
                e.required(&source.get("claimName"), "");
            }
            "nfs" => nfs(e, &source),
            "downwardAPI" => {
                mode(e, &source.get("defaultMode"));
                for file in source.get("items").items() {
                    downward_file(e, &file.renamed(source.path()));
                }
            }
            "projected" => projected(e, &source),
            "csi" => {
                driver_name(e, &source.get("driver"));
                let secret = source.get("nodePublishSecretRef");
                let name = secret.get("name");
                if secret.present() && name.is_empty() {
                    e.required(&name, "");
                } else if secret.present() {
                    // Upstream's path leaves out the reference.
                    let shown = name.renamed(format!("{}.name", source.path()));
                    e.complaints(&shown, is_dns1123_subdomain(name.text()));
                }
            }
            "ephemeral" => {
                let template = source.get("volumeClaimTemplate");
                if template.present() {
                    meta::template(e, &template.get("metadata"));
                    storage::claim_spec(e, &template.get("spec"));
                } else {
                    e.required(&template, "");
                }
                let name = volume.get("name");
                if let Some(pod) = pod.filter(|pod| !pod.is_empty() && !name.is_empty()) {
                    let claim = format!("{pod}-{}", name.text());
                    for complaint in is_dns1123_subdomain(&claim) {
                        e.invalid(&name, &format!("PVC name {claim:?}: {complaint}"));
                    }
                }
            }
            "image" => {
                let reference = source.get("reference");
                if pod.is_some() && reference.is_empty() {
                    e.required(&reference, "");
                }
                e.one_of(&source.get("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
            }
            _ => volume_plugins::check(e, kind, &source),
        }
    }
    if found == 0 {
        e.required(volume, "must specify a volume type");
    }
}

/// A path on the node.
pub(crate) fn host_path(e: &mut Errors, source: &Node<'_>) {
    let path = source.get("path");
    if path.is_empty() {
        return e.required(&path, "");
    }
    no_backsteps(e, &path);
    e.maybe_one_of(&source.get("type"), &HOST_PATH_TYPES);
}

pub(crate) fn nfs(e: &mut Errors, source: &Node<'_>) {
    if source.get("server").is_empty() {
        e.required(&source.get("server"), "");
    }
    let path = source.get("path");
    if path.is_empty() {
        e.required(&path, "");
    }
    if !path.text().starts_with('/') {
        e.invalid_text(&path, path.text(), "must be an absolute path");
    }
}

fn keyed(e: &mut Errors, source: &Node<'_>, name: &str) {
    if source.get(name).is_empty() {
        e.required(&source.get(name), "");
    }
    mode(e, &source.get("defaultMode"));
    for item in source.get("items").items() {
        key_to_path(e, &item);
    }
}

fn key_to_path(e: &mut Errors, item: &Node<'_>) {
    for field in ["key", "path"] {
        if item.get(field).is_empty() {
            e.required(&item.get(field), "");
        }
    }
    not_reserved(e, &item.get("path"));
    mode(e, &item.get("mode"));
}

fn mode(e: &mut Errors, mode: &Node<'_>) {
    if mode.int().is_some_and(|n| !(0..=0o777).contains(&n)) {
        e.invalid(mode, BAD_MODE);
    }
}

fn downward_file(e: &mut Errors, file: &Node<'_>) {
    let path = file.get("path");
    if path.is_empty() {
        e.required(&path, "");
    }
    not_reserved(e, &path);
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    if field.present() {
        env::field_ref(e, &field, &VOLUME_FIELDS);
        if resource.present() {
            e.invalid_text(
                file,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if resource.present() {
        resources::field_ref(e, &resource, true);
    } else {
        e.required(file, "one of fieldRef and resourceFieldRef is required");
    }
    mode(e, &file.get("mode"));
}

fn projected(e: &mut Errors, projection: &Node<'_>) {
    mode(e, &projection.get("defaultMode"));
    let mut paths = HashSet::new();
    for source in projection.get("sources").items() {
        let mut kinds = 0;
        for kind in ["secret", "configMap"] {
            let part = source.get(kind);
            if part.present() {
                kinds += 1;
                if part.get("name").is_empty() {
                    e.required(&part.get("name"), "");
                }
                for item in part.get("items").items() {
                    key_to_path(e, &item);
                    let path = item.get("path").text();
                    if !path.is_empty() && !paths.insert(path) {
                        e.invalid_text(projection, part.get("name").text(), "conflicting duplicate paths");
                    }
                }
            }
        }
        let downward = source.get("downwardAPI");
        if downward.present() {
            kinds += 1;
            for file in downward.get("items").items() {
                downward_file(e, &file.renamed(downward.path()));
                let path = file.get("path").text();
                if !path.is_empty() && !paths.insert(path) {
                    e.invalid_text(projection, path, "conflicting duplicate paths");
                }
            }
        }
        let token = source.get("serviceAccountToken");
        if token.present() {
            kinds += 1;
            let seconds = token.get("expirationSeconds");
            match seconds.int().unwrap_or(0) {
                n if n < 600 => e.invalid_value(
                    &seconds,
                    &n.into(),
                    "may not specify a duration less than 10 minutes",
                ),
                n if n > 1 << 32 => {
                    e.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
                }
                _ => {}
            }
            let path = token.get("path").renamed(format!("{}.path", projection.path()));
            if path.is_empty() {
                e.required(&path, "");
            } else {
                not_reserved(e, &path);
            }
        }
        kinds += usize::from(source.get("clusterTrustBundle").present());
        kinds += usize::from(source.get("podCertificate").present());
        if kinds > 1 {
            e.forbidden(&source, "may not specify more than 1 volume type per source");
        }
    }
}

/// A relative path that stays below its start.
pub(crate) fn descending(e: &mut Errors, path: &Node<'_>) {
    if path.text().starts_with('/') {
        e.invalid(path, "must be a relative path");
    }
    no_backsteps(e, path);
}

pub(crate) fn no_backsteps(e: &mut Errors, path: &Node<'_>) {
    if path.text().split('/').any(|part| part == "..") {
        e.invalid(path, "must not contain '..'");
    }
}

fn not_reserved(e: &mut Errors, path: &Node<'_>) {
    descending(e, path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        e.invalid(path, "must not start with '..'");
    }
}
