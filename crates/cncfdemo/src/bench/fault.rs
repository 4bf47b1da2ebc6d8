use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use results::Fault;

/// Kills one Ready pod of an app without grace (its containers get SIGKILL) at an instant, and waits for as many Ready pods
/// as there were before.
pub async fn kill_pod(
    client: Client, namespace: String, app: String, begun: Instant, after: Duration, patience: Duration,
) -> anyhow::Result<Fault> {
    tokio::time::sleep(after.saturating_sub(begun.elapsed())).await;
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let selector = format!("app.kubernetes.io/name={app}");
    let listed = pods.list(&ListParams::default().labels(&selector)).await?;
    let ready: Vec<String> = listed.iter().filter(|p| is_ready(p)).filter_map(|p| p.metadata.name.clone()).collect();
    let Some(victim) = ready.first() else {
        anyhow::bail!("no pod with {selector} in namespace {namespace} is Ready, so none can be killed");
    };
    let t = begun.elapsed().as_secs_f64();
    pods.delete(victim, &DeleteParams::default().grace_period(0)).await?;
    let what = format!("SIGKILL pod/{victim}");
    let mut fault = Fault { t, what, failed: 0, degraded_s: 0, ready_s: None };
    let killed = Instant::now();
    let wait = async {
        let config = watcher::Config::default().labels(&selector);
        let mut now_ready = std::collections::BTreeSet::new();
        let mut changes = std::pin::pin!(watcher(pods, config).touched_objects());
        while let Some(pod) = changes.try_next().await? {
            let name = pod.metadata.name.clone().unwrap_or_default();
            // The victim may still be reported Ready for a moment.
            if is_ready(&pod) && name != *victim && pod.metadata.deletion_timestamp.is_none() {
                now_ready.insert(name);
            } else {
                now_ready.remove(&name);
            }
            if now_ready.len() >= ready.len() {
                return Ok::<_, watcher::Error>(Some(killed.elapsed().as_secs_f64()));
            }
        }
        Ok(None)
    };
    fault.ready_s = tokio::time::timeout(patience, wait).await.ok().transpose()?.flatten();
    Ok(fault)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none() && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}
