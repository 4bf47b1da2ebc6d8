//! ControllerRevisions: the templates that StatefulSets and DaemonSets have had (pkg/controller/history).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::Resource;
use serde_json::{Value, json};

use crate::Error;
use crate::adopt::claim;
use crate::cache::{Cache, Kind};
use crate::context::Context;
use crate::meta::{Meta, controller_ref};
use crate::selector;
use crate::template::{canonical, data_hash, hash};

/// The label that pods are matched by, and a DaemonSet's revisions.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";
/// The label of a StatefulSet's revisions, whose pods name the revision itself.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";

/// The revisions of an owner, oldest first, and the one that its template is now.
pub(crate) struct History {
    pub all: Vec<Arc<ControllerRevision>>,
    pub update: Arc<ControllerRevision>,
    pub collisions: Option<i32>,
}

/// The hash part of a revision's name.
pub(crate) fn hash_of(revision: &ControllerRevision) -> &str {
    revision
        .label(HASH_LABEL)
        .or_else(|| revision.label(REVISION_HASH))
        .unwrap_or_default()
}

/// The name of a revision; a long one of a StatefulSet is cut (pkg/controller/history ControllerRevisionName).
fn name_of(owner: &str, hash: &str, stateful: bool) -> String {
    let part = owner.get(..223).filter(|_| stateful).unwrap_or(owner);
    format!("{part}-{hash}")
}

/// A template as a strategic merge patch that replaces the template it is applied to.
fn data(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template)?;
    template["$patch"] = "replace".into();
    Ok(json!({"spec": {"template": template}}))
}

/// The template that a revision stands for.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Finds or makes the revision of the owner's template; going back to an old one gives it the newest number.
pub(crate) async fn history<O>(
    context: &Context,
    owners: &Cache<O>,
    owner: &O,
    selector: &LabelSelector,
    template: &PodTemplateSpec,
    collisions: Option<i32>,
) -> Result<History, Error>
where
    O: Kind + Resource<DynamicType = ()>,
{
    let cache = &context.controller_revisions;
    let mut all = claim(owners, owner, selector, cache).await?;
    let stateful = O::kind(&()) == "StatefulSet";
    if stateful {
        // Those of nobody count as well (ListRevisions of pkg/controller/history): a set that leaves them behind makes no new one.
        all.extend(
            cache
                .uncontrolled(owner.ns())
                .into_iter()
                .filter(|r| {
                    selector::matches(selector, r.m().labels.as_ref())
                        && !all.iter().any(|a| a.uid() == r.uid())
                })
                .collect::<Vec<_>>(),
        );
    }
    all.sort_by(|a, b| {
        a.revision
            .cmp(&b.revision)
            .then_with(|| a.created().cmp(&b.created()))
            .then_with(|| a.name().cmp(b.name()))
    });
    let wanted = data(template)?;
    let next = all.last().map_or(1, |r| r.revision + 1);
    let same = |r: &ControllerRevision| {
        r.data
            .as_ref()
            .is_some_and(|d| canonical(&d.0) == canonical(&wanted))
    };
    if let Some(at) = all.iter().rposition(|r| same(r)) {
        let mut found = Arc::clone(&all[at]);
        if at + 1 != all.len() {
            let mut renumbered = (*found).clone();
            renumbered.revision = next;
            found = cache.update(&found, &renumbered).await?.unwrap_or(found);
            all.remove(at);
            all.push(Arc::clone(&found));
        }
        return Ok(History {
            all,
            update: found,
            collisions,
        });
    }
    let mut collisions = collisions;
    loop {
        let (label, hash) = if stateful {
            (REVISION_HASH, data_hash(&wanted, collisions.unwrap_or(0)))
        } else {
            (HASH_LABEL, hash(template, collisions))
        };
        let mut labels = template
            .metadata
            .as_ref()
            .and_then(|m| m.labels.clone())
            .unwrap_or_default();
        labels.insert(label.into(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name_of(owner.name(), &hash, stateful)),
                namespace: Some(owner.ns().to_owned()),
                labels: Some(labels),
                annotations: owner.m().annotations.clone(),
                owner_references: Some(vec![controller_ref(owner)]),
                ..ObjectMeta::default()
            },
            revision: next,
            data: Some(RawExtension(wanted.clone())),
        };
        match cache.create(&revision).await {
            Ok(made) => {
                all.push(Arc::clone(&made));
                return Ok(History {
                    all,
                    update: made,
                    collisions,
                });
            }
            Err(error) if error.is_exists() => {
                // Ours, and the cache is behind; or another template with the same hash.
                match cache.fetch(&revision.key()).await? {
                    Some(found) if same(&found) && found.controlled_by(owner.uid()) => {
                        let found = Arc::new(found);
                        all.push(Arc::clone(&found));
                        return Ok(History {
                            all,
                            update: found,
                            collisions,
                        });
                    }
                    Some(_) => collisions = Some(collisions.unwrap_or(0) + 1),
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes so many of the revisions that nothing uses, the oldest first.
pub(crate) async fn remove_oldest(
    context: &Context,
    unused: &[&Arc<ControllerRevision>],
    surplus: usize,
) -> Result<(), Error> {
    for revision in unused.iter().take(surplus) {
        context.controller_revisions.delete(&***revision).await?;
    }
    Ok(())
}

/// How many revisions are kept beside the current ones.
pub(crate) fn kept(limit: Option<i32>) -> usize {
    usize::try_from(limit.unwrap_or(10)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut() {
        let long = "s".repeat(230);
        assert_eq!(name_of(&long, "h", true).len(), 225);
        assert_eq!(name_of(&long, "h", false).len(), 232);
    }

    #[test]
    fn a_revision_gives_its_template_back() {
        let template: PodTemplateSpec = serde_json::from_value(
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}),
        )
        .unwrap();
        let revision = ControllerRevision {
            data: Some(RawExtension(data(&template).unwrap())),
            ..Default::default()
        };
        assert_eq!(template_of(&revision), Some(template));
    }
}
