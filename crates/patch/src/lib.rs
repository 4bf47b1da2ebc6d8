//! JSON, merge and strategic merge patches, and server-side apply; pure.
//!
//! - [`json_patch`], [`merge_patch`], [`strategic_merge_patch`]: object and patch in, object out. The result is neither
//!   defaulted nor validated.
//! - [`apply`] merges an applied configuration and keeps `metadata.managedFields`; [`track_update`] keeps them for every
//!   other write. Both follow structured-merge-diff v6 and apimachinery's `managedfields` (Kubernetes 1.36), whose types are
//!   Go structs: fields that Go always writes (`status: {}`) are taken as present on both sides of a comparison.

mod apply;
mod error;
mod go;
mod json;
mod merge;
mod strategic;

pub use apply::{
    Manager, Typing, apply, apply_scale, check_applied, identity, merge_configuration, track_scale,
    track_update,
};
pub use error::{Conflict, PatchError};
pub use json::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge_patch;
