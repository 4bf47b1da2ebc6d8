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
    /// Requests under way.
    pub(crate) in_flight: Gauge,
    /// Events counted.
    pub(crate) events: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    handler: &'static str,
    code: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tally");
        let requests = Family::default();
        let seconds = Histogram::new([0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]);
        let (in_flight, events) = (Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time to answer write requests", seconds.clone());
        registry.register("http_requests_in_flight", "Requests under way", in_flight.clone());
        registry.register("events", "Custom events counted", events.clone());
        Self { registry: Arc::new(registry), requests, seconds, in_flight, events }
    }

    pub(crate) fn answered(&self, handler: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&Labels { handler, code }).inc();
        if handler == "/i" {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    /// OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
