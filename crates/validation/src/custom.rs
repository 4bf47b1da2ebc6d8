//! CustomResourceDefinitions (apiextensions `pkg/apis/apiextensions/validation` and `pkg/apiserver/schema`) and what is asked of
//! every custom resource. Expressions are not compiled, and defaults not held against their schema.
use kube_types::{is_dns1035_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::field::{Errors, Node};

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
    for version in &items {
        let name = version.get("name");
        let complaints = is_dns1035_label(name.text());
        if !complaints.is_empty() {
            e.invalid(&name, &complaints.join(","));
        }
        let parts = Parts::of(version, &items);
        self::version(e, version, &parts);
    }
    let repeated = |at: usize| {
        items[..at]
            .iter()
            .any(|v| v.get("name").text() == items[at].get("name").text())
    };
    if (0..items.len()).any(repeated) {
        e.invalid(&versions, "must contain unique version names");
    }
    if items.iter().filter(|v| v.get("storage").is_true()).count() != 1 {
        e.invalid(
            &versions,
            "must have exactly one version marked as storage version",
        );
    }
    names(e, &spec.get("names"));
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
    for version in versions.iter().filter(|v| v.get("storage").is_true()) {
        let name = version.get("name").text();
        if !stored.items().iter().any(|s| s.text() == name) {
            e.invalid(&stored, &format!("must have the storage version {name}"));
        }
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

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 10] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "name",
    "password",
    "string",
];

/// Where the parts of a version are said to be: what all versions have in common is, in the internal type, the definition's own
/// (`pkg/apis/apiextensions/v1/conversion.go`).
struct Parts<'a> {
    schema: Node<'a>,
    scale: Node<'a>,
    columns: Node<'a>,
}

impl<'a> Parts<'a> {
    fn of(version: &Node<'a>, all: &[Node<'a>]) -> Self {
        let common = |field: &str| {
            all.iter()
                .all(|v| v.get(field).value() == version.get(field).value())
        };
        let place =
            |node: Node<'a>, field: &str, path: &str| if common(field) { node.renamed(path) } else { node };
        Self {
            schema: place(
                version.at(&["schema", "openAPIV3Schema"]),
                "schema",
                "spec.validation.openAPIV3Schema",
            ),
            scale: place(
                version.at(&["subresources", "scale"]),
                "subresources",
                "spec.subresources.scale",
            ),
            columns: place(
                version.get("additionalPrinterColumns"),
                "additionalPrinterColumns",
                "spec.additionalPrinterColumns",
            ),
        }
    }
}

fn version(e: &mut Errors, version: &Node<'_>, parts: &Parts<'_>) {
    let warning = version.get("deprecationWarning");
    if warning.present() && !version.get("deprecated").is_true() {
        e.invalid(&warning, "can only be set for deprecated versions");
    }
    let schema = &parts.schema;
    if schema.present() {
        if schema.get("type").is_empty() {
            e.required(&schema.get("type"), "must not be empty at the root");
        } else if schema.get("type").text() != "object" {
            e.invalid(&schema.get("type"), "must be object at the root");
        }
        structural(e, schema, true);
    }
    let scale = &parts.scale;
    if scale.present() {
        for (field, root) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
            let path = scale.get(field);
            if path.is_empty() {
                e.required(&path, "");
            } else if !path.text().starts_with(root) {
                e.invalid(
                    &path,
                    &format!("should be a json path under {}", root.trim_end_matches('.')),
                );
            }
        }
    }
    for column in parts.columns.items() {
        if column.get("name").is_empty() {
            e.required(&column.get("name"), "");
        }
        let kind = column.get("type");
        if kind.is_empty() {
            e.required(&kind, &format!("must be one of {}", COLUMN_TYPES.join(",")));
        } else if !COLUMN_TYPES.contains(&kind.text()) {
            e.invalid(&kind, &format!("must be one of {}", COLUMN_TYPES.join(",")));
        }
        let format = column.get("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
            e.invalid(&format, &format!("must be one of {}", COLUMN_FORMATS.join(",")));
        }
        if column.get("jsonPath").is_empty() {
            e.required(&column.get("jsonPath"), "");
        }
    }
}

/// Every field and every element has a type, unless it says that anything goes.
fn structural(e: &mut Errors, schema: &Node<'_>, root: bool) {
    let free = |s: &Node<'_>| {
        s.get("x-kubernetes-int-or-string").is_true()
            || s.get("x-kubernetes-preserve-unknown-fields").is_true()
    };
    if !root && schema.get("type").is_empty() && !free(schema) {
        let detail = if schema.path().ends_with(".items") {
            "must not be empty for specified array items"
        } else {
            "must not be empty for specified object fields"
        };
        e.required(&schema.get("type"), detail);
    }
    let kind = schema.get("type");
    let known = ["array", "boolean", "integer", "number", "object", "string"];
    if !kind.is_empty() && !known.contains(&kind.text()) {
        e.unsupported(&kind, &known);
    }
    if kind.text() == "array" && !schema.get("items").present() {
        e.required(&schema.get("items"), "must be specified");
    }
    for (_, property) in schema.get("properties").entries() {
        structural(e, &property, false);
    }
    for below in ["items", "additionalProperties"] {
        let below = schema.get(below);
        if below.value().is_object() {
            structural(e, &below, false);
        }
    }
    let list = schema.get("x-kubernetes-list-type");
    if !list.is_empty() && kind.text() != "array" {
        e.invalid(&list, "must be array if x-kubernetes-list-type is specified");
    }
    e.maybe_one_of(&list, &["atomic", "map", "set"]);
    let keys = schema.get("x-kubernetes-list-map-keys");
    if list.text() == "map" && keys.is_empty() {
        e.required(&keys, "must not be empty if x-kubernetes-list-type is map");
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
