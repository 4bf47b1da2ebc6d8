//! The doors: a TLS listener, and in-memory clients that skip the socket.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use streaming::NodeStreams;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    aggregation::Network,
    answer::{self, Body, BodyError},
    api::{Api, Call},
    aside::aside,
    audit::AuditEvent,
    auth::authenticate::from_certificate,
    encode,
    metrics::Labels,
    pretty,
    query::Query,
    resource_metrics::MetricsSource,
    route::Route,
    status::ApiError,
    time,
    user::User,
};

/// The largest request body (apiserver `MaxRequestBodyBytes`).
const MAX_BODY: usize = 3 * 1024 * 1024;
/// How much more of a larger body is read before it is refused.
const DRAINED: usize = 16 * MAX_BODY;
/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a body may take to come (upstream's `--request-timeout`).
const BODY: Duration = Duration::from_secs(60);
/// How long a connection may be without a request, or with half of a request's head (upstream's `IdleTimeout`).
const IDLE: Duration = Duration::from_secs(90);
/// How often a client on HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30));
/// How many requests one HTTP/2 connection may have open (upstream's default).
const STREAMS: u32 = 250;
/// Bytes that wait for one reader; hyper's own default is 400 kB, which thousands of watches that nobody reads would fill.
const WRITE_BUFFER: usize = 64 * 1024;
/// A client that takes nothing of what it is sent for so long is dropped by the kernel (tcp(7), TCP_USER_TIMEOUT).
const STALL: Duration = Duration::from_secs(60);

/// A running API server; cheap to clone. It lives as long as a clone does.
#[derive(Clone)]
pub struct ApiServer {
    api: Arc<Api>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("store", &self.api.store)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    /// A client in memory: no socket, no TLS. `agent` is its User-Agent, whose part before `/` is the field manager.
    pub fn client(&self, user: &str, groups: &[&str], agent: &str) -> kube::Client {
        let mut user = User::new(user, groups.iter().copied());
        user.is_own = user.is_master();
        let user = Arc::new(user);
        let agent = HeaderValue::from_str(agent).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let api = self.api.clone();
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            let (api, user) = (api.clone(), user.clone());
            request.headers_mut().insert(header::USER_AGENT, agent.clone());
            async move {
                if request.headers().contains_key(header::UPGRADE) {
                    return upgraded_in_memory(api, user, request).await;
                }
                Ok::<_, BodyError>(handle(api, request, Caller::Known(user)).await)
            }
        });
        kube::Client::new(service, "default")
    }

    /// A token for a Secret of type `kubernetes.io/service-account-token`: it is good as long as the Secret holds it. `None` when
    /// signing fails.
    pub fn secret_token(&self, namespace: &str, account: &str, uid: &str, secret: &str) -> Option<String> {
        self.api.tokens.sign_for_secret(namespace, account, uid, secret)
    }

    /// Who answers logs, exec, attach and port-forward. Only the first call counts.
    pub fn set_node_streams(&self, streams: Arc<dyn NodeStreams>) {
        let _ = self.api.streams.set(streams);
    }

    /// How nodes and the servers of aggregated APIs are reached. Only the first call counts.
    pub fn set_network(&self, network: Arc<dyn Network>) {
        let _ = self.api.network.set(network);
    }

    /// Who knows what nodes and pods use, for `metrics.k8s.io`. Only the first call counts.
    pub fn set_metrics_source(&self, source: Arc<dyn MetricsSource>) {
        let _ = self.api.metrics_source.set(source);
    }

    /// The revision of the newest write.
    pub fn revision(&self) -> u64 {
        self.api.store.revision()
    }

    /// Serve on a listener until `shutdown` completes; open connections end then too. Clients are authenticated by
    /// certificate where `tls` asks for one, else by bearer token.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: give the others a chance to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, STALL.as_millis() as u32);
            let (api, acceptor, stop) = (self.api.clone(), acceptor.clone(), stop.clone());
            tokio::spawn(async move {
                let work = async {
                    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await
                    else {
                        return;
                    };
                    let tls = stream.get_ref().1;
                    let certificates = tls.peer_certificates();
                    let user = certificates
                        .and_then(|c| c.first())
                        .and_then(|c| from_certificate(c));
                    let is_http2 = tls.alpn_protocol() == Some(b"h2");
                    serve_connection(api, stream, user.map(Arc::new), is_http2).await;
                };
                tokio::select! {
                    () = work => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }
}

async fn serve_connection<S>(api: Arc<Api>, stream: S, certificate: Option<Arc<User>>, is_http2: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (api, certificate) = (api.clone(), certificate.clone());
        async move { Ok::<_, Infallible>(handle(api, request, Caller::Connection(certificate)).await) }
    });
    let io = TokioIo::new(stream);
    // Which of both is settled by the handshake: to find out from the first bytes could take for ever. What a client does not read
    // stays with whoever makes it, in the end the bounded queue of its watch.
    let served = if is_http2 {
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_send_buf_size(WRITE_BUFFER)
            .max_concurrent_streams(STREAMS)
            .enable_connect_protocol()
            .serve_connection(io, service)
            .await
    } else {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(WRITE_BUFFER)
            .serve_connection(io, service)
            .with_upgrades()
            .await
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// A WebSocket of an in-memory client: HTTP over a pipe, since an upgrade needs a connection to take over.
async fn upgraded_in_memory(
    api: Arc<Api>,
    user: Arc<User>,
    request: Request<kube::client::Body>,
) -> Result<Response<Body>, BodyError> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (api, user) = (api.clone(), user.clone());
        async move { Ok::<_, Infallible>(handle(api, request, Caller::Known(user)).await) }
    });
    tokio::spawn(
        http1::Builder::new()
            .serve_connection(TokioIo::new(far), service)
            .with_upgrades(),
    );
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection.with_upgrades());
    let (mut parts, body) = request.into_parts();
    parts
        .headers
        .entry(header::HOST)
        .or_insert(HeaderValue::from_static("kubernetes.default.svc"));
    let body = body.collect().await?.to_bytes();
    let response = sender
        .send_request(Request::from_parts(parts, answer::full(body)))
        .await?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// Where a request comes from.
enum Caller {
    /// An in-memory client of this user.
    Known(Arc<User>),
    /// A connection, perhaps with a client certificate.
    Connection(Option<Arc<User>>),
}

/// Answer one request, whatever happens.
async fn handle<B>(api: Arc<Api>, request: Request<B>, caller: Caller) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BodyError>,
{
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let route = Route::parse(&parts.method, parts.uri.path(), &query);
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let _in_flight = (route.verb != "watch").then(|| api.metrics.begin(route.is_write()));
    let mut annotations = BTreeMap::new();
    let (user, answered) = match authenticated(&api, caller, &parts.headers, &route) {
        Err(error) => (User::anonymous(), refusal(&parts.headers, &error).await),
        Ok(user) => {
            let mut call = Call {
                route: route.clone(),
                query,
                method: parts.method.clone(),
                path: parts.uri.path().to_owned(),
                headers: parts.headers.clone(),
                body: Bytes::new(),
                user: user.clone(),
                upgrade: std::sync::Mutex::new(upgrade),
                warnings: std::sync::Mutex::default(),
                empties: std::sync::Mutex::default(),
                annotations: std::sync::Mutex::default(),
            };
            match receive(&api, &mut call, body).await {
                Err(error) => (user, refusal(&parts.headers, &error).await),
                Ok(()) => {
                    let call = Arc::new(call);
                    let work = complete(api.clone(), call.clone());
                    // A client that goes away takes no write with it half-way: what belongs to it (rules compiled anew, quotas charged)
                    // is done, too.
                    let answered = if !is_ours(&api, &route) {
                        work.await
                    } else if api.is_long(&call) {
                        aside(work).await.unwrap_or_else(|_| bug())
                    } else if route.is_write() {
                        tokio::spawn(work).await.unwrap_or_else(|_| bug())
                    } else {
                        work.await
                    };
                    let mut told = call.annotations.lock().unwrap_or_else(PoisonError::into_inner);
                    annotations = std::mem::take(&mut *told);
                    (user, answered)
                }
            }
        }
    };
    let mut answered = answered;
    if answered.status() != 401
        && let Some((schema, level)) = api.flows.of(&user, &route)
    {
        for (name, uid) in [
            ("x-kubernetes-pf-flowschema-uid", schema),
            ("x-kubernetes-pf-prioritylevel-uid", level),
        ] {
            if let Ok(uid) = HeaderValue::from_str(&uid) {
                answered.headers_mut().insert(name, uid);
            }
        }
    }
    // Who asks may name the request (apiserver `endpoints/filters/with_auditid.go`).
    let named = parts.headers.get("audit-id").cloned();
    let named = named.or_else(|| HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok());
    if let Some(id) = named.filter(|_| !answered.headers().contains_key("audit-id")) {
        answered.headers_mut().insert("audit-id", id);
    }
    finish(
        &api,
        &route,
        &parts.method,
        &parts.uri,
        &parts.headers,
        &user,
        &answered,
        annotations,
        began,
    );
    answered
}

fn authenticated(api: &Api, caller: Caller, headers: &HeaderMap, route: &Route) -> Result<User, ApiError> {
    match caller {
        Caller::Known(user) => Ok(user.as_ref().clone()),
        Caller::Connection(certificate) => match api.authenticate(certificate.as_deref(), headers) {
            Ok(Some(user)) => api.impersonated(user, headers, &route.attributes()),
            Ok(None) => api.impersonated(User::anonymous(), headers, &route.attributes()),
            Err(()) => Err(ApiError::unauthorized()),
        },
    }
}

/// Take the body of who may send one: whoever may not costs no memory.
async fn receive<B>(api: &Api, call: &mut Call, body: B) -> Result<(), ApiError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    if let Err(refused) = api.authorise(call) {
        if !call.headers.contains_key(header::UPGRADE) {
            let _ = tokio::time::timeout(HANDSHAKE, drain(body)).await;
        }
        return Err(refused);
    }
    call.body = read_body(&call.headers, body).await?;
    Ok(())
}

/// Reads on and throws away: a client that is still writing when the connection is closed hears of a broken pipe and not of the answer.
async fn drain<B>(body: B)
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut left = DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let too_large = || {
        ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {MAX_BODY}"),
        )
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if declared.is_some_and(|n| n > MAX_BODY) {
        let _ = tokio::time::timeout(HANDSHAKE, drain(body)).await;
        return Err(too_large());
    }
    // The body of an upgrade belongs to the protocol that takes over.
    if headers.contains_key(header::UPGRADE) {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(BODY, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::bad_request(format!(
            "unable to read the request: {error}"
        ))),
        Err(_) => Err(ApiError::new(
            504,
            "Timeout",
            format!(
                "Timeout: the request's body did not come within {} s",
                BODY.as_secs()
            ),
        )),
    }
}

/// Whether this server answers, and neither one of an aggregated API nor a program behind a proxy.
fn is_ours(api: &Api, route: &Route) -> bool {
    route.subresource != "proxy" && api.remotes.get(&route.group, &route.version).is_none()
}

/// A failure, in the encoding that its reader takes.
async fn refusal(headers: &HeaderMap, error: &ApiError) -> Response<Body> {
    let mut refused = encode::encoded(headers, answer::failure(error)).await;
    if error.code == 403 {
        // apiserver `responsewriters.Forbidden`.
        refused.headers_mut().insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
    }
    refused
}

fn bug() -> Response<Body> {
    answer::failure(&ApiError::internal(
        "the request handler failed; this is a bug, see the engine's log",
    ))
}

/// The whole answer, in the form that its reader wants.
async fn complete(api: Arc<Api>, call: Arc<Call>) -> Response<Body> {
    let answered = guarded(&api, &call).await;
    // What comes from others is passed on as it comes, however long it is.
    if !is_ours(&api, &call.route) {
        return answered;
    }
    let answered = encode::encoded(&call.headers, answered).await;
    if pretty::wanted(&call) {
        pretty::indent(answered).await
    } else {
        answered
    }
}

/// The answer, with warnings; a bug becomes a 500 for this request alone.
async fn guarded(api: &Arc<Api>, call: &Arc<Call>) -> Response<Body> {
    let work = AssertUnwindSafe(api.answer(call.clone())).catch_unwind();
    let mut response = match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => answer::failure(&error),
        Err(_) => {
            tracing::error!(path = call.route.path, "a request handler panicked");
            bug()
        }
    };
    let warnings = call.warnings.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in fitting(&warnings) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// Warnings as far as a client takes them: those in one line (apimachinery `util/net/http.go` NewWarningHeader); all, or as many as
/// fit when each is cut (apiserver `endpoints/filters/warning.go`).
fn fitting(warnings: &[String]) -> Vec<String> {
    const WHOLE: usize = 4 * 1024;
    const EACH: usize = 256;
    let warnings: Vec<&String> = warnings
        .iter()
        .filter(|w| !w.chars().any(char::is_control))
        .collect();
    let mut length = 0;
    let over = warnings.iter().position(|warning| {
        length += warning.chars().count();
        length > WHOLE
    });
    let Some(over) = over else {
        return warnings.into_iter().cloned().collect();
    };
    let mut cut = Vec::new();
    let mut length = 0;
    for (at, warning) in warnings.into_iter().enumerate() {
        if at > over && length >= WHOLE {
            break;
        }
        let warning: String = warning.chars().take(EACH).collect();
        length += warning.chars().count();
        cut.push(warning);
    }
    cut
}

#[allow(clippy::too_many_arguments)]
fn finish(
    api: &Api,
    route: &Route,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    user: &User,
    response: &Response<Body>,
    annotations: BTreeMap<String, String>,
    began: Instant,
) {
    let took = began.elapsed();
    let code = response.status().as_u16();
    // What nobody serves is counted together: its names come from outside.
    let known = schema::by_resource(&route.group, &route.version, &route.resource);
    let known = known.is_some_and(|kind| {
        route.subresource.is_empty() || kind.subresources.contains(&route.subresource.as_str())
    }) || route.of_resource
        && matches!(route.subresource.as_str(), "" | "status" | "scale")
        && api
            .customs_of(&route.group, &route.version)
            .iter()
            .any(|c| c.kind.plural == route.resource);
    let labels = if known {
        let applied = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|form| form.as_bytes().starts_with(b"application/apply-patch"));
        let dry_run = uri.query().is_some_and(|query| query.contains("dryRun=All"));
        Labels::of_resource(route, method, applied, dry_run)
    } else {
        Labels::of_path(uri.path(), method)
    };
    api.metrics.request(labels, code, took);
    tracing::trace!(%method, %uri, code, ?took, user = user.name, "request");
    if let Some(hook) = &api.config.audit {
        let resource = if route.subresource.is_empty() {
            route.resource.clone()
        } else {
            format!("{}/{}", route.resource, route.subresource)
        };
        hook(&AuditEvent {
            time: time::now(),
            user: user.name.clone(),
            agent: headers
                .get(header::USER_AGENT)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            verb: route.verb,
            uri: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            group: route.group.clone(),
            resource,
            namespace: route.namespace.clone(),
            name: route.name.clone(),
            code,
            took,
            annotations,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_when_they_are_too_many() {
        let few = vec!["a".repeat(3000), "b".repeat(1000)];
        assert_eq!(fitting(&few), few);
        let many: Vec<String> = (0..100).map(|n| format!("{n}{}", "ü".repeat(1000))).collect();
        let cut = fitting(&many);
        assert!(cut.iter().all(|w| w.chars().count() == 256));
        assert_eq!(cut.len(), 16);
    }
}
