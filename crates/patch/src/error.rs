//! Why a patch cannot be applied.
use std::fmt::Write;

/// Why a patch cannot be applied. The message is worded as upstream words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The body is not a patch (400 `BadRequest`).
    #[error("{0}")]
    Malformed(String),
    /// The patch is well formed but does not fit this object (422). A message that begins with `patch: ` is the cause of an
    /// `Invalid` Status for the field `patch`; upstream gives any other as a generic server response.
    #[error("{0}")]
    Unprocessable(String),
    /// Server-side apply: other managers own the fields (409 `Conflict`).
    #[error("{}", conflict_message(.0))]
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

/// The Status message (apimachinery `managedfields/internal/conflict.go`).
fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!(
            "Apply failed with 1 conflict: {}: {}",
            conflict.message, conflict.field
        );
    }
    let mut out = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.message) {
            let separator = if last.is_none() { "" } else { "\n" };
            let who = conflict.message.trim_start_matches("conflict with ");
            // Writing to a string cannot fail.
            let _ = write!(out, "{separator}conflicts with {who}:");
            last = Some(&conflict.message);
        }
        let _ = write!(out, "\n- {}", conflict.field);
    }
    out
}
