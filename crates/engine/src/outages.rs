//! Nodes that are out on purpose, until when: kept in `run/outages.json`, so that a new engine ends what an old one began.
use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Paths};

/// What is wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its agent and containers are dead and its link is down, as if its power had failed.
    Stopped,
    /// Its link is down; its agent and pods go on and reach nobody outside.
    Cut,
}

/// One node's outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outage {
    pub(crate) kind: Kind,
    pub(crate) until: Timestamp,
}

/// All outages, by node name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Outages(BTreeMap<String, Outage>);

impl Outages {
    /// What is recorded and not over yet.
    pub(crate) fn read(paths: &Paths) -> Result<Self, Error> {
        let path = paths.outages();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::file("read", path)(e)),
        };
        let mut outages: Self = serde_json::from_slice(&text).map_err(|e| Error::Plan {
            path,
            reason: e.to_string(),
        })?;
        let now = Timestamp::now();
        outages.0.retain(|_, outage| outage.until > now);
        Ok(outages)
    }

    /// Records them so that a crash leaves either the old or the new ones.
    pub(crate) fn write(&self, paths: &Paths) -> Result<(), Error> {
        let temporary = paths.run().join("outages.json.tmp");
        let text = serde_json::to_vec(self).unwrap_or_default();
        fs::write(&temporary, text).map_err(Error::file("write", &temporary))?;
        fs::rename(&temporary, paths.outages()).map_err(Error::file("write", paths.outages()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, node: &str) -> Option<Outage> {
        self.0.get(node).copied()
    }

    pub(crate) fn set(&mut self, node: &str, outage: Outage) {
        self.0.insert(node.to_owned(), outage);
    }

    pub(crate) fn remove(&mut self, node: &str) {
        self.0.remove(node);
    }

    /// The one that ends first.
    pub(crate) fn next(&self) -> Option<(&str, Timestamp)> {
        let first = self.0.iter().min_by_key(|(_, outage)| outage.until)?;
        Some((first.0, first.1.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn what_is_over_is_forgotten_and_the_rest_survives_the_disk() {
        let state = std::env::temp_dir().join(format!("engine-outages-{}", std::process::id()));
        let paths = Paths::new(&state, "a").unwrap();
        assert_eq!(Outages::read(&paths).unwrap().len(), 0);
        fs::create_dir_all(paths.run()).unwrap();
        let in_seconds = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
        let mut outages = Outages::default();
        for (node, kind, seconds) in [
            ("a-1", Kind::Stopped, -1),
            ("a-2", Kind::Cut, 60),
            ("a-3", Kind::Stopped, 30),
        ] {
            let until = in_seconds(seconds);
            outages.set(node, Outage { kind, until });
        }
        outages.write(&paths).unwrap();
        let read = Outages::read(&paths).unwrap();
        assert_eq!(read.get("a-1"), None);
        assert_eq!(read.get("a-2"), outages.get("a-2"));
        assert_eq!(read.next().map(|(node, _)| node), Some("a-3"));
        fs::remove_dir_all(state).unwrap();
    }
}
