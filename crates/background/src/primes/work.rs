use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{is_mersenne_prime, is_prime};
use crate::{Error, page};

/// How the work runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address for `/metrics` and `/healthz`.
    pub listen: SocketAddr,
    /// Working threads.
    pub threads: usize,
}

/// Exponents are tested from here on: small enough that tests end in seconds, large enough that each is some work.
const FIRST_EXPONENT: u32 = 4001;

impl Config {
    /// Works and serves until `shutdown` completes.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let mut registry = Registry::with_prefix("background");
        let (tests, found, exponent) = (
            Counter::<u64>::default(),
            Counter::<u64>::default(),
            Gauge::<i64>::default(),
        );
        registry.register("tests", "Lucas-Lehmer tests done", tests.clone());
        registry.register("mersenne_primes", "Mersenne primes found", found.clone());
        registry.register("exponent", "Exponent taken last", exponent.clone());
        let (stopped, next) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(FIRST_EXPONENT)),
        );
        let workers: Vec<_> = (0..self.threads.max(1))
            .map(|_| {
                let (stopped, next) = (stopped.clone(), next.clone());
                let (tests, found, exponent) = (tests.clone(), found.clone(), exponent.clone());
                std::thread::spawn(move || {
                    while !stopped.load(Ordering::Relaxed) {
                        let p = next.fetch_add(1, Ordering::Relaxed);
                        if !is_prime(p) {
                            continue;
                        }
                        exponent.set(i64::from(p));
                        let Some(prime) = is_mersenne_prime(p, || !stopped.load(Ordering::Relaxed)) else {
                            return;
                        };
                        tests.inc();
                        if prime {
                            found.inc();
                            tracing::info!("2^{p} - 1 is prime");
                        }
                    }
                })
            })
            .collect();
        let registry = Arc::new(registry);
        let served = page::serve(
            self.listen,
            move || std::future::ready(Arc::clone(&registry)),
            shutdown,
        )
        .await;
        stopped.store(true, Ordering::Relaxed);
        for worker in workers {
            // A worker that panicked has said so in the log already.
            let _ = worker.join();
        }
        served
    }
}
