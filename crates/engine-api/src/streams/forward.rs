//! `pods/portforward`: kubectl's SPDY frames inside a WebSocket, and the older form with one channel a port.
use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Response;
use schema::KindInfo;
use streaming::{NodeStreams, Target};
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
        spdy,
        websocket::{self, Said, Socket},
    },
};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const PROTOCOLS: [&str; 4] = [
    TUNNEL,
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "portforward.k8s.io",
];
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
        let pod = self.fetch(pods, &call.route.namespace, &call.route.name)?;
        let node = text(&pod.value, "/spec/nodeName").to_owned();
        if node.is_empty() {
            return Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                call.route.name
            )));
        }
        let target = Target {
            namespace: call.route.namespace.clone(),
            pod: call.route.name.clone(),
            uid: text(&pod.value, "/metadata/uid").to_owned(),
            node,
            container: String::new(),
        };
        let way = Way {
            streams: self.node_streams()?,
            target,
        };
        if !websocket::is_websocket(call) {
            return Err(ApiError::bad_request(
                "this engine forwards ports over WebSockets only; kubectl 1.31 and newer use them",
            ));
        }
        let protocol = websocket::protocol(call, &PROTOCOLS)?;
        if protocol == TUNNEL {
            return websocket::accept(call, protocol, move |socket| tunnel(socket, way));
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
        websocket::accept(call, protocol, move |socket| channels(socket, way, ports))
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

/// kubectl: SPDY inside the WebSocket. Each connection is a pair of streams, `error` and `data`, of one request id.
async fn tunnel(socket: Socket, way: Way) {
    let Ok(mut writer) = spdy::Writer::new() else {
        return;
    };
    let mut reader = spdy::Reader::default();
    let (mut sink, mut stream) = socket.split();
    let (out, mut outbox) = mpsc::channel::<Bytes>(64);
    let sending = tokio::spawn(async move {
        while let Some(bytes) = outbox.recv().await {
            if sink.send(Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        websocket::farewell(sink).await;
    });
    // Error streams wait for their data stream, by request id.
    let mut errors: HashMap<String, u32> = HashMap::new();
    let mut inputs: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    'connection: while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            _ => continue,
        };
        reader.push(&bytes);
        loop {
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "port-forward client");
                    break 'connection;
                }
            };
            let answer = match frame {
                spdy::Frame::Open { stream, headers, .. } => {
                    let header = |name: &str| {
                        headers
                            .iter()
                            .find(|(k, _)| k.eq_ignore_ascii_case(name))
                            .map(|(_, v)| v.clone())
                            .unwrap_or_default()
                    };
                    let request = header("requestid");
                    match (header("streamtype").as_str(), header("port").parse::<u16>()) {
                        ("error", Ok(_)) => {
                            errors.insert(request, stream);
                            writer.reply(stream).ok()
                        }
                        ("data", Ok(port)) => {
                            let (input, receive) = mpsc::channel(16);
                            inputs.insert(stream, input);
                            let error = errors.remove(&request);
                            let reply = writer.reply(stream).ok();
                            if let Some(reply) = reply
                                && out.send(reply).await.is_err()
                            {
                                break 'connection;
                            }
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
                            None
                        }
                        _ => Some(spdy::reset(stream)),
                    }
                }
                spdy::Frame::Data { stream, data, fin } => {
                    if !data.is_empty()
                        && let Some(input) = inputs.get(&stream)
                    {
                        let _ = input.send(data).await;
                    }
                    if fin {
                        inputs.remove(&stream);
                    }
                    None
                }
                spdy::Frame::Reset { stream } => {
                    inputs.remove(&stream);
                    None
                }
                spdy::Frame::Ping { id } => Some(spdy::ping(id)),
                spdy::Frame::GoAway => break 'connection,
                spdy::Frame::Other => None,
            };
            if let Some(answer) = answer
                && out.send(answer).await.is_err()
            {
                break 'connection;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    tasks.abort_all();
    drop(out);
    let _ = sending.await;
}

/// The older form: channel 2i carries port i's bytes, channel 2i + 1 its error; both begin with the port's number.
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
