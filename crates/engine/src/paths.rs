use std::path::{Path, PathBuf};

use crate::Error;

/// Where one cluster keeps its state.
#[derive(Debug, Clone)]
pub struct Paths {
    state: PathBuf,
    name: String,
}

impl Paths {
    /// The paths of cluster `name` below the state root (`/var/lib/cncfdemo`).
    pub fn new(state: &Path, name: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = |c: Option<char>| c.is_some_and(|c| c != '-');
        let fits = (1..=40).contains(&name.len()) && name.chars().all(allowed);
        if !fits || !ends(name.chars().next()) || !ends(name.chars().last()) {
            return Err(Error::Name(name.to_owned()));
        }
        Ok(Self {
            state: state.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The paths of the cluster whose own folder this is.
    pub fn of_dir(dir: &Path) -> Result<Self, Error> {
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let state = dir
            .parent()
            .and_then(Path::parent)
            .ok_or_else(|| Error::Name(dir.display().to_string()))?;
        Self::new(state, name)
    }

    /// Names of all clusters that have a folder below the state root, sorted.
    pub fn existing(state: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(state.join("clusters"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The state root, shared by all clusters.
    pub fn state(&self) -> &Path {
        &self.state
    }
    /// The image store, shared by all clusters.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }
    /// The cluster's own folder.
    pub fn dir(&self) -> PathBuf {
        self.state.join("clusters").join(&self.name)
    }
    /// The plan, `cluster.json`.
    pub fn plan(&self) -> PathBuf {
        self.dir().join("cluster.json")
    }
    /// The admin's kubeconfig, mode 0600.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }
    /// Certificates and keys, mode 0700.
    pub fn pki(&self) -> PathBuf {
        self.dir().join("pki")
    }
    /// Write-ahead log and snapshots.
    pub fn store(&self) -> PathBuf {
        self.dir().join("store")
    }
    /// Folders of persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.dir().join("volumes")
    }
    /// What is void after a reboot: sockets, locks, network namespaces.
    pub fn run(&self) -> PathBuf {
        self.dir().join("run")
    }
    /// While this file exists, the runtime daemon restarts the engine.
    pub fn enabled(&self) -> PathBuf {
        self.run().join("enabled")
    }
    /// Where the running engine can be asked to take nodes out; see [`crate::chaos`].
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }
    /// Nodes that are out on purpose.
    pub(crate) fn outages(&self) -> PathBuf {
        self.run().join("outages.json")
    }
    /// The engine's own log.
    pub fn engine_log(&self) -> PathBuf {
        self.dir().join("engine.log")
    }
    /// The runtime daemon's log.
    pub fn runtime_log(&self) -> PathBuf {
        self.dir().join("runtime.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_or_confuse_are_refused() {
        for bad in ["", "..", "a/b", "A", "-a", "a-", "a b", &"x".repeat(41)] {
            assert!(
                matches!(Paths::new(Path::new("/s"), bad), Err(Error::Name(_))),
                "{bad}"
            );
        }
        assert_eq!(
            Paths::new(Path::new("/s"), "a-1").unwrap().plan(),
            Path::new("/s/clusters/a-1/cluster.json")
        );
    }
}
