//! Who changed what: one JSON line a request in `audit.log`, reads left out.
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use engine_api::{AuditEvent, AuditHook};
use serde_json::json;

use crate::{Error, Paths};

/// The log is turned over at this size; one older one is kept.
const LIMIT: u64 = 16 << 20;
/// Events that wait for the disk; beyond it they are counted and told of, not waited for.
const WAITING: usize = 4096;

/// A hook that appends to the cluster's `audit.log` from a thread of its own.
pub(super) fn to_file(paths: &Paths) -> Result<AuditHook, Error> {
    let path = paths.dir().join("audit.log");
    let mut file = open(&path).map_err(Error::file("open", &path))?;
    let (send, receive) = sync_channel::<String>(WAITING);
    std::thread::spawn(move || {
        for line in receive {
            // A full disk costs audit lines, never requests.
            if let Err(e) = file.write_all(line.as_bytes()) {
                tracing::warn!("failed to write {}: {e}", path.display());
            }
            if file.metadata().is_ok_and(|m| m.len() > LIMIT) {
                let _ = std::fs::rename(&path, path.with_extension("log.1"));
                match open(&path) {
                    Ok(new) => file = new,
                    Err(e) => tracing::warn!("failed to open {}: {e}", path.display()),
                }
            }
        }
    });
    Ok(Arc::new(move |event: &AuditEvent| {
        if matches!(event.verb, "get" | "list" | "watch") {
            return;
        }
        let mut line = json!({
            "time": event.time, "user": event.user, "agent": event.agent, "verb": event.verb, "uri": event.uri,
            "code": event.code, "ms": event.took.as_micros() as f64 / 1000.0,
        });
        if !event.annotations.is_empty() {
            line["annotations"] = json!(event.annotations);
        }
        if send.try_send(format!("{line}\n")).is_err() {
            tracing::warn!("an audit line was dropped: the disk is too slow");
        }
    }))
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}
