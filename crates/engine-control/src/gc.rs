//! The garbage collector: what nobody owns any more goes; owners that wait for their dependents get released
//! (pkg/controller/garbagecollector).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, ObjectList, PartialObjectMeta};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::events::{Level, Recorder};
use crate::meta::Key;
use crate::queue::{Outcome, Queue, run};
use crate::world::{Kinds, Served, Sighting};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
const COMPONENT: &str = "garbage-collector-controller";

type Metadata = ObjectList<PartialObjectMeta<DynamicObject>>;

/// What the graph keeps of an object.
#[derive(Clone, Debug)]
struct Node {
    kind: Arc<Served>,
    key: Key,
    owners: Vec<OwnerReference>,
    deleting: bool,
    finalizers: Vec<String>,
}

impl Node {
    fn new(kind: &Arc<Served>, meta: &ObjectMeta) -> Self {
        Self {
            kind: Arc::clone(kind),
            key: Key::meta(meta),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        }
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }

    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }

    /// Whether this is what the reference of a dependent means. One in another namespace never is, whatever its uid.
    fn is_meant(&self, reference: &OwnerReference, dependent: &Key) -> bool {
        let group = reference
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        self.is_reachable(dependent)
            && self.key.name == reference.name
            && self.kind.resource.kind == reference.kind
            && self.kind.resource.group == group
    }

    fn is_reachable(&self, dependent: &Key) -> bool {
        self.key.namespace.is_empty() || self.key.namespace == dependent.namespace
    }
}

#[derive(Default)]
struct Graph {
    nodes: HashMap<String, Node>,
    /// Owner uid to the uids of those that name it, whether it exists or not.
    dependents: HashMap<String, HashSet<String>>,
}

/// See the module's documentation.
pub(crate) struct Collector {
    client: Client,
    events: Recorder,
    kinds: Arc<Kinds>,
    graph: Mutex<Graph>,
    queue: Arc<Queue<String>>,
}

/// What to do about one object.
#[derive(Debug, PartialEq)]
enum Verdict {
    Leave,
    /// It has an owner that lives; these others it should no longer name.
    Disown(Vec<String>),
    Delete(Option<PropagationPolicy>),
}

impl Collector {
    pub fn new(context: &Arc<Context>, kinds: Arc<Kinds>) -> Arc<Self> {
        Arc::new(Self {
            client: context.config.client.clone(),
            events: context.events.clone(),
            kinds,
            graph: Mutex::default(),
            queue: Queue::new(),
        })
    }

    /// Objects whose owner's kind was not served when they were looked at may have been left for nothing.
    pub fn look_again(&self) {
        let graph = self.lock();
        for (uid, _) in graph.nodes.iter().filter(|(_, node)| !node.owners.is_empty()) {
            self.queue.add(uid.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn run(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let collector = Arc::clone(self);
        run(tasks, "garbage collector", &self.queue, 4, move |uid| {
            let collector = Arc::clone(&collector);
            async move { collector.process(&uid).await }
        });
    }

    /// Takes a change into the graph and queues whom it concerns.
    pub fn see(&self, sighting: &Sighting<'_>) {
        let mut graph = self.lock();
        for uid in graph.apply(sighting) {
            self.queue.add(uid);
        }
    }

    async fn process(&self, uid: &str) -> Outcome {
        let (node, dependents) = {
            let graph = self.lock();
            let Some(node) = graph.nodes.get(uid).cloned() else {
                return Ok(None);
            };
            (node, graph.dependents_of(uid))
        };
        if node.deleting && node.has(ORPHAN) {
            for (dependent_uid, dependent) in self.live_dependents(uid, &node).await? {
                self.disown(&dependent_uid, &dependent, &[uid.to_owned()]).await?;
            }
            return self.remove_finalizer(uid, &node, ORPHAN).await;
        }
        if node.waits_for_dependents() {
            let blocking = dependents.iter().any(|(_, d)| {
                d.owners
                    .iter()
                    .any(|o| o.uid == uid && o.block_owner_deletion == Some(true))
            });
            if !blocking {
                return self.remove_finalizer(uid, &node, FOREGROUND).await;
            }
            for (dependent, _) in &dependents {
                self.queue.add(dependent.clone());
            }
            return Ok(None);
        }
        if node.deleting || node.owners.is_empty() || self.lock().all_solid(&node) {
            return Ok(None);
        }
        // The graph may be behind, and this may end in a deletion: go by the object as it is now.
        let Some(meta) = self.read(uid, &node).await? else {
            return Ok(None);
        };
        let live = Node::new(&node.kind, &meta);
        if live.deleting || live.owners.is_empty() {
            return Ok(None);
        }
        let mut standings = Vec::new();
        for owner in &live.owners {
            self.report_stranger(owner, uid, &live);
            standings.push((owner.uid.clone(), self.standing(owner, &live).await?));
        }
        match judge(&live, &standings, !dependents.is_empty()) {
            Verdict::Leave => {}
            Verdict::Disown(owners) => self.disown(uid, &live, &owners).await?,
            Verdict::Delete(policy) => self.delete(uid, &live, meta.resource_version, policy).await?,
        }
        Ok(None)
    }

    /// All objects that name the owner, from the server itself: one that the graph has not heard of yet would be
    /// taken for abandoned as soon as its owner is gone, although it was to be kept.
    async fn live_dependents(&self, owner: &str, node: &Node) -> Result<Vec<(String, Node)>, Error> {
        let mut found = Vec::new();
        for kind in self
            .kinds
            .all()
            .into_iter()
            .filter(|k| k.can("list") && k.can("patch") && k.resource.plural != "events")
        {
            if !kind.namespaced && node.kind.namespaced {
                continue; // what is in no namespace cannot be owned by what is in one
            }
            let request = kind
                .request(&node.key.namespace)
                .list(&ListParams::default())
                .map_err(Error::request)?;
            let list = match self.client.request::<Metadata>(request).await {
                Ok(list) => list,
                // Not served any more: its objects have gone with it.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(error.into()),
            };
            for object in list.items {
                if object
                    .metadata
                    .owner_references
                    .iter()
                    .flatten()
                    .any(|o| o.uid == owner)
                {
                    found.push((
                        object.metadata.uid.clone().unwrap_or_default(),
                        Node::new(&kind, &object.metadata),
                    ));
                }
            }
        }
        Ok(found)
    }

    async fn standing(&self, owner: &OwnerReference, dependent: &Node) -> Result<Standing, Error> {
        let known = self
            .lock()
            .nodes
            .get(&owner.uid)
            .filter(|n| n.is_meant(owner, &dependent.key))
            .map(Node::waits_for_dependents);
        match known {
            Some(true) => return Ok(Standing::Waiting),
            Some(false) => return Ok(Standing::Solid),
            None => {}
        }
        // Not seen; the watch of that kind may be behind, so ask.
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = self
            .kinds
            .all()
            .into_iter()
            .find(|k| k.resource.kind == owner.kind && k.resource.group == group)
        else {
            tracing::debug!(kind = owner.kind, "owner of a kind that is not served");
            return Ok(Standing::Solid);
        };
        let request = kind
            .request(&dependent.key.namespace)
            .get(&owner.name, &GetParams::default())
            .map_err(Error::request)?;
        match self
            .client
            .request::<PartialObjectMeta<DynamicObject>>(request)
            .await
        {
            Ok(found) if found.metadata.uid.as_deref() == Some(&owner.uid) => {
                let waiting = found.metadata.deletion_timestamp.is_some()
                    && found
                        .metadata
                        .finalizers
                        .iter()
                        .flatten()
                        .any(|f| f == FOREGROUND);
                Ok(if waiting {
                    Standing::Waiting
                } else {
                    Standing::Solid
                })
            }
            Ok(_) => Ok(Standing::Absent),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Standing::Absent),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells of an owner in another namespace (graph_builder.go, reportInvalidNamespaceOwnerRef).
    fn report_stranger(&self, owner: &OwnerReference, uid: &str, dependent: &Node) {
        let namespace = &dependent.key.namespace;
        let graph = self.lock();
        if graph
            .nodes
            .get(&owner.uid)
            .is_none_or(|n| n.is_reachable(&dependent.key))
        {
            return;
        }
        let about = ObjectReference {
            api_version: Some(dependent.kind.resource.api_version.clone()),
            kind: Some(dependent.kind.resource.kind.clone()),
            namespace: Some(namespace.clone()),
            name: Some(dependent.key.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace {namespace:?}",
            owner.api_version, owner.kind, owner.name, owner.uid
        );
        self.events.about(
            COMPONENT,
            about,
            Level::Warning,
            "OwnerRefInvalidNamespace",
            message,
        );
    }

    async fn patch(&self, node: &Node, patch: &Value) -> Result<(), Error> {
        let request = node.kind.request(&node.key.namespace);
        let request = request
            .patch(&node.key.name, &PatchParams::default(), &Patch::Merge(patch))
            .map_err(Error::request)?;
        ignore_gone(self.client.request::<Value>(request).await)
    }

    /// Reads the object's metadata as it is now, if it is still the same object.
    async fn read(&self, uid: &str, node: &Node) -> Result<Option<ObjectMeta>, Error> {
        let request = node
            .kind
            .request(&node.key.namespace)
            .get(&node.key.name, &GetParams::default())
            .map_err(Error::request)?;
        match self
            .client
            .request::<PartialObjectMeta<DynamicObject>>(request)
            .await
        {
            Ok(found) if found.metadata.uid.as_deref() == Some(uid) => Ok(Some(found.metadata)),
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn disown(&self, uid: &str, node: &Node, owners: &[String]) -> Result<(), Error> {
        let Some(meta) = self.read(uid, node).await? else {
            return Ok(());
        };
        let before = meta.owner_references.unwrap_or_default();
        let left: Vec<&OwnerReference> = before.iter().filter(|o| !owners.contains(&o.uid)).collect();
        if left.len() == before.len() {
            return Ok(());
        }
        let left = if left.is_empty() { Value::Null } else { json!(left) };
        self.patch(node, &json!({"metadata": {"uid": uid, "resourceVersion": meta.resource_version, "ownerReferences": left}})).await
    }

    async fn remove_finalizer(&self, uid: &str, node: &Node, finalizer: &str) -> Outcome {
        let Some(meta) = self.read(uid, node).await? else {
            return Ok(None);
        };
        let before = meta.finalizers.unwrap_or_default();
        let left: Vec<&String> = before.iter().filter(|f| *f != finalizer).collect();
        if left.len() != before.len() {
            let left = if left.is_empty() { Value::Null } else { json!(left) };
            self.patch(node, &json!({"metadata": {"uid": uid, "resourceVersion": meta.resource_version, "finalizers": left}})).await?;
        }
        Ok(None)
    }

    async fn delete(
        &self,
        uid: &str,
        node: &Node,
        version: Option<String>,
        policy: Option<PropagationPolicy>,
    ) -> Result<(), Error> {
        let dp = DeleteParams {
            propagation_policy: policy,
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: version,
            }),
            ..DeleteParams::default()
        };
        let request = node
            .kind
            .request(&node.key.namespace)
            .delete(&node.key.name, &dp)
            .map_err(Error::request)?;
        // A conflict means that it has changed meanwhile: it is judged again.
        ignore_gone(self.client.request::<Value>(request).await)
    }
}

fn ignore_gone(result: Result<Value, kube::Error>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How an owner stands towards its dependent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Solid,
    /// It is being deleted in the foreground.
    Waiting,
    Absent,
}

fn judge(node: &Node, owners: &[(String, Standing)], has_dependents: bool) -> Verdict {
    if owners.iter().any(|(_, s)| *s == Standing::Solid) {
        let others: Vec<String> = owners
            .iter()
            .filter(|(_, s)| *s != Standing::Solid)
            .map(|(uid, _)| uid.clone())
            .collect();
        return if others.is_empty() {
            Verdict::Leave
        } else {
            Verdict::Disown(others)
        };
    }
    if owners.iter().any(|(_, s)| *s == Standing::Waiting) && has_dependents {
        return Verdict::Delete(Some(PropagationPolicy::Foreground));
    }
    // A finalizer that is there already tells how its owner wanted it to be deleted.
    Verdict::Delete(if node.has(ORPHAN) {
        Some(PropagationPolicy::Orphan)
    } else if node.has(FOREGROUND) {
        Some(PropagationPolicy::Foreground)
    } else {
        Some(PropagationPolicy::Background)
    })
}

impl Graph {
    /// Whether every owner is known to live and to stay.
    fn all_solid(&self, node: &Node) -> bool {
        node.owners.iter().all(|o| {
            let owner = self.nodes.get(&o.uid);
            owner.is_some_and(|n| n.is_meant(o, &node.key) && !n.waits_for_dependents())
        })
    }

    fn dependents_of(&self, uid: &str) -> Vec<(String, Node)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|d| Some((d.clone(), self.nodes.get(d)?.clone())))
            .collect()
    }

    /// Returns the uids to look at.
    fn apply(&mut self, sighting: &Sighting<'_>) -> Vec<String> {
        let mut concerned = Vec::new();
        if let (Some(old), None) = (sighting.old, sighting.new) {
            let uid = old.uid.clone().unwrap_or_default();
            if let Some(node) = self.nodes.remove(&uid) {
                self.unlink(&uid, &node.owners);
                // Its owners may have waited for it, its dependents have lost it.
                concerned.extend(node.owners.into_iter().map(|o| o.uid));
            }
            concerned.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        if let Some(new) = sighting.new {
            let uid = new.uid.clone().unwrap_or_default();
            let node = Node::new(sighting.kind, new);
            for owner in &node.owners {
                self.dependents
                    .entry(owner.uid.clone())
                    .or_default()
                    .insert(uid.clone());
            }
            let released = node.deleting && (node.has(ORPHAN) || node.has(FOREGROUND));
            let before = self.nodes.insert(uid.clone(), node.clone());
            let owners_before = before.map(|n| n.owners).unwrap_or_default();
            if owners_before != node.owners {
                let gone: Vec<OwnerReference> = owners_before
                    .into_iter()
                    .filter(|o| !node.owners.iter().any(|n| n.uid == o.uid))
                    .collect();
                self.unlink(&uid, &gone);
                concerned.extend(
                    gone.into_iter()
                        .chain(node.owners)
                        .map(|o| o.uid)
                        .filter(|o| self.nodes.get(o).is_some_and(Node::waits_for_dependents)),
                );
                concerned.push(uid);
            } else if released {
                concerned.push(uid);
            }
        }
        concerned
    }

    fn unlink(&mut self, uid: &str, owners: &[OwnerReference]) {
        for owner in owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::{ApiResource, GroupVersionKind};

    fn kind() -> Arc<Served> {
        Arc::new(Served {
            resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")),
            namespaced: true,
            verbs: vec![],
        })
    }

    fn meta(uid: &str, owners: &[&str]) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.into()),
            name: Some(uid.into()),
            owner_references: Some(
                owners
                    .iter()
                    .map(|o| OwnerReference {
                        uid: (*o).into(),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }
    }

    #[test]
    fn changes_concern_the_right_ones() {
        let kind = kind();
        let mut graph = Graph::default();
        let (owner, dependent) = (meta("o", &[]), meta("d", &["o"]));
        let see = |graph: &mut Graph, old: Option<&ObjectMeta>, new: Option<&ObjectMeta>| {
            graph.apply(&Sighting {
                kind: &kind,
                old,
                new,
            })
        };
        assert!(see(&mut graph, None, Some(&owner)).is_empty());
        assert_eq!(see(&mut graph, None, Some(&dependent)), ["d"]);
        assert!(
            see(&mut graph, Some(&dependent), Some(&dependent)).is_empty(),
            "nothing new"
        );
        assert_eq!(see(&mut graph, Some(&owner), None), ["d"]);
        assert_eq!(see(&mut graph, Some(&dependent), None), ["o"]);
        assert!(graph.nodes.is_empty() && graph.dependents.is_empty());
    }

    #[test]
    fn verdicts() {
        let node = |finalizers: &[&str]| Node {
            kind: kind(),
            key: Key::new("n", "x"),
            owners: vec![],
            deleting: false,
            finalizers: finalizers.iter().map(|f| (*f).to_owned()).collect(),
        };
        let owner = |uid: &str, s| (uid.to_owned(), s);
        assert_eq!(
            judge(&node(&[]), &[owner("a", Standing::Solid)], true),
            Verdict::Leave
        );
        assert_eq!(
            judge(
                &node(&[]),
                &[owner("a", Standing::Solid), owner("b", Standing::Absent)],
                true
            ),
            Verdict::Disown(vec!["b".into()])
        );
        assert_eq!(
            judge(&node(&[]), &[owner("a", Standing::Waiting)], true),
            Verdict::Delete(Some(PropagationPolicy::Foreground))
        );
        assert_eq!(
            judge(&node(&[]), &[owner("a", Standing::Absent)], true),
            Verdict::Delete(Some(PropagationPolicy::Background))
        );
        assert_eq!(
            judge(&node(&[ORPHAN]), &[owner("a", Standing::Absent)], false),
            Verdict::Delete(Some(PropagationPolicy::Orphan))
        );
    }
}
