//! CustomResourceDefinitions (apiextensions `pkg/apis/apiextensions/validation` and `pkg/apiserver/schema`) and what is asked of
//! every custom resource. Rules and defaults are checked by who evaluates them (`structural`).
use kube_types::{is_dns1035_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::{
    custom_version::{self, Common},
    field::{Errors, Node},
    webhook,
};

/// The name of a definition.
pub(crate) fn name(e: &mut Errors, object: &Node<'_>) {
    let wanted = format!(
        "{}.{}",
        object.at(&["spec", "names", "plural"]).text(),
        object.at(&["spec", "group"]).text()
    );
    // What a name is to begin with is held to the same (apiextensions `validation.go` ValidateCustomResourceDefinition).
    for field in ["generateName", "name"] {
        let name = object.at(&["metadata", field]);
        if !name.is_empty() && name.text() != wanted {
            e.invalid(&name, "must be spec.names.plural+\".\"+spec.group");
        }
    }
}

pub(crate) fn definition(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let group = spec.get("group");
    if group.is_empty() {
        e.required(&group, "");
    } else {
        let complaints = is_dns1123_subdomain(group.text());
        if !complaints.is_empty() {
            e.invalid(&group, &complaints.join(","));
        } else if !group.text().contains('.') {
            e.invalid(&group, "should be a domain with at least one dot");
        }
    }
    e.one_of(&spec.get("scope"), &["Cluster", "Namespaced"]);
    let versions = spec.get("versions");
    let items = versions.items();
    for version in &items {
        let schema = version.at(&["schema", "openAPIV3Schema"]);
        if !schema.present() {
            e.required(&schema, "");
        }
    }
    let open = spec.get("preserveUnknownFields");
    if open.is_true()
        && items
            .iter()
            .any(|v| has_defaults(v.at(&["schema", "openAPIV3Schema"]).value()))
    {
        e.invalid(&open, "must be false in order to use defaults in the schema");
    }
    let common = Common::of(&items);
    for version in &items {
        let name = version.get("name");
        let complaints = is_dns1035_label(name.text());
        if !complaints.is_empty() {
            e.invalid(&name, &complaints.join(","));
        }
        custom_version::version(e, version, &common);
    }
    let repeated = |at: usize| {
        items[..at]
            .iter()
            .any(|v| v.get("name").text() == items[at].get("name").text())
    };
    if (0..items.len()).any(repeated) {
        e.invalid_raw(
            &versions,
            &common.show(&versions),
            "must contain unique version names",
        );
    }
    if items.iter().filter(|v| v.get("storage").is_true()).count() != 1 {
        e.invalid_raw(
            &versions,
            &common.show(&versions),
            "must have exactly one version marked as storage version",
        );
    }
    // The version of the old API is the first of the list.
    if let Some(first) = items
        .first()
        .map(|v| v.get("name"))
        .filter(|name| !name.is_empty())
    {
        let complaints = is_dns1035_label(first.text());
        if !complaints.is_empty() {
            e.invalid(&first.renamed("spec.version"), &complaints.join(","));
        }
    }
    names(e, &spec.get("names"));
    custom_version::shared(e, &items, &common);
    let strategy = spec.at(&["conversion", "strategy"]);
    if open.is_true() && strategy.text() != "None" {
        e.invalid(&strategy, "must be None if spec.preserveUnknownFields is true");
    }
    conversion(e, &spec.get("conversion"));
    stored_versions(e, object);
}

/// Of the first version of the API, and no longer to be had; who has it may keep it (validatePreserveUnknownFields).
pub(crate) fn preserved(e: &mut Errors, object: &Node<'_>, old: Option<&Node<'_>>) {
    let open = |object: &Node<'_>| object.at(&["spec", "preserveUnknownFields"]).is_true();
    if open(object) && !old.is_some_and(open) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        e.invalid(&object.at(&["spec", "preserveUnknownFields"]), detail);
    }
}

/// Whether a schema has a default anywhere.
fn has_defaults(schema: &Value) -> bool {
    let Some(fields) = schema.as_object() else {
        return schema
            .as_array()
            .is_some_and(|list| list.iter().any(has_defaults));
    };
    fields.iter().any(|(field, below)| match field.as_str() {
        "default" => !below.is_null(),
        "properties" => below.as_object().is_some_and(|p| p.values().any(has_defaults)),
        "items" | "additionalProperties" | "allOf" | "anyOf" | "oneOf" | "not" => has_defaults(below),
        _ => false,
    })
}

/// Who converts, if anybody does. Fields have the names of the old API.
fn conversion(e: &mut Errors, conversion: &Node<'_>) {
    let strategy = conversion.get("strategy");
    e.one_of(&strategy, &["None", "Webhook"]);
    let webhook = conversion.get("webhook");
    let client = webhook
        .get("clientConfig")
        .renamed("spec.conversion.webhookClientConfig");
    let versions = webhook
        .get("conversionReviewVersions")
        .renamed("spec.conversion.conversionReviewVersions");
    if strategy.text() != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        for set in [&client, &versions] {
            if set.present() && !(set.value().is_array() && set.is_empty()) {
                e.forbidden(set, detail);
            }
        }
        return;
    }
    if client.present() {
        webhook::client(e, &client);
    } else {
        e.required(&client, "required when strategy is set to Webhook");
    }
    if versions.is_empty() {
        return e.required(&versions, "");
    }
    let items = versions.items();
    for (at, version) in items.iter().enumerate() {
        if items[..at].iter().any(|other| other.text() == version.text()) {
            e.invalid(version, "duplicate version");
            continue;
        }
        e.complaints(version, is_dns1035_label(version.text()));
    }
    if !items
        .iter()
        .any(|version| matches!(version.text(), "v1" | "v1beta1"))
    {
        e.invalid(&versions, "must include at least one of v1, v1beta1");
    }
}

/// Groups of the community need an approval (`pkg/apihelpers/helpers.go` GetAPIApprovalState), which is asked for when it changes.
pub(crate) fn approval(e: &mut Errors, object: &Node<'_>, old: Option<&Node<'_>>) {
    const APPROVED: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = object.at(&["spec", "group"]);
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group
            .text()
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    // What is wrong with it, if anything.
    let state = |object: &Node<'_>| {
        let approval = object.at(&["metadata", "annotations"]).key(APPROVED);
        let is_url = approval.text().split_once("://").is_some_and(|(scheme, rest)| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(fits)
                && !rest.is_empty()
                && !rest.starts_with('/')
                && !rest.contains(|c: char| c.is_ascii_control() || c == ' ')
        });
        if approval.is_empty() {
            Some("missing")
        } else if approval.text().starts_with("unapproved") {
            Some("bypassed")
        } else {
            (!is_url).then_some("invalid")
        }
    };
    let now = state(object);
    if !protected || old.is_some_and(|old| state(old) == now) {
        return;
    }
    let approval = object.at(&["metadata", "annotations"]).key(APPROVED);
    match now {
        Some("missing") => {
            let detail = format!("protected groups must have approval annotation \"{APPROVED}\", {SEE}");
            e.required(&approval, &detail);
        }
        Some("invalid") => {
            let detail = format!(
                "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            );
            e.invalid(&approval, &detail);
        }
        _ => {}
    }
}

fn names(e: &mut Errors, names: &Node<'_>) {
    let all = ["plural", "singular", "kind", "listKind"].map(|field| names.get(field));
    for name in &all {
        if name.is_empty() {
            e.required(name, "");
        }
    }
    accepted_names(e, names);
}

/// The names themselves, as far as there are any.
pub(crate) fn accepted_names(e: &mut Errors, names: &Node<'_>) {
    let all = ["plural", "singular", "kind", "listKind"].map(|field| names.get(field));
    for name in &all {
        if !name.is_empty() {
            let is_kind = name.path().to_lowercase().ends_with("kind");
            let complaints = if is_kind {
                is_dns1035_label(&name.text().to_lowercase())
            } else {
                is_dns1035_label(name.text())
            };
            if !complaints.is_empty() {
                let detail = if is_kind {
                    format!(
                        "may have mixed case, but should otherwise match: {}",
                        complaints.join(",")
                    )
                } else {
                    complaints.join(",")
                };
                e.invalid(name, &detail);
            }
        }
    }
    let words = |list: &str, e: &mut Errors| {
        for word in names.get(list).items() {
            let complaints = is_dns1035_label(word.text());
            if !complaints.is_empty() {
                e.invalid(&word, &complaints.join(","));
            }
        }
    };
    words("shortNames", e);
    let [_, _, kind, list] = &all;
    if !kind.is_empty() && kind.text() == list.text() {
        e.invalid(list, "kind and listKind may not be the same");
    }
    words("categories", e);
}

fn stored_versions(e: &mut Errors, object: &Node<'_>) {
    let stored = object.at(&["status", "storedVersions"]);
    let versions = object.at(&["spec", "versions"]).items();
    if stored.is_empty() {
        return e.invalid_raw(&stored, "null", "must have at least one stored version");
    }
    let known = |name: &str| versions.iter().any(|v| v.get("name").text() == name);
    let mut seen = Vec::new();
    for version in &versions {
        let name = version.get("name").text();
        // A name that is there twice is found once.
        let missing = !stored.items().iter().any(|s| s.text() == name) || seen.contains(&name);
        if missing && version.get("storage").is_true() {
            e.invalid(&stored, &format!("must have the storage version {name}"));
        }
        seen.push(name);
    }
    for name in stored.items().iter().filter(|s| !known(s.text())) {
        let version = name.text();
        e.invalid(
            name,
            &format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a \
                 storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            ),
        );
    }
}

/// A changed definition: what other objects depend on stays.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let at = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let established = old
        .at(&["status", "conditions"])
        .items()
        .iter()
        .any(|c| c.get("type").text() == "Established" && c.get("status").text() == "True");
    let mut fixed = vec![(vec!["spec", "group"], "/spec/group")];
    if established {
        fixed.push((vec!["spec", "scope"], "/spec/scope"));
        fixed.push((vec!["spec", "names", "kind"], "/spec/names/kind"));
    }
    fixed.push((vec!["spec", "names", "plural"], "/spec/names/plural"));
    definition(e, new);
    approval(e, new, Some(old));
    preserved(e, new, Some(old));
    for (path, pointer) in fixed {
        if at(old.value(), pointer) != at(new.value(), pointer) {
            e.invalid(&new.at(&path), "field is immutable");
        }
    }
}
