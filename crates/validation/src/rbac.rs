//! Roles and bindings (upstream `pkg/apis/rbac/validation`).
use kube_types::{LabelSelector, is_dns1123_subdomain};

use crate::{
    field::{Errors, Node},
    meta,
};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn rules(e: &mut Errors, role: &Node<'_>, namespaced: bool) {
    for rule in role.get("rules").items() {
        let urls = rule.get("nonResourceURLs");
        if rule.get("verbs").is_empty() {
            e.required(&rule.get("verbs"), "verbs must contain at least one value");
        }
        if urls.is_empty() {
            if rule.get("apiGroups").is_empty() {
                e.required(
                    &rule.get("apiGroups"),
                    "resource rules must supply at least one api group",
                );
            }
            if rule.get("resources").is_empty() {
                e.required(
                    &rule.get("resources"),
                    "resource rules must supply at least one resource",
                );
            }
            continue;
        }
        if namespaced {
            e.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"]
            .iter()
            .any(|field| !rule.get(field).is_empty())
        {
            e.invalid(
                &urls,
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
    }
}

pub(crate) fn cluster_role(e: &mut Errors, role: &Node<'_>) {
    rules(e, role, false);
    let aggregation = role.get("aggregationRule");
    if aggregation.present() {
        let selectors = aggregation.get("clusterRoleSelectors");
        if selectors.is_empty() {
            let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            e.required(&selectors, detail);
        }
        for selector in selectors.items() {
            meta::selector(e, &selector);
            if LabelSelector::from_object(selector.value()).is_err() {
                e.invalid_raw(&selector, "null", "invalid label selector.");
            }
        }
    }
}

pub(crate) fn binding(e: &mut Errors, binding: &Node<'_>, namespaced: bool) {
    let role = binding.get("roleRef");
    if role.get("apiGroup").text() != GROUP {
        e.unsupported(&role.get("apiGroup"), &[GROUP]);
    }
    let kinds: &[&str] = if namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&role.get("kind").text()) {
        e.unsupported(&role.get("kind"), kinds);
    }
    let name = role.get("name");
    if name.is_empty() {
        e.required(&name, "");
    } else {
        e.complaints(&name, meta::path_segment(name.text()));
    }
    for subject in binding.get("subjects").items() {
        let (name, group) = (subject.get("name"), subject.get("apiGroup"));
        if name.is_empty() {
            e.required(&name, "");
        }
        match subject.get("kind").text() {
            "ServiceAccount" => {
                if !name.is_empty() {
                    e.complaints(&name, is_dns1123_subdomain(name.text()));
                }
                if !group.is_empty() {
                    e.unsupported(&group, &[""]);
                }
                if !namespaced && subject.get("namespace").is_empty() {
                    e.required(&subject.get("namespace"), "");
                }
            }
            "User" | "Group" => {
                if group.text() != GROUP {
                    e.unsupported(&group, &[GROUP]);
                }
            }
            _ => e.unsupported(&subject.get("kind"), &["ServiceAccount", "User", "Group"]),
        }
    }
}
