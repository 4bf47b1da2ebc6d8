//! Who owns what after a write (structured-merge-diff `merge/update.go`).
use serde_json::{Map, Value};

use super::{
    element::equal,
    managed::{Id, Managers, Owned},
    set::Set,
    typed::Typing,
    walk::{self, Comparison},
};

/// Fields that somebody else owns.
pub(crate) type Contested = (Id, Set);

/// So much text is made of what cannot be merged.
pub(super) const MAX_TEXT: usize = 4 << 20;

/// One write to an object of one type.
pub(crate) struct Updater<'a> {
    pub(crate) typing: Typing<'a>,
    pub(crate) api_version: &'a str,
    /// Fields that this endpoint does not write.
    reset: Set,
}

/// Fields that nobody owns (apimachinery `managedfields/internal/stripmeta.go`).
const STRIPPED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// A list of paths.
type Paths = &'static [&'static [&'static str]];

const METADATA_AND_SPEC: Paths = &[&["metadata"], &["spec"]];

/// Kind and subresource for which other fields are reset than the spec or the status (`GetResetFields` of `pkg/registry/*/*/strategy.go`).
/// Of a signing request whoever asks cannot change anything, who approves does not issue, and who issues does not approve.
const RESETS: [(&str, &str, Paths); 12] = [
    ("CertificateSigningRequest", "", &[&["spec"], &["status"]]),
    (
        "CertificateSigningRequest",
        "status",
        &[&["spec"], &["status", "conditions"]],
    ),
    (
        "CertificateSigningRequest",
        "approval",
        &[&["spec"], &["status", "certificate"]],
    ),
    ("Deployment", "status", &[&["metadata", "labels"], &["spec"]]),
    (
        "Pod",
        "status",
        &[
            &["metadata", "deletionTimestamp"],
            &["metadata", "ownerReferences"],
            &["spec"],
        ],
    ),
    ("DeviceTaintRule", "status", METADATA_AND_SPEC),
    ("FlowSchema", "status", METADATA_AND_SPEC),
    ("PriorityLevelConfiguration", "status", METADATA_AND_SPEC),
    ("ResourceClaim", "status", METADATA_AND_SPEC),
    ("ServiceCIDR", "status", METADATA_AND_SPEC),
    ("ValidatingAdmissionPolicy", "status", METADATA_AND_SPEC),
    ("VolumeAttachment", "status", METADATA_AND_SPEC),
];

/// What of a kind of Kubernetes' own is reset otherwise than usual.
fn resets(definition: &str, subresource: &str) -> Option<Paths> {
    let kind = definition.strip_prefix("io.k8s.api.")?.rsplit('.').next()?;
    let found = RESETS
        .iter()
        .find(|(of, at, _)| *of == kind && *at == subresource);
    found.map(|(.., paths)| *paths)
}

impl<'a> Updater<'a> {
    pub(crate) fn new(typing: Typing<'a>, api_version: &'a str, subresource: &str) -> Self {
        // The strategies' GetResetFields: the main endpoint does not write the status, the status endpoint not the spec.
        let has_status = match typing {
            Typing::Definition(_) => typing.root().declares("status"),
            Typing::Structural { has_status, .. } => has_status,
        };
        let own = match typing {
            Typing::Definition(definition) => resets(definition, subresource),
            Typing::Structural { .. } => None,
        };
        let usual: Paths = match (subresource, typing) {
            ("", _) if has_status => &[&["status"]],
            ("status", Typing::Definition(_)) => &[&["spec"]],
            ("status", Typing::Structural { .. }) => METADATA_AND_SPEC,
            _ => &[],
        };
        let reset = Set::of_fields(own.unwrap_or(usual));
        Self {
            typing,
            api_version,
            reset,
        }
    }

    pub(crate) fn field_set(&self, object: &Value) -> Set {
        walk::field_set(self.typing.root(), object)
    }

    pub(crate) fn compare(&self, old: &Value, new: &Value) -> Comparison {
        Comparison::of(self.typing.root(), old, new).without(&self.reset)
    }

    /// An ordinary write: what changed belongs to `manager` now. Both objects are seen as Go sees them.
    pub(crate) fn update(&self, old: &Value, new: &Value, managers: &mut Managers, manager: &Id, time: &str) {
        let changed = self.compare(old, new);
        // The manager's own entry is a bystander too: it loses what was removed, and gets back what it has changed.
        release(managers, &changed, None);
        let taken = changed
            .modified
            .union(&changed.added)
            .recursive_difference(&self.reset);
        let taken = taken.difference(&Set::of_fields(STRIPPED));
        if !taken.is_empty() {
            let owned = managers.entry(manager.clone()).or_insert_with(|| Owned {
                api_version: self.api_version.to_owned(),
                set: Set::default(),
                time: None,
            });
            owned.set.absorb(&taken);
            owned.time = Some(time.to_owned());
        }
    }

    /// Server-side apply. Returns the new object, or `None` when nothing changed in it.
    pub(crate) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        managers: &mut Managers,
        manager: &Id,
        force: bool,
    ) -> Result<Option<Value>, Vec<Contested>> {
        let merged = walk::merge(self.typing.root(), Some(live), Some(applied)).unwrap_or_else(empty);
        let last = managers.get(manager).cloned();
        let set = self.field_set(applied).recursive_difference(&self.reset);
        let owned = Owned {
            api_version: self.api_version.to_owned(),
            set,
            time: last.as_ref().and_then(|last| last.time.clone()),
        };
        managers.insert(manager.clone(), owned);
        let new = match last {
            Some(last) if !last.set.is_empty() => self.prune(merged, managers, &last.set),
            _ => merged,
        };
        let changed = self.compare(live, &new);
        let touched = changed.modified.union(&changed.added);
        if !force {
            let contested: Vec<Contested> = managers
                .iter()
                .filter(|(id, _)| *id != manager)
                .map(|(id, owned)| (id.clone(), owned.set.intersection(&touched)))
                .filter(|(_, fields)| !fields.is_empty())
                .collect();
            if !contested.is_empty() {
                return Err(contested);
            }
        }
        release(managers, &changed, Some(manager));
        if let Some(owned) = managers.get_mut(manager) {
            owned.set = owned.set.difference(&Set::of_fields(STRIPPED));
        }
        managers.retain(|_, owned| !owned.set.is_empty());
        Ok((!equal(live, &new)).then_some(new))
    }

    /// Remove what the manager applied before and no longer does, unless somebody else owns it.
    fn prune(&self, merged: Value, managers: &Managers, last: &Set) -> Value {
        let named = |set: &Set| set.with_named_fields(self.typing.root());
        let removed =
            |from: &Value, fields: &Set| walk::remove(self.typing.root(), from, fields).unwrap_or_else(empty);
        let pruned = removed(&merged, &named(last));
        // Items that others own come back.
        let mut owned = Set::default();
        for other in managers.values() {
            owned.absorb(&other.set);
        }
        let merged_set = self.field_set(&merged);
        let kept = named(&self.field_set(&pruned)).union(&named(&owned));
        let pruned = removed(&merged, &named(&merged_set).difference(&kept));
        // And so do those that went with a removed parent without the manager ever having owned them.
        let gone = named(&merged_set).difference(&named(&self.field_set(&pruned)));
        removed(&merged, &gone.intersection(&named(last)))
    }
}

/// Everybody but `manager` loses what was changed, added or removed.
fn release(managers: &mut Managers, changed: &Comparison, manager: Option<&Id>) {
    for (id, owned) in managers.iter_mut() {
        if Some(id) != manager {
            owned.set = owned
                .set
                .difference(&changed.modified)
                .difference(&changed.added)
                .difference(&changed.removed);
        }
    }
    managers.retain(|_, owned| !owned.set.is_empty());
}

fn empty() -> Value {
    Value::Object(Map::new())
}
