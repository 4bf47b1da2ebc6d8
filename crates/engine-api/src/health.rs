//! `/healthz`, `/livez`, `/readyz` and what is below them (apiserver `server/healthz/healthz.go`). Whoever answers has come through
//! everything that upstream's checks ask after: the store is open, and what a cluster has from the start is written.
use http::{HeaderValue, Response, header};

use crate::{
    answer::{self, Body},
    api::Call,
};

/// By these names upstream's checks are known, in its order; where not everywhere, with the pages that have them.
const CHECKS: &str = include_str!("health.txt");

/// The checks of a page.
fn checks(page: &str) -> impl Iterator<Item = &'static str> {
    CHECKS.lines().filter_map(move |line| match line.split_once(' ') {
        None => Some(line),
        Some((name, pages)) => pages.split(' ').any(|of| of == page).then_some(name),
    })
}

/// All pages, and those of single checks.
pub fn paths() -> impl Iterator<Item = String> {
    ["healthz", "livez", "readyz"].into_iter().flat_map(|page| {
        std::iter::once(format!("/{page}")).chain(checks(page).map(move |check| format!("/{page}/{check}")))
    })
}

/// Whether this is one of the pages or of their checks.
pub fn is_page(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    matches!(parts.next(), Some("healthz" | "livez" | "readyz"))
}

/// The answer.
pub fn answer(call: &Call, path: &str) -> Response<Body> {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let page = parts.next().unwrap_or_default();
    if let Some(check) = parts.next() {
        return if checks(page).any(|name| name == check) {
            answer::text(200, "ok")
        } else {
            answer::page_not_found()
        };
    }
    let text = if call.query.has("verbose") {
        told(call, page)
    } else {
        "ok".to_owned()
    };
    let mut response = answer::text(200, text);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Every check in a line.
fn told(call: &Call, page: &str) -> String {
    let mut excluded = call.query.all("exclude");
    excluded.sort_unstable();
    excluded.dedup();
    let mut unknown = excluded.clone();
    let mut out = String::new();
    for name in checks(page) {
        out.push_str("[+]");
        out.push_str(name);
        if excluded.iter().any(|other| other == name) {
            unknown.retain(|other| other != name);
            out.push_str(" excluded: ok\n");
        } else {
            out.push_str(" ok\n");
        }
    }
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        out.push_str("warn: some health checks cannot be excluded: no matches for ");
        out.push_str(&unknown.join(","));
        out.push('\n');
    }
    out + page + " check passed\n"
}
