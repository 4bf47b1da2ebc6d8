//! `pods/portforward`: kubectl's SPDY frames, inside a WebSocket or by themselves, and the form of other clients with one channel a port.
use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Response;
use schema::KindInfo;
use streaming::{
    NodeStreams, Target,
    spdy::{self, Frame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    answer::Body,
    api::{Api, Call},
    json::text,
    status::{ApiError, Result},
    streams::{
        upgrade::{self, Upgrade},
        websocket::{self, Said, Socket},
        wire::{Wire, header},
    },
};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const SPDY: &str = "portforward.k8s.io";
const PROTOCOLS: [&str; 4] = [TUNNEL, "v5.channel.k8s.io", "v4.channel.k8s.io", SPDY];
/// How much is read from the pod at a time.
const CHUNK: usize = 16 * 1024;

/// Where connections go.
#[derive(Clone)]
struct Way {
    streams: Arc<dyn NodeStreams>,
    target: Target,
}

impl Api {
    /// Carry connections to ports of a pod.
    pub fn port_forward(&self, call: &Call, pods: &'static KindInfo) -> Result<Response<Body>> {
        self.may_carry(call, pods)?;
        let pod = self.fetch(pods, &call.route.namespace, &call.route.name)?;
        let node = text(&pod.value(), "/spec/nodeName").to_owned();
        if node.is_empty() {
            return Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                call.route.name
            )));
        }
        let target = Target {
            namespace: call.route.namespace.clone(),
            pod: call.route.name.clone(),
            uid: text(&pod.value(), "/metadata/uid").to_owned(),
            node,
            container: String::new(),
        };
        let way = Way {
            streams: self.node_streams()?,
            target,
        };
        let upgrade = Upgrade::of(call)?;
        if upgrade == Upgrade::Spdy {
            let protocol = upgrade.protocol(call, &[SPDY])?;
            return upgrade::spdy(call, protocol, move |connection| {
                tunnel(Wire::raw(connection), way)
            });
        }
        let protocol = upgrade.protocol(call, &PROTOCOLS)?;
        if protocol == TUNNEL {
            return upgrade::websocket(call, protocol, move |socket| {
                tunnel(Wire::in_websocket(socket), way)
            });
        }
        let mut ports = Vec::new();
        for raw in call.query.all("ports").iter().flat_map(|p| p.split(',')) {
            let port = raw.parse::<u16>().ok().filter(|p| *p > 0);
            ports.push(port.ok_or_else(|| ApiError::bad_request(format!("\"{raw}\" is not a valid port")))?);
        }
        if ports.is_empty() || ports.len() > 100 {
            return Err(ApiError::bad_request(
                "query parameter \"ports\" must name between 1 and 100 ports",
            ));
        }
        upgrade::websocket(call, protocol, move |socket| channels(socket, way, ports))
    }
}

/// One forwarded connection: bytes to the pod come in by `input`, bytes of the pod go out by `output`, framed by `wrap`.
async fn carry<M: Send>(
    way: Way,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<M>,
    wrap: impl Fn(&[u8]) -> M + Send,
) -> std::result::Result<(), String> {
    let connection = way
        .streams
        .port_forward(&way.target, port)
        .await
        .map_err(|e| format!("error forwarding port {port} to pod {}: {e}", way.target.uid))?;
    let (mut reader, mut writer) = tokio::io::split(connection);
    let inward = async {
        while let Some(bytes) = input.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if output.send(wrap(&buffer[..count])).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    // The pod's end ends the connection; the client's end alone is a half-close.
    tokio::pin!(inward);
    tokio::select! {
        () = outward => {}
        () = async { (&mut inward).await; std::future::pending::<()>().await } => {}
    }
    Ok(())
}

/// kubectl: each connection is a pair of SPDY streams, `error` and `data`, of one request id.
async fn tunnel(mut wire: Wire, way: Way) {
    let Ok(mut writer) = spdy::Writer::new() else {
        return;
    };
    let out = wire.out();
    // Error streams wait for their data stream, by request id.
    let mut errors: HashMap<String, u32> = HashMap::new();
    let mut inputs: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(frame) = wire.next().await {
        while tasks.try_join_next().is_some() {}
        match frame {
            Frame::Open { stream, headers, .. } => {
                let (request, port) = (
                    header(&headers, "requestid"),
                    header(&headers, "port").parse::<u16>(),
                );
                let accepted = match (header(&headers, "streamtype"), port) {
                    ("error", Ok(_)) => {
                        errors.insert(request.to_owned(), stream);
                        None
                    }
                    ("data", Ok(port)) => Some(port),
                    _ => {
                        if out.send(spdy::reset(stream)).await.is_err() {
                            break;
                        }
                        continue;
                    }
                };
                let Ok(reply) = writer.reply(stream) else { break };
                if out.send(reply).await.is_err() {
                    break;
                }
                let Some(port) = accepted else { continue };
                let (input, receive) = mpsc::channel(16);
                inputs.insert(stream, input);
                let error = errors.remove(request);
                let (way, out) = (way.clone(), out.clone());
                tasks.spawn(async move {
                    let wrap = |bytes: &[u8]| spdy::data(stream, bytes, false);
                    let done = carry(way, port, receive, out.clone(), wrap).await;
                    if let Some(error) = error {
                        let message = done.err().unwrap_or_default();
                        let _ = out.send(spdy::data(error, message.as_bytes(), true)).await;
                    }
                    let _ = out.send(spdy::data(stream, &[], true)).await;
                });
            }
            Frame::Data { stream, data, fin } => {
                if !data.is_empty()
                    && let Some(input) = inputs.get(&stream)
                {
                    let _ = input.send(data).await;
                }
                if fin {
                    inputs.remove(&stream);
                }
            }
            Frame::Reset { stream } => {
                inputs.remove(&stream);
            }
            Frame::Ping { .. } | Frame::GoAway | Frame::Other => {}
        }
    }
    tasks.shutdown().await;
    drop(out);
    wire.close().await;
}

/// The form without SPDY: channel 2i carries port i's bytes, channel 2i + 1 its error; both begin with the port's number.
async fn channels(socket: Socket, way: Way, ports: Vec<u16>) {
    let (mut sink, stream) = socket.split();
    let (out, mut outbox) = mpsc::channel::<Message>(64);
    for (index, port) in ports.iter().enumerate() {
        for channel in [2 * index as u8, 2 * index as u8 + 1] {
            if sink
                .send(websocket::message(channel, &port.to_le_bytes()))
                .await
                .is_err()
            {
                return;
            }
        }
    }
    let sending = tokio::spawn(async move {
        while let Some(message) = outbox.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        websocket::farewell(sink).await;
    });
    let mut inputs = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let (input, receive) = mpsc::channel(16);
        inputs.push(Some(input));
        let (way, out) = (way.clone(), out.clone());
        let channel = 2 * index as u8;
        tasks.spawn(async move {
            let wrap = |bytes: &[u8]| websocket::message(channel, bytes);
            if let Err(message) = carry(way, port, receive, out.clone(), wrap).await {
                let _ = out
                    .send(websocket::message(channel + 1, message.as_bytes()))
                    .await;
            }
        });
    }
    drop(out);
    let (said, mut heard) = mpsc::channel(16);
    let hearing = tokio::spawn(websocket::hear(stream, said, true));
    loop {
        tokio::select! {
            said = heard.recv() => match said {
                Some(Said::Data(channel, data)) if channel % 2 == 0 => {
                    if let Some(Some(input)) = inputs.get(usize::from(channel / 2)) {
                        let _ = input.send(data).await;
                    }
                }
                Some(Said::Closed(channel)) => {
                    if let Some(input) = inputs.get_mut(usize::from(channel / 2)) {
                        *input = None;
                    }
                }
                Some(Said::Data(..)) => {}
                None => break,
            },
            ended = tasks.join_next() => if ended.is_none() { break },
        }
    }
    hearing.abort();
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    let _ = sending.await;
}
