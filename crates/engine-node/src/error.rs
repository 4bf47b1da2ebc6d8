//! What can go wrong in the node agent as a whole; what goes wrong with one pod is told in its status and its events.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of the node agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be handled.
    #[error("failed to {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The API server refused something that the node cannot do without.
    #[error("failed to {what}: {}", api_message(source))]
    Api {
        /// What was asked.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// The runtime daemon refused something that the node cannot do without.
    #[error("failed to {what}: {source}")]
    Runtime {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        source: engine_runtime::Error,
    },
    /// The node's network refused something that the node cannot do without.
    #[error("failed to {what}: {source}")]
    Net {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        source: engine_net::Error,
    },
}

impl Error {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<std::path::PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::File {
            what,
            path: path.into(),
            source: source.into(),
        }
    }

    pub(crate) fn api(what: impl Into<String>, source: kube::Error) -> Self {
        Self::Api {
            what: what.into(),
            source: Box::new(source),
        }
    }
}

/// The words of the API server, without the client's wrapping.
pub(crate) fn api_message(err: &kube::Error) -> String {
    match err {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether the API server says that there is no such object.
pub(crate) fn is_not_found(err: &kube::Error) -> bool {
    matches!(err, kube::Error::Api(status) if status.code == 404)
}
