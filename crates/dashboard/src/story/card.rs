use serde::{Deserialize, Serialize};

/// One thing that is shown. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Card {
    /// What matters most now.
    Headline(Headline),
    /// The cluster, and whether it answers.
    Cluster(Cluster),
    /// A node.
    Node(Node),
    /// A pod, also for a moment after its end.
    Pod(Pod),
    /// What keeps pods: a Deployment, StatefulSet, DaemonSet or Job.
    Workload(Workload),
    /// An autoscaler.
    Scaler(Scaler),
    /// What an autoscaler wanted and had, at one instant.
    Decision(Decision),
    /// A step of bootstrap or deploy.
    Step(Step),
    /// A span of time that is marked in the charts: load or a fault.
    Mark(Mark),
    /// What Prometheus has of one instant.
    Moment(Moment),
    /// A sentence of the story.
    Line(Line),
}

/// What matters most now, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// How it is meant.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// Whether the cluster answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// There is none yet.
    Absent,
    /// There is one, and it has not answered yet.
    Reaching,
    /// It answers, and changes are seen as they happen.
    Live,
    /// It has stopped answering; what is shown is what was known then.
    Lost,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// As a person names it.
    pub name: String,
    /// The demo's namespace.
    pub namespace: String,
    /// Whether it answers.
    pub link: Link,
    /// Since when that is so.
    pub since: i64,
    /// Why it does not, in the words of what failed.
    pub why: String,
    /// The API server's version.
    pub version: String,
    /// Whether Prometheus answers; empty if it does, else why not.
    pub metrics: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether pods may be placed on it.
    pub schedulable: bool,
    /// Why it is not Ready.
    pub why: String,
    /// CPU capacity, as Kubernetes writes it.
    pub cpu: String,
    /// Memory capacity, as Kubernetes writes it.
    pub memory: String,
}

/// Where a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    /// No node has it yet.
    Pending,
    /// A node has it, and it is not ready.
    Starting,
    /// It serves.
    Ready,
    /// A container fails again and again, or its image cannot be had.
    Failing,
    /// It was asked to end.
    Ending,
    /// It has done its work.
    Done,
    /// It has ended badly.
    Failed,
    /// It is no more; shown for a moment.
    Gone,
}

impl PodState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            PodState::Pending => "pending",
            PodState::Starting => "starting",
            PodState::Ready => "ready",
            PodState::Failing => "failing",
            PodState::Ending => "ending",
            PodState::Done => "done",
            PodState::Failed => "failed",
            PodState::Gone => "gone",
        }
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// `app.kubernetes.io/name`, or what its owner suggests.
    pub app: String,
    /// The node that has it; empty while none does.
    pub node: String,
    /// Where it stands.
    pub state: PodState,
    /// Since when the story knows it so.
    pub since: i64,
    /// What it waits for or suffers from, in the cluster's words.
    pub why: String,
    /// Restarts of its containers.
    pub restarts: i32,
    /// Whether it gives way to others: its priority is negative.
    pub background: bool,
}

/// What keeps pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `DaemonSet` or `Job`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Pods it should have; completions of a Job.
    pub wanted: i32,
    /// Pods that are ready; completions that are done.
    pub ready: i32,
    /// Why a Job has failed or a rollout stands still; empty otherwise.
    pub trouble: String,
}

/// One metric of an autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it is; empty while that is not known.
    pub now: String,
    /// What it should be.
    pub target: String,
}

/// An autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaler {
    /// Its name.
    pub name: String,
    /// What it scales, `Deployment/tally`.
    pub scales: String,
    /// Fewest replicas.
    pub min: i32,
    /// Most replicas.
    pub max: i32,
    /// Replicas there are.
    pub current: i32,
    /// Replicas it wants.
    pub desired: i32,
    /// What it goes by.
    pub metrics: Vec<Metric>,
    /// What keeps it from more, or from working, in its own words.
    pub why: String,
}

/// What an autoscaler wanted and had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The autoscaler.
    pub scaler: String,
    /// When it was seen.
    pub t: i64,
    /// Replicas there were.
    pub current: i32,
    /// Replicas it wanted.
    pub desired: i32,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Failed, or broken off.
    Failed,
}

/// A step of bootstrap or deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The run of the program that it is part of.
    pub run: String,
    /// One word.
    pub name: String,
    /// What it does.
    pub title: String,
    /// When it began.
    pub begun: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Where it stands.
    pub state: StepState,
    /// What it waits for, what it came to, or why it failed.
    pub note: String,
}

/// What a mark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Load.
    Load,
    /// A fault.
    Fault,
}

/// A marked span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What of.
    pub kind: MarkKind,
    /// What it is.
    pub what: String,
    /// When it began.
    pub begun: i64,
    /// When it ended.
    pub ended: Option<i64>,
}

/// What Prometheus has of one instant; what it does not have is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// The instant.
    pub t: i64,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Of those, answered 5xx.
    pub errors: Option<f64>,
    /// Median latency, ms.
    pub p50: Option<f64>,
    /// 99th percentile, ms.
    pub p99: Option<f64>,
    /// Cores that pods of the foreground use.
    pub foreground: Option<f64>,
    /// Cores that pods of the background use.
    pub background: Option<f64>,
}

impl Moment {
    /// The background's share of the demo's CPU, 0 to 1.
    pub fn share(&self) -> Option<f64> {
        let (ours, all) = (self.background?, self.background? + self.foreground?);
        (all > 0.0).then(|| ours / all)
    }
}

/// What a sentence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// The cluster and its nodes.
    Cluster,
    /// A step.
    Step,
    /// A pod.
    Pod,
    /// An autoscaler.
    Scale,
    /// Load.
    Load,
    /// A fault.
    Fault,
    /// An Event of the cluster, in its own words.
    Event,
}

/// How a sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As news.
    Plain,
    /// As good news.
    Good,
    /// As bad news.
    Bad,
}

/// A sentence of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub t: i64,
    /// What about.
    pub kind: LineKind,
    /// How.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// How often, when more than once.
    pub times: i32,
}
