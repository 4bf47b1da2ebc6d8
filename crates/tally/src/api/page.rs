use hyper::header::{self, HeaderValue};

use super::{Response, text};

/// The page, whole: no other file and no other host is asked for.
const PAGE: &str = include_str!("page.html");

pub(super) fn page() -> Response {
    let mut response = text(PAGE, "text/html; charset=utf-8");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
