//! What can go wrong, for callers.

use std::path::PathBuf;

use crate::proto::{Failure, FailureKind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the daemon and in its client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such container, exec or cgroup.
    #[error("{0}")]
    NotFound(String),
    /// The id is taken.
    #[error("{0}")]
    Exists(String),
    /// The container is not in the state that the request needs.
    #[error("{0}")]
    State(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Kubernetes has this, this runtime does not.
    #[error("{0}")]
    Unsupported(String),
    /// The container's own fault, worded as runc words it.
    #[error("{0}")]
    Start(String),
    /// It took too long and was given up.
    #[error("{0}")]
    Timeout(String),
    /// The machine's or our fault.
    #[error("{0}")]
    Internal(String),
    /// No daemon answers.
    #[error("runtime daemon at {path} does not answer: {reason}")]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The daemon went away before it answered; whether the request was carried out is not known.
    #[error("runtime daemon went away before it answered")]
    Lost,
    /// A system call failed.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried, naming the path.
        what: String,
        /// The system's words.
        reason: String,
    },
}

impl Error {
    /// A failed system call.
    pub(crate) fn io(what: impl Into<String>, err: impl std::fmt::Display) -> Self {
        Self::Io {
            what: what.into(),
            reason: err.to_string(),
        }
    }

    /// For the wire.
    pub(crate) fn to_failure(&self) -> Failure {
        let kind = match self {
            Self::NotFound(_) => FailureKind::NotFound,
            Self::Exists(_) => FailureKind::Exists,
            Self::State(_) => FailureKind::State,
            Self::Invalid(_) => FailureKind::Invalid,
            Self::Unsupported(_) => FailureKind::Unsupported,
            Self::Start(_) => FailureKind::Start,
            Self::Timeout(_) => FailureKind::Timeout,
            Self::Internal(_) | Self::Unreachable { .. } | Self::Lost | Self::Io { .. } => {
                FailureKind::Internal
            }
        };
        Failure {
            kind,
            message: self.to_string(),
        }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Self {
        match f.kind {
            FailureKind::NotFound => Self::NotFound(f.message),
            FailureKind::Exists => Self::Exists(f.message),
            FailureKind::State => Self::State(f.message),
            FailureKind::Invalid => Self::Invalid(f.message),
            FailureKind::Unsupported => Self::Unsupported(f.message),
            FailureKind::Start => Self::Start(f.message),
            FailureKind::Timeout => Self::Timeout(f.message),
            FailureKind::Internal => Self::Internal(f.message),
        }
    }
}
