//! The run document: what was asked, where, what was measured, what happened; pure.
//!
//! One JSON file per run with everything in it. Histograms are kept losslessly (HdrHistogram V2), so that every headline
//! can be computed again from the raw data: [`Latency::from_histogram`] is the only way figures come about, and [`verify`]
//! computes them again. [`compare`] says whether two runs differ, and how sure that is.
mod axes;
mod compare;
mod cost;
mod environment;
mod latency;
mod rng;
mod run;
mod search;
pub mod stats;
mod verify;

pub use axes::{Axis, axes};
pub use compare::{COMPARISON_SCHEMA, Change, Comparison, Rules, Side, Verdict, compare, compare_arms};
pub use cost::{Cost, ListedMachine, NodePrice, PriceBook};
pub use environment::{Environment, Machine};
pub use latency::{HistogramError, Latency};
pub use run::{
    Cluster, ClusterEvent, Fault, Load, Node, Phase, PodSeries, Program, ReadError, Run, SCHEMA, Sample,
    Second, TargetInfo,
};
pub use search::{Objective, ObjectiveError, Probe, Search};
pub use verify::{Finding, verify};

#[cfg(test)]
mod schema_test;
