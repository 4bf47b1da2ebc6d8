//! ConfigMaps and Secrets that pods of this node refer to, each kept current by one watch for as long as somebody holds it, and the
//! services that become environment variables. Upstream's watch-based managers (pkg/kubelet/util/manager).
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::env::{self, ServiceLink};

/// Kinds of objects whose content goes into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
}

impl Kind {
    /// As in `configmap "x" not found`.
    pub fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }

    /// As in `couldn't find key k in ConfigMap ns/x`.
    pub fn title(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Content of a ConfigMap or Secret.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Source {
    /// `data`, the part that environment variables may use.
    pub text: BTreeMap<String, Vec<u8>>,
    /// `binaryData` of a ConfigMap.
    pub binary: BTreeMap<String, Vec<u8>>,
}

impl Source {
    /// All keys with their content.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.text.iter().chain(&self.binary)
    }
}

impl From<ConfigMap> for Source {
    fn from(map: ConfigMap) -> Self {
        let text = map
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.into_bytes()))
            .collect();
        let binary = map
            .binary_data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        Self { text, binary }
    }
}

impl From<Secret> for Source {
    fn from(secret: Secret) -> Self {
        let text = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        Self {
            text,
            binary: BTreeMap::new(),
        }
    }
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Nothing,
    Absent,
    Present(Arc<Source>),
    Failed(String),
}

type Key = (Kind, String, String);

/// All watched objects of a node.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    entries: Arc<Mutex<HashMap<Key, Weak<Entry>>>>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

struct Entry {
    receiver: watch::Receiver<Known>,
    task: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps an object watched; dropped, the watch ends.
#[derive(Clone)]
pub struct Handle {
    _entry: Arc<Entry>,
    receiver: watch::Receiver<Known>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("known", &*self.receiver.borrow())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// The object as it is now; `None` when it does not exist. Waits only for the first answer of the API server.
    pub async fn get(&mut self) -> Result<Option<Arc<Source>>, String> {
        let known = self.receiver.wait_for(|known| *known != Known::Nothing).await;
        match known.map(|known| known.clone()) {
            Ok(Known::Present(source)) => Ok(Some(source)),
            Ok(Known::Absent) => Ok(None),
            Ok(Known::Failed(why)) => Err(why),
            Ok(Known::Nothing) | Err(_) => Err("the watch ended".into()),
        }
    }

    /// What is known at this moment.
    pub(crate) fn known(&self) -> Known {
        self.receiver.borrow().clone()
    }

    /// Completes when something was heard of the object that this handle has not seen.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Objects {
    /// No object is watched yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            entries: Arc::default(),
        }
    }

    /// Watches an object, sharing the watch with others that hold it.
    pub fn watch(&self, kind: Kind, namespace: &str, name: &str) -> Handle {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut entries = self.lock();
        let entry = match entries.get(&key).and_then(Weak::upgrade) {
            Some(entry) => entry,
            None => {
                let (sender, receiver) = watch::channel(Known::Nothing);
                let client = self.client.clone();
                let task = match kind {
                    Kind::ConfigMap => tokio::spawn(follow::<ConfigMap>(client, key.clone(), sender)),
                    Kind::Secret => tokio::spawn(follow::<Secret>(client, key.clone(), sender)),
                };
                let entry = Arc::new(Entry {
                    receiver,
                    task: task.abort_handle(),
                });
                entries.retain(|_, weak| weak.strong_count() > 0);
                entries.insert(key, Arc::downgrade(&entry));
                entry
            }
        };
        Handle {
            receiver: entry.receiver.clone(),
            _entry: entry,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow<K>(client: Client, key: Key, sender: watch::Sender<Known>)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Into<Source>
        + 'static,
{
    let api: Api<K> = Api::namespaced(client, &key.1);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", key.2));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listed = None;
    while let Some(event) = events.next().await {
        let next = match event {
            Ok(watcher::Event::Init) => {
                listed = None;
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed = Some(object);
                continue;
            }
            Ok(watcher::Event::InitDone) => listed
                .take()
                .map_or(Known::Absent, |object| Known::Present(Arc::new(object.into()))),
            Ok(watcher::Event::Apply(object)) => Known::Present(Arc::new(object.into())),
            Ok(watcher::Event::Delete(_)) => Known::Absent,
            Err(err) => {
                // What is known stays good while the API server is away; only a first answer may be an error.
                if !matches!(*sender.borrow(), Known::Nothing | Known::Failed(_)) {
                    continue;
                }
                Known::Failed(format!(
                    "failed to read {} {}/{}: {err}",
                    key.0.word(),
                    key.1,
                    key.2
                ))
            }
        };
        sender.send_if_modified(|known| {
            let changed = *known != next;
            if changed {
                *known = next;
            }
            changed
        });
    }
}

/// The services of the cluster, as far as environment variables need them.
#[derive(Debug, Clone)]
pub struct Services {
    links: Arc<RwLock<BTreeMap<(String, String), ServiceLink>>>,
    synced: watch::Receiver<bool>,
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Services {
    /// Begins to watch.
    pub fn watch(client: Client) -> Self {
        let links: Arc<RwLock<BTreeMap<(String, String), ServiceLink>>> = Arc::default();
        let (done, synced) = watch::channel(false);
        let kept = Arc::clone(&links);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(
                watcher(Api::<Service>::all(client), watcher::Config::default()).default_backoff()
            );
            let mut listed = BTreeMap::new();
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                let mut map = kept.write().unwrap_or_else(PoisonError::into_inner);
                match event {
                    watcher::Event::Init => listed.clear(),
                    watcher::Event::InitApply(service) => {
                        let key = key_of(&service);
                        listed.extend(link(&service).map(|link| (key, link)));
                    }
                    watcher::Event::InitDone => {
                        *map = std::mem::take(&mut listed);
                        done.send_replace(true);
                    }
                    watcher::Event::Apply(service) => {
                        let key = key_of(&service);
                        match link(&service) {
                            Some(link) => drop(map.insert(key, link)),
                            None => drop(map.remove(&key)),
                        }
                    }
                    watcher::Event::Delete(service) => drop(map.remove(&key_of(&service))),
                }
            }
        });
        Self {
            links,
            synced,
            _task: Arc::new(AbortOnDrop(task.abort_handle())),
        }
    }

    /// Variables for a pod of `namespace`: its namespace's services if it wants links, and always `kubernetes` of `default`.
    pub async fn variables(&self, namespace: &str, wanted: bool) -> BTreeMap<String, String> {
        let _ = self.synced.clone().wait_for(|done| *done).await;
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let mut chosen: BTreeMap<&str, &ServiceLink> = BTreeMap::new();
        for ((home, name), link) in links.iter() {
            let master = home == "default" && name == "kubernetes";
            if master && !chosen.contains_key(name.as_str()) || wanted && home == namespace {
                chosen.insert(name, link);
            }
        }
        env::service_variables(chosen.into_values())
    }
}

fn key_of(service: &Service) -> (String, String) {
    (service.namespace().unwrap_or_default(), service.name_any())
}

fn link(service: &Service) -> Option<ServiceLink> {
    let spec = service.spec.as_ref()?;
    let cluster_ip = spec
        .cluster_ip
        .clone()
        .filter(|ip| !ip.is_empty() && ip != "None")?;
    let ports = spec.ports.iter().flatten();
    let ports = ports
        .map(|port| {
            (
                port.port,
                port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                port.name.clone(),
            )
        })
        .collect();
    Some(ServiceLink {
        name: service.name_any(),
        cluster_ip,
        ports,
    })
}
