//! One watch and one cache per resource, shared by all controllers.
//!
//! A cache also takes in what its own writes returned, so that a controller sees at once what it did. Upstream needs
//! "expectations" to bridge the time until the watch catches up; here a resource version that is not newer than
//! what the watch has passed is ignored, and a removed object's uid is kept as a tombstone until the watch reports it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy, WatchEvent,
    WatchParams,
};
use kube::core::{ObjectList, Request};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Error;
use crate::meta::{Key, Meta};

/// Everything a cached object has to be able to do.
pub(crate) trait Kind:
    Resource<DynamicType: Clone> + Clone + DeserializeOwned + Serialize + Debug + Send + Sync + 'static
{
}
impl<K: Resource<DynamicType: Clone> + Clone + DeserializeOwned + Serialize + Debug + Send + Sync + 'static>
    Kind for K
{
}

/// What changed: the object before, and after; never neither.
pub(crate) struct Change<'a, K> {
    pub old: Option<&'a Arc<K>>,
    pub new: Option<&'a Arc<K>>,
}

impl<K> Change<'_, K> {
    /// The newest form that is known.
    pub fn any(&self) -> Option<&Arc<K>> {
        self.new.or(self.old)
    }
}

impl<K> Clone for Change<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Change<'_, K> {}

type Handler<K> = Box<dyn Fn(Change<'_, K>) + Send + Sync>;

/// See the module's documentation.
pub(crate) struct Cache<K: Kind> {
    client: Client,
    kind: K::DynamicType,
    fields: Option<String>,
    state: RwLock<State<K>>,
    /// Held while a change is applied and told, so that handlers hear changes in order.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
    ticks: watch::Sender<()>,
    /// Only names, owners and finalizers are kept.
    slim: bool,
}

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Controller uid to keys; objects without a controller are under "namespace/" + their namespace.
    by_controller: HashMap<String, BTreeSet<Key>>,
    /// The newest resource version that the watch has delivered.
    seen: u64,
    tombstones: HashSet<String>,
}

fn group_of<K: Meta>(object: &K) -> String {
    object
        .controller()
        .map_or_else(|| format!("namespace/{}", object.ns()), |c| c.uid.clone())
}

impl<K: Kind> Cache<K> {
    pub fn new(client: Client, kind: K::DynamicType, fields: Option<&str>) -> Arc<Self> {
        Self::build(client, kind, fields, false)
    }

    /// A cache that keeps of each object only what is asked of all kinds alike.
    pub fn slim(client: Client, kind: K::DynamicType) -> Arc<Self> {
        Self::build(client, kind, None, true)
    }

    fn build(client: Client, kind: K::DynamicType, fields: Option<&str>, slim: bool) -> Arc<Self> {
        Arc::new(Self {
            slim,
            ticks: watch::Sender::new(()),
            client,
            kind,
            fields: fields.map(str::to_owned),
            state: RwLock::new(State {
                objects: BTreeMap::new(),
                by_controller: HashMap::new(),
                seen: 0,
                tombstones: HashSet::new(),
            }),
            handlers: Mutex::new(Vec::new()),
            synced: watch::Sender::new(false),
        })
    }

    fn read<T>(&self, f: impl FnOnce(&State<K>) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls back on every change, in order, also for what is already there. The callback must be quick and must not
    /// write through this cache.
    pub fn on_change(&self, handler: impl Fn(Change<'_, K>) + Send + Sync + 'static) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for object in self.all() {
            handler(Change {
                old: None,
                new: Some(&object),
            });
        }
        handlers.push(Box::new(handler));
    }

    /// Is marked as changed by every change.
    pub fn ticks(&self) -> watch::Receiver<()> {
        self.ticks.subscribe()
    }

    /// Waits until the first list is in.
    pub async fn wait_synced(&self) {
        // The sender lives as long as self, so this cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read(|s| s.objects.get(key).cloned())
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.read(|s| s.objects.values().cloned().collect())
    }

    pub fn filter(&self, keep: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.read(|s| s.objects.values().filter(|o| keep(o)).cloned().collect())
    }

    /// All objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = Key::new(namespace, "");
        self.read(|s| {
            s.objects
                .range(from..)
                .take_while(|(k, _)| k.namespace == namespace)
                .map(|(_, o)| Arc::clone(o))
                .collect()
        })
    }

    /// Objects whose controller has this uid.
    pub fn controlled(&self, uid: &str) -> Vec<Arc<K>> {
        self.read(|s| {
            s.by_controller
                .get(uid)
                .into_iter()
                .flatten()
                .filter_map(|k| s.objects.get(k).cloned())
                .collect()
        })
    }

    /// Objects of a namespace without a controller: candidates for adoption.
    pub fn uncontrolled(&self, namespace: &str) -> Vec<Arc<K>> {
        self.controlled(&format!("namespace/{namespace}"))
    }

    fn upsert(&self, mut object: K, from_watch: bool) {
        // Half of an object's size is who set which field; no controller asks for it.
        object.meta_mut().managed_fields = None;
        if self.slim {
            object.meta_mut().annotations = None;
            object.meta_mut().labels = None;
        }
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let object = Arc::new(object);
        let key = object.key();
        let rv = object.rv();
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if from_watch {
                state.seen = state.seen.max(rv);
            } else if rv <= state.seen && state.objects.get(&key).is_none_or(|o| o.uid() != object.uid()) {
                return; // the watch has already been past it, and past its removal
            }
            if state.tombstones.contains(object.uid()) {
                return;
            }
            if let Some(old) = state.objects.get(&key)
                && old.rv() >= rv
            {
                return;
            }
            let old = state.objects.insert(key.clone(), Arc::clone(&object));
            if let Some(old) = &old {
                state.unindex(&key, old);
            }
            state
                .by_controller
                .entry(group_of(&*object))
                .or_default()
                .insert(key);
            old
        };
        match old {
            // Deleted and made again under the same name: two changes for those who look at uids.
            Some(old) if old.uid() != object.uid() => {
                self.tell(
                    &handlers,
                    Change {
                        old: Some(&old),
                        new: None,
                    },
                );
                self.tell(
                    &handlers,
                    Change {
                        old: None,
                        new: Some(&object),
                    },
                );
            }
            old => self.tell(
                &handlers,
                Change {
                    old: old.as_ref(),
                    new: Some(&object),
                },
            ),
        }
    }

    fn tell(&self, handlers: &[Handler<K>], change: Change<'_, K>) {
        self.ticks.send_replace(());
        for handler in handlers {
            handler(change);
        }
    }

    fn remove(&self, key: &Key, uid: &str, rv: u64, from_watch: bool) {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if from_watch {
                state.seen = state.seen.max(rv);
                state.tombstones.remove(uid);
            } else {
                state.tombstones.insert(uid.to_owned());
            }
            if state.objects.get(key).is_none_or(|o| o.uid() != uid) {
                return;
            }
            let old = state.objects.remove(key);
            if let Some(old) = &old {
                state.unindex(key, old);
            }
            old
        };
        if let Some(old) = old {
            self.tell(
                &handlers,
                Change {
                    old: Some(&old),
                    new: None,
                },
            );
        }
    }

    // --- the watch ---

    fn request(&self, namespace: Option<&str>) -> Request {
        Request::new(K::url_path(&self.kind, namespace.filter(|n| !n.is_empty())))
    }

    /// Keeps the cache current until the tasks end.
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let cache = Arc::clone(self);
        tasks.spawn(async move {
            let mut failures = 0_u32;
            loop {
                match cache.list_and_watch(&mut failures).await {
                    Ok(()) => {}
                    Err(error) => {
                        let kind = K::plural(&cache.kind);
                        if error.code() == Some(404) {
                            tracing::warn!(%kind, "the API server does not serve this kind");
                            cache.synced.send_replace(true);
                        } else {
                            tracing::warn!(%kind, %error, "watch failed");
                        }
                        failures = failures.saturating_add(1);
                    }
                }
                if failures > 0 {
                    tokio::time::sleep(Duration::from_millis(20_u64 << failures.min(11))).await;
                }
            }
        });
    }

    async fn list_and_watch(&self, failures: &mut u32) -> Result<(), Error> {
        let lp = ListParams {
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        let request = self.request(None).list(&lp).map_err(Error::request)?;
        let list: ObjectList<K> = self.client.request(request).await?;
        let version = list.metadata.resource_version.clone().unwrap_or_default();
        self.replace_all(list.items, version.parse().unwrap_or(0));
        self.synced.send_replace(true);
        *failures = 0;
        let mut version = version;
        let wp = WatchParams {
            field_selector: self.fields.clone(),
            bookmarks: true,
            ..WatchParams::default()
        };
        loop {
            let request = self.request(None).watch(&wp, &version).map_err(Error::request)?;
            let events = self.client.request_events::<K>(request).await;
            let mut events = match events {
                Ok(events) => events.boxed(),
                Err(kube::Error::Api(status)) if status.code == 410 => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut quiet = true;
            loop {
                let event = match events.try_next().await {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "watch broken");
                        break;
                    }
                };
                quiet = false;
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        version = object.meta().resource_version.clone().unwrap_or(version);
                        self.upsert(object, true);
                    }
                    WatchEvent::Deleted(object) => {
                        version = object.meta().resource_version.clone().unwrap_or(version);
                        self.remove(&object.key(), object.uid(), object.rv(), true);
                    }
                    WatchEvent::Bookmark(mark) => {
                        if let Ok(rv) = mark.metadata.resource_version.parse::<u64>() {
                            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                            state.seen = state.seen.max(rv);
                        }
                        version = mark.metadata.resource_version;
                    }
                    WatchEvent::Error(status) => {
                        tracing::debug!(?status, "watch ended with an error");
                        return Ok(()); // mostly 410: list again
                    }
                }
            }
            if quiet {
                // A server that ends watches at once must not be asked in a tight loop.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn replace_all(&self, items: Vec<K>, version: u64) {
        let present: HashSet<String> = items.iter().map(|o| o.uid().to_owned()).collect();
        let gone: Vec<(Key, String)> = self.read(|s| {
            s.objects
                .iter()
                .filter(|(_, o)| !present.contains(o.uid()) && o.rv() <= version)
                .map(|(k, o)| (k.clone(), o.uid().to_owned()))
                .collect()
        });
        for (key, uid) in gone {
            self.remove(&key, &uid, version, true);
        }
        for object in items {
            self.upsert(object, true);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = state.seen.max(version);
        state.tombstones.clear();
    }

    // --- writes; what they return is in the cache when they return ---

    /// Whether a deleted object in this form has nothing left to wait for. Namespaces have finalizers of their own.
    fn is_released(&self, object: &K) -> bool {
        let meta = object.m();
        meta.deletion_timestamp.is_some()
            && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
            && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
            && K::kind(&self.kind) != "Namespace"
    }

    fn keep(&self, object: K) -> Arc<K> {
        let arc = Arc::new(object.clone());
        if self.is_released(&object) {
            // Removed by this very write: the last finalizer is gone.
            self.remove(&object.key(), object.uid(), object.rv(), false);
        } else {
            self.upsert(object, false);
        }
        arc
    }

    pub async fn create(&self, object: &K) -> Result<Arc<K>, Error> {
        self.create_value(object.ns(), object).await
    }

    /// Creates from anything that serialises to the kind, for fields that the typed form cannot express.
    pub async fn create_value(&self, namespace: &str, object: &impl Serialize) -> Result<Arc<K>, Error> {
        let mut value = serde_json::to_value(object)?;
        self.typed(&mut value);
        let body = serde_json::to_vec(&value)?;
        let request = self
            .request(Some(namespace))
            .create(&PostParams::default(), body)
            .map_err(Error::request)?;
        Ok(self.keep(self.client.request::<K>(request).await?))
    }

    /// Replaces the whole object.
    pub async fn replace_value(&self, key: &Key, object: &impl Serialize) -> Result<Arc<K>, Error> {
        let mut value = serde_json::to_value(object)?;
        self.typed(&mut value);
        let body = serde_json::to_vec(&value)?;
        let request = self
            .request(Some(&key.namespace))
            .replace(&key.name, &PostParams::default(), body)
            .map_err(Error::request)?;
        Ok(self.keep(self.client.request::<K>(request).await?))
    }

    fn typed(&self, value: &mut Value) {
        if let Value::Object(map) = value {
            map.entry("apiVersion")
                .or_insert_with(|| K::api_version(&self.kind).into_owned().into());
            map.entry("kind")
                .or_insert_with(|| K::kind(&self.kind).into_owned().into());
        }
    }

    /// Sends what differs between the two as a merge patch, on the condition that nobody wrote in between. Nothing
    /// is sent when nothing differs.
    pub async fn update(&self, old: &K, new: &K) -> Result<Option<Arc<K>>, Error> {
        self.send_difference(old, new, None).await
    }

    /// As `update`, for the status.
    pub async fn update_status(&self, old: &K, new: &K) -> Result<Option<Arc<K>>, Error> {
        self.send_difference(old, new, Some("status")).await
    }

    async fn send_difference(
        &self,
        old: &K,
        new: &K,
        subresource: Option<&str>,
    ) -> Result<Option<Arc<K>>, Error> {
        let Some(mut patch) = merge_difference(&serde_json::to_value(old)?, &serde_json::to_value(new)?)
        else {
            return Ok(None);
        };
        patch["metadata"]["resourceVersion"] = old.m().resource_version.clone().into();
        self.merge_patch(&old.key(), &patch, subresource).await.map(Some)
    }

    /// Sends a JSON merge patch as it is.
    pub async fn merge_patch(
        &self,
        key: &Key,
        patch: &Value,
        subresource: Option<&str>,
    ) -> Result<Arc<K>, Error> {
        let request = self.request(Some(&key.namespace));
        let (pp, patch) = (PatchParams::default(), Patch::Merge(patch));
        let request = match subresource {
            None => request.patch(&key.name, &pp, &patch),
            Some(subresource) => request.patch_subresource(subresource, &key.name, &pp, &patch),
        };
        Ok(self.keep(self.client.request::<K>(request.map_err(Error::request)?).await?))
    }

    /// Deletes the object if it is still this one; one that is gone already is no error.
    pub async fn delete(&self, object: &K) -> Result<(), Error> {
        self.delete_with(&object.key(), object.uid(), &DeleteParams::default())
            .await
    }

    pub async fn delete_propagating(&self, object: &K, policy: PropagationPolicy) -> Result<(), Error> {
        let dp = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        self.delete_with(&object.key(), object.uid(), &dp).await
    }

    pub async fn delete_with(&self, key: &Key, uid: &str, dp: &DeleteParams) -> Result<(), Error> {
        let mut dp = dp.clone();
        dp.preconditions.get_or_insert_with(|| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let request = self
            .request(Some(&key.namespace))
            .delete(&key.name, &dp)
            .map_err(Error::request)?;
        match self.client.request::<Value>(request).await {
            Ok(answer) => {
                // The object, when it is only marked; a Status, or the last state of a pod that had no grace left.
                match serde_json::from_value::<K>(answer) {
                    Ok(object) if !object.name().is_empty() && object.uid() == uid => {
                        let stays = object.deleting() && !self.is_released(&object);
                        if stays {
                            self.upsert(object, false);
                        } else {
                            self.remove(key, uid, 0, false);
                        }
                    }
                    _ => self.remove(key, uid, 0, false),
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.remove(key, uid, 0, false);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads from the server, past the cache.
    pub async fn fetch(&self, key: &Key) -> Result<Option<K>, Error> {
        let request = self
            .request(Some(&key.namespace))
            .get(&key.name, &kube::api::GetParams::default())
            .map_err(Error::request)?;
        match self.client.request::<K>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl<K: Meta> State<K> {
    fn unindex(&mut self, key: &Key, object: &K) {
        let group = group_of(object);
        if let Some(keys) = self.by_controller.get_mut(&group) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_controller.remove(&group);
            }
        }
    }
}

/// The merge patch (RFC 7396) that turns `old` into `new`; `None` when they are equal.
pub(crate) fn merge_difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(before) => {
                if let Some(difference) = merge_difference(before, value) {
                    patch.insert(key.clone(), difference);
                }
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn difference_is_minimal() {
        let old = json!({"a": 1, "b": {"c": 1, "d": [1]}, "e": 2});
        let new = json!({"a": 1, "b": {"c": 2, "d": [1]}, "f": 3});
        assert_eq!(
            merge_difference(&old, &new),
            Some(json!({"b": {"c": 2}, "e": null, "f": 3}))
        );
        assert_eq!(merge_difference(&old, &old), None);
    }
}
