use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};

use crate::chaos::Undo;
use crate::helper::{Helper, Job};
use crate::{Chaos, Effect, Error, Fault, Injected, KillBy, Kind, NodeBy, store, victim};

/// A pod may take so long to begin: the deadline of what it does is later by this.
const STARTING: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// The label that names a pod's app.
const APP: &str = "app.kubernetes.io/name";

pub(crate) async fn inject(chaos: &Chaos, fault: &Fault) -> Result<Injected, Error> {
    if let Kind::Node { by } = fault.kind {
        return nodes(chaos, fault, by).await;
    }
    if fault.target.role == Some(crate::Role::RedisMaster) {
        store::at_rest(&chaos.client, &fault.target.namespace, &fault.target.labels).await?;
    }
    let victims = victim::pods(&chaos.client, &fault.target).await?;
    let mut parts = Parts::default();
    let done = match &fault.kind {
        Kind::Pod { by } => kill(chaos, &victims, *by, &mut parts).await,
        Kind::Network { effect } => network(chaos, fault, &victims, *effect, &mut parts).await,
        Kind::Disk { .. } | Kind::Stress { .. } => on_nodes(chaos, fault, &victims, &mut parts).await,
        Kind::Node { .. } => Ok(()),
    };
    parts.end(chaos, fault, done, app(&victims)).await
}

/// What has been done so far.
#[derive(Default)]
struct Parts {
    what: Vec<String>,
    victims: Vec<String>,
    undo: Vec<Undo>,
    /// When the first part began.
    at: Option<Instant>,
}

impl Parts {
    /// A fault begins when the cluster is asked for it, not when it has answered: what it does meanwhile belongs to it.
    fn begin(&mut self) {
        self.at.get_or_insert_with(Instant::now);
    }

    fn add(&mut self, victim: String, what: String, undo: Option<Undo>) {
        self.begin();
        if !self.victims.contains(&victim) {
            self.victims.push(victim);
        }
        self.what.push(what);
        self.undo.extend(undo);
    }

    /// Half a fault is none: a failure undoes what was done before it.
    async fn end(
        self,
        chaos: &Chaos,
        fault: &Fault,
        done: Result<(), Error>,
        app: Option<String>,
    ) -> Result<Injected, Error> {
        if let Err(failure) = done {
            if let Err(also) = chaos.undo_all(&self.undo).await {
                tracing::warn!("what was done before that stays until its deadline: {also}");
            }
            return Err(failure);
        }
        Ok(Injected {
            kind: fault.kind.name(),
            what: self.what.join("; "),
            victims: self.victims,
            app,
            at: self.at.unwrap_or_else(Instant::now),
            lasts: fault.kind.lasts().then_some(fault.lasts),
            undo: self.undo,
        })
    }
}

async fn kill(chaos: &Chaos, victims: &[Pod], by: KillBy, parts: &mut Parts) -> Result<(), Error> {
    for pod in victims {
        let (namespace, name, uid) = identity(pod);
        parts.begin();
        let what = match (by, &chaos.means) {
            (KillBy::Signal, Some(means)) => {
                let killed = means
                    .kill_pod(&uid)
                    .await
                    .map_err(Error::means(format!("kill pod {namespace}/{name}")))?;
                let processes = match killed {
                    1 => "the one process".to_owned(),
                    n => format!("{n} processes"),
                };
                format!("SIGKILL to {processes} of pod/{name}")
            }
            _ => {
                let pods: Api<Pod> = Api::namespaced(chaos.client.clone(), &namespace);
                pods.delete(&name, &DeleteParams::default().grace_period(0))
                    .await
                    .map_err(Error::api(format!("delete pod {namespace}/{name}")))?;
                format!("pod/{name} deleted with grace period 0")
            }
        };
        parts.add(format!("pod/{name}"), what, None);
    }
    Ok(())
}

async fn nodes(chaos: &Chaos, fault: &Fault, by: NodeBy) -> Result<Injected, Error> {
    let victims = victim::nodes(&chaos.client, &fault.target).await?;
    let mut parts = Parts::default();
    let mut done = Ok(());
    for node in &victims {
        let name = node.metadata.name.clone().unwrap_or_default();
        done = one_node(chaos, fault, by, &name, &mut parts).await;
        if done.is_err() {
            break;
        }
    }
    parts.end(chaos, fault, done, None).await
}

async fn one_node(
    chaos: &Chaos,
    fault: &Fault,
    by: NodeBy,
    name: &str,
    parts: &mut Parts,
) -> Result<(), Error> {
    let what = match by {
        NodeBy::Stop => format!("node/{name} stopped for {}", seconds(fault.lasts)),
        NodeBy::Cut => format!("node/{name} cut off for {}", seconds(fault.lasts)),
    };
    let undo = match (&chaos.means, by) {
        (Some(means), _) => {
            means
                .break_node(name, by, fault.lasts)
                .await
                .map_err(Error::means(format!("break node {name}")))?;
            Undo::Node(name.to_owned())
        }
        (None, NodeBy::Stop) => {
            return Err(Error::Impossible(format!(
                "no API can switch node {name} off: cutting its network off can be had (--by cut)"
            )));
        }
        (None, NodeBy::Cut) => {
            let job = Job::Network {
                uid: None,
                effect: effect(Effect::Partition).1,
            };
            helper(chaos, fault, &fault.target.namespace, name, &what, job).await?
        }
    };
    parts.add(format!("node/{name}"), what, Some(undo));
    Ok(())
}

async fn network(
    chaos: &Chaos,
    fault: &Fault,
    victims: &[Pod],
    wanted: Effect,
    parts: &mut Parts,
) -> Result<(), Error> {
    let (words, arguments) = effect(wanted);
    for pod in victims {
        let (namespace, name, uid) = identity(pod);
        let spec = pod.spec.as_ref();
        if spec.and_then(|s| s.host_network) == Some(true) {
            return Err(Error::Impossible(format!(
                "pod {namespace}/{name} has its node's network: break the node's instead (chaos node --by cut)"
            )));
        }
        let node = node_of(pod)?;
        let what = format!("{words} at pod/{name} for {}", seconds(fault.lasts));
        let job = Job::Network {
            uid: Some(&uid),
            effect: arguments.clone(),
        };
        let undo = helper(chaos, fault, &namespace, &node, &what, job).await?;
        parts.add(format!("pod/{name}"), what, Some(undo));
    }
    Ok(())
}

/// Once for each node that has a victim.
async fn on_nodes(chaos: &Chaos, fault: &Fault, victims: &[Pod], parts: &mut Parts) -> Result<(), Error> {
    let mut seen = Vec::new();
    for pod in victims {
        let (namespace, name, _) = identity(pod);
        let node = node_of(pod)?;
        if seen.contains(&node) {
            continue;
        }
        let lasts = seconds(fault.lasts);
        let (victim, what, job) = match &fault.kind {
            Kind::Disk { disk } => {
                let claim = disk.claim.as_deref();
                let place = claim.map_or_else(
                    || format!("node/{node}'s disk"),
                    |c| format!("claim {c} of pod/{name}"),
                );
                let job = Job::Disk {
                    claim,
                    percent: disk.percent,
                    at_most: disk.at_most,
                };
                let victim = claim.map_or_else(|| format!("node/{node}"), |_| format!("pod/{name}"));
                (
                    victim,
                    format!("{place} filled to {} % for {lasts}", disk.percent),
                    job,
                )
            }
            Kind::Stress { cpus, memory } => {
                let job = Job::Stress {
                    cpus: *cpus,
                    memory: *memory,
                };
                let what = format!(
                    "{cpus} busy loops and {} MiB held on node/{node} for {lasts}",
                    memory >> 20
                );
                (format!("node/{node}"), what, job)
            }
            Kind::Pod { .. } | Kind::Node { .. } | Kind::Network { .. } => continue,
        };
        let undo = helper(chaos, fault, &namespace, &node, &what, job).await?;
        parts.add(victim, what, Some(undo));
        seen.push(node);
    }
    Ok(())
}

async fn helper(
    chaos: &Chaos,
    fault: &Fault,
    namespace: &str,
    node: &str,
    what: &str,
    job: Job<'_>,
) -> Result<Undo, Error> {
    let image = chaos.image.as_deref().ok_or_else(|| {
        Error::Impossible(format!(
            "this fault is carried out by a pod on node {node}, and no image for it was named (--image)"
        ))
    })?;
    let lasts = jiff::SignedDuration::try_from(fault.lasts).map_err(|e| Error::Impossible(e.to_string()))?;
    let helper = Helper {
        namespace,
        node,
        image,
        kind: fault.kind.name(),
        what,
        until: jiff::Timestamp::now() + lasts + STARTING,
        lasts: fault.lasts,
        job,
    };
    let name = Box::pin(helper.start(&chaos.client)).await?;
    Ok(Undo::Helper {
        namespace: namespace.to_owned(),
        name,
    })
}

/// In words, and as `network.sh` takes it.
fn effect(effect: Effect) -> (String, Vec<String>) {
    match effect {
        Effect::Partition => ("every packet lost".to_owned(), vec!["partition".to_owned()]),
        Effect::Loss(percent) => (
            format!("{percent} % of packets lost each way"),
            vec!["loss".to_owned(), percent.to_string()],
        ),
        Effect::Latency { delay, jitter } => (
            format!("packets {} ms late", delay.as_millis()),
            vec![
                "latency".to_owned(),
                delay.as_millis().to_string(),
                jitter.as_millis().to_string(),
            ],
        ),
    }
}

fn identity(pod: &Pod) -> (String, String, String) {
    let metadata = pod.metadata.clone();
    (
        metadata.namespace.unwrap_or_default(),
        metadata.name.unwrap_or_default(),
        metadata.uid.unwrap_or_default(),
    )
}

/// `pod/NAME`.
pub(crate) fn pod_name(pod: &Pod) -> String {
    format!("pod/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

fn node_of(pod: &Pod) -> Result<String, Error> {
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone());
    node.ok_or_else(|| Error::NoVictim(format!("{} is on no node", pod_name(pod))))
}

/// The app that all of them belong to.
fn app(pods: &[Pod]) -> Option<String> {
    let of = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|l| l.get(APP)).cloned();
    let first = pods.first().and_then(of)?;
    pods.iter()
        .all(|p| of(p).as_ref() == Some(&first))
        .then_some(first)
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
