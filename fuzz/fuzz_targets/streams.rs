//! What a client sends after the upgrade of exec, attach and port-forward: WebSocket frames or SPDY, whole or nonsense.
#![no_main]
use std::{cell::RefCell, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use engine_api::{ApiServer, Config};
use futures::stream;
use fuzz::Choices;
use http::Request;
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use streaming::{Duplex, ExecExit, ExecOptions, ExecSession, LogOptions, LogStream, NodeStreams, Output, StreamError, Target, spdy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

/// A node whose programs give back what they are given.
struct Echo;

#[async_trait]
impl NodeStreams for Echo {
    async fn logs(&self, _: &Target, _: LogOptions) -> Result<LogStream, StreamError> {
        Ok(Box::pin(stream::empty()))
    }

    async fn exec(&self, _: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        let (stdin, mut heard) = mpsc::channel::<Bytes>(4);
        let (said, output) = mpsc::channel(4);
        let (end, exit) = oneshot::channel();
        tokio::spawn(async move {
            while let Some(bytes) = heard.recv().await {
                if said.send((Output::Stdout, bytes)).await.is_err() {
                    return;
                }
            }
            let _ = end.send(ExecExit::Code(0));
        });
        let (resize, mut sizes) = mpsc::channel(4);
        tokio::spawn(async move { while sizes.recv().await.is_some() {} });
        Ok(ExecSession { stdin: options.stdin.then_some(stdin), output, resize: options.tty.then_some(resize), exit })
    }

    async fn attach(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        self.exec(target, options).await
    }

    async fn port_forward(&self, _: &Target, port: u16) -> Result<Box<dyn Duplex>, StreamError> {
        if port == 9 {
            return Err(StreamError { code: 500, message: "connection refused".to_owned() });
        }
        let (near, far) = tokio::io::duplex(4096);
        let (mut reader, mut writer) = tokio::io::split(far);
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut writer).await });
        Ok(Box::new(near))
    }
}

const POD: &str = "/api/v1/namespaces/default/pods/p";
/// What is asked for, the protocol's header, the protocol.
const WAYS: [(&str, &str, &str); 8] = [
    ("exec?command=x&stdin=1&stdout=1", "websocket", "v5.channel.k8s.io"),
    ("exec?command=x&stdin=1&stdout=1&tty=1", "websocket", "v4.channel.k8s.io"),
    ("attach?stdin=1&stdout=1&stderr=1", "websocket", "channel.k8s.io"),
    ("portforward?ports=80&ports=9", "websocket", "v4.channel.k8s.io"),
    ("portforward", "websocket", "SPDY/3.1+portforward.k8s.io"),
    ("portforward", "SPDY/3.1", "portforward.k8s.io"),
    ("exec?command=x&stdin=1&stdout=1&stderr=1", "SPDY/3.1", "v4.channel.k8s.io"),
    ("exec?command=x&stdin=1&stdout=1&tty=1", "SPDY/3.1", "channel.k8s.io"),
];

struct Node {
    runtime: Runtime,
    _server: ApiServer,
    client: Client,
}

impl Node {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let config = Config { service_account_keys: vec![key.serialize_pem()], ..Config::default() };
        let (server, client) = runtime.block_on(async {
            let server = config.build().await.expect("a server");
            server.set_node_streams(Arc::new(Echo));
            let client = server.client("admin", &["system:masters"], "fuzz/1");
            let pods = "/api/v1/namespaces/default";
            let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
            for (path, body) in [("serviceaccounts", json!({"metadata": {"name": "default"}})), ("pods", pod)] {
                let request = Request::post(format!("{pods}/{path}"))
                    .header("content-type", "application/json")
                    .body(Body::from(body.to_string().into_bytes()))
                    .expect("a request");
                let answer = client.send(request).await.expect("an answer");
                assert!(answer.status().is_success(), "{path}: {}", answer.status());
            }
            (server, client)
        });
        Self { runtime, _server: server, client }
    }

    fn talk(&self, way: (&str, &str, &str), bytes: &[u8]) {
        let (what, upgrade, protocol) = way;
        let header = if upgrade == "websocket" { "sec-websocket-protocol" } else { "x-stream-protocol-version" };
        let request = Request::get(format!("{POD}/{what}"))
            .header("connection", "Upgrade")
            .header("upgrade", upgrade)
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-version", "13")
            .header(header, protocol)
            .body(Body::empty())
            .expect("a request");
        self.runtime.block_on(async {
            let response = self.client.send(request).await.expect("an answer");
            assert_eq!(response.status(), 101, "{way:?}");
            let upgraded = hyper::upgrade::on(response).await.expect("an upgrade");
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
            let send = async {
                let _ = writer.write_all(bytes).await;
                let _ = writer.shutdown().await;
            };
            let hear = async {
                let mut heard = [0; 4096];
                while reader.read(&mut heard).await.is_ok_and(|n| n > 0) {}
            };
            let _ = tokio::time::timeout(Duration::from_millis(20), async { tokio::join!(send, hear) }).await;
        });
    }
}

/// A client's message: what comes in a WebSocket, masked by zeros as clients must.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x82, 0xfe], &length[..], &[0; 4], &message[..message.len().min(65535)]].concat()
}

thread_local! {
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let way = choices.one(&WAYS);
    let whole = choices.byte() & 1 == 1;
    // The compressed headers of streams are what no fuzzer finds.
    let mut opened = Vec::new();
    if let Ok(mut writer) = spdy::Writer::new() {
        for (n, kind) in ["error", "data", "stdin", "stdout", "stderr", "resize"].into_iter().enumerate() {
            let headers = [("streamtype", kind), ("port", "80"), ("requestid", "0")];
            let stream = u32::try_from(2 * n + 1).unwrap_or(1);
            opened.extend_from_slice(&writer.open(stream, &headers).unwrap_or_default());
        }
    }
    let spoken = match (way.1, way.2.starts_with("SPDY"), whole) {
        ("websocket", true, true) => framed(&[&opened, choices.rest()].concat()),
        ("websocket", false, true) => framed(choices.rest()),
        ("SPDY/3.1", _, true) => [&opened, choices.rest()].concat(),
        _ => choices.rest().to_vec(),
    };
    NODE.with_borrow_mut(|kept| kept.get_or_insert_with(Node::new).talk(way, &spoken));
});
