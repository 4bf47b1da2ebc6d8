//! Processes that have to do with a cluster: by cgroup, command line, working folder, or because they run our program.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Scope;

/// A process as `/proc` shows it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) cgroups: String,
    command: String,
    folder: PathBuf,
    program: Option<(u64, u64)>,
    pub(crate) network: Option<u64>,
}

/// All that can be seen. One that ends while it is read is left out.
pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc can be read").flatten();
    entries
        .filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn read(pid: i32) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // A zombie holds nothing; whoever has to reap it does.
    if stat.rsplit_once(") ")?.1.starts_with('Z') {
        return None;
    }
    let command = fs::read(folder.join("cmdline")).ok()?;
    Some(Process {
        pid,
        cgroups: fs::read_to_string(folder.join("cgroup")).ok()?,
        command: String::from_utf8_lossy(&command)
            .replace('\0', " ")
            .trim_end()
            .to_owned(),
        folder: fs::read_link(folder.join("cwd")).unwrap_or_default(),
        program: identity(&folder.join("exe")),
        network: fs::metadata(folder.join("ns/net")).ok().map(|m| m.ino()),
    })
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// Those of the cluster. Another cluster's are not, although they run the same program.
pub(crate) fn of(scope: &Scope, processes: &[Process]) -> BTreeSet<String> {
    let state = scope.state.to_string_lossy();
    let ours = identity(&crate::program());
    let other = |p: &Process| in_any_cluster(p) && !in_cluster(scope, p);
    let concerns = |p: &Process| {
        in_cluster(scope, p)
            || p.command.contains(&*state)
            || p.folder.starts_with(&scope.state)
            || p.program == ours
    };
    processes
        .iter()
        .filter(|p| concerns(p) && !other(p))
        .map(|p| format!("{} {}", p.pid, p.command))
        .collect()
}

/// Of whichever cluster of ours.
pub(crate) fn in_any_cluster(process: &Process) -> bool {
    crate::in_group(&process.cgroups, "")
}

pub(crate) fn in_cluster(scope: &Scope, process: &Process) -> bool {
    crate::in_group(&process.cgroups, &scope.name)
}
