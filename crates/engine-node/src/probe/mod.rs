//! Probes and lifecycle hooks: what is asked of a running container, and the loop that asks (pkg/kubelet/prober, pkg/probe,
//! pkg/kubelet/lifecycle).
mod grpc;
mod http;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine_net::Namespace;
use engine_runtime::proto::ExecSpec;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// As much of a command's output as is kept for an event.
const MAX_OUTPUT: usize = 10 << 10;

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Holds the others back until it succeeds once.
    Startup,
    /// Its failure kills the container.
    Liveness,
    /// Decides whether the container gets traffic.
    Readiness,
}

impl Kind {
    /// As events spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// The container that is asked.
#[derive(Clone)]
pub struct Target {
    /// For commands.
    pub runtime: engine_runtime::Client,
    /// Where connections come from: the node.
    pub from: Namespace,
    /// The runtime's name of the container.
    pub id: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// For named ports.
    pub container: Arc<Container>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("id", &self.id)
            .field("ip", &self.ip)
            .finish_non_exhaustive()
    }
}

/// Answer of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy.
    Success,
    /// Unhealthy, with what was seen.
    Failure(String),
    /// It could not be asked: no result at all.
    Errored(String),
}

/// A crossing of a threshold.
#[derive(Debug, Clone)]
pub struct Report {
    /// Container name.
    pub container: String,
    /// Attempt that was probed.
    pub attempt: u32,
    /// Which probe.
    pub kind: Kind,
    /// Its result.
    pub success: bool,
}

/// Asks again and again until the task is dropped, or until a startup probe is decided or a liveness probe has failed.
///
/// `note` gets every failure for an event, `report` the crossings of thresholds.
pub async fn run(
    kind: Kind,
    probe: Probe,
    target: Target,
    delay: Duration,
    note: impl Fn(String) + Send,
    report: impl Fn(bool) + Send,
) {
    let period = Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1) as u64);
    let success_threshold = probe.success_threshold.unwrap_or(1).max(1);
    let failure_threshold = probe.failure_threshold.unwrap_or(3).max(1);
    tokio::time::sleep(delay).await;
    let began = Instant::now();
    let mut reported = match kind {
        Kind::Liveness => Some(true),
        Kind::Startup => None,
        Kind::Readiness => Some(false),
    };
    let mut run = (false, 0);
    if kind != Kind::Liveness {
        // Within the first period a start is looked for more often than asked, without counting failures: a container that is up
        // after 50 ms need not wait for the next second.
        let mut pause = Duration::from_millis(20);
        while began.elapsed() + pause < period {
            if ask(&probe, &target).await == Outcome::Success {
                run = (true, 1);
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        if run.0 && run.1 >= success_threshold {
            report(true);
            reported = Some(true);
            if kind == Kind::Startup {
                return;
            }
        }
    }
    let mut ticks = tokio::time::interval_at(began, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    if kind != Kind::Liveness {
        ticks.tick().await;
    }
    loop {
        let success = match ask(&probe, &target).await {
            Outcome::Success => Some(true),
            Outcome::Failure(why) => {
                note(format!("{} probe failed: {why}", kind.name()));
                Some(false)
            }
            Outcome::Errored(why) => {
                note(format!(
                    "{} probe errored and resulted in unknown state: {why}",
                    kind.name()
                ));
                None
            }
        };
        if let Some(success) = success {
            run = if run.0 == success && run.1 > 0 {
                (success, run.1 + 1)
            } else {
                (success, 1)
            };
            let threshold = if success {
                success_threshold
            } else {
                failure_threshold
            };
            if run.1 >= threshold && reported != Some(success) {
                reported = Some(success);
                report(success);
                if kind == Kind::Startup || (kind == Kind::Liveness && !success) {
                    return;
                }
            }
        }
        ticks.tick().await;
    }
}

/// One probe.
pub async fn ask(probe: &Probe, target: &Target) -> Outcome {
    let limit = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1) as u64);
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match execute(target, command.clone(), Some(limit)).await {
            Ok((0, _)) => Outcome::Success,
            Ok((_, output)) => Outcome::Failure(output),
            Err(Ran::TooLong) => Outcome::Failure(format!(
                "command timed out: \"{}\" timed out after {}s",
                command.join(" "),
                limit.as_secs()
            )),
            Err(Ran::Not(why)) => Outcome::Errored(why),
        };
    }
    if let Some(get) = &probe.http_get {
        return http::probe(target, get, limit).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let port = match port(&tcp.port, &target.container) {
            Ok(port) => port,
            Err(why) => return Outcome::Errored(why),
        };
        let host = tcp.host.as_deref().filter(|host| !host.is_empty());
        return match connect(target, host, port, limit).await {
            Ok(_) => Outcome::Success,
            Err(why) => Outcome::Failure(why),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let Ok(port) = u16::try_from(grpc.port) else {
            return Outcome::Errored(format!("invalid port number: {}", grpc.port));
        };
        return grpc::probe(target, port, grpc.service.as_deref().unwrap_or_default(), limit).await;
    }
    Outcome::Errored("missing probe handler".into())
}

/// Runs a postStart or preStop hook; the message of a failure is for the log only.
pub async fn hook(handler: &LifecycleHandler, target: &Target) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match execute(target, command.clone(), None).await {
            Ok((0, _)) => Ok(()),
            Ok((code, output)) => Err(format!(
                "Exec lifecycle hook ({command:?}) failed - exited with {code}: {output}"
            )),
            Err(Ran::TooLong) => Err("took too long".into()),
            Err(Ran::Not(why)) => Err(why),
        };
    }
    if let Some(get) = &handler.http_get {
        return http::get(target, get, None).await;
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
        return Ok(());
    }
    if handler.tcp_socket.is_some() {
        return Err("tcpSocket hooks do not exist in upstream either".into());
    }
    Ok(())
}

/// Why a command has no exit code.
#[derive(Debug)]
enum Ran {
    TooLong,
    Not(String),
}

/// Runs a command in the container; its exit code and the beginning of its output.
async fn execute(
    target: &Target,
    command: Vec<String>,
    limit: Option<Duration>,
) -> Result<(i32, String), Ran> {
    let spec = ExecSpec {
        id: target.id.clone(),
        args: command,
        ..ExecSpec::default()
    };
    let mut exec = target
        .runtime
        .exec(spec)
        .await
        .map_err(|err| Ran::Not(err.to_string()))?;
    let (stdout, stderr) = (exec.stdout.take(), exec.stderr.take());
    let output = tokio::spawn(async move {
        let (first, second) = tokio::join!(drain(stdout), drain(stderr));
        let mut all = first;
        all.extend(second);
        all.truncate(MAX_OUTPUT);
        String::from_utf8_lossy(&all).into_owned()
    });
    let code = match limit {
        None => exec.wait().await,
        Some(limit) => match timeout(limit, exec.wait()).await {
            Ok(code) => code,
            Err(_) => {
                let _ = exec.signal(libc::SIGKILL).await;
                output.abort();
                return Err(Ran::TooLong);
            }
        },
    };
    let code = code.map_err(|err| Ran::Not(err.to_string()))?;
    // What it left running may hold the pipes open.
    let output = timeout(Duration::from_millis(200), output).await;
    Ok((code, output.ok().and_then(Result::ok).unwrap_or_default()))
}

async fn drain(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return kept };
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&chunk[..room]);
    }
    kept
}

/// Number of a port by number or by name.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let found = container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_ref() == Some(name));
            match (found, name.parse::<i32>()) {
                (Some(port), _) => port.container_port,
                (None, Ok(number)) => number,
                (None, Err(_)) => {
                    return Err(format!("strconv.Atoi: parsing {name:?}: invalid syntax"));
                }
            }
        }
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}

/// Connects from the node; errors as Go words them.
async fn connect(
    target: &Target,
    host: Option<&str>,
    port: u16,
    limit: Duration,
) -> Result<tokio::net::TcpStream, String> {
    let ip = match host {
        None => target.ip,
        Some(host) => match host.parse() {
            Ok(ip) => ip,
            Err(_) => tokio::net::lookup_host((host, port))
                .await
                .ok()
                .and_then(|mut all| all.next())
                .map(|address| address.ip())
                .ok_or_else(|| format!("dial tcp: lookup {host}: no such host"))?,
        },
    };
    let address = SocketAddr::new(ip, port);
    match target.from.connect_tcp(address, limit).await {
        Ok(stream) => Ok(stream),
        Err(engine_net::Error::Socket { source, .. }) => {
            Err(format!("dial tcp {address}: {}", dial(&source)))
        }
        Err(other) => Err(format!("dial tcp {address}: {other}")),
    }
}

/// An error of a connection as Go words it.
pub fn dial(err: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match err.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        ErrorKind::TimedOut => "i/o timeout".into(),
        ErrorKind::HostUnreachable => "connect: no route to host".into(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        _ => err.to_string(),
    }
}

fn http_port(get: &HTTPGetAction, container: &Container) -> Result<u16, String> {
    port(&get.port, container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_name() {
        let container: Container = serde_json::from_value(
            serde_json::json!({"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}),
        )
        .unwrap();
        assert_eq!(port(&IntOrString::Int(80), &container), Ok(80));
        assert_eq!(port(&IntOrString::String("http".into()), &container), Ok(8080));
        assert_eq!(port(&IntOrString::String("81".into()), &container), Ok(81));
        assert!(port(&IntOrString::String("nope".into()), &container).is_err());
        assert!(port(&IntOrString::Int(0), &container).is_err());
    }
}
