//! The binary channel messages that exec, attach and port-forward put on a WebSocket.
use std::{collections::HashSet, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// A WebSocket on an upgraded connection.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long the last message may take to reach the client.
const FAREWELL: Duration = Duration::from_secs(10);

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
