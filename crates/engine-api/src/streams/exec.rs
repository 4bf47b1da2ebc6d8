//! `pods/exec` and `pods/attach` over WebSockets (kubernetes `staging/src/k8s.io/cri-streaming/.../remotecommand/websocket.go`).
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use http::Response;
use schema::KindInfo;
use serde_json::{Value, json};
use streaming::{ExecExit, ExecOptions, ExecSession, Output};
use tokio::sync::mpsc;

use crate::{
    answer::{self, Body},
    api::{Api, Call},
    json::text,
    status::{ApiError, Result},
    streams::{
        exec_spdy, stream_error,
        upgrade::{self, Upgrade},
        websocket::{self, Said, Socket},
        wire::Wire,
    },
};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const V5: &str = "v5.channel.k8s.io";
const PROTOCOLS: [&str; 3] = [V5, "v4.channel.k8s.io", "channel.k8s.io"];

impl Api {
    /// Run a program in a container, or join the one that runs.
    pub async fn exec(self: &Arc<Self>, call: &Call, pods: &'static KindInfo) -> Result<Response<Body>> {
        self.may_carry(call, pods)?;
        let attach = call.route.subresource == "attach";
        let (pod, target) = self.target(call, pods)?;
        let pod_now = pod.value();
        let phase = text(&pod_now, "/status/phase");
        if matches!(phase, "Succeeded" | "Failed") {
            return Err(ApiError::bad_request(format!(
                "cannot {} a container in a completed pod; current phase is {phase}",
                if attach { "attach" } else { "exec into" }
            )));
        }
        if target.node.is_empty() {
            return Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                target.pod
            )));
        }
        let query = &call.query;
        let tty = query.truth("tty");
        let options = ExecOptions {
            command: if attach { Vec::new() } else { query.all("command") },
            stdin: query.truth("stdin"),
            stdout: query.truth("stdout"),
            stderr: query.truth("stderr") && !tty,
            tty,
        };
        if !attach && options.command.is_empty() {
            return Err(ApiError::bad_request(
                "you must specify a command for the container",
            ));
        }
        if !options.stdin && !options.stdout && !options.stderr {
            return Err(ApiError::bad_request(
                "you must specify at least one of stdin, stdout, stderr",
            ));
        }
        let upgrade = Upgrade::of(call)?;
        let protocol = upgrade.protocol(
            call,
            match upgrade {
                Upgrade::WebSocket => &PROTOCOLS,
                Upgrade::Spdy => &exec_spdy::PROTOCOLS,
            },
        )?;
        let outputs = (options.stdout, options.stderr);
        let streams = self.node_streams()?;
        let session = if attach {
            streams.attach(&target, options).await
        } else {
            streams.exec(&target, options).await
        };
        let session = match session {
            Ok(session) => session,
            // What a kubelet says instead of upgrading is text; kubectl words it so, too.
            Err(error) if error.code >= 500 => return Ok(answer::text(error.code, error.message)),
            Err(error) => return Err(stream_error(error)),
        };
        match upgrade {
            Upgrade::WebSocket => {
                upgrade::websocket(call, protocol, move |socket| bridge(socket, session, protocol))
            }
            Upgrade::Spdy => upgrade::spdy(call, protocol, move |connection| {
                exec_spdy::bridge(Wire::raw(connection), session, outputs, protocol)
            }),
        }
    }
}

/// Carry bytes both ways until the process has ended or the client is gone.
async fn bridge(socket: Socket, session: ExecSession, protocol: &'static str) {
    let ExecSession {
        stdin,
        mut output,
        resize,
        exit,
    } = session;
    let (mut sink, stream) = socket.split();
    // Upstream says something at once, so that clients know that the stream is up.
    if sink.send(websocket::message(STDOUT, &[])).await.is_err() {
        return;
    }
    let (said, mut heard) = mpsc::channel(16);
    let hearing = tokio::spawn(websocket::hear(stream, said, protocol == V5));
    // Input has a task of its own: a program that does not read must not hold up its output.
    let input = tokio::spawn(async move {
        let mut stdin = stdin;
        while let Some(said) = heard.recv().await {
            match said {
                Said::Data(STDIN, data) => {
                    if let Some(open) = &stdin
                        && open.send(data).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Said::Closed(STDIN) => stdin = None,
                Said::Data(RESIZE, data) => {
                    if let (Some(resize), Some(size)) = (&resize, terminal_size(&data)) {
                        let _ = resize.send(size).await;
                    }
                }
                Said::Data(..) | Said::Closed(_) => {}
            }
        }
    });
    let mut gone = hearing;
    let ended = async {
        while let Some((from, data)) = output.recv().await {
            let channel = if from == Output::Stdout { STDOUT } else { STDERR };
            if sink.send(websocket::message(channel, &data)).await.is_err() {
                return None;
            }
        }
        Some((sink, exit.await))
    };
    tokio::pin!(ended);
    let last = tokio::select! {
        last = &mut ended => last,
        // Dropping the session closes its streams.
        _ = &mut gone => None,
    };
    gone.abort();
    input.abort();
    let Some((mut sink, exit)) = last else { return };
    let mut status =
        exit_status(exit.unwrap_or_else(|_| ExecExit::Failed("the node agent went away".to_owned())));
    if protocol == V5 && status["reason"] == "InternalError" {
        // Upstream's API server translates this protocol to the one before, and wraps what it hears (proxy/streamtranslator.go).
        status["message"] = format!("Internal error occurred: {}", text(&status, "/message")).into();
    }
    let body = if protocol == "channel.k8s.io" {
        // The first protocol has no structured status: nothing for success, the message for failure.
        text(&status, "/message").to_owned()
    } else {
        status.to_string()
    };
    if !body.is_empty()
        && sink
            .send(websocket::message(ERROR, body.as_bytes()))
            .await
            .is_err()
    {
        return;
    }
    websocket::farewell(sink).await;
}

pub fn terminal_size(data: &[u8]) -> Option<(u16, u16)> {
    let size: Value = serde_json::from_slice(data).ok()?;
    let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
    Some((side("Width")?, side("Height")?))
}

pub fn exit_status(exit: ExecExit) -> Value {
    match exit {
        ExecExit::Code(0) => json!({"metadata": {}, "status": "Success"}),
        ExecExit::Code(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: error executing command in container: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        ExecExit::Failed(message) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": format!("Internal error occurred: error executing command in container: {message}"),
            "details": {"causes": [{"message": format!("error executing command in container: {message}")}]},
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_statuses() {
        assert_eq!(terminal_size(br#"{"Width":80,"Height":24}"#), Some((80, 24)));
        assert_eq!(terminal_size(br#"{"Width":80000,"Height":24}"#), None);
        assert_eq!(exit_status(ExecExit::Code(0))["status"], "Success");
        assert_eq!(
            exit_status(ExecExit::Code(4))["details"]["causes"][0]["message"],
            "4"
        );
    }
}
