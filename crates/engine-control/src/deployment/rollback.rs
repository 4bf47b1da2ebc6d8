//! Going back to an earlier revision on behalf of the annotation `deprecated.deployment.rollback.to`, which old clients set
//! (rollback.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::sets::{HASH_LABEL, NOT_COPIED, ROLLBACK, revision, same_template};
use super::{COMPONENT, Step};
use crate::Error;
use crate::meta::Meta as _;

impl Step {
    /// The revision that is asked for.
    pub(super) fn rollback_to(&self) -> Option<i64> {
        self.original.annotation(ROLLBACK)?.parse().ok()
    }

    pub(super) async fn roll_back(&mut self, asked: i64) -> Result<(), Error> {
        self.find_or_create(true).await?;
        let all = self.all_sets();
        let wanted = if asked == 0 { last_revision(&all) } else { asked };
        let mut changed = (*self.original).clone();
        changed
            .metadata
            .annotations
            .get_or_insert_default()
            .remove(ROLLBACK);
        let found = all.iter().find(|set| wanted != 0 && revision(set) == wanted);
        let message = match found {
            None if wanted == 0 => Err(("RevisionNotFound", "Unable to find last revision.".to_owned())),
            None => Err((
                "RevisionNotFound",
                "Unable to find the revision to rollback to.".to_owned(),
            )),
            Some(set) if take_from(&mut changed, set) => Ok(format!(
                "Rolled back deployment \"{}\" to revision {wanted}",
                self.original.name()
            )),
            Some(_) => Err((
                "TemplateUnchanged",
                format!(
                    "The rollback revision contains the same template as current deployment \"{}\"",
                    self.original.name()
                ),
            )),
        };
        let events = &self.context.events;
        if let Err((reason, message)) = &message {
            let reason = format!("DeploymentRollback{reason}");
            events.warning(COMPONENT, &*self.original, &reason, message.clone());
        }
        self.context.deployments.update(&self.original, &changed).await?;
        if let Ok(message) = message {
            events.normal(COMPONENT, &*self.original, "DeploymentRollback", message);
        }
        Ok(())
    }
}

/// The second highest revision, 0 where there is none (deployment_util.go LastRevision).
fn last_revision(sets: &[Arc<ReplicaSet>]) -> i64 {
    let mut all: Vec<i64> = sets.iter().map(|set| revision(set)).collect();
    all.sort_unstable();
    all.iter().rev().nth(1).copied().unwrap_or(0)
}

/// Gives a deployment the template and the annotations of a set, unless it has the template.
fn take_from(deployment: &mut Deployment, set: &ReplicaSet) -> bool {
    let template = set.spec.as_ref().and_then(|s| s.template.clone());
    let (Some(spec), Some(mut template)) = (&mut deployment.spec, template) else {
        return false;
    };
    if same_template(&spec.template, &template) {
        return false;
    }
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    spec.template = template;
    let kept = |key: &String| NOT_COPIED.contains(&key.as_str());
    let annotations = deployment.metadata.annotations.get_or_insert_default();
    annotations.retain(|key, _| kept(key));
    for (key, value) in set.metadata.annotations.iter().flatten() {
        if !kept(key) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn back_to_a_set() {
        let set = |revision: &str, image: &str| -> Arc<ReplicaSet> {
            let object = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": revision, "why": image}},
                "spec": {"selector": {}, "template": {"metadata": {"labels": {"a": "b", "pod-template-hash": "x"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}});
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let sets = [set("1", "one"), set("3", "three"), set("2", "two")];
        assert_eq!((last_revision(&sets), last_revision(&sets[..1])), (2, 0));
        let mut deployment: Deployment = serde_json::from_value(json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3", "own": "x"}},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "three"}]}}}}))
        .unwrap();
        assert!(!take_from(&mut deployment, &sets[1]), "it has that template");
        assert!(take_from(&mut deployment, &sets[2]));
        assert_eq!(
            json!(deployment.metadata.annotations),
            json!({"deployment.kubernetes.io/revision": "3", "why": "two"})
        );
        let template = json!(deployment.spec.unwrap().template);
        assert_eq!(template["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(template["spec"]["containers"][0]["image"], "two");
    }
}
