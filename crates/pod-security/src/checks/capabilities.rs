//! What root in a container may do (`policy/check_capabilities_*.go`).
use std::collections::BTreeSet;

use crate::{
    Violation,
    checks::Found,
    pod::{Container, Pod, items, text},
    words,
};

/// What containers get anyway, without NET_RAW.
const ORDINARY: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities that a container adds beyond those allowed.
fn added<'a>(container: Container<'a>, allowed: &[&str]) -> Vec<&'a str> {
    let list = items(&container.context()["capabilities"]["add"]);
    list.iter()
        .map(text)
        .filter(|name| !allowed.contains(name))
        .collect()
}

/// `container "a" must not include "B" in securityContext.capabilities.add`.
fn adding(pod: Pod<'_>, allowed: &[&str]) -> Option<String> {
    let bad = pod.named(|c| !added(c, allowed).is_empty());
    let names: BTreeSet<&str> = pod.containers().flat_map(|c| added(c, allowed)).collect();
    if bad.is_empty() {
        return None;
    }
    Some(format!(
        "{} must not include {} in securityContext.capabilities.add",
        words::containers(&bad),
        words::quoted(names)
    ))
}

pub(super) fn baseline(pod: Pod<'_>) -> Found {
    adding(pod, &ORDINARY).map(|detail| Violation {
        reason: "non-default capabilities",
        detail,
    })
}

pub(super) fn restricted(pod: Pod<'_>) -> Found {
    let keeping = pod.named(|c| {
        let dropped = items(&c.context()["capabilities"]["drop"]);
        !dropped.iter().any(|name| name == "ALL")
    });
    let keeping = (!keeping.is_empty()).then(|| {
        format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            words::containers(&keeping)
        )
    });
    let details: Vec<String> = keeping
        .into_iter()
        .chain(adding(pod, &["NET_BIND_SERVICE"]))
        .collect();
    (!details.is_empty()).then(|| Violation {
        reason: "unrestricted capabilities",
        detail: details.join("; "),
    })
}
