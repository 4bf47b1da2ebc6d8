//! From client-side to server-side apply: kubectl's annotation (apimachinery
//! `managedfields/internal/{lastappliedmanager,lastappliedupdater}.go`).
use serde_json::{Map, Value};

use super::{set::Set, updater::Updater};
use crate::go;

/// Where `kubectl apply` keeps what it applied.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager whose conflicts are forgiven: opting out is done by another name.
pub(crate) const KUBECTL: &str = "kubectl";

fn annotation(object: &Value) -> Option<&str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(ANNOTATION)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The fields that the annotation shows to be the same client's: applied by it and not changed since.
pub(crate) fn allowed(updater: &Updater<'_>, live: &Value) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(updater.api_version) {
        return None;
    }
    let changed = super::walk::Comparison::of(updater.typing.root(), &last, live);
    let set = updater.field_set(&last);
    Some(
        set.difference(&changed.modified)
            .difference(&changed.added)
            .difference(&changed.removed),
    )
}

/// Bring the annotation up to date with what was applied, if there is one.
pub(crate) fn sync(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(ANNOTATION);
        }
        if metadata
            .get("annotations")
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
        {
            metadata.remove("annotations");
        }
    }
    let text = go::json(&applied) + "\n";
    if let Some(annotation) = object
        .pointer_mut("/metadata/annotations")
        .and_then(|a| a.get_mut(ANNOTATION))
    {
        *annotation = Value::String(text);
    }
}
