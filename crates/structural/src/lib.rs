//! Custom resources: what the structural schemas of their definitions do to objects, and how these are printed; pure.
//!
//! A schema is the JSON of `openAPIV3Schema`. An object on its way in: [`prune`], which yields what it took away, [`set_defaults`],
//! [`validate`]. After apiextensions-apiserver of 1.36 (`pkg/apiserver/schema`, `pkg/apiserver/validation`) and kube-openapi's
//! `pkg/validation`, in their words. What a schema says in CEL is in [`Rules`].

mod columns;
mod default_values;
mod formats;
mod prune;
pub mod rules;
mod validate;

use serde_json::Value;

pub use columns::{Column, cells, columns, value_at};
pub use default_values::{change_embedded, check_defaults, check_embedded, check_patterns};
pub use prune::{prune, set_defaults};
pub use rules::{Rules, kind_of};
pub use validate::{validate, validate_update};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// Path such as `spec.versions[0].name`.
    pub field: String,
    /// Message without the field.
    pub message: String,
}

/// Whether the schema keeps what it does not name.
pub(crate) fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Whether the value at this place is a whole object with a type and metadata.
pub(crate) fn embeds(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
}
