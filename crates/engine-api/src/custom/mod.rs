//! Custom resources: kinds that clients define (apiextensions-apiserver of 1.36).
//!
//! A definition is an object like others; [`Customs`] holds the kinds that the stored ones make, `body` does to their objects what
//! schema, defaults and validation do to built-in kinds, `establish` answers definitions with their status and empties those that
//! are deleted. Versions differ by name only, or are turned into one another by a webhook (`conversion`).
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use engine_store::Store;
use schema::{KindInfo, Subresource};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::json::{list, text};

mod body;
mod conversion;
mod embedded;
mod establish;
mod names;

pub use body::{causes, deprecation, finish, oddly_asked, rule_causes, undeclared};
pub use establish::{begin_deletion, check_create, run};

/// Where definitions are stored.
pub const PREFIX: &str = "customresourcedefinitions.apiextensions.k8s.io/";

/// What the names of their definitions begin with: no OpenAPI definition does.
const MARK: &str = "custom/";

/// A version of a custom kind.
pub struct Custom {
    /// As discovery and the registry know it.
    pub kind: &'static KindInfo,
    /// The kind of its lists.
    pub list_kind: String,
    /// The version as the definition has it.
    pub version: Value,
    /// Its columns after the name.
    pub columns: Vec<structural::Column>,
    /// Fields that selectors may name.
    pub selectable: &'static [&'static str],
    /// What its schema says in CEL.
    pub rules: Option<structural::Rules>,
    /// The version that its objects are stored in.
    pub stored: String,
    /// The version to use instead of a deprecated one.
    pub instead: Option<String>,
    /// Who turns its versions into one another, if they differ by more than their names.
    pub conversion: Option<conversion::Conversion>,
    /// Differs whenever the definition does.
    pub state: String,
}

impl Custom {
    /// The schema of whole objects.
    pub fn schema(&self) -> &Value {
        &self.version["schema"]["openAPIV3Schema"]
    }

    /// As OpenAPI documents describe it.
    pub fn described(&self) -> schema::CustomKind<'_> {
        schema::CustomKind {
            kind: self.kind,
            list_kind: &self.list_kind,
            schema: self.schema(),
        }
    }

    /// Where `scale` finds replicas wanted, replicas there, and the selector, as JSON pointers.
    pub fn scale(&self) -> [String; 3] {
        let scale = &self.version["subresources"]["scale"];
        ["specReplicasPath", "statusReplicasPath", "labelSelectorPath"]
            .map(|field| scale[field].as_str().unwrap_or_default().replace('.', "/"))
    }
}

/// What is served now, of all servers in this process, by the names of the definitions.
static KNOWN: RwLock<BTreeMap<&'static str, Arc<Custom>>> = RwLock::new(BTreeMap::new());

/// The custom kind behind a kind, unless it is built in or its definition is gone.
pub fn of(kind: &KindInfo) -> Option<Arc<Custom>> {
    if !kind.definition.starts_with(MARK) {
        return None;
    }
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.get(kind.definition).cloned()
}

/// Calls with what says how objects of a kind are owned and merged.
pub fn with_typing<T>(kind: &KindInfo, then: impl FnOnce(patch::Typing<'_>) -> T) -> T {
    match of(kind) {
        None => then(kind.definition.into()),
        Some(custom) => then(patch::Typing::Structural {
            schema: custom.schema(),
            has_status: kind.subresources.contains(&"status"),
        }),
    }
}

/// Whether the kind is custom.
pub fn is(kind: &KindInfo) -> bool {
    kind.definition.starts_with(MARK)
}

fn keep(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn keep_all(texts: &[Value]) -> &'static [&'static str] {
    let all: Vec<&'static str> = texts.iter().filter_map(Value::as_str).map(keep).collect();
    Box::leak(all.into_boxed_slice())
}

const VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// The part of a version that is referred to as built-in kinds are: for the life of the process.
struct Shape {
    kind: KindInfo,
    selectable: &'static [&'static str],
}

/// Shapes by what they were made of. A definition that is changed, or deleted and created again, mostly has its old one; the new
/// ones cost half a kilobyte each, and stay.
static SHAPES: Mutex<BTreeMap<String, &'static Shape>> = Mutex::new(BTreeMap::new());

fn shape(known_as: &str, (spec, names): (&Value, &Value), version: &Value) -> &'static Shape {
    let has = |subresource: &str| version["subresources"][subresource].is_object();
    let fields = &version["selectableFields"];
    let made_of = json!([
        known_as,
        names,
        spec["scope"],
        has("status"),
        has("scale"),
        fields
    ])
    .to_string();
    let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = shapes.get(&made_of) {
        return known;
    }
    let (group, kind) = (keep(text(spec, "/group")), keep(text(names, "/kind")));
    let version_name = keep(text(version, "/name"));
    let possible = [
        ("status", group, kind, version_name),
        ("scale", "autoscaling", "Scale", "v1"),
    ];
    let table: Vec<Subresource> = possible
        .into_iter()
        .filter(|(name, ..)| has(name))
        .map(|(name, group, kind, version)| Subresource {
            name,
            group,
            version,
            kind,
            verbs: &["get", "patch", "update"],
        })
        .collect();
    let subresources: Vec<&'static str> = table.iter().map(|s| s.name).collect();
    let selectable: Vec<Value> = list(version, "/selectableFields")
        .iter()
        .map(|f| text(f, "/jsonPath").trim_start_matches('.').into())
        .collect();
    let shape: &'static Shape = Box::leak(Box::new(Shape {
        kind: KindInfo {
            group,
            version: version_name,
            kind,
            plural: keep(text(names, "/plural")),
            singular: keep(text(names, "/singular")),
            short_names: keep_all(list(names, "/shortNames")),
            categories: keep_all(list(names, "/categories")),
            namespaced: text(spec, "/scope") == "Namespaced",
            subresources: Box::leak(subresources.into_boxed_slice()),
            subresource_table: Box::leak(table.into_boxed_slice()),
            verbs: VERBS,
            definition: keep(known_as),
        },
        selectable: keep_all(&selectable),
    }));
    shapes.insert(made_of, shape);
    shape
}

/// The custom kinds that one server serves now.
pub struct Customs {
    all: RwLock<Vec<Arc<Custom>>>,
    /// An object of a custom kind is gone.
    pub removed: Notify,
    /// Tells its kinds from those of other servers in this process.
    server: u32,
}

impl Default for Customs {
    fn default() -> Self {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        Customs {
            all: RwLock::default(),
            removed: Notify::default(),
            server: SERVERS.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Customs {
    /// All of them.
    pub fn all(&self) -> Vec<Arc<Custom>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The kind served at this group, version and plural.
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|custom| custom.kind)
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// Read the definitions again.
    pub fn refresh(&self, store: &Store) {
        // From before the definitions are read: who reads later must not be overtaken.
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut served = Vec::new();
        let definitions = store.list(PREFIX).items;
        for stored in &definitions {
            if !names::is_served(&stored.value(), &names::Used::of(&stored.value(), &definitions)) {
                continue;
            }
            for version in list(&stored.value(), "/spec/versions") {
                if version["served"] == true {
                    served.push(self.custom(&all, &stored.value(), version));
                }
            }
        }
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        for old in all.iter() {
            known.remove(old.kind.definition);
        }
        for custom in &served {
            known.insert(custom.kind.definition, Arc::clone(custom));
        }
        *all = served;
    }

    /// One version of a definition; the one that is there already if the definition is as it was.
    fn custom(&self, there: &[Arc<Custom>], definition: &Value, version: &Value) -> Arc<Custom> {
        let (uid, name) = (text(definition, "/metadata/uid"), text(version, "/name"));
        let names = names::names(definition);
        let refused = if names::is_refused(definition) {
            names.to_string()
        } else {
            String::new()
        };
        let generation = &definition["metadata"]["generation"];
        let state = format!("{uid}-{generation}-{name}{refused}");
        if let Some(same) = there.iter().find(|c| c.state == state) {
            return Arc::clone(same);
        }
        let spec = &definition["spec"];
        let of = text(definition, "/metadata/name");
        let shape = shape(
            &format!("{MARK}{}/{of}/{name}", self.server),
            (spec, names),
            version,
        );
        Arc::new(Custom {
            kind: &shape.kind,
            list_kind: text(names, "/listKind").to_owned(),
            version: version.clone(),
            stored: list(spec, "/versions")
                .iter()
                .find(|v| v["storage"] == true)
                .map(|v| text(v, "/name").to_owned())
                .unwrap_or_default(),
            instead: body::instead(spec, name),
            conversion: conversion::Conversion::of(spec),
            rules: structural::Rules::of(&version["schema"]["openAPIV3Schema"]),
            columns: structural::columns(version),
            selectable: shape.selectable,
            state,
        })
    }
}

impl Drop for Customs {
    fn drop(&mut self) {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        for custom in self.all.get_mut().unwrap_or_else(PoisonError::into_inner) {
            known.remove(custom.kind.definition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_changes_leaves_nothing_behind_unless_its_names_change() {
        let spec =
            json!({"group": "example.com", "scope": "Cluster", "names": {"plural": "tabs", "kind": "Tab"}});
        let version = |properties: Value| json!({"name": "v1", "schema": {"openAPIV3Schema": {"properties": properties}}});
        let first = shape("custom/test", (&spec, &spec["names"]), &version(json!({})));
        for i in 0..100 {
            let changed = shape(
                "custom/test",
                (&spec, &spec["names"]),
                &version(json!({"a": {"maxLength": i}})),
            );
            assert!(std::ptr::eq(first, changed));
        }
        let renamed = json!({"group": "example.com", "scope": "Cluster", "names": {"plural": "tabs", "kind": "Tab", "singular": "tab"}});
        let other = shape("custom/test", (&renamed, &renamed["names"]), &version(json!({})));
        assert_eq!((first.kind.singular, other.kind.singular), ("", "tab"));
    }
}
