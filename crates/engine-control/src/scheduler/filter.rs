//! Whether a pod can run on a node: pure decisions, in upstream's order and with its words (pkg/scheduler/framework/plugins).

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};

use super::node::{HostPort, NodeInfo, PodInfo};
use crate::meta::Meta;
use crate::selector::Labels;

/// Why not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In upstream's words; resource fit may give several.
    pub texts: Vec<String>,
    /// Whether removing pods from the node could help.
    pub resolvable: bool,
}

impl Reason {
    pub fn resolvable(text: impl Into<String>) -> Self {
        Self {
            texts: vec![text.into()],
            resolvable: true,
        }
    }

    pub fn final_(text: impl Into<String>) -> Self {
        Self {
            texts: vec![text.into()],
            resolvable: false,
        }
    }
}

/// All filters that need only the pod and the node.
pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Reason> {
    let Some(spec) = &pod.pod.spec else { return Ok(()) };
    if named_nodes(spec).is_some_and(|names| !names.contains(&node.name())) {
        return Err(Reason::final_("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
    }
    unschedulable(spec, node)?;
    node_name(spec, node)?;
    taints(spec, node)?;
    node_affinity(spec, node)?;
    ports(&pod.ports, node)?;
    fit(pod, node)
}

/// The nodes that every term of the required affinity names, if all do: the others are not even looked at, as is so for the
/// pods of a DaemonSet (nodeaffinity/node_affinity.go, PreFilter).
fn named_nodes(spec: &PodSpec) -> Option<Vec<&str>> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let mut all = Vec::new();
    for term in &required.node_selector_terms {
        let fields = term.match_fields.iter().flatten();
        let names = fields.filter(|f| f.key == "metadata.name" && f.operator == "In");
        let names: Vec<&str> = names
            .flat_map(|f| f.values.iter().flatten())
            .map(String::as_str)
            .collect();
        if names.is_empty() {
            return None;
        }
        all.extend(names);
    }
    (!all.is_empty()).then_some(all)
}

fn unschedulable(spec: &PodSpec, node: &NodeInfo) -> Result<(), Reason> {
    let cordoned = node.node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    if cordoned && !tolerated(spec.tolerations.as_deref().unwrap_or_default(), &taint) {
        return Err(Reason::final_("node(s) were unschedulable"));
    }
    Ok(())
}

fn node_name(spec: &PodSpec, node: &NodeInfo) -> Result<(), Reason> {
    match spec.node_name.as_deref().filter(|n| !n.is_empty()) {
        Some(name) if name != node.name() => {
            Err(Reason::final_("node(s) didn't match the requested node name"))
        }
        _ => Ok(()),
    }
}

fn taints(spec: &PodSpec, node: &NodeInfo) -> Result<(), Reason> {
    match untolerated(spec, node_taints(node), &["NoSchedule", "NoExecute"]) {
        Some(_) => Err(Reason::final_("node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

pub(crate) fn node_taints(node: &NodeInfo) -> &[Taint] {
    node.node
        .spec
        .as_ref()
        .and_then(|s| s.taints.as_deref())
        .unwrap_or_default()
}

/// The first taint with one of the effects that the pod does not tolerate.
pub(crate) fn untolerated<'a>(spec: &PodSpec, taints: &'a [Taint], effects: &[&str]) -> Option<&'a Taint> {
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    taints
        .iter()
        .find(|t| effects.contains(&t.effect.as_str()) && !tolerated(tolerations, t))
}

pub(crate) fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| tolerates(t, taint))
}

/// Core v1 Toleration.ToleratesTaint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        _ => false,
    }
}

pub(crate) fn node_affinity(spec: &PodSpec, node: &NodeInfo) -> Result<(), Reason> {
    if matches_node_rules(spec, node.name(), node.node.metadata.labels.as_ref()) {
        Ok(())
    } else {
        Err(Reason::final_(
            "node(s) didn't match Pod's node affinity/selector",
        ))
    }
}

/// nodeSelector and the required node affinity.
pub(crate) fn matches_node_rules(spec: &PodSpec, name: &str, labels: Option<&Labels>) -> bool {
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v));
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|r| matches_node_selector(r, name, labels))
}

/// Terms are alternatives; an empty term matches nothing.
pub(crate) fn matches_node_selector(selector: &NodeSelector, name: &str, labels: Option<&Labels>) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| matches_term(term, name, labels))
}

pub(crate) fn matches_term(term: &NodeSelectorTerm, name: &str, labels: Option<&Labels>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions
        .iter()
        .all(|e| requirement(e, labels.and_then(|l| l.get(&e.key)).map(String::as_str)))
        && fields
            .iter()
            .all(|e| e.key == "metadata.name" && requirement(e, Some(name)))
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |f: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|v| v.parse().ok());
        matches!((value.and_then(|v| v.parse().ok()), bound), (Some(a), Some(b)) if f(a, b))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => value.is_none_or(|v| values.iter().all(|x| x != v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(|a, b| a > b),
        "Lt" => number(|a, b| a < b),
        _ => false,
    }
}

fn ports(wanted: &[HostPort], node: &NodeInfo) -> Result<(), Reason> {
    let clash = |a: &HostPort, b: &HostPort| {
        a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || a.0 == "0.0.0.0" || b.0 == "0.0.0.0")
    };
    if wanted.is_empty()
        || !node
            .pods
            .values()
            .flat_map(|p| &p.ports)
            .any(|used| wanted.iter().any(|w| clash(w, used)))
    {
        return Ok(());
    }
    Err(Reason::resolvable(
        "node(s) didn't have free ports for the requested pod ports",
    ))
}

/// NodeResourcesFit: every requested resource must still be there.
fn fit(pod: &PodInfo, node: &NodeInfo) -> Result<(), Reason> {
    let mut texts = Vec::new();
    let mut resolvable = true;
    let most = node.allocatable.get("pods");
    if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) + 1 > most {
        texts.push("Too many pods".to_owned());
    }
    // cpu, memory, ephemeral-storage first, then the extended ones by name, as upstream lists them.
    let first = ["cpu", "memory", "ephemeral-storage"];
    let rest = pod
        .requests
        .0
        .keys()
        .map(String::as_str)
        .filter(|n| !first.contains(n) && *n != "pods");
    for name in first.into_iter().chain(rest) {
        let wanted = pod.requests.get(name);
        if wanted > 0 && wanted > node.allocatable.get(name) - node.requested.get(name) {
            texts.push(format!("Insufficient {name}"));
            // More than the whole node has: nobody's leaving would help.
            resolvable &= wanted <= node.allocatable.get(name);
        }
    }
    if texts.is_empty() {
        Ok(())
    } else {
        Err(Reason { texts, resolvable })
    }
}

/// Whether the scheduler has to do with this pod.
pub(crate) fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == "default-scheduler"
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
        && crate::pods::node_name(pod).is_none()
        && crate::pods::is_active(pod)
        && !pod.uid().is_empty()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};
    use std::sync::Arc;

    pub(crate) fn pod(name: &str, spec: Value) -> Arc<PodInfo> {
        let mut spec = spec;
        if spec.get("containers").is_none() {
            spec["containers"] = json!([]);
        }
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name, "uid": name, "namespace": "d", "labels": spec.get("labels")}, "spec": spec})).unwrap();
        Arc::new(PodInfo::new(Arc::new(pod)))
    }

    #[test]
    fn gated_pods_wait() {
        let waits = |spec: Value| !is_ours(&pod("p", spec).pod);
        assert!(!waits(json!({})));
        assert!(waits(json!({"schedulingGates": [{"name": "a"}]})));
    }

    pub(crate) fn asks(name: &str, cpu: &str, more: Value) -> Arc<PodInfo> {
        let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        pod(name, spec)
    }

    pub(crate) fn node(name: &str, cpu: &str, more: Value) -> NodeInfo {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": more.get("labels").cloned().unwrap_or(json!({"kubernetes.io/hostname": name}))},
            "spec": more.get("spec"),
            "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "3"}}
        }))
        .unwrap();
        NodeInfo::new(Arc::new(node))
    }

    fn why(pod: &PodInfo, node: &NodeInfo) -> Vec<String> {
        filter(pod, node).err().map(|r| r.texts).unwrap_or_default()
    }

    #[test]
    fn resources() {
        let mut n = node("n", "1", json!({}));
        assert_eq!(why(&asks("p", "1001m", json!({})), &n), ["Insufficient cpu"]);
        assert!(!filter(&asks("p", "1001m", json!({})), &n).unwrap_err().resolvable);
        n.add(asks("a", "600m", json!({})));
        assert!(filter(&asks("p", "500m", json!({})), &n).unwrap_err().resolvable);
        assert!(why(&asks("p", "400m", json!({})), &n).is_empty());
        n.add(pod("b", json!({})));
        n.add(pod("c", json!({})));
        assert_eq!(
            why(&asks("p", "500m", json!({})), &n),
            ["Too many pods", "Insufficient cpu"]
        );
    }

    #[test]
    fn taints_and_cordons() {
        let tainted = node(
            "n",
            "1",
            json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
        );
        assert_eq!(
            why(&pod("p", json!({})), &tainted),
            ["node(s) had untolerated taint(s)"]
        );
        assert!(
            why(
                &pod("p", json!({"tolerations": [{"key": "k", "operator": "Exists"}]})),
                &tainted
            )
            .is_empty()
        );
        assert!(
            why(
                &pod(
                    "p",
                    json!({"tolerations": [{"key": "k", "value": "v", "effect": "NoSchedule"}]})
                ),
                &tainted
            )
            .is_empty()
        );
        assert!(
            !why(
                &pod("p", json!({"tolerations": [{"key": "k", "value": "x"}]})),
                &tainted
            )
            .is_empty()
        );
        let cordoned = node("n", "1", json!({"spec": {"unschedulable": true}}));
        assert_eq!(
            why(&pod("p", json!({})), &cordoned),
            ["node(s) were unschedulable"]
        );
        assert!(
            why(
                &pod("p", json!({"tolerations": [{"operator": "Exists"}]})),
                &cordoned
            )
            .is_empty()
        );
    }

    #[test]
    fn selectors_and_affinity() {
        let n = node("n", "1", json!({"labels": {"disk": "ssd", "n": "5"}}));
        let text = ["node(s) didn't match Pod's node affinity/selector"];
        assert_eq!(why(&pod("p", json!({"nodeSelector": {"no": "such"}})), &n), text);
        let affinity = |term: Value| {
            pod(
                "p",
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}),
            )
        };
        assert!(
            why(
                &affinity(json!({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["4"]}]})),
                &n
            )
            .is_empty()
        );
        assert_eq!(
            why(
                &affinity(json!({"matchExpressions": [{"key": "n", "operator": "Lt", "values": ["4"]}]})),
                &n
            ),
            text
        );
        assert_eq!(why(&affinity(json!({})), &n), text);
        assert!(
            why(
                &affinity(
                    json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]})
                ),
                &n
            )
            .is_empty()
        );
    }

    #[test]
    fn host_port_clash() {
        let with = |ip: &str| {
            pod(
                "x",
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80, "hostIP": ip}]}]}),
            )
        };
        let mut n = node("n", "1", json!({}));
        n.add(with("127.0.0.1"));
        assert!(why(&with("127.0.0.2"), &n).is_empty());
        assert_eq!(
            why(&with(""), &n),
            ["node(s) didn't have free ports for the requested pod ports"]
        );
    }
}
