use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Cost, Counted, Environment, Generator, Happening, Latency, RateStep, Reaction, Recovery, Search, Steady,
    reactions,
};

/// Version of the document's form.
pub const SCHEMA: &str = "cncfdemo.io/run/v1";

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// [`SCHEMA`].
    pub schema: String,
    /// Unique id: time and random part.
    pub id: String,
    /// Which program made it.
    pub program: Program,
    /// When the load began, RFC 3339.
    pub started: String,
    /// The command that would run it again.
    pub command: Vec<String>,
    /// What was loaded, and where.
    pub target: TargetInfo,
    /// How the cluster and the demo came up, if this run brought them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What the load generator did and measured.
    pub load: Load,
    /// CPU and memory of pods while the load ran.
    #[serde(default)]
    pub pods: Vec<PodSeries>,
    /// What the cluster did while the load ran.
    #[serde(default)]
    pub events: Vec<ClusterEvent>,
    /// What was broken on purpose, in the first load only.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What could not be measured, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    /// On what it ran; absent in documents of 0.1.0 and of runs that could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Further loads of the same plan, in the order in which they ran; the first is `load`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Load>,
    /// The search for the highest rate that keeps an objective, if that was the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// What the nodes cost while this ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What the cluster did, moment by moment, while the first load ran: from watches, where `events` are what the cluster wrote
    /// down. Only of runs with faults or steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Happening>,
    /// How autoscalers followed the first load's steps; follows from its steps and the timeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<Reaction>,
    /// What the application's own counters say of the requests of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not a run document at all, or one with a part missing.
    #[error(transparent)]
    Form(#[from] serde_json::Error),
    /// Of a version that this program does not know.
    #[error("its version is `{0}`, and this program reads cncfdemo.io/run/v1: use a newer program")]
    Version(String),
    /// A figure that cannot be.
    #[error("{0}")]
    Figure(String),
}

/// A time of RFC 3339 in UTC to the second, for people: `2026-11-22 20:00:00`. What is none stays as it is.
pub fn to_the_second(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

impl Run {
    /// Reads a document of any known version.
    pub fn read(text: &str) -> Result<Run, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema != SCHEMA {
            return Err(ReadError::Version(head.schema));
        }
        let run: Run = serde_json::from_str(text)?;
        let fits = !run.id.is_empty()
            && run.id.len() <= 64
            && run
                .id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits {
            return Err(ReadError::Figure(
                "its id is not 1 to 64 letters, digits, - and _".to_owned(),
            ));
        }
        for load in run.loads() {
            if load.seconds < 0.0 || load.throughput < 0.0 || load.series.windows(2).any(|w| w[0].t >= w[1].t)
            {
                return Err(ReadError::Figure("a load runs backwards".to_owned()));
            }
        }
        Ok(run)
    }

    /// All loads, in the order in which they ran.
    pub fn loads(&self) -> impl Iterator<Item = &Load> {
        std::iter::once(&self.load).chain(&self.repeats)
    }

    /// The loads that are observations of one thing: all, but that with the faults where there are others.
    pub fn observed(&self) -> impl Iterator<Item = &Load> {
        let broken = !self.faults.is_empty() && !self.repeats.is_empty();
        self.loads().skip(usize::from(broken))
    }

    /// Enters what the application had counted before the first load and after the last.
    pub fn count(&mut self, before: u64, after: u64) {
        let sum = |of: fn(&Load) -> u64| self.loads().map(of).fold(0, u64::saturating_add);
        self.counted = Some(Counted {
            acknowledged: sum(|l| l.completed),
            uncertain: sum(|l| l.sent.saturating_sub(l.completed)),
            before,
            after,
        });
    }

    /// Computes how autoscalers followed the load, from its steps and the timeline.
    pub fn measure_scaling(&mut self) {
        self.scaling = reactions(&self.load, &self.timeline);
    }

    /// CPU microseconds of the pods whose name begins so, per completed request, over the first load. A sample is the mean of
    /// the 6 s before it, so those of the first 6 s say something of the time before the load; a shorter load has none.
    pub fn cpu_us_per_request(&self, prefix: &str) -> Option<f64> {
        const WINDOW: f64 = 6.0;
        let length = self.load.planned_s.unwrap_or(self.load.seconds);
        let inside = |s: &&Sample| s.cpu.is_some() && (WINDOW..=length).contains(&s.t);
        let count = |pod: &PodSeries| pod.samples.iter().filter(inside).count();
        // A pod that lived for a part of the run used CPU for that part only.
        let whole = self.pods.iter().map(count).max().filter(|n| *n > 0)?;
        let pods = self.pods.iter().filter(|p| p.pod.starts_with(prefix));
        let used: f64 = pods
            .flat_map(|p| &p.samples)
            .filter(inside)
            .filter_map(|s| s.cpu)
            .sum();
        (used > 0.0 && self.load.throughput > 0.0).then(|| used / whole as f64 * 1e6 / self.load.throughput)
    }
}

/// The program that made a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Program {
    /// Its version.
    pub version: String,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TargetInfo {
    /// URL.
    pub url: String,
    /// The cluster behind it, when it is known.
    pub cluster: Option<Cluster>,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cluster {
    /// Kubernetes version as the API server says.
    pub version: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Node {
    /// Name.
    pub name: String,
    /// CPUs, as a quantity.
    pub cpu: String,
    /// Memory, as a quantity.
    pub memory: String,
    /// Kernel version.
    pub kernel: String,
    /// Operating system image.
    pub os: String,
    /// Container runtime and version.
    pub runtime: String,
    /// `spec.providerID`, where the cluster says who made the node, such as `aws:///us-east-1a/i-0abc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The machine type, where the cluster says it (label `node.kubernetes.io/instance-type`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// A part of bringing things up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phase {
    /// Short name.
    pub name: String,
    /// What it brought up.
    pub title: String,
    /// Seconds from the very beginning.
    pub begun_s: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The load and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Load {
    /// `open` or `closed` loop.
    pub mode: String,
    /// Requests per second asked for, in open loop.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: u32,
    /// Generator threads.
    pub threads: u32,
    /// Length in seconds.
    pub seconds: f64,
    /// Requests that should have been sent.
    pub scheduled: u64,
    /// Requests sent.
    pub sent: u64,
    /// Answers with a 2xx status.
    pub completed: u64,
    /// Requests that failed, of all kinds.
    pub failed: u64,
    /// Failed requests by kind.
    pub errors: BTreeMap<String, u64>,
    /// Completed requests per second.
    pub throughput: f64,
    /// Latency, in open loop from the intended time of sending.
    pub latency: Latency,
    /// How late requests were sent although a connection was free, 99th percentile in milliseconds.
    pub lag_p99_ms: f64,
    /// CPU microseconds of the generator per completed request.
    pub generator_cpu_us: f64,
    /// Why this run says more about the generator than about the server; empty when it is sound.
    pub doubts: Vec<String>,
    /// Second by second.
    pub series: Vec<Second>,
    /// For how long requests were to be sent, in seconds; answers may come later than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_s: Option<f64>,
    /// Which side of an interleaved comparison this load belongs to, such as `background on`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// The rates that were asked for, one after the other, when there was more than one; `rate` is their mean then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RateStep>,
    /// CPU seconds that pods of negative priority got while this load ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background_cpu_s: Option<f64>,
    /// How it was made; absent in documents of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// When it settled; follows from its series. Absent for loads too short to tell and for those whose rate changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<Steady>,
}

impl Load {
    /// The whole seconds in which requests were sent: what lies beyond the plan's time holds only the last answers.
    pub fn full_seconds(&self) -> &[Second] {
        let whole = self.planned_s.unwrap_or(self.seconds).floor() as u64;
        let count = self.series.iter().take_while(|s| s.t < whole).count();
        // A run shorter than a second has no other.
        if count == 0 {
            &self.series
        } else {
            &self.series[..count]
        }
    }

    /// The share of the requests that failed.
    pub fn failed_share(&self) -> f64 {
        self.failed as f64 / self.scheduled.max(1) as f64
    }
}

/// One second of load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Second {
    /// Seconds since the load began.
    pub t: u64,
    /// Completed requests.
    pub completed: u64,
    /// Failed requests.
    pub failed: u64,
    /// Median latency, milliseconds; absent when nothing completed.
    pub p50_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Largest, milliseconds.
    pub max_ms: Option<f64>,
}

/// What one pod used while the load ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PodSeries {
    /// Pod name.
    pub pod: String,
    /// Samples in order of time.
    pub samples: Vec<Sample>,
}

/// One sample of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// Seconds since the load began.
    pub t: f64,
    /// CPU in cores.
    pub cpu: Option<f64>,
    /// Working set in bytes.
    pub memory: Option<f64>,
}

/// Something the cluster did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClusterEvent {
    /// Seconds since the load began.
    pub t: f64,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Reason, such as `Killing`.
    pub reason: String,
    /// `pod/name`.
    pub object: String,
    /// Message.
    pub message: String,
    /// How often it was seen, when the cluster counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// A fault that was injected, and what it cost at the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fault {
    /// Seconds since the load began.
    pub t: f64,
    /// What was done, in full, such as `SIGKILL to the 1 process of pod/tally-…`.
    pub what: String,
    /// Requests that failed from then on.
    pub failed: u64,
    /// Seconds in which requests failed or p99 was more than twice the median p99 before the fault.
    pub degraded_s: u64,
    /// Seconds until the replacement was Ready, if it was.
    pub ready_s: Option<f64>,
    /// `pod`, `node`, `network`, `disk` or `stress`; absent in documents of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The app whose pods were meant, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What was broken: `pod/NAME`, `node/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<String>,
    /// When it was undone, in seconds since the load began; absent for what is over in an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_s: Option<f64>,
    /// What it cost, and what the cluster did; follows from the series and the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

impl Fault {
    /// Fills in what the fault cost, from the client's second-by-second series ([`Load::full_seconds`]).
    pub fn measure(&mut self, series: &[Second]) {
        let (before, after): (Vec<&Second>, Vec<&Second>) =
            series.iter().partition(|s| (s.t as f64) + 1.0 <= self.t);
        let mut calm: Vec<f64> = before.iter().filter_map(|s| s.p99_ms).collect();
        calm.sort_by(f64::total_cmp);
        let usual = calm.get(calm.len() / 2).copied().unwrap_or(f64::INFINITY);
        self.failed = after.iter().map(|s| s.failed).sum();
        let degraded = |s: &&&Second| s.failed > 0 || s.p99_ms.is_none_or(|p99| p99 > 2.0 * usual.max(1.0));
        self.degraded_s = after.iter().filter(degraded).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_costs_the_failed_requests_and_the_slow_seconds_after_it() {
        let second = |t, failed, p99: f64| Second {
            t,
            completed: 10,
            failed,
            p50_ms: Some(1.0),
            p99_ms: Some(p99),
            max_ms: Some(p99),
        };
        let series = [
            second(0, 0, 2.0),
            second(1, 0, 3.0),
            second(2, 7, 2.0),
            second(3, 0, 90.0),
            second(4, 0, 3.0),
        ];
        let mut fault = Fault {
            t: 2.3,
            what: String::new(),
            failed: 0,
            degraded_s: 0,
            ready_s: None,
            kind: None,
            app: None,
            victims: Vec::new(),
            ended_s: None,
            recovery: None,
        };
        fault.measure(&series);
        assert_eq!((fault.failed, fault.degraded_s), (7, 2));
    }
}
