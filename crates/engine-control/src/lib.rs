//! Controllers and the scheduler of the embedded engine; speak only through a kube client.
//!
//! Everything here reacts to watches: one watch and one in-memory cache per resource (`cache`), shared by all
//! controllers, feed keyed work queues (`queue`). Timers exist only where Kubernetes has a deadline. The controllers
//! are level-triggered: each step looks at the caches, decides with pure functions, and writes the difference.
//!
//! - foundations: `cache`, `queue`, `events`, `meta`, `selector`, `quantity`
//! - workloads: `pods`, `template`, `adopt`, `revision`, `replicaset`, `replicationcontroller`, `deployment`, `statefulset`, `daemonset`, `job`, `cronjob`
//! - scaling: `autoscale`
//! - services: `endpoints`, `endpointslice`, `endpointmirror`, `servicecidrs`
//! - housekeeping: `namespace`, `serviceaccount`, `gc`, `podgc`, `nodelifecycle`, `volumes`, `quota`, `disruption`, `ttl`, `certificates`; `world` sees all kinds alike
//! - `scheduler`: which pod goes where

mod account_tokens;
mod adopt;
mod aggregation;
mod autoscale;
mod cache;
mod certificates;
mod context;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpointmirror;
mod endpoints;
mod endpointslice;
mod events;
mod gc;
mod job;
mod meta;
mod namespace;
mod nodelifecycle;
mod podgc;
mod pods;
mod quantity;
mod queue;
mod quota;
mod replicaset;
mod replicationcontroller;
mod requests;
mod resourceclaim;
mod revision;
mod scheduler;
mod selector;
mod serviceaccount;
mod servicecidrs;
mod statefulset;
mod template;
mod ttl;
mod volumes;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use context::Context;

/// What can go wrong in a controller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("api request failed: {0}")]
    Api(#[from] kube::Error),
    /// A request could not even be formed.
    #[error("failed to form api request: {0}")]
    Request(String),
    /// An object could not be read or written as JSON.
    #[error("failed to convert object: {0}")]
    Convert(#[from] serde_json::Error),
    /// An object says something that cannot be acted upon.
    #[error("{0}")]
    Invalid(String),
    /// A bug in a controller; it goes on with the next object.
    #[error("controller step panicked")]
    Panicked,
}

impl Error {
    pub(crate) fn request(error: kube::core::request::Error) -> Self {
        Self::Request(error.to_string())
    }

    /// The HTTP code of the API server's answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(&status.reason),
            _ => None,
        }
    }

    /// Somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && !self.is_exists()
    }

    pub(crate) fn is_exists(&self) -> bool {
        self.reason() == Some("AlreadyExists")
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The namespace is going away, so creating in it is pointless.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        match self {
            Self::Api(kube::Error::Api(status)) => {
                status.code == 403 && status.message.contains("is being terminated")
                    || status
                        .details
                        .as_ref()
                        .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"))
            }
            _ => false,
        }
    }

    /// The message as the API server worded it, for events.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Api(kube::Error::Api(status)) => status.message.clone(),
            other => other.to_string(),
        }
    }
}

/// How local-path volumes are removed when their claim is gone: called with the folder's path.
pub type RemoveFolder = Arc<dyn Fn(PathBuf) + Send + Sync>;

/// A token that a Secret of type `kubernetes.io/service-account-token` carries.
#[derive(Debug, Clone, Copy)]
pub struct SecretToken<'a> {
    /// Of the Secret and of the service account.
    pub namespace: &'a str,
    /// Service account.
    pub account: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Name of the Secret, without which the token is worth nothing.
    pub secret: &'a str,
}

/// How such tokens are signed; `None` when that fails.
pub type SignSecretToken = Arc<dyn Fn(&SecretToken<'_>) -> Option<String> + Send + Sync>;

/// What the controllers need.
#[derive(Clone)]
pub struct Config {
    /// The controllers' identity (`system:kube-controller-manager`).
    pub client: kube::Client,
    /// The scheduler's identity (`system:kube-scheduler`).
    pub scheduler_client: kube::Client,
    /// PEM of the certificate authority, published as ConfigMap `kube-root-ca.crt` in every namespace.
    pub root_ca: String,
    /// PEM of its key, by which signing requests are answered; without one they stay unanswered.
    pub ca_key: Option<String>,
    /// Signs tokens for Secrets that ask for one; without it they stay empty.
    pub sign_secret_token: Option<SignSecretToken>,
    /// Where volumes of class `local-path` live.
    pub volumes_folder: PathBuf,
    /// Removes a released volume's folder. Without one, the volume stays `Released` with an explaining event.
    pub remove_folder: Option<RemoveFolder>,
    /// Seconds after which a node that renews no lease counts as lost (upstream: 50 since 1.32).
    pub node_monitor_grace_seconds: u32,
    /// Finished pods beyond this number are removed, oldest first (upstream: 12500).
    pub terminated_pods_kept: usize,
    /// How often each HorizontalPodAutoscaler is looked at (upstream: 15 seconds).
    pub autoscaler_period: Duration,
    /// How long a deleted namespace is left as it is (upstream: 5 seconds; `namespaceDeletionGracePeriod` of
    /// pkg/controller/namespace/namespace_controller.go).
    pub namespace_grace: Duration,
    /// How far a metric may be from its target before anything is scaled (upstream: 0.1).
    pub autoscaler_tolerance: f64,
}

impl Config {
    /// A configuration with upstream's figures.
    pub fn new(
        client: kube::Client,
        scheduler_client: kube::Client,
        root_ca: String,
        volumes_folder: PathBuf,
    ) -> Self {
        Self {
            client,
            scheduler_client,
            root_ca,
            ca_key: None,
            sign_secret_token: None,
            volumes_folder,
            remove_folder: None,
            node_monitor_grace_seconds: 50,
            terminated_pods_kept: 12_500,
            autoscaler_period: Duration::from_secs(15),
            namespace_grace: Duration::from_secs(5),
            autoscaler_tolerance: 0.1,
        }
    }

    /// Starts everything on the current tokio runtime; it runs until the result is dropped.
    pub fn build(self) -> Controllers {
        let mut tasks = JoinSet::new();
        let context = Context::start(self, &mut tasks);
        let supervised = Arc::clone(&context);
        tasks.spawn(async move {
            supervised.wait_synced().await;
            let mut controllers = JoinSet::new();
            start_all(&supervised, &mut controllers);
            tracing::debug!("controllers started");
            while controllers.join_next().await.is_some() {}
        });
        Controllers { tasks, context }
    }
}

fn start_all(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    scheduler::start(context, tasks);
    serviceaccount::start(context, tasks);
    servicecidrs::start(context, tasks);
    account_tokens::start(context, tasks);
    replicaset::start(context, tasks);
    replicationcontroller::start(context, tasks);
    deployment::start(context, tasks);
    statefulset::start(context, tasks);
    daemonset::start(context, tasks);
    job::start(context, tasks);
    cronjob::start(context, tasks);
    endpointslice::start(context, tasks);
    endpoints::start(context, tasks);
    endpointmirror::start(context, tasks);
    world::start(context, tasks);
    podgc::start(context, tasks);
    nodelifecycle::start(context, tasks);
    volumes::start(context, tasks);
    disruption::start(context, tasks);
    aggregation::start(context, tasks);
    ttl::start(context, tasks);
    certificates::start(context, tasks);
    autoscale::start(context, tasks);
    resourceclaim::start(context, tasks);
}

/// The running controllers; dropping stops them.
pub struct Controllers {
    tasks: JoinSet<()>,
    context: Arc<Context>,
}

impl Controllers {
    /// Waits until every cache holds what the API server had at the start.
    pub async fn ready(&self) {
        self.context.wait_synced().await;
    }

    /// Stops all controllers and waits until they have.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
