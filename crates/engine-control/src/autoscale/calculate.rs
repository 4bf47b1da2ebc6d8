//! How many replicas a metric asks for; pure (pkg/controller/podautoscaler/replica_calculator.go). Amounts are thousandths.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use crate::meta::Meta;
use crate::{pods, quantity};

/// How long after its start a pod's CPU use may be that of starting up (`--horizontal-pod-autoscaler-cpu-initialization-period`).
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
/// Within this time of its start a pod that becomes unready counts as never having been ready
/// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);

/// What a pod uses, and when that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PodMetric {
    pub at: Timestamp,
    pub window: SignedDuration,
    pub value: i64,
}

/// By pod name.
pub(super) type PodMetrics = BTreeMap<String, PodMetric>;

/// How far use may be from its target before anything is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerances {
    pub down: f64,
    pub up: f64,
}

impl Tolerances {
    fn allow(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// What does not depend on the kind of metric.
#[derive(Clone, Copy)]
pub(super) struct Calculator<'a> {
    pub pods: &'a [Arc<Pod>],
    pub current: i32,
    pub tolerances: Tolerances,
    pub now: Timestamp,
}

/// Of a share of what pods request.
#[derive(Debug, PartialEq)]
pub(super) struct Utilization {
    pub replicas: i32,
    pub percent: i32,
    pub average: i64,
}

/// Pods by what is known of them.
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

impl Calculator<'_> {
    /// For a target in percent of the requests.
    pub fn utilization(
        &self,
        target: i32,
        resource: &str,
        container: &str,
        mut metrics: PodMetrics,
    ) -> Result<Utilization, String> {
        let groups = self.grouped(&mut metrics, resource)?;
        let requests = requests(self.pods, container, resource)?;
        let share = |metrics: &PodMetrics| share(metrics, &requests, target);
        let (ratio, percent, average) = share(&metrics)?;
        let answer = |replicas| Utilization {
            replicas,
            percent,
            average,
        };
        if let Some(replicas) = self.settled(&groups, ratio) {
            return Ok(answer(replicas));
        }
        // Going down, a pod that nothing is known of counts as using all it asks for, going up as using nothing.
        let fallback = i64::from(target.max(100));
        self.fill(&mut metrics, &groups, ratio, |pod| {
            requests.get(pod).copied().unwrap_or_default() * fallback / 100
        });
        let (filled, ..) = share(&metrics)?;
        Ok(answer(self.cautious(ratio, filled, metrics.len())))
    }

    /// For a target in absolute terms: replicas and the average. `resource` is empty for metrics that are no resource.
    pub fn average(
        &self,
        target: i64,
        resource: &str,
        mut metrics: PodMetrics,
    ) -> Result<(i32, i64), String> {
        let groups = self.grouped(&mut metrics, resource)?;
        let (ratio, average) = mean(&metrics, target);
        if let Some(replicas) = self.settled(&groups, ratio) {
            return Ok((replicas, average));
        }
        self.fill(&mut metrics, &groups, ratio, |_| target);
        let (filled, _) = mean(&metrics, target);
        Ok((self.cautious(ratio, filled, metrics.len()), average))
    }

    /// For one value of something else that the ready pods bring about together.
    pub fn shared(&self, target: i64, usage: i64) -> Result<i32, String> {
        let ratio = usage as f64 / target as f64;
        if self.current == 0 {
            return Ok(up(ratio));
        }
        if self.tolerances.allow(ratio) {
            return Ok(self.current);
        }
        if self.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        let ready = self
            .pods
            .iter()
            .filter(|p| pods::phase(p) == "Running" && pods::is_ready(p));
        Ok(up(ratio * ready.count() as f64))
    }

    /// For one value that is divided among the replicas: replicas and each one's part.
    pub fn divided(&self, target: i64, usage: i64) -> (i32, i64) {
        let ratio = usage as f64 / (target as f64 * f64::from(self.current));
        let replicas = if self.tolerances.allow(ratio) {
            self.current
        } else {
            up(usage as f64 / target as f64)
        };
        (replicas, (usage as f64 / f64::from(self.current)).ceil() as i64)
    }

    /// Sorts the pods, and takes out the figures of those that do not count.
    fn grouped(&self, metrics: &mut PodMetrics, resource: &str) -> Result<Groups, String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let mut groups = Groups {
            ready: 0,
            unready: BTreeSet::new(),
            missing: BTreeSet::new(),
            ignored: BTreeSet::new(),
        };
        for pod in self.pods {
            let name = pod.name().to_owned();
            if pod.deleting() || pods::phase(pod) == "Failed" {
                groups.ignored.insert(name);
            } else if pods::phase(pod) == "Pending" {
                groups.unready.insert(name);
            } else {
                match metrics.get(&name) {
                    None => {
                        groups.missing.insert(name);
                    }
                    Some(metric) if resource == "cpu" && self.is_starting(pod, metric) => {
                        groups.unready.insert(name);
                    }
                    Some(_) => groups.ready += 1,
                }
            }
        }
        metrics.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
        if metrics.is_empty() {
            return Err(NO_METRICS.to_owned());
        }
        Ok(groups)
    }

    /// Whether a pod's CPU use may still be that of starting up.
    fn is_starting(&self, pod: &Pod, metric: &PodMetric) -> bool {
        let started = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
        let (Some(ready), Some(started)) = (pods::condition(pod, "Ready"), started) else {
            return true;
        };
        let unready = ready.status == "False";
        let since = ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0);
        if started.0 + CPU_INITIALIZATION > self.now {
            unready || metric.at < since + metric.window
        } else {
            unready && started.0 + INITIAL_READINESS > since
        }
    }

    /// The answer where every pod that counts is known.
    fn settled(&self, groups: &Groups, ratio: f64) -> Option<i32> {
        if !groups.missing.is_empty() || (!groups.unready.is_empty() && ratio > 1.0) {
            return None;
        }
        Some(if self.tolerances.allow(ratio) {
            self.current
        } else {
            up(ratio * groups.ready as f64)
        })
    }

    /// Assumes of the unknown pods whatever speaks against a change.
    fn fill(&self, metrics: &mut PodMetrics, groups: &Groups, ratio: f64, much: impl Fn(&str) -> i64) {
        let metric = |value| PodMetric {
            at: self.now,
            window: SignedDuration::ZERO,
            value,
        };
        for name in &groups.missing {
            if ratio < 1.0 {
                metrics.insert(name.clone(), metric(much(name)));
            } else if ratio > 1.0 {
                metrics.insert(name.clone(), metric(0));
            }
        }
        if ratio > 1.0 {
            for name in &groups.unready {
                metrics.insert(name.clone(), metric(0));
            }
        }
    }

    /// The answer with assumptions: none that turns the direction round.
    fn cautious(&self, before: f64, filled: f64, pods: usize) -> i32 {
        let turned = (before < 1.0 && filled > 1.0) || (before > 1.0 && filled < 1.0);
        if self.tolerances.allow(filled) || turned {
            return self.current;
        }
        let replicas = up(filled * pods as f64);
        if (filled < 1.0 && replicas > self.current) || (filled > 1.0 && replicas < self.current) {
            return self.current;
        }
        replicas
    }
}

fn up(replicas: f64) -> i32 {
    // `as` saturates, as upstream's check does.
    replicas.ceil() as i32
}

/// Ratio to the target, percent of the requests, average.
fn share(
    metrics: &PodMetrics,
    requests: &BTreeMap<String, i64>,
    target: i32,
) -> Result<(f64, i32, i64), String> {
    let known: Vec<(i64, i64)> = metrics
        .iter()
        .filter_map(|(name, metric)| Some((metric.value, *requests.get(name)?)))
        .collect();
    let used: i64 = known.iter().map(|(used, _)| used).sum();
    let asked: i64 = known.iter().map(|(_, asked)| asked).sum();
    if asked == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = (used * 100 / asked) as i32;
    Ok((
        f64::from(percent) / f64::from(target),
        percent,
        used / known.len() as i64,
    ))
}

/// Ratio to the target, average.
fn mean(metrics: &PodMetrics, target: i64) -> (f64, i64) {
    let sum: i64 = metrics.values().map(|m| m.value).sum();
    let average = sum / metrics.len() as i64;
    (average as f64 / target as f64, average)
}

/// What each pod asks for: of one container, of the pod where it says so itself, else of all its containers.
fn requests(pods: &[Arc<Pod>], container: &str, resource: &str) -> Result<BTreeMap<String, i64>, String> {
    pods.iter()
        .map(|pod| Ok((pod.name().to_owned(), request(pod, container, resource)?)))
        .collect()
}

fn request(pod: &Pod, only: &str, resource: &str) -> Result<i64, String> {
    let Some(spec) = &pod.spec else { return Ok(0) };
    let of = |list: &BTreeMap<String, _>| list.get(resource).and_then(quantity::milli);
    if only.is_empty()
        && let Some(own) = spec.resources.as_ref().and_then(|r| r.requests.as_ref())
        && !own.is_empty()
    {
        return of(own)
            .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {}", pod.name()));
    }
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut sum = 0;
    let mut found = only.is_empty();
    for container in spec.containers.iter().chain(sidecars) {
        if !only.is_empty() && container.name != only {
            continue;
        }
        found = true;
        let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        sum += requests.and_then(of).ok_or_else(|| {
            format!(
                "missing request for {resource} in container {} of Pod {}",
                container.name,
                pod.name()
            )
        })?;
    }
    if found {
        Ok(sum)
    } else {
        Err(format!("container {only} not found in Pod {}", pod.name()))
    }
}

#[cfg(test)]
#[path = "calculate_tests.rs"]
mod tests;
