//! The `scale` subresource: only the replicas change hands (apimachinery `managedfields/scalehandler.go`).
use serde_json::Value;

use super::{
    element::Element,
    managed::{Id, Managers, Owned},
    set::Set,
};

/// Track a write to `scale`, seen as a write of `spec.replicas` of the parent.
///
/// Four things follow from how upstream does it and are kept: an object whose replicas nobody owns is not tracked; a write of the same
/// number takes the field from those who own it by an ordinary write of the parent; `Scale` leaves out zero replicas, so that
/// scaling to zero takes the field from its owner and gives it to nobody; and the time of a new entry is lost on the way to the
/// parent.
pub(crate) fn update(old: &Value, new: &Value, managers: &mut Managers, manager: &Id) {
    let path = [Element::field("spec"), Element::field("replicas")];
    let replicas = |object: &Value| {
        object
            .pointer("/spec/replicas")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    };
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
