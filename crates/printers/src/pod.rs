//! The pod's row: its Status column is a small program of its own.
use serde_json::{Value, json};

use crate::cell::{NONE, age, list, name, number, seconds, since, text, text_or};

pub(crate) fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let summary = summary(pod);
    let restarts = match summary.last_restart.filter(|_| summary.restarts != 0) {
        Some(time) => format!("{} ({} ago)", summary.restarts, since(&time, now)),
        None => summary.restarts.to_string(),
    };
    let ips = list(pod, "/status/podIPs");
    let ip = ips
        .first()
        .and_then(|i| i["ip"].as_str())
        .unwrap_or_else(|| text(pod, "/status/podIP"));
    let gates = list(pod, "/spec/readinessGates");
    let gates_met = gates
        .iter()
        .filter(|g| condition(pod, g["conditionType"].as_str().unwrap_or_default()) == Some("True"));
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.containers).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        if ip.is_empty() { NONE } else { ip }.into(),
        text_or(pod, "/spec/nodeName", NONE).into(),
        text_or(pod, "/status/nominatedNodeName", NONE).into(),
        if gates.is_empty() {
            NONE.into()
        } else {
            json!(format!("{}/{}", gates_met.count(), gates.len()))
        },
    ]
}

struct Summary {
    ready: usize,
    containers: usize,
    restarts: i64,
    last_restart: Option<String>,
    reason: String,
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    list(pod, "/status/conditions")
        .iter()
        .find(|c| c["type"] == kind)
        .and_then(|c| c["status"].as_str())
}

/// An init container that goes on beside the others.
fn is_sidecar(pod: &Value, name: &str) -> bool {
    list(pod, "/spec/initContainers")
        .iter()
        .any(|c| c["name"] == name && c["restartPolicy"] == "Always")
}

/// After `printPod`.
fn summary(pod: &Value) -> Summary {
    let mut s = Summary {
        ready: 0,
        containers: list(pod, "/spec/containers").len(),
        restarts: 0,
        last_restart: None,
        reason: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
    };
    s.containers += list(pod, "/spec/initContainers")
        .iter()
        .filter(|c| c["restartPolicy"] == "Always")
        .count();
    if let Some(gated) = list(pod, "/status/conditions")
        .iter()
        .find(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
    {
        s.reason = gated["reason"].as_str().unwrap_or_default().to_owned();
    }
    let newer = |status: &Value, last: &mut Option<String>| {
        let finished = text(status, "/lastState/terminated/finishedAt");
        if seconds(finished).is_some_and(|t| last.as_deref().and_then(seconds).is_none_or(|l| t > l)) {
            *last = Some(finished.to_owned());
        }
    };
    let mut last_restart = None;
    let mut sidecar_restart = None;
    let mut sidecar_restarts = 0;
    let initializing = initializing(pod, &mut s, &mut |status, sidecar| {
        newer(status, &mut last_restart);
        if sidecar {
            newer(status, &mut sidecar_restart);
            sidecar_restarts += number(status, "/restartCount");
        }
    });
    if !initializing || condition(pod, "Initialized") == Some("True") {
        s.restarts = sidecar_restarts;
        last_restart = sidecar_restart;
        let mut has_running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            s.restarts += number(status, "/restartCount");
            newer(status, &mut last_restart);
            let state = &status["state"];
            let (waiting, terminated) = (text(state, "/waiting/reason"), &state["terminated"]);
            if !waiting.is_empty() {
                s.reason = waiting.to_owned();
            } else if !terminated.is_null() {
                s.reason = terminated_reason(terminated);
            } else if status["ready"] == true && !state["running"].is_null() {
                has_running = true;
                s.ready += 1;
            }
        }
        if s.reason == "Completed" && has_running {
            s.reason = if condition(pod, "Ready") == Some("True") {
                "Running"
            } else {
                "NotReady"
            }
            .to_owned();
        }
    }
    s.last_restart = last_restart;
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let phase = text(pod, "/status/phase");
        if text(pod, "/status/reason") == "NodeLost" {
            s.reason = "Unknown".to_owned();
        } else if phase != "Failed" && phase != "Succeeded" {
            s.reason = "Terminating".to_owned();
        }
    }
    s
}

/// Goes through the init containers; true when one of them still has to finish.
fn initializing(pod: &Value, s: &mut Summary, seen: &mut dyn FnMut(&Value, bool)) -> bool {
    let total = list(pod, "/spec/initContainers").len();
    for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(pod, status["name"].as_str().unwrap_or_default());
        s.restarts += number(status, "/restartCount");
        seen(status, sidecar);
        let state = &status["state"];
        let terminated = &state["terminated"];
        if !terminated.is_null() && number(terminated, "/exitCode") == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            if status["ready"] == true {
                s.ready += 1;
            }
            continue;
        }
        let waiting = text(state, "/waiting/reason");
        s.reason = if !terminated.is_null() {
            format!("Init:{}", terminated_reason(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{total}")
        };
        return true;
    }
    false
}

fn terminated_reason(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
