//! Following a cluster: its API, its Prometheus and the journal of activity, over restarts and from before its beginning.
mod journal;
mod objects;
mod prometheus;
mod scaler;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::Hub;

/// What is followed.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster as a person names it.
    pub name: String,
    /// Its kubeconfig, which need not exist yet.
    pub kubeconfig: PathBuf,
    /// The context in it; without one its current context.
    pub context: Option<String>,
    /// The demo's namespace.
    pub namespace: String,
    /// The journal of activity, which need not exist yet.
    pub journal: PathBuf,
    /// Prometheus' address; without one it is asked through the API server's proxy of the service `prometheus`.
    pub prometheus: Option<String>,
}

/// Follows until it is dropped.
#[derive(Debug)]
pub struct Dashboard {
    hub: Arc<Hub>,
    _tasks: JoinSet<()>,
}

impl Config {
    /// Begins to follow.
    pub fn build(self) -> Dashboard {
        let hub = Hub::new(&self.name, &self.namespace);
        let mut tasks = JoinSet::new();
        tasks.spawn(journal::follow(self.journal.clone(), hub.clone()));
        tasks.spawn({
            let hub = hub.clone();
            async move { hub.age().await }
        });
        tasks.spawn(session::follow(self, hub.clone()));
        Dashboard { hub, _tasks: tasks }
    }
}

impl Dashboard {
    /// Who has the story.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}
