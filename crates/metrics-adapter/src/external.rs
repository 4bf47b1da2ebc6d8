//! Metrics of nothing in the cluster (custom-metrics-apiserver `pkg/registry/external_metrics`).
use kube_types::{LabelSelector, format_seconds};
use serde_json::{Value, json};

use crate::Adapter;
use crate::custom::quantity;
use crate::prometheus::fill;
use crate::status::Failure;

impl Adapter {
    /// An `ExternalMetricValueList`.
    pub async fn external(
        &self,
        namespace: &str,
        metric: &str,
        selector: &LabelSelector,
    ) -> Result<Value, Failure> {
        let rule = self
            .rules
            .external
            .iter()
            .find(|rule| rule.name == metric)
            .ok_or_else(|| Failure::no_such_metric(metric, "namespaces", namespace))?;
        let query = fill(&rule.query, namespace, &[], selector)?;
        let samples = self.prometheus.query(&query).await.map_err(Failure::internal)?;
        let items: Vec<Value> = samples
            .iter()
            .map(|sample| {
                json!({"metricName": metric, "metricLabels": sample.labels, "timestamp": format_seconds(sample.at),
                    "value": quantity(sample.value)})
            })
            .collect();
        Ok(
            json!({"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {}, "items": items}),
        )
    }
}
