//! The run document: what was asked, where, what was measured, what happened; pure.
//!
//! One JSON file per run with everything in it. Histograms are kept losslessly (HdrHistogram V2), so that every headline
//! can be computed again from the raw data: [`Latency::from_histogram`] is the only way figures come about.
mod latency;
mod run;

pub use latency::{HistogramError, Latency};
pub use run::{
    Cluster, ClusterEvent, Fault, Load, Node, Phase, PodSeries, Program, Run, SCHEMA, Sample, Second, TargetInfo,
};
