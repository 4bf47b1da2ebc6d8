//! Logs, exec, attach and port-forward of the pods of this process' nodes.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine_net::Namespace;
use engine_runtime::proto::ExecSpec;
use k8s_openapi::api::core::v1::ContainerState;
use streaming::{
    Duplex, ExecExit, ExecOptions, ExecSession, LogOptions, LogStream, NodeStreams, Output, StreamError,
    Target,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::agent::NodeAgent;
use crate::container;
use crate::model::specs;
use crate::worker::View;

const CHUNK: usize = 32 << 10;
/// How long output may take to come after the process that wrote it has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// The node agents of a cluster, found by node name.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    agents: Arc<RwLock<HashMap<String, NodeAgent>>>,
}

impl Nodes {
    /// Of these agents.
    pub fn new(agents: impl IntoIterator<Item = NodeAgent>) -> Self {
        let nodes = Self::default();
        for agent in agents {
            nodes.insert(agent);
        }
        nodes
    }

    /// Adds an agent.
    pub fn insert(&self, agent: NodeAgent) {
        let name = agent.node_name().to_owned();
        self.agents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, agent);
    }

    /// All agents.
    pub fn agents(&self) -> Vec<NodeAgent> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.values().cloned().collect()
    }

    /// Takes an agent out; dropping it stops it.
    pub fn remove(&self, node: &str) -> Option<NodeAgent> {
        self.agents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(node)
    }

    /// One agent.
    pub fn get(&self, node: &str) -> Option<NodeAgent> {
        self.agents
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(node)
            .cloned()
    }

    fn find(&self, target: &Target) -> Result<(NodeAgent, watch::Receiver<View>), StreamError> {
        let agent = self
            .get(&target.node)
            .ok_or_else(|| failure(500, format!("node {} is not running here", target.node)))?;
        let view = agent.pod(&target.uid).ok_or_else(|| {
            failure(
                404,
                format!(
                    "pod \"{}_{}\" not found on node {}",
                    target.pod, target.namespace, target.node
                ),
            )
        })?;
        Ok((agent, view))
    }

    /// The id of a container that runs.
    fn running(&self, target: &Target) -> Result<(NodeAgent, String), StreamError> {
        let (agent, view) = self.find(target)?;
        let view = view.borrow();
        check_container(target, &view)?;
        match view.attempts.get(&target.container) {
            Some((attempt, true)) => Ok((agent, container::id(&target.uid, &target.container, *attempt))),
            _ => Err(failure(
                500,
                format!("container not found (\"{}\")", target.container),
            )),
        }
    }
}

fn failure(code: u16, message: impl Into<String>) -> StreamError {
    StreamError {
        code,
        message: message.into(),
    }
}

fn internal(err: impl std::fmt::Display) -> StreamError {
    failure(500, err.to_string())
}

fn check_container(target: &Target, view: &View) -> Result<(), StreamError> {
    if specs(&view.pod).any(|(container, _)| container.name == target.container) {
        return Ok(());
    }
    Err(failure(
        400,
        format!(
            "container {} is not valid for pod {}",
            target.container, target.pod
        ),
    ))
}

#[async_trait]
impl NodeStreams for Nodes {
    async fn logs(&self, target: &Target, options: LogOptions) -> Result<LogStream, StreamError> {
        let (agent, receiver) = self.find(target)?;
        let (attempt, state, latest) = {
            let view = receiver.borrow();
            check_container(target, &view)?;
            let latest = view.attempts.get(&target.container).copied();
            (
                latest.map(|(attempt, _)| attempt),
                state_of(&view, &target.container),
                latest,
            )
        };
        let pod = &target.pod;
        let name = &target.container;
        let attempt = match (attempt, options.previous) {
            (Some(attempt), false) => attempt,
            (Some(attempt @ 1..), true) => attempt - 1,
            (_, true) => {
                return Err(failure(
                    400,
                    format!("previous terminated container \"{name}\" in pod \"{pod}\" not found"),
                ));
            }
            (None, false) => return Err(failure(400, no_log(name, pod, state.as_ref()))),
        };
        let path: PathBuf = container::log_path(&agent.shared.pod_dir(&target.uid), name, attempt);
        if options.previous && !path.exists() {
            return Err(failure(
                400,
                format!("previous terminated container \"{name}\" in pod \"{pod}\" not found"),
            ));
        }
        let follow = options.follow && latest == Some((attempt, true));
        let options = LogOptions { follow, ..options };
        Ok(crate::logs::stream(
            path,
            &options,
            receiver,
            name.clone(),
            attempt,
        ))
    }

    async fn exec(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        let (agent, id) = self.running(target)?;
        let spec = ExecSpec {
            id,
            args: options.command.clone(),
            env: if options.tty {
                vec!["TERM=xterm".into()]
            } else {
                Vec::new()
            },
            cwd: None,
            user: None,
            tty: options.tty,
            stdin: options.stdin,
        };
        let (exit_sender, exit) = oneshot::channel();
        let mut exec = match agent.shared.runtime.exec(spec).await {
            Ok(exec) => exec,
            Err(engine_runtime::Error::Start(message)) => {
                let (_, output) = mpsc::channel(1);
                let _ = exit_sender.send(ExecExit::Failed(message));
                return Ok(ExecSession {
                    stdin: None,
                    output,
                    resize: None,
                    exit,
                });
            }
            Err(err) => return Err(internal(err)),
        };
        let (output_sender, output) = mpsc::channel(16);
        let mut pumps = JoinSet::new();
        let mut stdin = None;
        let mut resize = None;
        if let Some(terminal) = exec.terminal.take() {
            let (sizes, mut wanted) = mpsc::channel::<(u16, u16)>(4);
            let master = terminal.clone();
            tokio::spawn(async move {
                while let Some((width, height)) = wanted.recv().await {
                    let _ = master.resize(width, height);
                }
            });
            resize = Some(sizes);
            if options.stdin {
                stdin = Some(feed(terminal.clone()));
            }
            pumps.spawn(pump(terminal, Output::Stdout, output_sender.clone()));
        } else {
            stdin = exec.stdin.take().map(feed);
            if let Some(stdout) = exec.stdout.take() {
                pumps.spawn(pump(stdout, Output::Stdout, output_sender.clone()));
            }
            if let Some(stderr) = exec.stderr.take() {
                pumps.spawn(pump(stderr, Output::Stderr, output_sender.clone()));
            }
        }
        tokio::spawn(async move {
            let result = tokio::select! {
                result = exec.wait() => result,
                // The client has gone away: a command that nobody listens to ends, as with a closed terminal.
                () = output_sender.closed() => {
                    let _ = exec.signal(libc::SIGHUP).await;
                    exec.wait().await
                }
            };
            let drained = async { while pumps.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(DRAIN, drained).await;
            drop(output_sender);
            let _ = exit_sender.send(match result {
                Ok(code) => ExecExit::Code(code),
                Err(err) => ExecExit::Failed(err.to_string()),
            });
        });
        Ok(ExecSession {
            stdin,
            output,
            resize,
            exit,
        })
    }

    async fn attach(&self, target: &Target, options: ExecOptions) -> Result<ExecSession, StreamError> {
        let (agent, id) = self.running(target).map_err(|err| match err.code {
            500 => failure(
                500,
                format!(
                    "container {} not found in pod {}_{}",
                    target.container, target.pod, target.namespace
                ),
            ),
            _ => err,
        })?;
        let (_, mut view) = self.find(target)?;
        let (tty, has_stdin) = {
            let view = view.borrow();
            let spec = specs(&view.pod)
                .map(|(container, _)| container)
                .find(|container| container.name == target.container);
            (
                spec.is_some_and(|c| c.tty == Some(true)),
                spec.is_some_and(|c| c.stdin == Some(true)),
            )
        };
        let attached = agent
            .shared
            .runtime
            .attach(&id, options.stdin && has_stdin)
            .await
            .map_err(internal)?;
        let (output_sender, output) = mpsc::channel(16);
        let (exit_sender, exit) = oneshot::channel();
        let stdin = attached.stdin.map(feed);
        let mut pumps = JoinSet::new();
        pumps.spawn(pump(attached.stdout, Output::Stdout, output_sender.clone()));
        if let Some(stderr) = attached.stderr {
            pumps.spawn(pump(stderr, Output::Stderr, output_sender.clone()));
        }
        let resize = (tty && options.tty).then(|| {
            let (sizes, mut wanted) = mpsc::channel::<(u16, u16)>(4);
            let (runtime, id) = (agent.shared.runtime.clone(), id.clone());
            tokio::spawn(async move {
                while let Some((width, height)) = wanted.recv().await {
                    let _ = runtime.resize(&id, width, height).await;
                }
            });
            sizes
        });
        let name = target.container.clone();
        tokio::spawn(async move {
            let running = view.borrow().attempts.get(&name).copied();
            let ended = view.wait_for(|view| view.attempts.get(&name).copied() != running);
            tokio::select! {
                _ = ended => {}
                () = output_sender.closed() => {}
            }
            let drained = async { while pumps.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(DRAIN, drained).await;
            drop(output_sender);
            // As upstream: how the container ended is not the end of the stream; kubectl looks at the pod for it.
            let _ = exit_sender.send(ExecExit::Code(0));
        });
        Ok(ExecSession {
            stdin,
            output,
            resize,
            exit,
        })
    }

    async fn port_forward(&self, target: &Target, port: u16) -> Result<Box<dyn Duplex>, StreamError> {
        let (_, view) = self.find(target)?;
        let netns = view.borrow().netns.clone();
        let Some(netns) = netns else {
            return Err(failure(500, format!("pod {} has no network", target.pod)));
        };
        let namespace = Namespace::open(&netns).map_err(internal)?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        match namespace.connect_tcp(address, Duration::from_secs(30)).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(engine_net::Error::Socket { source, .. }) => Err(failure(
                500,
                format!(
                    "failed to connect to localhost:{port} inside namespace \"{}\", IPv4: dial tcp4 {address}: {}",
                    target.uid,
                    crate::probe::dial(&source)
                ),
            )),
            Err(err) => Err(internal(err)),
        }
    }
}

fn state_of(view: &View, container: &str) -> Option<ContainerState> {
    let status = &view.status;
    let mut all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .chain(&status.ephemeral_container_statuses)
        .flatten();
    all.find(|status| status.name == container)?.state.clone()
}

/// Why a container that never ran has no log (pkg/kubelet/kubelet_pods.go, validateContainerLogStatus).
fn no_log(container: &str, pod: &str, state: Option<&ContainerState>) -> String {
    let what = match state {
        None => "is not available".to_owned(),
        Some(state) if state.terminated.is_some() => "is terminated".to_owned(),
        Some(state) => {
            let reason = state
                .waiting
                .as_ref()
                .and_then(|waiting| waiting.reason.as_deref());
            match reason {
                Some("ErrImagePull") => "is waiting to start: image can't be pulled".to_owned(),
                Some("ImagePullBackOff") => {
                    "is waiting to start: trying and failing to pull image".to_owned()
                }
                Some(reason) => format!("is waiting to start: {reason}"),
                None => "is waiting to start - no logs yet".to_owned(),
            }
        }
    };
    format!("container \"{container}\" in pod \"{pod}\" {what}")
}

/// Carries output until its end.
async fn pump(mut from: impl AsyncRead + Unpin, kind: Output, to: mpsc::Sender<(Output, Bytes)>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        if to
            .send((kind, Bytes::copy_from_slice(&chunk[..read])))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Carries input; the process' stdin closes when the sender is dropped.
fn feed(mut into: impl AsyncWrite + Unpin + Send + 'static) -> mpsc::Sender<Bytes> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        while let Some(bytes) = receiver.recv().await {
            if into.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = into.shutdown().await;
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_log() {
        let told = |state: serde_json::Value| {
            let state: Option<ContainerState> = serde_json::from_value(state).unwrap();
            no_log("c", "p", state.as_ref())
        };
        let waiting = |reason: &str| told(serde_json::json!({"waiting": {"reason": reason}}));
        assert_eq!(
            waiting("ImagePullBackOff"),
            "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"
        );
        assert!(waiting("ErrImagePull").ends_with("waiting to start: image can't be pulled"));
        assert!(waiting("PodInitializing").ends_with("waiting to start: PodInitializing"));
        assert!(told(serde_json::json!({"terminated": {"exitCode": 137}})).ends_with("is terminated"));
        assert!(told(serde_json::Value::Null).ends_with("is not available"));
    }
}
