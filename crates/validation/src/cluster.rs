//! Small kinds: namespaces, nodes, quotas, priority classes, leases.
use kube_types::is_qualified_name;

use crate::{
    field::{Errors, Node, go_struct},
    network, pod,
};

const HIGHEST_PRIORITY: i64 = 1_000_000_000;
const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

pub(crate) fn priority_class(e: &mut Errors, object: &Node<'_>) {
    let (name, value) = (object.at(&["metadata", "name"]), object.get("value"));
    let number = value.int().unwrap_or(0);
    if name.text().starts_with("system-") {
        let problem = match SYSTEM_CLASSES.iter().find(|(known, _)| *known == name.text()) {
            None => Some(format!("{} is not a known system priority class", name.text())),
            Some((known, wanted)) if *wanted != number => {
                Some(format!("value of {known} PriorityClass must be {wanted}"))
            }
            Some((known, _)) if object.get("globalDefault").is_true() => {
                Some(format!("globalDefault of {known} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            );
            e.forbidden(&name, &detail);
        }
    } else if number > HIGHEST_PRIORITY {
        e.forbidden(
            &value,
            "maximum allowed value of a user defined priority is 1000000000",
        );
    }
    let policy = object.get("preemptionPolicy");
    if policy.present() {
        e.one_of(&policy, &["PreemptLowerPriority", "Never"]);
    }
}

pub(crate) fn namespace(e: &mut Errors, object: &Node<'_>) {
    let finalizers = object.at(&["spec", "finalizers"]);
    for finalizer in finalizers.items() {
        // Upstream's path.
        namespace_finalizer(e, &finalizer.renamed(finalizers.path()));
    }
}

/// The rules for what `namespaces/finalize` leaves (`ValidateNamespaceFinalizeUpdate`).
pub(crate) fn finalized(e: &mut Errors, object: &Node<'_>) {
    for finalizer in object.at(&["spec", "finalizers"]).items() {
        namespace_finalizer(e, &finalizer);
    }
}

fn namespace_finalizer(e: &mut Errors, finalizer: &Node<'_>) {
    e.complaints(finalizer, is_qualified_name(finalizer.text()));
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    if !finalizer.text().contains('/') && !standard.contains(&finalizer.text()) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        e.invalid_text(finalizer, finalizer.text(), detail);
    }
}

pub(crate) fn node(e: &mut Errors, object: &Node<'_>) {
    // Upstream's path.
    pod::taints(e, &object.at(&["spec", "taints"]).renamed("metadata.taints"));
    pod_ranges(e, object);
    resources(e, object);
}

fn pod_ranges(e: &mut Errors, object: &Node<'_>) {
    let ranges = object.at(&["spec", "podCIDRs"]);
    let before = e.count();
    let items = ranges.items();
    for range in &items {
        network::cidr(e, range);
    }
    let families: Vec<bool> = items.iter().map(|range| range.text().contains(':')).collect();
    if e.count() == before && items.len() > 1 && (items.len() > 2 || families[0] == families[1]) {
        e.invalid(&ranges, "may specify no more than one CIDR for each IP family");
    }
}

fn resources(e: &mut Errors, object: &Node<'_>) {
    for list in ["capacity", "allocatable"] {
        for (name, quantity) in object.at(&["status", list]).entries() {
            if quantity.quantity().is_some_and(|q| q.sign() < 0) {
                let _ = name;
                e.invalid(&quantity, "must be a valid resource quantity");
            }
        }
    }
}

pub(crate) fn node_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    pod_ranges(e, new);
    resources(e, new);
    let addresses = new.at(&["status", "addresses"]).items();
    for (at, address) in addresses.iter().enumerate() {
        if addresses[..at]
            .iter()
            .any(|other| other.value() == address.value())
        {
            let shown = go_struct(address, &[("Type", "type"), ("Address", "address")]);
            e.duplicate_raw(address, &shown);
        }
    }
    let (before, now) = (old.at(&["spec", "podCIDRs"]), new.at(&["spec", "podCIDRs"]));
    if !before.is_empty() && before.value() != now.value() {
        e.forbidden(
            &now,
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let (before, now) = (old.at(&["spec", "providerID"]), new.at(&["spec", "providerID"]));
    if !before.is_empty() && before.text() != now.text() {
        e.forbidden(
            &now,
            "node updates may not change providerID except from \"\" to valid",
        );
    }
    pod::taints(e, &new.at(&["spec", "taints"]).renamed("metadata.taints"));
    let (before, now) = (old.at(&["spec", "externalID"]), new.at(&["spec", "externalID"]));
    if before.text() != now.text() {
        e.forbidden(&now, "may not be updated");
    }
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Whether a quota for this resource may be limited to this scope.
fn scope_fits(scope: &str, resource: &str) -> bool {
    let compute = [
        "cpu",
        "memory",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
    ];
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => resource == "pods" || compute.contains(&resource),
    }
}

/// `standardQuotaResources` (pkg/apis/core/helper/helpers.go).
const STANDARD_QUOTAS: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_standard_quota(name: &str) -> bool {
    STANDARD_QUOTAS.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Resources that a quota counts, and how much of each.
fn amounts(e: &mut Errors, list: &Node<'_>) {
    for (name, quantity) in list.entries() {
        pod::resource_name(e, &quantity, name);
        if !name.contains('/') && !is_standard_quota(name) {
            e.invalid_text(&quantity, name, "must be a standard resource for quota");
        }
        amount(e, &quantity, name);
    }
}

pub(crate) fn quota_status(e: &mut Errors, status: &Node<'_>) {
    amounts(e, &status.get("hard"));
    amounts(e, &status.get("used"));
}

pub(crate) fn quota_spec(e: &mut Errors, spec: &Node<'_>) {
    let hard = spec.get("hard");
    amounts(e, &hard);
    let scopes = spec.get("scopes");
    let listed: Vec<_> = scopes.items().iter().map(Node::text).collect();
    for scope in &listed {
        if !SCOPES.contains(scope) {
            e.invalid(&scopes, "unsupported scope");
        }
        for (name, _) in hard.entries() {
            if is_standard_quota(name) && !scope_fits(scope, name) {
                e.invalid(&scopes, "unsupported scope applied to resource");
            }
        }
    }
    conflicting(e, &scopes, &scopes, &listed);
    let requirements = spec.at(&["scopeSelector", "matchExpressions"]);
    let mut selected = Vec::new();
    for requirement in requirements.items() {
        // Upstream's paths name the list.
        let field = |name: &str| requirement.renamed(requirements.path()).get(name);
        let scope = field("scopeName");
        if !SCOPES.contains(&scope.text()) {
            e.invalid_text(&scope, scope.text(), "unsupported scope");
        }
        for (name, _) in hard.entries() {
            if is_standard_quota(name) && !scope_fits(scope.text(), name) {
                let shown = shown_selector(&requirements);
                e.invalid_raw(&requirements, &shown, "unsupported scope applied to resource");
            }
        }
        let (operator, values) = (field("operator"), field("values"));
        let bare = SCOPES.contains(&scope.text())
            && scope.text() != "PriorityClass"
            && scope.text() != "VolumeAttributesClass";
        if bare && operator.text() != "Exists" {
            e.invalid_text(
                &operator,
                operator.text(),
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                let detail =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                e.required(&values, detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail =
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                e.invalid(&values, detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => e.invalid_text(&operator, other, "not a valid selector operator"),
        }
        selected.push(scope.text());
    }
    conflicting(e, &requirements, &scopes, &selected);
}

/// A scope selector as upstream shows it, whose internal type has no names of its own for JSON.
fn shown_selector(requirements: &Node<'_>) -> String {
    let fields = [
        ("ScopeName", "scopeName"),
        ("Operator", "operator"),
        ("Values", "values"),
    ];
    let shown: Vec<String> = requirements
        .items()
        .iter()
        .map(|one| go_struct(one, &fields))
        .collect();
    format!("{{\"MatchExpressions\":[{}]}}", shown.join(","))
}

fn conflicting(e: &mut Errors, at: &Node<'_>, shown: &Node<'_>, scopes: &[&str]) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            e.invalid_value(at, shown.value(), "conflicting scopes");
        }
    }
}

fn amount(e: &mut Errors, node: &Node<'_>, name: &str) {
    let Some(quantity) = node.quantity() else { return };
    if quantity.sign() < 0 {
        e.invalid_text(node, &quantity.to_string(), "must be greater than or equal to 0");
    }
    if pod::is_integer(name) && quantity.has_thousandths() {
        e.invalid_text(node, &quantity.to_string(), "must be an integer");
    }
}

pub(crate) fn quota_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    quota_spec(e, &new.get("spec"));
    let scopes = |object: &Node<'_>| {
        let mut scopes: Vec<_> = object
            .at(&["spec", "scopes"])
            .items()
            .iter()
            .map(|s| s.text().to_owned())
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    };
    if scopes(old) != scopes(new) {
        e.invalid(&new.at(&["spec", "scopes"]), "field is immutable");
    }
}

pub(crate) fn lease(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let (duration, transitions) = (spec.get("leaseDurationSeconds"), spec.get("leaseTransitions"));
    if duration.int().is_some_and(|n| n <= 0) {
        e.invalid(&duration, "must be greater than 0");
    }
    if transitions.int().is_some_and(|n| n < 0) {
        e.invalid(&transitions, "must be greater than or equal to 0");
    }
    if !spec.get("preferredHolder").is_empty() && spec.get("strategy").is_empty() {
        e.forbidden(
            &spec.get("preferredHolder"),
            "may only be specified if `strategy` is defined",
        );
    }
}
