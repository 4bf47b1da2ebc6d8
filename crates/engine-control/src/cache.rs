//! One watch and one cache per resource, shared by all controllers.
//!
//! A cache also takes in what its own writes returned, so that a controller sees at once what it did. Upstream needs
//! "expectations" to bridge the time until the watch catches up; here a resource version that is not newer than
//! what the watch has passed is ignored, and a removed object's uid is kept as a tombstone until the watch reports it.

mod watching;
mod writing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kube::core::Request;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

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

    fn request(&self, namespace: Option<&str>) -> Request {
        Request::new(K::url_path(&self.kind, namespace.filter(|n| !n.is_empty())))
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
