//! Limits of a group, written and read, on v1 and v2.
use std::fs;

use super::{Layout, check_path, write};
use crate::Result;
use crate::proto::Limits;

impl Layout {
    /// Sets limits on a group that is there already, whoever made it.
    pub fn set_limits(&self, path: &str, limits: &Limits) -> Result<()> {
        check_path(path)?;
        self.limit(path, limits)
    }

    /// The limits of a group as the kernel has them, in the terms of [`Limits`]: -1 where there is none, `None` where nobody can say.
    pub fn limits(&self, path: &str) -> Limits {
        let read = |controller: &str, file: &str| {
            let folder = self.folder(controller, path)?;
            fs::read_to_string(folder.join(file)).ok()
        };
        let number = |controller: &str, file: &str| bound(read(controller, file)?.trim());
        match self {
            Self::Unified { .. } => {
                let max = read("cpu", "cpu.max").unwrap_or_default();
                let mut max = max.split_whitespace();
                Limits {
                    cpu_shares: number("cpu", "cpu.weight").map(|weight| shares(weight.unsigned_abs())),
                    cpu_quota: max.next().and_then(bound),
                    cpu_period: max.next().and_then(|period| period.parse().ok()),
                    memory: number("memory", "memory.max"),
                    pids: number("pids", "pids.max"),
                }
            }
            Self::Legacy { .. } => Limits {
                cpu_shares: number("cpu", "cpu.shares").map(i64::unsigned_abs),
                cpu_quota: number("cpu", "cpu.cfs_quota_us"),
                cpu_period: number("cpu", "cpu.cfs_period_us").map(i64::unsigned_abs),
                // No limit is the largest number of whole pages.
                memory: number("memory", "memory.limit_in_bytes")
                    .map(|bytes| if bytes > i64::MAX >> 1 { -1 } else { bytes }),
                pids: number("pids", "pids.max"),
            },
        }
    }

    /// Sets limits on an existing group.
    pub(super) fn limit(&self, path: &str, limits: &Limits) -> Result<()> {
        match self {
            Self::Unified { root } => {
                let folder = root.join(path);
                if let Some(shares) = limits.cpu_shares {
                    write(&folder.join("cpu.weight"), &weight(shares).to_string())?;
                }
                if let Some(quota) = limits.cpu_quota {
                    let period = limits.cpu_period.unwrap_or(100_000);
                    let quota = if quota < 0 {
                        "max".to_owned()
                    } else {
                        quota.to_string()
                    };
                    write(&folder.join("cpu.max"), &format!("{quota} {period}"))?;
                }
                if let Some(memory) = limits.memory {
                    write(&folder.join("memory.max"), &max_or(memory))?;
                }
                if let Some(pids) = limits.pids {
                    write(&folder.join("pids.max"), &max_or(pids))?;
                }
            }
            Self::Legacy { .. } => {
                let write_to = |controller: &str, file: &str, value: String| {
                    self.folder(controller, path)
                        .map_or(Ok(()), |folder| write(&folder.join(file), &value))
                };
                if let Some(shares) = limits.cpu_shares {
                    write_to("cpu", "cpu.shares", shares.clamp(2, 262_144).to_string())?;
                }
                if let Some(period) = limits.cpu_period {
                    write_to("cpu", "cpu.cfs_period_us", period.to_string())?;
                }
                if let Some(quota) = limits.cpu_quota {
                    write_to("cpu", "cpu.cfs_quota_us", quota.to_string())?;
                }
                if let Some(memory) = limits.memory {
                    write_to("memory", "memory.limit_in_bytes", memory.to_string())?;
                }
                if let Some(pids) = limits.pids {
                    write_to("pids", "pids.max", max_or(pids))?;
                }
            }
        }
        Ok(())
    }
}

/// kubelet's and runc's translation of v1 shares (2..262144) to a v2 weight (1..10000).
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// kubelet's translation back (pkg/kubelet/cm/cgroup_v2_manager_linux.go, cpuWeightToCPUShares), which rounds down.
pub fn shares(weight: u64) -> u64 {
    (weight.clamp(1, 10_000) - 1) * 262_142 / 9999 + 2
}

/// A number, or -1 for `max`.
fn bound(text: &str) -> Option<i64> {
    if text == "max" {
        Some(-1)
    } else {
        text.parse().ok()
    }
}

fn max_or(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_runc() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 39);
        assert_eq!(weight(262_144), 10_000);
    }

    #[test]
    fn limits_are_written_and_read_on_both_versions() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().to_owned();
        let hierarchies = ["cpu", "memory", "pids"].map(|c| (c.to_owned(), root.clone()));
        let layouts = [
            Layout::Unified { root: root.clone() },
            Layout::Legacy {
                hierarchies: hierarchies.into(),
            },
        ];
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory: Some(1 << 20),
            pids: Some(-1),
        };
        for (layout, shares) in layouts.iter().zip([998, 1024]) {
            layout.set_limits("gone", &limits).expect_err("it makes no group");
            fs::create_dir_all(root.join("pod")).expect("a group");
            layout.set_limits("pod", &limits).expect("it takes limits");
            let read = layout.limits("pod");
            assert_eq!(read.cpu_shares, Some(shares), "{layout:?}");
            let expected = Limits {
                cpu_shares: read.cpu_shares,
                ..limits.clone()
            };
            assert_eq!(read, expected, "{layout:?}");
        }
        let write = |file: &str, text: &str| fs::write(root.join("pod").join(file), text).expect("a file");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("cpu.max", "max 100000\n");
        write("memory.max", "max\n");
        for layout in &layouts {
            assert_eq!(layout.limits("pod").memory, Some(-1), "{layout:?}");
        }
        assert_eq!(layouts[0].limits("pod").cpu_quota, Some(-1));
        assert_eq!(layouts[0].limits("gone"), Limits::default());
    }
}
