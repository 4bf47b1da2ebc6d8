//! Containers and init containers.
use std::collections::HashSet;

use kube_types::{is_dns1123_label, is_port_name, is_port_number};
use serde_json::Value;

use super::{claims, env, probes, resources, security, volumes::Volumes};
use crate::field::{Errors, Node};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn regular(e: &mut Errors, spec: &Node<'_>, volumes: &Volumes<'_>) {
    let containers = spec.get("containers");
    if containers.is_empty() {
        return e.required(&containers, "");
    }
    let mut names = HashSet::new();
    for container in containers.items() {
        common(e, &container, spec, volumes);
        let name = container.get("name");
        if !names.insert(name.text()) {
            e.duplicate_value(&name, &name.text().into());
        }
        probes::lifecycle(e, &container.get("lifecycle"), spec);
        probes::all(e, &container, spec);
        restart_policy(e, &container);
    }
    host_ports(e, &containers.items());
}

pub(super) fn init(e: &mut Errors, spec: &Node<'_>, volumes: &Volumes<'_>) {
    let mut names: HashSet<_> = spec
        .get("containers")
        .items()
        .iter()
        .map(|c| c.get("name").text())
        .collect();
    for container in spec.get("initContainers").items() {
        common(e, &container, spec, volumes);
        init_restart_policy(e, &container);
        let name = container.get("name");
        if names.contains(name.text()) {
            e.duplicate_value(&name, &name.text().into());
        } else if !name.is_empty() {
            names.insert(name.text());
        }
        host_ports(e, std::slice::from_ref(&container));
        if container.get("restartPolicy").text() == "Always" {
            probes::lifecycle(e, &container.get("lifecycle"), spec);
            probes::all(e, &container, spec);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.get(field).present() {
                    let detail = "may not be set for init containers without restartPolicy=Always";
                    e.forbidden(&container.get(field), detail);
                }
            }
            for policy in container.get("resizePolicy").items() {
                let restart = policy.get("restartPolicy");
                if restart.text() == "RestartContainer" {
                    let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                    e.invalid(&restart, detail);
                }
            }
        }
    }
}

pub(super) fn common(e: &mut Errors, container: &Node<'_>, spec: &Node<'_>, volumes: &Volumes<'_>) {
    let name = container.get("name");
    if name.is_empty() {
        e.required(&name, "");
    } else {
        e.complaints(&name, is_dns1123_label(name.text()));
    }
    if container.get("image").is_empty() {
        e.required(&container.get("image"), "");
    }
    e.one_of(
        &container.get("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
    );
    ports(e, &container.get("ports"));
    env::env(e, &container.get("env"));
    env::env_from(e, &container.get("envFrom"));
    mounts(e, container, volumes);
    devices(e, container, volumes);
    e.one_of(&container.get("imagePullPolicy"), &PULL_POLICIES);
    let resources = container.get("resources");
    resources::requirements(e, &resources);
    claims::of_container(e, &resources.get("claims"), spec);
    resources::resize_policy(
        e,
        &container.get("resizePolicy"),
        spec.get("restartPolicy").text(),
    );
    security::container(e, &container.get("securityContext"), spec);
}

fn ports(e: &mut Errors, ports: &Node<'_>) {
    let mut names = HashSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.is_empty() {
            let complaints = is_port_name(name.text());
            if !complaints.is_empty() {
                e.complaints(&name, complaints);
            } else if !names.insert(name.text()) {
                e.duplicate(&name);
            }
        }
        let inside = port.get("containerPort");
        match inside.int().unwrap_or(0) {
            0 => e.required(&inside, ""),
            number => e.complaints(&inside, is_port_number(number)),
        }
        let host = port.get("hostPort");
        if let Some(number) = host.int().filter(|n| *n != 0) {
            e.complaints(&host, is_port_number(number));
        }
        e.one_of(&port.get("protocol"), &PROTOCOLS);
    }
}

fn host_ports(e: &mut Errors, containers: &[Node<'_>]) {
    let mut taken = HashSet::new();
    for container in containers {
        for port in container.get("ports").items() {
            let host = port.get("hostPort");
            if let Some(number) = host.int().filter(|n| *n != 0) {
                let text = format!(
                    "{}/{}/{number}",
                    port.get("protocol").text(),
                    port.get("hostIP").text()
                );
                if !taken.insert(text.clone()) {
                    e.duplicate_value(&host, &Value::from(text));
                }
            }
        }
    }
}

fn mounts(e: &mut Errors, container: &Node<'_>, volumes: &Volumes<'_>) {
    let list = container.get("volumeMounts");
    let mut points = HashSet::new();
    for mount in list.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        if name.is_empty() {
            e.required(&name, "");
        }
        if !volumes.contains_key(name.text()) {
            e.not_found(&name.holding(&name.text().into()));
        }
        if path.is_empty() {
            e.required(&path, "");
        }
        if !points.insert(path.text()) {
            e.invalid_text(&path, path.text(), "must be unique");
        }
        let devices = container.get("volumeDevices").items();
        if devices
            .iter()
            .any(|device| device.get("name").text() == name.text())
        {
            e.invalid_text(&name, name.text(), "must not already exist in volumeDevices");
        }
        if devices
            .iter()
            .any(|device| device.get("devicePath").text() == path.text())
        {
            e.invalid_text(
                &path,
                path.text(),
                "must not already exist as a path in volumeDevices",
            );
        }
        // Upstream names the list here, not the mount.
        let sub_path = mount.get("subPath").renamed(format!("{}.subPath", list.path()));
        if !sub_path.is_empty() {
            super::volumes::descending(e, &sub_path);
        }
        let expression = mount.get("subPathExpr");
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                e.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
            }
            super::volumes::descending(e, &expression.renamed(format!("{}.subPathExpr", list.path())));
        }
        propagation(e, container, &mount, &list);
    }
}

fn propagation(e: &mut Errors, container: &Node<'_>, mount: &Node<'_>, list: &Node<'_>) {
    let propagation = mount
        .get("mountPropagation")
        .renamed(format!("{}.mountPropagation", list.path()));
    e.maybe_one_of(&propagation, &["Bidirectional", "HostToContainer", "None"]);
    if propagation.text() == "Bidirectional" && !container.at(&["securityContext", "privileged"]).is_true() {
        e.forbidden(
            &propagation,
            "Bidirectional mount propagation is available only to privileged containers",
        );
    }
    let recursive = mount
        .get("recursiveReadOnly")
        .renamed(format!("{}.recursiveReadOnly", list.path()));
    e.maybe_one_of(&recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive.text(), "Enabled" | "IfPossible") {
        if !mount.get("readOnly").is_true() {
            e.forbidden(&recursive, "may only be specified when readOnly is true");
        }
        if propagation.present() && propagation.text() != "None" {
            e.forbidden(
                &recursive,
                "may only be specified when mountPropagation is None or not specified",
            );
        }
    }
}

fn devices(e: &mut Errors, container: &Node<'_>, volumes: &Volumes<'_>) {
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    let mounts = container.get("volumeMounts").items();
    for device in container.get("volumeDevices").items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        if name.is_empty() {
            e.required(&name, "");
        } else if !names.insert(name.text()) {
            e.invalid(&name, "must be unique");
        }
        match volumes.get(name.text()) {
            None => e.not_found(&name.holding(&name.text().into())),
            Some(volume)
                if !volume.get("persistentVolumeClaim").present() && !volume.get("ephemeral").present() =>
            {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                e.invalid(&name, detail);
            }
            Some(_) => {}
        }
        if path.is_empty() {
            e.required(&path, "");
        }
        if paths.contains(path.text()) {
            e.invalid_text(&path, path.text(), "must be unique");
        }
        if path.text().split('/').any(|part| part == "..") {
            e.invalid(&path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.text());
        }
        for (node, field) in [(&name, "name"), (&path, "mountPath")] {
            if mounts.iter().any(|mount| mount.get(field).text() == node.text()) {
                let what = if field == "name" { "" } else { "as a path " };
                let detail = format!("must not already exist {what}in volumeMounts");
                e.invalid_text(node, node.text(), &detail);
            }
        }
    }
}

/// Without a policy nobody looks at the rules (`validateInitContainerRestartPolicy`).
fn init_restart_policy(e: &mut Errors, container: &Node<'_>) {
    let policy = container.get("restartPolicy");
    if policy.present() {
        restart_policy(e, container);
    } else if !container.get("restartPolicyRules").is_empty() {
        e.required(&policy, "must specify restartPolicy when restart rules are used");
    }
}

fn restart_policy(e: &mut Errors, container: &Node<'_>) {
    let (policy, rules) = (
        container.get("restartPolicy"),
        container.get("restartPolicyRules"),
    );
    if policy.present() {
        e.maybe_one_of(&policy, &["Always", "Never", "OnFailure"]);
    } else if !rules.is_empty() {
        e.required(&policy, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > 20 {
        e.too_many(&rules, 20);
    }
    for rule in rules.items() {
        if !matches!(rule.get("action").text(), "Restart" | "RestartAllContainers") {
            e.unsupported(&rule.get("action"), &["Restart", "RestartAllContainers"]);
        }
        let codes = rule.get("exitCodes");
        if !codes.present() {
            e.required(&codes, "must be specified");
        } else if !matches!(codes.get("operator").text(), "In" | "NotIn") {
            e.unsupported(&codes.get("operator"), &["In", "NotIn"]);
        }
        if codes.get("values").len() > 255 {
            e.too_many(&codes.get("values"), 255);
        }
    }
}
