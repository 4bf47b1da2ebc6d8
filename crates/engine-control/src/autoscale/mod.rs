//! HorizontalPodAutoscalers (pkg/controller/podautoscaler).
//!
//! Every autoscaler is looked at once in a period, because nobody announces that a metric has changed; this is one of the few
//! things that is periodic upstream, too. Each look reads the target's scale and the metrics (`target`, `metrics`: through the
//! API server), works out what each metric asks for (`calculate`), holds that against what was asked for and done before
//! (`limits`), writes the scale, and says in the status what it saw (`status`).

mod calculate;
mod evaluate;
mod limits;
mod metrics;
mod status;
pub(crate) mod target;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricStatus};
use kube_types::LabelSelector;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};
use evaluate::Evaluation;
use limits::{Bounds, History};
use status::{Report, say};

/// The component that events name.
pub(super) const COMPONENT: &str = "horizontal-pod-autoscaler";

/// What is remembered of an autoscaler between looks.
#[derive(Default)]
struct Memory {
    history: History,
    selector: Option<LabelSelector>,
}

/// What all looks share.
struct Autoscalers {
    context: Arc<Context>,
    memories: Mutex<HashMap<Key, Memory>>,
}

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let period = context.config.autoscaler_period;
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.autoscalers.on_change(move |change| {
        if let Some(object) = change.any() {
            // Upstream, too, looks for the first time after a period.
            q.add_after(object.key(), period);
        }
    });
    let shared = Arc::new(Autoscalers {
        context: Arc::clone(context),
        memories: Mutex::default(),
    });
    run(tasks, "autoscalers", &queue, 4, move |key| {
        let shared = Arc::clone(&shared);
        async move {
            let left = shared.look(&key).await;
            Outcome::Ok(left.then_some(period))
        }
    });
}

impl Autoscalers {
    fn memories(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look. Whether the autoscaler is still there.
    async fn look(&self, key: &Key) -> bool {
        let Some(object) = self.context.autoscalers.get(key) else {
            self.memories().remove(key);
            return false;
        };
        if object.deleting() {
            return true;
        }
        let mut report = Report::of(&object);
        if let Err(error) = self.reconcile(&object, &mut report).await {
            tracing::debug!(autoscaler = %key, error, "not scaled");
        }
        if let Err(error) = self.write(&object, report).await {
            self.warn(&object, "FailedUpdateStatus", &error.message());
            tracing::warn!(autoscaler = %key, %error, "failed to update status");
        }
        true
    }

    async fn write(&self, object: &HorizontalPodAutoscaler, report: Report) -> Result<(), crate::Error> {
        let mut new = object.clone();
        new.status = Some(report.status);
        self.context
            .autoscalers
            .update_status(object, &new)
            .await
            .map(drop)
    }

    fn warn(&self, object: &HorizontalPodAutoscaler, reason: &str, message: &str) {
        self.context.events.warning(COMPONENT, object, reason, message);
    }

    async fn reconcile(&self, object: &HorizontalPodAutoscaler, report: &mut Report) -> Result<(), String> {
        let spec = &object.spec;
        let client = &self.context.config.client;
        let reference = &spec.scale_target_ref;
        let api_version = reference.api_version.as_deref().unwrap_or_default();
        let found = match target::resource(client, api_version, &reference.kind).await {
            Ok(resource) => resource
                .scale(client, object.ns(), &reference.name)
                .await
                .map(|scale| (resource, scale)),
            Err(error) => Err(error),
        };
        let (resource, scale) = match found {
            Ok(found) => found,
            Err(error) => {
                self.warn(object, "FailedGetScale", &error);
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {error}");
                report.condition("AbleToScale", false, say("FailedGetScale", message));
                return Err(error);
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        report.condition("AbleToScale", true, say("SucceededGetScale", message));

        let current = replicas(&scale);
        let now = Timestamp::now();
        self.memories()
            .entry(object.key())
            .or_default()
            .history
            .begin(current, now);
        let bounds = Bounds {
            min: spec.min_replicas.unwrap_or(1),
            max: spec.max_replicas,
            current,
        };
        report.status.current_replicas = Some(current);
        let (desired, why, statuses) = match self.wanted(object, &scale, bounds, report).await {
            Ok(wanted) => wanted,
            Err((error, statuses)) => {
                report.status.current_metrics = (!statuses.is_empty()).then_some(statuses);
                self.warn(object, "FailedComputeMetricsReplicas", &error);
                return Err(error);
            }
        };
        report.status.current_metrics = (!statuses.is_empty()).then_some(statuses);
        if desired == current {
            report.status.desired_replicas = current;
            return Ok(());
        }
        let written = resource
            .rescale(client, object.ns(), &reference.name, scale, desired)
            .await;
        if let Err(error) = written {
            self.warn(
                object,
                "FailedRescale",
                &format!("New size: {desired}; reason: {why}; error: {error}"),
            );
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            report.condition("AbleToScale", false, say("FailedUpdateScale", message));
            return Err(error);
        }
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        report.condition("AbleToScale", true, say("SucceededRescale", message));
        self.context.events.normal(
            COMPONENT,
            object,
            "SuccessfulRescale",
            format!("New size: {desired}; reason: {why}"),
        );
        tracing::info!(autoscaler = %object.key(), current, desired, why, "rescaled");
        if let Some(memory) = self.memories().get_mut(&object.key()) {
            memory
                .history
                .scaled(spec.behavior.as_ref(), current, desired, now);
        }
        report.status.desired_replicas = desired;
        report.status.last_scale_time = Some(crate::meta::now());
        Ok(())
    }

    /// How many replicas there should be, why, and what the metrics are.
    async fn wanted(
        &self,
        object: &HorizontalPodAutoscaler,
        scale: &Scale,
        bounds: Bounds,
        report: &mut Report,
    ) -> Result<(i32, String, Vec<MetricStatus>), (String, Vec<MetricStatus>)> {
        let current = bounds.current;
        if current == 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            report.condition("ScalingActive", false, say("ScalingDisabled", message));
            return Ok((0, String::new(), Vec::new()));
        }
        if current > bounds.max {
            let why = "Current number of replicas above Spec.MaxReplicas".to_owned();
            return Ok((bounds.max, why, Vec::new()));
        }
        if current < bounds.min {
            let why = "Current number of replicas below Spec.MinReplicas".to_owned();
            return Ok((bounds.min, why, Vec::new()));
        }
        let selector = scale.status.as_ref().and_then(|s| s.selector.as_deref());
        let pods = self
            .select(object, selector.unwrap_or_default(), report)
            .map_err(|error| (error, Vec::new()))?;
        let evaluation = Evaluation {
            client: &self.context.config.client,
            object,
            pods: &pods,
            selector: selector.unwrap_or_default(),
            spec_replicas: current,
            status_replicas: scale.status.as_ref().map_or(0, |s| s.replicas),
            tolerance: self.context.config.autoscaler_tolerance,
            now: Timestamp::now(),
        };
        let found = evaluation.all().await;
        for (reason, message) in &found.warnings {
            self.warn(object, reason, message);
        }
        let (Ok(says) | Err((says, _))) = &found.active;
        report.condition("ScalingActive", found.active.is_ok(), says.clone());
        if let Err((_, error)) = found.active {
            return Err((error, found.statuses));
        }
        let why = if found.replicas > current {
            format!("{} above target", found.metric)
        } else {
            "All metrics below target".to_owned()
        };
        let behavior = object.spec.behavior.as_ref();
        let decision = self.memories().entry(object.key()).or_default().history.decide(
            behavior,
            bounds,
            found.replicas,
            evaluation.now,
        );
        report.condition(
            "AbleToScale",
            true,
            say(decision.able.reason, decision.able.message),
        );
        let (limited, says) = decision.limit;
        report.condition("ScalingLimited", limited, say(says.reason, says.message));
        Ok((decision.replicas, why, found.statuses))
    }

    /// The pods of the target, which no other autoscaler may have.
    fn select(
        &self,
        object: &HorizontalPodAutoscaler,
        raw: &str,
        report: &mut Report,
    ) -> Result<Vec<Arc<k8s_openapi::api::core::v1::Pod>>, String> {
        if raw.is_empty() {
            let message = "the HPA target's scale is missing a selector";
            report.condition("ScalingActive", false, say("InvalidSelector", message));
            self.warn(object, "SelectorRequired", "selector is required");
            return Err("selector is required".to_owned());
        }
        let refuse = |report: &mut Report, reason: &'static str, message: String| {
            report.condition("ScalingActive", false, say(reason, message.as_str()));
            self.warn(object, reason, &message);
            message
        };
        let selector: LabelSelector = raw.parse().map_err(|e| {
            let message =
                format!("couldn't convert selector into a corresponding internal selector object: {e}");
            refuse(report, "InvalidSelector", message)
        })?;
        let none = crate::selector::Labels::new();
        let matches = |selector: &LabelSelector, pod: &k8s_openapi::api::core::v1::Pod| {
            selector.matches(pod.m().labels.as_ref().unwrap_or(&none))
        };
        let mut pods = self.context.pods.in_namespace(object.ns());
        pods.retain(|pod| matches(&selector, pod));
        let mut memories = self.memories();
        memories.entry(object.key()).or_default().selector = Some(selector);
        let mut rivals: Vec<&Key> = memories
            .iter()
            .filter(|(key, memory)| {
                let theirs = memory.selector.as_ref();
                key.namespace == object.ns() && theirs.is_some_and(|s| pods.iter().any(|p| matches(s, p)))
            })
            .map(|(key, _)| key)
            .collect();
        if rivals.len() > 1 {
            rivals.sort();
            let named: Vec<String> = rivals.iter().map(ToString::to_string).collect();
            let message = format!(
                "pods by selector {raw} are controlled by multiple HPAs: [{}]",
                named.join(" ")
            );
            return Err(refuse(report, "AmbiguousSelector", message));
        }
        Ok(pods)
    }
}

fn replicas(scale: &Scale) -> i32 {
    scale.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0)
}
