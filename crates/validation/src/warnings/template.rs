//! A pod, or the template of pods (`pkg/api/pod/warnings.go`).
use std::collections::HashSet;

use kube_types::is_label_value;

use super::{fraction, ports, volumes};
use crate::field::Node;

/// Labels of nodes that have another name now (`pkg/api/node/util.go`).
const OLD_LABELS: [(&str, &str); 8] = [
    (
        "beta.kubernetes.io/arch",
        "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
    ),
    (
        "beta.kubernetes.io/os",
        "deprecated since v1.14; use \"kubernetes.io/os\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    (
        "node-role.kubernetes.io/master",
        "use \"node-role.kubernetes.io/control-plane\" instead",
    ),
];

const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

pub(super) fn warnings(pod: &Node<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let (spec, annotations) = (pod.get("spec"), pod.at(&["metadata", "annotations"]));
    labels_of_nodes(&spec, &mut found);
    for (name, message) in OLD_ANNOTATIONS {
        let annotation = annotations.key(name);
        if annotation.present() {
            found.push(format!("{}: {message}", annotation.path()));
        }
    }
    volumes::of_pod(&spec.get("volumes"), &mut found);
    duplicates(&spec.get("hostAliases"), "ip", "duplicate ip", &mut found);
    let secrets = spec.get("imagePullSecrets");
    duplicates(&secrets, "name", "duplicate name", &mut found);
    for secret in secrets.items().iter().filter(|s| s.get("name").is_empty()) {
        found.push(format!("{}: invalid empty name \"\"", secret.get("name").path()));
    }
    for resource in ["memory", "ephemeral-storage"] {
        found.extend(fraction(&spec.get("overhead").key(resource)));
    }
    if !spec.at(&["securityContext", "seccompProfile"]).present() {
        let annotation = annotations.key("seccomp.security.alpha.kubernetes.io/pod");
        if annotation.present() {
            found.push(format!("{}: {SECCOMP}", annotation.path()));
        }
    }
    for container in containers(&spec) {
        container_warnings(&container, &annotations, &mut found);
    }
    ports::warnings(&containers(&spec), &mut found);
    if spec
        .get("terminationGracePeriodSeconds")
        .int()
        .is_some_and(|n| n < 0)
    {
        found.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            spec.get("terminationGracePeriodSeconds").path()
        ));
    }
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let affinity = spec.at(&["affinity", affinity]);
        let required = affinity
            .get("requiredDuringSchedulingIgnoredDuringExecution")
            .items();
        let preferred = affinity
            .get("preferredDuringSchedulingIgnoredDuringExecution")
            .items();
        let preferred = preferred.iter().map(|term| term.get("podAffinityTerm"));
        for selector in required
            .into_iter()
            .chain(preferred)
            .map(|term| term.get("labelSelector"))
        {
            matches_nothing(&selector, &mut found);
        }
    }
    found
}

/// Init containers first, as upstream visits them.
fn containers<'a>(spec: &Node<'a>) -> Vec<Node<'a>> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.iter().flat_map(|list| spec.get(list).items()).collect()
}

fn labels_of_nodes(spec: &Node<'_>, found: &mut Vec<String>) {
    let old = |name: &str| {
        OLD_LABELS
            .iter()
            .find(|(label, _)| *label == name)
            .map(|(_, message)| message)
    };
    for (name, label) in spec.get("nodeSelector").entries() {
        if let Some(message) = old(name) {
            found.push(format!("{}: {message}", label.path()));
        }
    }
    let affinity = spec.at(&["affinity", "nodeAffinity"]);
    let required = affinity.at(&[
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    ]);
    let preferred = affinity
        .get("preferredDuringSchedulingIgnoredDuringExecution")
        .items();
    let preferred = preferred.iter().map(|term| (term.get("preference"), true));
    let required = required.items().into_iter().map(|term| (term, false));
    for (term, lenient) in required.chain(preferred) {
        for expression in term.get("matchExpressions").items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            if let Some(message) = old(key.text()) {
                found.push(format!("{}: {} is {message}", key.path(), key.text()));
            }
            // What is required is refused instead.
            for value in values.items().iter().filter(|_| lenient) {
                for complaint in is_label_value(value.text()) {
                    found.push(format!(
                        "{}: {} is invalid, {complaint}",
                        value.path(),
                        value.text()
                    ));
                }
            }
        }
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        let key = constraint.get("topologyKey");
        if let Some(message) = old(key.text()) {
            found.push(format!("{}: {} is {message}", key.path(), key.text()));
        }
        matches_nothing(&constraint.get("labelSelector"), found);
    }
}

fn matches_nothing(selector: &Node<'_>, found: &mut Vec<String>) {
    if !selector.present() {
        found.push(format!(
            "{}: a null labelSelector results in matching no pod",
            selector.path()
        ));
    }
}

fn duplicates(list: &Node<'_>, field: &str, what: &str, found: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for item in list.items() {
        let value = item.get(field);
        if !seen.insert(value.text()) {
            found.push(format!("{}: {what} {:?}", value.path(), value.text()));
        }
    }
}

fn container_warnings(container: &Node<'_>, annotations: &Node<'_>, found: &mut Vec<String>) {
    if !container.at(&["securityContext", "seccompProfile"]).present() {
        let name = container.get("name").text();
        let annotation = annotations.key(&format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
        if annotation.present() {
            found.push(format!("{}: {SECCOMP}", annotation.path()));
        }
    }
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            found.extend(fraction(&container.at(&["resources", list]).key(resource)));
        }
    }
    let mut seen = HashSet::new();
    for variable in container.get("env").items() {
        let (name, value) = (variable.get("name").text(), variable.get("value").text());
        let before = format!("$({name})");
        // A value that builds on the one before is meant.
        let hides = variable.get("valueFrom").present() || value == before || !value.contains(&before);
        if !seen.insert(name) && hides {
            found.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                variable.path()
            ));
        }
    }
}
