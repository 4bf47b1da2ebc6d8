//! What can go wrong when opening, writing and watching.
use std::{io, path::PathBuf, sync::Arc};

/// Why a store cannot be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or the folder cannot be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has this store open.
    #[error("{path} is in use by another process")]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The file was written by a newer program.
    #[error("{path} has format version {found}, this program knows versions up to {known}")]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The contents are damaged where a crash cannot have damaged them.
    #[error("{path} is damaged at offset {offset}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A log between the snapshot and the newest log is missing.
    #[error("revision {expected} is missing: {path} continues with revision {found}")]
    MissingRevision {
        /// The file that comes after the gap.
        path: PathBuf,
        /// The revision that should have come next.
        expected: u64,
        /// The revision that came.
        found: u64,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why a write was refused. Nothing of it is stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The key had to be free.
    #[error("{key} already exists")]
    Exists {
        /// The key.
        key: Arc<str>,
    },
    /// The key had to hold something.
    #[error("{key} not found")]
    NotFound {
        /// The key.
        key: Arc<str>,
    },
    /// The key holds another revision than the caller has seen.
    #[error("{key} has revision {found}, not {expected}")]
    Conflict {
        /// The key.
        key: Arc<str>,
        /// What the caller expected.
        expected: u64,
        /// What is stored.
        found: u64,
    },
    /// Only JSON objects can be stored.
    #[error("{key}: the value is not a JSON object with object metadata")]
    NotAnObject {
        /// The key.
        key: Arc<str>,
    },
    /// The log could not be written (a full disk, say). The store goes on: later writes are tried again.
    #[error("cannot write {path}: {source}")]
    Disk {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The writer has ended; it cannot come back.
    #[error("the store is closed")]
    Closed,
}

/// The events asked for are no longer, or not all, at hand: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {requested} ({oldest})")]
pub struct Gone {
    /// The revision that was asked for, or up to which a slow watcher had come.
    pub requested: u64,
    /// The oldest revision after which a watch can start now.
    pub oldest: u64,
}
