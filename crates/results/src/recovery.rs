//! How the client fared while something was broken, and what the cluster did about it.
use serde::{Deserialize, Serialize};

use crate::stats::quantile;
use crate::{Fault, Happening, Load, Run, Second, What};

/// So many seconds inside the band in a row, and the load is back to what it was.
pub const CALM: usize = 3;
/// With fewer seconds before the first fault nothing can be said of what is usual.
const FEWEST: usize = 3;

/// What is usual before anything is broken: seconds inside these bounds are as good as those.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Band {
    /// The median of the seconds' p99, milliseconds.
    pub usual_p99_ms: f64,
    /// Up to here p99 is as usual: the median and five robust standard deviations, at least half as much again, and 1 ms.
    pub highest_p99_ms: f64,
    /// From here on the number of completed requests is as usual: nine tenths of the median. 0 where the rate changes.
    pub fewest_completed: u64,
}

impl Band {
    /// From whole seconds before the first fault, the very first left out where there are enough: connections are made then.
    pub fn of(before: &[Second], constant: bool) -> Option<Band> {
        let calm = if before.len() > FEWEST {
            &before[1..]
        } else {
            before
        };
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        let p99 = sorted(calm.iter().filter_map(|s| s.p99_ms).collect());
        if p99.len() < FEWEST {
            return None;
        }
        let usual = quantile(&p99, 0.5);
        let spread = quantile(&sorted(p99.iter().map(|v| (v - usual).abs()).collect()), 0.5) * 1.4826;
        let completed = sorted(calm.iter().map(|s| s.completed as f64).collect());
        Some(Band {
            usual_p99_ms: usual,
            highest_p99_ms: (usual + 5.0 * spread).max(1.5 * usual).max(usual + 1.0),
            fewest_completed: if constant {
                (0.9 * quantile(&completed, 0.5)).floor() as u64
            } else {
                0
            },
        })
    }

    /// Whether a second is as good as those before.
    pub fn holds(&self, second: &Second) -> bool {
        second.failed == 0
            && second.completed >= self.fewest_completed
            && second.p99_ms.is_some_and(|p99| p99 <= self.highest_p99_ms)
    }
}

/// What a fault cost at the client, and when the cluster did what. Times are seconds after the fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recovery {
    /// What was usual; absent when there was too little before the first fault.
    pub band: Option<Band>,
    /// Requests that failed until the next fault or the end.
    pub lost: u64,
    /// Seconds outside the band, until it was back.
    pub outside_s: u64,
    /// The highest p99 of any of these seconds, milliseconds.
    pub p99_peak_ms: Option<f64>,
    /// Until the first of three seconds in a row inside the band; absent when it did not come to that.
    pub back_s: Option<f64>,
    /// A container of the victim's app ended.
    pub died_s: Option<f64>,
    /// The first endpoint was taken out of a Service.
    pub endpoint_removed_s: Option<f64>,
    /// A replacement was created.
    pub created_s: Option<f64>,
    /// A replacement was given a node.
    pub scheduled_s: Option<f64>,
    /// A container was started.
    pub started_s: Option<f64>,
    /// A pod became Ready.
    pub ready_s: Option<f64>,
    /// An endpoint was put into a Service.
    pub endpoint_added_s: Option<f64>,
    /// The node was found not to be Ready.
    pub node_not_ready_s: Option<f64>,
    /// The node was tainted so that pods leave it.
    pub tainted_s: Option<f64>,
    /// The first pod was evicted.
    pub evicted_s: Option<f64>,
    /// Another member of the store took a shard over.
    pub failover_s: Option<f64>,
    /// The node was Ready again.
    pub node_ready_s: Option<f64>,
}

impl Recovery {
    /// Computes everything for one fault out of all, from the raw data of a run's first load.
    pub fn of(fault: &Fault, all: &[Fault], load: &Load, timeline: &[Happening]) -> Recovery {
        let series = load.full_seconds();
        let first = all.iter().map(|f| f.t).fold(fault.t, f64::min);
        let until = next(fault, all);
        let calm: Vec<Second> = series
            .iter()
            .filter(|s| s.t as f64 + 1.0 <= first)
            .copied()
            .collect();
        let band = Band::of(&calm, load.mode == "open" && load.steps.len() < 2);
        let window: Vec<&Second> = series
            .iter()
            .filter(|s| s.t as f64 + 1.0 > fault.t && (s.t as f64 + 1.0) <= until)
            .collect();
        let mut recovery = Recovery {
            band,
            lost: window.iter().map(|s| s.failed).sum(),
            ..Recovery::default()
        };
        let inside = |s: &Second| match &band {
            Some(band) => band.holds(s),
            None => s.failed == 0 && s.completed > 0,
        };
        recovery.client(fault, &window, &inside);
        recovery.server(fault, until, timeline);
        recovery
    }

    fn client(&mut self, fault: &Fault, window: &[&Second], inside: &dyn Fn(&Second) -> bool) {
        let Some(left) = window.iter().position(|s| !inside(s)) else {
            self.back_s = (!window.is_empty()).then_some(0.0);
            self.p99_peak_ms = peak(window);
            return;
        };
        // What lasts cannot be over before it ends.
        let ended = fault.ended_s.unwrap_or(fault.t);
        let back = (left..window.len()).find(|&at| {
            window[at].t as f64 + 1.0 > ended
                && at + CALM <= window.len()
                && window[at..at + CALM].iter().all(|s| inside(s))
        });
        let rough = &window[..back.unwrap_or(window.len())];
        self.outside_s = rough.iter().filter(|s| !inside(s)).count() as u64;
        self.p99_peak_ms = peak(rough);
        self.back_s = back.map(|at| (window[at].t as f64 - fault.t).max(0.0));
    }

    fn server(&mut self, fault: &Fault, until: f64, timeline: &[Happening]) {
        let within = |h: &&Happening| h.t >= fault.t && h.t < until;
        let of_app = |h: &&Happening| fault.app.is_none() || h.app.is_none() || h.app == fault.app;
        let of_victim = |h: &&Happening| {
            !fault.victims.iter().any(|v| v.starts_with("node/")) || fault.victims.contains(&h.object)
        };
        let first = |what: What| {
            let mut found = timeline.iter().filter(within).filter(of_app);
            found.find(|h| h.what == what).map(|h| h.t - fault.t)
        };
        let node = |what: What| {
            let mut found = timeline.iter().filter(within).filter(of_victim);
            found.find(|h| h.what == what).map(|h| h.t - fault.t)
        };
        self.died_s = first(What::PodDied);
        self.endpoint_removed_s = first(What::EndpointRemoved);
        self.created_s = first(What::PodCreated);
        self.scheduled_s = first(What::PodScheduled);
        self.started_s = first(What::PodStarted);
        self.ready_s = first(What::PodReady);
        self.endpoint_added_s = first(What::EndpointAdded);
        self.node_not_ready_s = node(What::NodeNotReady);
        self.tainted_s = node(What::NodeTainted);
        self.evicted_s = first(What::PodEvicted);
        self.failover_s = first(What::StoreMaster);
        self.node_ready_s = node(What::NodeReady);
    }

    /// The cluster's part, in order of time, in words.
    pub fn milestones(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("container died", self.died_s),
            ("endpoint removed", self.endpoint_removed_s),
            ("node not ready", self.node_not_ready_s),
            ("node tainted", self.tainted_s),
            ("pod evicted", self.evicted_s),
            ("shard taken over", self.failover_s),
            ("replacement created", self.created_s),
            ("scheduled", self.scheduled_s),
            ("started", self.started_s),
            ("ready", self.ready_s),
            ("endpoint added", self.endpoint_added_s),
            ("node ready", self.node_ready_s),
        ];
        let mut found: Vec<_> = all.into_iter().filter_map(|(name, s)| Some((name, s?))).collect();
        found.sort_by(|a, b| a.1.total_cmp(&b.1));
        found
    }
}

/// When the fault after this one begins.
fn next(fault: &Fault, all: &[Fault]) -> f64 {
    all.iter()
        .map(|f| f.t)
        .filter(|t| *t > fault.t)
        .fold(f64::INFINITY, f64::min)
}

fn peak(seconds: &[&Second]) -> Option<f64> {
    seconds.iter().filter_map(|s| s.p99_ms).reduce(f64::max)
}

impl Run {
    /// Computes what each fault cost from the raw data: the first load's series and the timeline.
    pub fn measure_faults(&mut self) {
        let all = self.faults.clone();
        for fault in &mut self.faults {
            let until = next(fault, &all);
            let series: Vec<Second> = self
                .load
                .full_seconds()
                .iter()
                .filter(|s| (s.t as f64 + 1.0) <= until)
                .copied()
                .collect();
            fault.measure(&series);
            // Documents of before had no timeline and no such figures.
            fault.recovery = Some(Recovery::of(fault, &all, &self.load, &self.timeline));
        }
    }
}
