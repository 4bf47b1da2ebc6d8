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
    /// Server-side apply: the configuration does not fit its type (500, without a reason).
    #[error("{0}")]
    Untyped(String),
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
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.message.as_str()).collect();
    // Those of a scale come first: their entries have no time.
    managers.sort_unstable_by_key(|message| message.replace(" with subresource", ""));
    managers.dedup();
    let mut out = format!("Apply failed with {} conflicts: ", conflicts.len());
    for (n, manager) in managers.iter().enumerate() {
        let separator = if n == 0 { "" } else { "\n" };
        let who = manager.trim_start_matches("conflict with ");
        // Writing to a string cannot fail.
        let _ = write!(out, "{separator}conflicts with {who}:");
        for conflict in conflicts.iter().filter(|c| c.message == *manager) {
            let _ = write!(out, "\n- {}", conflict.field);
        }
    }
    out
}
