//! Debian's archive as a source of images: signed metadata, indexes, dependency resolution, package files.
//!
//! Nothing is taken on trust: `InRelease` is verified by OpenPGP and its dates, `Packages` by the hash in `InRelease`, each package
//! by the hash in `Packages`. Maintainer scripts are never run.

pub(crate) mod control;
pub(crate) mod deb;
pub(crate) mod fetch;
pub(crate) mod index;
pub(crate) mod keyring;
pub(crate) mod release;
pub(crate) mod repository;
pub(crate) mod resolve;
pub(crate) mod sources;
pub(crate) mod version;
