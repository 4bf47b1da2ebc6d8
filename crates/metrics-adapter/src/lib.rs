//! `custom.metrics.k8s.io`, `external.metrics.k8s.io` and, where nobody else serves it, `metrics.k8s.io` from Prometheus queries.
//!
//! An aggregated API server: the cluster's API server passes requests on to it, showing the front proxy's certificate, and has
//! decided before who may. `trust` follows how that certificate is recognised, `server` takes in requests of nobody else. A
//! request (`route`) is answered by rules from a file (`rules`): the objects it is about (`objects`) are put into a PromQL query
//! (`prometheus`), whose samples become the API's values (`custom`, `external`, `resource`). `discovery` says what there is.

mod custom;
mod discovery;
mod error;
mod external;
mod objects;
mod prometheus;
mod resource;
mod route;
mod rules;
mod server;
mod status;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;

pub use error::Error;
pub use rules::{CustomRule, ExternalRule, ResourceRules, Rules};

/// An adapter to be.
pub struct Config {
    /// Where it listens for HTTPS.
    pub listen: SocketAddr,
    /// Prometheus, such as `http://prometheus:9090`.
    pub prometheus: String,
    /// What is served.
    pub rules: Rules,
    /// The cluster whose objects the metrics are about.
    pub client: Client,
}

/// What requests are answered with.
struct Adapter {
    rules: Rules,
    prometheus: prometheus::Prometheus,
    client: Client,
}

impl Config {
    /// Serves until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|source| Error::Listen {
                address: self.listen,
                source,
            })?;
        self.run_on(listener, shutdown).await
    }

    /// The same on a listener that is there already.
    pub async fn run_on(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let trust = trust::follow(self.client.clone())?;
        let adapter = Arc::new(Adapter {
            rules: self.rules,
            prometheus: prometheus::Prometheus::new(&self.prometheus)?,
            client: self.client,
        });
        tracing::info!(listen = %self.listen, prometheus = self.prometheus, "serving metrics");
        tokio::select! {
            () = server::serve(listener, trust, adapter) => Ok(()),
            () = shutdown => Ok(()),
        }
    }
}
