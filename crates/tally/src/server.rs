use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Api;
use crate::metrics::Metrics;
use crate::{Apps, Store, StoreError};

/// A client has so long for a request's head; one that sends a byte now and then is cut off.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Requests under way at the end have so long.
const GOODBYE: Duration = Duration::from_secs(10);

/// How tally runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Redis Cluster nodes, `HOST:PORT`.
    pub redis: Vec<String>,
    /// Apps that are accepted.
    pub apps: Apps,
    /// What readers have to know; without it anybody may read.
    pub api_key: Option<String>,
    /// Requests that may wait for the store; one more is answered 503.
    pub queue: usize,
    /// Connections that may be open; one more waits.
    pub connections: usize,
    /// Replicas that must have a write before it is acknowledged, as far as they are alive.
    pub replicas: usize,
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
}

impl Config {
    /// The usual limits.
    pub fn new(listen: SocketAddr, redis: Vec<String>, apps: Apps) -> Config {
        Config {
            listen,
            redis,
            apps,
            api_key: None,
            queue: 16_384,
            connections: 8192,
            replicas: 1,
        }
    }

    /// Serves until `shutdown` completes, then finishes the requests under way.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|source| Error::Listen {
                address: self.listen,
                source,
            })?;
        self.serve(listener, shutdown).await
    }

    /// Serves on a socket that listens already.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let metrics = Metrics::new();
        let store = Store::connect(&self.redis, self.queue, self.replicas, &metrics).await?;
        tracing::info!("serving on {:?}", listener.local_addr());
        let api = Arc::new(Api::new(store, metrics, self.apps, self.api_key));
        let (places, graceful) = (
            Arc::new(Semaphore::new(self.connections)),
            GracefulShutdown::new(),
        );
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &places) => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, place)) => answer_connection(stream, place, Arc::clone(&api), &graceful),
                // Out of descriptors, or the client has gone again: neither is mended by haste.
                Err(e) => {
                    tracing::warn!("failed to accept a connection: {e}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        drop(listener);
        if tokio::time::timeout(GOODBYE, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests were not finished within {} s", GOODBYE.as_secs());
        }
        Ok(())
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn answer_connection(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    api: Arc<Api>,
    graceful: &GracefulShutdown,
) {
    // Answers are small; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let open = api.metrics().connections.clone();
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(64 * 1024)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        open.inc();
        if let Err(e) = connection.await {
            tracing::debug!("a connection ended: {e}");
        }
        open.dec();
        drop(place);
    });
}
