//! Taking a cluster's network away, from its names alone.

use std::{fs, path::Path};

use crate::{
    Error,
    namespace::{remove_dir, unmount},
    netlink::{Batch, Socket},
    plan::{host_link, link_alias, netns_dir},
};

/// Removes the host's link and every namespace below `run_dir` (`clusters/NAME/run`) of the cluster `name`. Needs no
/// engine, can be run again, and carries on after failures: what could not be removed is returned. End the cluster's
/// processes first: a namespace lives as long as one of them.
pub fn destroy(run_dir: &Path, name: &str) -> Vec<Error> {
    let mut failures = Vec::new();
    if let Err(error) = delete_host_link(run_dir, name) {
        failures.push(error);
    }
    let dir = netns_dir(run_dir);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return failures,
        Err(error) => {
            failures.push(Error::file("list", &dir, error));
            return failures;
        }
    };
    for entry in entries {
        match entry {
            Ok(entry) => failures.extend(unmount(&entry.path()).err()),
            Err(error) => failures.push(Error::file("list", &dir, error)),
        }
    }
    if failures.is_empty() {
        failures.extend(remove_dir(&dir).err());
    }
    failures
}

fn delete_host_link(run_dir: &Path, name: &str) -> Result<(), Error> {
    let host = Socket::route()?;
    let link = host_link(name);
    let Some(found) = host.link(&link)? else {
        return Ok(());
    };
    let alias = link_alias(run_dir);
    if !found.alias.is_empty() && found.alias != alias {
        return Err(Error::ForeignLink {
            link,
            alias: found.alias,
            expected: alias,
        });
    }
    host.execute(Batch::default().delete_link(&link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_never_was_leaves_nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        assert!(destroy(dir.path(), "engine-net-test-never-was").is_empty());
    }

    #[test]
    fn files_without_a_mount_are_removed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: umount needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("netns")).unwrap();
        fs::write(dir.path().join("netns/pod.1.2.x"), "").unwrap();
        assert!(destroy(dir.path(), "engine-net-test-files").is_empty());
        assert!(!dir.path().join("netns").exists());
    }
}
