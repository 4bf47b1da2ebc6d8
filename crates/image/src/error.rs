//! What can go wrong with images, each naming the thing that it went wrong with.

use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the image store, of an archive, a registry or a build.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was being done ("read", "write", ...).
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left on device while writing {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// An image name that is none.
    #[error("invalid image reference `{input}`: {reason}")]
    Reference {
        /// What was given.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store has no such image.
    #[error("image {reference} is not in the image store")]
    NotFound {
        /// The normalised reference.
        reference: String,
    },
    /// A digest that is malformed or of an algorithm that is not supported.
    #[error("invalid digest `{input}` (sha256:HEX is supported)")]
    Digest {
        /// What was given.
        input: String,
    },
    /// Bytes that are not what their name says.
    #[error("{what} has digest {actual}, not {expected}: it is damaged or was changed")]
    Mismatch {
        /// What was read.
        what: String,
        /// The digest promised.
        expected: Digest,
        /// The digest seen.
        actual: Digest,
    },
    /// An archive that is not an image archive, or a damaged one.
    #[error("{what} is not a usable image archive: {reason}")]
    Archive {
        /// The file.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A JSON document of an image that cannot be understood.
    #[error("failed to parse {what}")]
    Json {
        /// Which document.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A layer that cannot be unpacked.
    #[error("failed to unpack layer {layer}: {reason}")]
    Layer {
        /// The layer's digest.
        layer: String,
        /// Why.
        reason: String,
    },
    /// A registry that refuses or does not answer.
    #[error("failed to pull {reference}: {reason}")]
    Pull {
        /// The normalised reference.
        reference: String,
        /// Why.
        reason: String,
    },
    /// A download failed.
    #[error("failed to fetch {url}: {reason}")]
    Fetch {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A download is not what the signed metadata promise.
    #[error("{url} does not match the signed metadata: expected sha256 {expected}, got {actual}")]
    FetchedMismatch {
        /// The address.
        url: String,
        /// What the metadata promise, in hex.
        expected: String,
        /// What came, in hex.
        actual: String,
    },
    /// Repository metadata without a good signature.
    #[error("{url} is not signed by a trusted key: {reason}")]
    Signature {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// Keys that cannot be read.
    #[error("failed to read OpenPGP keys from {what}: {reason}")]
    Keyring {
        /// The file.
        what: String,
        /// Why.
        reason: String,
    },
    /// Repository metadata that are past their date.
    #[error("{url} expired at {until} (it is {now} now)")]
    Expired {
        /// The address.
        url: String,
        /// Its `Valid-Until`.
        until: String,
        /// This machine's clock.
        now: String,
    },
    /// Repository metadata from the future.
    #[error("{url} is dated {date}, which is in the future (it is {now} now)")]
    FromTheFuture {
        /// The address.
        url: String,
        /// Its `Date`.
        date: String,
        /// This machine's clock.
        now: String,
    },
    /// Repository metadata that cannot be understood.
    #[error("{what} is malformed: {reason}")]
    Metadata {
        /// The document.
        what: String,
        /// Why.
        reason: String,
    },
    /// A package that no source has.
    #[error("no package `{name}` in {sources}")]
    NoPackage {
        /// The name.
        name: String,
        /// The suites that were searched.
        sources: String,
        /// Names that look alike.
        similar: Vec<String>,
    },
    /// A dependency that nothing satisfies.
    #[error("{package} depends on `{dependency}`, which nothing in {sources} satisfies")]
    Unsatisfied {
        /// Who depends.
        package: String,
        /// On what.
        dependency: String,
        /// The suites that were searched.
        sources: String,
    },
    /// Two packages of one image that exclude each other.
    #[error("{package} and {other} cannot be in one image: {relation}")]
    Conflict {
        /// One.
        package: String,
        /// The other.
        other: String,
        /// The field that says so.
        relation: String,
    },
    /// A package file that cannot be read.
    #[error("failed to unpack package {package}: {reason}")]
    Package {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
    /// A recipe that is wrong.
    #[error("recipe {recipe}: {reason}")]
    Recipe {
        /// The recipe's name.
        recipe: String,
        /// What is wrong.
        reason: String,
    },
    /// A task of this crate was cancelled or died.
    #[error("a background task of the image store ended early")]
    Task,
}

impl Error {
    /// An [`Error::Io`], or [`Error::DiskFull`] when that is what it is.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.as_ref().to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn json(what: impl Into<String>, source: serde_json::Error) -> Self {
        Self::Json {
            what: what.into(),
            source,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { path } => format!(
                "free space on the file system of {}, or choose another folder (--state-dir, --cache-dir); `cncfdemo image prune` removes what no image needs",
                path.parent().unwrap_or(path).display()
            ),
            Self::NotFound { reference } => format!("`cncfdemo image list` shows what is there; import it with `cncfdemo image import FILE` or pull it with `cncfdemo image pull {reference}`"),
            Self::Mismatch { .. } => "remove it and import, pull or build it again".to_owned(),
            Self::Pull { .. } => "is the registry reachable from here? an image archive can be brought in with `cncfdemo image import FILE`".to_owned(),
            Self::Fetch { .. } => "check the network and http_proxy, or name another mirror (--mirror URL)".to_owned(),
            Self::FetchedMismatch { .. } => "the mirror may be in the middle of an update, or a proxy changes files: try again later or name another mirror (--mirror URL)".to_owned(),
            Self::Signature { .. } => "only metadata signed by Debian's archive keys are used; for a mirror with its own key give it by --keyring FILE".to_owned(),
            Self::Expired { .. } => "the mirror is stale or this machine's clock is wrong: check `date`, or name another mirror (--mirror URL)".to_owned(),
            Self::FromTheFuture { .. } => "this machine's clock is probably wrong: check `date`".to_owned(),
            Self::NoPackage { similar, .. } if !similar.is_empty() => format!("did you mean {}?", similar.join(", ")),
            Self::NoPackage { .. } => "check the spelling and the suite".to_owned(),
            Self::Unsatisfied { dependency, .. } => format!("if the program does not need it, add it to the recipe's `omit`: omit = [\"{}\"]", first_name(dependency)),
            _ => return None,
        })
    }
}

/// The first package name in a dependency such as `debconf (>= 0.5) | debconf-2.0`.
fn first_name(dependency: &str) -> &str {
    dependency
        .split([' ', '|', '(', ':'])
        .next()
        .unwrap_or(dependency)
}

impl From<tokio::task::JoinError> for Error {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Task
    }
}
