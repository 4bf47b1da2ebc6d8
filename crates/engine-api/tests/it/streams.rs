//! Logs, exec and port-forward through real WebSockets, against a node agent that echoes.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use serde_json::json;
use streaming::{
    Duplex, ExecExit, ExecOptions, ExecSession, LogOptions, LogStream, NodeStreams, Output, StreamError,
    Target,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use crate::common::{PODS, Server, pod};

/// Echoes stdin to stdout, the command to stderr, and exits with the number that the command ends with.
struct Echo;

#[async_trait]
impl NodeStreams for Echo {
    async fn logs(&self, target: &Target, options: LogOptions) -> Result<LogStream, StreamError> {
        let line = format!(
            "{}/{} tail {:?}\n",
            target.pod, target.container, options.tail_lines
        );
        Ok(Box::pin(futures::stream::iter([Ok(Bytes::from(line))])))
    }

    async fn exec(&self, _: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        let (stdin, mut input) = mpsc::channel::<Bytes>(4);
        let (out, output) = mpsc::channel(4);
        let (done, exit) = oneshot::channel();
        let code = options.command.last().and_then(|c| c.parse().ok()).unwrap_or(0);
        tokio::spawn(async move {
            let _ = out
                .send((Output::Stderr, Bytes::from(options.command.join(" "))))
                .await;
            while let Some(bytes) = input.recv().await {
                let _ = out.send((Output::Stdout, bytes)).await;
            }
            drop(out);
            let _ = done.send(ExecExit::Code(code));
        });
        Ok(ExecSession {
            stdin: options.stdin.then_some(stdin),
            output,
            resize: None,
            exit,
        })
    }

    async fn attach(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        self.exec(target, options).await
    }

    async fn port_forward(&self, _: &Target, port: u16) -> Result<Box<dyn Duplex>, StreamError> {
        if port == 1 {
            return Err(StreamError {
                code: 500,
                message: "connection refused".to_owned(),
            });
        }
        let (near, far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        });
        Ok(Box::new(near))
    }
}

async fn server() -> (Server, Api<Pod>) {
    let server = Server::new().await.streams(Arc::new(Echo));
    server.ok("POST", PODS, &pod("p")).await;
    server
        .ok(
            "POST",
            &format!("{PODS}/p/binding"),
            &json!({"metadata": {"name": "p"}, "target": {"name": "n"}}),
        )
        .await;
    let pods = Api::namespaced(server.admin.clone(), "default");
    (server, pods)
}

#[tokio::test]
async fn logs() {
    let (server, _) = server().await;
    assert_eq!(
        server.get(&format!("{PODS}/p/log?tailLines=3")).await,
        json!("p/c tail Some(3)\n")
    );
    let (code, message) = server
        .fails("GET", &format!("{PODS}/p/log?container=nope"), &json!(null))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (400, "container nope is not valid for pod p")
    );
}

#[tokio::test]
async fn exec_carries_both_ways_and_the_exit_code() {
    let (_server, pods) = server().await;
    let params = AttachParams::default().stdin(true).stderr(true);
    let mut process = pods.exec("p", ["sh", "4"], &params).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
    let status = process.take_status().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).await.unwrap();
    stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("hello", "sh 4"));
    let status = status.await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    assert_eq!(
        status.details.unwrap().causes.unwrap()[0].message.as_deref(),
        Some("4")
    );
}

#[tokio::test]
async fn ports_by_channels() {
    let (_server, pods) = server().await;
    let mut forwarder = pods.portforward("p", &[80, 1]).await.unwrap();
    let mut stream = forwarder.take_stream(80).unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
    let refused = forwarder.take_error(1).unwrap().await.unwrap();
    assert!(refused.contains("connection refused"), "{refused}");
}

#[tokio::test]
async fn proxy_speaks_http_to_the_pod() {
    let (server, _) = server().await;
    // The echo answers a request with itself, which is not HTTP: the proxy must say so rather than hang.
    let (code, message) = server
        .fails("GET", &format!("{PODS}/p:80/proxy/x"), &json!(null))
        .await;
    assert_eq!(code, 503);
    assert!(message.contains("error trying to reach service"), "{message}");
}
