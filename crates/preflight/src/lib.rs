//! Facts of a machine to findings; pure. Facts are collected by `host`, as one JSON document.
//!
//! So far only what the embedded engine needs of a machine is judged ([`local_engine`]); the doctor's checks come with
//! their own profiles.
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Pass,
    /// It will work, with a limitation.
    Warn,
    /// It cannot work.
    Fail,
}

/// One judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable identifier.
    pub id: String,
    /// How bad.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub fix: String,
}

/// What the embedded engine needs to know of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalEngineFacts {
    /// Effective user id.
    pub euid: u32,
    /// Effective capabilities, a bit set as in `/proc/self/status`.
    pub capabilities: u64,
    /// File systems that the kernel knows or can load.
    pub filesystems: Vec<String>,
    /// cgroup controllers of all mounted hierarchies, v1 and v2.
    pub cgroup_controllers: Vec<String>,
    /// Whether any cgroup hierarchy is mounted writable.
    pub cgroup_writable: bool,
    /// Result of making a network namespace: empty when it worked.
    pub network_namespace: String,
    /// Result of making a veth pair in it.
    pub veth: String,
    /// Result of making an nftables table in it.
    pub nftables: String,
    /// Free bytes where the state is kept.
    pub free_bytes: u64,
    /// Free inodes where the state is kept.
    pub free_inodes: u64,
    /// The state folder.
    pub state_dir: String,
    /// File system type under the state folder.
    pub state_filesystem: String,
    /// Available memory in bytes.
    pub available_memory: u64,
}

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

/// Judges whether a machine can host a local cluster. Findings come in a fixed order, passes included.
pub fn local_engine(facts: &LocalEngineFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut judge = |id: &str, level: Level, seen: String, fix: &str| {
        findings.push(Finding { id: id.to_owned(), level, seen, fix: fix.to_owned() });
    };
    let fail_if = |bad: bool| if bad { Level::Fail } else { Level::Pass };

    judge("root", fail_if(facts.euid != 0), format!("user id {}", facts.euid), "run it as root: sudo -E cncfdemo …");
    if facts.euid != 0 {
        // Everything below would fail for the same reason.
        return findings;
    }
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(bit, _)| facts.capabilities >> bit & 1 == 0).map(|(_, name)| *name).collect();
    let seen = if missing.is_empty() { "all needed ones".to_owned() } else { format!("missing {}", missing.join(", ")) };
    judge("capabilities", fail_if(!missing.is_empty()), seen, "give this container or unit these capabilities (docker: --privileged)");
    let overlay = facts.filesystems.iter().any(|f| f == "overlay");
    judge("overlay", fail_if(!overlay), format!("overlay file system {}", if overlay { "known" } else { "unknown to the kernel" }),
        "modprobe overlay, and put `overlay` into /etc/modules-load.d/overlay.conf");
    let nested = facts.state_filesystem == "overlay";
    judge("state-filesystem", fail_if(nested), format!("{} is on {}", facts.state_dir, facts.state_filesystem),
        "overlay cannot lie on overlay: choose a --state-dir on a real disk or a volume");
    let lacking: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|c| !facts.cgroup_controllers.iter().any(|have| have == c))
        .collect();
    judge("cgroup-controllers", fail_if(!lacking.is_empty()),
        if lacking.is_empty() { "cpu, memory, pids".to_owned() } else { format!("missing {}", lacking.join(", ")) },
        "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1) or mount the v1 controllers; on a Raspberry Pi add cgroup_enable=memory");
    judge("cgroup-writable", fail_if(!facts.cgroup_writable),
        if facts.cgroup_writable { "writable".to_owned() } else { "/sys/fs/cgroup cannot be written".to_owned() },
        "run it in a container with the host's cgroup namespace and /sys/fs/cgroup mounted read-write");
    for (id, result, fix) in [
        ("network-namespace", &facts.network_namespace, "build or boot a kernel with CONFIG_NET_NS"),
        ("veth", &facts.veth, "modprobe veth, and put `veth` into /etc/modules-load.d/veth.conf"),
        ("nftables", &facts.nftables, "modprobe nf_tables nft_chain_nat nft_masq, and put them into /etc/modules-load.d/nftables.conf"),
    ] {
        judge(id, fail_if(!result.is_empty()), if result.is_empty() { "works".to_owned() } else { result.clone() }, fix);
    }
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let level = |bytes: u64, fail: u64, warn: u64| match bytes {
        b if b < fail => Level::Fail,
        b if b < warn => Level::Warn,
        _ => Level::Pass,
    };
    judge("disk-space", level(facts.free_bytes, 1 << 30, 3 << 30), format!("{} free under {}", gib(facts.free_bytes), facts.state_dir),
        "free some space, or choose a --state-dir on another disk; images and volumes of the demo take about 1 GiB");
    // File systems without a fixed inode table report none at all.
    let inodes = if facts.free_inodes == 0 { Level::Pass } else { level(facts.free_inodes, 20_000, 60_000) };
    judge("inodes", inodes, format!("{} free under {}", facts.free_inodes, facts.state_dir), "remove small files, or choose another --state-dir");
    judge("memory", level(facts.available_memory, 512 << 20, 2 << 30), format!("{} available", gib(facts.available_memory)),
        "end other programs; the whole demo takes about 1 GiB");
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> LocalEngineFacts {
        LocalEngineFacts {
            capabilities: u64::MAX,
            filesystems: vec!["overlay".into()],
            cgroup_controllers: ["cpu", "memory", "pids"].map(String::from).into(),
            cgroup_writable: true,
            free_bytes: 50 << 30,
            free_inodes: 1_000_000,
            state_dir: "/var/lib/cncfdemo".into(),
            state_filesystem: "ext4".into(),
            available_memory: 8 << 30,
            ..LocalEngineFacts::default()
        }
    }

    fn failing(facts: &LocalEngineFacts) -> Vec<String> {
        local_engine(facts).into_iter().filter(|f| f.level == Level::Fail).map(|f| f.id).collect()
    }

    #[test]
    fn a_healthy_machine_has_no_findings() {
        assert!(local_engine(&healthy()).iter().all(|f| f.level == Level::Pass));
    }

    #[test]
    fn each_lack_is_found_alone() {
        let cases: [(&str, fn(&mut LocalEngineFacts)); 8] = [
            ("root", |f| f.euid = 1000),
            ("capabilities", |f| f.capabilities = !(1 << 21)),
            ("overlay", |f| f.filesystems.clear()),
            ("state-filesystem", |f| f.state_filesystem = "overlay".into()),
            ("cgroup-controllers", |f| f.cgroup_controllers.retain(|c| c != "pids")),
            ("nftables", |f| f.nftables = "failed to make a table: not supported".into()),
            ("disk-space", |f| f.free_bytes = 1),
            ("memory", |f| f.available_memory = 1),
        ];
        for (id, break_it) in cases {
            let mut facts = healthy();
            break_it(&mut facts);
            assert_eq!(failing(&facts), [id]);
        }
    }
}
