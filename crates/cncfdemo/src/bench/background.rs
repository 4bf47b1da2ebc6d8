use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

/// Where the number of replicas is kept while it is off, so that a run that was killed can be mended by the next.
const BEFORE: &str = "cncfdemo.io/replicas-before-benchmark";
/// How long pods may take to come or go.
const PATIENCE: Duration = Duration::from_secs(120);

/// CPU seconds that pods of negative priority have got since an instant, from Prometheus.
pub async fn cpu_seconds(client: &Client, namespace: &str, since: jiff::Timestamp) -> anyhow::Result<f64> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let low = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p < 0);
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter(low)
        .filter_map(|pod| pod.metadata.name)
        .collect();
    if names.is_empty() {
        return Ok(0.0);
    }
    let base = super::endpoint(client, namespace, "prometheus").await?;
    super::prometheus::cpu_seconds(&base, namespace, &names, since, jiff::Timestamp::now()).await
}

/// The low-priority work that can be switched.
pub struct Background {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    replicas: i32,
}

impl Background {
    /// Finds it as it is meant to be; `None` when the demo has none.
    pub async fn find(client: &Client, namespace: &str) -> anyhow::Result<Option<Background>> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let Some(found) = deployments.get_opt("background").await? else {
            return Ok(None);
        };
        let kept = found
            .metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(BEFORE))
            .and_then(|v| v.parse().ok());
        let replicas = kept.or(found.spec.and_then(|s| s.replicas)).unwrap_or(1);
        let background = Background {
            deployments,
            pods: Api::namespaced(client.clone(), namespace),
            replicas,
        };
        if kept.is_some() {
            background
                .switch(true)
                .await
                .context("failed to switch on again what an earlier benchmark left off")?;
        }
        Ok((replicas > 0).then_some(background))
    }

    /// Switches it on or off, and waits until its pods are Ready or gone.
    pub async fn switch(&self, on: bool) -> anyhow::Result<()> {
        let (replicas, kept) = if on {
            (self.replicas, None)
        } else {
            (0, Some(self.replicas.to_string()))
        };
        let patch = json!({"metadata": {"annotations": {BEFORE: kept}}, "spec": {"replicas": replicas}});
        self.deployments
            .patch("background", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let settled = async {
            loop {
                let pods = self
                    .pods
                    .list(&ListParams::default().labels("app.kubernetes.io/name=background"))
                    .await?;
                let ready = pods.iter().filter(|p| {
                    let conditions = p
                        .status
                        .as_ref()
                        .and_then(|s| s.conditions.as_deref())
                        .unwrap_or_default();
                    conditions
                        .iter()
                        .any(|c| c.type_ == "Ready" && c.status == "True")
                });
                if pods.items.len() == replicas as usize && ready.count() == replicas as usize {
                    return Ok::<_, kube::Error>(());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let state = if on { "Ready" } else { "gone" };
        tokio::time::timeout(PATIENCE, settled).await.with_context(|| {
            format!(
                "the background work's pods were not {state} within {} s",
                PATIENCE.as_secs()
            )
        })??;
        Ok(())
    }
}
