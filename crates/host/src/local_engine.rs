use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use preflight::LocalEngineFacts;

use crate::network_probe;

/// Facts for `preflight::local_engine`. Looks only; what has to be tried is tried in a network namespace of a thread of
/// its own, which ends with the thread.
pub fn local_engine_facts(state_dir: &Path) -> LocalEngineFacts {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let existing = nearest_existing(state_dir);
    let space = rustix::fs::statvfs(existing).ok();
    let (network_namespace, veth, nftables) = network_probe::run();
    LocalEngineFacts {
        euid: rustix::process::geteuid().as_raw(),
        capabilities: field(&status, "CapEff:")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0),
        filesystems: filesystems(),
        cgroup_controllers: cgroup_controllers(),
        cgroup_writable: cgroup_writable(),
        network_namespace,
        veth,
        nftables,
        free_bytes: space.as_ref().map_or(0, |s| s.f_bavail * s.f_frsize),
        free_inodes: space.map_or(0, |s| s.f_favail),
        state_dir: state_dir.display().to_string(),
        state_filesystem: filesystem_of(existing),
        available_memory: available_memory(),
    }
}

pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

pub(crate) fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"))
}

/// What the kernel lists, and overlay where its module lies ready to be loaded on first use.
fn filesystems() -> Vec<String> {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut known: Vec<String> = text
        .lines()
        .filter_map(|l| l.split_whitespace().last())
        .map(str::to_owned)
        .collect();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules")
        .join(release.trim())
        .join("kernel/fs/overlayfs");
    if !known.iter().any(|f| f == "overlay") && modules.is_dir() {
        known.push("overlay".to_owned());
    }
    known
}

pub(crate) fn cgroup_mounts() -> Vec<(String, String, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let kind = after.next()?.to_owned();
            let options = after.nth(1).unwrap_or_default().to_owned();
            let point = before.split(' ').nth(4)?.to_owned();
            kind.starts_with("cgroup").then_some((kind, point, options))
        })
        .collect()
}

pub(crate) fn cgroup_controllers() -> Vec<String> {
    let mut found = BTreeSet::new();
    for (kind, point, options) in cgroup_mounts() {
        if kind == "cgroup2" {
            let text = fs::read_to_string(Path::new(&point).join("cgroup.controllers")).unwrap_or_default();
            found.extend(text.split_whitespace().map(str::to_owned));
        } else {
            found.extend(options.split(',').map(str::to_owned));
        }
    }
    found.into_iter().collect()
}

fn cgroup_writable() -> bool {
    let mounts = cgroup_mounts();
    let read_only = |point: &str| {
        rustix::fs::statvfs(point).is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    };
    !mounts.is_empty() && mounts.iter().any(|(_, point, _)| !read_only(point))
}

pub(crate) fn filesystem_of(path: &Path) -> String {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?;
            path.starts_with(point)
                .then_some((point.len(), after.split(' ').next()?))
        })
        .max_by_key(|(length, _)| *length)
        .map_or_else(
            || "an unknown file system".to_owned(),
            |(_, kind)| kind.to_owned(),
        )
}

fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&text, "MemAvailable:")
        .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
