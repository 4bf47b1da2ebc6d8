//! `metav1.Status` errors, worded as upstream words them (apimachinery `api/errors/errors.go`).
use kube_types::quote;
use schema::KindInfo;
use serde_json::{Map, Value, json};
use validation::Cause;

/// A failed request: becomes a `Status` body with this HTTP code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP code.
    pub code: u16,
    /// `metav1.StatusReason`, empty for unknown.
    pub reason: &'static str,
    /// Message.
    pub message: String,
    /// `metav1.StatusDetails`.
    pub details: Option<Value>,
    /// A reason that somebody else made up, instead.
    pub own_reason: String,
    /// A token with which a list goes on all the same.
    pub next: Box<str>,
}

/// Result of serving a request.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// `pods` or `deployments.apps`.
pub fn qualified(kind: &KindInfo) -> String {
    if kind.group.is_empty() {
        kind.plural.to_owned()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    }
}

fn details(name: &str, group: &str, kind: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            map.insert(key.to_owned(), value.into());
        }
    }
    map
}

impl ApiError {
    /// Any error, without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            own_reason: String::new(),
            next: Box::default(),
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 404 for a path nobody serves.
    pub fn no_such_path() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                404,
                "NotFound",
                "the server could not find the requested resource",
            )
        }
    }

    /// 404 for an object.
    pub fn not_found(kind: &KindInfo, name: &str) -> Self {
        Self {
            details: Some(details(name, kind.group, kind.plural).into()),
            ..Self::new(
                404,
                "NotFound",
                format!("{} {} not found", qualified(kind), quote(name)),
            )
        }
    }

    /// 404 for an object by its plural, of the core group.
    pub fn not_found_named(plural: &str, name: &str) -> Self {
        Self {
            details: Some(details(name, "", plural).into()),
            ..Self::new(404, "NotFound", format!("{plural} {} not found", quote(name)))
        }
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    /// 405 for a verb that a kind does not have, from whoever serves it.
    pub fn unsupported_verb(verb: &str, kind: &KindInfo) -> Self {
        Self {
            details: Some(details("", kind.group, kind.plural).into()),
            ..Self::new(
                405,
                "MethodNotAllowed",
                format!(
                    "{verb} is not supported on resources of kind {:?}",
                    qualified(kind)
                ),
            )
        }
    }

    /// 409 for a name that is taken.
    pub fn already_exists(kind: &KindInfo, name: &str, being_deleted: bool) -> Self {
        let message = format!("{} {} already exists", qualified(kind), quote(name));
        let message = if being_deleted {
            format!("object is being deleted: {message}")
        } else {
            message
        };
        Self {
            details: Some(details(name, kind.group, kind.plural).into()),
            ..Self::new(409, "AlreadyExists", message)
        }
    }

    /// The same of an object that asks for a name to be made up, also when it brings one (apiserver `registry/rest/create.go`
    /// CheckGeneratedNameError).
    pub fn not_generated(mut self) -> Self {
        self.message += ", the server was not able to generate a unique name for the object";
        if let Some(details) = &mut self.details {
            details["retryAfterSeconds"] = 1.into();
        }
        self
    }

    /// 409 with a reason in words.
    pub fn conflict(kind: &KindInfo, name: &str, why: &str) -> Self {
        Self {
            details: Some(details(name, kind.group, kind.plural).into()),
            ..Self::new(
                409,
                "Conflict",
                format!(
                    "Operation cannot be fulfilled on {} {}: {why}",
                    qualified(kind),
                    quote(name)
                ),
            )
        }
    }

    /// 409 of optimistic concurrency.
    pub fn modified(kind: &KindInfo, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 from admission.
    pub fn forbidden(kind: &KindInfo, name: &str, why: impl std::fmt::Display) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", qualified(kind))
        } else {
            format!("{} {} is forbidden: {why}", qualified(kind), quote(name))
        };
        Self {
            details: Some(details(name, kind.group, kind.plural).into()),
            ..Self::new(403, "Forbidden", message)
        }
    }

    /// 422 with causes.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for cause in causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let joined = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut found = details(name, group, kind);
        let list = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect::<Vec<_>>();
        found.insert("causes".to_owned(), list.into());
        Self {
            details: Some(found.into()),
            ..Self::new(
                422,
                "Invalid",
                format!("{qualified} {} is invalid: {joined}", quote(name)),
            )
        }
    }

    /// 422 with causes, of a kind.
    pub fn invalid_kind(kind: &KindInfo, name: &str, causes: &[Cause]) -> Self {
        Self::invalid(kind.group, kind.kind, name, causes)
    }

    /// 410: the revision is no longer held.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 500 with a reason.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self {
            details: Some(json!({"causes": [{"message": message.to_string()}]})),
            ..Self::new(
                500,
                "InternalError",
                format!("Internal error occurred: {message}"),
            )
        }
    }

    /// 501-like: the engine does not have this; 404 would be taken for "no such object".
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(501, "NotImplemented", message)
    }

    /// The Status object.
    pub fn status(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.next.is_empty() {
            body["metadata"]["continue"] = Value::from(&*self.next);
        }
        let reason = if self.own_reason.is_empty() {
            self.reason
        } else {
            &self.own_reason
        };
        if !reason.is_empty() {
            body["reason"] = reason.into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}
