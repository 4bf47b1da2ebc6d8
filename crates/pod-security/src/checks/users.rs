//! As whom containers run (`policy/check_runAsNonRoot.go`, `check_runAsUser.go`).
use crate::{Violation, checks::Found, pod::Pod, words};

pub(super) fn non_root(pod: Pod<'_>) -> Found {
    const REASON: &str = "runAsNonRoot != true";
    let own = &pod.context()["runAsNonRoot"];
    let explicit = pod.named(|c| c.context()["runAsNonRoot"] == false);
    if let Some(who) = words::setters(*own == false, &explicit) {
        return Some(Violation {
            reason: REASON,
            detail: format!("{who} must not set securityContext.runAsNonRoot=false"),
        });
    }
    let implicit = pod.named(|c| *own != true && c.context()["runAsNonRoot"].is_null());
    (!implicit.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!(
            "pod or {} must set securityContext.runAsNonRoot=true",
            words::containers(&implicit)
        ),
    })
}

pub(super) fn non_root_of_shared_users(pod: Pod<'_>) -> Found {
    if pod.has_own_users() { None } else { non_root(pod) }
}

pub(super) fn zero(pod: Pod<'_>) -> Found {
    let explicit = pod.named(|c| c.context()["runAsUser"] == 0);
    let who = words::setters(pod.context()["runAsUser"] == 0, &explicit)?;
    Some(Violation {
        reason: "runAsUser=0",
        detail: format!("{who} must not set runAsUser=0"),
    })
}

pub(super) fn zero_of_shared_users(pod: Pod<'_>) -> Found {
    if pod.has_own_users() { None } else { zero(pod) }
}
