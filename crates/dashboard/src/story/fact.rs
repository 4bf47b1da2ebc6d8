use std::collections::{BTreeMap, BTreeSet};

use results::activity::Entry;

use super::card::{Line, Link, Node, Pod, Scaler, Workload};

/// Something that has come to be known.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Whether the cluster answers; why not, or its version.
    Link(Link, String),
    /// It is another cluster than before: what was known is of the old one.
    AnotherCluster,
    /// An object is so now.
    Seen(Object),
    /// An object is no more.
    Gone(Kind, String),
    /// These are all objects of a kind; others that were known are no more.
    All(Kind, BTreeSet<String>),
    /// What Prometheus has, oldest first.
    Measured(Vec<Sample>),
    /// Prometheus does not answer, and why.
    Unmeasured(String),
    /// What somebody does with the demo, from the journal of activity.
    Told(Entry),
    /// The journal begins anew.
    NewJournal,
}

/// Kinds of objects that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// Deployments.
    Deployment,
    /// StatefulSets.
    StatefulSet,
    /// DaemonSets.
    DaemonSet,
    /// Jobs.
    Job,
    /// HorizontalPodAutoscalers.
    Scaler,
    /// Events.
    Event,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Node,
        Kind::Pod,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Job,
        Kind::Scaler,
        Kind::Event,
    ];

    /// What the keys of its cards begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Kind::Node => "node/",
            Kind::Pod => "pod/",
            Kind::Deployment => "workload/Deployment/",
            Kind::StatefulSet => "workload/StatefulSet/",
            Kind::DaemonSet => "workload/DaemonSet/",
            Kind::Job => "workload/Job/",
            Kind::Scaler => "scaler/",
            Kind::Event => "event/",
        }
    }
}

/// An object as it is now, with its uid: one of the same name that came later is another.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A node.
    Node(String, Node),
    /// A pod; `since` is filled in by the story.
    Pod(String, Pod),
    /// A workload of this kind.
    Workload(Kind, String, Workload),
    /// An autoscaler.
    Scaler(String, Scaler),
    /// An Event.
    Event(String, Line),
}

/// What Prometheus has of one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// The instant, milliseconds since 1970.
    pub t: i64,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Of those, answered 5xx.
    pub errors: Option<f64>,
    /// Median latency, ms.
    pub p50: Option<f64>,
    /// 99th percentile, ms.
    pub p99: Option<f64>,
    /// Cores by pod's name.
    pub cpu: BTreeMap<String, f64>,
}
