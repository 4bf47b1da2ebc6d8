//! Kinds by which a cluster is extended: runtime classes, webhooks, certificates (upstream
//! `pkg/apis/{node,admissionregistration,certificates}/validation`). What expressions say is checked by who evaluates them.
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{is_dns1123_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::{
    csi,
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
        "CertificateSigningRequest" => signing_request(e, object),
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

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn signing_request(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let request = spec.get("request");
    let pem = STANDARD.decode(request.text()).unwrap_or_default();
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE REQUEST-----") {
        e.invalid(&request, "PEM block type must be CERTIFICATE REQUEST");
    }
    let usages = spec.get("usages");
    if usages.is_empty() {
        e.required(&usages, "");
    }
    let items = usages.items();
    for usage in &items {
        e.maybe_one_of(usage, &USAGES);
    }
    for (at, usage) in items.iter().enumerate() {
        if items[..at].iter().any(|u| u.text() == usage.text()) {
            e.duplicate(usage);
        }
    }
    let signer = spec.get("signerName");
    if signer.text() == "kubernetes.io/legacy-unknown" {
        e.invalid(
            &signer,
            "the legacy signerName is not allowed via this API version",
        );
    } else {
        signer_name(e, &signer);
    }
    let seconds = spec.get("expirationSeconds");
    if seconds.int().is_some_and(|s| s < 600) {
        e.invalid(
            &seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        );
    }
    conditions(e, object);
    certificate(e, &object.at(&["status", "certificate"]));
}

/// What was issued; the certificates themselves are not read.
fn certificate(e: &mut Errors, node: &Node<'_>) {
    let pem = STANDARD.decode(node.text()).unwrap_or_default();
    if !pem.is_empty() && !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        e.invalid_text(
            node,
            "<certificate data>",
            "must contain at least one CERTIFICATE PEM block",
        );
    }
}

/// `ValidateSignerName` of `pkg/apis/core/validation`.
fn signer_name(e: &mut Errors, signer: &Node<'_>) {
    if signer.is_empty() {
        return e.required(signer, "");
    }
    let Some((domain, path)) = signer.text().split_once('/') else {
        return e.invalid(
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    if path.contains('/') {
        return e.invalid(
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    }
    for complaint in is_dns1123_subdomain(domain) {
        e.invalid_text(
            signer,
            domain,
            &format!("validating label \"{domain}\": {complaint}"),
        );
    }
    if domain.split('.').count() < 2 {
        e.invalid_text(
            signer,
            domain,
            "should be a domain with at least two segments separated by dots",
        );
    }
    for complaint in is_dns1123_subdomain(path) {
        e.invalid_text(signer, path, &format!("validating label \"{path}\": {complaint}"));
    }
}

const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

fn conditions(e: &mut Errors, object: &Node<'_>) {
    let list = object.at(&["status", "conditions"]);
    let items = list.items();
    for (at, condition) in items.iter().enumerate() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        if kind.is_empty() {
            e.required(&kind, "");
        }
        let allowed: &[&str] = if FINAL.contains(&kind.text()) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        e.one_of(&status, allowed);
        let seen = |other: &str| items[..at].iter().any(|c| c.get("type").text() == other);
        let other = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen(other) {
            e.invalid_text(
                &list,
                kind.text(),
                "Approved and Denied conditions are mutually exclusive",
            );
        }
        if seen(kind.text()) {
            e.duplicate(&kind);
        }
    }
}

/// A change of a signing request by its `approval` or `status`: who approves does not issue, and the other way round.
pub(crate) fn signing_update(e: &mut Errors, subresource: &str, old: &Node<'_>, new: &Node<'_>) {
    signing_request(e, new);
    let list = new.at(&["status", "conditions"]);
    let of = |object: &Node<'_>, kind: &str| -> Vec<Value> {
        let all = object.at(&["status", "conditions"]);
        let found = all.items().into_iter().filter(|c| c.get("type").text() == kind);
        found.map(|c| c.value().clone()).collect()
    };
    for kind in FINAL {
        if of(new, kind).len() < of(old, kind).len() {
            e.forbidden(
                &list,
                &format!(
                    "updates may not remove a condition of type {}",
                    show(&kind.into())
                ),
            );
        }
    }
    if subresource != "approval" {
        for kind in ["Approved", "Denied"] {
            if of(new, kind).len() > of(old, kind).len() {
                e.forbidden(
                    &list,
                    &format!("updates may not add a condition of type {}", show(&kind.into())),
                );
            }
        }
    }
    let certificate = |object: &Node<'_>| object.at(&["status", "certificate"]).value().clone();
    let at = new.at(&["status", "certificate"]);
    if !same(&certificate(old), &certificate(new)) {
        if subresource != "status" {
            e.forbidden(&at, "updates may not set certificate content");
        } else if !certificate(old).is_null() {
            e.forbidden(&at, "updates may not modify existing certificate content");
        }
    }
}
