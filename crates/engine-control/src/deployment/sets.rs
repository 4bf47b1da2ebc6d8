//! The ReplicaSets of a deployment: which is the new one, revisions, making it, clearing the history (sync.go, deployment_util.go).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::arithmetic::{DESIRED, MAX, max_surge, new_set_size};
use super::{COMPONENT, Step, replicas_of, total};
use crate::Error;
use crate::meta::{Key, Meta};
use crate::template::hash;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// Of names that are DNS subdomains.
const LONGEST: usize = 253;
/// Annotations that are about one object and so are not copied from a deployment to its sets.
pub(super) const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    ROLLBACK,
];

/// To which revision a deployment is to go back; 0 is the one before.
pub(super) const ROLLBACK: &str = "deprecated.deployment.rollback.to";

pub(super) fn revision(set: &ReplicaSet) -> i64 {
    set.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

pub(super) fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let strip = |t: &PodTemplateSpec| {
        let mut t = t.clone();
        let meta = t.metadata.get_or_insert_default();
        meta.creation_timestamp = None;
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH_LABEL);
        }
        meta.labels = meta.labels.take().filter(|l| !l.is_empty());
        meta.annotations = meta.annotations.take().filter(|l| !l.is_empty());
        t
    };
    strip(a) == strip(b)
}

impl Step {
    /// Splits the claimed sets into the new one (the oldest that has the deployment's template) and the old ones.
    pub(super) fn sort(&mut self, mut all: Vec<Arc<ReplicaSet>>) {
        all.sort_by(|a, b| a.created().cmp(&b.created()).then_with(|| a.name().cmp(b.name())));
        let new = all.iter().position(|set| {
            let template = set.spec.as_ref().and_then(|s| s.template.as_ref());
            template.is_some_and(|t| same_template(t, &self.spec.template))
        });
        self.new = new.map(|at| all.remove(at));
        self.old = all;
    }

    /// The deployment's own revision follows its new set's.
    pub(super) fn find_revision(&mut self) {
        if let Some(revision) = self
            .new
            .as_ref()
            .and_then(|new| new.annotation(REVISION))
            .map(str::to_owned)
        {
            self.deployment
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(REVISION.to_owned(), revision);
        }
    }

    /// Brings the new set's revision and annotations up to date; makes the set when asked to.
    pub(super) async fn find_or_create(&mut self, create: bool) -> Result<(), Error> {
        let next = self.old.iter().map(|s| revision(s)).max().unwrap_or(0) + 1;
        if let Some(existing) = self.new.clone() {
            let mut set = (*existing).clone();
            self.annotate_new(&mut set.metadata, next);
            if let Some(spec) = &mut set.spec {
                spec.min_ready_seconds = self.spec.min_ready_seconds;
            }
            if let Some(updated) = self.context.replica_sets.update(&existing, &set).await? {
                self.new = Some(updated);
            }
            self.find_revision();
            if self.has_deadline() && self.condition("Progressing").is_none() {
                self.set_condition(
                    "Progressing",
                    "True",
                    "FoundNewReplicaSet",
                    format!("Found new replica set \"{}\"", existing.name()),
                );
            }
            return Ok(());
        }
        if create {
            self.create_new(next).await
        } else {
            Ok(())
        }
    }

    async fn create_new(&mut self, next: i64) -> Result<(), Error> {
        let collisions = self.original.status.as_ref().and_then(|s| s.collision_count);
        let hash = hash(&self.spec.template, collisions);
        let mut template = self.spec.template.clone();
        template
            .metadata
            .get_or_insert_default()
            .labels
            .get_or_insert_default()
            .insert(HASH_LABEL.into(), hash.clone());
        let mut selector = self.spec.selector.clone();
        selector
            .match_labels
            .get_or_insert_default()
            .insert(HASH_LABEL.into(), hash.clone());
        let size = new_set_size(&self.spec, total(&self.old), 0);
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name_of(self.original.name(), &hash)),
                namespace: Some(self.original.ns().to_owned()),
                labels: template.metadata.as_ref().and_then(|m| m.labels.clone()),
                owner_references: Some(vec![self.owner()]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(size),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        self.annotate_new(&mut set.metadata, next);
        let annotations = set.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED.into(), self.replicas().to_string());
        annotations.insert(MAX.into(), (self.replicas() + max_surge(&self.spec)).to_string());
        match self.context.replica_sets.create(&set).await {
            Ok(made) => {
                if size > 0 {
                    let message = format!("Scaled up replica set {} from 0 to {size}", made.name());
                    self.context
                        .events
                        .normal(COMPONENT, &*self.original, "ScalingReplicaSet", message);
                }
                if self.has_deadline() {
                    self.set_condition(
                        "Progressing",
                        "True",
                        "NewReplicaSetCreated",
                        format!("Created new replica set \"{}\"", made.name()),
                    );
                }
                self.new = Some(made);
                self.find_revision();
                Ok(())
            }
            Err(error) if error.is_exists() => self.resolve_collision(&set, error).await,
            Err(error) if error.is_namespace_terminating() => Ok(()),
            Err(error) => {
                let message = format!(
                    "Failed to create new replica set \"{}\": {}",
                    set.name(),
                    error.message()
                );
                if self.has_deadline() {
                    self.set_condition("Progressing", "False", "ReplicaSetCreateError", message.clone());
                }
                self.context
                    .events
                    .warning(COMPONENT, &*self.original, "ReplicaSetCreateError", message);
                Err(error)
            }
        }
    }

    /// The name is taken: by our own set that the cache has not seen, or by another with the same hash.
    async fn resolve_collision(&mut self, set: &ReplicaSet, error: Error) -> Result<(), Error> {
        let key = Key::of(set);
        if let Some(found) = self.context.replica_sets.fetch(&key).await? {
            let template = found.spec.as_ref().and_then(|s| s.template.as_ref());
            if found.controlled_by(self.original.uid())
                && template.is_some_and(|t| same_template(t, &self.spec.template))
            {
                self.new = Some(Arc::new(found));
                self.find_revision();
                return Ok(());
            }
        }
        let status = self.deployment.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        Err(error)
    }

    /// SetNewReplicaSetAnnotations: the deployment's annotations, the revision, and the revisions the set had before.
    fn annotate_new(&self, meta: &mut ObjectMeta, next: i64) {
        let annotations = meta.annotations.get_or_insert_default();
        for (key, value) in self.original.metadata.annotations.iter().flatten() {
            if !NOT_COPIED.contains(&key.as_str()) {
                annotations.insert(key.clone(), value.clone());
            }
        }
        advance_revision(annotations, next);
    }

    /// Removes the oldest sets beyond the history limit that hold nothing any more.
    pub(super) async fn clean_up(&mut self) -> Result<(), Error> {
        let Some(limit) = self
            .spec
            .revision_history_limit
            .and_then(|l| usize::try_from(l).ok())
        else {
            return Ok(());
        };
        let mut alive: Vec<Arc<ReplicaSet>> = self.old.iter().filter(|s| !s.deleting()).cloned().collect();
        let Some(surplus) = alive.len().checked_sub(limit) else {
            return Ok(());
        };
        alive.sort_by(|a, b| {
            revision(a)
                .cmp(&revision(b))
                .then_with(|| a.created().cmp(&b.created()))
        });
        for set in alive.iter().take(surplus) {
            let status = set.status.clone().unwrap_or_default();
            let settled = set.generation() <= status.observed_generation;
            if status.replicas == 0 && replicas_of(set) == 0 && settled {
                self.context.replica_sets.delete(&**set).await?;
            }
        }
        Ok(())
    }
}

/// The name of a set; a long one of a deployment is cut (generateReplicaSetName).
fn name_of(deployment: &str, hash: &str) -> String {
    let most = LONGEST.saturating_sub(hash.len() + 1);
    format!("{}-{hash}", deployment.get(..most).unwrap_or(deployment))
}

/// Raises the revision annotation; a set that is rolled back to remembers the revisions it was.
fn advance_revision(annotations: &mut BTreeMap<String, String>, next: i64) {
    let old = annotations.get(REVISION).cloned();
    if old.as_deref().and_then(|o| o.parse::<i64>().ok()).unwrap_or(0) >= next {
        return;
    }
    annotations.insert(REVISION.into(), next.to_string());
    if let Some(old) = old {
        let history = annotations.entry(REVISION_HISTORY.into()).or_default();
        if history.is_empty() {
            *history = old;
        } else {
            *history = format!("{history},{old}");
            // As upstream, the list stays below 2000 characters; the oldest go.
            while history.len() > 2000 {
                match history.split_once(',') {
                    Some((_, rest)) => *history = rest.to_owned(),
                    None => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_back_keeps_the_history() {
        let mut a = BTreeMap::from([(REVISION.to_owned(), "1".to_owned())]);
        advance_revision(&mut a, 3);
        advance_revision(&mut a, 3);
        assert_eq!((a[REVISION].as_str(), a[REVISION_HISTORY].as_str()), ("3", "1"));
        advance_revision(&mut a, 5);
        assert_eq!((a[REVISION].as_str(), a[REVISION_HISTORY].as_str()), ("5", "1,3"));
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(name_of("web", "7b9c9df4"), "web-7b9c9df4");
        let name = name_of(&"d".repeat(253), "7b9c9df4");
        assert_eq!((name.len(), &name[243..]), (253, "d-7b9c9df4"));
    }

    #[test]
    fn the_hash_label_does_not_count() {
        let mut a = PodTemplateSpec::default();
        let mut b = PodTemplateSpec::default();
        b.metadata.get_or_insert_default().labels = Some([(HASH_LABEL.to_owned(), "x".to_owned())].into());
        assert!(same_template(&a, &b));
        a.metadata.get_or_insert_default().labels = Some([("a".to_owned(), "x".to_owned())].into());
        assert!(!same_template(&a, &b));
    }
}
