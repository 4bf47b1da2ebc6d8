use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::{Demo, Error, Page, Query, State};

#[derive(Template)]
#[template(path = "index.html")]
struct Index<'a> {
    query: &'a Query,
    page: &'a Page,
    providers: Vec<String>,
    versions: Vec<String>,
    running: Vec<Demo>,
    first: usize,
    last: usize,
    earlier: Option<String>,
    later: Option<String>,
    style: &'static str,
}

/// The list, with what can be chosen among, and the demos that are under way.
pub(crate) fn index(
    query: &Query,
    page: &Page,
    (providers, versions): (Vec<String>, Vec<String>),
    running: Vec<Demo>,
) -> Result<Response, Error> {
    let end = page.offset + page.runs.len();
    let at = |offset: usize| link(query, offset);
    html(
        Index {
            query,
            page,
            providers,
            versions,
            running,
            first: if page.runs.is_empty() { 0 } else { page.offset + 1 },
            last: end,
            earlier: (page.offset > 0).then(|| at(page.offset.saturating_sub(query.size()))),
            later: (end < page.total && !page.runs.is_empty()).then(|| at(end)),
            style: report::STYLE,
        }
        .render(),
    )
}

/// The same list from another place on.
fn link(query: &Query, offset: usize) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let size = query.limit.map(|l| l.to_string()).unwrap_or_default();
    let pairs = [
        ("q", query.q.clone()),
        ("provider", text(&query.provider)),
        ("version", text(&query.version)),
        ("from", text(&query.from)),
        ("until", text(&query.until)),
        ("sort", text(&query.sort)),
        ("reverse", if query.reverse { "true" } else { "" }.to_owned()),
        ("offset", offset.to_string()),
        ("limit", size),
    ];
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let encoded = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given)
        .finish();
    format!("/?{encoded}")
}

#[derive(Template)]
#[template(path = "demo.html")]
struct Live<'a> {
    demo: &'a Demo,
    json: String,
    style: &'static str,
    script: &'static str,
}

/// A demo's page, which follows it.
pub(crate) fn demo(demo: &Demo) -> Result<Response, Error> {
    // Inside a script element only a closing tag could end it early.
    let json = serde_json::to_string(demo)?.replace("</", "<\\/");
    html(
        Live {
            demo,
            json,
            style: report::STYLE,
            script: include_str!("../templates/demo.js"),
        }
        .render(),
    )
}

/// A page that may run the script that it brings, and load nothing but news from this server.
pub(crate) fn html(page: Result<String, askama::Error>) -> Result<Response, Error> {
    let page = page.map_err(|e| Error::Store(e.to_string()))?;
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, page).into_response())
}
