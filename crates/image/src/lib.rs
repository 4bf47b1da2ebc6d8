//! OCI images: a store, archives, registries, and images built from signed Debian packages.
//!
//! - [`Store`]: one folder for all clusters, several processes at once. [`Store::resolve`], [`Store::unpacked_layers`], [`Store::import`],
//!   [`Store::export`], [`Store::list`], [`Store::remove`], [`Store::prune`]. These methods block.
//! - [`Store::pull`]: from a registry (async).
//! - [`Builder`]: [`Recipe`]s to images, from Debian packages whose metadata are signed (async).
//!
//! Everything that comes in is verified against its digest; nothing of a package or a layer is ever run.

mod archive;
mod assemble;
mod build;
mod compress;
mod debian;
mod digest;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod model;
mod options;
mod recipe;
mod reference;
mod registry;
mod store;
mod tree;
mod unpack;

pub use build::Builder;
pub use debian::keyring::Keyring;
pub use debian::sources::Mirrors;
pub use digest::Digest;
pub use error::{Error, Result};
pub use model::{Image, ImageConfig, Layer};
pub use options::{BuildOptions, Built, OnProgress, PackageInfo, Progress};
pub use recipe::{Directory, Group, Link, RECIPE_FILE, Recipe, RecipeFile, Recipes, User};
pub use reference::Reference;
pub use registry::PullOptions;
pub use store::{Pruned, Store};
