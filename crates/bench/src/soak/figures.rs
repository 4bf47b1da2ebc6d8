//! What a cluster holds: memory, descriptors, threads, mounts, namespaces, cgroups, processes, disk.
use std::fmt;
use std::fs;
use std::path::Path;

use crate::process;

/// One look.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    engine: Process,
    runtime: Process,
    mounts: usize,
    namespaces: usize,
    cgroups: usize,
    processes: usize,
    files: usize,
    disk_mb: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Process {
    pss_mb: f64,
    data_mb: f64,
    descriptors: usize,
    threads: usize,
}

impl Figures {
    /// Looks at the cluster in this folder.
    pub fn take(dir: &Path) -> anyhow::Result<Figures> {
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
        let hierarchies: Vec<&str> = mountinfo
            .lines()
            .filter(|line| line.contains(" - cgroup"))
            .filter_map(|line| line.split(' ').nth(4))
            .collect();
        let (mut cgroups, mut processes) = (0, 0);
        for hierarchy in &hierarchies {
            let root = Path::new(hierarchy).join("cncfdemo").join(name);
            walk(&root, &mut |path, is_dir| {
                if is_dir {
                    cgroups += 1;
                    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
                    processes += text.lines().count();
                }
            });
        }
        let (mut files, mut bytes) = (0, 0);
        walk(dir, &mut |path, is_dir| {
            if !is_dir {
                files += 1;
                bytes += fs::symlink_metadata(path).map_or(0, |meta| meta.len());
            }
        });
        Ok(Figures {
            engine: look(dir, "__engine")?,
            runtime: look(dir, "__runtime")?,
            mounts: points.filter(|point| Path::new(point).starts_with(dir)).count(),
            namespaces: fs::read_dir(dir.join("run/netns")).map_or(0, Iterator::count),
            cgroups,
            processes,
            files,
            disk_mb: bytes as f64 / 1e6,
        })
    }

    /// All of them, by name.
    pub fn all(&self) -> [(&'static str, f64); 14] {
        [
            ("engine, PSS in MB", self.engine.pss_mb),
            ("engine, data of it in MB", self.engine.data_mb),
            ("engine, descriptors", self.engine.descriptors as f64),
            ("engine, threads", self.engine.threads as f64),
            ("runtime daemon, PSS in MB", self.runtime.pss_mb),
            ("runtime daemon, data of it in MB", self.runtime.data_mb),
            ("runtime daemon, descriptors", self.runtime.descriptors as f64),
            ("runtime daemon, threads", self.runtime.threads as f64),
            ("mounts", self.mounts as f64),
            ("network namespaces", self.namespaces as f64),
            ("cgroups in all hierarchies", self.cgroups as f64),
            ("processes in them", self.processes as f64),
            ("files in the cluster's folder", self.files as f64),
            ("their size in MB", self.disk_mb),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.all() {
            write!(f, "{name} {value:.1}; ")?;
        }
        Ok(())
    }
}

fn look(dir: &Path, role: &str) -> anyhow::Result<Process> {
    let mut sum = Process::default();
    for pid in process::of_cluster(dir, role) {
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
        let memory = process::memory(pid)?;
        sum.pss_mb += memory.pss as f64 / 1e6;
        sum.data_mb += memory.anonymous as f64 / 1e6;
        sum.descriptors += count("fd");
        sum.threads += count("task");
    }
    Ok(sum)
}

/// Visits everything at and below a folder on its own file system: what is mounted below it is counted elsewhere.
fn walk(path: &Path, visit: &mut dyn FnMut(&Path, bool)) {
    use std::os::unix::fs::MetadataExt as _;
    fn inner(path: &Path, device: u64, visit: &mut dyn FnMut(&Path, bool)) {
        let Ok(meta) = fs::symlink_metadata(path) else {
            return;
        };
        if meta.dev() != device {
            return;
        }
        visit(path, meta.is_dir());
        if meta.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                inner(&entry.path(), device, visit);
            }
        }
    }
    if let Ok(meta) = fs::symlink_metadata(path) {
        inner(path, meta.dev(), visit);
    }
}
