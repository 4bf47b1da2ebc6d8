//! What the embedded engine needs; `bootstrap local` runs these before it changes anything.
use crate::LocalEngineFacts;
use crate::check::{Check, Judge, Profile, Verdict};
use crate::facts::Facts;

/// Bits of the capabilities that the engine cannot do without.
const NEEDED: [(u32, &str); 7] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (5, "CAP_KILL"),
    (12, "CAP_NET_ADMIN"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
    (27, "CAP_MKNOD"),
];

const LOCAL: &[Profile] = &[Profile::LocalEngine];

const fn base(id: &'static str, title: &'static str, judge: Judge) -> Check {
    Check {
        id,
        title,
        looks_at: "what the kernel lets this process do, tried in a network namespace that ends with the try",
        story: "The embedded engine makes real containers and networks. What the machine does not allow is better said at once than by a pod that never starts.",
        later: "cncfdemo bootstrap local cannot bring a node up",
        fix: "",
        undo: "undo that change",
        verify: "cncfdemo doctor --profile local-engine",
        profiles: LOCAL,
        judge,
    }
}

/// A judgement over the engine's facts; skipped where they were not collected, or where root is already what lacks.
fn with(facts: &Facts, judge: impl Fn(&LocalEngineFacts) -> Verdict) -> Verdict {
    match &facts.local_engine {
        None => Verdict::skip("not collected: record it with --profile local-engine"),
        Some(f) if f.euid != 0 => Verdict::skip("cannot be tried without root"),
        Some(f) => judge(f),
    }
}

fn tried(result: &str) -> Verdict {
    if result.is_empty() {
        Verdict::pass("works")
    } else {
        Verdict::fail(result)
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        fix: "run it as root: sudo -E cncfdemo …",
        ..base(
            "root",
            "it runs as root",
            Judge::Machine(|facts, _| match &facts.local_engine {
                None => Verdict::skip("not collected: record it with --profile local-engine"),
                Some(f) if f.euid != 0 => Verdict::fail(format!("user id {}", f.euid)),
                Some(_) => Verdict::pass("user id 0"),
            }),
        )
    },
    Check {
        fix: "give this container or unit these capabilities (docker: --privileged)",
        ..base(
            "engine-capabilities",
            "the capabilities that containers need are there",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    let missing: Vec<&str> = NEEDED
                        .iter()
                        .filter(|(bit, _)| f.capabilities >> bit & 1 == 0)
                        .map(|(_, name)| *name)
                        .collect();
                    if missing.is_empty() {
                        Verdict::pass("all needed ones")
                    } else {
                        Verdict::fail(format!("missing {}", missing.join(", ")))
                    }
                })
            }),
        )
    },
    Check {
        fix: "modprobe overlay, and put `overlay` into /etc/modules-load.d/overlay.conf",
        ..base(
            "engine-overlay",
            "the kernel knows the overlay file system",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    if f.filesystems.iter().any(|f| f == "overlay") {
                        Verdict::pass("overlay file system known")
                    } else {
                        Verdict::fail("overlay file system unknown to the kernel")
                    }
                })
            }),
        )
    },
    Check {
        fix: "overlay cannot lie on overlay: choose a --state-dir on a real disk or a volume",
        ..base(
            "engine-state-filesystem",
            "the state folder is on a file system that can carry overlays",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    let seen = format!("{} is on {}", f.state_dir, f.state_filesystem);
                    if f.state_filesystem == "overlay" {
                        Verdict::fail(seen)
                    } else {
                        Verdict::pass(seen)
                    }
                })
            }),
        )
    },
    Check {
        fix: "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1) or mount the v1 controllers; on a Raspberry Pi add cgroup_enable=memory",
        ..base(
            "engine-cgroup-controllers",
            "cpu, memory and pids can be limited",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    let lacking: Vec<&str> = ["cpu", "memory", "pids"]
                        .into_iter()
                        .filter(|c| !f.cgroup_controllers.iter().any(|have| have == c))
                        .collect();
                    if lacking.is_empty() {
                        Verdict::pass("cpu, memory, pids")
                    } else {
                        Verdict::fail(format!("missing {}", lacking.join(", ")))
                    }
                })
            }),
        )
    },
    Check {
        fix: "run it in a container with the host's cgroup namespace and /sys/fs/cgroup mounted read-write",
        ..base(
            "engine-cgroup-writable",
            "control groups can be made",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    if f.cgroup_writable {
                        Verdict::pass("writable")
                    } else {
                        Verdict::fail("/sys/fs/cgroup cannot be written")
                    }
                })
            }),
        )
    },
    Check {
        fix: "build or boot a kernel with CONFIG_NET_NS",
        ..base(
            "engine-network-namespace",
            "network namespaces can be made",
            Judge::Machine(|facts, _| with(facts, |f| tried(&f.network_namespace))),
        )
    },
    Check {
        fix: "modprobe veth, and put `veth` into /etc/modules-load.d/veth.conf",
        ..base(
            "engine-veth",
            "veth pairs can be made",
            Judge::Machine(|facts, _| with(facts, |f| tried(&f.veth))),
        )
    },
    Check {
        fix: "modprobe nf_tables nft_chain_nat nft_masq, and put them into /etc/modules-load.d/nftables.conf",
        ..base(
            "engine-nftables",
            "the kernel has nftables",
            Judge::Machine(|facts, _| with(facts, |f| tried(&f.nftables))),
        )
    },
    Check {
        fix: "free some space, or choose a --state-dir on another disk; images and volumes of the demo take about 1 GiB",
        ..base(
            "engine-disk-space",
            "images and volumes have room",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    by_amount(
                        f.free_bytes,
                        1 << 30,
                        3 << 30,
                        format!(
                            "{} free under {}",
                            super::storage::size(f.free_bytes),
                            f.state_dir
                        ),
                    )
                })
            }),
        )
    },
    Check {
        fix: "remove small files, or choose another --state-dir",
        ..base(
            "engine-inodes",
            "images have inodes",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    // File systems without a fixed inode table report none at all.
                    let inodes = if f.free_inodes == 0 {
                        u64::MAX
                    } else {
                        f.free_inodes
                    };
                    by_amount(
                        inodes,
                        20_000,
                        60_000,
                        format!("{} free under {}", f.free_inodes, f.state_dir),
                    )
                })
            }),
        )
    },
    Check {
        fix: "end other programs; the whole demo takes about 1 GiB",
        ..base(
            "engine-memory",
            "there is memory for the demo",
            Judge::Machine(|facts, _| {
                with(facts, |f| {
                    by_amount(
                        f.available_memory,
                        512 << 20,
                        2 << 30,
                        format!("{} available", super::storage::size(f.available_memory)),
                    )
                })
            }),
        )
    },
];

fn by_amount(amount: u64, fail: u64, warn: u64, seen: String) -> Verdict {
    match amount {
        a if a < fail => Verdict::fail(seen),
        a if a < warn => Verdict::warn(seen),
        _ => Verdict::pass(seen),
    }
}
