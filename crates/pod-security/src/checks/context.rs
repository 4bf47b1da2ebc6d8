//! Simple settings of security contexts: `policy/check_privileged.go`, `check_allowPrivilegeEscalation.go`, `check_procMount_*.go`,
//! `check_windowsHostProcess.go`.
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    Violation,
    checks::Found,
    pod::{Container, Pod, text},
    words,
};

pub(super) fn privileged(pod: Pod<'_>) -> Found {
    let bad = pod.named(|c| c.context()["privileged"] == true);
    (!bad.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!(
            "{} must not set securityContext.privileged=true",
            words::containers(&bad)
        ),
    })
}

pub(super) fn privilege_escalation(pod: Pod<'_>) -> Found {
    let bad = pod.named(|c| c.context()["allowPrivilegeEscalation"] != false);
    (!bad.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!(
            "{} must set securityContext.allowPrivilegeEscalation=false",
            words::containers(&bad)
        ),
    })
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Found {
    let mounts = |c: Container<'_>| {
        let mount = &c.context()["procMount"];
        !mount.is_null() && mount != "Default"
    };
    let bad = pod.named(mounts);
    let kinds: BTreeSet<&str> = pod
        .containers()
        .filter(|c| mounts(*c))
        .map(|c| text(&c.context()["procMount"]))
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!(
            "{} must not set securityContext.procMount to {}",
            words::containers(&bad),
            words::quoted(kinds)
        ),
    })
}

pub(super) fn proc_mount_of_shared_users(pod: Pod<'_>) -> Found {
    if pod.has_own_users() {
        None
    } else {
        proc_mount(pod)
    }
}

pub(super) fn windows_host_process(pod: Pod<'_>) -> Found {
    let sets = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let who = words::setters(sets(pod.context()), &pod.named(|c| sets(c.context())))?;
    Some(Violation {
        reason: "hostProcess",
        detail: format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    })
}
