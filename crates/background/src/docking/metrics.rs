use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Label = [(&'static str, String); 1];

/// What the work tells of itself.
#[derive(Clone)]
pub(super) struct Metrics {
    dockings: Counter,
    failures: Counter,
    took: Histogram,
    affinity: Family<Label, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            dockings: Counter::default(),
            failures: Counter::default(),
            // A quarter of a second to about half an hour: with the least CPU share a docking may take long.
            took: Histogram::new(exponential_buckets(0.25, 2.0, 14)),
            affinity: Family::default(),
        };
        registry.register("dockings", "Dockings finished", metrics.dockings.clone());
        registry.register(
            "docking_failures",
            "Dockings that failed",
            metrics.failures.clone(),
        );
        registry.register_with_unit(
            "docking_duration",
            "Time from a docking's beginning to its end",
            Unit::Seconds,
            metrics.took.clone(),
        );
        registry.register(
            "affinity_kcal_per_mole",
            "Energy of the best place that was found for a molecule; less is held better",
            metrics.affinity.clone(),
        );
        registry.register_collector(Box::new(CpuOfChildren));
        metrics
    }

    /// A docking is done.
    pub(super) fn done(&self, ligand: &str, affinity: f64, took: Duration) {
        self.dockings.inc();
        self.took.observe(took.as_secs_f64());
        let best = self.affinity.get_or_create(&[("ligand", ligand.to_owned())]);
        // Zero is what a molecule begins with; no molecule of the list is held that badly.
        if best.get() > affinity || best.get() == 0.0 {
            best.set(affinity);
        }
    }

    /// A docking has failed.
    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}

/// CPU time of the programs that were run and have ended.
#[derive(Debug)]
struct CpuOfChildren;

impl Collector for CpuOfChildren {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Where /proc does not say, the metric is absent.
        let Ok(stat) = procfs::process::Process::myself().and_then(|p| p.stat()) else {
            return Ok(());
        };
        let ticks = (stat.cutime + stat.cstime).max(0) as f64;
        let counter = ConstCounter::new(ticks / procfs::ticks_per_second() as f64);
        let help = "CPU time given to programs that have ended";
        let metric = encoder.encode_descriptor("cpu", help, Some(&Unit::Seconds), counter.metric_type())?;
        counter.encode(metric)
    }
}
