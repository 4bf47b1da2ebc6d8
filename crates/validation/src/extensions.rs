//! Kinds by which a cluster is extended: runtime classes, webhooks (upstream
//! `pkg/apis/{node,admissionregistration}/validation`). What expressions say is checked by who evaluates them.
use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use crate::{
    certificates, csi,
    field::{Errors, Node, same, show},
    flow, meta, network, pod, policies, storage, webhook,
};

/// The rules of a new object of one of these kinds.
pub(crate) fn create(e: &mut Errors, kind: &str, object: &Node<'_>) {
    match kind {
        "RuntimeClass" => runtime_class(e, object),
        "CSIDriver" | "CSINode" | "CSIStorageCapacity" | "VolumeAttachment" => csi::create(e, kind, object),
        "VolumeAttributesClass" => {
            storage::provisioner(e, &object.get("driverName"));
            let parameters = object.get("parameters");
            storage::parameters(e, &parameters);
            if parameters.is_empty() {
                e.required(&parameters, "must contain at least one key/value pair");
            }
        }
        "ServiceCIDR" => service_ranges(e, &object.at(&["spec", "cidrs"])),
        "IPAddress" => parent(e, &object.at(&["spec", "parentRef"])),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => webhook::webhooks(e, object),
        "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy" => policies::policy(e, kind, object),
        "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding" => {
            policies::binding(e, kind, object);
        }
        "FlowSchema" => flow::schema(e, object),
        "PriorityLevelConfiguration" => flow::level(e, object),
        "CertificateSigningRequest" => certificates::signing_request(e, object),
        _ => {}
    }
}

/// The rules of a changed one.
pub(crate) fn update(e: &mut Errors, kind: &str, old: &Node<'_>, new: &Node<'_>) {
    let immutable = |e: &mut Errors, field: &str| e.immutable(&new.get(field), &old.get(field));
    match kind {
        "RuntimeClass" => {
            runtime_class(e, new);
            immutable(e, "handler");
        }
        "CSIDriver" | "CSINode" | "CSIStorageCapacity" | "VolumeAttachment" => csi::update(e, kind, old, new),
        "VolumeAttributesClass" => {
            for field in ["driverName", "parameters"] {
                let (now, before) = (new.get(field), old.get(field));
                if !same(now.value(), before.value()) {
                    e.forbidden(&now, &format!("updates to {field} are forbidden."));
                }
            }
            create(e, kind, new);
        }
        "ServiceCIDR" => {
            let at = ["spec", "cidrs"];
            service_ranges_update(e, &old.at(&at), &new.at(&at));
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => webhook::webhooks(e, new),
        "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy" => policies::policy(e, kind, new),
        "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding" => {
            policies::binding(e, kind, new);
        }
        "FlowSchema" => flow::schema(e, new),
        "PriorityLevelConfiguration" => flow::level(e, new),
        "IPAddress" => {
            let at = ["spec", "parentRef"];
            let (now, before) = (new.at(&at), old.at(&at));
            parent(e, &now);
            if now.present() && !same(now.value(), before.value()) {
                let text = |field: &str| show(&now.get(field).text().into());
                let shown = format!(
                    "{{\"Group\":{},\"Resource\":{},\"Namespace\":{},\"Name\":{}}}",
                    text("group"),
                    text("resource"),
                    text("namespace"),
                    text("name")
                );
                e.invalid_raw(&now, &shown, "field is immutable");
            } else {
                e.immutable(&now, &before);
            }
        }
        _ => {}
    }
}

/// Ranges of Services' addresses (`validateServiceCIDRSpec`).
fn service_ranges(e: &mut Errors, ranges: &Node<'_>) {
    let items = ranges.items();
    if items.is_empty() {
        return e.required(ranges, "at least one CIDR required");
    }
    if items.len() > 2 {
        return e.invalid(ranges, "may only hold up to 2 values");
    }
    for range in &items {
        network::cidr(e, range);
    }
    let family = |text: &str| {
        Some(
            text.split_once('/')?
                .0
                .parse::<std::net::IpAddr>()
                .ok()?
                .is_ipv4(),
        )
    };
    if let [first, second] = items.as_slice()
        && let Some(one) = family(first.text())
        && Some(one) == family(second.text())
    {
        e.invalid(
            ranges,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}

/// A range stays; one of the other family may come (`ValidateServiceCIDRUpdate`).
fn service_ranges_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (before, now) = (old.items(), new.items());
    if before.len() != now.len() && (before.len(), now.len()) != (1, 2) {
        return e.immutable(new, old);
    }
    for (before, now) in before.iter().zip(&now) {
        if before.text() != now.text() {
            e.invalid_text(now, now.text(), "field is immutable");
        }
    }
    if before.len() != now.len() {
        service_ranges(e, new);
    }
}

/// What an address belongs to (`validateIPAddressParentReference`).
fn parent(e: &mut Errors, parent: &Node<'_>) {
    if !parent.present() {
        return e.required(parent, "");
    }
    let group = parent.get("group");
    if !group.is_empty() {
        e.complaints(&group, is_dns1123_subdomain(group.text()));
    }
    for field in ["resource", "name"] {
        let node = parent.get(field);
        if node.is_empty() {
            e.required(&node, "");
        }
    }
}

fn runtime_class(e: &mut Errors, object: &Node<'_>) {
    let handler = object.get("handler");
    if handler.is_empty() {
        e.required(&handler, "");
    } else {
        e.complaints(&handler, is_dns1123_label(handler.text()));
    }
    let overhead = object.get("overhead");
    pod::overhead(e, &overhead.get("podFixed").renamed("overhead"));
    let scheduling = object.get("scheduling");
    meta::labels(e, &scheduling.get("nodeSelector"));
    let tolerations = scheduling.get("tolerations");
    pod::tolerations(e, &tolerations);
    let items = tolerations.items();
    for (at, one) in items.iter().enumerate() {
        let key = |t: &Node<'_>| ["key", "operator", "value", "effect"].map(|f| t.get(f).text().to_owned());
        if items[..at].iter().any(|other| key(other) == key(one)) {
            e.duplicate_raw(one, &toleration_struct(one));
        }
    }
}

/// The internal struct, which has no JSON names.
fn toleration_struct(toleration: &Node<'_>) -> String {
    let text = |field: &str| show(&toleration.get(field).text().into());
    format!(
        "{{\"Key\":{},\"Operator\":{},\"Value\":{},\"Effect\":{},\"TolerationSeconds\":{}}}",
        text("key"),
        text("operator"),
        text("value"),
        text("effect"),
        show(toleration.get("tolerationSeconds").value())
    )
}
