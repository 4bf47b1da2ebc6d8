//! Control groups by path, on pure v2, pure v1 and the hybrid layout (v1 controllers beside a v2 tree without any).
//!
//! A path such as `cncfdemo/NAME/NODE/burstable/podUID` is relative to the root of every hierarchy. What belongs to one container is
//! done by libcontainer; this module makes the groups above it, sets their limits, and finds, kills and removes.
//!
//! What is below [`IDLE_GROUP`] instead of [`GROUP`] gets the CPU time that nobody on the machine asks for, and gives it back at once.
//! A small share below `GROUP` would not do: its tasks would count as much as any program of the host when nothing else of the
//! cluster runs, and who wakes would wait for the end of their slice (on a 2-core VM, 500 requests/s beside two busy processes: p99 86 ms).

mod limits;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use crate::proto::Limits;
use crate::{Error, Result};

/// The group of all clusters, in every hierarchy.
pub const GROUP: &str = "cncfdemo";

/// The same for what runs on idle CPU.
pub const IDLE_GROUP: &str = "cncfdemo-idle";

/// Where hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// v1 controllers that libcontainer puts a container into, all of them, so that nothing stays behind; those that are not mounted are
/// done without.
const V1_CONTROLLERS: [&str; 12] = [
    "cpu",
    "cpuacct",
    "memory",
    "pids",
    "cpuset",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "perf_event",
    "net_cls",
    "net_prio",
];

/// v2 controllers to hand down.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "cpuset", "io"];

/// How this machine mounts cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One v2 tree with controllers.
    Unified {
        /// Its root.
        root: PathBuf,
    },
    /// v1 hierarchies.
    Legacy {
        /// Controller and root of its hierarchy, in the order of preference for finding processes; co-mounted ones come once.
        hierarchies: Vec<(String, PathBuf)>,
    },
}

impl Layout {
    /// Reads `/proc/self/mountinfo`.
    pub fn detect() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|e| Error::io("read /proc/self/mountinfo", e))?;
        Self::from_mountinfo(&text)
            .ok_or_else(|| Error::Internal(format!("no cgroup hierarchy is mounted below {ROOT}")))
    }

    /// The layout that a mountinfo file describes.
    pub fn from_mountinfo(text: &str) -> Option<Self> {
        let mut hierarchies: Vec<(String, PathBuf)> = Vec::new();
        let mut unified = None;
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount_point) = left.split(' ').nth(4) else {
                continue;
            };
            let mut right = right.split(' ');
            let kind = right.next().unwrap_or_default();
            let options = right.nth(1).unwrap_or_default();
            if !Path::new(mount_point).starts_with(ROOT) {
                continue;
            }
            match kind {
                "cgroup2" if mount_point == ROOT => unified = Some(PathBuf::from(mount_point)),
                "cgroup" => {
                    for controller in options.split(',').filter(|c| V1_CONTROLLERS.contains(c)) {
                        hierarchies.push((controller.to_owned(), PathBuf::from(mount_point)));
                    }
                }
                _ => {}
            }
        }
        if let Some(root) = unified {
            return Some(Self::Unified { root });
        }
        // Memory and pids first: a group there is never missing for a container of ours.
        let rank = |c: &str| {
            ["pids", "memory", "cpu", "cpuacct"]
                .iter()
                .position(|x| *x == c)
                .unwrap_or(9)
        };
        hierarchies.sort_by_key(|(c, _)| rank(c));
        (!hierarchies.is_empty()).then_some(Self::Legacy { hierarchies })
    }

    /// The folder of a group where `controller`'s files are.
    pub fn folder(&self, controller: &str, path: &str) -> Option<PathBuf> {
        match self {
            Self::Unified { root } => Some(root.join(path)),
            Self::Legacy { hierarchies } => hierarchies
                .iter()
                .find(|(c, _)| c == controller)
                .map(|(_, root)| root.join(path)),
        }
    }

    /// All roots, each once.
    fn roots(&self) -> Vec<&Path> {
        match self {
            Self::Unified { root } => vec![root],
            Self::Legacy { hierarchies } => {
                let mut seen = BTreeSet::new();
                hierarchies
                    .iter()
                    .map(|(_, r)| r.as_path())
                    .filter(|r| seen.insert(*r))
                    .collect()
            }
        }
    }

    /// Makes a group and its parents and sets limits on it.
    pub fn ensure(&self, path: &str, limits: &Limits) -> Result<()> {
        check_path(path)?;
        for root in self.roots() {
            self.make(root, path)?;
        }
        self.limit(path, limits)
    }

    /// Makes the folders in one hierarchy and makes them usable: controllers handed down (v2), processors inherited (v1 cpuset).
    fn make(&self, root: &Path, path: &str) -> Result<()> {
        let mut folder = root.to_path_buf();
        for (depth, part) in Path::new(path).components().enumerate() {
            if matches!(self, Self::Unified { .. }) {
                hand_down(&folder);
            }
            folder.push(part);
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(format!("create cgroup {}", folder.display()), e)),
            }
            if depth == 0 && part.as_os_str() == IDLE_GROUP {
                make_idle(&folder);
            }
            if matches!(self, Self::Legacy { .. }) {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(&folder, file);
                }
            }
        }
        Ok(())
    }

    /// Moves a process into a group, in every hierarchy.
    pub fn join(&self, path: &str, pid: i32) -> Result<()> {
        check_path(path)?;
        for root in self.roots() {
            write(&root.join(path).join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Processes in a group and all below it; empty when it does not exist.
    pub fn pids(&self, path: &str) -> Vec<i32> {
        let mut pids = BTreeSet::new();
        if check_path(path).is_ok() {
            for root in self.roots() {
                collect_pids(&root.join(path), &mut pids);
            }
        }
        pids.into_iter().collect()
    }

    /// SIGKILL for every process in a group and below it.
    pub fn kill(&self, path: &str) -> Result<()> {
        check_path(path)?;
        if let Self::Unified { root } = self {
            // Atomic, and a fork bomb cannot outrun it; since Linux 5.14.
            if fs::write(root.join(path).join("cgroup.kill"), "1").is_ok() {
                return Ok(());
            }
        }
        // A process may fork between the reading and the killing: until nobody is new. The first look is at all hierarchies, because
        // somebody may have moved a process in one of them; children are in the same groups as their parents.
        let mut killed = BTreeSet::new();
        for round in 0..100 {
            let mut pids = BTreeSet::new();
            let roots = self.roots();
            let roots = if round == 0 { &roots[..] } else { &roots[..1] };
            for root in roots {
                collect_pids(&root.join(path), &mut pids);
            }
            let before = killed.len();
            for pid in pids {
                if killed.insert(pid)
                    && let Some(pid) = rustix::process::Pid::from_raw(pid)
                {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            if killed.len() == before {
                break;
            }
        }
        // What is frozen dies when it thaws.
        if !killed.is_empty()
            && let Some(folder) = self.folder("freezer", path)
        {
            thaw(&folder);
        }
        Ok(())
    }

    /// Removes a group and all below it, in every hierarchy, waiting up to `patience` for dying processes. Fine if it is not there.
    pub fn remove(&self, path: &str, patience: Duration) -> Result<()> {
        check_path(path)?;
        let until = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        loop {
            let mut busy = None;
            for root in self.roots() {
                let folder = root.join(path);
                if let Err(e) = remove_tree(&folder) {
                    busy = Some((folder, e));
                }
            }
            match busy {
                None => return Ok(()),
                Some((folder, e)) if Instant::now() >= until => {
                    return Err(Error::io(format!("remove cgroup {}", folder.display()), e));
                }
                Some(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Makes a group and moves a process into it, in every hierarchy.
    pub fn enter(&self, path: &str, pid: i32) -> Result<()> {
        self.ensure(path, &Limits::default())?;
        for root in self.roots() {
            let file = root.join(path).join("cgroup.procs");
            fs::write(&file, pid.to_string())
                .map_err(|e| Error::io(format!("write {}", file.display()), e))?;
        }
        Ok(())
    }

    /// Removes a group that has neither processes nor groups in it, in every hierarchy.
    pub fn remove_if_empty(&self, path: &str) -> Result<()> {
        check_path(path)?;
        for root in self.roots() {
            let _ = fs::remove_dir(root.join(path));
        }
        Ok(())
    }

    /// How often the kernel killed somebody of this group for lack of memory.
    pub fn oom_kills(&self, path: &str) -> u64 {
        let file = match self {
            Self::Unified { .. } => "memory.events",
            Self::Legacy { .. } => "memory.oom_control",
        };
        let Some(folder) = self.folder("memory", path) else {
            return 0;
        };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|l| l.strip_prefix("oom_kill "))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0)
    }
}

/// Refuses paths that could leave the tree, and the root itself.
fn check_path(path: &str) -> Result<()> {
    let plain = Path::new(path)
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    if plain && !path.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(format!(
            "cgroup path {path:?} is not relative and plain"
        )))
    }
}

/// Enables what is there for the children; a controller that cannot be enabled shows when a limit is written.
fn hand_down(folder: &Path) {
    let available = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let enabled = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    for controller in V2_CONTROLLERS {
        let has = |list: &str| list.split_whitespace().any(|c| c == controller);
        if has(&available) && !has(&enabled) {
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// Lets everybody else on the machine go first: `cpu.idle` (Linux 5.15), or the smallest weight there is.
fn make_idle(folder: &Path) {
    if fs::write(folder.join("cpu.idle"), "1").is_ok() {
        return;
    }
    for (file, least) in [("cpu.weight", "1"), ("cpu.shares", "2")] {
        let _ = fs::write(folder.join(file), least);
    }
}

/// A new v1 cpuset has no processors and accepts no process until it has.
fn inherit(folder: &Path, file: &str) {
    let own = folder.join(file);
    if fs::read_to_string(&own).is_ok_and(|s| s.trim().is_empty())
        && let Some(parent) = folder.parent()
        && let Ok(value) = fs::read_to_string(parent.join(file))
    {
        let _ = fs::write(own, value.trim());
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).map_err(|e| Error::io(format!("write {value} to {}", path.display()), e))
}

fn collect_pids(folder: &Path, pids: &mut BTreeSet<i32>) {
    if let Ok(text) = fs::read_to_string(folder.join("cgroup.procs")) {
        pids.extend(
            text.lines()
                .filter_map(|l| l.parse::<i32>().ok())
                .filter(|p| *p > 0),
        );
    }
    for child in children(folder) {
        collect_pids(&child, pids);
    }
}

fn thaw(folder: &Path) {
    let _ = fs::write(folder.join("freezer.state"), "THAWED");
    for child in children(folder) {
        thaw(&child);
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

/// Leaves first; only folders can and need be removed.
fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn hybrid_is_legacy_with_co_mounted_controllers() {
        let layout = Layout::from_mountinfo(HYBRID).expect("layout");
        assert_eq!(
            layout.folder("cpuacct", "a/b"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a/b"))
        );
        assert_eq!(layout.folder("blkio", "a"), None);
        assert_eq!(layout.roots().len(), 3);
    }

    #[test]
    fn unified_is_recognised() {
        let text = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let layout = Layout::from_mountinfo(text).expect("layout");
        assert_eq!(
            layout,
            Layout::Unified {
                root: PathBuf::from("/sys/fs/cgroup")
            }
        );
        assert_eq!(Layout::from_mountinfo("1 0 0:1 / / rw - ext4 /dev/sda rw"), None);
    }

    #[test]
    fn paths_that_leave_the_tree_are_refused() {
        for path in ["", "/", "/a", "../a", "a/../../b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        check_path("cncfdemo/x/system").expect("plain");
    }
}
