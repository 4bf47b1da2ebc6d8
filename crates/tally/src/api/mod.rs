//! The HTTP front: paths, bodies and their limits, Countly's answer form.
mod page;
mod read;
mod sdk;
mod series;
mod write;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::metrics::Metrics;
use crate::{Apps, Params, Store, StoreError};

/// Countly's SDKs send far less; more is refused before it is read.
const MAX_BODY: usize = 1 << 20;
/// The whole body has to be there by then.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

type Request = hyper::Request<Incoming>;
pub(crate) type Response = hyper::Response<Full<Bytes>>;

/// What answers requests.
pub(crate) struct Api {
    store: Store,
    metrics: Metrics,
    apps: Apps,
    reader_key: Option<String>,
    live: read::Live,
}

impl Api {
    pub(crate) fn new(store: Store, metrics: Metrics, apps: Apps, reader_key: Option<String>) -> Api {
        Api {
            store,
            metrics,
            apps,
            reader_key,
            live: read::Live::default(),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) async fn answer(&self, request: Request) -> Response {
        let begun = Instant::now();
        self.metrics.in_flight.inc();
        let (handler, mut response) = self.route(request).await;
        self.metrics.in_flight.dec();
        self.metrics
            .answered(handler, response.status().as_u16(), begun.elapsed());
        // SDKs in browsers run on other sites.
        response
            .headers_mut()
            .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    async fn route(&self, request: Request) -> (&'static str, Response) {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        if request.method() == Method::OPTIONS {
            return ("preflight", preflight());
        }
        match path.as_str() {
            "" => ("/", page::page()),
            "/healthz" => ("/healthz", text("ok", "text/plain; charset=utf-8")),
            "/metrics" => ("/metrics", self.metrics_text()),
            "/o/ping" => ("/o/ping", self.ping().await),
            "/i" => ("/i", self.with_params(request, Api::write).await),
            "/i/bulk" => ("/i/bulk", self.with_params(request, Api::write_bulk).await),
            "/o/sdk" => (
                "/o/sdk",
                self.with_params(request, async |api: &Api, params| api.sdk(&params))
                    .await,
            ),
            path if path == "/o" || path.starts_with("/o/") => {
                let path = path.to_owned();
                (
                    "/o",
                    self.with_params(request, async |api: &Api, params| api.read(&path, &params).await)
                        .await,
                )
            }
            _ => ("other", message(StatusCode::NOT_FOUND, "Path does not exist")),
        }
    }

    async fn with_params(
        &self,
        request: Request,
        handle: impl AsyncFnOnce(&Api, Params) -> Response,
    ) -> Response {
        match params_of(request).await {
            Ok(params) => handle(self, params).await,
            Err(refusal) => refusal.response(),
        }
    }

    async fn ping(&self) -> Response {
        match self.store.healthy().await {
            Ok(()) => message(StatusCode::OK, "Success"),
            Err(_) => message(StatusCode::NOT_FOUND, "DB Error"),
        }
    }

    fn metrics_text(&self) -> Response {
        self.metrics
            .pending
            .set(i64::try_from(self.store.pending()).unwrap_or(i64::MAX));
        text(
            self.metrics.text(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )
    }
}

/// Why a request's parameters cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Method,
    TooLarge,
    TooSlow,
    Broken,
    Multipart,
}

impl Refusal {
    fn response(self) -> Response {
        let mut response = match self {
            Refusal::Method => message(StatusCode::METHOD_NOT_ALLOWED, "Method is not GET or POST"),
            Refusal::TooLarge => message(StatusCode::PAYLOAD_TOO_LARGE, "Body is larger than 1 MiB"),
            Refusal::TooSlow => message(StatusCode::REQUEST_TIMEOUT, "Body did not come in time"),
            Refusal::Broken => message(StatusCode::BAD_REQUEST, "Body is not what its headers say"),
            Refusal::Multipart => message(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "multipart/form-data is not supported: send a form or JSON",
            ),
        };
        // What is left of the body is not read.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

async fn params_of(request: Request) -> Result<Params, Refusal> {
    let mut params = Params::from_query(request.uri().query().unwrap_or_default());
    if let Some(token) = request
        .headers()
        .get("countly-token")
        .and_then(|token| token.to_str().ok())
    {
        params.set_default("auth_token", token);
    }
    if request.method() == Method::GET {
        return Ok(params);
    }
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        return Err(Refusal::Multipart);
    }
    if request.body().size_hint().lower() > MAX_BODY as u64 {
        return Err(Refusal::TooLarge);
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(BODY_PATIENCE, body).await {
        Err(_) => return Err(Refusal::TooSlow),
        Ok(Err(e)) if e.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
        Ok(Err(_)) => return Err(Refusal::Broken),
        Ok(Ok(body)) => body.to_bytes(),
    };
    if kind.starts_with("application/json") {
        if !params.add_json(&body) {
            return Err(Refusal::Broken);
        }
    } else {
        params.add_form(&body);
    }
    Ok(params)
}

fn preflight() -> Response {
    let mut response = text("", "text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, GET, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("countly-token, content-type"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn text(body: impl Into<Bytes>, kind: &'static str) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn body(value: &Value) -> Response {
    text(value.to_string(), "application/json; charset=utf-8")
}

/// Countly's answer form.
fn message(code: StatusCode, result: &str) -> Response {
    let mut response = body(&json!({"result": result}));
    *response.status_mut() = code;
    response
}

/// Clients are told to come again.
fn busy(error: &StoreError) -> Response {
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
