//! Failures as `metav1.Status`.
use serde_json::{Value, json};

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP code.
    pub code: u16,
    /// `metav1.StatusReason`.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

impl Failure {
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self {
            code: 400,
            reason: "BadRequest",
            message: message.into(),
        }
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self {
            code: 401,
            reason: "Unauthorized",
            message: "Unauthorized".to_owned(),
        }
    }

    /// 404 of a path.
    pub fn no_such_path() -> Self {
        Self {
            code: 404,
            reason: "NotFound",
            message: "the server could not find the requested resource".to_owned(),
        }
    }

    /// 404 of a metric, worded as custom-metrics-apiserver words it (`pkg/provider/errors.go`).
    pub fn no_such_metric(metric: &str, resource: &str, name: &str) -> Self {
        let of = if name.is_empty() { "" } else { " " };
        Self {
            code: 404,
            reason: "NotFound",
            message: format!("the server could not find the metric {metric} for {resource}{of}{name}"),
        }
    }

    /// 404 of an object.
    pub fn not_found(resource: &str, name: &str) -> Self {
        Self {
            code: 404,
            reason: "NotFound",
            message: format!("{resource} {name:?} not found"),
        }
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self {
            code: 405,
            reason: "MethodNotAllowed",
            message: "the server does not allow this method on the requested resource".to_owned(),
        }
    }

    /// 500: what the adapter asks does not answer.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self {
            code: 500,
            reason: "InternalError",
            message: format!("Internal error occurred: {what}"),
        }
    }

    /// The Status object.
    pub fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code})
    }
}
