//! What a claim's volume is filled with is said in two fields, the older of which knows two kinds only
//! (pkg/api/persistentvolumeclaim/util.go; gate `CrossNamespaceVolumeDataSource` closed).
use serde_json::{Map, Value, json};

const OLD: &str = "dataSource";
const NEW: &str = "dataSourceRef";

/// Drops what cannot be, and says in either field what the other says; `old` is the claim's spec as it was.
pub fn settle(spec: &mut Value, old: Option<&Value>) {
    let Some(spec) = spec.as_object_mut() else { return };
    let had = |field: &str| old.is_some_and(|old| !old[field].is_null());
    if elsewhere(spec) && !had(NEW) {
        spec.remove(NEW);
    }
    let absent = |spec: &Map<String, Value>, field: &str| spec.get(field).is_none_or(Value::is_null);
    if !had(OLD) && !had(NEW) && absent(spec, NEW) && !spec.get(OLD).is_some_and(is_known) {
        spec.remove(OLD);
    }
    let (from, to) = match (absent(spec, OLD), absent(spec, NEW)) {
        (false, true) => (OLD, NEW),
        (true, false) if !elsewhere(spec) => (NEW, OLD),
        _ => return,
    };
    let said = spec.get(from).and_then(Value::as_object);
    let same = said
        .into_iter()
        .flatten()
        .filter(|(field, _)| *field != "namespace");
    let same: Map<String, Value> = same
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    spec.insert(to.to_owned(), same.into());
}

/// Whether it is in another namespace.
fn elsewhere(spec: &Map<String, Value>) -> bool {
    spec.get(NEW)
        .is_some_and(|source| source["namespace"].as_str().is_some_and(|n| !n.is_empty()))
}

fn is_known(source: &Value) -> bool {
    let group = source["apiGroup"].as_str().unwrap_or_default();
    [
        json!(["", "PersistentVolumeClaim"]),
        json!(["snapshot.storage.k8s.io", "VolumeSnapshot"]),
    ]
    .contains(&json!([group, source["kind"]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(mut spec: Value, old: Option<&Value>) -> Value {
        settle(&mut spec, old);
        spec
    }

    #[test]
    fn both_say_the_same() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        let both = json!({"dataSource": claim, "dataSourceRef": claim});
        assert_eq!(settled(json!({"dataSource": claim}), None), both);
        assert_eq!(settled(json!({"dataSourceRef": claim}), None), both);
        assert_eq!(settled(json!({}), None), json!({}));
    }

    #[test]
    fn what_cannot_be_is_dropped() {
        let other = json!({"apiGroup": "a.b", "kind": "K", "name": "n"});
        assert_eq!(settled(json!({"dataSource": other}), None), json!({}));
        let both = json!({"dataSource": other, "dataSourceRef": other});
        assert_eq!(settled(json!({"dataSourceRef": other}), None), both);
        assert_eq!(settled(json!({"dataSource": other}), Some(&both)), both);
        let elsewhere =
            json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "n", "namespace": "x"}});
        assert_eq!(settled(elsewhere, None), json!({}));
    }
}
