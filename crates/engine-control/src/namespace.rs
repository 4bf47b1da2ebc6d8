//! Namespaces that are being deleted: their content goes, pods first, then they do (pkg/controller/namespace).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use kube::Resource;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::{DynamicObject, ObjectList, PartialObjectMeta, Request};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::pods;
use crate::queue::{Outcome, Queue, run};
use crate::world::{Kinds, Served, Sighting};

const FINALIZER: &str = "kubernetes";

/// See the module's documentation.
pub(crate) struct Remover {
    context: Arc<Context>,
    kinds: Arc<Kinds>,
    queue: Arc<Queue<String>>,
}

/// What is left of one kind.
struct Remains {
    kind: String,
    objects: usize,
    finalizers: Vec<String>,
}

impl Remover {
    pub fn new(context: &Arc<Context>, kinds: Arc<Kinds>) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            kinds,
            queue: Queue::new(),
        })
    }

    /// Namespaces themselves, and the last breath of what is in them.
    pub fn see(&self, sighting: &Sighting<'_>) {
        let is_namespace =
            sighting.kind.resource.plural == "namespaces" && sighting.kind.resource.group.is_empty();
        if is_namespace {
            if let Some(new) = sighting.new.filter(|n| n.deletion_timestamp.is_some()) {
                self.queue.add(new.name.clone().unwrap_or_default());
            }
        } else if let (Some(old), None) = (sighting.old, sighting.new)
            && let Some(namespace) = &old.namespace
            && self
                .context
                .namespaces
                .get(&Key::new("", namespace))
                .is_some_and(|n| n.deleting())
        {
            self.queue.add(namespace.clone());
        }
    }

    pub fn run(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let remover = Arc::clone(self);
        run(tasks, "namespace", &self.queue, 4, move |name| {
            let remover = Arc::clone(&remover);
            async move { remover.sync(&name).await }
        });
    }

    async fn sync(&self, name: &str) -> Outcome {
        let Some(namespace) = self.context.namespaces.get(&Key::new("", name)) else {
            return Ok(None);
        };
        let finalizers = namespace
            .spec
            .as_ref()
            .and_then(|s| s.finalizers.clone())
            .unwrap_or_default();
        if !namespace.deleting() || !finalizers.iter().any(|f| f == FINALIZER) {
            return Ok(None);
        }
        let left = self.grace_left(&namespace);
        if !left.is_zero() {
            return Ok(Some(left));
        }
        let (pods, others): (Vec<_>, Vec<_>) = self
            .kinds
            .all()
            .into_iter()
            .filter(|k| k.namespaced && k.can("delete") && k.can("list") && k.resource.plural != "events")
            .partition(|k| k.resource.plural == "pods" && k.resource.group.is_empty());
        let patience = self.patience(&namespace);
        let mut failures = Vec::new();
        let mut pods_left = false;
        for kind in pods {
            pods_left |= self.empty(&kind, name, patience, &mut failures).await.is_some();
        }
        let mut remains = Vec::new();
        // Other content may be what the pods still use.
        if !pods_left {
            for kind in others {
                remains.extend(self.empty(&kind, name, false, &mut failures).await);
            }
        }
        // Of pods alone nothing is told, as long as there is nothing wrong with them.
        let namespace = self.describe(&namespace, &remains, &mut failures).await?;
        if !failures.is_empty() {
            return Err(Error::Invalid(format!(
                "failed to delete all resource types in {name}: {}",
                failures.join(", ")
            )));
        }
        if pods_left || !remains.is_empty() {
            // Removals wake us; the timer is for kinds that are not watched.
            return Ok(Some(Duration::from_secs(5)));
        }
        // Events last, since what was deleted may have caused some.
        let events = self.kinds.all();
        let mut events = events
            .iter()
            .filter(|k| k.resource.plural == "events" && k.resource.group.is_empty());
        if let Some(events) = events.next() {
            self.clear(events, name).await?;
        }
        self.finalize(&namespace, &finalizers).await?;
        Ok(None)
    }

    /// How long nothing is done yet, so that whoever asks finds the namespace on its way out.
    fn grace_left(&self, namespace: &Namespace) -> Duration {
        let since = namespace.metadata.deletion_timestamp.as_ref();
        let passed = since.map_or(Duration::MAX, |at| {
            Duration::try_from(Timestamp::now().duration_since(at.0)).unwrap_or_default()
        });
        self.context.config.namespace_grace.saturating_sub(passed)
    }

    /// Whether its pods may still be there (estimateGracefulTermination).
    fn patience(&self, namespace: &Namespace) -> bool {
        let pods = self.context.pods.in_namespace(namespace.name());
        let graces = pods.iter().filter(|p| !pods::is_terminal(p));
        let graces = graces.filter_map(|p| p.spec.as_ref()?.termination_grace_period_seconds);
        let since = namespace.metadata.deletion_timestamp.as_ref().map(|at| at.0);
        let passed = since.map_or(0, |at| Timestamp::now().duration_since(at).as_secs());
        graces.max().is_some_and(|longest| passed < longest)
    }

    /// Deletes all objects of a kind; says what is left afterwards, and notes what went wrong. Without `patience` nothing may be
    /// left that no finalizer holds (deleteAllContentForGroupVersionResource).
    async fn empty(
        &self,
        kind: &Served,
        namespace: &str,
        patience: bool,
        failures: &mut Vec<String>,
    ) -> Option<Remains> {
        match self.clear(kind, namespace).await {
            Ok(left) => {
                let left = left?;
                if !patience && left.finalizers.is_empty() {
                    let resource = &kind.resource;
                    failures.push(format!(
                        "unexpected items still remain in namespace: {namespace} for gvr: {}/{}, Resource={}",
                        resource.group, resource.version, resource.plural
                    ));
                }
                Some(left)
            }
            Err(error) => {
                failures.push(error.message());
                None
            }
        }
    }

    /// Deletes all objects of a kind; says what is left afterwards.
    async fn clear(&self, kind: &Served, namespace: &str) -> Result<Option<Remains>, Error> {
        let client = &self.context.config.client;
        let list: ObjectList<PartialObjectMeta<DynamicObject>> = self.list(kind, namespace).await?;
        if list.items.is_empty() {
            return Ok(None);
        }
        let dp = DeleteParams::background();
        if kind.can("deletecollection") {
            let request = kind
                .request(namespace)
                .delete_collection(&dp, &ListParams::default())
                .map_err(Error::request)?;
            client.request::<Value>(request).await?;
        } else {
            for object in &list.items {
                let request = kind
                    .request(namespace)
                    .delete(object.name(), &dp)
                    .map_err(Error::request)?;
                match client.request::<Value>(request).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let left = self.list(kind, namespace).await?;
        if left.items.is_empty() {
            return Ok(None);
        }
        Ok(Some(Remains {
            kind: if kind.resource.group.is_empty() {
                format!("{}.", kind.resource.plural)
            } else {
                format!("{}.{}", kind.resource.plural, kind.resource.group)
            },
            objects: left.items.len(),
            finalizers: left
                .items
                .iter()
                .flat_map(|o| o.metadata.finalizers.iter().flatten().cloned())
                .collect(),
        }))
    }

    async fn list(
        &self,
        kind: &Served,
        namespace: &str,
    ) -> Result<ObjectList<PartialObjectMeta<DynamicObject>>, Error> {
        let request = kind
            .request(namespace)
            .list(&ListParams::default())
            .map_err(Error::request)?;
        Ok(self.context.config.client.request(request).await?)
    }

    async fn finalize(&self, namespace: &Namespace, finalizers: &[String]) -> Result<(), Error> {
        let mut object = namespace.clone();
        object.spec.get_or_insert_default().finalizers =
            Some(finalizers.iter().filter(|f| *f != FINALIZER).cloned().collect());
        let body = serde_json::to_vec(&object)?;
        let request = Request::new(Namespace::url_path(&(), None));
        let request = request
            .replace_subresource("finalize", namespace.name(), &PostParams::default(), body)
            .map_err(Error::request)?;
        match self.context.config.client.request::<Value>(request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The conditions that tell a person why it takes so long. Returns the namespace with them.
    async fn describe(
        &self,
        namespace: &Arc<Namespace>,
        remains: &[Remains],
        failures: &mut [String],
    ) -> Result<Arc<Namespace>, Error> {
        failures.sort();
        let mut conditions = namespace
            .status
            .as_ref()
            .and_then(|s| s.conditions.clone())
            .unwrap_or_default();
        let mut set = |kind: &str, status: bool, reason: &str, message: String| {
            let status = if status { "True" } else { "False" };
            let old = conditions.iter().position(|c| c.type_ == kind);
            let since = old
                .filter(|at| conditions[*at].status == status)
                .and_then(|at| conditions[at].last_transition_time.clone());
            let condition = NamespaceCondition {
                type_: kind.into(),
                status: status.into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_transition_time: since.or_else(|| Some(now())),
            };
            match old {
                Some(at) => conditions[at] = condition,
                None => conditions.push(condition),
            }
        };
        set(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".into(),
        );
        set(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
        );
        if failures.is_empty() {
            set(
                "NamespaceDeletionContentFailure",
                false,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization".into(),
            );
        } else {
            let message = format!(
                "Failed to delete all resource types, {} remaining: {}",
                failures.len(),
                failures.join(", ")
            );
            set(
                "NamespaceDeletionContentFailure",
                true,
                "ContentDeletionFailed",
                message,
            );
        }
        let (content, finalizers) = describe_remains(remains);
        match content {
            Some(message) => set("NamespaceContentRemaining", true, "SomeResourcesRemain", message),
            None => set(
                "NamespaceContentRemaining",
                false,
                "ContentRemoved",
                "All content successfully removed".into(),
            ),
        }
        match finalizers {
            Some(message) => set(
                "NamespaceFinalizersRemaining",
                true,
                "SomeFinalizersRemain",
                message,
            ),
            None => set(
                "NamespaceFinalizersRemaining",
                false,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".into(),
            ),
        }
        let mut updated = (**namespace).clone();
        updated.status.get_or_insert_default().conditions = Some(conditions);
        match self.context.namespaces.update_status(namespace, &updated).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            written => Ok(written.ok().flatten().unwrap_or_else(|| Arc::clone(namespace))),
        }
    }
}

fn describe_remains(remains: &[Remains]) -> (Option<String>, Option<String>) {
    let mut kinds: Vec<String> = remains
        .iter()
        .map(|r| format!("{} has {} resource instances", r.kind, r.objects))
        .collect();
    kinds.sort();
    let mut counts = std::collections::BTreeMap::new();
    for finalizer in remains.iter().flat_map(|r| &r.finalizers) {
        *counts.entry(finalizer.clone()).or_insert(0) += 1;
    }
    let finalizers: Vec<String> = counts
        .into_iter()
        .map(|(f, n): (String, i32)| format!("{f} in {n} resource instances"))
        .collect();
    (
        (!kinds.is_empty()).then(|| format!("Some resources are remaining: {}", kinds.join(", "))),
        (!finalizers.is_empty()).then(|| {
            format!(
                "Some content in the namespace has finalizers remaining: {}",
                finalizers.join(", ")
            )
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_words() {
        let remains = [
            Remains {
                kind: "pods.".into(),
                objects: 2,
                finalizers: vec!["a/b".into(), "a/b".into()],
            },
            Remains {
                kind: "jobs.batch".into(),
                objects: 1,
                finalizers: vec![],
            },
        ];
        let (content, finalizers) = describe_remains(&remains);
        assert_eq!(
            content.unwrap(),
            "Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances"
        );
        assert_eq!(
            finalizers.unwrap(),
            "Some content in the namespace has finalizers remaining: a/b in 2 resource instances"
        );
    }
}
