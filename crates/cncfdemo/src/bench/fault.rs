use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use results::Fault;

/// How a pod can be killed.
#[derive(Debug, Clone)]
pub enum Means {
    /// On a local cluster: SIGKILL to every process of its containers. The pod stays and restarts them.
    Signal(engine::Paths),
    /// Elsewhere there is only the API: the pod is deleted with grace period 0, and another takes its place. A kubelet sends
    /// SIGTERM first and gives a moment (kuberuntime's minimum grace period, 2 s in 1.36), so this is milder.
    Delete,
}

/// What is to be killed, and when.
#[derive(Debug, Clone)]
pub struct Kill {
    /// Namespace.
    pub namespace: String,
    /// The app whose pods may be chosen.
    pub app: String,
    /// How.
    pub means: Means,
    /// After this time.
    pub after: Duration,
    /// How long to wait for as many Ready pods as before.
    pub patience: Duration,
}

/// Kills one Ready pod of an app at an instant, and waits until as many are Ready as were before.
pub async fn kill_pod(client: Client, kill: Kill, begun: Instant) -> anyhow::Result<Fault> {
    tokio::time::sleep(kill.after.saturating_sub(begun.elapsed())).await;
    let pods: Api<Pod> = Api::namespaced(client, &kill.namespace);
    let selector = format!("app.kubernetes.io/name={}", kill.app);
    let listed = pods.list(&ListParams::default().labels(&selector)).await?;
    let ready: Vec<&Pod> = listed.iter().filter(|p| is_ready(p)).collect();
    let Some(victim) = ready.first() else {
        anyhow::bail!(
            "no pod with {selector} in namespace {} is Ready, so none can be killed",
            kill.namespace
        );
    };
    let (name, uid) = (
        victim.metadata.name.clone().unwrap_or_default(),
        victim.metadata.uid.clone().unwrap_or_default(),
    );
    let (t, killed) = (begun.elapsed().as_secs_f64(), Instant::now());
    let what = match &kill.means {
        Means::Signal(paths) => {
            let (paths, uid) = (paths.clone(), uid.clone());
            let processes =
                tokio::task::spawn_blocking(move || engine::chaos::kill_pod(&paths, &uid)).await??;
            let processes = if processes == 1 {
                "the one process".to_owned()
            } else {
                format!("{processes} processes")
            };
            format!("SIGKILL to {processes} of pod/{name}")
        }
        Means::Delete => {
            pods.delete(&name, &DeleteParams::default().grace_period(0))
                .await?;
            format!("pod/{name} deleted with grace period 0")
        }
    };
    let mut fault = Fault {
        t,
        what,
        failed: 0,
        degraded_s: 0,
        ready_s: None,
    };
    let before = Before {
        uid,
        restarts: restarts(victim),
        ready: ready.len(),
    };
    let changes = watcher(pods.clone(), watcher::Config::default().labels(&selector));
    fault.ready_s = tokio::time::timeout(kill.patience, before.come_back(changes, killed))
        .await
        .ok()
        .transpose()?
        .flatten();
    Ok(fault)
}

/// How things stood before the fault.
struct Before {
    uid: String,
    restarts: i32,
    ready: usize,
}

impl Before {
    /// Seconds until as many pods are Ready as before. The victim counts again when it has restarted, and not before: for a
    /// moment the API may still call it Ready.
    async fn come_back(
        &self,
        changes: impl futures::Stream<Item = Result<watcher::Event<Pod>, watcher::Error>>,
        killed: Instant,
    ) -> Result<Option<f64>, watcher::Error> {
        let mut now = BTreeMap::new();
        let mut changes = std::pin::pin!(changes.touched_objects());
        while let Some(pod) = changes.try_next().await? {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let back = uid != self.uid || restarts(&pod) > self.restarts;
            now.insert(uid, is_ready(&pod) && back);
            if now.values().filter(|ready| **ready).count() >= self.ready {
                return Ok(Some(killed.elapsed().as_secs_f64()));
            }
        }
        Ok(None)
    }
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .as_ref()
        .and_then(|s| s.container_statuses.as_deref())
        .unwrap_or_default();
    containers.iter().map(|c| c.restart_count).sum()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
}
