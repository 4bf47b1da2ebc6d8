//! Device nodes of a container and what its cgroup (v1) lets it open.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::proto::ContainerSpec;
use crate::{Error, Result};

/// Nodes besides the default ones: those asked for, or all of the host's.
pub fn listed(spec: &ContainerSpec) -> Result<Value> {
    let mut list = Vec::new();
    if spec.privileged {
        walk(Path::new("/dev"), &mut list);
    }
    for path in &spec.devices {
        let node =
            node(path).ok_or_else(|| Error::Start(format!("not a device node: {}", path.display())))?;
        list.push(node);
    }
    Ok(json!(list))
}

/// Rules for the cgroup; libcgroups adds those for the default nodes.
pub fn rules(spec: &ContainerSpec) -> Value {
    if spec.privileged {
        return json!([{"allow": true, "access": "rwm"}]);
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for mut node in spec.devices.iter().filter_map(|p| node(p)) {
        rules.push(
            json!({"allow": true, "type": node["type"].take(), "major": node["major"].take(),
            "minor": node["minor"].take(), "access": "rwm"}),
        );
    }
    json!(rules)
}

fn node(path: &Path) -> Option<Value> {
    let meta = std::fs::metadata(path).ok()?;
    let kind = match meta.file_type() {
        t if t.is_char_device() => "c",
        t if t.is_block_device() => "b",
        _ => return None,
    };
    let number = meta.rdev();
    Some(json!({
        "path": path, "type": kind,
        "major": rustix::fs::major(number), "minor": rustix::fs::minor(number),
        "fileMode": meta.mode() & 0o7777, "uid": meta.uid(), "gid": meta.gid(),
    }))
}

/// Like runc's `HostDevices`: without terminals and what a container has of its own.
fn walk(folder: &Path, list: &mut Vec<Value>) {
    const OWN: [&str; 12] = [
        "pts",
        "shm",
        "fd",
        "mqueue",
        ".lxc",
        ".lxd-mounts",
        ".udev",
        "console",
        "ptmx",
        "stdin",
        "stdout",
        "stderr",
    ];
    const DEFAULT: [&str; 6] = ["null", "zero", "full", "tty", "urandom", "random"];
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if OWN.contains(&name) || DEFAULT.contains(&name) || meta.file_type().is_symlink() {
            continue;
        }
        if meta.is_dir() {
            walk(&path, list);
        } else if let Some(node) = node(&path) {
            list.push(node);
        }
    }
}
