//! What the cluster does while a load runs, from watches: each change of an object becomes happenings by comparing it with what it
//! was. The comparisons are pure, one file for each kind.
mod nodes;
mod pods;
mod scaling;
mod slices;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt as _};
use results::{Happening, What};
use tokio::task::JoinHandle;

pub(crate) use pods::restarts;

/// A happening whose time is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    pub(crate) what: What,
    pub(crate) object: String,
    pub(crate) app: Option<String>,
    pub(crate) detail: String,
    pub(crate) value: Option<f64>,
}

impl News {
    pub(crate) fn of(what: What, object: String, app: Option<String>) -> News {
        News {
            what,
            object,
            app,
            detail: String::new(),
            value: None,
        }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> News {
        News {
            detail: detail.into(),
            ..self
        }
    }

    pub(crate) fn value(self, value: f64) -> News {
        News {
            value: Some(value),
            ..self
        }
    }
}

/// The label that names an object's app.
pub(crate) fn app(object: &impl Resource) -> Option<String> {
    object.labels().get("app.kubernetes.io/name").cloned()
}

/// Watches pods, endpoints, nodes, deployments and autoscalers until it is finished.
pub struct Observer {
    log: Log,
    tasks: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Watches a namespace and the nodes; times are counted from `begun`.
    pub fn start(client: &Client, namespace: &str, begun: Instant) -> Observer {
        let log = Log {
            begun,
            seen: Arc::default(),
        };
        let spaced = || client.clone();
        let tasks = vec![
            log.follow(Api::<Pod>::namespaced(spaced(), namespace), pods::news),
            log.follow(
                Api::<EndpointSlice>::namespaced(spaced(), namespace),
                slices::news,
            ),
            log.follow(
                Api::<Deployment>::namespaced(spaced(), namespace),
                scaling::deployment,
            ),
            log.follow(
                Api::<HorizontalPodAutoscaler>::namespaced(spaced(), namespace),
                scaling::autoscaler,
            ),
            log.follow(Api::<Node>::all(spaced()), nodes::news),
        ];
        Observer { log, tasks }
    }

    /// An instant, as happenings have it.
    pub fn at(&self, instant: Instant) -> f64 {
        instant.saturating_duration_since(self.log.begun).as_secs_f64()
    }

    /// What has been seen so far, in order of time.
    pub fn so_far(&self) -> Vec<Happening> {
        let seen = self.log.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = seen.clone();
        seen.sort_by(|a, b| a.t.total_cmp(&b.t));
        seen
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Clone)]
struct Log {
    begun: Instant,
    seen: Arc<Mutex<Vec<Happening>>>,
}

impl Log {
    fn follow<K>(&self, api: Api<K>, news: fn(Option<&K>, Option<&K>) -> Vec<News>) -> JoinHandle<()>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
        K: serde::de::DeserializeOwned,
    {
        let log = self.clone();
        tokio::spawn(async move {
            let mut known = Known {
                objects: BTreeMap::new(),
                listed: BTreeSet::new(),
                first: true,
                news,
            };
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => log.add(known.take(event)),
                    // The watcher tries again by itself, and lists anew.
                    Err(e) => tracing::debug!("a watch was interrupted: {e}"),
                }
            }
        })
    }

    fn add(&self, news: Vec<(bool, News)>) {
        let now = self.begun.elapsed().as_secs_f64();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(news.into_iter().map(|(before, news)| Happening {
            // What stands before the load is no news of it.
            t: if before { now.min(-0.001) } else { now },
            what: news.what,
            object: news.object,
            app: news.app,
            detail: news.detail,
            value: news.value,
        }));
    }
}

/// Objects as they were last seen.
struct Known<K> {
    objects: BTreeMap<String, K>,
    listed: BTreeSet<String>,
    /// Nothing has been listed yet.
    first: bool,
    news: fn(Option<&K>, Option<&K>) -> Vec<News>,
}

impl<K: Resource<DynamicType = ()> + Clone> Known<K> {
    /// News, and whether they tell of how things stood at first. Of these only states are kept, not what became of pods long ago.
    fn take(&mut self, event: watcher::Event<K>) -> Vec<(bool, News)> {
        match event {
            watcher::Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.listed.insert(object.name_any());
                let first = self.first;
                let news = self.apply(object);
                news.into_iter()
                    .filter(|n| !first || is_state(n.what))
                    .map(|n| (first, n))
                    .collect()
            }
            watcher::Event::InitDone => {
                self.first = false;
                let gone: Vec<String> = self
                    .objects
                    .keys()
                    .filter(|name| !self.listed.contains(*name))
                    .cloned()
                    .collect();
                gone.iter()
                    .flat_map(|name| self.remove(name))
                    .map(|n| (false, n))
                    .collect()
            }
            watcher::Event::Apply(object) => self.apply(object).into_iter().map(|n| (false, n)).collect(),
            watcher::Event::Delete(object) => {
                let name = object.name_any();
                self.remove(&name).into_iter().map(|n| (false, n)).collect()
            }
        }
    }

    fn apply(&mut self, object: K) -> Vec<News> {
        let name = object.name_any();
        let old = self.objects.get(&name);
        // Another object of the same name: the old one is gone.
        let replaced = old.is_some_and(|o| o.uid() != object.uid());
        let mut news = if replaced {
            (self.news)(old, None)
        } else {
            Vec::new()
        };
        news.extend((self.news)(old.filter(|_| !replaced), Some(&object)));
        self.objects.insert(name, object);
        news
    }

    fn remove(&mut self, name: &str) -> Vec<News> {
        let old = self.objects.remove(name);
        old.map(|old| (self.news)(Some(&old), None)).unwrap_or_default()
    }
}

/// Kinds that say how things are rather than what has become of something.
fn is_state(what: What) -> bool {
    matches!(
        what,
        What::EndpointAdded
            | What::NodeNotReady
            | What::NodeTainted
            | What::ReplicasAsked
            | What::ReplicasReady
            | What::ScalerSaw
            | What::ScalerDecided
    )
}
