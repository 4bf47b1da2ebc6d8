use crate::MeansError;

/// Why a fault cannot be injected or undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do what it was asked.
    #[error("failed to {doing}: {}", said(source))]
    Api {
        /// What was asked for.
        doing: String,
        /// What it said.
        source: kube::Error,
    },
    /// Nothing fits the selection.
    #[error("{0}")]
    NoVictim(String),
    /// It cannot be done to this victim or on this cluster; the sentence says why.
    #[error("{0}")]
    Impossible(String),
    /// The means that only this cluster has did not work.
    #[error("failed to {doing}: {source}")]
    Means {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: MeansError,
    },
    /// The pod that was to carry the fault out did not.
    #[error("pod/{pod}, which was to carry the fault out, {reason}")]
    Helper {
        /// Its name.
        pod: String,
        /// What it said, or what became of it.
        reason: String,
    },
    /// The store does not tell its roles, or does not come to rest.
    #[error("the store {0}")]
    Store(String),
}

/// What the API server said, without the rest of its answer.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let doing = doing.into();
        |source| Error::Api { doing, source }
    }

    pub(crate) fn means(doing: impl Into<String>) -> impl FnOnce(MeansError) -> Error {
        let doing = doing.into();
        |source| Error::Means { doing, source }
    }
}
