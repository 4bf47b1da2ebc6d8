//! HorizontalPodAutoscalers against the metrics API of the API server; only what pods use is played.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use engine_api::{MetricsSource, NodeUsage, PodUsage, Usage};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true};

/// Load that the pods share evenly, in thousandths of a core.
struct Load {
    pods: Api<Pod>,
    milli: AtomicU64,
}

#[async_trait]
impl MetricsSource for Load {
    async fn nodes(&self) -> Vec<NodeUsage> {
        let pods = self.pods.list(&ListParams::default()).await.unwrap().items;
        let running = |pod: &&Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running");
        let names: Vec<String> = pods
            .iter()
            .filter(running)
            .map(|p| p.metadata.name.clone().unwrap())
            .collect();
        let usage = Usage {
            cpu_nanos: self.milli.load(Ordering::SeqCst) * 1_000_000 / (names.len() as u64).max(1),
            memory: 16 << 20,
        };
        let pod = |name: String| PodUsage {
            namespace: "t".to_owned(),
            name,
            window: Duration::ZERO,
            containers: vec![("c".to_owned(), usage)],
        };
        vec![NodeUsage {
            name: "node-1".to_owned(),
            at: jiff::Timestamp::now(),
            window: Duration::ZERO,
            usage,
            pods: names.into_iter().map(pod).collect(),
        }]
    }
}

fn loaded(cluster: &Cluster) -> Arc<Load> {
    let load = Arc::new(Load {
        pods: Api::namespaced(cluster.client.clone(), "t"),
        milli: AtomicU64::new(0),
    });
    cluster.api_server.set_metrics_source(load.clone());
    load
}

fn deployment(replicas: i64) -> Value {
    let container =
        json!({"name": "c", "image": "i", "command": ["sleep"], "resources": {"requests": {"cpu": "100m"}}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}})
}

fn autoscaler(metrics: Value) -> Value {
    let quick = json!({"stabilizationWindowSeconds": 1, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]});
    let four = json!({"policies": [{"type": "Pods", "value": 4, "periodSeconds": 1}]});
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": {
        "minReplicas": 1, "maxReplicas": 8, "behavior": {"scaleUp": four, "scaleDown": quick}, "metrics": metrics,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}})
}

fn cpu() -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}])
}

const HPA: &str = "autoscaling/v2/HorizontalPodAutoscaler";

fn says(hpa: &Value, kind: &str) -> (String, String) {
    let found = condition(hpa, kind).cloned().unwrap_or_default();
    let part = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (part("reason"), part("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_raises_replicas_and_its_end_lowers_them() {
    let cluster = Cluster::start().await;
    let load = loaded(&cluster);
    cluster.create(deployment(1)).await;
    cluster.create(autoscaler(cpu())).await;
    load.milli.store(300, Ordering::SeqCst);
    // 300m at 50 % of 100m each are six; at first four may be added.
    // As long as the sixth does not run, the others share what is to be done.
    let shared = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "50m"}}}]);
    let hpa = cluster
        .becomes(HPA, "web", |h| {
            h["status"]["currentReplicas"] == 6
                && says(h, "AbleToScale").0 == "ReadyForNewScale"
                && h["status"]["currentMetrics"] == shared
        })
        .await;
    assert!(is_true(&hpa, "ScalingActive"));
    assert_eq!(
        says(&hpa, "ScalingActive").1,
        "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
    );
    assert_eq!(says(&hpa, "ScalingLimited").0, "DesiredWithinRange");
    cluster
        .event_comes(
            "web",
            "Normal SuccessfulRescale New size: 5; reason: cpu resource utilization (percentage of request) above target",
        )
        .await;
    // As `kubectl get hpa.v1.autoscaling` sees it.
    let v1 = cluster.get("autoscaling/v1/HorizontalPodAutoscaler", "web").await;
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 50);

    load.milli.store(0, Ordering::SeqCst);
    cluster
        .becomes("apps/v1/Deployment", "web", |d| d["spec"]["replicas"] == 1)
        .await;
    cluster
        .event_comes(
            "web",
            "Normal SuccessfulRescale New size: 1; reason: All metrics below target",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_count_without_any_metric() {
    let cluster = Cluster::start().await;
    cluster.create(deployment(12)).await;
    cluster.create(autoscaler(cpu())).await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| d["spec"]["replicas"] == 8)
        .await;
    cluster
        .event_comes(
            "web",
            "Normal SuccessfulRescale New size: 8; reason: Current number of replicas above Spec.MaxReplicas",
        )
        .await;
    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"replicas": 0}}))
        .await;
    let hpa = cluster
        .becomes(HPA, "web", |h| says(h, "ScalingActive").0 == "ScalingDisabled")
        .await;
    assert_eq!(hpa["status"]["desiredReplicas"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told() {
    let cluster = Cluster::start().await;
    let mut lost = autoscaler(cpu());
    lost["metadata"]["name"] = "lost".into();
    lost["spec"]["scaleTargetRef"]["name"] = "nothing".into();
    cluster.create(lost).await;
    let hpa = cluster
        .becomes(HPA, "lost", |h| condition(h, "AbleToScale").is_some())
        .await;
    assert_eq!(
        says(&hpa, "AbleToScale"),
        (
            "FailedGetScale".to_owned(),
            "the HPA controller was unable to get the target's current scale: deployments.apps \"nothing\" not found".to_owned()
        )
    );

    cluster.create(deployment(1)).await;
    let mut metrics = cpu();
    metrics.as_array_mut().unwrap().push(
        json!({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}}),
    );
    cluster.create(autoscaler(metrics)).await;
    let hpa = cluster
        .becomes(HPA, "web", |h| condition(h, "ScalingActive").is_some())
        .await;
    assert_eq!(
        says(&hpa, "ScalingActive"),
        (
            "FailedGetResourceMetric".to_owned(),
            "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for \
             resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the \
             request (get pods.metrics.k8s.io)"
                .to_owned()
        )
    );
    cluster
        .event_comes(
            "web",
            "Warning FailedGetPodsMetric unable to get metric rps: unable to fetch metrics from custom metrics API: no \
             custom metrics API (custom.metrics.k8s.io) registered",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_for_the_same_pods_scale_nothing() {
    let cluster = Cluster::start().await;
    loaded(&cluster);
    cluster.create(deployment(1)).await;
    let mut other = autoscaler(cpu());
    other["metadata"]["name"] = "other".into();
    cluster.create(other).await;
    cluster.create(autoscaler(cpu())).await;
    let hpa = cluster
        .becomes(HPA, "web", |h| says(h, "ScalingActive").0 == "AmbiguousSelector")
        .await;
    assert_eq!(
        says(&hpa, "ScalingActive").1,
        "pods by selector app=web are controlled by multiple HPAs: [t/other t/web]"
    );
}
