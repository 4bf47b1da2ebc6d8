//! Whether a cluster lives: asked of its processes and of its own API.
use std::collections::BTreeSet;
use std::fs;

use crate::{Paths, cgroup, process};

/// Living processes of the engine itself (not of containers).
pub fn engine_processes(paths: &Paths) -> BTreeSet<i32> {
    let system = format!("{}/system", paths.name());
    cgroup::processes(&system)
        .into_iter()
        .filter(|&pid| process::alive(pid))
        .collect()
}

/// How many nodes the running engine reports Ready. The engine keeps the count in `run/ready`, rewritten at every change
/// and removed when it starts, because reading one file is cheaper than a TLS handshake per question.
///
/// # Errors
/// A phrase saying what is missing.
pub fn ready_nodes(paths: &Paths) -> Result<u32, String> {
    let path = paths.run().join("ready");
    let text = fs::read_to_string(&path).map_err(|_| "the engine has not started yet".to_owned())?;
    let (pid, count) = text.trim().split_once(' ').ok_or("the engine is starting")?;
    let pid: i32 = pid.parse().map_err(|_| "the engine is starting")?;
    if !process::alive(pid) {
        return Err("the engine has died and is being restarted".to_owned());
    }
    count.parse().map_err(|_| "the engine is starting".to_owned())
}
