//! Counters of a cgroup, wherever its controllers are mounted.
use std::fs;
use std::path::{Path, PathBuf};

/// What a cgroup has used, and uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in nanoseconds.
    pub cpu_nanos: u64,
    /// CPU time in user mode.
    pub cpu_user_nanos: u64,
    /// CPU time in the kernel.
    pub cpu_system_nanos: u64,
    /// Periods in which it was throttled, all periods, and the time it lost, in nanoseconds.
    pub throttled: [u64; 3],
    /// Memory with caches.
    pub memory: u64,
    /// Memory without the caches that may be dropped, as cAdvisor counts it.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Page cache.
    pub cache: u64,
    /// Memory-mapped files.
    pub mapped: u64,
    /// Most memory ever used, where the kernel says.
    pub peak: u64,
    /// Page faults.
    pub faults: u64,
    /// Page faults that read from a disk.
    pub major_faults: u64,
    /// Processes killed for lack of memory.
    pub oom_kills: u64,
    /// Tasks.
    pub processes: u64,
}

/// Mount points of the controllers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    unified: Option<PathBuf>,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Hierarchies {
    /// As they are mounted now.
    pub fn find() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(table: &str) -> Self {
        let mut found = Self::default();
        for line in table.lines() {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = before.split(' ').nth(4) else {
                continue;
            };
            let mut after = after.split(' ');
            let (kind, options) = (after.next().unwrap_or_default(), after.nth(1).unwrap_or_default());
            let point = || Some(PathBuf::from(point));
            if kind == "cgroup2" && found.unified.is_none() {
                found.unified = point();
            } else if kind == "cgroup" {
                for option in options.split(',') {
                    match option {
                        "cpu" => found.cpu = found.cpu.take().or_else(point),
                        "cpuacct" => found.cpuacct = found.cpuacct.take().or_else(point),
                        "memory" => found.memory = found.memory.take().or_else(point),
                        "pids" => found.pids = found.pids.take().or_else(point),
                        _ => {}
                    }
                }
            }
        }
        found
    }

    /// Counters of a cgroup by its relative path; what is missing is 0.
    pub fn read(&self, cgroup: &str) -> Usage {
        let mut usage = Usage::default();
        let unified = self.unified.as_ref().map(|root| root.join(cgroup));
        match (&self.cpuacct, &unified) {
            (Some(root), _) => v1_cpu(&root.join(cgroup), &mut usage),
            (None, Some(path)) => v2_cpu(path, &mut usage),
            (None, None) => {}
        }
        if let Some(root) = &self.cpu {
            throttling(&root.join(cgroup), 1, &mut usage);
        }
        match (&self.memory, &unified) {
            (Some(root), _) => v1_memory(&root.join(cgroup), &mut usage),
            (None, Some(path)) => v2_memory(path, &mut usage),
            (None, None) => {}
        }
        let pids = self.pids.as_ref().map(|root| root.join(cgroup)).or(unified);
        usage.processes = pids.map_or(0, |path| number(&path.join("pids.current")));
        usage
    }
}

fn v1_cpu(path: &Path, usage: &mut Usage) {
    usage.cpu_nanos = number(&path.join("cpuacct.usage"));
    usage.cpu_user_nanos = number(&path.join("cpuacct.usage_user"));
    usage.cpu_system_nanos = number(&path.join("cpuacct.usage_sys"));
}

fn v2_cpu(path: &Path, usage: &mut Usage) {
    let stat = table(&path.join("cpu.stat"));
    usage.cpu_nanos = stat("usage_usec") * 1000;
    usage.cpu_user_nanos = stat("user_usec") * 1000;
    usage.cpu_system_nanos = stat("system_usec") * 1000;
    throttling(path, 1000, usage);
}

fn throttling(path: &Path, factor: u64, usage: &mut Usage) {
    let stat = table(&path.join("cpu.stat"));
    let time = if factor == 1 {
        stat("throttled_time")
    } else {
        stat("throttled_usec") * factor
    };
    usage.throttled = [stat("nr_throttled"), stat("nr_periods"), time];
}

fn v1_memory(path: &Path, usage: &mut Usage) {
    let stat = table(&path.join("memory.stat"));
    usage.memory = number(&path.join("memory.usage_in_bytes"));
    usage.working_set = usage.memory.saturating_sub(stat("total_inactive_file"));
    usage.rss = stat("total_rss");
    usage.cache = stat("total_cache");
    usage.mapped = stat("total_mapped_file");
    usage.peak = number(&path.join("memory.max_usage_in_bytes"));
    usage.faults = stat("total_pgfault");
    usage.major_faults = stat("total_pgmajfault");
    usage.oom_kills = table(&path.join("memory.oom_control"))("oom_kill");
}

fn v2_memory(path: &Path, usage: &mut Usage) {
    let stat = table(&path.join("memory.stat"));
    usage.memory = number(&path.join("memory.current"));
    usage.working_set = usage.memory.saturating_sub(stat("inactive_file"));
    usage.rss = stat("anon");
    usage.cache = stat("file");
    usage.mapped = stat("file_mapped");
    usage.peak = number(&path.join("memory.peak"));
    usage.faults = stat("pgfault");
    usage.major_faults = stat("pgmajfault");
    usage.oom_kills = table(&path.join("memory.events"))("oom_kill");
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Lines of a name and a number.
fn table(path: &Path) -> impl Fn(&str) -> u64 + use<> {
    let text = fs::read_to_string(path).unwrap_or_default();
    move |name| {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_controllers_in_a_hybrid_layout() {
        let table = "30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 1 0:28 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n";
        let found = Hierarchies::parse(table);
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found.cpuacct, Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(found.memory, Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(found.pids, None);
    }

    #[test]
    fn reads_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write(
            "cpu.stat",
            "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 1\nthrottled_usec 7\n",
        );
        write("memory.current", "1000\n");
        write("memory.stat", "anon 300\nfile 600\ninactive_file 400\n");
        write("pids.current", "4\n");
        let v2 = Hierarchies {
            unified: Some(dir.path().to_owned()),
            ..Hierarchies::default()
        }
        .read("");
        assert_eq!(
            (v2.cpu_nanos, v2.working_set, v2.rss, v2.processes),
            (5000, 600, 300, 4)
        );
        assert_eq!(v2.throttled, [1, 9, 7000]);
        write("cpuacct.usage", "77\n");
        write("memory.usage_in_bytes", "900\n");
        write("memory.stat", "total_inactive_file 100\ntotal_rss 50\n");
        let root = Some(dir.path().to_owned());
        let v1 = Hierarchies {
            cpuacct: root.clone(),
            memory: root,
            ..Hierarchies::default()
        }
        .read("");
        assert_eq!((v1.cpu_nanos, v1.working_set, v1.rss), (77, 800, 50));
    }
}
