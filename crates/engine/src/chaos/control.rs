//! Asks the running engine, by its control socket, to take nodes out and to bring them back. The engine itself brings a node back at
//! its time, also after it was killed and restarted, whatever becomes of the one who asked.
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::outages::Kind;
use crate::{Error, Paths};

/// The longest time that a node may be asked to be out.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Up,
    /// Its agent and containers are dead, and its network is gone.
    Stopped,
    /// It goes on and reaches nobody.
    Cut,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Stopped => "stopped",
            Self::Cut => "cut",
        })
    }
}

impl From<Kind> for State {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Stopped => Self::Stopped,
            Kind::Cut => Self::Cut,
        }
    }
}

/// A node, how it is, and when it will be up again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Name of the Node object.
    pub name: String,
    /// How it is.
    pub state: State,
    /// When the engine brings it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Every node of the cluster.
///
/// # Errors
/// [`Error::Control`] when the engine does not answer.
pub async fn nodes(paths: &Paths) -> Result<Vec<NodeState>, Error> {
    #[derive(Deserialize)]
    struct List {
        nodes: Vec<NodeState>,
    }
    let action = "list the nodes".to_owned();
    let list: List = ask(paths, action, Method::GET, "/nodes").await?;
    Ok(list.nodes)
}

/// Stops a node as if its power had failed: its agent ends and its containers are killed. Comes back when they are dead.
///
/// # Errors
/// [`Error::Control`] when there is no such node, it is cut off, or it cannot be done.
pub async fn stop_node(paths: &Paths, node: &str, length: Duration) -> Result<NodeState, Error> {
    let path = format!("/nodes/{node}/stop?for={}", length.as_secs_f64());
    ask(paths, format!("stop node {node}"), Method::POST, &path).await
}

/// Cuts a node off, as if its cable was pulled: its agent and pods go on and reach nobody outside.
///
/// # Errors
/// [`Error::Control`] when there is no such node, it is stopped, or it cannot be done.
pub async fn cut_node(paths: &Paths, node: &str, length: Duration) -> Result<NodeState, Error> {
    let path = format!("/nodes/{node}/cut?for={}", length.as_secs_f64());
    ask(paths, format!("cut off node {node}"), Method::POST, &path).await
}

/// Brings a node back before its time. One that is up stays so.
///
/// # Errors
/// [`Error::Control`] when there is no such node or it does not come up.
pub async fn restore_node(paths: &Paths, node: &str) -> Result<NodeState, Error> {
    let path = format!("/nodes/{node}/restore");
    ask(paths, format!("restore node {node}"), Method::POST, &path).await
}

async fn ask<T: DeserializeOwned>(
    paths: &Paths,
    action: String,
    method: Method,
    path: &str,
) -> Result<T, Error> {
    let answer = exchange(paths, method, path).await;
    answer.map_err(|reason| Error::Control { action, reason })
}

async fn exchange<T: DeserializeOwned>(paths: &Paths, method: Method, path: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let text = |e: &dyn std::error::Error| e.to_string();
    let stream = connect(paths).await.map_err(|e| {
        format!(
            "the engine does not listen on {}: {e}",
            paths.control_socket().display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| text(&e))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "engine")
        .body(Empty::<Bytes>::new())
        .map_err(|e| text(&e))?;
    let exchanged = async {
        let answer = sender.send_request(request).await?;
        let code = answer.status();
        Ok::<_, hyper::Error>((code, answer.into_body().collect().await?.to_bytes()))
    };
    let (code, body) = tokio::select! {
        answer = exchanged => answer.map_err(|e| text(&e))?,
        ended = connection => return Err(ended.err().map_or_else(|| "the engine hung up".to_owned(), |e| text(&e))),
    };
    if code.is_success() {
        return serde_json::from_slice(&body).map_err(|e| text(&e));
    }
    let refusal = serde_json::from_slice::<Refusal>(&body);
    Err(refusal.map_or_else(|_| format!("the engine answered {code}"), |refusal| refusal.error))
}

/// A socket's path may have 107 bytes; the folder's own may be longer.
async fn connect(paths: &Paths) -> std::io::Result<UnixStream> {
    let folder = File::open(paths.run())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    UnixStream::connect(short.join("control.sock")).await
}
