//! What the machine looks like: everything that a local cluster could leave behind.
//!
//! Items are lines of text by category, so that a difference is readable as it is. What belongs to another cluster, and
//! what other programs do meanwhile (their processes, their runtime files), is not looked at or passed over by name.
mod cgroups;
mod files;
mod netlink;
mod network;
mod processes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::PATIENCE;

/// The machine at one moment, as a cluster of this name and state folder could change it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    scope: Scope,
    items: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Whose traces are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) state: PathBuf,
}

impl Scope {
    /// The one link that a cluster has on the host (ARCHITECTURE.md).
    pub(crate) fn link(&self) -> String {
        let hash = Sha256::digest(self.name.as_bytes());
        format!("cd-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
    }
}

impl Snapshot {
    /// Looks.
    ///
    /// # Panics
    /// When `/proc` cannot be read, without which nothing can be said.
    pub fn take(name: &str, state: &Path) -> Snapshot {
        let scope = Scope {
            name: name.to_owned(),
            state: state.to_owned(),
        };
        let processes = processes::all();
        let items = BTreeMap::from([
            ("mounts", files::mounts(&scope)),
            ("network namespaces", network::namespaces(&scope, &processes)),
            ("links", network::links(&scope)),
            ("routes", network::routes(&scope)),
            ("routing rules", netlink::routing_rules()),
            ("nft tables and rules", netlink::nft()),
            ("cgroups", cgroups::folders(&scope)),
            ("processes", processes::of(&scope, &processes)),
            ("files", files::files(&scope)),
            ("sysctls", files::sysctls()),
        ]);
        Snapshot { scope, items }
    }

    /// The items of a category, for tests that the snapshot sees what it is to see.
    pub fn items(&self, category: &str) -> impl Iterator<Item = &str> {
        self.items.get(category).into_iter().flatten().map(String::as_str)
    }

    /// What has come and gone since.
    pub fn difference(&self, after: &Snapshot) -> Difference {
        let mut lines = Vec::new();
        for (category, before) in &self.items {
            let after = &after.items[category];
            // Processes and namespaces of others end when they like; that they have gone says nothing of a cluster.
            if !["processes", "network namespaces"].contains(category) {
                lines.extend(
                    before
                        .difference(after)
                        .map(|item| format!("- {category}: {item}")),
                );
            }
            lines.extend(
                after
                    .difference(before)
                    .map(|item| format!("+ {category}: {item}")),
            );
        }
        Difference { lines }
    }

    /// Looks again until the machine is as it was: the kernel lets go of links when the last reference to their network namespace has
    /// gone, and programs of tests beside this one end.
    ///
    /// # Panics
    /// When it does not get there; the message is the difference.
    pub fn assert_restored(&self) {
        let begun = Instant::now();
        loop {
            let difference = self.difference(&Snapshot::take(&self.scope.name, &self.scope.state));
            if difference.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the machine is not as it was before:\n{difference}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What has come (`+`) and gone (`-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    lines: Vec<String>,
}

impl Difference {
    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether some line of this category has come.
    pub fn has_come(&self, category: &str) -> bool {
        self.lines
            .iter()
            .any(|line| line.starts_with(&format!("+ {category}: ")))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
