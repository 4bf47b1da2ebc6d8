//! Pods that this node does not take, because it could not keep what they ask for (pkg/kubelet, canAdmitPod).
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use kube_types::{Operator, Requirement};

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
    if let Some((reason, text)) = other_system(pod) {
        return Some((reason.to_owned(), text.to_owned()));
    }
    if wants_app_armor(pod) {
        let text = "Cannot enforce AppArmor: this node's runtime does not load AppArmor profiles";
        return Some(("AppArmor".to_owned(), text.to_owned()));
    }
    let why = forbidden_sysctl(pod)?;
    Some(("SysctlForbidden".to_owned(), format!("forbidden sysctl: {why}")))
}

/// Pods for another operating system (pkg/kubelet/lifecycle/predicate.go).
fn other_system(pod: &Pod) -> Option<(&'static str, &'static str)> {
    let labels = pod.metadata.labels.as_ref();
    if labels
        .and_then(|l| l.get("kubernetes.io/os"))
        .is_some_and(|os| os != "linux")
    {
        return Some((
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ));
    }
    let os = pod.spec.as_ref()?.os.as_ref()?;
    (os.name != "linux").then_some((
        "PodOSNotSupported",
        "Failed to admit pod as the OS field doesn't match node OS",
    ))
}

/// Whether the node has to be looked at: the pod says which it wants, or no scheduler has sent it, who would have minded taints.
pub fn is_choosy(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let sent = conditions
        .into_iter()
        .any(|c| c.type_ == "PodScheduled" && c.status == "True");
    selects(pod).is_some() || terms(pod).is_some() || !sent
}

/// The refusal of a pod that a taint of the node would drive away at once (predicate.go, generalFilter).
pub fn driven_away(pod: &Pod, node: &Node) -> Option<(String, String)> {
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref());
    let borne = |taint: &Taint| tolerations.unwrap_or_default().iter().any(|t| bears(t, taint));
    taints
        .into_iter()
        .any(|taint| taint.effect == "NoExecute" && !borne(taint))
        .then(|| {
            predicate(
                "TaintToleration",
                "node(s) had taints that the pod didn't tolerate",
            )
        })
}

/// Core v1 Toleration.ToleratesTaint.
fn bears(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let meant = (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key);
    meant
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => text(&toleration.value) == text(&taint.value),
            "Exists" => true,
            _ => false,
        }
}

/// The refusal of a pod that wants other nodes; its scheduler would not have sent it, but a client may (predicate.go, generalFilter).
pub fn elsewhere(pod: &Pod, node: &Node) -> Option<(String, String)> {
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    let name = node.metadata.name.clone().unwrap_or_default();
    let fields = BTreeMap::from([("metadata.name".to_owned(), name)]);
    let holds = |wanted: &Option<Vec<NodeSelectorRequirement>>, found| {
        wanted.iter().flatten().all(|rule| meets(rule, found))
    };
    // A term that says nothing matches nothing.
    let says = |rules: &Option<Vec<NodeSelectorRequirement>>| rules.iter().flatten().next().is_some();
    let fits = |term: &NodeSelectorTerm| {
        let (by_label, by_field) = (&term.match_expressions, &term.match_fields);
        (says(by_label) || says(by_field)) && holds(by_label, labels) && holds(by_field, &fields)
    };
    let selected = selects(pod)
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let fits = selected && terms(pod).is_none_or(|terms| terms.iter().any(fits));
    (!fits).then(|| {
        predicate(
            "NodeAffinity",
            "node(s) didn't match Pod's node affinity/selector",
        )
    })
}

/// How the kubelet words what the scheduler's rules say.
pub fn predicate(name: &str, why: &str) -> (String, String) {
    (name.to_owned(), format!("Predicate {name} failed: {why}"))
}

fn selects(pod: &Pod) -> Option<&BTreeMap<String, String>> {
    pod.spec.as_ref()?.node_selector.as_ref()
}

fn terms(pod: &Pod) -> Option<&[NodeSelectorTerm]> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    Some(&required.node_selector_terms)
}

fn meets(rule: &NodeSelectorRequirement, found: &BTreeMap<String, String>) -> bool {
    let operator = match rule.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return false,
    };
    let values = rule.values.clone().unwrap_or_default();
    Requirement::new(&rule.key, operator, values).is_ok_and(|requirement| requirement.matches(found))
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
    fn pods_for_other_nodes() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"zone": "a", "size": "5"}}}))
                .unwrap();
        let told = |spec: serde_json::Value| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            elsewhere(&pod, &node)
        };
        let required = |terms: serde_json::Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}, "containers": []});
        assert_eq!(told(json!({"containers": []})), None);
        assert_eq!(
            told(json!({"containers": [], "nodeSelector": {"zone": "a"}})),
            None
        );
        assert_eq!(
            told(json!({"containers": [], "nodeSelector": {"zone": "b"}})),
            Some((
                "NodeAffinity".to_owned(),
                "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".to_owned()
            ))
        );
        let bigger = json!({"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["4"]}]});
        let named = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        assert_eq!(told(required(json!([named("other"), bigger]))), None);
        assert_eq!(told(required(json!([named("n")]))), None);
        assert!(told(required(json!([named("other")]))).is_some());
        assert!(told(required(json!([{}]))).is_some(), "says nothing");
    }

    #[test]
    fn taints_that_drive_pods_away() {
        let told = |effect: &str, tolerations: serde_json::Value| {
            let taint = json!({"key": "k", "value": "v", "effect": effect});
            let node = serde_json::from_value(json!({"spec": {"taints": [taint]}})).unwrap();
            let pod = json!({"spec": {"containers": [], "tolerations": tolerations}});
            driven_away(&serde_json::from_value(pod).unwrap(), &node)
        };
        let (reason, message) = told("NoExecute", json!([])).unwrap();
        assert_eq!(reason, "TaintToleration");
        assert_eq!(
            message,
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
        );
        assert_eq!(told("NoSchedule", json!([])), None);
        for toleration in [
            json!({"operator": "Exists"}),
            json!({"key": "k", "value": "v"}),
            json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}),
        ] {
            assert_eq!(told("NoExecute", json!([toleration])), None, "{toleration}");
        }
        assert!(told("NoExecute", json!([{"key": "k", "value": "other"}])).is_some());
    }

    #[test]
    fn only_who_may_not_fit_is_asked_for() {
        let sent = json!({"conditions": [{"type": "PodScheduled", "status": "True"}]});
        let choosy = |spec: serde_json::Value, status: &serde_json::Value| {
            is_choosy(&serde_json::from_value(json!({"spec": spec, "status": status})).unwrap())
        };
        assert!(!choosy(json!({"containers": []}), &sent));
        assert!(choosy(json!({"containers": []}), &json!({})));
        assert!(choosy(
            json!({"containers": [], "nodeSelector": {"a": "b"}}),
            &sent
        ));
    }

    #[test]
    fn pods_for_other_systems() {
        let reason =
            |pod: serde_json::Value| refuse(&serde_json::from_value(pod).unwrap()).map(|(reason, _)| reason);
        assert_eq!(
            reason(json!({"spec": {"containers": [], "os": {"name": "linux"}}})),
            None
        );
        assert_eq!(
            reason(json!({"spec": {"containers": [], "os": {"name": "windows"}}})).as_deref(),
            Some("PodOSNotSupported")
        );
        assert_eq!(
            reason(
                json!({"metadata": {"labels": {"kubernetes.io/os": "windows"}}, "spec": {"containers": []}})
            )
            .as_deref(),
            Some("PodOSSelectorNodeLabelDoesNotMatch")
        );
    }

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
