//! What each metric of an autoscaler is now, and how many replicas it asks for.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricSource, ExternalMetricStatus, HorizontalPodAutoscaler,
    MetricIdentifier, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricSource,
    ObjectMetricStatus, PodsMetricSource, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Client;
use kube_types::Format;

use super::calculate::{Calculator, Tolerances};
use super::metrics::{self, Metrics};
use super::status::{Says, say};
use crate::meta::Meta;
use crate::quantity;

/// One look at an autoscaler's metrics.
pub(super) struct Evaluation<'a> {
    pub client: &'a Client,
    pub object: &'a HorizontalPodAutoscaler,
    pub pods: &'a [Arc<Pod>],
    pub selector: &'a str,
    pub spec_replicas: i32,
    pub status_replicas: i32,
    pub tolerance: f64,
    pub now: Timestamp,
}

/// What all metrics together ask for.
pub(super) struct Found {
    pub replicas: i32,
    /// The metric that asked for that many.
    pub metric: String,
    pub statuses: Vec<MetricStatus>,
    /// What the condition ScalingActive says; an error when nothing may be done.
    pub active: Result<Says, (Says, String)>,
    /// Reasons and messages of events.
    pub warnings: Vec<(&'static str, String)>,
}

/// What one metric asks for.
struct Proposal {
    replicas: i32,
    name: String,
    status: MetricStatus,
}

/// Why a metric could not be evaluated.
struct Unable {
    /// Reason of the event and the condition.
    reason: &'static str,
    /// Their message.
    message: String,
    /// What precedes it in the autoscaler's own error.
    context: String,
}

impl Evaluation<'_> {
    /// The highest proposal counts. When a metric is unknown, nothing is scaled down; when all are, nothing is scaled.
    pub async fn all(&self) -> Found {
        let specs = self.object.spec.metrics.as_deref().unwrap_or_default();
        let mut found = Found {
            replicas: 0,
            metric: String::new(),
            statuses: Vec::new(),
            active: Ok(say("ValidMetricFound", "")),
            warnings: Vec::new(),
        };
        let mut invalid = 0;
        let mut first: Option<(Says, String)> = None;
        for spec in specs {
            match self.one(spec).await {
                Ok(proposal) => {
                    found.statuses.push(proposal.status);
                    if found.replicas == 0 || proposal.replicas > found.replicas {
                        found.replicas = proposal.replicas;
                        found.metric = proposal.name;
                    }
                }
                Err(unable) => {
                    // Upstream's place-holder, so that the statuses stand in the order of the specs.
                    found.statuses.push(MetricStatus::default());
                    invalid += 1;
                    let message = format!(
                        "the HPA was unable to compute the replica count: {}",
                        unable.message
                    );
                    first.get_or_insert((
                        say(unable.reason, message),
                        format!("{}: {}", unable.context, unable.message),
                    ));
                    found.warnings.push((unable.reason, unable.message));
                }
            }
        }
        let blocked = invalid >= specs.len() || found.replicas < self.spec_replicas;
        found.active = match first {
            Some((says, error)) if blocked => {
                let error = format!(
                    "invalid metrics ({invalid} invalid out of {}), first error is: {error}",
                    specs.len()
                );
                Err((says, error))
            }
            _ => Ok(say(
                "ValidMetricFound",
                format!(
                    "the HPA was able to successfully calculate a replica count from {}",
                    found.metric
                ),
            )),
        };
        found
    }

    async fn one(&self, spec: &MetricSpec) -> Result<Proposal, Unable> {
        let kind = spec.type_.as_str();
        let (found, reason, context) = if let ("Resource", Some(source)) = (kind, &spec.resource) {
            let found = self.resource(&source.name, "", &source.target).await;
            let context = format!("failed to get {} resource metric value", source.name);
            (found, "FailedGetResourceMetric", context)
        } else if let ("ContainerResource", Some(source)) = (kind, &spec.container_resource) {
            let found = self
                .resource(&source.name, &source.container, &source.target)
                .await;
            let context = format!("failed to get {} container metric value", source.container);
            (found, "FailedGetContainerResourceMetric", context)
        } else if let ("Pods", Some(source)) = (kind, &spec.pods) {
            let context = "failed to get pods metric value".to_owned();
            (self.of_pods(source).await, "FailedGetPodsMetric", context)
        } else if let ("Object", Some(source)) = (kind, &spec.object) {
            let mut context = "failed to get object metric value".to_owned();
            if source.target.type_ == "AverageValue" && source.target.average_value.is_some() {
                context += &format!(": failed to get {} object metric", source.metric.name);
            }
            (self.of_object(source).await, "FailedGetObjectMetric", context)
        } else if let ("External", Some(source)) = (kind, &spec.external) {
            let name = &source.metric.name;
            // Said twice, by who asks for one metric and by who goes through all.
            let inner = if source.target.average_value.is_some() {
                format!("failed to get {name} external metric")
            } else {
                format!("failed to get external metric {name}")
            };
            let context = format!("failed to get {name} external metric value: {inner}");
            (self.external(source).await, "FailedGetExternalMetric", context)
        } else {
            let message = format!("unknown metric source type {kind:?}");
            (
                Err(message),
                "InvalidMetricSourceType",
                "invalid metric".to_owned(),
            )
        };
        found.map_err(|message| Unable {
            reason,
            message,
            context,
        })
    }

    fn metrics(&self) -> Metrics<'_> {
        Metrics {
            client: self.client,
            namespace: self.object.ns(),
        }
    }

    fn calculator(&self, current: i32) -> Calculator<'_> {
        let behavior = self.object.spec.behavior.as_ref();
        let of = |tolerance: Option<&Quantity>| {
            let own = tolerance.and_then(quantity::exact).map(|q| q.as_f64());
            own.unwrap_or(self.tolerance)
        };
        let rules = behavior.map(|b| (b.scale_down.as_ref(), b.scale_up.as_ref()));
        let (down, up) = rules.unwrap_or_default();
        Calculator {
            pods: self.pods,
            current,
            tolerances: Tolerances {
                down: of(down.and_then(|r| r.tolerance.as_ref())),
                up: of(up.and_then(|r| r.tolerance.as_ref())),
            },
            now: self.now,
        }
    }

    async fn resource(&self, name: &str, container: &str, target: &MetricTarget) -> Result<Proposal, String> {
        let read = || async {
            self.metrics()
                .resource(name, self.selector, container)
                .await
                .map_err(|e| format!("unable to get metrics for resource {name}: {e}"))
        };
        let calculator = self.calculator(self.spec_replicas);
        let (replicas, current, described) = if let Some(target) = milli(target.average_value.as_ref()) {
            let (replicas, average) = async { calculator.average(target, name, read().await?) }
                .await
                .map_err(|e| format!("failed to get {name} usage: {e}"))?;
            let current = MetricValueStatus {
                average_value: Some(amount(name, average)),
                ..MetricValueStatus::default()
            };
            (replicas, current, format!("{name} resource"))
        } else {
            let target = target.average_utilization.ok_or(
                "invalid resource metric source: neither an average utilization target nor an average value (usage) \
                 target was set",
            )?;
            let found = async { calculator.utilization(target, name, container, read().await?) }
                .await
                .map_err(|e| format!("failed to get {name} utilization: {e}"))?;
            let current = MetricValueStatus {
                average_utilization: Some(found.percent),
                average_value: Some(amount(name, found.average)),
                ..MetricValueStatus::default()
            };
            let which = if container.is_empty() { "" } else { "container " };
            let described = format!("{name} {which}resource utilization (percentage of request)");
            (found.replicas, current, described)
        };
        let status = if container.is_empty() {
            MetricStatus {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricStatus {
                    name: name.to_owned(),
                    current,
                }),
                ..MetricStatus::default()
            }
        } else {
            MetricStatus {
                type_: "ContainerResource".to_owned(),
                container_resource: Some(ContainerResourceMetricStatus {
                    name: name.to_owned(),
                    container: container.to_owned(),
                    current,
                }),
                ..MetricStatus::default()
            }
        };
        Ok(Proposal {
            replicas,
            name: described,
            status,
        })
    }

    async fn of_pods(&self, source: &PodsMetricSource) -> Result<Proposal, String> {
        let metric = &source.metric;
        let target = milli(source.target.average_value.as_ref()).unwrap_or(0);
        let found = self
            .metrics()
            .pods(&metric.name, self.selector, metric.selector.as_ref())
            .await
            .map_err(|e| format!("unable to get metric {}: {e}", metric.name))?;
        let (replicas, average) = self.calculator(self.spec_replicas).average(target, "", found)?;
        Ok(Proposal {
            replicas,
            name: format!("pods metric {}", metric.name),
            status: MetricStatus {
                type_: "Pods".to_owned(),
                pods: Some(PodsMetricStatus {
                    metric: metric.clone(),
                    current: averaged(average),
                }),
                ..MetricStatus::default()
            },
        })
    }

    async fn of_object(&self, source: &ObjectMetricSource) -> Result<Proposal, String> {
        let ObjectMetricSource {
            described_object: object,
            metric,
            target,
        } = source;
        let usage = || async {
            self.metrics()
                .object(&metric.name, object, metric.selector.as_ref())
                .await
                .map_err(|e| {
                    let namespace = self.object.ns();
                    format!(
                        "unable to get metric {}: {} on {namespace} {}/{e}",
                        metric.name, object.kind, object.name
                    )
                })
        };
        let (replicas, current, name) = match (
            milli(target.value.as_ref()),
            milli(target.average_value.as_ref()),
        ) {
            (Some(target_value), _) if target.type_ == "Value" => {
                let usage = usage().await?;
                let replicas = self.calculator(self.spec_replicas).shared(target_value, usage)?;
                (
                    replicas,
                    valued(usage),
                    format!("{} metric {}", object.kind, metric.name),
                )
            }
            (_, Some(target_average)) if target.type_ == "AverageValue" => {
                let usage = usage().await?;
                let (replicas, part) = self
                    .calculator(self.status_replicas)
                    .divided(target_average, usage);
                (replicas, averaged(part), external_name(metric))
            }
            _ => {
                return Err(
                    "invalid object metric source: neither a value target nor an average value target was set".to_owned(),
                );
            }
        };
        Ok(Proposal {
            replicas,
            name,
            status: MetricStatus {
                type_: "Object".to_owned(),
                object: Some(ObjectMetricStatus {
                    described_object: object.clone(),
                    metric: metric.clone(),
                    current,
                }),
                ..MetricStatus::default()
            },
        })
    }

    async fn external(&self, source: &ExternalMetricSource) -> Result<Proposal, String> {
        let ExternalMetricSource { metric, target } = source;
        let selector = metrics::written(metric.selector.as_ref());
        let usage = || async {
            let values = self
                .metrics()
                .external(&metric.name, &selector)
                .await
                .map_err(|e| {
                    let (namespace, name) = (self.object.ns(), &metric.name);
                    let selector = shown(metric.selector.as_ref());
                    format!("unable to get external metric {namespace}/{name}/{selector}: {e}")
                })?;
            Ok::<i64, String>(values.into_iter().fold(0, i64::saturating_add))
        };
        let (replicas, current) = if let Some(target) = milli(target.average_value.as_ref()) {
            let usage = usage().await?;
            let (replicas, part) = self.calculator(self.status_replicas).divided(target, usage);
            (replicas, averaged(part))
        } else if let Some(target) = milli(target.value.as_ref()) {
            let usage = usage().await?;
            let replicas = self.calculator(self.spec_replicas).shared(target, usage)?;
            (replicas, valued(usage))
        } else {
            return Err(
                "invalid external metric source: neither a value target nor an average value target was set"
                    .to_owned(),
            );
        };
        Ok(Proposal {
            replicas,
            name: external_name(metric),
            status: MetricStatus {
                type_: "External".to_owned(),
                external: Some(ExternalMetricStatus {
                    metric: metric.clone(),
                    current,
                }),
                ..MetricStatus::default()
            },
        })
    }
}

fn milli(quantity: Option<&Quantity>) -> Option<i64> {
    quantity.and_then(quantity::milli)
}

fn plain(milli: i64) -> Quantity {
    Quantity(kube_types::Quantity::from_milli(milli).canonical())
}

/// Memory is written with binary suffixes, as metrics-server does.
fn amount(resource: &str, milli: i64) -> Quantity {
    let format = if resource == "memory" {
        Format::BinarySi
    } else {
        Format::DecimalSi
    };
    Quantity(kube_types::Quantity::from_nano(i128::from(milli) * 1_000_000, format).canonical())
}

fn averaged(milli: i64) -> MetricValueStatus {
    MetricValueStatus {
        average_value: Some(plain(milli)),
        ..MetricValueStatus::default()
    }
}

fn valued(milli: i64) -> MetricValueStatus {
    MetricValueStatus {
        value: Some(plain(milli)),
        ..MetricValueStatus::default()
    }
}

fn external_name(metric: &MetricIdentifier) -> String {
    format!(
        "external metric {}({})",
        metric.name,
        shown(metric.selector.as_ref())
    )
}

/// A selector as Go prints it, since upstream's messages have it so.
fn shown(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "nil".to_owned();
    };
    let labels = selector.match_labels.iter().flatten();
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().flatten();
    let expressions: Vec<String> = expressions
        .map(|e| {
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                e.key,
                e.operator,
                e.values.as_deref().unwrap_or_default().join(" ")
            )
        })
        .collect();
    let (labels, expressions) = (labels.concat(), expressions.concat());
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_selectors_as_upstream_writes_them() {
        assert_eq!(amount("cpu", 250).0, "250m");
        assert_eq!(amount("memory", 12 * 1024 * 1024 * 1000).0, "12Mi");
        assert_eq!(plain(12_500).0, "12500m");
        assert_eq!(shown(None), "nil");
        let selector = LabelSelector {
            match_labels: Some([("queue".to_owned(), "a".to_owned())].into()),
            match_expressions: None,
        };
        assert_eq!(
            shown(Some(&selector)),
            "&LabelSelector{MatchLabels:map[string]string{queue: a,},MatchExpressions:[]LabelSelectorRequirement{},}"
        );
    }
}
