use std::path::PathBuf;

/// Why background work does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on, or serving failed.
    #[error("failed to serve on {address}: {source}")]
    Serve {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be read or written.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the list of molecules is not `SMILES NAME`.
    #[error("{}:{line}: expected a SMILES and a name", path.display())]
    Ligand {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The list of molecules is empty.
    #[error("{}: there is no molecule in it", path.display())]
    NoLigand {
        /// The list.
        path: PathBuf,
    },
    /// A program of the image cannot be run.
    #[error("failed to run {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program has failed, or its output is not what it should be.
    #[error("{program} on {ligand}: {reason}")]
    Docking {
        /// Its name.
        program: &'static str,
        /// The molecule.
        ligand: String,
        /// Its own words, or what is missing in them.
        reason: String,
    },
    /// A BOINC client cannot be asked.
    #[error("failed to ask the BOINC client at {address}: {reason}")]
    Boinc {
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// A BOINC client's answer is not XML.
    #[error("the BOINC client's answer cannot be read: {0}")]
    BoincAnswer(String),
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }
}
