use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::Config;
use super::objects;
use super::prometheus::{Prometheus, STEP};
use super::scaler;
use crate::Hub;
use crate::hub::now;
use crate::story::{Fact, Kind, Link, Object, WINDOW};

/// How often it is looked whether there is a cluster, or whether it answers again.
const LOOK: Duration = Duration::from_millis(300);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// A watch says nothing while nothing happens; that the API is there is asked.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A kind that the cluster does not serve, or not to us, is asked for again after this.
const UNSERVED: Duration = Duration::from_secs(30);

/// Follows whatever cluster the configuration leads to, again and again.
pub(super) async fn follow(config: Config, hub: Arc<Hub>) {
    let mut known: Option<String> = None;
    loop {
        let ended = match kubeconfig(&config).await {
            Ok(None) => {
                known = None;
                Ended {
                    link: Link::Absent,
                    why: String::new(),
                }
            }
            Ok(Some(found)) => Box::pin(session(&config, found, &hub, &mut known)).await,
            Err(why) => Ended {
                link: Link::Reaching,
                why,
            },
        };
        // Before it has answered for the first time nothing is lost.
        let link = if ended.link == Link::Lost && known.is_none() {
            Link::Reaching
        } else {
            ended.link
        };
        hub.tell(Fact::Link(link, ended.why));
        tokio::time::sleep(LOOK).await;
    }
}

/// Why a session has ended.
struct Ended {
    link: Link,
    why: String,
}

impl Ended {
    fn lost(why: impl Into<String>) -> Ended {
        Ended {
            link: Link::Lost,
            why: why.into(),
        }
    }
}

/// The kubeconfig, and its text, by which another one is told.
struct Found {
    text: String,
    config: kube::Config,
}

async fn kubeconfig(config: &Config) -> Result<Option<Found>, String> {
    let Some(text) = read(&config.kubeconfig).await? else {
        return Ok(None);
    };
    let failed = |e: kube::config::KubeconfigError| format!("{}: {e}", config.kubeconfig.display());
    let parsed = Kubeconfig::from_yaml(&text).map_err(failed)?;
    let options = KubeConfigOptions {
        context: config.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut built = kube::Config::from_custom_kubeconfig(parsed, &options)
        .await
        .map_err(failed)?;
    built.connect_timeout = Some(PATIENCE);
    Ok(Some(Found { text, config: built }))
}

async fn read(path: &Path) -> Result<Option<String>, String> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("failed to read {}: {e}", path.display())),
    }
}

/// From the first answer of a cluster to the first thing that goes wrong with it.
async fn session(config: &Config, found: Found, hub: &Arc<Hub>, known: &mut Option<String>) -> Ended {
    let client = match Client::try_from(found.config) {
        Ok(client) => client,
        Err(e) => return Ended::lost(e.to_string()),
    };
    let (version, identity) = match greet(&client).await {
        Ok(greeting) => greeting,
        Err(why) => return Ended::lost(why),
    };
    if known.as_ref().is_some_and(|known| *known != identity) {
        hub.tell(Fact::AnotherCluster);
    }
    *known = Some(identity);
    hub.tell(Fact::Link(Link::Live, version));
    let watches = Watches {
        client: client.clone(),
        hub: hub.clone(),
        listed: Arc::new(Semaphore::new(0)),
    };
    let here = &config.namespace;
    tokio::select! {
        ended = watches.every_kind(here) => ended,
        ended = heartbeat(&client) => ended,
        ended = other_kubeconfig(config, &found.text) => ended,
        never = measure(config, &watches) => match never {},
    }
}

/// The version, and what tells this cluster from another one.
async fn greet(client: &Client) -> Result<(String, String), String> {
    let greeting = async {
        let version = client.apiserver_version().await?.git_version;
        // It lives as long as the cluster. Who may not see it takes clusters of one address for one.
        let namespace = Api::<Namespace>::all(client.clone()).get_opt("kube-system").await;
        Ok((
            version,
            namespace.ok().flatten().and_then(|n| n.uid()).unwrap_or_default(),
        ))
    };
    match tokio::time::timeout(PATIENCE, greeting).await {
        Ok(greeting) => greeting.map_err(|e: kube::Error| e.to_string()),
        Err(_) => Err(format!("the API does not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn heartbeat(client: &Client) -> Ended {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        match tokio::time::timeout(PATIENCE, client.apiserver_version()).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Ended::lost(e.to_string()),
            Err(_) => return Ended::lost(format!("the API does not answer within {} s", PATIENCE.as_secs())),
        }
    }
}

/// Ends when the kubeconfig is another one or gone: so is the cluster.
async fn other_kubeconfig(config: &Config, before: &str) -> Ended {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if read(&config.kubeconfig)
            .await
            .is_ok_and(|now| now.as_deref() != Some(before))
        {
            return Ended::lost("its kubeconfig has changed");
        }
    }
}

/// Asks Prometheus for what has come since the last time, while somebody is watching.
async fn measure(config: &Config, watches: &Watches) -> std::convert::Infallible {
    let hub = &watches.hub;
    // What is measured of a pod can be understood when the pod is known.
    let listed = watches.listed.acquire_many(Kind::ALL.len() as u32);
    let _ = tokio::time::timeout(Duration::from_secs(2), listed).await;
    let prometheus = match &config.prometheus {
        Some(url) => Prometheus::Url(reqwest::Client::new(), url.clone()),
        None => Prometheus::Service(watches.client.clone(), config.namespace.clone()),
    };
    let mut viewers = hub.viewers();
    loop {
        // The sender lives in the hub.
        let _ = viewers.wait_for(|watching| *watching > 0).await;
        let to = (now() - STEP / 2) / STEP * STEP;
        let last = hub.read(|story| story.moments().last().map_or(i64::MIN, |(_, m)| m.t));
        let from = (to - WINDOW).max(last.saturating_add(STEP));
        if from <= to {
            match prometheus.ask(&config.namespace, from, to).await {
                Ok(samples) => hub.tell(Fact::Measured(samples)),
                Err(why) => hub.tell(Fact::Unmeasured(why)),
            }
        }
        // Half a step after the next one is due: by then it has been scraped.
        let wait = (to + STEP + STEP / 2 - now()).clamp(STEP / 4, STEP);
        tokio::time::sleep(Duration::from_millis(wait as u64)).await;
    }
}

/// The watches of one session.
struct Watches {
    client: Client,
    hub: Arc<Hub>,
    /// Has a permit for each kind that was listed.
    listed: Arc<Semaphore>,
}

impl Watches {
    /// Ends when one of them ends.
    async fn every_kind(&self, namespace: &str) -> Ended {
        fn here<K>(client: &Client, namespace: &str) -> Api<K>
        where
            K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        {
            Api::namespaced(client.clone(), namespace)
        }
        let client = &self.client;
        tokio::select! {
            ended = self.one(Kind::Node, Api::<Node>::all(client.clone()), objects::node) => ended,
            ended = self.one(Kind::Pod, here::<Pod>(client, namespace), objects::pod) => ended,
            ended = self.one(Kind::Deployment, here::<Deployment>(client, namespace), objects::deployment) => ended,
            ended = self.one(Kind::StatefulSet, here::<StatefulSet>(client, namespace), objects::stateful_set) => ended,
            ended = self.one(Kind::DaemonSet, here::<DaemonSet>(client, namespace), objects::daemon_set) => ended,
            ended = self.one(Kind::Job, here::<Job>(client, namespace), objects::job) => ended,
            ended = self.one(Kind::Scaler, here::<HorizontalPodAutoscaler>(client, namespace), scaler::scaler) => ended,
            ended = self.one(Kind::Event, here::<Event>(client, namespace), objects::event) => ended,
        }
    }

    async fn one<K>(&self, kind: Kind, api: Api<K>, object: fn(K) -> Option<Object>) -> Ended
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        loop {
            let mut listing: Option<BTreeSet<String>> = None;
            let mut changes = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
            let error = loop {
                match changes.next().await {
                    Some(Ok(watcher::Event::Init)) => listing = Some(BTreeSet::new()),
                    Some(Ok(watcher::Event::InitApply(found) | watcher::Event::Apply(found))) => {
                        if let Some(listing) = &mut listing {
                            listing.extend(found.uid());
                        }
                        if let Some(object) = object(found) {
                            self.hub.tell(Fact::Seen(object));
                        }
                    }
                    Some(Ok(watcher::Event::Delete(found))) => {
                        if let Some(uid) = found.uid() {
                            self.hub.tell(Fact::Gone(kind, uid));
                        }
                    }
                    Some(Ok(watcher::Event::InitDone)) => {
                        self.hub.tell(Fact::All(kind, listing.take().unwrap_or_default()));
                        self.listed.add_permits(1);
                    }
                    Some(Err(e)) => break e,
                    None => return Ended::lost("the watch has ended"),
                }
            };
            match status(&error) {
                // The watch is too old to go on; it is begun anew.
                Some(410) => {}
                Some(403..=405) => {
                    tracing::info!("{kind:?} cannot be watched: {error}");
                    self.listed.add_permits(1);
                    tokio::time::sleep(UNSERVED).await;
                }
                _ => return Ended::lost(why(&error)),
            }
        }
    }
}

fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// The innermost cause: what a person can do something with.
fn why(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    match cause.downcast_ref::<std::io::Error>() {
        // TLS would tell of alerts that nobody sent.
        Some(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => cause.to_string(),
    }
}
