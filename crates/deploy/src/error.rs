/// Why something could not be rendered, applied or waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A template does not render; the message has file, line and the source around it.
    #[error("{message}")]
    Template {
        /// What is wrong and where.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A manifest is not YAML or JSON, or lacks what every object has.
    #[error("{origin}: {reason}")]
    Manifest {
        /// File, and line where known.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A value given with `--set` or a values file is malformed.
    #[error("{origin}: {reason}")]
    Values {
        /// File or argument.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A ConfigMap's sources are unusable, worded as kubectl words it.
    #[error("{0}")]
    ConfigMap(String),
    /// The cluster does not serve this kind.
    #[error("{origin}: the cluster has no kind {kind} in {api_version}")]
    NoSuchKind {
        /// Where the object came from.
        origin: String,
        /// Kind asked for.
        kind: String,
        /// apiVersion asked for.
        api_version: String,
    },
    /// The API server refused an object.
    #[error("{origin}: {kind} {name}: {reason}")]
    Refused {
        /// Where the object came from.
        origin: String,
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// The server's own words.
        reason: String,
    },
    /// A workload has failed for good, or has not become ready in time.
    #[error("step {step}: {object} {reason}")]
    NotReady {
        /// The step.
        step: String,
        /// `kind/name`.
        object: String,
        /// The cluster's own words.
        reason: String,
    },
    /// The steps file is malformed.
    #[error("{origin}: {reason}")]
    Steps {
        /// The file.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The API could not be reached or answered with an error.
    #[error("failed to {action}: {}", said(source))]
    Api {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
}

/// What the API server said, without the rest of its answer.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let action = action.into();
        move |source| Error::Api {
            action,
            source: Box::new(source),
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Template { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
