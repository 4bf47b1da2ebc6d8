//! CPU and memory of pods and nodes, for clusters where nobody else serves them.
use std::collections::BTreeMap;

use jiff::Timestamp;
use kube_types::{Format, LabelSelector, Quantity, format_seconds};
use serde_json::{Value, json};

use crate::Adapter;
use crate::objects::{self, Found};
use crate::prometheus::{Sample, fill};
use crate::rules::ResourceRules;
use crate::status::Failure;

/// CPU in cores, memory in bytes, and when.
type Usage = (Option<f64>, Option<f64>, Timestamp);

impl Adapter {
    fn resource_rules(&self) -> Result<&ResourceRules, Failure> {
        self.rules.resource.as_ref().ok_or_else(Failure::no_such_path)
    }

    /// `PodMetricsList`, or one `PodMetrics` when it has a name.
    pub async fn pods(
        &self,
        namespace: &str,
        name: &str,
        selector: &LabelSelector,
    ) -> Result<Value, Failure> {
        let rules = self.resource_rules()?;
        let found = objects::select(&self.client, &objects::core("Pod", "pods"), namespace, selector).await?;
        let chosen: Vec<Found> = found
            .into_iter()
            .filter(|pod| name.is_empty() || pod.name == name)
            .collect();
        let (cpu, memory) = self
            .both(&rules.container_cpu, &rules.container_memory, namespace, &chosen)
            .await?;
        let mut usage: BTreeMap<(&str, &str), BTreeMap<&str, Usage>> = BTreeMap::new();
        merge(
            &cpu,
            &memory,
            |sample| {
                (
                    (sample.label("namespace"), sample.label("pod")),
                    sample.label("container"),
                )
            },
            &mut usage,
        );
        let items: Vec<Value> = chosen
            .iter()
            .filter_map(|pod| {
                let containers = usage.get(&(pod.namespace.as_str(), pod.name.as_str()))?;
                pod_metrics(pod, containers, rules.window_seconds)
            })
            .collect();
        shaped("PodMetrics", items, name, || {
            Failure::not_found("podmetrics.metrics.k8s.io", &format!("{namespace}/{name}"))
        })
    }

    /// `NodeMetricsList`, or one `NodeMetrics` when it has a name.
    pub async fn nodes(&self, name: &str, selector: &LabelSelector) -> Result<Value, Failure> {
        let rules = self.resource_rules()?;
        let found = objects::select(&self.client, &objects::core("Node", "nodes"), "", selector).await?;
        let chosen: Vec<Found> = found
            .into_iter()
            .filter(|node| name.is_empty() || node.name == name)
            .collect();
        let (cpu, memory) = self
            .both(&rules.node_cpu, &rules.node_memory, "", &chosen)
            .await?;
        let mut usage: BTreeMap<&str, BTreeMap<&str, Usage>> = BTreeMap::new();
        merge(&cpu, &memory, |sample| (sample.label("node"), ""), &mut usage);
        let items: Vec<Value> = chosen
            .iter()
            .filter_map(|node| {
                let usage = usage.get(node.name.as_str())?.get("")?;
                let mut object = json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
                    "metadata": metadata(node), "timestamp": format_seconds(usage.2),
                    "window": format!("{}s", rules.window_seconds)});
                object["usage"] = quantities(usage)?;
                Some(object)
            })
            .collect();
        shaped("NodeMetrics", items, name, || {
            Failure::not_found("nodemetrics.metrics.k8s.io", name)
        })
    }

    async fn both(
        &self,
        cpu: &str,
        memory: &str,
        namespace: &str,
        chosen: &[Found],
    ) -> Result<(Vec<Sample>, Vec<Sample>), Failure> {
        let names: Vec<String> = chosen.iter().map(|object| object.name.clone()).collect();
        let everything = LabelSelector::everything();
        let filled = |query: &str| {
            // Of all namespaces, when none is named.
            let query = if namespace.is_empty() {
                query.replace("namespace=\"$namespace\"", "namespace!=\"\"")
            } else {
                query.to_owned()
            };
            fill(&query, namespace, &names, &everything)
        };
        let (cpu, memory) = (filled(cpu)?, filled(memory)?);
        futures::try_join!(self.prometheus.query(&cpu), self.prometheus.query(&memory))
            .map_err(Failure::internal)
    }
}

fn merge<'a, K: Ord>(
    cpu: &'a [Sample],
    memory: &'a [Sample],
    key: impl Fn(&'a Sample) -> (K, &'a str),
    into: &mut BTreeMap<K, BTreeMap<&'a str, Usage>>,
) {
    for (samples, is_cpu) in [(cpu, true), (memory, false)] {
        for sample in samples {
            let (object, part) = key(sample);
            let usage = into
                .entry(object)
                .or_default()
                .entry(part)
                .or_insert((None, None, sample.at));
            if is_cpu {
                usage.0 = Some(sample.value);
            } else {
                usage.1 = Some(sample.value);
            }
        }
    }
}

fn metadata(object: &Found) -> Value {
    let mut metadata = json!({"name": object.name, "creationTimestamp": format_seconds(Timestamp::now())});
    if !object.namespace.is_empty() {
        metadata["namespace"] = object.namespace.as_str().into();
    }
    if !object.labels.is_empty() {
        metadata["labels"] = json!(object.labels);
    }
    metadata
}

/// A pod with a container of which something is not known is left out.
fn pod_metrics(pod: &Found, containers: &BTreeMap<&str, Usage>, window: i64) -> Option<Value> {
    let at = containers.values().map(|usage| usage.2).min()?;
    let containers = containers
        .iter()
        .map(|(name, usage)| Some(json!({"name": name, "usage": quantities(usage)?})))
        .collect::<Option<Vec<Value>>>()?;
    Some(
        json!({"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata(pod),
        "timestamp": format_seconds(at), "window": format!("{window}s"), "containers": containers}),
    )
}

fn quantities(usage: &Usage) -> Option<Value> {
    let cpu = Quantity::from_nano((usage.0? * 1e9) as i128, Format::DecimalSi);
    let memory = Quantity::from_bytes(usage.1? as i64);
    Some(json!({"cpu": cpu.canonical(), "memory": memory.canonical()}))
}

fn shaped(
    kind: &str,
    items: Vec<Value>,
    name: &str,
    missing: impl FnOnce() -> Failure,
) -> Result<Value, Failure> {
    if name.is_empty() {
        return Ok(
            json!({"kind": format!("{kind}List"), "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
            "items": items}),
        );
    }
    items.into_iter().next().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_without_memory_hides_its_pod() {
        let sample = |container: &str, value: f64| Sample {
            labels: [("container".to_owned(), container.to_owned())].into(),
            at: Timestamp::from_second(0).unwrap(),
            value,
        };
        let pod = Found {
            namespace: "d".to_owned(),
            name: "p".to_owned(),
            labels: BTreeMap::new(),
        };
        let cpu = [sample("a", 0.25), sample("b", 1.0)];
        let mut memory = vec![sample("a", 1024.0)];
        let metrics = |memory: &[Sample]| {
            let mut usage: BTreeMap<&str, BTreeMap<&str, Usage>> = BTreeMap::new();
            merge(&cpu, memory, |s| ("", s.label("container")), &mut usage);
            pod_metrics(&pod, &usage[""], 15)
        };
        assert_eq!(metrics(&memory), None);
        memory.push(sample("b", 3.0));
        let found = metrics(&memory).unwrap();
        assert_eq!(
            found["containers"],
            json!([{"name": "a", "usage": {"cpu": "250m", "memory": "1Ki"}}, {"name": "b", "usage": {"cpu": "1", "memory": "3"}}])
        );
        assert_eq!(found["window"], "15s");
    }
}
