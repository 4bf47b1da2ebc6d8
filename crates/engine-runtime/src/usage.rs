//! Counters of a cgroup, wherever its controllers are mounted.
use std::fs;
use std::path::Path;

use crate::cgroup::Layout;

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

impl Usage {
    /// What two cgroups have used together; of their peaks the sum, which may be more than there ever was at a time.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let [mut lost, more] = [self.throttled, other.throttled];
        for (sum, part) in lost.iter_mut().zip(more) {
            *sum += part;
        }
        Self {
            cpu_nanos: self.cpu_nanos + other.cpu_nanos,
            cpu_user_nanos: self.cpu_user_nanos + other.cpu_user_nanos,
            cpu_system_nanos: self.cpu_system_nanos + other.cpu_system_nanos,
            throttled: lost,
            memory: self.memory + other.memory,
            working_set: self.working_set + other.working_set,
            rss: self.rss + other.rss,
            cache: self.cache + other.cache,
            mapped: self.mapped + other.mapped,
            peak: self.peak + other.peak,
            faults: self.faults + other.faults,
            major_faults: self.major_faults + other.major_faults,
            oom_kills: self.oom_kills + other.oom_kills,
            processes: self.processes + other.processes,
        }
    }
}

impl Layout {
    /// Counters of a cgroup by its relative path; what is missing is 0.
    pub fn usage(&self, cgroup: &str) -> Usage {
        let mut usage = Usage::default();
        self.cpu(cgroup, &mut usage);
        match self {
            Self::Unified { .. } => self.with("memory", cgroup, |folder| v2_memory(folder, &mut usage)),
            Self::Legacy { .. } => {
                self.with("cpu", cgroup, |folder| {
                    usage.throttled = throttled(table(&folder.join("cpu.stat")), "throttled_time", 1);
                });
                self.with("memory", cgroup, |folder| v1_memory(folder, &mut usage));
            }
        }
        self.with("pids", cgroup, |folder| {
            usage.processes = number(&folder.join("pids.current"));
        });
        usage
    }

    /// CPU time that a cgroup has used, in nanoseconds; nothing else of it is read.
    pub fn cpu_nanos(&self, cgroup: &str) -> u64 {
        let mut usage = Usage::default();
        self.cpu(cgroup, &mut usage);
        usage.cpu_nanos
    }

    fn cpu(&self, cgroup: &str, usage: &mut Usage) {
        match self {
            Self::Unified { .. } => self.with("cpu", cgroup, |folder| v2_cpu(folder, usage)),
            Self::Legacy { .. } => self.with("cpuacct", cgroup, |folder| v1_cpu(folder, usage)),
        }
    }

    fn with(&self, controller: &str, cgroup: &str, read: impl FnOnce(&Path)) {
        if let Some(folder) = self.folder(controller, cgroup) {
            read(&folder);
        }
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
    usage.throttled = throttled(stat, "throttled_usec", 1000);
}

fn throttled(stat: impl Fn(&str) -> u64, time: &str, factor: u64) -> [u64; 3] {
    [stat("nr_throttled"), stat("nr_periods"), stat(time) * factor]
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
        let root = dir.path().to_owned();
        let layout = Layout::Unified { root: root.clone() };
        let v2 = layout.usage("");
        assert_eq!(layout.cpu_nanos(""), 5000);
        assert_eq!(
            (v2.cpu_nanos, v2.working_set, v2.rss, v2.processes),
            (5000, 600, 300, 4)
        );
        assert_eq!(v2.throttled, [1, 9, 7000]);
        write("cpuacct.usage", "77\n");
        write("memory.usage_in_bytes", "900\n");
        write("memory.stat", "total_inactive_file 100\ntotal_rss 50\n");
        let hierarchies = ["cpuacct", "memory"].map(|c| (c.to_owned(), root.clone()));
        let layout = Layout::Legacy {
            hierarchies: hierarchies.into(),
        };
        let v1 = layout.usage("");
        assert_eq!(layout.cpu_nanos(""), 77);
        assert_eq!((v1.cpu_nanos, v1.working_set, v1.rss), (77, 800, 50));
    }
}
