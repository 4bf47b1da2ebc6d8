//! What the story needs of autoscalers.
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget,
    MetricValueStatus,
};
use kube::ResourceExt as _;

use crate::story::{self, Metric, Object};

pub(super) fn scaler(object: HorizontalPodAutoscaler) -> Option<Object> {
    let uid = object.uid()?;
    let name = object.name_any();
    let (spec, status) = (object.spec, object.status.unwrap_or_default());
    let now = status.current_metrics.unwrap_or_default();
    let metrics = spec
        .metrics
        .unwrap_or_default()
        .iter()
        .map(|wanted| metric(wanted, &now))
        .collect();
    let condition = |kind: &str, is: &str| {
        let found = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == kind && c.status == is);
        found.and_then(|c| c.message.clone())
    };
    let why = condition("AbleToScale", "False")
        .or_else(|| condition("ScalingActive", "False"))
        .or_else(|| condition("ScalingLimited", "True"));
    let card = story::Scaler {
        name,
        scales: format!("{}/{}", spec.scale_target_ref.kind, spec.scale_target_ref.name),
        min: spec.min_replicas.unwrap_or(1),
        max: spec.max_replicas,
        current: status.current_replicas.unwrap_or(0),
        desired: status.desired_replicas,
        metrics,
        why: why.unwrap_or_default(),
    };
    Some(Object::Scaler(uid, card))
}

/// A metric's target, and what it is now if the controller has said so.
fn metric(wanted: &MetricSpec, now: &[MetricStatus]) -> Metric {
    let of = |found: &dyn Fn(&MetricStatus) -> Option<(bool, MetricValueStatus)>| {
        now.iter()
            .filter_map(found)
            .find(|(same, _)| *same)
            .map(|(_, value)| value)
    };
    let (name, target, value) = if let Some(resource) = &wanted.resource {
        let value = of(&|m| {
            m.resource
                .as_ref()
                .map(|r| (r.name == resource.name, r.current.clone()))
        });
        (resource.name.clone(), &resource.target, value)
    } else if let Some(pods) = &wanted.pods {
        let value = of(&|m| {
            m.pods
                .as_ref()
                .map(|p| (p.metric.name == pods.metric.name, p.current.clone()))
        });
        (pods.metric.name.clone(), &pods.target, value)
    } else if let Some(object) = &wanted.object {
        let value = of(&|m| {
            m.object
                .as_ref()
                .map(|o| (o.metric.name == object.metric.name, o.current.clone()))
        });
        (object.metric.name.clone(), &object.target, value)
    } else if let Some(external) = &wanted.external {
        let value = of(&|m| {
            m.external
                .as_ref()
                .map(|e| (e.metric.name == external.metric.name, e.current.clone()))
        });
        (external.metric.name.clone(), &external.target, value)
    } else if let Some(resource) = &wanted.container_resource {
        let value = of(&|m| {
            let same = |r: &ContainerResourceMetricStatus| {
                (
                    r.name == resource.name && r.container == resource.container,
                    r.current.clone(),
                )
            };
            m.container_resource.as_ref().map(same)
        });
        (
            format!("{} of {}", resource.name, resource.container),
            &resource.target,
            value,
        )
    } else {
        return Metric {
            name: wanted.type_.clone(),
            now: String::new(),
            target: String::new(),
        };
    };
    Metric {
        name,
        now: value.map(|v| shown(&v, target)).unwrap_or_default(),
        target: aim(target),
    }
}

fn aim(target: &MetricTarget) -> String {
    if let Some(percent) = target.average_utilization {
        return format!("{percent} %");
    }
    let quantity = target.average_value.as_ref().or(target.value.as_ref());
    quantity.map(|q| plain(&q.0)).unwrap_or_default()
}

/// In the unit of the target.
fn shown(now: &MetricValueStatus, target: &MetricTarget) -> String {
    if target.average_utilization.is_some() {
        return now
            .average_utilization
            .map(|p| format!("{p} %"))
            .unwrap_or_default();
    }
    let quantity = if target.average_value.is_some() {
        &now.average_value
    } else {
        &now.value
    };
    quantity.as_ref().map(|q| plain(&q.0)).unwrap_or_default()
}

/// `123400m` is 123.4 to a person.
fn plain(quantity: &str) -> String {
    let milli = quantity.strip_suffix('m').and_then(|n| n.parse::<f64>().ok());
    milli.map_or_else(
        || quantity.to_owned(),
        |n| format!("{}", (n / 100.0).round() / 10.0),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_autoscalers_metrics_are_shown_in_the_unit_of_their_target() {
        let object = json!({
            "metadata": {"name": "tally", "uid": "u"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "tally"}, "maxReplicas": 8, "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "requests_per_second"}, "target": {"type": "AverageValue", "averageValue": "200"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
                {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "5"}}},
            ]},
            "status": {"currentReplicas": 2, "desiredReplicas": 4, "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 91, "averageValue": "91m"}}},
                {"type": "Pods", "pods": {"metric": {"name": "requests_per_second"}, "current": {"averageValue": "310250m"}}},
            ], "conditions": [{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": "the most"}]},
        });
        let Object::Scaler(_, scaler) = scaler(serde_json::from_value(object).unwrap()).unwrap() else {
            panic!()
        };
        let metrics: Vec<_> = scaler
            .metrics
            .iter()
            .map(|m| (m.name.as_str(), m.now.as_str(), m.target.as_str()))
            .collect();
        assert_eq!(
            metrics,
            [
                ("requests_per_second", "310.3", "200"),
                ("cpu", "91 %", "80 %"),
                ("queue", "", "5")
            ]
        );
        assert_eq!((scaler.min, scaler.max, scaler.why.as_str()), (1, 8, "the most"));
    }
}
