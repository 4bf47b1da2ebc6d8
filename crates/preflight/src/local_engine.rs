//! What the embedded engine needs to know of a machine.
use serde::{Deserialize, Serialize};

use crate::{Facts, Finding, Level, Profile, Wanted};

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

/// Judges whether a machine can host a local cluster, from these facts alone: the `local-engine` profile. Findings come in a
/// fixed order; what could not be judged is left out.
pub fn local_engine(facts: &LocalEngineFacts) -> Vec<Finding> {
    let facts = Facts {
        local_engine: Some(facts.clone()),
        ..Facts::default()
    };
    let findings = crate::judge(&facts, &Wanted::new(Profile::LocalEngine, 0));
    findings.into_iter().filter(|f| f.level != Level::Skip).collect()
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
        local_engine(facts)
            .into_iter()
            .filter(|f| f.level == Level::Fail)
            .map(|f| f.id)
            .collect()
    }

    #[test]
    fn a_healthy_machine_has_no_findings() {
        let findings = local_engine(&healthy());
        assert_eq!(findings.len(), 12);
        assert!(findings.iter().all(|f| f.level == Level::Pass));
    }

    type Break = fn(&mut LocalEngineFacts);

    #[test]
    fn each_lack_is_found_alone() {
        let cases: [(&str, Break); 12] = [
            ("root", |f| f.euid = 1000),
            ("engine-capabilities", |f| f.capabilities = !(1 << 21)),
            ("engine-overlay", |f| f.filesystems.clear()),
            ("engine-state-filesystem", |f| {
                f.state_filesystem = "overlay".into()
            }),
            ("engine-cgroup-controllers", |f| {
                f.cgroup_controllers.retain(|c| c != "pids")
            }),
            ("engine-cgroup-writable", |f| f.cgroup_writable = false),
            ("engine-network-namespace", |f| f.network_namespace = "no".into()),
            ("engine-veth", |f| f.veth = "no".into()),
            ("engine-nftables", |f| {
                f.nftables = "failed to make a table: not supported".into()
            }),
            ("engine-disk-space", |f| f.free_bytes = 1),
            ("engine-inodes", |f| f.free_inodes = 1),
            ("engine-memory", |f| f.available_memory = 1),
        ];
        for (id, break_it) in cases {
            let mut facts = healthy();
            break_it(&mut facts);
            assert_eq!(failing(&facts), [id]);
        }
    }
}
