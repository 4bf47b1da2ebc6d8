//! The story of a running demo: what is shown, and how facts change it; pure.
//!
//! [`Story`] is a map of [`Card`]s by key. Facts come in, [`Change`]s come out, and whoever applies the changes to a copy has
//! the story: that is how a page follows it without knowing any of the rules. Time comes in with the facts.
mod activity;
mod card;
mod fact;
mod fold;
mod headline;
mod lines;

pub use card::{
    Card, Cluster, Decision, Headline, Line, LineKind, Link, Mark, MarkKind, Metric, Moment, Node, Pod,
    PodState, Scaler, Step, StepState, Tone, Workload,
};
pub use fact::{Fact, Kind, Object, Sample};
pub use fold::{Change, Story, WINDOW};
