use std::path::PathBuf;

/// Why a cluster could not be created, run, found or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("failed to {action} {path}: {source}")]
    File {
        /// What was tried: `read`, `write`, `create`, …
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A name that cannot be used in host names, links and folders.
    #[error(
        "`{0}` cannot name a cluster: use 1 to 40 lowercase letters, digits and `-`, starting and ending with a letter or digit"
    )]
    Name(String),
    /// `cluster.json` is there but cannot be understood.
    #[error("failed to understand {path}: {reason}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such cluster.
    #[error("there is no local cluster `{0}`")]
    NotFound(String),
    /// The state was written by a newer program.
    #[error(
        "cluster `{name}` was written in state format {found}, this program understands up to {known}: use the newer cncfdemo, or destroy the cluster with it"
    )]
    NewerState {
        /// Cluster name.
        name: String,
        /// Format found.
        found: u32,
        /// Newest format that this program understands.
        known: u32,
    },
    /// An existing cluster differs from what was asked for.
    #[error(
        "cluster `{name}` exists with {existing}, {asked} asked for: destroy it first, or choose another --name"
    )]
    Different {
        /// Cluster name.
        name: String,
        /// What it has, such as `2 node(s)`.
        existing: String,
        /// What is asked for.
        asked: String,
    },
    /// A cluster of this name lives below another state root.
    #[error(
        "the name `{name}` belongs to the cluster in {folder} on this machine: use its --state-dir, or another --name"
    )]
    Taken {
        /// Cluster name.
        name: String,
        /// The other cluster's folder.
        folder: PathBuf,
    },
    /// A certificate or key could not be made or read.
    #[error("failed to make certificates: {0}")]
    Pki(String),
    /// The engine did not become ready.
    #[error("cluster `{name}` is not ready after {seconds} s: {reason}; see {log}")]
    NotReady {
        /// Cluster name.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// The last thing that was missing.
        reason: String,
        /// Where the engine writes what it does.
        log: PathBuf,
    },
    /// A part of the engine failed to start.
    #[error("failed to start {part}: {reason}")]
    Part {
        /// Which part: `API server`, `pod network`, …
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The running engine was asked something by its control socket and did not do it.
    #[error("failed to {action}: {reason}")]
    Control {
        /// What was asked, such as `stop node a-2`.
        action: String,
        /// Why not, in the engine's words.
        reason: String,
    },
    /// Something of the cluster could not be taken away.
    #[error("cluster `{name}` is gone except for: {}", left.join("; "))]
    Leftovers {
        /// Cluster name.
        name: String,
        /// What is left, each with the reason.
        left: Vec<String>,
    },
}

impl Error {
    /// Wraps an I/O error with the path it is about.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }

    /// Wraps any failure of a part of the engine.
    pub(crate) fn part(part: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Error {
        move |reason| {
            let mut text = reason.to_string();
            let mut source = reason.source();
            while let Some(inner) = source {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                source = inner.source();
            }
            Error::Part { part, reason: text }
        }
    }
}
