//! Server-side apply and ordinary writes of flat data against a model that knows nothing of sets of paths: for every key its
//! value and who owns it.
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Manager, apply, track_update};
use crate::PatchError;

const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

type Data = BTreeMap<String, String>;
/// Name, and whether by apply.
type Owner = (String, bool);

#[derive(Debug, Clone)]
enum Step {
    Apply {
        who: String,
        data: Data,
        force: bool,
    },
    /// Set these keys and remove those.
    Write {
        who: String,
        set: Data,
        remove: BTreeSet<String>,
    },
}

fn data() -> impl Strategy<Value = Data> {
    prop::collection::btree_map("[a-e]", "[12]", 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        ("[xyz]", data(), any::<bool>()).prop_map(|(who, data, force)| Step::Apply { who, data, force }),
        ("[xyz]", data(), prop::collection::btree_set("[a-e]", 0..2))
            .prop_map(|(who, set, remove)| Step::Write { who, set, remove }),
    ]
}

/// The rules of the documentation, one key at a time.
#[derive(Default, Clone)]
struct Model {
    values: Data,
    owners: BTreeMap<String, BTreeSet<Owner>>,
}

impl Model {
    /// Returns the conflicts: key and owner.
    fn apply(&mut self, who: &str, data: &Data, force: bool) -> Result<(), BTreeSet<(String, Owner)>> {
        let me: Owner = (who.to_owned(), true);
        let changed = |key: &String, value: &String| self.values.get(key) != Some(value);
        let conflicts: BTreeSet<_> = data
            .iter()
            .filter(|(key, value)| changed(key, value))
            .flat_map(|(key, _)| {
                self.owners
                    .get(key)
                    .into_iter()
                    .flatten()
                    .map(move |owner| (key.clone(), owner.clone()))
            })
            .filter(|(_, owner)| *owner != me)
            .collect();
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        // What it applied before and no longer does goes, unless somebody else wants it.
        for key in self.values.clone().keys().filter(|key| !data.contains_key(*key)) {
            let owners = self.owners.entry(key.clone()).or_default();
            if owners.remove(&me) && owners.is_empty() {
                self.values.remove(key);
            }
        }
        for (key, value) in data {
            let owners = self.owners.entry(key.clone()).or_default();
            if self.values.insert(key.clone(), value.clone()).as_ref() != Some(value) {
                owners.clear();
            }
            owners.insert(me.clone());
        }
        Ok(())
    }

    fn write(&mut self, who: &str, set: &Data, remove: &BTreeSet<String>) {
        for key in remove {
            self.values.remove(key);
            self.owners.remove(key);
        }
        for (key, value) in set {
            if self.values.insert(key.clone(), value.clone()).as_ref() != Some(value) {
                self.owners
                    .insert(key.clone(), BTreeSet::from([(who.to_owned(), false)]));
            }
        }
    }

    fn owned(&self) -> BTreeSet<(String, Owner)> {
        let pairs = self
            .owners
            .iter()
            .filter(|(key, _)| self.values.contains_key(*key));
        pairs
            .flat_map(|(key, owners)| owners.iter().map(|owner| (key.clone(), owner.clone())))
            .collect()
    }
}

fn real_data(object: &Value) -> Data {
    serde_json::from_value(object.get("data").cloned().unwrap_or_else(|| json!({}))).unwrap()
}

/// Keys and their owners, from managed fields.
fn real_owned(object: &Value) -> BTreeSet<(String, Owner)> {
    let mut owned = BTreeSet::new();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let owner = (
            entry["manager"].as_str().unwrap().to_owned(),
            entry["operation"] == "Apply",
        );
        for key in entry["fieldsV1"]["f:data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            if let Some(key) = key.strip_prefix("f:") {
                owned.insert((key.to_owned(), owner.clone()));
            }
        }
    }
    owned
}

fn manager(name: &str) -> Manager<'_> {
    Manager {
        name,
        api_version: "v1",
        subresource: "",
        time: "2026-01-01T00:00:00Z",
    }
}

fn run(steps: Vec<Step>) {
    let mut model = Model::default();
    // An object that somebody made with one key that nobody else touches, so that it is tracked from the start and `data`
    // is never empty: who owns an empty map is beyond this model.
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "uid": "u"}, "data": {"kept": "1"}});
    track_update(CONFIG_MAP, None, &mut object, &manager("maker"));
    model.write(
        "maker",
        &BTreeMap::from([("kept".to_owned(), "1".to_owned())]),
        &BTreeSet::new(),
    );
    for step in steps {
        match &step {
            Step::Apply { who, data, force } => {
                let mut config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
                if !data.is_empty() {
                    config["data"] = json!(data);
                }
                let result = apply(CONFIG_MAP, Some(&object), &config, &manager(who), *force);
                match (result, model.apply(who, data, *force)) {
                    (Ok(new), Ok(())) => object = new,
                    (Err(PatchError::Conflict(found)), Err(wanted)) => {
                        let wanted: BTreeSet<_> = wanted
                            .into_iter()
                            .map(|(key, (name, applied))| {
                                let using = if applied { "" } else { " using v1" };
                                (format!(".data.{key}"), format!("conflict with \"{name}\"{using}"))
                            })
                            .collect();
                        assert_eq!(
                            found
                                .into_iter()
                                .map(|c| (c.field, c.message))
                                .collect::<BTreeSet<_>>(),
                            wanted
                        );
                    }
                    (found, wanted) => panic!("{step:?}: {found:?}, but {wanted:?}"),
                }
            }
            Step::Write { who, set, remove } => {
                let mut new = object.clone();
                let mut data = real_data(&object);
                data.retain(|key, _| !remove.contains(key));
                data.extend(set.clone());
                new["data"] = json!(data);
                track_update(CONFIG_MAP, Some(&object), &mut new, &manager(who));
                object = new;
                model.write(
                    who,
                    set,
                    &remove
                        .difference(&set.keys().cloned().collect())
                        .cloned()
                        .collect(),
                );
            }
        }
        assert_eq!(real_data(&object), model.values, "{step:?}");
        assert_eq!(real_owned(&object), model.owned(), "{step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn flat_data_has_the_owners_of_the_model(steps in prop::collection::vec(step(), 1..25)) {
        run(steps);
    }
}
