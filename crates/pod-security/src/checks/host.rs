//! What reaches into the node: `policy/check_hostNamespaces.go`, `check_hostPorts.go`, `check_hostProbesAndhostLifecycle.go`,
//! `check_sysctls.go`.
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    Violation,
    checks::Found,
    pod::{Container, Pod, items, text},
    words,
};

pub(super) fn namespaces(pod: Pod<'_>) -> Found {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec[field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Violation {
        reason: "host namespaces",
        detail: shared.join(", "),
    })
}

fn host_ports(container: Container<'_>) -> impl Iterator<Item = String> {
    items(&container.0["ports"])
        .iter()
        .filter_map(|port| port["hostPort"].as_i64())
        .filter(|port| *port != 0)
        .map(|port| port.to_string())
}

pub(super) fn ports(pod: Pod<'_>) -> Found {
    let bad = pod.named(|c| host_ports(c).next().is_some());
    // Sorted as text, as upstream does.
    let numbers: Vec<String> = pod
        .containers()
        .flat_map(host_ports)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            words::containers(&bad),
            words::plural(bad.len(), "uses", "use"),
            words::plural(numbers.len(), "hostPort", "hostPorts"),
            numbers.join(", ")
        ),
    })
}

/// The hosts that a probe or a lifecycle handler asks instead of its pod.
fn asked(handler: &Value) -> impl Iterator<Item = &str> {
    ["httpGet", "tcpSocket"]
        .into_iter()
        .map(move |how| text(&handler[how]["host"]))
        .filter(|host| !host.is_empty())
}

fn hosts(container: Container<'_>) -> impl Iterator<Item = &str> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container.0[probe]);
    let lifecycle = ["postStart", "preStop"].map(|when| &container.0["lifecycle"][when]);
    probes.into_iter().chain(lifecycle).flat_map(asked)
}

pub(super) fn probes(pod: Pod<'_>) -> Found {
    let bad: BTreeSet<&str> = pod.named(|c| hosts(c).next().is_some()).into_iter().collect();
    let bad: Vec<&str> = bad.into_iter().collect();
    let hosts: BTreeSet<&str> = pod.containers().flat_map(hosts).collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            words::containers(&bad),
            words::plural(bad.len(), "uses", "use"),
            words::plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
            words::quoted(hosts)
        ),
    })
}

/// The kernel's settings that are a pod's own and harm nobody else, with the version that found so.
const SAFE_SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

fn sysctls(pod: Pod<'_>, minor: u32) -> Found {
    let safe = |name: &&str| {
        SAFE_SYSCTLS
            .iter()
            .any(|(since, safe)| *since <= minor && safe == name)
    };
    let bad: Vec<&str> = items(&pod.context()["sysctls"])
        .iter()
        .map(|sysctl| text(&sysctl["name"]))
        .filter(|name| !safe(name))
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "forbidden sysctls",
        detail: bad.join(", "),
    })
}

pub(super) fn sysctls_0(pod: Pod<'_>) -> Found {
    sysctls(pod, 0)
}

pub(super) fn sysctls_27(pod: Pod<'_>) -> Found {
    sysctls(pod, 27)
}

pub(super) fn sysctls_29(pod: Pod<'_>) -> Found {
    sysctls(pod, 29)
}

pub(super) fn sysctls_32(pod: Pod<'_>) -> Found {
    sysctls(pod, 32)
}
