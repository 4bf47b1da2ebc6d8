use std::collections::HashMap;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::metrics::Metrics;
use crate::{Rejection, Request, Store, StoreError};

/// Countly's SDKs send far less; more is refused before it is read.
const MAX_BODY: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) app_keys: std::sync::Arc<[String]>,
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/i", get(write_by_query).post(write_by_form))
        .route("/o/ping", get(ping))
        .route("/o/analytics/sessions", get(sessions))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "Path does not exist") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

type Parameters = HashMap<String, String>;

async fn write_by_query(State(app): State<App>, Query(parameters): Query<Parameters>) -> Response {
    write(&app, &parameters).await
}

/// A form wins over the query where both name a parameter, as in Countly.
async fn write_by_form(State(app): State<App>, Query(mut parameters): Query<Parameters>, body: Bytes) -> Response {
    parameters.extend(form(&body));
    write(&app, &parameters).await
}

fn form(body: &[u8]) -> Parameters {
    form_urlencoded::parse(body.trim_ascii()).into_owned().collect()
}

async fn write(app: &App, parameters: &Parameters) -> Response {
    let begun = Instant::now();
    app.metrics.in_flight.inc();
    let (code, text) = match count(app, parameters).await {
        Ok(events) => {
            app.metrics.events.inc_by(events);
            (StatusCode::OK, "Success".to_owned())
        }
        Err(Refusal::Rejected(rejection)) => (StatusCode::BAD_REQUEST, rejection.to_string()),
        Err(Refusal::Store(e)) => {
            tracing::warn!("a write was not acknowledged: {e}");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer".to_owned())
        }
    };
    app.metrics.in_flight.dec();
    app.metrics.answered("/i", code.as_u16(), begun.elapsed());
    answer(code, &text)
}

enum Refusal {
    Rejected(Rejection),
    Store(StoreError),
}

async fn count(app: &App, parameters: &Parameters) -> Result<u64, Refusal> {
    let request = Request::parse(parameters).map_err(Refusal::Rejected)?;
    if !app.app_keys.contains(&request.app_key) {
        return Err(Refusal::Rejected(Rejection::NoApp));
    }
    app.store.count(&request, jiff::Timestamp::now()).await.map_err(Refusal::Store)?;
    Ok(request.events.iter().map(|e| e.count).sum())
}

async fn ping(State(app): State<App>) -> Response {
    let begun = Instant::now();
    let response = match app.store.healthy().await {
        Ok(()) => answer(StatusCode::OK, "Success"),
        Err(_) => answer(StatusCode::NOT_FOUND, "DB Error"),
    };
    app.metrics.answered("/o/ping", response.status().as_u16(), begun.elapsed());
    response
}

async fn sessions(State(app): State<App>, Query(parameters): Query<Parameters>) -> Response {
    let begun = Instant::now();
    let key = parameters.get("app_key").filter(|key| app.app_keys.contains(key));
    let response = match key {
        None => answer(StatusCode::BAD_REQUEST, "App does not exist"),
        Some(key) => match app.store.sessions(key, jiff::Timestamp::now()).await {
            Ok(day) => axum::Json(vec![day]).into_response(),
            Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "DB Error"),
        },
    };
    app.metrics.answered("/o/analytics/sessions", response.status().as_u16(), begun.elapsed());
    response
}

async fn metrics(State(app): State<App>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

/// Countly's answer form.
fn answer(code: StatusCode, result: &str) -> Response {
    (code, axum::Json(json!({"result": result}))).into_response()
}

#[cfg(test)]
mod tests {
    #[test]
    fn forms_are_decoded_and_malformed_ones_do_no_harm() {
        let found = super::form(b"app_key=a&events=%5B%7B%22key%22%3A%22x%22%7D%5D\n");
        assert_eq!(found["events"], r#"[{"key":"x"}]"#);
        assert_eq!(super::form(b"a=%zz&\xff&&=").get("a").map(String::as_str), Some("%zz"));
    }
}
