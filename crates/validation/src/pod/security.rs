//! Security contexts.
use super::{all_containers, windows};
use crate::field::{Errors, Node};

const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";

fn id(e: &mut Errors, node: &Node<'_>) {
    if node
        .int()
        .is_some_and(|n| !(0..=i64::from(i32::MAX)).contains(&n))
    {
        e.invalid(node, ID_RANGE);
    }
}

/// `spec.securityContext`.
pub(super) fn pod(e: &mut Errors, context: &Node<'_>, spec: &Node<'_>) {
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(e, &context.get(field));
    }
    for group in context.get("supplementalGroups").items() {
        id(e, &group);
    }
    let share = spec.get("shareProcessNamespace");
    if share.is_true() && spec.get("hostPID").is_true() {
        let share = share.renamed(format!("{}.shareProcessNamespace", context.path()));
        e.invalid(&share, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(e, context, spec);
    e.maybe_one_of(&context.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    seccomp(e, &context.get("seccompProfile"));
    windows::options(e, &context.get("windowsOptions"));
    app_armor(e, &context.get("appArmorProfile"));
    e.maybe_one_of(&context.get("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    // SELinuxMount, which would allow MountOption, is off by default in 1.36.
    e.maybe_one_of(&context.get("seLinuxChangePolicy"), &["Recursive"]);
}

fn sysctls(e: &mut Errors, context: &Node<'_>, spec: &Node<'_>) {
    let mut seen = Vec::new();
    for sysctl in context.get("sysctls").items() {
        let name = sysctl.get("name");
        let segment = |part: &str| {
            let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            ends(part.chars().next())
                && ends(part.chars().last())
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        };
        if name.is_empty() {
            e.required(&name, "");
        } else if name.len() > 253 || !name.text().split(['.', '/']).all(segment) {
            let regex = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            e.invalid(
                &name,
                &format!("must have at most 253 characters and match regex {regex}"),
            );
        } else if seen.contains(&name.text()) {
            e.duplicate(&name);
        }
        let host = |field: &str| spec.get(field).is_true();
        let text = name.text().replace('/', ".");
        if host("hostNetwork") && text.starts_with("net.") {
            e.invalid_text(
                &name,
                name.text(),
                "may not be specified when 'hostNetwork' is true",
            );
        }
        let ipc = text.starts_with("kernel.shm")
            || text.starts_with("kernel.msg")
            || text.starts_with("fs.mqueue.")
            || text == "kernel.sem";
        if host("hostIPC") && ipc {
            e.invalid_text(
                &name,
                name.text(),
                "may not be specified when 'hostIPC' is set to true",
            );
        }
        seen.push(name.text());
    }
}

/// A container's `securityContext`.
pub(super) fn container(e: &mut Errors, context: &Node<'_>, spec: &Node<'_>) {
    if !context.present() {
        return;
    }
    id(e, &context.get("runAsUser"));
    id(e, &context.get("runAsGroup"));
    let proc_mount = context.get("procMount");
    if proc_mount.present() {
        e.maybe_one_of(&proc_mount, &["Default", "Unmasked"]);
        if proc_mount.text() == "Unmasked" && spec.get("hostUsers").value() != false {
            e.invalid(&proc_mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(e, &context.get("seccompProfile"));
    if context.get("allowPrivilegeEscalation").value() == false {
        if context.get("privileged").is_true() {
            e.invalid_raw(
                context,
                &shown("SecurityContext", context),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        for capability in context.at(&["capabilities", "add"]).items() {
            if capability.text() == "CAP_SYS_ADMIN" {
                let detail =
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                e.invalid_raw(context, &shown("SecurityContext", context), detail);
            }
        }
    }
    windows::options(e, &context.get("windowsOptions"));
    app_armor(e, &context.get("appArmorProfile"));
}

/// A struct of core's as messages show it.
fn shown(name: &str, node: &Node<'_>) -> String {
    schema::internal_compact(&format!("io.k8s.api.core.v1.{name}"), node.value()).unwrap_or_default()
}

fn seccomp(e: &mut Errors, profile: &Node<'_>) {
    if !profile.present() {
        return;
    }
    let (kind, local) = (profile.get("type"), profile.get("localhostProfile"));
    if kind.is_empty() {
        e.required(&kind, "type is required when seccompProfile is set");
    } else {
        e.maybe_one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    }
    if kind.text() == "Localhost" {
        if local.present() {
            super::volumes::descending(e, &local);
        } else {
            e.required(&local, "must be set when seccomp type is Localhost");
        }
    } else if local.present() {
        e.invalid_raw(
            &local,
            &shown("SeccompProfile", profile),
            "can only be set when seccomp type is Localhost",
        );
    }
}

fn app_armor(e: &mut Errors, profile: &Node<'_>) {
    if !profile.present() {
        return;
    }
    let (kind, local) = (profile.get("type"), profile.get("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            if local.text().trim() != local.text() {
                e.invalid(&local, "must not be padded with whitespace");
            } else if local.is_empty() {
                e.required(&local, "must be set when AppArmor type is Localhost");
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.present() {
                e.invalid(&local, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => e.required(&kind, "type is required when appArmorProfile is set"),
        _ => e.unsupported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// What a pod with its own user namespace may not have.
pub(super) fn host_users(e: &mut Errors, spec: &Node<'_>) {
    if spec.get("hostUsers").value() != false {
        return;
    }
    for (field, shown) in [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ] {
        if spec.get(field).is_true() {
            e.forbidden(&spec.get(shown), "when `hostUsers` is false");
        }
    }
    for container in all_containers(spec) {
        let devices = container.get("volumeDevices");
        if !devices.is_empty() {
            e.forbidden(&devices, "when `hostUsers` is false");
        }
    }
}
