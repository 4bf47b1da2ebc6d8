//! CustomResourceDefinitions (apiextensions `pkg/apis/apiextensions/validation` and `pkg/apiserver/schema`) and what is asked of
//! every custom resource. Rules and defaults are checked by who evaluates them (`structural`).
use kube_types::{is_dns1035_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::{
    custom_version::{self, Common},
    field::{Errors, Node},
};

/// The name of a definition.
pub(crate) fn name(e: &mut Errors, object: &Node<'_>) {
    let wanted = format!(
        "{}.{}",
        object.at(&["spec", "names", "plural"]).text(),
        object.at(&["spec", "group"]).text()
    );
    let name = object.at(&["metadata", "name"]);
    if !name.is_empty() && name.text() != wanted {
        e.invalid(&name, "must be spec.names.plural+\".\"+spec.group");
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
    let conversion = spec.get("conversion");
    e.one_of(&conversion.get("strategy"), &["None", "Webhook"]);
    stored_versions(e, object);
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
            let complaints = is_dns1035_label(&name.text().to_lowercase());
            if !complaints.is_empty() {
                let detail = if name.path().to_lowercase().ends_with("kind") {
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
    for list in ["shortNames", "categories"] {
        for short in names.get(list).items() {
            let complaints = is_dns1035_label(short.text());
            if !complaints.is_empty() {
                e.invalid(&short, &complaints.join(","));
            }
        }
    }
    let [_, _, kind, list] = &all;
    if !kind.is_empty() && kind.text() == list.text() {
        e.invalid(list, "kind and listKind may not be the same");
    }
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
    for (path, pointer) in fixed {
        if at(old.value(), pointer) != at(new.value(), pointer) {
            e.invalid(&new.at(&path), "field is immutable");
        }
    }
}
