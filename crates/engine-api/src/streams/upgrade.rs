//! Leaving HTTP: the upgrade to a WebSocket or, by older clients, to SPDY/3.1, and the protocol that is spoken on it.
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use crate::{
    answer::{self, Body},
    api::Call,
    status::{ApiError, Result},
    streams::websocket::Socket,
};

const SPDY: &str = "SPDY/3.1";
/// Where SPDY clients say what they speak (apimachinery `httpstream/httpstream.go`).
const SPDY_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// What a client wants to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    WebSocket,
    Spdy,
}

impl Upgrade {
    /// What the request asks for; exec and port-forward are nothing without.
    pub fn of(call: &Call) -> Result<Self> {
        let value = |name: HeaderName| {
            call.headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
        };
        let wanted = value(header::UPGRADE);
        let upgrades = value(header::CONNECTION).to_ascii_lowercase().contains("upgrade");
        match wanted {
            _ if upgrades && wanted.eq_ignore_ascii_case("websocket") => Ok(Self::WebSocket),
            _ if upgrades && wanted.eq_ignore_ascii_case(SPDY) => Ok(Self::Spdy),
            "" => Err(ApiError::bad_request("Upgrade request required")),
            other => Err(ApiError::bad_request(format!(
                "unable to upgrade: this engine streams over WebSockets and {SPDY}, not {other}"
            ))),
        }
    }

    /// The first protocol that the client offers and that is in `known`.
    pub fn protocol(self, call: &Call, known: &[&'static str]) -> Result<&'static str> {
        let name = match self {
            Self::WebSocket => header::SEC_WEBSOCKET_PROTOCOL,
            Self::Spdy => SPDY_PROTOCOL,
        };
        let values = call.headers.get_all(name);
        let offered: Vec<&str> = values
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .map(str::trim)
            .collect();
        let chosen = offered
            .iter()
            .find_map(|o| known.iter().find(|k| *k == o).copied());
        chosen.ok_or_else(|| {
            ApiError::bad_request(format!(
                "unable to negotiate a protocol: client offers {offered:?}, server knows {known:?}"
            ))
        })
    }
}

/// Go over to a WebSocket. `serve` is run with it once the client has the answer.
pub fn websocket<F, R>(call: &Call, protocol: &'static str, serve: F) -> Result<Response<Body>>
where
    F: FnOnce(Socket) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let key = call
        .headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| ApiError::bad_request("missing Sec-WebSocket-Key header"))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|e| ApiError::internal(e.to_string()))?;
    let mut response = switch(call, "websocket", |upgraded| async move {
        serve(WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await).await;
    })?;
    let headers = response.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Go over to SPDY. `serve` is run with the connection once the client has the answer.
pub fn spdy<F, R>(call: &Call, protocol: &'static str, serve: F) -> Result<Response<Body>>
where
    F: FnOnce(TokioIo<Upgraded>) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let mut response = switch(call, SPDY, serve)?;
    response
        .headers_mut()
        .insert(SPDY_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(response)
}

fn switch<F, R>(call: &Call, to: &'static str, serve: F) -> Result<Response<Body>>
where
    F: FnOnce(TokioIo<Upgraded>) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let upgrade = call
        .upgrade
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()
        .ok_or_else(|| ApiError::bad_request("this connection cannot be upgraded"))?;
    let mut response = Response::new(answer::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static(to));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "client went away before the upgrade"),
        }
    });
    Ok(response)
}
