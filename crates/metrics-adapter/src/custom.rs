//! Metrics of objects (custom-metrics-apiserver `pkg/registry/custom_metrics`).
use std::collections::BTreeMap;

use kube_types::{LabelSelector, Quantity, format_seconds};
use serde_json::{Value, json};

use crate::prometheus::{Sample, fill};
use crate::rules::CustomRule;
use crate::status::Failure;
use crate::{Adapter, objects};

/// What is asked for.
pub struct Asked<'a> {
    /// API version.
    pub version: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// `pods`, `deployments.apps`.
    pub resource: &'a str,
    /// Name, or `*`.
    pub name: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// Which of the objects.
    pub objects: LabelSelector,
    /// Which of the metric's series.
    pub series: LabelSelector,
}

impl Adapter {
    /// A `MetricValueList`.
    pub async fn custom(&self, asked: &Asked<'_>) -> Result<Value, Failure> {
        let one = if asked.name == "*" { "" } else { asked.name };
        let unknown = || Failure::no_such_metric(asked.metric, asked.resource, one);
        let rule = self
            .rules
            .custom
            .iter()
            .find(|rule| (rule.resource.as_str(), rule.name.as_str()) == (asked.resource, asked.metric))
            .ok_or_else(unknown)?;
        let names = if one.is_empty() {
            let resource = objects::described(rule);
            let found = objects::select(&self.client, &resource, asked.namespace, &asked.objects).await?;
            found.into_iter().map(|object| object.name).collect()
        } else {
            vec![one.to_owned()]
        };
        let items = if names.is_empty() {
            Vec::new()
        } else {
            let query = fill(&rule.query, asked.namespace, &names, &asked.series)?;
            let samples = self.prometheus.query(&query).await.map_err(Failure::internal)?;
            values(rule, asked, &names, &samples)
        };
        if items.is_empty() && !one.is_empty() {
            return Err(unknown());
        }
        Ok(
            json!({"kind": "MetricValueList", "apiVersion": format!("custom.metrics.k8s.io/{}", asked.version),
            "metadata": {}, "items": items}),
        )
    }
}

/// One value an object; several series of one object are added up.
fn values(rule: &CustomRule, asked: &Asked<'_>, names: &[String], samples: &[Sample]) -> Vec<Value> {
    let mut sums: BTreeMap<&str, (f64, &Sample)> = BTreeMap::new();
    for sample in samples {
        let name = sample.label(&rule.label);
        if names.iter().any(|n| n == name) {
            sums.entry(name).or_insert((0.0, sample)).0 += sample.value;
        }
    }
    sums.into_iter()
        .map(|(name, (sum, sample))| {
            let mut object = json!({"kind": rule.kind, "name": name, "apiVersion": rule.api_version()});
            if !asked.namespace.is_empty() {
                object["namespace"] = asked.namespace.into();
            }
            let mut value = json!({"describedObject": object, "timestamp": format_seconds(sample.at),
                "value": quantity(sum)});
            if let Some(seconds) = rule.window_seconds {
                value["windowSeconds"] = seconds.into();
            }
            if asked.version == "v1beta1" {
                value["metricName"] = rule.name.as_str().into();
                value["selector"] = Value::Null;
            } else {
                value["metric"] = json!({"name": rule.name, "selector": null});
            }
            value
        })
        .collect()
}

/// In thousandths, as upstream's adapters give it.
pub fn quantity(value: f64) -> String {
    Quantity::from_milli((value * 1000.0) as i64).canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn one_value_an_object() {
        let text = "[[custom]]\nname='rps'\nresource='pods'\nkind='Pod'\nquery='q'\nlabel='pod'\nwindow_seconds=10\n";
        let rules = Rules::parse("r", text).unwrap();
        let sample = |pod: &str, value: f64| Sample {
            labels: [("pod".to_owned(), pod.to_owned())].into(),
            at: jiff::Timestamp::from_second(0).unwrap(),
            value,
        };
        let samples = [
            sample("a", 1.25),
            sample("b", 2.0),
            sample("a", 1.0),
            sample("x", 9.0),
        ];
        let mut asked = Asked {
            version: "v1beta2",
            namespace: "d",
            resource: "pods",
            name: "*",
            metric: "rps",
            objects: LabelSelector::everything(),
            series: LabelSelector::everything(),
        };
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let found = values(&rules.custom[0], &asked, &names, &samples);
        assert_eq!(
            found,
            [
                json!({"describedObject": {"kind": "Pod", "namespace": "d", "name": "a", "apiVersion": "v1"},
                    "metric": {"name": "rps", "selector": null}, "timestamp": "1970-01-01T00:00:00Z", "value": "2250m", "windowSeconds": 10}),
                json!({"describedObject": {"kind": "Pod", "namespace": "d", "name": "b", "apiVersion": "v1"},
                    "metric": {"name": "rps", "selector": null}, "timestamp": "1970-01-01T00:00:00Z", "value": "2", "windowSeconds": 10}),
            ]
        );
        asked.version = "v1beta1";
        let found = values(&rules.custom[0], &asked, &names, &samples);
        assert_eq!(found[0]["metricName"], "rps");
    }
}
