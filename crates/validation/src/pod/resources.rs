//! Resource names and quantities.
use kube_types::is_qualified_name;
use serde_json::{Value, json};

use crate::field::{Errors, Node};

const FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more of a resource may be promised than there is.
pub(crate) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// A resource of somebody else's domain.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// A resource that comes in whole numbers.
pub(crate) fn is_integer(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

fn is_standard(name: &str) -> bool {
    let base = name
        .strip_prefix("requests.")
        .or_else(|| name.strip_prefix("limits."))
        .unwrap_or(name);
    matches!(base, "cpu" | "memory" | "ephemeral-storage")
        || matches!(name, "storage" | "requests.storage")
        || COUNTED.contains(&name)
        || is_huge_page(base)
}

/// The name of any resource; whether nothing was wrong with it.
pub(crate) fn resource_name(e: &mut Errors, at: &Node<'_>, name: &str) -> bool {
    let before = e.count();
    for complaint in is_qualified_name(name) {
        e.invalid_text(at, name, &complaint);
    }
    if e.count() == before && !name.contains('/') && !is_standard(name) {
        e.invalid_text(at, name, "must be a standard resource type or fully qualified");
    }
    e.count() == before
}

pub(crate) fn container_resource_name(e: &mut Errors, at: &Node<'_>, name: &str) {
    resource_name(e, at, name);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            e.invalid_text(at, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        e.invalid_text(at, name, "doesn't follow extended resource name standard");
    }
}

/// An amount of a resource.
fn quantity(e: &mut Errors, at: &Node<'_>, name: &str) {
    let Some(quantity) = at.quantity() else { return };
    if quantity.sign() < 0 {
        e.invalid_text(at, &quantity.to_string(), "must be greater than or equal to 0");
    }
    if is_integer(name) && quantity.has_thousandths() {
        e.invalid_text(at, &quantity.to_string(), "must be an integer");
    }
}

/// Huge pages come in their own size.
fn whole_pages(e: &mut Errors, at: &Node<'_>, name: &str) {
    let size = name.strip_prefix("hugepages-");
    let size = size.and_then(|size| size.parse::<kube_types::Quantity>().ok());
    if let (Some(size), Some(amount)) = (size, at.quantity())
        && size.value() > 0
        && amount.value() % size.value() != 0
    {
        let shown = amount.to_string();
        e.invalid_text(
            at,
            &shown,
            &format!("{shown} is not positive integer multiple of {name}"),
        );
    }
}

/// A container's requests and limits.
pub(super) fn requirements(e: &mut Errors, resources: &Node<'_>) {
    both(e, resources, container_resource_name);
}

/// A pod's requests and limits.
pub(super) fn pod_requirements(e: &mut Errors, resources: &Node<'_>) {
    both(e, resources, pod_resource_name);
}

/// What a runtime class adds: upstream takes it for limits, and says so in paths.
pub(crate) fn overhead(e: &mut Errors, overhead: &Node<'_>) {
    if overhead.present() {
        let limits = json!({"limits": overhead.value()});
        both(e, &overhead.holding(&limits), container_resource_name);
    }
}

fn pod_resource_name(e: &mut Errors, at: &Node<'_>, name: &str) {
    let known = matches!(name, "cpu" | "memory") || is_huge_page(name);
    if resource_name(e, at, name) && !known {
        e.unsupported_value(at, &name.into(), &["cpu", "hugepages-", "memory"]);
    }
}

fn both(e: &mut Errors, resources: &Node<'_>, check_name: fn(&mut Errors, &Node<'_>, &str)) {
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    for (name, at) in limits.entries() {
        check_name(e, &at, name);
        quantity(e, &at, name);
        whole_pages(e, &at, name);
    }
    for (name, at) in requests.entries() {
        check_name(e, &at, name);
        quantity(e, &at, name);
        against_limit(e, &requests, &limits, name);
        whole_pages(e, &at, name);
    }
    let any = |wanted: fn(&str) -> bool| {
        limits
            .entries()
            .iter()
            .chain(&requests.entries())
            .any(|(name, _)| wanted(name))
    };
    if any(is_huge_page) && !any(|name| matches!(name, "cpu" | "memory")) {
        e.forbidden(resources, "HugePages require cpu or memory");
    }
}

fn against_limit(e: &mut Errors, requests: &Node<'_>, limits: &Node<'_>, name: &str) {
    let Some(request) = requests.key(name).quantity() else {
        return;
    };
    let overcommit = may_overcommit(name);
    match limits.key(name).quantity() {
        Some(limit) if request != limit && !overcommit => {
            e.invalid_text(
                requests,
                &request.to_string(),
                &format!("must be equal to {name} limit of {limit}"),
            );
        }
        Some(limit) if request > limit => {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            e.invalid_text(requests, &request.to_string(), &detail);
        }
        None if !overcommit => e.required(limits, "Limit must be set for non overcommitable resources"),
        Some(_) | None => {}
    }
}

pub(super) fn resize_policy(e: &mut Errors, list: &Node<'_>, restart_policy: &str) {
    let mut seen = Vec::new();
    for policy in list.items() {
        let (name, restart) = (policy.get("resourceName"), policy.get("restartPolicy"));
        if seen.contains(&name.text()) {
            e.duplicate_value(&policy, name.value());
        }
        seen.push(name.text());
        e.one_of(&name.renamed(list.path()), &["cpu", "memory"]);
        e.one_of(
            &restart.renamed(list.path()),
            &["NotRequired", "RestartContainer"],
        );
        if restart_policy == "Never" && restart.text() != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            e.invalid_value(list, restart.value(), detail);
        }
    }
}

/// A reference to a container's resources (environment and downward API).
pub(super) fn field_ref(e: &mut Errors, reference: &Node<'_>, volume: bool) {
    let resource = reference.get("resource");
    if volume && reference.get("containerName").is_empty() {
        e.required(&reference.get("containerName"), "");
    } else if resource.is_empty() {
        e.required(&resource, "");
    } else {
        let huge = ["requests.hugepages-", "limits.hugepages-"]
            .iter()
            .any(|p| resource.text().starts_with(p));
        if !huge && !FIELDS.contains(&resource.text()) {
            e.unsupported(&resource, &FIELDS);
        }
    }
    let divisor = reference.get("divisor");
    let Some(value) = divisor.quantity().filter(|q| !q.is_zero()).map(|q| q.to_string()) else {
        return;
    };
    let sizes = [
        "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
    ];
    let (allowed, what): (&[&str], _) = match resource.text() {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&sizes, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&sizes, "local ephemeral storage"),
        huge if huge.starts_with("limits.hugepages-") || huge.starts_with("requests.hugepages-") => {
            (&sizes, "hugepages")
        }
        _ => return,
    };
    if !allowed.contains(&value.as_str()) {
        let numbers = if what == "cpu" {
            "1m and 1".to_owned()
        } else {
            sizes.join(", ")
        };
        e.invalid_value(
            &divisor,
            &Value::from(resource.text()),
            &format!("only divisor's values {numbers} are supported with the {what} resource"),
        );
    }
}
