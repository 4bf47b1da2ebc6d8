use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::{Error, Page, Query};

#[derive(Template)]
#[template(path = "index.html")]
struct Index<'a> {
    query: &'a Query,
    page: &'a Page,
    earlier: Option<usize>,
    later: Option<usize>,
}

/// The list.
pub(crate) fn index(query: &Query, page: &Page) -> Result<Response, Error> {
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let end = page.offset + page.runs.len();
    html(
        Index {
            query,
            page,
            earlier: (page.offset > 0).then(|| page.offset.saturating_sub(limit)),
            later: (end < page.total).then_some(end),
        }
        .render(),
    )
}

/// A page that may run the script that it brings, and load nothing.
pub(crate) fn html(page: Result<String, askama::Error>) -> Result<Response, Error> {
    let page = page.map_err(|e| Error::Store(e.to_string()))?;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'self'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, page).into_response())
}
