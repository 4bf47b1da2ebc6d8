//! Pods that this node does not take, because it could not keep what they ask for (pkg/kubelet, canAdmitPod).
use k8s_openapi::api::core::v1::Pod;

use crate::model::specs;

/// Reason and message of the refusal.
pub fn refuse(pod: &Pod) -> Option<(&'static str, String)> {
    wants_app_armor(pod).then(|| {
        let text =
            "Pod was rejected: Cannot enforce AppArmor: this node's runtime does not load AppArmor profiles";
        ("AppArmor", text.to_owned())
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
