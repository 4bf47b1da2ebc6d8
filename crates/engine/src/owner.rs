//! Whose a name is. Cgroups and the host's link are found by a cluster's name alone, so below two state roots one name can
//! be used by one cluster only; the other must neither be ended nor joined.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Paths, cgroup};

/// Fails when a cluster of this name lives below another state root.
pub(crate) fn check(paths: &Paths) -> Result<(), Error> {
    let own = resolved(&paths.dir());
    let by_processes = cgroup::processes(paths.name()).into_iter().filter_map(folder_of);
    let found = by_processes.chain(folder_of_link(paths.name())).find(|folder| {
        // A folder that somebody has removed by hand owns nothing any more; what is left may be taken away from anywhere.
        folder.exists() && resolved(folder) != own
    });
    match found {
        Some(folder) => Err(Error::Taken {
            name: paths.name().to_owned(),
            folder,
        }),
        None => Ok(()),
    }
}

/// Processes of the cluster in this folder, by their command line: also those that have not reached their cgroup yet.
pub(crate) fn processes(paths: &Paths) -> BTreeSet<i32> {
    let own = resolved(&paths.dir());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid| folder_of(*pid).is_some_and(|folder| resolved(&folder) == own))
        .collect()
}

/// The cluster's folder that an engine or runtime daemon was started with.
fn folder_of(pid: i32) -> Option<PathBuf> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command.split(|byte| *byte == 0).skip(1);
    let role = words.next()?;
    let folder = std::str::from_utf8(words.next()?).ok()?;
    (role == b"__runtime" || role == b"__engine").then(|| folder.into())
}

/// The folder that the host's link of this name says it is for (see `engine_net`).
fn folder_of_link(name: &str) -> Option<PathBuf> {
    let alias = fs::read_to_string(format!("/sys/class/net/{}/ifalias", engine_net::host_link(name))).ok()?;
    let run = Path::new(alias.trim().strip_prefix("cncfdemo ")?);
    run.parent().map(Path::to_owned)
}

fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}
