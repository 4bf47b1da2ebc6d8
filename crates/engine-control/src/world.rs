//! All objects of all kinds, known by their metadata: what the garbage collector and the namespace controller work on.
//!
//! Kinds come from discovery; those that a typed cache holds already are listened to there, the others get a
//! cache of their own that keeps little more than names and owners. Custom kinds are followed as they come and go.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResourceList, ObjectMeta};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta, Request};
use kube::{Client, Resource};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cache::{Cache, Kind};
use crate::context::{Context, Visitor};
use crate::{Error, gc, namespace, quota};

/// A kind that the API server serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Served {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The address of a collection, or of all namespaces' when none is named.
    pub fn request(&self, namespace: &str) -> Request {
        let namespace = Some(namespace).filter(|n| self.namespaced && !n.is_empty());
        Request::new(DynamicObject::url_path(&self.resource, namespace))
    }
}

/// Which kind, and its metadata before and after.
pub(crate) struct Sighting<'a> {
    pub kind: &'a Arc<Served>,
    pub old: Option<&'a ObjectMeta>,
    pub new: Option<&'a ObjectMeta>,
}

type Watcher = Arc<dyn Fn(Sighting<'_>) + Send + Sync>;

/// The kinds that are served now: clients define more of them, and take them back.
#[derive(Default)]
pub(crate) struct Kinds(RwLock<Vec<Arc<Served>>>);

impl Kinds {
    /// All of them.
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, kinds: Vec<Arc<Served>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = kinds;
    }
}

/// Caches of kinds that have no typed one.
struct Others {
    context: Arc<Context>,
    watcher: Watcher,
    /// By kind; dropped with its task when the kind is gone.
    caches: HashMap<String, (Arc<Cache<Slim>>, JoinSet<()>)>,
    /// Kinds that are heard of elsewhere.
    known: HashSet<String>,
    /// Custom kinds come or go.
    redefined: Arc<Notify>,
}

type Slim = PartialObjectMeta<DynamicObject>;

/// Starts the controllers that look at everything.
pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    tasks.spawn(async move {
        let found = discover_at_last(&context.config.client).await;
        let mut tasks = JoinSet::new();
        let kinds = Arc::new(Kinds::default());
        let gc = gc::Collector::new(&context, Arc::clone(&kinds));
        let namespaces = namespace::Remover::new(&context, Arc::clone(&kinds));
        let quotas = quota::Counter::new(&context, Arc::clone(&kinds));
        let watcher: Watcher = {
            let (gc, namespaces, quotas) = (Arc::clone(&gc), Arc::clone(&namespaces), Arc::clone(&quotas));
            Arc::new(move |sighting| {
                namespaces.see(&sighting);
                quotas.see(&sighting);
                gc.see(&sighting);
            })
        };
        let mut listener = Listener {
            kinds: found.iter().map(|k| (name_of(k), Arc::clone(k))).collect(),
            watcher: Arc::clone(&watcher),
            known: HashSet::new(),
        };
        context.visit(&mut listener);
        let redefined = Arc::new(Notify::new());
        let mut others = Others {
            context: Arc::clone(&context),
            watcher,
            caches: HashMap::new(),
            known: listener.known,
            redefined: Arc::clone(&redefined),
        };
        for cache in others.follow(&found) {
            cache.wait_synced().await;
        }
        kinds.replace(found);
        gc.run(&mut tasks);
        namespaces.run(&mut tasks);
        quotas.run(&mut tasks);
        let mut is_over = true;
        loop {
            if is_over {
                redefined.notified().await;
                is_over = false;
            } else {
                is_over = tokio::time::timeout(AFTERWARDS, redefined.notified())
                    .await
                    .is_err();
            }
            let found = discover_at_last(&context.config.client).await;
            // First, so that whoever is seen finds its owner's kind.
            kinds.replace(found.clone());
            // Not waited for: one that is gone again never has everything.
            others.follow(&found);
            gc.look_again();
            quotas.look_again();
        }
    });
}

impl Others {
    /// Listens to the kinds that are new, and no longer to those that are gone. Gives the caches of the former.
    fn follow(&mut self, kinds: &[Arc<Served>]) -> Vec<Arc<Cache<Slim>>> {
        let names: HashSet<String> = kinds.iter().map(|k| name_of(k)).collect();
        self.caches.retain(|name, _| names.contains(name));
        let mut new = Vec::new();
        for kind in kinds {
            let name = name_of(kind);
            let watchable = kind.can("list") && kind.can("watch") && kind.can("delete");
            // Events have no owners, and are many.
            if !watchable
                || kind.resource.plural == "events"
                || self.known.contains(&name)
                || self.caches.contains_key(&name)
            {
                continue;
            }
            let cache: Arc<Cache<Slim>> =
                Cache::slim(self.context.config.client.clone(), kind.resource.clone());
            listen(&cache, kind, &self.watcher);
            if name == DEFINITIONS {
                let redefined = Arc::clone(&self.redefined);
                cache.on_change(move |_| redefined.notify_one());
            }
            let mut task = JoinSet::new();
            cache.start(&mut task);
            new.push(Arc::clone(&cache));
            self.caches.insert(name, (cache, task));
        }
        new
    }
}

/// The server tells of a change of definitions a moment before it serves by it: after the last one it is asked once more.
const AFTERWARDS: Duration = Duration::from_secs(1);
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn name_of(kind: &Served) -> String {
    format!("{}.{}", kind.resource.plural, kind.resource.group)
}

/// Every kind, as soon as the server tells.
async fn discover_at_last(client: &Client) -> Vec<Arc<Served>> {
    let mut pause = Duration::from_millis(50);
    loop {
        match discover(client).await {
            Ok(kinds) => return kinds.into_iter().map(Arc::new).collect(),
            Err(error) => tracing::warn!(%error, "discovery failed"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

fn listen<K: Kind>(cache: &Arc<Cache<K>>, kind: &Arc<Served>, watcher: &Watcher) {
    let (kind, watcher) = (Arc::clone(kind), Arc::clone(watcher));
    cache.on_change(move |change| {
        watcher(Sighting {
            kind: &kind,
            old: change.old.map(|o| o.meta()),
            new: change.new.map(|o| o.meta()),
        });
    });
}

struct Listener {
    kinds: HashMap<String, Arc<Served>>,
    watcher: Watcher,
    known: HashSet<String>,
}

impl Visitor for Listener {
    fn visit<K: Kind + Resource<DynamicType = ()>>(&mut self, cache: &Arc<Cache<K>>) {
        let name = format!("{}.{}", K::plural(&()), K::group(&()));
        if let Some(kind) = self.kinds.get(&name) {
            listen(cache, kind, &self.watcher);
            self.known.insert(name);
        }
    }
}

/// Every kind in its preferred version.
async fn discover(client: &Client) -> Result<Vec<Served>, Error> {
    let mut kinds = Vec::new();
    collect(&mut kinds, "", "v1", &client.list_core_api_resources("v1").await?);
    for group in client.list_api_groups().await?.groups {
        let Some(version) = group.preferred_version.as_ref().or(group.versions.first()) else {
            continue;
        };
        match client.list_api_group_resources(&version.group_version).await {
            Ok(list) => collect(&mut kinds, &group.name, &version.version, &list),
            Err(error) => tracing::warn!(group = group.name, %error, "discovery of a group failed"),
        }
    }
    Ok(kinds)
}

fn collect(kinds: &mut Vec<Served>, group: &str, version: &str, list: &APIResourceList) {
    for resource in &list.resources {
        if resource.name.contains('/') {
            continue;
        }
        kinds.push(Served {
            resource: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: if group.is_empty() {
                    version.to_owned()
                } else {
                    format!("{group}/{version}")
                },
                kind: resource.kind.clone(),
                plural: resource.name.clone(),
            },
            namespaced: resource.namespaced,
            verbs: resource.verbs.clone(),
        });
    }
}
