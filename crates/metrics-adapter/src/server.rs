//! The HTTPS server: requests of the front proxy, and health for anybody.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube_types::LabelSelector;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::route::Route;
use crate::status::Failure;
use crate::trust::Trusted;
use crate::{Adapter, custom, discovery};

const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, mut trusted: Trusted, adapter: Arc<Adapter>) {
    // Before the API server has said whom to trust there is nobody to answer.
    if trusted.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let Some(trust) = trusted.borrow().clone() else {
            continue;
        };
        let adapter = Arc::clone(&adapter);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::clone(&trust.tls));
            let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                return;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let shown = certificates.and_then(|all| all.first());
            let known = shown.is_some_and(|certificate| trust.is_front_proxy(certificate));
            let service = service_fn(move |request| {
                let adapter = Arc::clone(&adapter);
                async move { Ok::<_, Infallible>(adapter.handle(request, known).await) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Adapter {
    async fn handle(&self, request: Request<Incoming>, known: bool) -> Response<Full<Bytes>> {
        let route = Route::parse(request.uri().path());
        if route == Route::Health {
            return respond(StatusCode::OK, "text/plain; charset=utf-8", "ok".into());
        }
        // Who asks is in the headers, and the API server has decided that they may: only its word counts.
        let user = request.headers().get("x-remote-user");
        let answered = if !known || user.is_none() {
            Err(Failure::unauthorized())
        } else if request.method() != Method::GET {
            Err(Failure::method_not_allowed())
        } else {
            self.answer(&route, request.uri().query().unwrap_or_default())
                .await
        };
        match answered {
            Ok(body) => respond(StatusCode::OK, "application/json", body.to_string().into()),
            Err(failure) => {
                tracing::debug!(path = request.uri().path(), message = failure.message, "refused");
                let code = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                respond(code, "application/json", failure.status().to_string().into())
            }
        }
    }

    async fn answer(&self, route: &Route, query: &str) -> Result<Value, Failure> {
        let selector = |name: &str| selector(query, name);
        match route {
            Route::Groups => Ok(discovery::list(&self.rules)),
            Route::Group(name) => discovery::group(&self.rules, name).ok_or_else(Failure::no_such_path),
            Route::Resources(group, version) => {
                discovery::resources(&self.rules, group, version).ok_or_else(Failure::no_such_path)
            }
            Route::Custom {
                version,
                namespace,
                resource,
                name,
                metric,
            } => {
                self.custom(&custom::Asked {
                    version,
                    namespace,
                    resource,
                    name,
                    metric,
                    objects: selector("labelSelector")?,
                    series: selector("metricLabelSelector")?,
                })
                .await
            }
            Route::External { namespace, metric } => {
                self.external(namespace, metric, &selector("labelSelector")?)
                    .await
            }
            Route::Pods { namespace, name } => self.pods(namespace, name, &selector("labelSelector")?).await,
            Route::Nodes { name } => self.nodes(name, &selector("labelSelector")?).await,
            Route::Health | Route::Unknown => Err(Failure::no_such_path()),
        }
    }
}

fn selector(query: &str, name: &str) -> Result<LabelSelector, Failure> {
    let value = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    value
        .parse()
        .map_err(|e| Failure::bad_request(format!("unable to parse {name} {value:?}: {e}")))
}

fn respond(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
