//! Pods that carry faults out on a node: short-lived, with a deadline of their own, of an image with a shell, nft, tc and nsenter
//! (`apps/chaos`). What they do is a script each, in this folder; what they are is found again by a label.
use std::time::Duration;

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use crate::Error;

/// A script with what all of them begin with.
macro_rules! script {
    ($file:literal) => {
        concat!(include_str!("common.sh"), include_str!($file))
    };
}

/// The label of all of them; its value is the kind of fault.
pub(crate) const LABEL: &str = "cncfdemo.io/chaos";
/// What was done, in words.
pub(crate) const WHAT: &str = "cncfdemo.io/chaos-what";
/// Until when, RFC 3339.
pub(crate) const UNTIL: &str = "cncfdemo.io/chaos-until";
/// A pod that is not begun by then will not be.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long a script may take to mend when it is told to end.
const GRACE: u32 = 10;

/// What a helper does.
pub(crate) enum Job<'a> {
    /// `network.sh`: who (a pod's uid, or `node`), then effect and values.
    Network {
        /// A pod's uid; `None` for the node itself.
        uid: Option<&'a str>,
        /// Effect and its values.
        effect: Vec<String>,
    },
    /// `disk.sh`
    Disk {
        /// The claim to fill; `None` for the node's own file system.
        claim: Option<&'a str>,
        /// How far.
        percent: u8,
        /// Bytes to take at most.
        at_most: u64,
    },
    /// `stress.sh`
    Stress {
        /// Busy loops.
        cpus: u32,
        /// Bytes.
        memory: u64,
    },
}

/// A helper that is to be.
pub(crate) struct Helper<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) node: &'a str,
    pub(crate) image: &'a str,
    pub(crate) kind: &'static str,
    /// In words, for whoever finds it.
    pub(crate) what: &'a str,
    /// When it ends at the latest, however late it begins.
    pub(crate) until: jiff::Timestamp,
    /// How long the fault lasts once it is there.
    pub(crate) lasts: Duration,
    pub(crate) job: Job<'a>,
}

impl Helper<'_> {
    /// Starts it and waits until its script says that the fault is there; gives its name.
    pub(crate) async fn start(&self, client: &Client) -> Result<String, Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), self.namespace);
        let pod: Pod =
            serde_json::from_value(self.manifest()).map_err(|e| Error::Impossible(e.to_string()))?;
        let made = pods
            .create(&PostParams::default(), &pod)
            .await
            .map_err(Error::api(format!(
                "create a pod for the fault in namespace {}",
                self.namespace
            )))?;
        let name = made.metadata.name.unwrap_or_default();
        let begun = tokio::time::timeout(PATIENCE, Box::pin(self.begun(&pods, &name))).await;
        let failed = |reason: String| Error::Helper {
            pod: name.clone(),
            reason,
        };
        let outcome = match begun {
            Ok(outcome) => outcome,
            Err(_) => Err(failed(format!(
                "has not begun within {} s: {}",
                PATIENCE.as_secs(),
                state(&pods, &name).await
            ))),
        };
        if let Err(failure) = outcome {
            // What did not begin is taken away; that this fails too would add nothing.
            let _ = stop(client, self.namespace, &name).await;
            return Err(failure);
        }
        Ok(name)
    }

    async fn begun(&self, pods: &Api<Pod>, name: &str) -> Result<(), Error> {
        let failed = |reason: String| Error::Helper {
            pod: name.to_owned(),
            reason,
        };
        let started = |pod: Option<&Pod>| {
            let phase = pod.and_then(|p| p.status.as_ref()?.phase.as_deref());
            let restarted = pod.is_some_and(|p| crate::timeline::restarts(p) > 0);
            restarted || matches!(phase, Some("Running" | "Succeeded" | "Failed"))
        };
        await_condition(pods.clone(), name, started)
            .await
            .map_err(|e| failed(format!("cannot be watched: {e}")))?;
        let log = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let stream = pods
            .log_stream(name, &log)
            .await
            .map_err(Error::api(format!("read the log of pod {name}")))?;
        let mut lines = stream.lines();
        // A node that is being cut off cannot tell that it is.
        let last_word = if matches!(self.job, Job::Network { uid: None, .. }) {
            "applying"
        } else {
            "applied"
        };
        while let Some(line) = lines
            .try_next()
            .await
            .map_err(|e| failed(format!("has a log that cannot be read: {e}")))?
        {
            if line == last_word {
                return Ok(());
            }
            if let Some(reason) = line.strip_prefix("failed: ") {
                return Err(failed(format!("says: {reason}")));
            }
        }
        Err(failed("ended without a word".to_owned()))
    }

    fn manifest(&self) -> Value {
        // Whoever waits for the end mends it, and this a moment later only if nobody does.
        let seconds = self.lasts.as_secs_f64().ceil() + 2.0;
        let ends = [self.until.as_second().to_string(), seconds.to_string()];
        let (script, arguments, volume): (_, Vec<String>, _) = match &self.job {
            Job::Network { uid, effect } => {
                let who = [uid.unwrap_or("node").to_owned()].into_iter();
                let arguments = who.chain(ends).chain(effect.iter().cloned());
                (script!("network.sh"), arguments.collect(), None)
            }
            Job::Disk {
                claim,
                percent,
                at_most,
            } => {
                let volume = match claim {
                    Some(claim) => json!({"name": "target", "persistentVolumeClaim": {"claimName": claim}}),
                    None => json!({"name": "target", "emptyDir": {}}),
                };
                let arguments = ends.into_iter().chain([percent.to_string(), at_most.to_string()]);
                (script!("disk.sh"), arguments.collect(), Some(volume))
            }
            Job::Stress { cpus, memory } => {
                let arguments = ends.into_iter().chain([cpus.to_string(), memory.to_string()]);
                (script!("stress.sh"), arguments.collect(), None)
            }
        };
        let (in_network, of_node) = match &self.job {
            Job::Network { uid, .. } => (true, uid.is_none()),
            _ => (false, false),
        };
        let command: Vec<String> = ["/bin/sh", "-c", script, "chaos"]
            .map(str::to_owned)
            .into_iter()
            .chain(arguments)
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "generateName": format!("chaos-{}-", self.kind), "namespace": self.namespace,
                "labels": {LABEL: self.kind, "app.kubernetes.io/name": "chaos"},
                "annotations": {WHAT: self.what, UNTIL: self.until.to_string()},
            },
            "spec": {
                // Straight to the node: taints and room are no matter.
                "nodeName": self.node, "tolerations": [{"operator": "Exists"}],
                "hostNetwork": of_node, "hostPID": in_network && !of_node,
                "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": GRACE,
                "automountServiceAccountToken": false,
                "volumes": volume.iter().collect::<Vec<_>>(),
                "containers": [{
                    "name": "chaos", "image": self.image, "command": command,
                    "env": [{"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
                    "securityContext": {"privileged": in_network, "runAsUser": 0},
                    "volumeMounts": volume.iter().map(|_| json!({"name": "target", "mountPath": "/target"})).collect::<Vec<_>>(),
                }],
            },
        })
    }
}

/// Tells a helper to mend and to end, and waits until it is gone.
pub(crate) async fn stop(client: &Client, namespace: &str, name: &str) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let doing = format!("delete pod {namespace}/{name}");
    let found = pods.get_opt(name).await.map_err(Error::api(doing.clone()))?;
    let Some(uid) = found.and_then(|pod| pod.metadata.uid) else {
        return Ok(());
    };
    match pods.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => drop(other.map_err(Error::api(doing))?),
    }
    let gone = await_condition(pods.clone(), name, conditions::is_deleted(&uid));
    match tokio::time::timeout(Duration::from_secs(u64::from(GRACE) + 20), gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Error::Helper {
            pod: name.to_owned(),
            reason: format!("cannot be watched: {e}"),
        }),
        Err(_) => Err(Error::Helper {
            pod: name.to_owned(),
            reason: format!("does not end: {}", state(&pods, name).await),
        }),
    }
}

/// Why a pod stands where it stands, in the cluster's words.
async fn state(pods: &Api<Pod>, name: &str) -> String {
    let Ok(Some(pod)) = pods.get_opt(name).await else {
        return "it is gone".to_owned();
    };
    let status = pod.status.unwrap_or_default();
    let waiting = status.container_statuses.iter().flatten().find_map(|c| {
        let waiting = c.state.as_ref()?.waiting.as_ref()?;
        Some(format!(
            "{} {}",
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default()
        ))
    });
    waiting.unwrap_or_else(|| format!("it is {}", status.phase.unwrap_or_else(|| "nowhere".to_owned())))
}
