//! Pod Security Standards, decided and worded as upstream's `k8s.io/pod-security-admission` (1.36) does; pure.
//!
//! A namespace's labels make a [`Policy`]: what is enforced, audited and warned of, each a [`Standard`], that is a [`Level`] of a
//! [`Version`]. [`violations`] tells what of a pod a standard does not allow. Nothing here knows of requests; the API server's
//! admission asks these questions and makes answers of them.

mod checks;
mod level;
mod pod;
mod policy;
mod update;
mod words;

#[cfg(test)]
mod tests;

pub use checks::violations;
pub use level::{Level, Standard, Version};
pub use policy::{LABEL_PREFIX, LabelError, Policy};
pub use update::is_significant_update;

/// What a pod does that a standard does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// In short: `host namespaces`.
    pub reason: &'static str,
    /// Who does it, and how: `hostNetwork=true`.
    pub detail: String,
}

/// All reasons and details in one line, for an answer about one pod.
pub fn details(violations: &[Violation]) -> String {
    let shown: Vec<String> = violations
        .iter()
        .map(|v| format!("{} ({})", v.reason, v.detail))
        .collect();
    shown.join(", ")
}

/// All reasons in one line, for an answer about many pods.
pub fn reasons(violations: &[Violation]) -> String {
    let shown: Vec<&str> = violations.iter().map(|v| v.reason).collect();
    shown.join(", ")
}
