//! Faults of the harshest kind, for local clusters only: what no API can do.
mod control;

pub use control::{LONGEST, NodeState, State, cut_node, nodes, restore_node, stop_node};

use std::collections::BTreeSet;
use std::fs;

use crate::{Error, Paths, cgroup, process};

/// Sends SIGKILL to every process of a pod's containers, as the kernel's out-of-memory killer or a crash would end them.
/// Nobody is told; the node agent finds out by itself. Gives the number of processes killed.
///
/// # Errors
/// [`Error::NotFound`] when no such pod runs on this cluster.
pub fn kill_pod(paths: &Paths, uid: &str) -> Result<usize, Error> {
    let folder = format!("pod{uid}");
    let mut pids = BTreeSet::new();
    for root in cgroup::roots(paths.name()) {
        cgroup::walk(&root, &mut |path| {
            if path.components().any(|part| part.as_os_str() == folder.as_str()) {
                let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
                pids.extend(
                    text.lines()
                        .filter_map(|line| line.parse::<i32>().ok())
                        .filter(|&pid| pid > 0),
                );
            }
        });
    }
    if pids.is_empty() {
        return Err(Error::NotFound(format!(
            "{} with a running pod {uid}",
            paths.name()
        )));
    }
    pids.iter().copied().for_each(process::kill);
    Ok(pids.len())
}
