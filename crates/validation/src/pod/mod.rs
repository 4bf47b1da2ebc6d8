//! Pods and pod templates (upstream `pkg/apis/core/validation/validation.go`).

mod annotations;
mod claims;
mod containers;
mod env;
mod ephemeral;
mod gated;
mod label_keys;
mod pod_resources;
mod probes;
mod resize;
mod resources;
mod scheduling;
mod security;
mod update;
mod volumes;
mod windows;

use kube_types::{is_dns1123_label, is_dns1123_subdomain, is_qualified_name};

use crate::{
    field::{Errors, Node},
    meta,
};

pub(crate) use ephemeral::update as update_ephemeral;
pub(crate) use probes::port;
pub(crate) use resize::update as update_resize;
pub(crate) use resources::{
    container_resource_name, is_extended, is_integer, may_overcommit, overhead, resource_name,
};
pub(crate) use scheduling::{node_selector, taints, tolerations};
pub(crate) use update::{update, update_status};
pub(crate) use volumes::{descending, host_path, nfs, no_backsteps};

/// A new pod, without its metadata.
pub(crate) fn create(e: &mut Errors, pod: &Node<'_>) {
    pod_spec(e, pod);
    let spec = pod.get("spec");
    if !spec.get("ephemeralContainers").is_empty() {
        e.forbidden(&spec.get("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.get("nodeName").is_empty() && !spec.get("schedulingGates").is_empty() {
        e.forbidden(
            &spec.get("nodeName"),
            "cannot be set until all schedulingGates have been cleared",
        );
    }
    annotations::agree(e, &pod.at(&["metadata", "annotations"]), &spec);
}

/// Every container: first those of the start, last those of debugging.
fn all_containers<'a>(spec: &Node<'a>) -> Vec<Node<'a>> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| spec.get(list).items())
        .collect()
}

/// The spec of a pod, and what concerns pods only.
pub(crate) fn pod_spec(e: &mut Errors, pod: &Node<'_>) {
    let spec = pod.get("spec");
    annotations::annotations(e, &pod.at(&["metadata", "annotations"]), &spec);
    spec_rules(e, &spec, Some(pod.at(&["metadata", "name"]).text()));
    if spec.get("serviceAccountName").is_empty() {
        for volume in spec.get("volumes").items() {
            for source in volume.at(&["projected", "sources"]).items() {
                let token = source.get("serviceAccountToken");
                if token.present() {
                    e.forbidden(&token, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).items() {
            trimmed_image(e, &container);
        }
    }
}

fn trimmed_image(e: &mut Errors, container: &Node<'_>) {
    let image = container.get("image");
    if image.text().trim() != image.text() {
        e.invalid(&image, "must not have leading or trailing whitespace");
    }
}

/// A pod template (`spec.template` of a workload).
pub(crate) fn template(e: &mut Errors, template: &Node<'_>) {
    let annotations = template_metadata(e, template);
    let spec = template.get("spec");
    annotations::annotations(e, &annotations, &spec);
    spec_rules(e, &spec, None);
    annotations::agree(e, &annotations, &spec);
    if !spec.get("ephemeralContainers").is_empty() {
        e.forbidden(
            &spec.get("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

/// Labels and annotations of a template; the latter under their path.
pub(crate) fn template_metadata<'a>(e: &mut Errors, template: &Node<'a>) -> Node<'a> {
    // Upstream's paths leave out `metadata`.
    let part = |name: &str| {
        let path = format!("{}.{name}", template.path());
        template.at(&["metadata", name]).renamed(path)
    };
    meta::labels(e, &part("labels"));
    let annotations = part("annotations");
    meta::annotations(e, &annotations);
    annotations
}

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// `pod` is the name of a pod; templates have none.
fn spec_rules(e: &mut Errors, spec: &Node<'_>, pod: Option<&str>) {
    let grace = spec.get("terminationGracePeriodSeconds");
    if !grace.present() {
        e.required(&grace, "");
    }
    let volumes = volumes::volumes(e, &spec.get("volumes"), pod);
    claims::of_pod(e, &spec.get("resourceClaims"));
    containers::regular(e, spec, &volumes);
    containers::init(e, spec, &volumes);
    ephemeral::all(e, spec, &volumes);
    pod_resources::pod_resources(e, spec);
    host_network(e, spec, pod.is_some());
    e.one_of(&spec.get("restartPolicy"), &RESTART_POLICIES);
    e.one_of(&spec.get("dnsPolicy"), &DNS_POLICIES);
    meta::labels(e, &spec.get("nodeSelector"));
    security::pod(e, &spec.get("securityContext"), spec);
    scheduling::affinity(e, &spec.get("affinity"));
    dns_config(e, spec);
    for gate in spec.get("readinessGates").items() {
        let kind = gate.get("conditionType");
        e.complaints(&kind, is_qualified_name(kind.text()));
    }
    scheduling::gates(e, &spec.get("schedulingGates"));
    scheduling::spread(e, &spec.get("topologySpreadConstraints"));
    windows::host_process(e, spec);
    security::host_users(e, spec);
    names(e, spec);
    tolerations(e, &spec.get("tolerations"));
    for alias in spec.get("hostAliases").items() {
        ip(e, &alias.get("ip"));
        for name in alias.get("hostnames").items() {
            e.complaints(&name, is_dns1123_subdomain(name.text()));
        }
    }
    for field in ["priorityClassName", "runtimeClassName"] {
        let name = spec.get(field);
        if !name.is_empty() {
            e.complaints(&name, is_dns1123_subdomain(name.text()));
        }
    }
    let preemption = spec.get("preemptionPolicy");
    if preemption.present() {
        e.one_of(&preemption, &["PreemptLowerPriority", "Never"]);
    }
    overhead(e, &spec.get("overhead"));
    windows::os(e, spec);
    env::file_volumes(e, spec);
}

/// Everything about names and times in the middle of upstream's function.
fn names(e: &mut Errors, spec: &Node<'_>) {
    let hostname_override = spec.get("hostnameOverride");
    if hostname_override.present() {
        if spec.get("setHostnameAsFQDN").is_true() {
            e.forbidden(
                &hostname_override,
                "may not be specified when setHostnameAsFQDN is true",
            );
        }
        if spec.get("hostNetwork").is_true() {
            e.forbidden(
                &hostname_override,
                "may not be specified when hostNetwork is true",
            );
        }
        if hostname_override.len() > 64 {
            e.too_long(&hostname_override, 64);
        }
        e.complaints(&hostname_override, is_dns1123_subdomain(hostname_override.text()));
    }
    for field in ["serviceAccountName", "nodeName"] {
        let name = spec.get(field);
        if !name.is_empty() {
            e.complaints(&name, is_dns1123_subdomain(name.text()));
        }
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline
        .int()
        .is_some_and(|n| !(1..=i64::from(i32::MAX)).contains(&n))
    {
        e.invalid(&deadline, "must be between 1 and 2147483647, inclusive");
    }
    for field in ["hostname", "subdomain"] {
        let name = spec.get(field);
        if !name.is_empty() {
            e.complaints(&name, is_dns1123_label(name.text()));
        }
    }
}

fn host_network(e: &mut Errors, spec: &Node<'_>, is_pod: bool) {
    if !spec.get("hostNetwork").is_true() {
        return;
    }
    for container in spec.get("containers").items() {
        for port in container.get("ports").items() {
            let host = port.get("hostPort");
            let (on_host, inside) = (
                host.int().unwrap_or(0),
                port.get("containerPort").int().unwrap_or(0),
            );
            if (is_pod || on_host != 0) && on_host != inside {
                e.invalid_value(
                    &host,
                    &on_host.into(),
                    "must match `containerPort` when `hostNetwork` is true",
                );
            }
        }
    }
}

fn dns_config(e: &mut Errors, spec: &Node<'_>) {
    let config = spec.get("dnsConfig");
    let servers = config.get("nameservers");
    if spec.get("dnsPolicy").text() == "None" {
        if !config.present() {
            return e.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return e.required(
                &servers,
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            );
        }
    }
    if servers.len() > 3 {
        e.invalid(&servers, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        ip(e, &server);
    }
    let searches = config.get("searches");
    if searches.len() > 32 {
        e.invalid(&searches, "must not have more than 32 search paths");
    }
    let characters = searches.items().iter().map(Node::len).sum::<usize>() + searches.len().saturating_sub(1);
    if characters > 2048 {
        e.invalid(
            &searches,
            "must not have more than 2048 characters (including spaces) in the search list",
        );
    }
    for search in searches.items() {
        if search.text() != "." {
            let name = search.text().strip_suffix('.').unwrap_or(search.text());
            for complaint in is_search_path(name) {
                e.invalid_text(&search, name, &complaint);
            }
        }
    }
    for option in config.get("options").items() {
        if option.get("name").is_empty() {
            e.required(&option, "must not be empty");
        }
    }
}

/// A subdomain in which underscores are fine.
fn is_search_path(name: &str) -> Vec<String> {
    let complaints = is_dns1123_subdomain(&name.replace('_', "a"));
    let edges = name.split('.').any(|label| label.ends_with('_'));
    if complaints.is_empty() && !edges {
        return complaints;
    }
    vec![kube_types::regex_message(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start \
         and end with an alphanumeric character",
        "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
        &["example.com"],
    )]
}

/// An IP address in its canonical form.
pub(crate) fn ip(e: &mut Errors, node: &Node<'_>) {
    let text = node.text();
    if text.parse::<std::net::IpAddr>().is_err() {
        // Older Kubernetes took 010.0.0.1 for 10.0.0.1.
        let parts = text.split('.').map(|part| part.trim_start_matches('0'));
        let parts: Vec<&str> = parts
            .map(|part| if part.is_empty() { "0" } else { part })
            .collect();
        if parts.join(".").parse::<std::net::Ipv4Addr>().is_ok() {
            return e.invalid(node, "must not have leading 0s");
        }
        e.invalid_text(
            node,
            node.text(),
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        );
    }
}
