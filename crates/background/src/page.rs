//! `/metrics` and `/healthz`.
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::Error;

/// Serves until `shutdown` completes; `registry` is asked for each time that somebody asks for metrics.
pub(crate) async fn serve<R, F>(
    address: SocketAddr,
    registry: R,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error>
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Arc<Registry>> + Send,
{
    let failed = |source| Error::Serve { address, source };
    let metrics = move || async move {
        let registry = registry().await;
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], text).into_response()
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }));
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
        .map_err(failed)
}
