//! Server-side apply and `metadata.managedFields`: [`apply`] and [`track_update`] (apimachinery `managedfields`, whose chain
//! of managers is spelled out here in order).

mod check;
mod configuration;
mod element;
mod last_applied;
mod managed;
mod scale;
mod set;
mod typed;
mod updater;
mod walk;

use serde_json::{Map, Value};

use crate::error::{Conflict, PatchError};
pub use configuration::merge_configuration;
use managed::{Id, Managers};
pub use scale::{apply_scale, track_scale};
use typed::Ty;
pub use typed::Typing;
use updater::{Contested, Updater};

/// Who writes, for managed fields.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// Field manager name.
    pub name: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Subresource, empty for the main resource.
    pub subresource: &'a str,
    /// RFC 3339 time of the request, seconds precision.
    pub time: &'a str,
}

/// Server-side apply: merge `applied` into `live` (`None` on create) and track ownership in `metadata.managedFields`.
///
/// `applied` is what the client sent, not defaulted and without the zero values that Go would add (they would count as applied).
/// The result is neither defaulted nor validated; `managedFields` need nothing more. When it equals `live`, managed fields may
/// still differ: co-ownership changes nothing else.
pub fn apply<'a>(
    typing: impl Into<Typing<'a>>,
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager<'_>,
    force: bool,
) -> Result<Value, PatchError> {
    let typing = typing.into();
    let version = applied
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if version != manager.api_version {
        return Err(PatchError::Malformed(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            manager.api_version
        )));
    }
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(PatchError::Malformed(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    check_applied(typing, applied)?;
    let updater = Updater::new(typing, manager.api_version, manager.subresource);
    let (mut live, mut managers) = match live {
        None => (typing.go_view(&bare(applied)), Managers::new()),
        Some(live) => {
            let mut live = typing.go_view(live);
            let managers = managed::decode(managed::take(&mut live).as_ref())
                .map_err(|e| PatchError::Malformed(format!("failed to decode managed fields: {e}")))?;
            if managers.is_empty() {
                let managers = first_apply(&updater, &typing.stored_view(&live), manager);
                (live, managers)
            } else {
                (live, managers)
            }
        }
    };
    let id = Id::applier(manager);
    let before = managers.clone();
    let mut outcome = updater.apply(&live, applied, &mut managers, &id, force);
    if let Err(contested) = outcome {
        managers = before;
        let contested = if manager.name == last_applied::KUBECTL {
            forgive(&updater, &live, contested)
        } else {
            contested
        };
        if !contested.is_empty() {
            return Err(PatchError::Conflict(conflicts(&contested)));
        }
        outcome = updater.apply(&live, applied, &mut managers, &id, true);
    }
    if let Ok(Some(new)) = outcome {
        live = new;
        if let Some(owned) = managers.get_mut(&id) {
            owned.time = Some(manager.time.to_owned());
        }
    }
    // What was removed leaves behind what Go always writes.
    let mut object = typing.go_view(&live);
    remove_nulls(typing.root(), &mut object);
    if manager.name == last_applied::KUBECTL {
        last_applied::sync(&mut object, applied);
    }
    managed::encode(&managers, &mut object);
    Ok(object)
}

/// Whether an applied configuration fits its kind, so that it can be merged.
///
/// # Errors
/// [`PatchError::Untyped`] with everything that does not fit.
pub fn check_applied<'a>(typing: impl Into<Typing<'a>>, applied: &Value) -> Result<(), PatchError> {
    check::fits(typing.into().root(), applied).map_err(|why| {
        PatchError::Untyped(format!(
            "failed to create typed patch object ({}): {why}",
            identity(applied)
        ))
    })
}

/// After a create, update or patch: give the fields that differ between `old` and `new` to the manager (operation
/// Update), take them from the others; writes `metadata.managedFields` of `new`. A no-op leaves managedFields as they were.
///
/// Managed fields in `new` count as set by the client; those written through a subresource are ignored. For the subresource
/// `scale` there is [`track_scale`].
pub fn track_update<'a>(
    typing: impl Into<Typing<'a>>,
    old: Option<&Value>,
    new: &mut Value,
    manager: &Manager<'_>,
) {
    let typing = typing.into();
    let mut before = typing.go_view(old.unwrap_or(&Value::Object(Map::new())));
    let stored = managed::take(&mut before);
    let sent = managed::take(new);
    let stored = managed::decode(stored.as_ref()).unwrap_or_default();
    let mut managers = match managed::decode(sent.as_ref()) {
        _ if !manager.subresource.is_empty() => stored,
        // An empty list, or a list of one empty entry, resets them.
        _ if sent.as_ref().is_some_and(is_reset) => Managers::new(),
        Ok(sent) if !sent.is_empty() => sent,
        _ => stored,
    };
    // An object that has no managers is not tracked until somebody applies to it.
    if managers.is_empty() && old.is_some() {
        return;
    }
    let id = Id::updater(manager);
    let updater = Updater::new(typing, manager.api_version, manager.subresource);
    let after = typing.go_view(new);
    updater.update(&before, &after, &mut managers, &id, manager.time);
    managed::cap(&mut managers);
    managed::encode(&managers, new);
}

/// Whoever made an object that nobody has tracked owns all of it.
fn first_apply(updater: &Updater<'_>, live: &Value, manager: &Manager<'_>) -> Managers {
    let mut managers = Managers::new();
    let id = Id::updater(&Manager {
        name: "before-first-apply",
        ..*manager
    });
    let nothing = updater.typing.go_view(&Value::Object(Map::new()));
    updater.update(&nothing, live, &mut managers, &id, manager.time);
    managers
}

/// The conflicts that remain when the same client applied the fields before, by annotation.
fn forgive(updater: &Updater<'_>, live: &Value, contested: Vec<Contested>) -> Vec<Contested> {
    let allowed = last_applied::allowed(updater, live).unwrap_or_default();
    contested
        .into_iter()
        .map(|(id, fields)| (id, fields.difference(&allowed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect()
}

/// As many conflicts as anybody wants to read.
fn conflicts(contested: &[Contested]) -> Vec<Conflict> {
    let mut room = updater::MAX_TEXT;
    let of = |(id, fields): &Contested| -> Vec<Conflict> {
        let message = format!("conflict with {id}");
        let fields = fields.shown(&mut room).into_iter();
        let conflict = |field| Conflict {
            message: message.clone(),
            field,
        };
        fields.map(conflict).collect()
    };
    contested.iter().flat_map(of).collect()
}

fn is_reset(fields: &Value) -> bool {
    match fields.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// The object to apply to when there is none: what Go's zero value has, and the type.
fn bare(applied: &Value) -> Value {
    let mut out = Map::new();
    for key in ["apiVersion", "kind"] {
        if let Some(value) = applied.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(out)
}

/// `namespace/name; group/version, Kind=Kind`, as upstream names an object that was applied in an error.
pub fn identity(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let api_version = text("/apiVersion");
    let api_version = if api_version.contains('/') {
        api_version.to_owned()
    } else {
        format!("/{api_version}")
    };
    format!(
        "{}/{}; {api_version}, Kind={}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}

/// An applied null removes the field in Go's struct. JSON that no struct holds keeps it; of a custom resource the defaults of the schema take
/// away what may not be null.
fn remove_nulls(ty: Ty<'_>, value: &mut Value) {
    typed::retain_fields(ty, value, &|_, value| !value.is_null());
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod structural;
#[cfg(test)]
mod tests;
