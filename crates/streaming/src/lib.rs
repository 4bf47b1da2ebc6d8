//! What the API server asks of a node agent: logs, exec, attach, port-forward. The API server speaks the WebSocket and
//! SPDY protocols to the client; a node agent only sees these calls. [`spdy`] has the frames of the latter. Both connect to servers
//! whose certificate nobody can check: [`AnyCertificate`].
pub mod spdy;
mod tls;

pub use tls::AnyCertificate;

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// A failure, mapped by the API server to a Status with this HTTP code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// HTTP status code: 400, 404, 500, …
    pub code: u16,
    /// Message as upstream words it, such as `container nope is not valid for pod q`.
    pub message: String,
}

/// The container of a pod.
#[derive(Debug, Clone)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Pod name.
    pub pod: String,
    /// Pod uid.
    pub uid: String,
    /// Node that runs the pod (`spec.nodeName`).
    pub node: String,
    /// Container name; the API server has resolved the default.
    pub container: String,
}

/// `corev1.PodLogOptions`.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Go on as lines are written, until the container ends.
    pub follow: bool,
    /// The previous terminated instance.
    pub previous: bool,
    /// Prefix each line with its RFC 3339 time in nanoseconds.
    pub timestamps: bool,
    /// Only lines newer than this many seconds.
    pub since_seconds: Option<i64>,
    /// Only lines at or after this RFC 3339 time.
    pub since_time: Option<String>,
    /// Only the last lines.
    pub tail_lines: Option<i64>,
    /// At most so many bytes.
    pub limit_bytes: Option<i64>,
}

/// `corev1.PodExecOptions`; for attach the command is empty.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether stdin is connected.
    pub stdin: bool,
    /// Whether stdout is connected.
    pub stdout: bool,
    /// Whether stderr is connected (never with a terminal).
    pub stderr: bool,
    /// Allocate a terminal.
    pub tty: bool,
}

/// Which stream a chunk of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an exec ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecExit {
    /// Exit code; 128 + signal for a signal.
    Code(i32),
    /// It could not run, such as `exec: "nope": executable file not found in $PATH`.
    Failed(String),
}

/// A running exec or attach. Dropping it closes its streams.
#[derive(Debug)]
pub struct ExecSession {
    /// Bytes for stdin; dropping it closes stdin.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// Output until every stream is closed.
    pub output: mpsc::Receiver<(Output, Bytes)>,
    /// Terminal size in columns and rows.
    pub resize: Option<mpsc::Sender<(u16, u16)>>,
    /// Completes once the process has ended and its output is drained.
    pub exit: oneshot::Receiver<ExecExit>,
}

/// A stream of log bytes.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// Both directions of a forwarded port.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The node agents of the cluster; the implementation finds the one that `target.node` names.
#[async_trait]
pub trait NodeStreams: Send + Sync {
    /// `GET pods/{name}/log`.
    async fn logs(&self, target: &Target, options: LogOptions) -> Result<LogStream, StreamError>;
    /// `pods/{name}/exec`.
    async fn exec(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError>;
    /// `pods/{name}/attach`.
    async fn attach(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError>;
    /// `pods/{name}/portforward`, one connection; also `pods/{name}/proxy`.
    async fn port_forward(&self, target: &Target, port: u16) -> Result<Box<dyn Duplex>, StreamError>;
}
