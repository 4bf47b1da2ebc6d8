//! Pods that this node does not take, because it could not keep what they ask for (pkg/kubelet, canAdmitPod).
use k8s_openapi::api::core::v1::Pod;

use crate::model::specs;

/// Parameters of the kernel that a pod may set without harm to others (pkg/kubelet/sysctl/safe_sysctls.go, 1.36).
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Reason and message of the refusal.
pub fn refuse(pod: &Pod) -> Option<(String, String)> {
    if wants_app_armor(pod) {
        let text = "Cannot enforce AppArmor: this node's runtime does not load AppArmor profiles";
        return Some(("AppArmor".to_owned(), text.to_owned()));
    }
    let why = forbidden_sysctl(pod)?;
    Some(("SysctlForbidden".to_owned(), format!("forbidden sysctl: {why}")))
}

fn forbidden_sysctl(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let wanted = spec.security_context.as_ref()?.sysctls.iter().flatten();
    let shared = |name: &str| match name.split('.').next() {
        Some("net") if spec.host_network == Some(true) => Some("Net"),
        Some("kernel") if spec.host_ipc == Some(true) => Some("IPC"),
        _ => None,
    };
    wanted.into_iter().find_map(|sysctl| {
        // `net/ipv4/x` is another way to write it.
        let name = sysctl.name.replace('/', ".");
        if !SAFE.contains(&name.as_str()) {
            return Some(format!("\"{name}\" not allowlisted"));
        }
        let namespace = shared(&name)?;
        Some(format!("\"{name}\" not allowed with host {namespace} enabled"))
    })
}

fn wants_app_armor(pod: &Pod) -> bool {
    let of_pod = pod
        .spec
        .iter()
        .filter_map(|spec| spec.security_context.as_ref()?.app_armor_profile.as_ref());
    let of_containers = specs(pod)
        .filter_map(|(container, _)| container.security_context.as_ref()?.app_armor_profile.as_ref());
    of_pod
        .chain(of_containers)
        .any(|profile| profile.type_ != "Unconfined")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sysctls() {
        let refused = |name: &str, host: bool| {
            let spec = json!({"hostNetwork": host, "containers": [],
                "securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
            refuse(&serde_json::from_value(json!({"spec": spec})).unwrap()).map(|(_, why)| why)
        };
        assert_eq!(refused("net.ipv4.tcp_syncookies", false), None);
        assert_eq!(
            refused("kernel.msgmax", false).as_deref(),
            Some("forbidden sysctl: \"kernel.msgmax\" not allowlisted")
        );
        assert!(refused("net.ipv4.tcp_syncookies", true).is_some());
    }

    #[test]
    fn only_profiles_that_confine_are_refused() {
        let refused = |context: serde_json::Value| {
            let pod = json!({"spec": {"containers": [{"name": "c", "securityContext": context}]}});
            refuse(&serde_json::from_value(pod).unwrap()).is_some()
        };
        assert!(!refused(json!({})));
        assert!(!refused(json!({"appArmorProfile": {"type": "Unconfined"}})));
        assert!(refused(json!({"appArmorProfile": {"type": "RuntimeDefault"}})));
    }
}
