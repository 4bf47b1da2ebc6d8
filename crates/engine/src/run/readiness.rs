//! Tells other processes how many nodes are Ready, by a file that is cheap to read: see `status::ready_nodes`.
use std::collections::BTreeSet;
use std::fs;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};

use crate::{Error, Paths};

/// What an engine before this one has said is void.
pub(super) fn forget(paths: &Paths) -> Result<(), Error> {
    let path = paths.run().join("ready");
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Follows the nodes and rewrites `run/ready` whenever the count changes.
pub(super) fn report(paths: Paths, client: Client) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let nodes: Api<Node> = Api::all(client);
        let mut changes = std::pin::pin!(watcher(nodes, watcher::Config::default()));
        let mut ready = BTreeSet::new();
        let mut told = None;
        while let Some(change) = changes.next().await {
            match change {
                Ok(Event::Init) => ready.clear(),
                Ok(Event::InitApply(node) | Event::Apply(node)) => {
                    let name = node.metadata.name.clone().unwrap_or_default();
                    if is_ready(&node) {
                        ready.insert(name)
                    } else {
                        ready.remove(&name)
                    };
                }
                Ok(Event::Delete(node)) => drop(ready.remove(&node.metadata.name.unwrap_or_default())),
                Ok(Event::InitDone) => {}
                Err(e) => tracing::warn!("nodes cannot be watched: {e}"),
            }
            if told != Some(ready.len()) {
                told = Some(ready.len());
                if let Err(e) = write(&paths, ready.len()) {
                    tracing::warn!("{e}");
                }
            }
        }
    })
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

fn write(paths: &Paths, count: usize) -> Result<(), Error> {
    let (path, temporary) = (paths.run().join("ready"), paths.run().join("ready.tmp"));
    fs::write(&temporary, format!("{} {count}", std::process::id()))
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(Error::file("write", path))
}
