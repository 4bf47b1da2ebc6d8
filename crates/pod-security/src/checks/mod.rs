//! The checks, when they began to hold, and which of them stand in for which (`policy/registry.go`).
use serde_json::Value;

use crate::{
    Violation,
    level::{Level, Standard, Version},
    pod::Pod,
};

mod capabilities;
mod context;
mod host;
mod profiles;
mod users;
mod volumes;

/// What a check finds.
type Found = Option<Violation>;

/// The minor versions from which on a rule is asked in this way.
type Revisions = &'static [(u32, fn(Pod<'_>) -> Found)];

/// A rule of a level.
struct Check {
    level: Level,
    revisions: Revisions,
    /// The minor version from which on the restricted level has a stricter rule instead.
    replaced: Option<u32>,
}

const fn baseline(revisions: Revisions) -> Check {
    Check {
        level: Level::Baseline,
        revisions,
        replaced: None,
    }
}

const fn replaced(from: u32, revisions: Revisions) -> Check {
    Check {
        level: Level::Baseline,
        revisions,
        replaced: Some(from),
    }
}

const fn restricted(revisions: Revisions) -> Check {
    Check {
        level: Level::Restricted,
        revisions,
        replaced: None,
    }
}

/// In upstream's order: the baseline's checks by their identifiers, then those of the restricted level.
const CHECKS: &[Check] = &[
    // appArmorProfile
    baseline(&[(0, profiles::app_armor)]),
    // capabilities_baseline
    replaced(22, &[(0, capabilities::baseline)]),
    // hostNamespaces
    baseline(&[(0, host::namespaces)]),
    // hostPathVolumes
    replaced(0, &[(0, volumes::host_path)]),
    // hostPorts
    baseline(&[(0, host::ports)]),
    // hostProbesAndHostLifecycle
    baseline(&[(34, host::probes)]),
    // privileged
    baseline(&[(0, context::privileged)]),
    // procMount
    replaced(
        35,
        &[
            (0, context::proc_mount),
            (35, context::proc_mount_of_shared_users),
        ],
    ),
    // seLinuxOptions
    baseline(&[(0, profiles::se_linux_0), (31, profiles::se_linux_31)]),
    // seccompProfile_baseline
    replaced(
        19,
        &[
            (0, profiles::seccomp_annotations),
            (19, profiles::seccomp_baseline),
        ],
    ),
    // sysctls
    baseline(&[
        (0, host::sysctls_0),
        (27, host::sysctls_27),
        (29, host::sysctls_29),
        (32, host::sysctls_32),
    ]),
    // windowsHostProcess
    baseline(&[(0, context::windows_host_process)]),
    // allowPrivilegeEscalation
    restricted(&[
        (8, context::privilege_escalation),
        (25, |pod| on_linux(pod, context::privilege_escalation)),
    ]),
    // capabilities_restricted
    restricted(&[
        (22, capabilities::restricted),
        (25, |pod| on_linux(pod, capabilities::restricted)),
    ]),
    // procMount_restricted
    restricted(&[(35, context::proc_mount)]),
    // restrictedVolumes
    restricted(&[(0, volumes::restricted)]),
    // runAsNonRoot
    restricted(&[(0, users::non_root), (35, users::non_root_of_shared_users)]),
    // runAsUser
    restricted(&[(23, users::zero), (35, users::zero_of_shared_users)]),
    // seccompProfile_restricted
    restricted(&[
        (19, profiles::seccomp_restricted),
        (25, |pod| on_linux(pod, profiles::seccomp_restricted)),
    ]),
];

/// Pods for Windows cannot say it.
fn on_linux(pod: Pod<'_>, check: fn(Pod<'_>) -> Found) -> Found {
    if pod.is_windows() { None } else { check(pod) }
}

/// What of a pod (or of a template) this standard does not allow, in upstream's order. `metadata` and `spec` are those of a defaulted pod.
pub fn violations(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let minor = match standard.version {
        Version::Minor(minor) => minor,
        Version::Latest => u32::MAX,
    };
    let pod = Pod { metadata, spec };
    CHECKS
        .iter()
        .filter(|check| check.level <= standard.level)
        .filter(|check| standard.level != Level::Restricted || check.replaced.is_none_or(|from| minor < from))
        .filter_map(|check| check.revisions.iter().rev().find(|(from, _)| *from <= minor))
        .filter_map(|(_, find)| find(pod))
        .collect()
}
