//! The WebSocket upgrade, and the binary channel messages that exec, attach and port-forward put on it.
use std::{collections::HashSet, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use crate::{
    answer::{self, Body},
    api::Call,
    status::{ApiError, Result},
};

/// A WebSocket on an upgraded connection.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long the last message may take to reach the client.
const FAREWELL: Duration = Duration::from_secs(10);

/// Whether the request asks for a WebSocket.
pub fn is_websocket(call: &Call) -> bool {
    let value = |name: header::HeaderName| {
        call.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    value(header::UPGRADE) == "websocket" && value(header::CONNECTION).contains("upgrade")
}

/// The first protocol that the client offers and that is in `known`.
pub fn protocol(call: &Call, known: &[&'static str]) -> Result<&'static str> {
    let offered: Vec<&str> = call
        .headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
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

/// Accept the upgrade. `serve` is run with the socket once the client has the answer.
pub fn accept<F, R>(call: &Call, protocol: &'static str, serve: F) -> Result<Response<Body>>
where
    F: FnOnce(Socket) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let key = call
        .headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| ApiError::bad_request("missing Sec-WebSocket-Key header"))?;
    let upgrade = call
        .upgrade
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()
        .ok_or_else(|| ApiError::bad_request("this connection cannot be upgraded"))?;
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::new(answer::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accept).map_err(|e| ApiError::internal(e.to_string()))?,
    );
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let socket =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                serve(socket).await;
            }
            Err(error) => tracing::debug!(%error, "client went away before the upgrade"),
        }
    });
    Ok(response)
}

/// A message of one channel.
pub fn message(channel: u8, data: &[u8]) -> Message {
    let mut out = BytesMut::with_capacity(data.len() + 1);
    out.put_u8(channel);
    out.put_slice(data);
    Message::Binary(out.freeze())
}

/// What a client says.
#[derive(Debug)]
pub enum Said {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// A channel is closed (v5 only).
    Closed(u8),
}

/// Hear a client until it goes away. Channels that are closed are told of once.
pub async fn hear(mut stream: SplitStream<Socket>, said: mpsc::Sender<Said>, closes: bool) {
    let mut closed = HashSet::new();
    while let Some(Ok(message)) = stream.next().await {
        let data: Bytes = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text.as_bytes().to_vec()),
            Message::Close(_) => return,
            // Pongs are written by the library as it goes on reading.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Some(&channel) = data.first() else { continue };
        let event = match (channel, closes) {
            (255, true) => match data.get(1) {
                Some(&which) if closed.insert(which) => Said::Closed(which),
                _ => continue,
            },
            _ if closed.contains(&channel) => continue,
            _ => Said::Data(channel, data.slice(1..)),
        };
        if said.send(event).await.is_err() {
            return;
        }
    }
}

/// Say goodbye and wait for the last bytes to be written.
pub async fn farewell(mut sink: SplitSink<Socket, Message>) {
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = tokio::time::timeout(FAREWELL, async {
        let _ = sink.send(Message::Close(Some(close))).await;
        let _ = sink.close().await;
    })
    .await;
}
