//! How to build, what is told meanwhile, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::debian::keyring::Keyring;
use crate::debian::sources::Mirrors;
use crate::model::host_architecture;
use crate::{Image, Reference, Result};

/// What a build tells while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Reading and verifying repository metadata.
    Metadata,
    /// Packages are downloaded: how many of how many.
    Downloading {
        /// Packages here.
        done: usize,
        /// Packages needed.
        total: usize,
    },
    /// Packages are unpacked into a layer.
    Unpacking {
        /// Packages.
        packages: usize,
    },
    /// Something that a person should know but that does not stop the build.
    Note(String),
}

/// Whom a build tells.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// How to build.
#[derive(Clone)]
pub struct BuildOptions {
    /// Where Debian's archive is.
    pub mirrors: Mirrors,
    /// Architecture in Debian's words; default: this machine's.
    pub architecture: String,
    /// Trusted keys; default: Debian's.
    pub keyring: Keyring,
    /// Downloads and indexes.
    pub cache: PathBuf,
    /// Metadata younger than this are not asked for again.
    pub max_age: Duration,
    /// Take metadata that are past their `Valid-Until` (or dated in the future), with a note. For mirrors of a fixed day.
    pub accept_expired: bool,
    /// Only resolve; nothing is built or named.
    pub dry_run: bool,
    /// This program, for recipes with `binary = "self"`.
    pub program: Option<PathBuf>,
    /// Tag of images without packages.
    pub version: String,
    /// Whom to tell.
    pub progress: OnProgress,
}

impl BuildOptions {
    /// Options with this cache folder, the public mirrors and Debian's keys.
    pub fn new(cache: impl Into<PathBuf>) -> Result<Self> {
        let architecture = match host_architecture() {
            "386" => "i386",
            other => other,
        };
        Ok(Self {
            mirrors: Mirrors::default(),
            architecture: architecture.to_owned(),
            keyring: Keyring::debian()?,
            cache: cache.into(),
            max_age: Duration::from_mins(10),
            accept_expired: false,
            dry_run: false,
            program: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            progress: Arc::new(|_| {}),
        })
    }
}

/// What a build did, or with `dry_run` would do.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's name.
    pub reference: Reference,
    /// The image; `None` after a dry run.
    pub image: Option<Image>,
    /// Whether it was there already.
    pub cached: bool,
    /// The packages in it, by name.
    pub packages: Vec<PackageInfo>,
    /// Bytes that came over the network.
    pub downloaded: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// A package of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of the package file.
    pub size: u64,
    /// Whether it is in the shared base layer.
    pub base: bool,
}
