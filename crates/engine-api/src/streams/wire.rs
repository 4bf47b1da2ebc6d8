//! SPDY frames on their way: inside a WebSocket, as kubectl speaks since 1.31, or on the connection itself, as before.
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, future, stream::BoxStream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use streaming::spdy::{self, Frame};
use tokio::{io::AsyncWriteExt, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::io::ReaderStream;

use crate::streams::websocket::{self, Socket};

/// How many frames may wait for the client.
const BACKLOG: usize = 64;

/// A SPDY connection.
pub struct Wire {
    reader: spdy::Reader,
    incoming: BoxStream<'static, Bytes>,
    out: mpsc::Sender<Bytes>,
    sending: JoinHandle<()>,
}

impl Wire {
    /// In the binary messages of a WebSocket.
    pub fn in_websocket(socket: Socket) -> Self {
        let (mut sink, stream) = socket.split();
        let incoming = stream
            .take_while(|message| future::ready(!matches!(message, Err(_) | Ok(Message::Close(_)))))
            .filter_map(|message| {
                future::ready(match message {
                    Ok(Message::Binary(bytes)) => Some(bytes),
                    _ => None,
                })
            });
        let (out, mut outbox) = mpsc::channel::<Bytes>(BACKLOG);
        let sending = tokio::spawn(async move {
            while let Some(bytes) = outbox.recv().await {
                if sink.send(Message::Binary(bytes)).await.is_err() {
                    return;
                }
            }
            websocket::farewell(sink).await;
        });
        Self::new(incoming, out, sending)
    }

    /// On the connection itself.
    pub fn raw(connection: TokioIo<Upgraded>) -> Self {
        let (reader, mut writer) = tokio::io::split(connection);
        let incoming = ReaderStream::new(reader)
            .take_while(|bytes| future::ready(bytes.is_ok()))
            .filter_map(|bytes| future::ready(bytes.ok()));
        let (out, mut outbox) = mpsc::channel::<Bytes>(BACKLOG);
        let sending = tokio::spawn(async move {
            while let Some(bytes) = outbox.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
                if outbox.is_empty() && writer.flush().await.is_err() {
                    return;
                }
            }
            let _ = writer.shutdown().await;
        });
        Self::new(incoming, out, sending)
    }

    fn new(
        incoming: impl Stream<Item = Bytes> + Send + 'static,
        out: mpsc::Sender<Bytes>,
        sending: JoinHandle<()>,
    ) -> Self {
        Self {
            reader: spdy::Reader::default(),
            incoming: incoming.boxed(),
            out,
            sending,
        }
    }

    /// Where frames for the client go; the connection ends when all copies and the wire are gone.
    pub fn out(&self) -> mpsc::Sender<Bytes> {
        self.out.clone()
    }

    /// What the client says next: a stream, its data or its end. `None` when it says nothing more.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.reader.next() {
                Ok(Some(Frame::Ping { id })) => self.out.send(spdy::ping(id)).await.ok()?,
                Ok(Some(Frame::GoAway)) => return None,
                Ok(Some(Frame::Other)) => {}
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => self.reader.push(&self.incoming.next().await?),
                Err(error) => {
                    tracing::debug!(%error, "client");
                    return None;
                }
            }
        }
    }

    /// Wait until the client has what was sent to it.
    pub async fn close(self) {
        drop(self.out);
        let _ = self.sending.await;
    }
}

/// A header of a stream that a client opens.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(name))
        .map_or("", |(_, v)| v)
}
