use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::api::{App, router};
use crate::metrics::Metrics;
use crate::{Store, StoreError};

/// How tally runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Redis Cluster nodes, `HOST:PORT`.
    pub redis: Vec<String>,
    /// App keys that are accepted.
    pub app_keys: Vec<String>,
}

/// Why tally does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Serving failed.
    #[error("failed to serve: {0}")]
    Serve(std::io::Error),
}

impl Config {
    /// Serves until `shutdown` completes, then finishes the requests under way.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let store = Store::connect(&self.redis).await?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|source| Error::Listen { address: self.listen, source })?;
        tracing::info!("listening on {}", self.listen);
        let app = App { store, metrics: Metrics::new(), app_keys: self.app_keys.into() };
        axum::serve(listener, router(app)).with_graceful_shutdown(shutdown).await.map_err(Error::Serve)
    }
}
