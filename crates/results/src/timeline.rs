use serde::{Deserialize, Serialize};

/// Something that the cluster did, as a watch of its API told it while the load ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Happening {
    /// Seconds since the load began, by the clock of the load generator, when the news arrived there. What stood before the
    /// load has a negative time.
    pub t: f64,
    /// What.
    pub what: What,
    /// To whom: `pod/NAME`, `node/NAME`, `hpa/NAME`, `deployment/NAME`.
    pub object: String,
    /// The app that it belongs to (label `app.kubernetes.io/name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// More in words, such as the reason of a death.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The number, for what has one: replicas, a metric's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// Kinds of happenings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A fault was injected by this program.
    FaultBegun,
    /// It was undone.
    FaultEnded,
    /// A pod exists.
    PodCreated,
    /// A pod has a node.
    PodScheduled,
    /// A container runs that did not before.
    PodStarted,
    /// A pod is Ready.
    PodReady,
    /// A pod is no longer Ready.
    PodUnready,
    /// A container has ended; the detail has how.
    PodDied,
    /// A pod is to go because of its node or of others' priority.
    PodEvicted,
    /// A pod is to go.
    PodDeleted,
    /// A pod is gone.
    PodGone,
    /// A Service sends requests to a pod.
    EndpointAdded,
    /// It no longer does.
    EndpointRemoved,
    /// A node is Ready.
    NodeReady,
    /// A node is not Ready, or nobody knows.
    NodeNotReady,
    /// A node has a taint more; the detail has it.
    NodeTainted,
    /// A node has one less.
    NodeUntainted,
    /// A member of the store leads a shard.
    StoreMaster,
    /// It no longer does.
    StoreReplica,
    /// How many replicas were asked for.
    ReplicasAsked,
    /// How many are Ready.
    ReplicasReady,
    /// The autoscaler has a new measurement; the detail has the metric's name.
    ScalerSaw,
    /// The autoscaler wants so many replicas.
    ScalerDecided,
    /// Something that a newer program knows.
    #[serde(other)]
    Other,
}

impl What {
    /// In words, for a person.
    pub fn words(self) -> &'static str {
        match self {
            What::FaultBegun => "fault begins",
            What::FaultEnded => "fault ends",
            What::PodCreated => "pod created",
            What::PodScheduled => "pod scheduled",
            What::PodStarted => "container started",
            What::PodReady => "pod ready",
            What::PodUnready => "pod not ready",
            What::PodDied => "container died",
            What::PodEvicted => "pod evicted",
            What::PodDeleted => "pod deleted",
            What::PodGone => "pod gone",
            What::EndpointAdded => "endpoint added",
            What::EndpointRemoved => "endpoint removed",
            What::NodeReady => "node ready",
            What::NodeNotReady => "node not ready",
            What::NodeTainted => "node tainted",
            What::NodeUntainted => "taint removed",
            What::StoreMaster => "leads a shard",
            What::StoreReplica => "follows",
            What::ReplicasAsked => "replicas asked for",
            What::ReplicasReady => "replicas ready",
            What::ScalerSaw => "autoscaler sees",
            What::ScalerDecided => "autoscaler wants",
            What::Other => "something else",
        }
    }
}
