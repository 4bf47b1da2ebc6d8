//! JSON, merge and strategic merge patches, and server-side apply; pure.
use serde_json::Value;

/// Why a patch cannot be applied. The message is worded as upstream words it.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The body is not a patch (400 `BadRequest`).
    #[error("{0}")]
    Malformed(String),
    /// The patch is well formed but does not fit this object (422 `Invalid`).
    #[error("{0}")]
    Unprocessable(String),
    /// Server-side apply: other managers own the fields (409 `Conflict`): (manager, field path) pairs.
    #[error("Apply failed with {} conflict(s)", .0.len())]
    Conflict(Vec<Conflict>),
}

/// One field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The cause's message: `conflict with "kubectl" using apps/v1`, as upstream.
    pub message: String,
    /// Dotted path such as `.spec.replicas`.
    pub field: String,
}

/// RFC 6902. `patch` is the request body.
pub fn json_patch(_object: &Value, _patch: &[u8]) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not supported".into()))
}

/// RFC 7386.
pub fn merge_patch(_object: &Value, _patch: &[u8]) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not supported".into()))
}

/// Kubernetes' strategic merge patch, driven by the schema's merge keys. `definition` is an OpenAPI definition name.
pub fn strategic_merge_patch(_definition: &str, _object: &Value, _patch: &[u8]) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not supported".into()))
}

/// Who writes, for managed fields.
#[derive(Debug, Clone)]
pub struct Manager<'a> {
    /// Field manager name.
    pub name: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Subresource, empty for the main resource.
    pub subresource: &'a str,
    /// RFC 3339 time of the request, seconds precision.
    pub time: &'a str,
}

/// Server-side apply: merge `applied` into `live` (None on create) and track ownership in `metadata.managedFields`.
/// The result is not defaulted or validated; the caller does both, then calls [`prune_managed`].
pub fn apply(
    _definition: &str, _live: Option<&Value>, _applied: &Value, _manager: &Manager<'_>, _force: bool,
) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not supported".into()))
}

/// After a create, update or patch: give the fields that differ between `old` and `new` to the manager (operation
/// Update), take them from the others; writes `metadata.managedFields` of `new`. A no-op leaves managedFields as they were.
pub fn track_update(_definition: &str, _old: Option<&Value>, _new: &mut Value, _manager: &Manager<'_>) {}
