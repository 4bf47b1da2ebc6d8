//! What of a pod may change.
use std::collections::{HashMap, HashSet};

use kube_types::is_dns1123_subdomain;
use serde_json::{Map, Value, json};

use super::{annotations, gated, pod_spec, scheduling};
use crate::field::{Errors, Node, same};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),\
`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The rules for a changed pod, its metadata aside.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    pod_spec(e, new);
    annotations::update(
        e,
        &old.at(&["metadata", "annotations"]),
        &new.at(&["metadata", "annotations"]),
    );
    let (old, new) = (old.get("spec"), new.get("spec"));
    for list in ["containers", "initContainers"] {
        if new.get(list).len() != old.get(list).len() {
            return e.forbidden(&new.get(list), "pod updates may not add or remove containers");
        }
        for container in new.get(list).items() {
            if container.get("image").is_empty() {
                e.required(&container.get("image"), "");
            }
        }
    }
    let (deadline, before) = (
        new.get("activeDeadlineSeconds"),
        old.get("activeDeadlineSeconds").int(),
    );
    match (deadline.int(), before) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            return e.invalid(&deadline, "must be between 0 and 2147483647, inclusive");
        }
        (Some(now), Some(before)) if before < now => {
            return e.invalid(&deadline, "must be less than or equal to previous value");
        }
        (None, Some(_)) => e.invalid(&deadline, "must not update from a positive integer to nil value"),
        _ => {}
    }
    tolerations(e, &old.get("tolerations"), &new.get("tolerations"));
    gates(e, &old.get("schedulingGates"), &new.get("schedulingGates"));
    if same(old.value(), new.value()) {
        return;
    }
    let is_gated = !old.get("schedulingGates").is_empty();
    if is_gated {
        gated::check(e, &old, &new);
    }
    let munged = munged(old.value(), new.value(), is_gated);
    if !same(&munged, old.value()) {
        let diff =
            schema::internal_diff("io.k8s.api.core.v1.PodSpec", old.value(), &munged).unwrap_or_default();
        e.forbidden(
            &new,
            &format!("pod updates may not change fields other than {UPDATABLE}\n{diff}"),
        );
    }
}

fn tolerations(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let apart_from_seconds = |toleration: &Value| {
        ["key", "operator", "value", "effect"]
            .map(|field| toleration[field].as_str().unwrap_or_default().to_owned())
    };
    let all = |list: &Node<'_>| -> HashSet<_> {
        let tolerations = list.value().as_array().into_iter().flatten();
        tolerations.map(apart_from_seconds).collect()
    };
    if all(old).is_subset(&all(new)) {
        return scheduling::tolerations(e, new);
    }
    e.forbidden(
        new,
        "existing toleration can not be modified except its tolerationSeconds",
    );
}

fn gates(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let old = old.items();
    let known: HashSet<&str> = old.iter().map(|gate| gate.get("name").text()).collect();
    for gate in new.items() {
        let name = gate.get("name");
        if !known.contains(name.text()) {
            let detail = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                name.text()
            );
            e.forbidden(&name, &detail);
        }
    }
}

/// The new spec with everything that may change taken from the old one.
fn munged(old: &Value, new: &Value, is_gated: bool) -> Value {
    let mut munged = new.as_object().cloned().unwrap_or_default();
    let take = |munged: &mut Map<String, Value>, field: &str| match old.get(field) {
        Some(value) => drop(munged.insert(field.to_owned(), value.clone())),
        None => drop(munged.remove(field)),
    };
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).and_then(Value::as_array_mut);
        for (at, container) in containers.into_iter().flatten().enumerate() {
            if let (Some(container), Some(image)) = (container.as_object_mut(), old[list][at].get("image")) {
                container.insert("image".to_owned(), image.clone());
            }
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        take(&mut munged, field);
    }
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(old).is_some_and(|n| n < 0) && grace(new) == Some(1) {
        take(&mut munged, "terminationGracePeriodSeconds");
    }
    if is_gated {
        take(&mut munged, "nodeSelector");
        gated::restore_affinity(&mut munged, old);
    }
    Value::Object(munged)
}

/// Several addresses of one pod or host are a pair of IPv4 and IPv6.
fn one_of_each_family(e: &mut Errors, list: &Node<'_>) {
    let addresses: Vec<&str> = list.items().iter().map(|entry| entry.get("ip").text()).collect();
    let v6 = addresses.iter().filter(|a| a.contains(':')).count();
    if addresses.len() > 1 && (addresses.len(), v6) != (2, 1) {
        let shown: Value = addresses.iter().map(|a| json!({"IP": a})).collect();
        e.invalid_value(list, &shown, "may specify no more than one IP for each IP family");
    }
}

/// The rules for a changed status.
pub(crate) fn update_status(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    annotations::update(
        e,
        &old.at(&["metadata", "annotations"]),
        &new.at(&["metadata", "annotations"]),
    );
    let status = new.get("status");
    crate::status::pod_conditions(e, &status.get("conditions"));
    if new.at(&["spec", "nodeName"]).text() != old.at(&["spec", "nodeName"]).text() {
        e.forbidden(&status.get("nodeName"), "may not be changed directly");
    }
    let (nominated, before) = (
        status.get("nominatedNodeName"),
        old.at(&["status", "nominatedNodeName"]),
    );
    if nominated.text() != before.text() && !nominated.is_empty() {
        e.complaints(&nominated, is_dns1123_subdomain(nominated.text()));
        if !old.at(&["spec", "nodeName"]).is_empty() {
            e.forbidden(
                &nominated,
                "may not be set on pods that are already bound to a node",
            );
        }
    }
    let observed = status.get("observedGeneration");
    if observed.int().is_some_and(|n| n < 0) {
        e.invalid(&observed, "must be a non-negative integer");
    }
    e.immutable(&status.get("qosClass"), &old.at(&["status", "qosClass"]));
    never_again(
        e,
        &new.get("spec"),
        &old.at(&["status", "containerStatuses"]),
        &status.get("containerStatuses"),
    );
    claim_statuses(
        e,
        &status.get("resourceClaimStatuses"),
        &new.at(&["spec", "resourceClaims"]),
    );
    for list in ["podIPs", "hostIPs"] {
        let entries = status.get(list).items();
        if let Some(first) = entries.first().map(|entry| entry.get("ip"))
            && list == "hostIPs"
            && first.text() != status.get("hostIP").text()
        {
            e.invalid_text(&first, first.text(), "must be equal to `hostIP`");
        }
        for entry in &entries {
            super::ip(e, &entry.get("ip").renamed(entry.path()));
        }
        one_of_each_family(e, &status.get(list));
    }
}

/// What became of the pod's claims of devices (`validatePodResourceClaimStatuses`).
fn claim_statuses(e: &mut Errors, statuses: &Node<'_>, claims: &Node<'_>) {
    let claims = claims.items();
    let mut seen = Vec::new();
    for status in statuses.items() {
        let name = status.get("name");
        if !claims.iter().any(|claim| claim.get("name").text() == name.text()) {
            e.invalid_text(
                &name,
                name.text(),
                "must match the name of an entry in `spec.resourceClaims`",
            );
        }
        if seen.contains(&name.text().to_owned()) {
            e.duplicate_value(&name, &name.text().into());
        } else {
            seen.push(name.text().to_owned());
        }
        let claim = status.get("resourceClaimName");
        if claim.present() {
            e.complaints(&claim, is_dns1123_subdomain(claim.text()));
        }
    }
}

const RESTART_ALL: &str = "RestartAllContainers";

/// A container that ended for good does not run again (`ValidateContainerStateTransition`).
fn never_again(e: &mut Errors, spec: &Node<'_>, old: &Node<'_>, new: &Node<'_>) {
    let all = ["initContainers", "containers"].map(|list| spec.get(list).items());
    let rules = all
        .iter()
        .flatten()
        .flat_map(|c| c.get("restartPolicyRules").items());
    if rules
        .into_iter()
        .any(|rule| rule.get("action").text() == RESTART_ALL)
    {
        return;
    }
    let [_, containers] = all;
    let containers: HashMap<&str, Node<'_>> = containers
        .into_iter()
        .map(|container| (container.get("name").text(), container))
        .collect();
    let new: HashMap<&str, Node<'_>> = new
        .items()
        .into_iter()
        .map(|now| (now.get("name").text(), now))
        .collect();
    for before in old.items() {
        let (ended, name) = (before.at(&["state", "terminated"]), before.get("name").text());
        let now = new
            .get(name)
            .filter(|now| !now.at(&["state", "terminated"]).present());
        let Some(now) = now.filter(|_| ended.present()) else {
            continue;
        };
        let code = ended.get("exitCode").int().unwrap_or_default();
        let container = containers.get(name);
        if !container.is_some_and(|container| restarts(container, spec, code)) {
            e.forbidden(
                &now.get("state").renamed(format!("{}.state", before.path())),
                "may not be transitioned to non-terminated state",
            );
        }
    }
}

/// Whether a container that ended with this code runs again (`ContainerShouldRestart` in pkg/api/v1/pod/util.go).
fn restarts(container: &Node<'_>, spec: &Node<'_>, code: i64) -> bool {
    let rules = container.get("restartPolicyRules").items();
    let rule = rules.iter().find(|rule| {
        let codes = rule.get("exitCodes");
        let listed = codes
            .get("values")
            .items()
            .iter()
            .any(|value| value.int() == Some(code));
        match codes.get("operator").text() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    });
    if rule.is_some_and(|rule| matches!(rule.get("action").text(), "Restart" | RESTART_ALL)) {
        return true;
    }
    let own = container.get("restartPolicy");
    let policy = if own.present() {
        own
    } else {
        spec.get("restartPolicy")
    };
    match policy.text() {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn allowed(spec: &Value, code: i64) -> bool {
        let old = json!([{"name": "c", "state": {"terminated": {"exitCode": code}}}]);
        let new = json!([{"name": "c", "state": {"waiting": {}}}]);
        let mut errors = Errors::default();
        never_again(
            &mut errors,
            &Node::root(spec),
            &Node::root(&old),
            &Node::root(&new),
        );
        errors.finish().is_empty()
    }

    #[test]
    fn only_who_is_restarted_runs_again() {
        let rule =
            |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
        let pod =
            |policy: &str, container: Value| json!({"restartPolicy": policy, "containers": [container]});
        let plain = json!({"name": "c"});
        assert!(allowed(&pod("Always", plain.clone()), 0));
        assert!(!allowed(&pod("Never", plain.clone()), 1));
        assert!(allowed(&pod("OnFailure", plain.clone()), 1) && !allowed(&pod("OnFailure", plain), 0));
        let own = pod(
            "Never",
            json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": rule("Restart")}),
        );
        assert!(allowed(&own, 42) && !allowed(&own, 1));
        let never = pod("Always", json!({"name": "c", "restartPolicy": "Never"}));
        assert!(!allowed(&never, 1));
        let anew = pod(
            "Never",
            json!({"name": "d", "restartPolicyRules": rule(RESTART_ALL)}),
        );
        assert!(allowed(&anew, 1), "another one's rule begins all of them anew");
    }
}
