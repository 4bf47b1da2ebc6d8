//! All objects of all kinds, known by their metadata: what the garbage collector and the namespace controller work on.
//!
//! Kinds come from discovery; those that a typed cache holds already are listened to there, the others get a
//! cache of their own that keeps little more than names and owners.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResourceList, ObjectMeta};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta, Request};
use kube::{Client, Resource};
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

/// Starts the controllers that look at everything.
pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    tasks.spawn(async move {
        let mut pause = std::time::Duration::from_millis(50);
        let kinds = loop {
            match discover(&context.config.client).await {
                Ok(kinds) => break kinds,
                Err(error) => tracing::warn!(%error, "discovery failed"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_secs(30));
        };
        let mut tasks = JoinSet::new();
        let kinds: Arc<Vec<Arc<Served>>> = Arc::new(kinds.into_iter().map(Arc::new).collect());
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
            kinds: kinds
                .iter()
                .map(|k| (k.resource.plural.clone() + "." + &k.resource.group, Arc::clone(k)))
                .collect(),
            watcher: Arc::clone(&watcher),
            known: HashSet::new(),
        };
        context.visit(&mut listener);
        let mut others = Vec::new();
        for kind in kinds.iter() {
            let watchable = kind.can("list") && kind.can("watch") && kind.can("delete");
            // Events have no owners, and are many.
            if !watchable
                || kind.resource.plural == "events"
                || listener
                    .known
                    .contains(&(kind.resource.plural.clone() + "." + &kind.resource.group))
            {
                continue;
            }
            let cache: Arc<Cache<PartialObjectMeta<DynamicObject>>> =
                Cache::slim(context.config.client.clone(), kind.resource.clone());
            listen(&cache, kind, &watcher);
            cache.start(&mut tasks);
            others.push(cache);
        }
        for cache in &others {
            cache.wait_synced().await;
        }
        gc.run(&mut tasks);
        namespaces.run(&mut tasks);
        quotas.run(&mut tasks);
        while tasks.join_next().await.is_some() {}
        drop(others);
    });
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
