//! cgroup folders, in every hierarchy that is mounted.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Scope;
use super::files::mount_lines;

/// Folders at the top of each hierarchy, and everything of the cluster below those of all clusters.
pub(crate) fn folders(scope: &Scope) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in mount_lines().filter(|l| l.kind.starts_with("cgroup")) {
        for top in below(&line.point) {
            let path = line.point.join(&top);
            if crate::CGROUPS.contains(&top.as_str()) {
                // The folder itself stays while another cluster lives.
                let clusters = below(&path);
                if clusters.iter().all(|name| *name == scope.name) {
                    found.insert(path.display().to_string());
                }
                if clusters.contains(&scope.name) {
                    walk(&path.join(&scope.name), &mut found);
                }
            } else {
                found.insert(path.display().to_string());
            }
        }
    }
    found
}

fn below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders.filter_map(|e| e.file_name().into_string().ok()).collect()
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    found.insert(folder.display().to_string());
    for name in below(folder) {
        walk(&folder.join(name), found);
    }
}
