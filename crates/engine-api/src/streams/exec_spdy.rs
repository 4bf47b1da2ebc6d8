//! `pods/exec` and `pods/attach` as kubectl before 1.31 speaks them: one SPDY stream for each of error, stdin, stdout, stderr and
//! resize (apimachinery `remotecommand` versions 1 to 4).
use std::{collections::HashMap, time::Duration};

use streaming::{
    ExecExit, ExecSession, Output,
    spdy::{self, Frame},
};
use tokio::sync::watch;

use crate::{
    json::text,
    streams::{
        exec::{exit_status, terminal_size},
        wire::{Wire, header},
    },
};

/// The only one whose status is structured.
const V4: &str = "v4.channel.k8s.io";
/// What is spoken on SPDY.
pub const PROTOCOLS: [&str; 4] = [V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long a client may take to open its streams (upstream's `DefaultStreamCreationTimeout`).
const OPENING: Duration = Duration::from_secs(30);

/// Where output goes, as far as the client has opened the streams.
#[derive(Debug, Default, Clone, Copy)]
struct Outlets {
    error: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
}

/// Carry bytes both ways until the process has ended or the client is gone. `outputs` says whether stdout and stderr are wanted.
pub async fn bridge(mut wire: Wire, session: ExecSession, outputs: (bool, bool), protocol: &'static str) {
    let ExecSession {
        stdin,
        mut output,
        resize,
        exit,
    } = session;
    let (open, mut opened) = watch::channel(Outlets::default());
    let out = wire.out();
    let input = async {
        let Ok(mut writer) = spdy::Writer::new() else {
            return;
        };
        let (mut stdin, mut kinds) = (stdin, HashMap::new());
        while let Some(frame) = wire.next().await {
            match frame {
                Frame::Open { stream, headers, fin } => {
                    let kind = header(&headers, "streamtype").to_owned();
                    let Ok(reply) = writer.reply(stream) else { return };
                    // The client waits for the reply before it opens the next.
                    if wire.out().send(reply).await.is_err() {
                        return;
                    }
                    open.send_modify(|outlets| match kind.as_str() {
                        "error" => outlets.error = Some(stream),
                        "stdout" => outlets.stdout = Some(stream),
                        "stderr" => outlets.stderr = Some(stream),
                        _ => {}
                    });
                    if fin && kind == "stdin" {
                        stdin = None;
                    }
                    kinds.insert(stream, kind);
                }
                Frame::Data { stream, data, fin } => match kinds.get(&stream).map(String::as_str) {
                    Some("stdin") => {
                        if let Some(open) = &stdin
                            && !data.is_empty()
                            && open.send(data).await.is_err()
                        {
                            stdin = None;
                        }
                        if fin {
                            stdin = None;
                        }
                    }
                    Some("resize") => {
                        if let (Some(resize), Some(size)) = (&resize, terminal_size(&data)) {
                            let _ = resize.send(size).await;
                        }
                    }
                    _ => {}
                },
                Frame::Reset { stream } => {
                    if kinds.get(&stream).is_some_and(|kind| kind == "stdin") {
                        stdin = None;
                    }
                }
                Frame::Ping { .. } | Frame::GoAway | Frame::Other => {}
            }
        }
    };
    let ended = async {
        let (stdout, stderr) = outputs;
        let all = |o: &Outlets| {
            o.error.is_some() && (!stdout || o.stdout.is_some()) && (!stderr || o.stderr.is_some())
        };
        let outlets = *tokio::time::timeout(OPENING, opened.wait_for(all))
            .await
            .ok()?
            .ok()?;
        while let Some((from, data)) = output.recv().await {
            let outlet = if from == Output::Stdout {
                outlets.stdout
            } else {
                outlets.stderr
            };
            if let Some(stream) = outlet {
                out.send(spdy::data(stream, &data, false)).await.ok()?;
            }
        }
        for stream in [outlets.stdout, outlets.stderr].into_iter().flatten() {
            out.send(spdy::data(stream, &[], true)).await.ok()?;
        }
        let gone = |_| ExecExit::Failed("the node agent went away".to_owned());
        let status = exit_status(exit.await.unwrap_or_else(gone));
        let body = if protocol == V4 {
            status.to_string()
        } else {
            text(&status, "/message").to_owned()
        };
        out.send(spdy::data(outlets.error?, body.as_bytes(), true))
            .await
            .ok()
    };
    tokio::select! {
        _ = ended => {}
        // Dropping the session closes its streams.
        () = input => {}
    }
    drop(out);
    wire.close().await;
}
