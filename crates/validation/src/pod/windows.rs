//! What belongs to one operating system only.
use kube_types::is_dns1123_subdomain;

use super::all_containers;
use crate::field::{Errors, Node};

const SPECIFICATION: usize = 64 << 10;
const DOMAIN: usize = 256;
const USER: usize = 104;

/// What of a pod's security context Windows does not have, with the path that upstream names; some are fields of the spec.
const NOT_OF_WINDOWS: [&str; 15] = [
    "securityContext.appArmorProfile",
    "securityContext.seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "securityContext.seccompProfile",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls",
    "shareProcessNamespace",
    "securityContext.runAsUser",
    "securityContext.runAsGroup",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
];
/// The same of a container's.
const NOT_OF_WINDOWS_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// `spec.os`, and what it forbids.
pub(super) fn os(e: &mut Errors, spec: &Node<'_>) {
    let os = spec.get("os");
    if !os.present() {
        return;
    }
    let name = os.get("name");
    match name.text() {
        "" => e.required(&name, ""),
        "linux" => linux(e, spec),
        "windows" => windows(e, spec),
        _ => e.unsupported(&name.renamed(os.path()), &["linux", "windows"]),
    }
}

fn linux(e: &mut Errors, spec: &Node<'_>) {
    for holder in std::iter::once(spec.clone()).chain(all_containers(spec)) {
        let options = holder.at(&["securityContext", "windowsOptions"]);
        if options.present() {
            e.forbidden(&options, "windows options cannot be set for a linux pod");
        }
    }
}

fn windows(e: &mut Errors, spec: &Node<'_>) {
    const DETAIL: &str = "cannot be set for a windows pod";
    for path in NOT_OF_WINDOWS {
        let node = spec.at(&path.split('.').collect::<Vec<_>>());
        let is_set = match path {
            "hostPID" | "hostIPC" => node.is_true(),
            "securityContext.sysctls" => !node.is_empty(),
            _ => node.present(),
        };
        if is_set {
            e.forbidden(&node, DETAIL);
        }
    }
    for container in all_containers(spec) {
        for field in NOT_OF_WINDOWS_CONTAINERS {
            let node = container.at(&["securityContext", field]);
            if node.present() {
                e.forbidden(&node, DETAIL);
            }
        }
    }
}

/// Processes of the host: all containers or none, and only in its network (validateWindowsHostProcessPod).
pub(super) fn host_process(e: &mut Errors, spec: &Node<'_>) {
    const PATH: [&str; 3] = ["securityContext", "windowsOptions", "hostProcess"];
    let of_pod = spec.at(&PATH).value().as_bool();
    let containers = all_containers(spec);
    let mut processes = 0;
    for container in &containers {
        let node = container.at(&PATH);
        let own = node.value().as_bool();
        if let (Some(pod), Some(own)) = (of_pod, own)
            && pod != own
        {
            e.invalid(
                &node,
                &format!("pod hostProcess value must be identical if both are specified, was {pod}"),
            );
        }
        processes += usize::from(own.or(of_pod) == Some(true));
    }
    if processes == 0 {
        return;
    }
    if processes != containers.len() {
        e.invalid_text(
            spec,
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        );
    }
    if !spec.get("hostNetwork").is_true() {
        e.invalid_value(
            &spec.get("hostNetwork"),
            &false.into(),
            "hostNetwork must be true if pod contains any hostProcess containers",
        );
    }
}

/// `windowsOptions` (validateWindowsSecurityContextOptions).
pub(super) fn options(e: &mut Errors, options: &Node<'_>) {
    let name = options.get("gmsaCredentialSpecName");
    if name.present() {
        e.complaints(&name, is_dns1123_subdomain(name.text()));
    }
    let content = options.get("gmsaCredentialSpec");
    if content.present() {
        if content.is_empty() {
            e.invalid(&content, "gmsaCredentialSpec cannot be an empty string");
        } else if content.len() > SPECIFICATION {
            e.invalid(&content, "gmsaCredentialSpec size must be under 64 KiB");
        }
    }
    let user = options.get("runAsUserName");
    if user.present() {
        for complaint in user_name(user.text()) {
            e.invalid(&user, complaint);
        }
    }
}

/// What is wrong with `DOMAIN\USER`.
fn user_name(text: &str) -> Vec<&'static str> {
    if text.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let (domain, user) = match text.split('\\').collect::<Vec<_>>().as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash"],
    };
    let mut complaints = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN {
            complaints.push("runAsUserName's Domain length must be under 256 characters");
        }
        if !is_net_bios_name(domain) && !is_domain(domain) {
            complaints.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        complaints.push("runAsUserName's User cannot be empty");
    } else if user.len() > USER {
        complaints.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        complaints.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(|c: char| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        complaints.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    complaints
}

fn is_net_bios_name(name: &str) -> bool {
    (1..=15).contains(&name.chars().count())
        && !name.starts_with('.')
        && !name.contains(|c: char| "\\/:*?\"<>|".contains(c))
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.split('.').all(is_label)
}
