//! Validation of Kubernetes objects on create and update, worded as upstream words it; pure.
use serde_json::Value;

/// One cause of a 422 Status (`metav1.StatusCause`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden`, `FieldValueDuplicate`, …
    pub reason: &'static str,
    /// Path such as `spec.containers[0].name`.
    pub field: String,
    /// Message without the field, such as `Required value`.
    pub message: String,
}

/// Everything wrong with a new object of this definition, after defaulting, in upstream's order.
pub fn validate_create(_definition: &str, _object: &Value) -> Vec<Cause> {
    Vec::new()
}

/// Everything wrong with replacing `old` by `new`, immutable fields included. `subresource` is empty, `status`, `scale`, …
pub fn validate_update(_definition: &str, _subresource: &str, _old: &Value, _new: &Value) -> Vec<Cause> {
    Vec::new()
}
