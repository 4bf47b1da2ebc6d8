//! What a cluster is: decided once at bootstrap, kept in `cluster.json`, never guessed again.
use std::fs;

use engine_net::AddressPlan;
use serde::{Deserialize, Serialize};

use crate::{Error, Paths};

/// Newest state format this program writes and understands.
pub const FORMAT: u32 = 1;

/// How soon the loss of a node is noticed and acted upon, in seconds. Upstream's figures, but for a demonstration that has no six
/// minutes (kube-controller-manager `--node-monitor-grace-period`, 50 s since 1.32; kube-apiserver
/// `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`, 300 s).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    /// Silence after which a node counts as lost.
    pub node_monitor_grace: u32,
    /// How long pods stay on a node that is not ready, unless they say otherwise.
    pub not_ready_toleration: u32,
    /// How long pods stay on a node that cannot be reached, unless they say otherwise.
    pub unreachable_toleration: u32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            node_monitor_grace: 50,
            not_ready_toleration: 300,
            unreachable_toleration: 300,
        }
    }
}

impl Lifecycle {
    /// How long a node's lease is valid: as the kubelet's `nodeLeaseDurationSeconds`, 40 s, but never longer than the grace.
    pub fn lease(self) -> u32 {
        self.node_monitor_grace.clamp(1, 40)
    }
}

/// The decisions of a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// State format, see [`FORMAT`].
    pub format: u32,
    /// Cluster name.
    pub name: String,
    /// Address plan index, 0 to 47.
    pub index: u8,
    /// Number of virtual nodes.
    pub nodes: u32,
    /// Port of the API server on 127.0.0.1.
    pub api_port: u16,
    /// How soon the loss of a node is acted upon.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Version of the program that created it.
    pub created_by: String,
    /// When it was created, RFC 3339.
    pub created: String,
}

impl Plan {
    /// Reads the plan; `None` when the cluster does not exist.
    pub fn read(paths: &Paths) -> Result<Option<Plan>, Error> {
        let path = paths.plan();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::file("read", path)(e)),
        };
        let bad = |reason: String| Error::Plan {
            path: path.clone(),
            reason,
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let found = value["format"]
            .as_u64()
            .ok_or_else(|| bad("it has no `format`".to_owned()))? as u32;
        if found > FORMAT {
            return Err(Error::NewerState {
                name: paths.name().to_owned(),
                found,
                known: FORMAT,
            });
        }
        serde_json::from_value(value)
            .map(Some)
            .map_err(|e| bad(e.to_string()))
    }

    /// Writes the plan so that a crash leaves either none or a whole one.
    pub fn write(&self, paths: &Paths) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        let temporary = paths.dir().join("cluster.json.tmp");
        fs::write(&temporary, text).map_err(Error::file("write", &temporary))?;
        fs::rename(&temporary, paths.plan()).map_err(Error::file("write", paths.plan()))
    }

    /// Names of the nodes: `NAME-1`, `NAME-2`, …
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes).map(|n| format!("{}-{n}", self.name)).collect()
    }

    /// The cluster's addresses.
    pub fn addresses(&self) -> Result<AddressPlan, Error> {
        AddressPlan::new(self.index).map_err(|e| Error::part("pod network")(Box::new(e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            format: FORMAT,
            name: "a".into(),
            index: 2,
            nodes: 3,
            api_port: 7443,
            lifecycle: Lifecycle::default(),
            created_by: "0.1.0".into(),
            created: "2026-11-22T00:00:00Z".into(),
        }
    }

    #[test]
    fn a_plan_survives_the_disk_and_a_newer_one_is_refused() {
        let state = std::env::temp_dir().join(format!("engine-plan-{}", std::process::id()));
        let paths = Paths::new(&state, "a").unwrap();
        assert_eq!(Plan::read(&paths).unwrap(), None);
        fs::create_dir_all(paths.dir()).unwrap();
        plan().write(&paths).unwrap();
        assert_eq!(Plan::read(&paths).unwrap(), Some(plan()));
        fs::write(paths.plan(), r#"{"format": 99}"#).unwrap();
        assert!(matches!(
            Plan::read(&paths),
            Err(Error::NewerState { found: 99, .. })
        ));
        fs::write(paths.plan(), "{").unwrap();
        assert!(matches!(Plan::read(&paths), Err(Error::Plan { .. })));
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn addresses_follow_the_address_plan() {
        assert_eq!(plan().addresses().unwrap().node(3).to_string(), "10.162.0.13");
        assert_eq!(plan().node_names(), ["a-1", "a-2", "a-3"]);
    }
}
