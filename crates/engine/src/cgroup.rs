//! The cluster's cgroups, `cncfdemo/NAME` and `cncfdemo-idle/NAME`, in whatever hierarchies this machine has (v1, hybrid, v2).
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine_runtime::cgroup::{GROUP, IDLE_GROUP, Layout};

/// Mount points of all cgroup hierarchies, from `/proc/self/mountinfo`.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    parse_hierarchies(&text)
}

fn parse_hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let kind = after.split(' ').next().unwrap_or_default();
        if let ("cgroup" | "cgroup2", Some(point)) = (kind, before.split(' ').nth(4)) {
            let path = PathBuf::from(point);
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// The folders of all clusters, whether they exist or not.
fn tops() -> impl Iterator<Item = PathBuf> {
    let both = |hierarchy: PathBuf| [GROUP, IDLE_GROUP].map(|top| hierarchy.join(top));
    hierarchies().into_iter().flat_map(both)
}

/// The cluster's folders that exist.
pub(crate) fn roots(name: &str) -> Vec<PathBuf> {
    tops().map(|top| top.join(name)).filter(|p| p.is_dir()).collect()
}

/// CPU time that a cluster has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    /// Of the engine and of all pods but those below.
    pub ordinary: Duration,
    /// Of pods that run on idle CPU.
    pub idle: Duration,
}

/// What the cluster of this name has used; `None` when none runs on this machine.
pub fn cpu_time(name: &str) -> Option<CpuTime> {
    if roots(name).is_empty() {
        return None;
    }
    let layout = Layout::detect().ok()?;
    let of = |top: &str| Duration::from_nanos(layout.cpu_nanos(&format!("{top}/{name}")));
    Some(CpuTime {
        ordinary: of(GROUP),
        idle: of(IDLE_GROUP),
    })
}

/// Every process below the cluster's cgroups.
pub(crate) fn processes(name: &str) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    for root in roots(name) {
        walk(&root, &mut |folder| {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(
                text.lines()
                    .filter_map(|l| l.parse::<i32>().ok())
                    .filter(|&pid| pid > 0),
            );
        });
    }
    pids
}

/// Removes the cluster's cgroups, deepest first, and those of all clusters where they are empty. Returns what would not go.
pub(crate) fn remove(name: &str) -> Vec<String> {
    let mut left = Vec::new();
    for root in roots(name) {
        let mut folders = Vec::new();
        walk(&root, &mut |folder| folders.push(folder.to_owned()));
        for folder in folders.iter().rev() {
            if let Err(e) = fs::remove_dir(folder)
                && folder.exists()
            {
                left.push(format!("cgroup {}: {e}", folder.display()));
            }
        }
    }
    for top in tops() {
        // Fails while another cluster lives, as it should.
        let _ = fs::remove_dir(top);
    }
    left
}

/// Visits a folder and all below it, parents first.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_a_hybrid_machine_are_found_once_each() {
        let text = "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                    31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                    32 25 0:28 / /proc rw - proc proc rw\n\
                    33 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let expected: Vec<PathBuf> = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]
            .map(PathBuf::from)
            .into();
        assert_eq!(parse_hierarchies(text), expected);
    }
}
