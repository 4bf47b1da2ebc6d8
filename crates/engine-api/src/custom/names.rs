//! Names of custom kinds: of a group each is given once, to the definition that was first (apiextensions
//! `pkg/controller/status/naming_controller.go`, `pkg/controller/establish`).
use std::{collections::BTreeSet, sync::Arc};

use engine_store::Stored;
use serde_json::{Value, json};

use crate::{
    json::{list, set, strings, text},
    time,
};

/// The names that definitions of a group have been given: of resources, and of kinds.
#[derive(Default)]
pub struct Used {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Used {
    /// Those of the group of this definition, its own among them.
    pub fn of(definition: &Value, all: &[Arc<Stored>]) -> Self {
        let group = text(definition, "/spec/group");
        let mut used = Self::default();
        for other in all.iter().map(|d| d.value()) {
            if text(&other, "/spec/group") != group {
                continue;
            }
            let names = &other["status"]["acceptedNames"];
            let short = strings(names, "/shortNames").into_iter();
            let plain = ["/plural", "/singular"].map(|field| text(names, field));
            used.resources.extend(short.chain(plain).map(str::to_owned));
            let kinds = ["/kind", "/listKind"].map(|field| text(names, field));
            used.kinds.extend(kinds.map(str::to_owned));
        }
        used
    }
}

fn find<'d>(definition: &'d Value, kind: &str) -> Option<&'d Value> {
    list(definition, "/status/conditions")
        .iter()
        .find(|c| c["type"] == kind)
}

/// Whether some of its names are another definition's.
pub fn is_refused(definition: &Value) -> bool {
    find(definition, "NamesAccepted").is_some_and(|c| c["status"] == "False")
}

/// Whether its kind is served; one that nobody has looked at yet is, unless a name is in use.
pub fn is_served(definition: &Value, used: &Used) -> bool {
    match find(definition, "Established") {
        Some(established) => established["status"] == "True" || !is_refused(definition),
        None => negotiate(definition, used).1.is_none(),
    }
}

/// The names that it goes by: those it was given last, while it is refused those it wants.
pub fn names(definition: &Value) -> &Value {
    if is_refused(definition) {
        &definition["status"]["acceptedNames"]
    } else {
        &definition["spec"]["names"]
    }
}

/// The names that a definition is given, and of the last that it is not, the reason and the message.
fn negotiate(definition: &Value, used: &Used) -> (Value, Option<(&'static str, String)>) {
    let wanted = &definition["spec"]["names"];
    let mut given = match &definition["status"]["acceptedNames"] {
        Value::Object(_) => definition["status"]["acceptedNames"].clone(),
        _ => json!({}),
    };
    let mut refused = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    let mut single = |field: &str, reason: &'static str, names: &BTreeSet<String>| {
        let (name, had) = (
            text(wanted, &format!("/{field}")),
            text(&given, &format!("/{field}")),
        );
        if name != had && names.contains(name) {
            refused = Some((reason, in_use(name)));
        } else {
            given[field] = name.into();
        }
    };
    single("plural", "PluralConflict", &used.resources);
    single("singular", "SingularConflict", &used.resources);
    let had: Vec<String> = strings(&definition["status"]["acceptedNames"], "/shortNames")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let taken: Vec<String> = strings(wanted, "/shortNames")
        .into_iter()
        .filter(|name| !had.iter().any(|own| own == name) && used.resources.contains(*name))
        .map(in_use)
        .collect();
    single("kind", "KindConflict", &used.kinds);
    single("listKind", "ListKindConflict", &used.kinds);
    match taken.as_slice() {
        [] => copy(&mut given, wanted, "shortNames"),
        several => {
            let message = match several {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            // Kinds are looked at after short names.
            if !matches!(refused, Some(("KindConflict" | "ListKindConflict", _))) {
                refused = Some(("ShortNamesConflict", message));
            }
        }
    }
    copy(&mut given, wanted, "categories");
    (given, refused)
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => drop(to.as_object_mut().and_then(|map| map.remove(field))),
    }
}

/// A definition with the names that it is given, and with what is said of them.
pub fn settled(definition: &Value, used: &Used) -> Value {
    const ACCEPTED: &str = "the initial names have been accepted";
    let (given, refused) = negotiate(definition, used);
    let mut next = definition.clone();
    set(&mut next, &["status", "acceptedNames"], given);
    let is_accepted = refused.is_none();
    let (reason, message) = refused.unwrap_or(("NoConflicts", "no conflicts found".to_owned()));
    with_condition(
        &mut next,
        condition("NamesAccepted", is_accepted, reason, &message),
    );
    let was = find(definition, "Established").is_some_and(|c| c["status"] == "True");
    if is_accepted && !was {
        with_condition(
            &mut next,
            condition("Established", true, "InitialNamesAccepted", ACCEPTED),
        );
    } else if !was {
        let message = "not all names are accepted";
        with_condition(&mut next, condition("Established", false, "NotAccepted", message));
    }
    next
}

/// A condition that begins now.
pub fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": time::now(), "reason": reason,
        "message": message})
}

/// Put this condition in the place of another of its type.
pub fn with_condition(definition: &mut Value, mut new: Value) {
    let mut all = list(definition, "/status/conditions").to_vec();
    match all.iter_mut().find(|c| c["type"] == new["type"]) {
        Some(old) if ["status", "reason", "message"].iter().all(|f| old[f] == new[f]) => return,
        Some(old) => {
            if old["status"] == new["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => all.push(new),
    }
    set(definition, &["status", "conditions"], all);
}
