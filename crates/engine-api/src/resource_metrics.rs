//! `metrics.k8s.io`: what pods and nodes use, as metrics-server answers it (its `pkg/api`), from the node agents.
use std::time::Duration;

use async_trait::async_trait;
use http::Response;
use jiff::Timestamp;
use kube_types::{FieldSelector, Format as QuantityFormat, LabelSelector, Quantity, format_duration};
use serde_json::{Value, json};

use crate::{
    answer::{self, Body},
    api::{Api, Call},
    json::text,
    keys,
    negotiate::{Forms, What, format},
    status::{ApiError, Result},
    time,
};

/// The group.
pub const GROUP: &str = "metrics.k8s.io";
/// Its version.
pub const VERSION: &str = "v1beta1";

/// Who knows what the nodes and their pods use.
#[async_trait]
pub trait MetricsSource: Send + Sync {
    /// All nodes that answer.
    async fn nodes(&self) -> Vec<NodeUsage>;
}

/// CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Billionths of a core.
    pub cpu_nanos: u64,
    /// Working set in bytes.
    pub memory: u64,
}

/// Use of a node and its pods.
#[derive(Debug, Clone)]
pub struct NodeUsage {
    /// Name.
    pub name: String,
    /// When it was measured.
    pub at: Timestamp,
    /// The time over which CPU use is an average.
    pub window: Duration,
    /// Of the whole node.
    pub usage: Usage,
    /// Its pods.
    pub pods: Vec<PodUsage>,
}

/// Use of a pod.
#[derive(Debug, Clone)]
pub struct PodUsage {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The time over which CPU use is an average: less than the node's for a pod that has just begun.
    pub window: Duration,
    /// By container.
    pub containers: Vec<(String, Usage)>,
}

/// Discovery of the group.
pub fn resources() -> Vec<Value> {
    vec![
        json!({"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]}),
        json!({"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]}),
    ]
}

impl Api {
    /// Answer a request for NodeMetrics or PodMetrics.
    pub async fn resource_metrics(&self, call: &Call) -> Result<Response<Body>> {
        let route = &call.route;
        let pods = match route.resource.as_str() {
            "pods" => true,
            "nodes" if route.namespace.is_empty() => false,
            _ => return Err(ApiError::no_such_path()),
        };
        if !route.subresource.is_empty() || (pods && route.namespace.is_empty() && route.verb == "get") {
            return Err(ApiError::no_such_path());
        }
        if !matches!(route.verb, "get" | "list") {
            return Err(ApiError::method_not_allowed());
        }
        let format = format(&call.headers, Forms::CUSTOM)?;
        let source = self
            .metrics_source
            .get()
            .ok_or_else(|| ApiError::new(503, "ServiceUnavailable", "no node agent measures anything yet"))?;
        let nodes = source.nodes().await;
        let mut items: Vec<Value> = if pods {
            let all = nodes.iter().flat_map(|n| n.pods.iter().map(move |p| (n, p)));
            all.filter(|(_, p)| route.namespace.is_empty() || p.namespace == route.namespace)
                .filter_map(|(node, pod)| self.pod_metrics(node, pod))
                .collect()
        } else {
            nodes.iter().filter_map(|n| self.node_metrics(n)).collect()
        };
        if route.verb == "get" {
            let found = items
                .into_iter()
                .find(|o| text(o, "/metadata/name") == route.name)
                .ok_or_else(|| not_found(route.namespace.as_str(), &route.name, pods))?;
            let body = if format.what == What::Table {
                table(call, std::slice::from_ref(&found))
            } else {
                found
            };
            return Ok(answer::made(format, 200, &body));
        }
        let labels: LabelSelector = parsed(call, "labelSelector")?;
        let fields: FieldSelector = parsed(call, "fieldSelector")?;
        items.retain(|o| labels.matches_object(o) && fields.matches_object(o));
        let key = |o: &Value| {
            (
                text(o, "/metadata/namespace").to_owned(),
                text(o, "/metadata/name").to_owned(),
            )
        };
        items.sort_by_cached_key(key);
        if format.what == What::Table {
            return Ok(answer::made(format, 200, &table(call, &items)));
        }
        let kind = if pods { "PodMetricsList" } else { "NodeMetricsList" };
        Ok(answer::made(
            format,
            200,
            &json!({"kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}),
        ))
    }

    fn pod_metrics(&self, node: &NodeUsage, pod: &PodUsage) -> Option<Value> {
        let stored = self.store.get(&keys::core("pods", &pod.namespace, &pod.name))?;
        if stored.value()["status"]["phase"] != "Running" {
            return None;
        }
        let containers: Vec<Value> = pod
            .containers
            .iter()
            .map(|(name, usage)| json!({"name": name, "usage": quantities(usage)}))
            .collect();
        let mut object = json!({"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "creationTimestamp": time::now()},
            "timestamp": time::seconds(node.at), "window": window(pod.window), "containers": containers});
        labelled(&mut object, &stored.value());
        Some(object)
    }

    fn node_metrics(&self, node: &NodeUsage) -> Option<Value> {
        let stored = self.store.get(&keys::core("nodes", "", &node.name))?;
        let mut object = json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": node.name, "creationTimestamp": time::now()},
            "timestamp": time::seconds(node.at), "window": window(node.window), "usage": quantities(&node.usage)});
        labelled(&mut object, &stored.value());
        Some(object)
    }
}

fn labelled(object: &mut Value, of: &Value) {
    if of["metadata"]["labels"].is_object() {
        object["metadata"]["labels"] = of["metadata"]["labels"].clone();
    }
}

/// Milliseconds are what a window means anything in.
fn window(window: Duration) -> String {
    format_duration(i64::try_from(window.as_millis()).unwrap_or_default() * 1_000_000)
}

fn quantities(usage: &Usage) -> Value {
    let cpu = Quantity::from_nano(usage.cpu_nanos.into(), QuantityFormat::DecimalSi);
    let memory = Quantity::from_bytes(usage.memory as i64);
    json!({"cpu": cpu.canonical(), "memory": memory.canonical()})
}

fn not_found(namespace: &str, name: &str, pods: bool) -> ApiError {
    let (resource, name) = if pods {
        ("podmetrics", format!("{namespace}/{name}"))
    } else {
        ("nodemetrics", name.to_owned())
    };
    ApiError {
        details: Some(json!({"name": name, "group": GROUP, "kind": resource})),
        ..ApiError::new(404, "NotFound", format!("{resource}.{GROUP} {name:?} not found"))
    }
}

fn parsed<T>(call: &Call, parameter: &str) -> Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let raw = call.query.get(parameter).unwrap_or_default();
    raw.parse()
        .map_err(|e| ApiError::bad_request(format!("unable to parse {parameter} {raw:?}: {e}")))
}

/// The table that metrics-server gives (`addPodMetricsToTable`).
fn table(call: &Call, items: &[Value]) -> Value {
    let mut columns = vec![
        json!({"name": "Name", "type": "string", "format": "name", "description": "Name of the resource", "priority": 0}),
    ];
    if !items.is_empty() {
        for (name, format) in [
            ("cpu", "quantity"),
            ("memory", "quantity"),
            ("Window", "duration"),
        ] {
            columns.push(
                json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0}),
            );
        }
    }
    let rows: Vec<Value> = items
        .iter()
        .map(|object| {
            let sum = |resource: &str| {
                let one = std::slice::from_ref(&object["usage"]);
                let each: Vec<&Value> = match object["containers"].as_array() {
                    Some(containers) => containers.iter().map(|c| &c["usage"]).collect(),
                    None => one.iter().collect(),
                };
                let amounts = each
                    .into_iter()
                    .filter_map(|u| u[resource].as_str()?.parse::<Quantity>().ok());
                amounts
                    .reduce(|a, b| a.add(&b))
                    .map_or_else(|| "0".to_owned(), |q| q.canonical())
            };
            let cells = json!([
                object["metadata"]["name"],
                sum("cpu"),
                sum("memory"),
                object["window"]
            ]);
            let mut row = json!({"cells": cells});
            match call.query.get("includeObject").unwrap_or("Metadata") {
                "None" => {}
                "Object" => row["object"] = object.clone(),
                _ => row["object"] = answer::partial(object, "meta.k8s.io/v1"),
            }
            row
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows})
}
