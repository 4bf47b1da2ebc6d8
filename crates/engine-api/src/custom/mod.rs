//! Custom resources: kinds that clients define (apiextensions-apiserver of 1.36).
//!
//! A definition is an object like others; [`Customs`] holds the kinds that the stored ones make, `body` does to their objects what
//! schema, defaults and validation do to built-in kinds, `establish` answers definitions with their status and empties those that
//! are deleted. What a schema says as CEL rules is not evaluated, and versions are converted by name only.
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use engine_store::Store;
use schema::{KindInfo, Subresource};
use serde_json::Value;
use tokio::sync::Notify;

use crate::json::{list, text};

mod body;
mod establish;
mod openapi;

pub use body::{causes, deprecation, finish, undeclared};
pub use establish::{begin_deletion, run};
pub use openapi::document;

/// Where definitions are stored.
pub const PREFIX: &str = "customresourcedefinitions.apiextensions.k8s.io/";

/// What the names of their definitions begin with: no OpenAPI definition does.
const MARK: &str = "custom/";

/// A version of a custom kind.
pub struct Custom {
    /// As discovery and the registry know it.
    pub kind: KindInfo,
    /// The kind of its lists.
    pub list_kind: String,
    /// The version as the definition has it.
    pub version: Value,
    /// Its columns after the name.
    pub columns: Vec<structural::Column>,
    /// Fields that selectors may name.
    pub selectable: &'static [&'static str],
}

impl Custom {
    /// The schema of whole objects.
    pub fn schema(&self) -> &Value {
        &self.version["schema"]["openAPIV3Schema"]
    }

    /// Where `scale` finds replicas wanted, replicas there, and the selector, as JSON pointers.
    pub fn scale(&self) -> [String; 3] {
        let scale = &self.version["subresources"]["scale"];
        ["specReplicasPath", "statusReplicasPath", "labelSelectorPath"]
            .map(|field| scale[field].as_str().unwrap_or_default().replace('.', "/"))
    }
}

/// Kinds are referred to for the life of the process, as built-in ones are; a definition that changes leaves its old ones behind.
static KNOWN: RwLock<BTreeMap<&'static str, &'static Custom>> = RwLock::new(BTreeMap::new());

/// The custom kind behind a kind, unless it is built in.
pub fn of(kind: &KindInfo) -> Option<&'static Custom> {
    if !kind.definition.starts_with(MARK) {
        return None;
    }
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.get(kind.definition).copied()
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

/// The kind of one version of a definition: the one that is known already if the definition says the same.
fn intern(definition: &Value, version: &Value) -> &'static Custom {
    let (uid, name) = (text(definition, "/metadata/uid"), text(version, "/name"));
    let generation = &definition["metadata"]["generation"];
    let known_as = format!("{MARK}{uid}/{generation}/{name}");
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(custom) = known.get(known_as.as_str()) {
        return custom;
    }
    let known_as = keep(&known_as);
    let spec = &definition["spec"];
    let names = &spec["names"];
    let (group, kind) = (keep(text(spec, "/group")), keep(text(names, "/kind")));
    let version_name = keep(name);
    let version_has = ["status", "scale"].map(|s| {
        if version["subresources"][s].is_object() {
            s
        } else {
            ""
        }
    });
    let mut table = Vec::new();
    for (name, group, kind, version) in [
        ("status", group, kind, version_name),
        ("scale", "autoscaling", "Scale", "v1"),
    ] {
        if !version_has.contains(&name) {
            continue;
        }
        table.push(Subresource {
            name,
            group,
            version,
            kind,
            verbs: &["get", "patch", "update"],
        });
    }
    let subresources: Vec<&'static str> = table.iter().map(|s| s.name).collect();
    let paths = list(version, "/selectableFields").iter();
    let selectable: Vec<Value> = paths
        .map(|f| text(f, "/jsonPath").trim_start_matches('.').into())
        .collect();
    let custom: &'static Custom = Box::leak(Box::new(Custom {
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
            definition: known_as,
        },
        list_kind: text(names, "/listKind").to_owned(),
        version: version.clone(),
        columns: structural::columns(version),
        selectable: keep_all(&selectable),
    }));
    known.insert(known_as, custom);
    custom
}

/// The custom kinds that are served now.
#[derive(Default)]
pub struct Customs {
    all: RwLock<Vec<&'static Custom>>,
    /// An object of a custom kind is gone.
    pub removed: Notify,
}

impl Customs {
    /// All of them.
    pub fn all(&self) -> Vec<&'static Custom> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The kind served at this group, version and plural.
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|c| {
            let kind = &c.kind;
            kind.group == group && kind.version == version && kind.plural == plural
        });
        found.map(|c| &c.kind)
    }

    /// Read the definitions again.
    pub fn refresh(&self, store: &Store) {
        let mut served = Vec::new();
        for stored in store.list(PREFIX).items {
            let definition = &stored.value;
            for version in list(definition, "/spec/versions") {
                if version["served"] == true {
                    served.push(intern(definition, version));
                }
            }
        }
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = served;
    }
}
