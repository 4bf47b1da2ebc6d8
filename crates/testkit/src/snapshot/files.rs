//! Mounts, files and kernel settings.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Scope;

/// A mount of this process' mount namespace.
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) kind: String,
    source: String,
}

/// All mounts.
pub(crate) fn mount_lines() -> impl Iterator<Item = Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo can be read");
    let mounts: Vec<Mount> = text.lines().filter_map(parse).collect();
    mounts.into_iter()
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    Some(Mount {
        point: before.split(' ').nth(4)?.replace("\\040", " ").into(),
        kind: after.next()?.to_owned(),
        source: after.next()?.to_owned(),
    })
}

pub(crate) fn mounts(scope: &Scope) -> BTreeSet<String> {
    let ours = |m: &Mount| !elsewhere(&m.point, scope);
    mount_lines()
        .filter(ours)
        .map(|m| format!("{} {} {}", m.point.display(), m.kind, m.source))
        .collect()
}

/// Whether a path lies in the folder of another cluster, of this state root or another.
fn elsewhere(path: &Path, scope: &Scope) -> bool {
    let own = scope.state.join("clusters").join(&scope.name);
    !path.starts_with(own) && path.components().any(|part| part.as_os_str() == "clusters")
}

/// Below the state root everything but other clusters, images and caches; of the rest of the machine the places where
/// programs keep what outlives them.
pub(crate) fn files(scope: &Scope) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let skip = |path: &Path| {
        let shared = ["images", "cache", "clusters"].map(|name| scope.state.join(name));
        elsewhere(path, scope) || shared.iter().any(|s| path == s)
    };
    walk(&scope.state, usize::MAX, &skip, &mut found);
    walk(
        &scope.state.join("clusters"),
        usize::MAX,
        &|path| elsewhere(path, scope),
        &mut found,
    );
    // What other programs do there all the time.
    let busy = [
        "/run/udev",
        "/run/systemd",
        "/run/user",
        "/run/lock",
        "/run/log",
        "/run/sudo",
    ]
    .map(PathBuf::from);
    walk(
        Path::new("/run"),
        usize::MAX,
        &|path| busy.iter().any(|b| path == b),
        &mut found,
    );
    for (folder, depth) in [
        ("/etc", 3),
        ("/var/lib", 1),
        ("/dev/shm", 1),
        ("/root", 1),
        ("/usr/local/bin", 1),
    ] {
        walk(Path::new(folder), depth, &|_| false, &mut found);
    }
    found
}

fn walk(folder: &Path, depth: usize, skip: &dyn Fn(&Path) -> bool, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if skip(&path) {
            continue;
        }
        found.insert(path.display().to_string());
        if depth > 1 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&path, depth - 1, skip, found);
        }
    }
}

/// Every setting below `/proc/sys/net` that is not an interface's own, and those of memory, processes and inotify.
pub(crate) fn sysctls() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Interfaces come and go with their links, neighbours with them; these two are no settings but counts.
    let skip = |path: &Path| {
        let text = path.to_string_lossy();
        let interface = ["/conf/", "/neigh/"].iter().any(|part| {
            text.split_once(part).is_some_and(|(_, rest)| {
                !["all", "default"].contains(&rest.split('/').next().unwrap_or_default())
            })
        });
        interface || text.ends_with("nf_conntrack_count") || text.ends_with("ip_local_reserved_ports.tmp")
    };
    let mut files = BTreeSet::new();
    for folder in [
        "/proc/sys/net/ipv4",
        "/proc/sys/net/ipv6",
        "/proc/sys/net/core",
        "/proc/sys/vm",
        "/proc/sys/fs/inotify",
    ] {
        walk(Path::new(folder), usize::MAX, &skip, &mut files);
    }
    for setting in [
        "kernel/panic",
        "kernel/pid_max",
        "kernel/threads-max",
        "fs/file-max",
        "fs/nr_open",
        "user/max_user_namespaces",
    ] {
        files.insert(format!("/proc/sys/{setting}"));
    }
    for file in files {
        // Folders and what only writes is for.
        if let Ok(value) = fs::read_to_string(&file) {
            found.insert(format!("{file} = {}", value.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_other_clusters_are_passed_over() {
        let scope = Scope {
            name: "a".into(),
            state: "/s".into(),
        };
        let seen = |path: &str| !elsewhere(Path::new(path), &scope);
        assert!(seen("/s/clusters/a/run/netns/x") && seen("/run/netns/x") && seen("/s/leak"));
        assert!(!seen("/s/clusters/ab/run") && !seen("/other/clusters/a/run"));
    }
}
