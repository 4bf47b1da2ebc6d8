use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why the server cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, or a wrong one.
    #[error("submitting needs the server's token: Authorization: Bearer TOKEN")]
    Unauthorized,
    /// Nothing of that id.
    #[error("there is no {0}")]
    NotFound(String),
    /// Another document has that id.
    #[error("run {0} is there already and differs from this one")]
    Taken(String),
    /// A state that a demo cannot go to.
    #[error("{0}")]
    Conflict(String),
    /// Not a run document, or a bad parameter.
    #[error("{0}")]
    Invalid(String),
    /// More than one in a short time.
    #[error("too many submissions: at most {0} a minute")]
    TooMany(u32),
    /// The store.
    #[error("failed to keep or read: {0}")]
    Store(String),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Error::Unauthorized => StatusCode::UNAUTHORIZED,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Taken(_) | Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({"error": self.to_string()}))).into_response()
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        Error::Store(e.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Error::Store(e.to_string())
    }
}
