//! Signing requests (upstream `pkg/apis/certificates/validation`). Whether a request can be read and bears its own signature is checked by who
//! can read it.
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{is_dns1123_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::{
    field::{Errors, Node, same, show},
    pem,
};

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

/// A signing request, new or as it is to be.
pub(crate) fn signing_request(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let request = spec.get("request");
    let text = STANDARD.decode(request.text()).unwrap_or_default();
    let first = pem::decode(&text).map(|(block, _)| block);
    if first.is_none_or(|block| block.label != "CERTIFICATE REQUEST") {
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

/// What was issued.
fn certificate(e: &mut Errors, node: &Node<'_>) {
    let text = STANDARD.decode(node.text()).unwrap_or_default();
    if let Err(why) = certificates(&text) {
        e.invalid_text(node, "<certificate data>", &why);
    }
}

fn certificates(text: &[u8]) -> Result<(), String> {
    let (mut rest, mut blocks) = (text, 0);
    while let Some((block, after)) = pem::decode(rest) {
        if block.label != "CERTIFICATE" {
            let label = show(&block.label.into());
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.headers > 0 {
            return Err("no PEM block headers are permitted".to_owned());
        }
        blocks += 1;
        if block.bytes.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        if !is_certificate(&block.bytes) {
            return Err("x509: malformed certificate".to_owned());
        }
        rest = after;
    }
    if blocks == 0 && !text.is_empty() {
        return Err("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    Ok(())
}

/// Whether these are sequences as long as they say. What is in them is not read.
fn is_certificate(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(whole) = element(bytes) else { return false };
        bytes = &bytes[whole..];
    }
    true
}

/// The length of the DER sequence at the beginning.
fn element(bytes: &[u8]) -> Option<usize> {
    let (&[0x30, first], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let (header, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        (2 + count, length)
    };
    let whole = header + length;
    (whole <= bytes.len()).then_some(whole)
}

const MALFORMED: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
/// The longest domain of a signer, and the longest name of one: a path has room for another domain and a label.
const LONGEST: (usize, usize) = (253, 253 + 1 + 253 + 1 + 63);

/// `ValidateSignerName` of `pkg/apis/core/validation/names.go`. Of each part only the first label that is wrong is told of.
fn signer_name(e: &mut Errors, signer: &Node<'_>) {
    if signer.is_empty() {
        return e.required(signer, "");
    }
    let (domain, path) = match signer.text().split_once('/') {
        Some((domain, path)) if !path.contains('/') => (domain, path),
        _ => return e.invalid(signer, MALFORMED),
    };
    if domain.len() > LONGEST.0 {
        e.too_long(signer, LONGEST.0);
    }
    labels(e, signer, domain, is_dns1123_label);
    if !domain.contains('.') {
        e.invalid_text(
            signer,
            domain,
            "should be a domain with at least two segments separated by dots",
        );
    }
    labels(e, signer, path, is_dns1123_subdomain);
    if signer.text().len() > LONGEST.1 {
        e.too_long(signer, LONGEST.1);
    }
}

fn labels(e: &mut Errors, signer: &Node<'_>, part: &str, complaints: fn(&str) -> Vec<String>) {
    let wrong = part.split('.').find(|label| !complaints(label).is_empty());
    if let Some(label) = wrong {
        for complaint in complaints(label) {
            let label = show(&label.into());
            e.invalid_text(signer, part, &format!("validating label {label}: {complaint}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_issued() {
        let block = |label: &str, headers: &str, bytes: &[u8]| {
            let body = STANDARD.encode(bytes);
            format!("-----BEGIN {label}-----\n{headers}{body}\n-----END {label}-----\n")
        };
        let whole = block("CERTIFICATE", "", &[0x30, 3, 2, 1, 0]);
        for (text, wrong) in [
            (String::new(), None),
            (whole.clone(), None),
            (format!("text\n{whole}{whole}text"), None),
            (
                "x".to_owned(),
                Some("must contain at least one CERTIFICATE PEM block"),
            ),
            (
                format!("{whole}{}", block("OTHER", "", &[0])),
                Some("only CERTIFICATE PEM blocks are allowed, found \"OTHER\""),
            ),
            (
                block("CERTIFICATE", "a: b\n\n", &[0x30, 0]),
                Some("no PEM block headers are permitted"),
            ),
            (
                block("CERTIFICATE", "", &[]),
                Some("found CERTIFICATE PEM block containing 0 certificates"),
            ),
            (
                block("CERTIFICATE", "", &[0, 0, 0]),
                Some("x509: malformed certificate"),
            ),
            (
                block("CERTIFICATE", "", &[0x30, 9, 0]),
                Some("x509: malformed certificate"),
            ),
        ] {
            let found = certificates(text.as_bytes()).err();
            assert_eq!(found.as_deref(), wrong, "{text}");
        }
    }
}
