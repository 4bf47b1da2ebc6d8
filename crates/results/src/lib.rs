//! The run document: what was asked, where, what was measured, what happened; pure.
//!
//! One JSON file per run with everything in it. Histograms are kept losslessly (HdrHistogram V2), so that every headline
//! can be computed again from the raw data: [`Latency::from_histogram`] is the only way figures come about, and [`verify`]
//! computes them again. [`compare`] says whether two runs differ, and how sure that is.
pub mod activity;
mod axes;
mod compare;
mod cost;
mod counted;
mod environment;
mod generator;
mod latency;
mod recovery;
mod rng;
mod run;
mod scaling;
mod search;
pub mod stats;
mod steady;
mod timeline;
mod verify;

pub use axes::{Axis, axes};
pub use compare::{COMPARISON_SCHEMA, Change, Comparison, Rules, Side, Verdict, compare, compare_arms};
pub use cost::{Cost, ListedElectricity, ListedMachine, NodePrice, PriceBook};
pub use counted::Counted;
pub use environment::{Environment, Machine};
pub use generator::Generator;
pub use latency::{HistogramError, Latency};
pub use recovery::{Band, CALM, Recovery};
pub use run::{
    Cluster, ClusterEvent, Fault, Load, Node, Phase, PodSeries, Program, ReadError, Run, SCHEMA, Sample,
    Second, TargetInfo, to_the_second,
};
pub use scaling::{RateStep, Reaction, reactions};
pub use search::{Objective, ObjectiveError, Probe, Search};
pub use steady::Steady;
pub use timeline::{Happening, What};
pub use verify::{Finding, verify};

#[cfg(test)]
mod schema_test;
