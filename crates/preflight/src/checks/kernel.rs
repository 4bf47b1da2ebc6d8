//! The kernel, control groups, memory on disk, processor time.
use super::NODES;
use crate::check::{Check, Judge, Profile, Verdict, Wanted};
use crate::facts::Facts;
use crate::fix::Change;
use crate::versions::{self, numbers};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "cgroup-version",
        title: "control groups are of the version that this Kubernetes takes",
        looks_at: "mounts of cgroup and cgroup2",
        story: "Kubernetes 1.35 and later do not start a kubelet on cgroup v1 unless it is told to (failCgroupV1: false).",
        later: "kubelet refuses to start after an upgrade",
        fix: "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
        undo: "take the parameter away",
        verify: "stat -fc %T /sys/fs/cgroup says cgroup2fs",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            let permitted = facts.kubelet_setting("failCgroupV1").as_deref() == Some("false");
            match facts.cgroup.version.as_str() {
                "v2" => Verdict::pass("cgroup v2"),
                "" => Verdict::fail("no control groups are mounted"),
                version if wanted.kubernetes >= versions::WITHOUT_CGROUP_V1 && !permitted => {
                    Verdict::fail(format!(
                        "cgroup {version}, and kubelet 1.{} does not start on it",
                        wanted.kubernetes
                    ))
                }
                version => Verdict::warn(format!(
                    "cgroup {version}: it works with Kubernetes 1.{}, and not by default from 1.35 on",
                    wanted.kubernetes
                )),
            }
        }),
    },
    Check {
        id: "cgroup-controllers",
        title: "processor, memory and processes can be limited",
        looks_at: "cgroup.controllers, or the mounted v1 hierarchies",
        story: "Some kernels and boards (Raspberry Pi) leave the memory controller off.",
        later: "kubelet does not start, or limits have no effect",
        fix: "add cgroup_enable=memory to the kernel's command line, or build the kernel with the controllers",
        undo: "take the parameter away",
        verify: "cat /sys/fs/cgroup/cgroup.controllers",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let missing: Vec<&str> = ["cpu", "cpuset", "memory", "pids"]
                .into_iter()
                .filter(|c| !facts.cgroup.controllers.iter().any(|h| h == c))
                .collect();
            if missing.is_empty() {
                Verdict::pass("cpu, cpuset, memory, pids")
            } else {
                Verdict::fail(format!("missing {}", missing.join(", ")))
            }
        }),
    },
    Check {
        id: "swap",
        title: "swap is off, now and after a reboot, or kubelet knows of it",
        looks_at: "/proc/swaps, /etc/fstab, swap units, failSwapOn in kubelet's configuration",
        story: "swapoff -a is forgotten at the next boot, when /etc/fstab switches it on again.",
        later: "kubelet does not start after a reboot",
        fix: "swapoff -a, and comment the swap lines of /etc/fstab out (and mask the swap units)",
        undo: "put the lines back and swapon -a, or cncfdemo doctor undo",
        verify: "after a reboot: /proc/swaps is empty",
        profiles: NODES,
        judge: Judge::Machine(swap),
    },
    Check {
        id: "kernel-version",
        title: "the kernel is new enough",
        looks_at: "uname -r",
        story: "Kubernetes' own validators refuse kernels before 4.19 from 1.32 on, and from 1.34 on warn of those before 5.4, the oldest long-term kernel then alive. With cgroup v2, kernels before 5.8 lack what it needs.",
        later: "limits and plugins fail in ways that depend on the kernel",
        fix: "install a newer kernel of your distribution, and boot it",
        undo: "boot the old one",
        verify: "uname -r",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            let release = &facts.kernel.release;
            let Some(version) = numbers(release) else {
                return Verdict::skip("the kernel's release is unknown");
            };
            let oldest = versions::oldest_kernel(wanted.kubernetes);
            // RHEL's kernels carry a smaller number than what is in them.
            let backported = release.contains(".el8") || release.contains(".el9");
            if version < oldest && !backported {
                Verdict::fail(format!(
                    "{release}; Kubernetes 1.{} asks for {}.{} or later",
                    wanted.kubernetes, oldest.0, oldest.1
                ))
            } else if wanted.kubernetes >= versions::WITH_KERNEL_LTS
                && version < versions::KERNEL_LTS
                && !backported
            {
                Verdict::warn(format!(
                    "{release}; Kubernetes 1.{} is tried with the long-term kernels from {}.{} on",
                    wanted.kubernetes,
                    versions::KERNEL_LTS.0,
                    versions::KERNEL_LTS.1
                ))
            } else if facts.cgroup.version == "v2" && version < versions::KERNEL_CGROUP_V2 && !backported {
                Verdict::warn(format!(
                    "{release} with cgroup v2; it does all that is asked from 5.8 on"
                ))
            } else {
                Verdict::pass(release.clone())
            }
        }),
    },
    Check {
        id: "kernel-modules",
        title: "the kernel has the modules that networks of pods need",
        looks_at: "/proc/modules, /lib/modules, and files that only exist with the module",
        story: "Minimal and cloud kernels leave out what a cluster needs; a kernel package's removal takes the running kernel's modules away.",
        later: "pods get no network: \"operation not supported\"",
        fix: "install the full kernel package (Debian: linux-image-amd64, not -cloud; Ubuntu: linux-modules-extra), and reboot",
        undo: "boot the old kernel",
        verify: "modprobe -n veth nf_conntrack vxlan",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let need = ["veth", "bridge", "nf_conntrack", "nf_tables"];
            let missing: Vec<&str> = need
                .into_iter()
                .filter(|m| !facts.module_present(m) && !facts.modules.available.iter().any(|a| a == m))
                .collect();
            if missing.is_empty() {
                Verdict::pass(need.join(", "))
            } else {
                Verdict::fail(format!("missing {}", missing.join(", ")))
            }
        }),
    },
    Check {
        id: "kernel-pending",
        title: "the newest installed kernel is the running one",
        looks_at: "uname -r against the kernels below /lib/modules and /boot",
        story: "A kernel update waits for a reboot. What passes today is judged on the old kernel, and the next power cut changes it.",
        later: "behaviour changes at the next unplanned reboot",
        fix: "reboot, and run the doctor again",
        undo: "choose the old kernel in the boot menu",
        verify: "uname -r",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let key = |release: &str| -> Vec<u64> {
                release
                    .split(|c: char| !c.is_ascii_digit())
                    .filter_map(|n| n.parse().ok())
                    .take(5)
                    .collect()
            };
            let running = key(&facts.kernel.release);
            match facts.kernel.installed.iter().max_by_key(|r| key(r)) {
                None => Verdict::skip("no installed kernels are seen here"),
                Some(newest) if key(newest) > running => {
                    let days = facts.machine.uptime / 86_400;
                    Verdict::warn(format!(
                        "{newest} is installed, {} runs since {days} days",
                        facts.kernel.release
                    ))
                }
                Some(_) => Verdict::pass(facts.kernel.release.clone()),
            }
        }),
    },
    Check {
        id: "capabilities",
        title: "no capability is missing",
        looks_at: "effective capabilities, and whether this is a container",
        story: "Nested machines and sandboxes leave out capabilities that look optional. Without CAP_SYS_RESOURCE a process cannot give another a better OOM score than its own or raise a limit.",
        later: "containers with a guaranteed class cannot be started: \"failed to write oom_score_adj\"",
        fix: "give the container or virtual machine that capability; or run kubelet and runtime with OOMScoreAdjust as they are",
        undo: "none needed",
        verify: "capsh --print",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            if facts.process.euid != 0 {
                return Verdict::skip("run as root to see what root may do here");
            }
            let need = [
                (21, "CAP_SYS_ADMIN"),
                (12, "CAP_NET_ADMIN"),
                (24, "CAP_SYS_RESOURCE"),
                (27, "CAP_MKNOD"),
                (19, "CAP_SYS_PTRACE"),
            ];
            let missing: Vec<&str> = need
                .iter()
                .filter(|(bit, _)| facts.process.capabilities >> bit & 1 == 0)
                .map(|(_, n)| *n)
                .collect();
            let place = if facts.machine.container.is_empty() {
                "root"
            } else {
                "root in this container"
            };
            match missing.as_slice() {
                [] => Verdict::pass(format!("{place} has all that matter")),
                ["CAP_SYS_RESOURCE" | "CAP_SYS_PTRACE"] => {
                    Verdict::warn(format!("{place} lacks {}", missing.join(", ")))
                }
                _ => Verdict::fail(format!("{place} lacks {}", missing.join(", "))),
            }
        }),
    },
];

fn swap(facts: &Facts, wanted: &Wanted) -> Verdict {
    if facts.kubelet_setting("failSwapOn").as_deref() == Some("false")
        && wanted.profile != Profile::LocalEngine
    {
        return Verdict::pass("kubelet is told that there may be swap (failSwapOn: false)");
    }
    let is_swap = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        !line.trim_start().starts_with('#')
            && words.get(2) == Some(&"swap")
            && !words.get(3).is_some_and(|o| o.split(',').any(|o| o == "noauto"))
    };
    let fstab = facts.swap.fstab.as_deref().unwrap_or_default();
    let at_boot = fstab.lines().any(is_swap);
    let now = !facts.swap.active.is_empty();
    let units: Vec<&str> = facts.swap.units.iter().map(String::as_str).collect();
    let mut changes = Vec::new();
    if at_boot {
        let after: Vec<String> = fstab
            .lines()
            .map(|l| {
                if is_swap(l) {
                    format!("# cncfdemo doctor: {l}")
                } else {
                    l.to_owned()
                }
            })
            .collect();
        changes.push(Change::WriteFile {
            path: "/etc/fstab".to_owned(),
            before: Some(fstab.to_owned()),
            after: after.join("\n") + if fstab.ends_with('\n') { "\n" } else { "" },
        });
    }
    changes.extend(facts.swap.active.iter().map(|device| Change::SwapOff {
        device: device.clone(),
    }));
    let devices = facts.swap.active.join(", ");
    match (now, at_boot, units.is_empty()) {
        (false, false, true) => Verdict::pass("no swap"),
        (true, true, _) => Verdict::fail(format!(
            "swap is on ({devices}), also after a reboot (/etc/fstab)"
        ))
        .changes(changes),
        (true, false, _) => Verdict::fail(format!("swap is on ({devices})")).changes(changes),
        (false, true, _) => {
            Verdict::fail("swap is off now, and /etc/fstab switches it on at boot").changes(changes)
        }
        (false, false, false) => Verdict::fail(format!(
            "swap is off now, and {} switches it on at boot",
            units.join(", ")
        ))
        .fix(format!("systemctl mask {}", units.join(" "))),
    }
}
