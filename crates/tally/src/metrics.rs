use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What Prometheus sees of tally.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    batches: Histogram,
    /// Requests under way.
    pub(crate) in_flight: Gauge,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Writes that wait for the store or are under way.
    pub(crate) pending: Gauge,
    /// Custom events counted.
    pub(crate) events: Counter,
    /// Sessions begun.
    pub(crate) sessions: Counter,
    /// Retries of SDKs that were recognised.
    pub(crate) duplicates: Counter,
    /// Requests refused because too many waited.
    pub(crate) refused: Counter,
    /// Batches sent again.
    pub(crate) retries: Counter,
    /// Times that replicas did not confirm in time.
    pub(crate) under_replicated: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    handler: &'static str,
    code: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tally");
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            seconds: Histogram::new([
                0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            ]),
            batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            pending: Gauge::default(),
            events: Counter::default(),
            sessions: Counter::default(),
            duplicates: Counter::default(),
            refused: Counter::default(),
            retries: Counter::default(),
            under_replicated: Counter::default(),
        };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to answer write requests",
            metrics.seconds.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "http_connections",
            "Connections open",
            metrics.connections.clone(),
        );
        registry.register("events", "Custom events counted", metrics.events.clone());
        registry.register("sessions", "Sessions begun", metrics.sessions.clone());
        registry.register(
            "duplicates",
            "Retries of SDKs that were recognised and not counted again",
            metrics.duplicates.clone(),
        );
        registry.register(
            "refused",
            "Requests refused because too many waited for the store",
            metrics.refused.clone(),
        );
        registry.register(
            "store_pending",
            "Writes that wait for the store or are under way",
            metrics.pending.clone(),
        );
        registry.register(
            "store_batch_size",
            "Requests in a batch of writes",
            metrics.batches.clone(),
        );
        registry.register(
            "store_retries",
            "Batches sent to the store again",
            metrics.retries.clone(),
        );
        registry.register(
            "store_under_replicated",
            "Times that replicas did not confirm in time",
            metrics.under_replicated.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    pub(crate) fn answered(&self, handler: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&Labels { handler, code }).inc();
        if handler == "/i" {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn batch(&self, size: usize) {
        self.batches.observe(size as f64);
    }

    /// OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
