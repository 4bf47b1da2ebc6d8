use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricStatus, MetricValueStatus};
use kube_types::Quantity;
use results::What;

use super::{News, app};

/// How many replicas a Deployment has and is to have.
pub(super) fn deployment(old: Option<&Deployment>, new: Option<&Deployment>) -> Vec<News> {
    let Some(new) = new else { return Vec::new() };
    let asked = |d: &Deployment| d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let ready = |d: &Deployment| d.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
    let object = format!("deployment/{}", new.metadata.name.as_deref().unwrap_or_default());
    let tell = |what, value: i32| News::of(what, object.clone(), app(new)).value(f64::from(value));
    let mut news = Vec::new();
    if old.map(asked) != Some(asked(new)) {
        news.push(tell(What::ReplicasAsked, asked(new)));
    }
    if old.map(ready) != Some(ready(new)) {
        news.push(tell(What::ReplicasReady, ready(new)));
    }
    news
}

/// What an autoscaler has measured and decided.
pub(super) fn autoscaler(
    old: Option<&HorizontalPodAutoscaler>,
    new: Option<&HorizontalPodAutoscaler>,
) -> Vec<News> {
    let Some(new) = new else { return Vec::new() };
    let object = format!("hpa/{}", new.metadata.name.as_deref().unwrap_or_default());
    // Without a label it belongs to what it scales.
    let of = app(new).or_else(|| Some(new.spec.scale_target_ref.name.clone()));
    let tell = |what| News::of(what, object.clone(), of.clone());
    let measured = |hpa: &HorizontalPodAutoscaler| -> Vec<(String, f64)> {
        let metrics = hpa.status.as_ref().and_then(|s| s.current_metrics.clone());
        metrics
            .unwrap_or_default()
            .iter()
            .filter_map(measurement)
            .collect()
    };
    let wanted = |hpa: &HorizontalPodAutoscaler| hpa.status.as_ref().map(|s| s.desired_replicas);
    let before = old.map(measured).unwrap_or_default();
    let mut news: Vec<News> = measured(new)
        .into_iter()
        .filter(|metric| !before.contains(metric))
        .map(|(name, value)| tell(What::ScalerSaw).detail(name).value(value))
        .collect();
    if let Some(replicas) = wanted(new)
        && old.and_then(wanted) != Some(replicas)
    {
        news.push(tell(What::ScalerDecided).value(f64::from(replicas)));
    }
    news
}

/// Name and value of a metric as the autoscaler has it.
fn measurement(metric: &MetricStatus) -> Option<(String, f64)> {
    let (name, current): (String, &MetricValueStatus) = match metric.type_.as_str() {
        "Resource" => metric.resource.as_ref().map(|m| (m.name.clone(), &m.current))?,
        "ContainerResource" => metric
            .container_resource
            .as_ref()
            .map(|m| (m.name.clone(), &m.current))?,
        "Pods" => metric
            .pods
            .as_ref()
            .map(|m| (m.metric.name.clone(), &m.current))?,
        "Object" => metric
            .object
            .as_ref()
            .map(|m| (m.metric.name.clone(), &m.current))?,
        "External" => metric
            .external
            .as_ref()
            .map(|m| (m.metric.name.clone(), &m.current))?,
        _ => return None,
    };
    if let Some(percent) = current.average_utilization {
        return Some((format!("{name}, % of the request"), f64::from(percent)));
    }
    let quantity = current.average_value.as_ref().or(current.value.as_ref())?;
    quantity
        .0
        .parse::<Quantity>()
        .ok()
        .map(|value| (name, value.as_f64()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_sees_and_decides() {
        let hpa = |value: &str, desired: i32| -> HorizontalPodAutoscaler {
            serde_json::from_value(json!({
                "metadata": {"name": "tally", "labels": {"app.kubernetes.io/name": "tally"}},
                "spec": {"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "tally"}},
                "status": {"desiredReplicas": desired, "currentMetrics": [
                    {"type": "Pods", "pods": {"metric": {"name": "requests"}, "current": {"averageValue": value}}},
                    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "20m"}}},
                ]},
            }))
            .expect("an autoscaler")
        };
        let (low, high) = (hpa("12500m", 2), hpa("1k", 4));
        let first = autoscaler(None, Some(&low));
        assert_eq!(
            first.iter().map(|n| (n.what, n.value)).collect::<Vec<_>>(),
            [
                (What::ScalerSaw, Some(12.5)),
                (What::ScalerSaw, Some(40.0)),
                (What::ScalerDecided, Some(2.0))
            ]
        );
        let then = autoscaler(Some(&low), Some(&high));
        assert_eq!(
            then.iter().map(|n| (n.what, n.value)).collect::<Vec<_>>(),
            [(What::ScalerSaw, Some(1000.0)), (What::ScalerDecided, Some(4.0))]
        );
        assert_eq!(autoscaler(Some(&high), Some(&high)), []);
    }

    #[test]
    fn replicas_are_told_when_they_change() {
        let deployment_of = |asked: i32, ready: i32| -> Deployment {
            serde_json::from_value(json!({
                "metadata": {"name": "d"}, "status": {"readyReplicas": ready},
                "spec": {"replicas": asked, "selector": {}, "template": {}},
            }))
            .expect("a deployment")
        };
        let (a, b) = (deployment_of(2, 2), deployment_of(4, 2));
        assert_eq!(deployment(None, Some(&a)).len(), 2);
        let told = deployment(Some(&a), Some(&b));
        assert_eq!(
            (told.len(), told[0].what, told[0].value),
            (1, What::ReplicasAsked, Some(4.0))
        );
    }
}
