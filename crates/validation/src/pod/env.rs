//! Environment variables.
use kube_types::{
    is_config_map_key, is_dns1123_label, is_dns1123_subdomain, is_qualified_name, is_relaxed_env_var_name,
};

use super::{all_containers, resources, volumes};
use crate::field::{Errors, Node};

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn env(e: &mut Errors, list: &Node<'_>) {
    for variable in list.items() {
        let name = variable.get("name");
        if name.is_empty() {
            e.required(&name, "");
        } else {
            e.complaints(&name, is_relaxed_env_var_name(name.text()));
        }
        value_from(e, &variable);
    }
}

fn value_from(e: &mut Errors, variable: &Node<'_>) {
    let from = variable.get("valueFrom");
    if !from.present() {
        return;
    }
    let mut sources = 0;
    if from.get("fieldRef").present() {
        sources += 1;
        field_ref(e, &from.get("fieldRef"), &ENV_FIELDS);
    }
    if from.get("resourceFieldRef").present() {
        sources += 1;
        resources::field_ref(e, &from.get("resourceFieldRef"), false);
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        let reference = from.get(field);
        if reference.present() {
            sources += 1;
            let (name, key) = (reference.get("name"), reference.get("key"));
            for complaint in is_dns1123_subdomain(name.text()) {
                e.invalid_text(&name, name.text(), &complaint);
            }
            if key.is_empty() {
                e.required(&key, "");
            } else {
                e.complaints(&key, is_config_map_key(key.text()));
            }
        }
    }
    if from.get("fileKeyRef").present() {
        sources += 1;
        file_key(e, &from.get("fileKeyRef"));
    }
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        e.invalid_text(&from, "", detail);
    } else if !variable.get("value").is_empty() {
        e.invalid_text(&from, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        e.invalid_text(&from, "", "may not have more than one field specified at a time");
    }
}

fn file_key(e: &mut Errors, reference: &Node<'_>) {
    let (key, volume, path) = (
        reference.get("key"),
        reference.get("volumeName"),
        reference.get("path"),
    );
    if key.is_empty() {
        e.required(&key, "");
    } else {
        e.complaints(&key, is_relaxed_env_var_name(key.text()));
    }
    if volume.is_empty() {
        e.required(&volume, "");
    } else {
        e.complaints(&volume, is_dns1123_label(volume.text()));
    }
    if path.is_empty() {
        e.required(&path, "");
    } else {
        volumes::no_backsteps(e, &path);
    }
}

/// Files with variables lie in volumes that the pod itself fills (validateFileKeyRefVolumes).
pub(super) fn file_volumes(e: &mut Errors, spec: &Node<'_>) {
    let volumes = spec.get("volumes").items();
    for container in all_containers(spec) {
        for variable in container.get("env").items() {
            let reference = variable.at(&["valueFrom", "fileKeyRef"]);
            if !reference.present() {
                continue;
            }
            let name = reference.get("volumeName");
            match volumes.iter().rfind(|v| v.get("name").text() == name.text()) {
                None => e.not_found(&name.holding(&name.text().into())),
                Some(volume) if !volume.get("emptyDir").present() => {
                    e.invalid_text(&name, name.text(), "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}

pub(super) fn env_from(e: &mut Errors, list: &Node<'_>) {
    for source in list.items() {
        let prefix = source.get("prefix");
        if !prefix.is_empty() {
            e.complaints(&prefix, is_relaxed_env_var_name(prefix.text()));
        }
        let mut sources = 0;
        for field in ["configMapRef", "secretRef"] {
            if source.get(field).present() {
                sources += 1;
                let name = source.at(&[field, "name"]);
                if name.is_empty() {
                    e.required(&name, "");
                } else {
                    e.complaints(&name, is_dns1123_subdomain(name.text()));
                }
            }
        }
        match sources {
            0 => e.invalid_text(list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid_text(list, "", "may not have more than one field specified at a time"),
        }
    }
}

/// A reference to one of the pod's own fields.
pub(super) fn field_ref(e: &mut Errors, reference: &Node<'_>, allowed: &[&str]) {
    let (api_version, path) = (reference.get("apiVersion"), reference.get("fieldPath"));
    if api_version.is_empty() {
        return e.required(&api_version, "");
    }
    if path.is_empty() {
        return e.required(&path, "");
    }
    if api_version.text() != "v1" {
        let why = format!(
            "error converting fieldPath: unsupported pod version: {}",
            api_version.text()
        );
        return e.invalid(&path, &why);
    }
    if let Some((map, key)) = path.text().strip_suffix("']").and_then(|p| p.split_once("['")) {
        let key = match map {
            "metadata.annotations" => key.to_lowercase(),
            "metadata.labels" => key.to_owned(),
            _ => return e.invalid_text(&path, path.text(), &unknown(path.text())),
        };
        for complaint in is_qualified_name(&key) {
            e.invalid_text(reference, &key, &complaint);
        }
    } else if !is_field(path.text()) {
        e.invalid(&path, &unknown(path.text()));
    } else if !allowed.contains(&path.text()) {
        e.unsupported(&path, allowed);
    }
}

fn is_field(path: &str) -> bool {
    ENV_FIELDS.contains(&path)
        || matches!(
            path,
            "metadata.labels"
                | "metadata.annotations"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "status.phase"
                | "spec.host"
        )
}

fn unknown(path: &str) -> String {
    format!("error converting fieldPath: field label not supported: {path}")
}
