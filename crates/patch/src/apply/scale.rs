//! The `scale` subresource: only the replicas change hands (apimachinery `managedfields/scalehandler.go`).
use serde_json::Value;

use super::{
    Manager, apply,
    element::Element,
    managed::{self, Id, Managers, Owned},
    set::Set,
};
use crate::error::PatchError;

const DEFINITION: &str = "io.k8s.api.autoscaling.v1.Scale";
const API_VERSION: &str = "autoscaling/v1";

/// Server-side apply of the Scale of an object: the new Scale, without managed fields, and those of the object.
///
/// `scale` is what the object's is now, `replicas` where the object has the number, and `manager` who writes the object.
pub fn apply_scale(
    object: &Value,
    scale: &Value,
    replicas: &[&str],
    applied: &Value,
    manager: &Manager<'_>,
    force: bool,
) -> Result<(Value, Value), PatchError> {
    let malformed = |e| PatchError::Malformed(format!("failed to decode managed fields: {e}"));
    let parents = managed::decode(object.pointer("/metadata/managedFields")).map_err(malformed)?;
    let path: Vec<Element> = replicas.iter().map(|name| Element::field(name)).collect();
    let mut live = scale.clone();
    managed::encode(&to_scale(&parents, &path), &mut live);
    let scaler = Manager {
        api_version: API_VERSION,
        subresource: "scale",
        ..*manager
    };
    let mut new = apply(DEFINITION, Some(&live), applied, &scaler, force)?;
    let owners = managed::decode(managed::take(&mut new).as_ref()).map_err(malformed)?;
    let mut holder = Value::Object(serde_json::Map::new());
    let entries = to_object(parents, owners, &path, manager.api_version);
    managed::encode_all(entries.iter().map(|(id, owned)| (id, owned)), &mut holder);
    let entries = managed::take(&mut holder).unwrap_or_default();
    Ok((new, entries))
}

/// Those who own the replicas, as owners of a Scale.
fn to_scale(parents: &Managers, path: &[Element]) -> Managers {
    let owners = parents.iter().filter(|(_, owned)| owned.set.has(path));
    owners
        .map(|(id, owned)| {
            let id = Id {
                api_version: if id.applied {
                    String::new()
                } else {
                    API_VERSION.to_owned()
                },
                ..id.clone()
            };
            let mut set = Set::default();
            set.insert(&[Element::field("spec"), Element::field("replicas")]);
            let owned = Owned {
                api_version: API_VERSION.to_owned(),
                set,
                time: owned.time.clone(),
            };
            (id, owned)
        })
        .collect()
}

/// The owners of a Scale, as owners of the object, beside those that it has. Who owns replicas and more by ordinary writes is there
/// twice, since it writes one version as the owner of a Scale and another as that of the object: until somebody reads the
/// entries, and the later one stands.
fn to_object(
    parents: Managers,
    mut owners: Managers,
    path: &[Element],
    api_version: &str,
) -> Vec<(Id, Owned)> {
    let mut field = Set::default();
    field.insert(path);
    let mut entries = Vec::new();
    for (id, mut owned) in parents {
        // An applier who still owns them keeps its entry as it is.
        if owned.set.has(path) && owners.remove(&id).is_none() {
            owned.set = owned.set.difference(&field);
        }
        if !owned.set.is_empty() {
            entries.push((id, owned));
        }
    }
    let replicas = [Element::field("spec"), Element::field("replicas")];
    let owners = owners.into_iter().filter(|(_, owned)| owned.set.has(&replicas));
    entries.extend(owners.map(|(id, _)| {
        let id = Id {
            api_version: if id.applied {
                String::new()
            } else {
                api_version.to_owned()
            },
            ..id
        };
        let owned = Owned {
            api_version: api_version.to_owned(),
            set: field.clone(),
            time: None,
        };
        (id, owned)
    }));
    entries
}

/// As [`super::track_update`], of a write to `scale`: of one to the replicas of the parent, which are at this path.
///
/// Four things follow from how upstream does it and are kept: an object whose replicas nobody owns is not tracked; a write of the same
/// number takes the field from those who own it by an ordinary write of the parent; `Scale` leaves out zero replicas, so that
/// scaling to zero takes the field from its owner and gives it to nobody; and the time of a new entry is lost on the way to the
/// parent.
pub fn track_scale(old: &Value, new: &mut Value, replicas: &[&str], manager: &Manager<'_>) {
    managed::take(new);
    let mut managers = managed::decode(old.pointer("/metadata/managedFields")).unwrap_or_default();
    if managers.is_empty() {
        return;
    }
    update(old, new, replicas, &mut managers, &Id::updater(manager));
    managed::cap(&mut managers);
    managed::encode(&managers, new);
}

fn update(old: &Value, new: &Value, replicas: &[&str], managers: &mut Managers, manager: &Id) {
    let path: Vec<Element> = replicas.iter().map(|name| Element::field(name)).collect();
    let pointer = format!("/{}", replicas.join("/"));
    let replicas = |object: &Value| object.pointer(&pointer).and_then(Value::as_i64).unwrap_or(0);
    if !managers.values().any(|owned| owned.set.has(&path)) {
        return;
    }
    let mut field = Set::default();
    field.insert(&path);
    let changed = replicas(old) != replicas(new);
    for (id, owned) in managers.iter_mut() {
        if changed || !(id.applied || id.subresource == "scale") {
            owned.set = owned.set.difference(&field);
        }
    }
    if changed && replicas(new) != 0 {
        let owned = managers.entry(manager.clone()).or_insert_with(|| Owned {
            api_version: manager.api_version.clone(),
            set: Set::default(),
            time: None,
        });
        owned.set.absorb(&field);
    }
    managers.retain(|_, owned| !owned.set.is_empty());
}
