use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use super::ligand::{self, Ligand};
use super::metrics::Metrics;
use super::programs::Bench;
use crate::{Error, page};

/// How the work runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address for `/metrics` and `/healthz`.
    pub listen: SocketAddr,
    /// Dockings at once; each takes one CPU where it can have it.
    pub workers: usize,
    /// The protein (PDBQT, may be compressed by gzip).
    pub receptor: PathBuf,
    /// Vina's configuration file that says where in the protein to search.
    pub site: PathBuf,
    /// The list of molecules.
    pub ligands: PathBuf,
    /// A folder for what is made meanwhile.
    pub scratch: PathBuf,
    /// How hard Vina searches; its own default is 8.
    pub exhaustiveness: u32,
}

/// After a failure, so that a broken image does not burn CPU.
const PAUSE: Duration = Duration::from_secs(1);

impl Config {
    /// Docks and serves until `shutdown` completes. Dockings under way are broken off then: they are small, and another will do them.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let ligands = ligand::read(&self.ligands)?;
        let bench = Bench::prepare(&self.receptor, &self.site, &self.scratch, self.exhaustiveness).await?;
        let mut registry = Registry::with_prefix("background");
        let work = Arc::new(Work {
            ligands,
            bench,
            metrics: Metrics::new(&mut registry),
            next: AtomicUsize::new(0),
        });
        // Dropped at the end, which ends the workers and kills their programs.
        let mut workers = JoinSet::new();
        for _ in 0..self.workers.max(1) {
            workers.spawn(Arc::clone(&work).forever());
        }
        let registry = Arc::new(registry);
        page::serve(
            self.listen,
            move || std::future::ready(Arc::clone(&registry)),
            shutdown,
        )
        .await
    }
}

struct Work {
    ligands: Vec<Ligand>,
    bench: Bench,
    metrics: Metrics,
    next: AtomicUsize,
}

impl Work {
    async fn forever(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let ligand = &self.ligands[number % self.ligands.len()];
            // A round has a seed of its own, so that no docking is done twice.
            let seed = number / self.ligands.len() + 1;
            let begun = Instant::now();
            match self.dock(ligand, seed as u32).await {
                Ok(energy) => {
                    self.metrics.done(&ligand.name, energy, begun.elapsed());
                    tracing::info!("{}, seed {seed}: {energy} kcal/mol", ligand.name);
                }
                Err(e) => {
                    self.metrics.failed();
                    tracing::warn!("{e}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn dock(&self, ligand: &Ligand, seed: u32) -> Result<f64, Error> {
        let shape = self.bench.shape(ligand).await?;
        self.bench.dock(ligand, &shape, seed).await
    }
}
