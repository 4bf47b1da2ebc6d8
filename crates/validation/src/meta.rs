//! `metadata`, labels and selectors (apimachinery `api/validation/objectmeta.go`, `apis/meta/v1/validation`).
use std::net::IpAddr;

use kube_types::{is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name, regex_message};
use serde_json::Value;

use crate::field::{Errors, Node};

/// How the objects of a kind may be named.
#[derive(Clone, Copy)]
pub(crate) enum NameRule {
    /// RFC 1123 label.
    Label,
    /// RFC 1123 subdomain.
    Subdomain,
    /// Anything that fits into one segment of a path.
    Segment,
    /// An IP address in its canonical form.
    Address,
    /// Any: what a path cannot hold is refused later.
    Free,
}

/// What is asked of a kind's metadata.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) namespaced: bool,
    pub(crate) name: NameRule,
    /// What names are generated from is checked, too (it is not by `ValidateObjectMetaWithOpts`).
    pub(crate) prefix: bool,
    /// Finalizers are standard or qualified by a domain (core's own `ValidateObjectMeta` adds that to apimachinery's).
    pub(crate) finalizers: bool,
}

impl NameRule {
    fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Label => is_dns1123_label(name),
            Self::Subdomain => is_dns1123_subdomain(name),
            Self::Segment => path_segment(name),
            Self::Address => canonical_address(name),
            Self::Free => Vec::new(),
        }
    }
}

/// What is wrong with an address (apimachinery `util/validation/ip.go` IsValidIP).
fn canonical_address(text: &str) -> Vec<String> {
    let told = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            "must not be an IPv4-mapped IPv6 address".to_owned()
        }
        Ok(ip) if ip.to_string() == text => return Vec::new(),
        Ok(ip) => format!("must be in canonical form (\"{ip}\")"),
        Err(_) if sloppy(text) => "must not have leading 0s".to_owned(),
        Err(_) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned(),
    };
    vec![told]
}

/// Whether text is an IPv4 address but for leading zeros.
fn sloppy(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u8>().is_ok();
    parts.len() == 4 && parts.iter().all(number)
}

const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// The rules for new objects.
pub(crate) fn create(e: &mut Errors, object: &Node<'_>, rules: Rules) {
    let (meta, rule) = (object.get("metadata"), rules.name);
    let generate = meta.get("generateName");
    if !generate.is_empty() && rules.prefix {
        // A trailing dash is what generated names usually have.
        let prefix = match generate.text().strip_suffix('-') {
            Some(rest) if !rest.is_empty() => format!("{rest}a"),
            _ => generate.text().to_owned(),
        };
        e.complaints(&generate, rule.check(&prefix));
    }
    let name = meta.get("name");
    if name.is_empty() {
        e.required(&name, "name or generateName is required");
    } else {
        e.complaints(&name, rule.check(name.text()));
    }
    let namespace = meta.get("namespace");
    if rules.namespaced {
        if namespace.is_empty() {
            e.required(&namespace, "");
        } else {
            e.complaints(&namespace, is_dns1123_label(namespace.text()));
        }
    } else if !namespace.is_empty() {
        e.forbidden(&namespace, "not allowed on this type");
    }
    e.non_negative(&meta.get("generation"));
    common(e, &meta);
    if rules.finalizers {
        standard_finalizers(e, &meta.get("finalizers"));
    }
}

fn standard_finalizers(e: &mut Errors, finalizers: &Node<'_>) {
    for finalizer in finalizers.items() {
        let standard = ["kubernetes", "orphan", "foregroundDeletion"];
        if !finalizer.text().contains('/') && !standard.contains(&finalizer.text()) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            e.invalid_text(&finalizer, finalizer.text(), detail);
        }
    }
}

/// The rules for changed objects.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>, rules: Rules) {
    let (old, new) = (old.get("metadata"), new.get("metadata"));
    if old.get("deletionTimestamp").present() {
        let before: Vec<_> = old.get("finalizers").items().iter().map(Node::text).collect();
        let finalizers = new.get("finalizers");
        let mut added: Vec<_> = finalizers
            .items()
            .iter()
            .map(Node::text)
            .filter(|f| !before.contains(f))
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let list: Vec<_> = added.iter().map(|f| format!("{f:?}")).collect();
            e.forbidden(
                &finalizers,
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    list.join(", ")
                ),
            );
        }
    }
    let version = new.get("resourceVersion");
    if version.is_empty() {
        e.invalid_text(&version, "", "must be specified for an update");
    }
    let generation = new.get("generation");
    if generation.int().unwrap_or(0) < old.get("generation").int().unwrap_or(0) {
        e.invalid_value(
            &generation,
            &generation.int().unwrap_or(0).into(),
            "must not be decremented",
        );
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        e.immutable(&new.get(field), &old.get(field));
    }
    common(e, &new);
    if rules.finalizers {
        standard_finalizers(e, &new.get("finalizers"));
    }
}

fn common(e: &mut Errors, meta: &Node<'_>) {
    labels(e, &meta.get("labels"));
    annotations(e, &meta.get("annotations"));
    owners(e, &meta.get("ownerReferences"));
    let finalizers = meta.get("finalizers");
    for finalizer in finalizers.items() {
        for complaint in is_qualified_name(finalizer.text()) {
            e.invalid_value(&finalizers, finalizer.value(), &complaint);
        }
    }
    let has = |name: &str| finalizers.items().iter().any(|f| f.text() == name);
    if has("orphan") && has("foregroundDeletion") {
        e.invalid(
            &finalizers,
            "finalizer orphan and foregroundDeletion cannot be both set",
        );
    }
    for (at, entry) in meta.get("managedFields").items().iter().enumerate() {
        let operation = entry.get("operation");
        if !matches!(operation.text(), "Apply" | "Update") {
            e.invalid_text(&operation, operation.text(), "must be `Apply` or `Update`");
        }
        let kind = entry.get("fieldsType");
        if !kind.is_empty() && kind.text() != "FieldsV1" {
            e.invalid(&kind, "must be `FieldsV1`");
        }
        if entry.get("manager").len() > 128 {
            e.too_long(&meta.get("managedFields").index(at).get("manager"), 128);
        }
    }
}

/// Keys and values of labels. Complaints name the map, as upstream's do.
pub(crate) fn labels(e: &mut Errors, labels: &Node<'_>) {
    for (key, value) in labels.entries() {
        for complaint in is_qualified_name(key) {
            e.invalid_text(labels, key, &complaint);
        }
        for complaint in is_label_value(value.text()) {
            e.invalid_text(labels, value.text(), &complaint);
        }
    }
}

/// Keys and size of annotations.
pub(crate) fn annotations(e: &mut Errors, annotations: &Node<'_>) {
    let mut size = 0;
    for (key, value) in annotations.entries() {
        for complaint in is_qualified_name(&key.to_lowercase()) {
            e.invalid_text(annotations, key, &complaint);
        }
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_LIMIT {
        e.too_long(annotations, ANNOTATIONS_LIMIT);
    }
}

fn owners(e: &mut Errors, owners: &Node<'_>) {
    let mut controller: Option<String> = None;
    for owner in owners.items() {
        // Upstream gives the list's path to every one of them.
        let owner = owner.renamed(owners.path());
        let api_version = owner.get("apiVersion");
        let version = api_version.text();
        // What is no version at all is none either (`schema.FromAPIVersionAndKind`).
        if version.matches('/').count() > 1 || version.rsplit('/').next().unwrap_or_default().is_empty() {
            e.invalid_text(&api_version, api_version.text(), "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if owner.get(field).is_empty() {
                e.invalid_text(&owner.get(field), "", "must not be empty");
            }
        }
        if api_version.text() == "v1" && owner.get("kind").text() == "Event" {
            let shown = shown_owner(owner.value());
            e.invalid_raw(
                &owner,
                &shown,
                "/v1, Kind=Event is disallowed from being an owner",
            );
        }
        if owner.get("controller").is_true() {
            let current = format!("{}/{}", owner.get("kind").text(), owner.get("name").text());
            match &controller {
                Some(first) => e.invalid_raw(
                    owners,
                    &format!("[{}]", owners.items().iter().map(|o| shown_owner(o.value())).collect::<Vec<_>>().join(",")),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {current}"
                    ),
                ),
                None => controller = Some(current),
            }
        }
    }
}

/// The fields in Go's order.
fn shown_owner(owner: &Value) -> String {
    let fields = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let shown = fields
        .iter()
        .filter_map(|field| Some((field, owner.get(*field)?)));
    let shown: Vec<String> = shown.map(|(field, value)| format!("{field:?}:{value}")).collect();
    format!("{{{}}}", shown.join(","))
}

/// Fields of a template's metadata that nobody may say, with the names that upstream gives them.
const NOT_OF_TEMPLATES: [(&str, &str); 13] = [
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// The metadata that objects made from a template get (`ValidateTemplateObjectMeta` of `pkg/apis/core/validation`).
pub(crate) fn template(e: &mut Errors, meta: &Node<'_>) {
    annotations(e, &meta.get("annotations"));
    labels(e, &meta.get("labels"));
    for (field, shown) in NOT_OF_TEMPLATES {
        let node = meta.get(field);
        let zero = node.int() == Some(0) || node.value().as_str() == Some("");
        if node.present() && !zero {
            e.forbidden(&meta.get(shown), "cannot be set");
        }
    }
}

/// A label selector.
pub(crate) fn selector(e: &mut Errors, selector: &Node<'_>) {
    labels(e, &selector.get("matchLabels"));
    for requirement in selector.get("matchExpressions").items() {
        let (operator, values) = (requirement.get("operator"), requirement.get("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(
                    &values,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => e.invalid_text(&operator, other, "not a valid selector operator"),
        }
        label_name(e, &requirement.get("key"));
        for value in values.items() {
            e.complaints(&value, is_label_value(value.text()));
        }
    }
}

/// A label's key.
pub(crate) fn label_name(e: &mut Errors, key: &Node<'_>) {
    for complaint in is_qualified_name(key.text()) {
        e.invalid_text(key, key.text(), &complaint);
    }
}

/// Such as `acme.io/foo` (apimachinery `util/validation` IsDomainPrefixedPath).
pub(crate) fn domain_prefixed_path(e: &mut Errors, node: &Node<'_>) {
    if node.is_empty() {
        return e.required(node, "");
    }
    let parts = node.text().split_once('/');
    let Some((domain, path)) = parts.filter(|(domain, path)| !domain.is_empty() && !path.is_empty()) else {
        return e.invalid(node, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    for complaint in is_dns1123_subdomain(domain) {
        e.invalid_text(node, domain, &complaint);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !path.chars().all(plain) {
        let complaint = regex_message("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        e.invalid_text(node, path, &complaint);
    }
}

/// A name that may be anything but what a path gives a meaning to.
pub(crate) fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|bad| name.contains(**bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}
