//! Links, routes and network namespaces of the host.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::Scope;
use super::files::mount_lines;
use super::processes::{Process, in_any_cluster, in_cluster};

/// Links of the host's namespace. Other clusters have one each, of a name that tells it.
pub(crate) fn links(scope: &Scope) -> BTreeSet<String> {
    let own = scope.link();
    let entries = fs::read_dir("/sys/class/net")
        .expect("/sys/class/net can be read")
        .flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names
        .filter(|name| *name == own || !is_other_cluster(name))
        .collect()
}

/// `cd-` and eight hex digits.
fn is_other_cluster(link: &str) -> bool {
    link.strip_prefix("cd-")
        .is_some_and(|rest| rest.len() == 8 && rest.chars().all(|c| c.is_ascii_hexdigit()))
}

/// The main table, IPv4 and IPv6, without what belongs to links of other clusters.
pub(crate) fn routes(scope: &Scope) -> BTreeSet<String> {
    let own = scope.link();
    let mut found = BTreeSet::new();
    for file in ["/proc/net/route", "/proc/net/ipv6_route"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.lines().skip(usize::from(file.ends_with("/route"))) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.iter().any(|f| is_other_cluster(f) && *f != own) {
                continue;
            }
            // Counters of references and uses change by themselves.
            let lasting: Vec<&str> = match fields.as_slice() {
                [link, to, via, flags, _, _, metric, mask, ..] => vec![link, to, via, flags, metric, mask],
                other => other.to_vec(),
            };
            let lasting = if file.ends_with("ipv6_route") {
                [0, 1, 4, 5, 9]
                    .iter()
                    .filter_map(|&n| fields.get(n).copied())
                    .collect()
            } else {
                lasting
            };
            found.insert(lasting.join(" "));
        }
    }
    found
}

/// Network namespaces that a process or a mount holds, as lsns(8) finds them. One that only other clusters' processes are
/// in is passed over.
pub(crate) fn namespaces(scope: &Scope, processes: &[Process]) -> BTreeSet<String> {
    let mut holders: BTreeMap<u64, Vec<&Process>> = BTreeMap::new();
    for process in processes {
        if let Some(inode) = process.network {
            holders.entry(inode).or_default().push(process);
        }
    }
    let other = |p: &&Process| in_any_cluster(p) && !in_cluster(scope, p);
    let mut found: BTreeSet<String> = holders
        .into_iter()
        .filter(|(_, by)| !by.iter().all(other))
        .map(|(inode, _)| format!("net:[{inode}]"))
        .collect();
    // Mounts are compared by path among the mounts; here one of our own shows by number too.
    for mount in mount_lines().filter(|m| m.kind == "nsfs" && m.point.starts_with(&scope.state)) {
        if let Ok(of) = fs::metadata(&mount.point) {
            found.insert(format!("net:[{}]", of.ino()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn links_of_clusters_are_told_by_their_form() {
        assert!(super::is_other_cluster("cd-0a1b2c3d"));
        assert!(!super::is_other_cluster("cd-0a1b2c3d4") && !super::is_other_cluster("veth0"));
    }
}
