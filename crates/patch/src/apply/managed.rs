//! `metadata.managedFields`: reading, writing, order and number of the entries
//! (apimachinery `managedfields/internal/{managedfields,capmanagers}.go`).
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Manager, set::Set};

/// As many entries of ordinary writes are kept; older ones are merged.
const MAX_UPDATERS: usize = 10;

/// Who an entry belongs to. The order is that in which upstream prints conflicts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) name: String,
    /// Whether by server-side apply.
    pub(crate) applied: bool,
    /// Empty for appliers, so that one who applies another version is still the same.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl Id {
    pub(crate) fn updater(manager: &Manager<'_>) -> Self {
        Self {
            api_version: manager.api_version.to_owned(),
            applied: false,
            ..Self::applier(manager)
        }
    }

    pub(crate) fn applier(manager: &Manager<'_>) -> Self {
        Self {
            name: if manager.name.is_empty() {
                "unknown"
            } else {
                manager.name
            }
            .to_owned(),
            applied: true,
            api_version: String::new(),
            subresource: manager.subresource.to_owned(),
        }
    }
}

impl std::fmt::Display for Id {
    /// As a conflict names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Value::from(self.name.as_str()))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", Value::from(self.subresource.as_str()))?;
        }
        if !self.applied {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Owned {
    pub(crate) api_version: String,
    pub(crate) set: Set,
    pub(crate) time: Option<String>,
}

/// All managers of an object.
pub(crate) type Managers = BTreeMap<Id, Owned>;

/// Take `metadata.managedFields` out of an object.
pub(crate) fn take(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")
}

/// Read entries.
pub(crate) fn decode(entries: Option<&Value>) -> Result<Managers, String> {
    let mut managers = Managers::new();
    for (n, entry) in entries
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let text = |name: &str| {
            entry
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let applied = match text("operation").as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType").as_str() {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {n}")),
            other => {
                return Err(format!(
                    "invalid fieldsType \"{other}\" in managed fields entry {n}"
                ));
            }
        }
        let set = match entry.get("fieldsV1") {
            Some(fields) => Set::from_fields(fields)?,
            None => Set::default(),
        };
        let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
        let id = Id {
            name: text("manager"),
            applied,
            api_version: if applied {
                String::new()
            } else {
                api_version.clone()
            },
            subresource: text("subresource"),
        };
        managers.insert(
            id,
            Owned {
                api_version,
                set,
                time,
            },
        );
    }
    Ok(managers)
}

/// Write entries: appliers first, then by time, name, version and subresource.
pub(crate) fn encode(managers: &Managers, object: &mut Value) {
    encode_all(managers.iter(), object);
}

/// The same of entries of which several may have one name.
pub(crate) fn encode_all<'m>(entries: impl Iterator<Item = (&'m Id, &'m Owned)>, object: &mut Value) {
    let mut sorted: Vec<_> = entries.collect();
    sorted.sort_by_key(|(id, owned)| {
        (
            !id.applied,
            owned.time.clone(),
            id.name.clone(),
            owned.api_version.clone(),
            id.subresource.clone(),
        )
    });
    let entries: Vec<Value> = sorted
        .into_iter()
        .map(|(id, owned)| {
            let mut entry = Map::new();
            entry.insert("apiVersion".to_owned(), json!(owned.api_version));
            entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
            entry.insert("fieldsV1".to_owned(), owned.set.to_fields());
            if !id.name.is_empty() {
                entry.insert("manager".to_owned(), json!(id.name));
            }
            entry.insert(
                "operation".to_owned(),
                json!(if id.applied { "Apply" } else { "Update" }),
            );
            if !id.subresource.is_empty() {
                entry.insert("subresource".to_owned(), json!(id.subresource));
            }
            if let Some(time) = &owned.time {
                entry.insert("time".to_owned(), json!(time));
            }
            Value::Object(entry)
        })
        .collect();
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }
}

/// Merge the oldest entries of ordinary writes, version by version, until few enough are left.
pub(crate) fn cap(managers: &mut Managers) {
    let mut updaters: Vec<Id> = managers.keys().filter(|id| !id.applied).cloned().collect();
    let mut count = updaters.len();
    if count <= MAX_UPDATERS {
        return;
    }
    updaters.sort_by_key(|id| (managers[id].time.clone(), id.clone()));
    let mut first_of: BTreeMap<String, Id> = BTreeMap::new();
    for id in updaters {
        if count <= MAX_UPDATERS {
            return;
        }
        let version = managers[&id].api_version.clone();
        let Some(first) = first_of.get(&version) else {
            first_of.insert(version, id);
            continue;
        };
        let bucket = Id {
            name: "ancient-changes".to_owned(),
            applied: false,
            api_version: version,
            subresource: String::new(),
        };
        if !managers.contains_key(&bucket)
            && let Some(owned) = managers.remove(first)
        {
            managers.insert(bucket.clone(), owned);
        }
        if bucket == id {
            continue;
        }
        if let (Some(merged), Some(bucket)) = (managers.remove(&id), managers.get_mut(&bucket)) {
            bucket.set.absorb(&merged.set);
            bucket.time = merged.time;
            count -= 1;
        }
    }
}
