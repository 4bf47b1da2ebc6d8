//! What a cluster is: decided once at bootstrap, kept in `cluster.json`, never guessed again.
use std::fs;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Error, Paths};

/// Newest state format this program writes and understands.
pub const FORMAT: u32 = 1;

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
        let bad = |reason: String| Error::Plan { path: path.clone(), reason };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let found = value["format"].as_u64().ok_or_else(|| bad("it has no `format`".to_owned()))? as u32;
        if found > FORMAT {
            return Err(Error::NewerState { name: paths.name().to_owned(), found, known: FORMAT });
        }
        serde_json::from_value(value).map(Some).map_err(|e| bad(e.to_string()))
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

    /// The backbone address, where pods find the API server and DNS.
    pub fn backbone(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 1)
    }
    /// ClusterIP of the `kubernetes` Service.
    pub fn kubernetes_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 112 + self.index, 0, 1)
    }
    /// ClusterIP of cluster DNS.
    pub fn dns_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 112 + self.index, 0, 10)
    }
    /// InternalIP of node `n`, 1-based.
    pub fn node_ip(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 10 + n as u8)
    }
    /// Range of ClusterIPs.
    pub fn service_cidr(&self) -> String {
        format!("10.{}.0.0/16", 112 + self.index)
    }
    /// Pod range of node `n`, 1-based.
    pub fn pod_cidr(&self, n: u32) -> String {
        format!("10.{}.{n}.0/24", 64 + self.index)
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
        assert!(matches!(Plan::read(&paths), Err(Error::NewerState { found: 99, .. })));
        fs::write(paths.plan(), "{").unwrap();
        assert!(matches!(Plan::read(&paths), Err(Error::Plan { .. })));
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn addresses_follow_the_address_plan() {
        assert_eq!(plan().node_ip(3).to_string(), "10.162.0.13");
        assert_eq!(plan().pod_cidr(1), "10.66.1.0/24");
        assert_eq!(plan().dns_service().to_string(), "10.114.0.10");
        assert_eq!(plan().node_names(), ["a-1", "a-2", "a-3"]);
    }
}
