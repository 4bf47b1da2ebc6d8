//! What is told of every finished request.
use std::{collections::BTreeMap, time::Duration};

/// One request, finished.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// RFC 3339 time of the request's end.
    pub time: String,
    /// User name.
    pub user: String,
    /// `User-Agent` header.
    pub agent: String,
    /// Verb.
    pub verb: &'static str,
    /// Path and query.
    pub uri: String,
    /// API group.
    pub group: String,
    /// Resource, with its subresource after a slash.
    pub resource: String,
    /// Namespace.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// HTTP code of the answer.
    pub code: u16,
    /// How long it took until the answer began.
    pub took: Duration,
    /// What admission has to say of it (upstream's audit annotations).
    pub annotations: BTreeMap<String, String>,
}
