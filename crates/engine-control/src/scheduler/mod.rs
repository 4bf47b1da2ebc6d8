//! The scheduler: one task that owns its picture of the nodes, decides for one pod at a time with pure functions,
//! and leaves the writing to tasks of its own. What it decided counts at once ("assumed"), so a burst of pods is
//! placed without waiting for any answer.

mod affinity;
mod bind;
mod devices;
pub(crate) mod filter;
mod limits;
pub(crate) mod node;
mod pending;
mod preempt;
mod score;
mod spread;
pub(crate) mod volumes;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cache::{Cache, Kind};
use crate::context::Context;
use crate::meta::Meta;
use crate::pods;
use crate::selector::Labels;
use devices::Devices;
use filter::Reason;
use limits::Attached;
use node::{NodeInfo, PodInfo};
use pending::Pending;
use volumes::Need;

/// The cluster as the decisions see it.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub nodes: BTreeMap<String, NodeInfo>,
    pub namespaces: HashMap<String, Labels>,
    /// By uid: pods for which others have been asked to leave a node.
    pub nominated: HashMap<String, (String, Arc<PodInfo>)>,
}

/// What the scheduler hears.
enum News {
    Pod(Option<Arc<Pod>>, Option<Arc<Pod>>),
    Node(Option<Arc<Node>>, Option<Arc<Node>>),
    Namespace(Option<Arc<Namespace>>, Option<Arc<Namespace>>),
    /// A claim, of storage or devices, a volume or a class changed.
    Storage,
    /// A placement could not be written.
    BindFailed(Arc<PodInfo>),
}

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell = sender.clone();
    context
        .nodes
        .on_change(move |c| drop(tell.send(News::Node(c.old.cloned(), c.new.cloned()))));
    let tell = sender.clone();
    context
        .namespaces
        .on_change(move |c| drop(tell.send(News::Namespace(c.old.cloned(), c.new.cloned()))));
    let tell = sender.clone();
    context
        .pods
        .on_change(move |c| drop(tell.send(News::Pod(c.old.cloned(), c.new.cloned()))));
    tell_of_storage(&context.claims, &sender);
    tell_of_storage(&context.volumes, &sender);
    tell_of_storage(&context.storage_classes, &sender);
    tell_of_storage(&context.csi_nodes, &sender);
    tell_of_storage(&context.attachments, &sender);
    tell_of_storage(&context.csi_drivers, &sender);
    tell_of_storage(&context.storage_capacities, &sender);
    tell_of_storage(&context.resource_claims, &sender);
    tell_of_storage(&context.device_classes, &sender);
    let scheduler = Scheduler {
        context: Arc::clone(context),
        sender,
        snapshot: Snapshot::default(),
        placed: HashMap::new(),
        assumed: HashSet::new(),
        pending: Pending::default(),
        writes: JoinSet::new(),
    };
    tasks.spawn(scheduler.run(receiver));
}

/// Whatever changes among these, pods that wait for storage may fit now.
fn tell_of_storage<K: Kind>(of: &Cache<K>, sender: &mpsc::UnboundedSender<News>) {
    let tell = sender.clone();
    of.on_change(move |_| drop(tell.send(News::Storage)));
}

struct Scheduler {
    context: Arc<Context>,
    sender: mpsc::UnboundedSender<News>,
    snapshot: Snapshot,
    /// Pod uid to the node it is counted on.
    placed: HashMap<String, String>,
    /// Decided, and not yet seen to be so.
    assumed: HashSet<String>,
    pending: Pending,
    writes: JoinSet<()>,
}

impl Scheduler {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) {
        loop {
            while let Ok(item) = news.try_recv() {
                self.hear(item);
            }
            while self.writes.try_join_next().is_some() {}
            let next_due = self.pending.promote(Instant::now());
            if let Some(pod) = self.pending.pop() {
                self.schedule(&pod);
                tokio::task::yield_now().await;
                continue;
            }
            let due = async {
                match next_due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                item = news.recv() => match item {
                    Some(item) => self.hear(item),
                    None => return,
                },
                () = due => {}
            }
        }
    }

    fn hear(&mut self, news: News) {
        let now = Instant::now();
        match news {
            News::Pod(old, Some(pod)) => self.pod_changed(old.as_deref(), pod, now),
            News::Pod(old, None) => {
                if let Some(pod) = old {
                    self.pending.remove(pod.uid());
                    self.snapshot.nominated.remove(pod.uid());
                    self.assumed.remove(pod.uid());
                    self.unplace(pod.uid(), now);
                }
            }
            News::Node(old, new) => self.node_changed(old.as_deref(), new, now),
            News::Namespace(_, Some(namespace)) => {
                self.snapshot.namespaces.insert(
                    namespace.name().to_owned(),
                    namespace.metadata.labels.clone().unwrap_or_default(),
                );
            }
            News::Namespace(old, None) => {
                if let Some(old) = old {
                    self.snapshot.namespaces.remove(old.name());
                }
            }
            News::Storage => self.pending.wake(now),
            News::BindFailed(pod) => {
                let uid = pod.pod.uid().to_owned();
                if self.assumed.remove(&uid) {
                    self.unplace(&uid, now);
                    // It is still pending if the cache says so.
                    if let Some(current) = self
                        .context
                        .pods
                        .get(&pod.pod.key())
                        .filter(|p| p.uid() == uid && filter::is_ours(p))
                    {
                        self.pending.put(Arc::new(PodInfo::new(current)), false);
                        self.pending.pop_specific(&uid);
                        self.pending.failed_passing(&uid, now);
                    }
                }
            }
        }
    }

    fn pod_changed(&mut self, old: Option<&Pod>, pod: Arc<Pod>, now: Instant) {
        let uid = pod.uid().to_owned();
        if let Some(node) = pods::node_name(&pod).map(str::to_owned) {
            self.pending.remove(&uid);
            self.snapshot.nominated.remove(&uid);
            self.assumed.remove(&uid);
            if pods::is_terminal(&pod) {
                return self.unplace(&uid, now);
            }
            let relabelled =
                old.is_some_and(|o| o.metadata.labels != pod.metadata.labels || o.spec != pod.spec);
            let known = self.placed.get(&uid) == Some(&node);
            let info = Arc::new(PodInfo::new(pod));
            let before = self.snapshot.nodes.get(&node).and_then(|n| n.pods.get(&uid));
            let shrunk = before.is_some_and(|before| info.requests.is_less_than(&before.requests));
            if shrunk {
                // A resize has freed something.
                self.pending.wake(now);
            }
            if known && !relabelled && old.is_some_and(|o| o.deleting() == info.pod.deleting()) {
                // Only its status changed: keep the newest form, nothing else follows.
                if let Some(node) = self.snapshot.nodes.get_mut(&node) {
                    node.add(info);
                }
                return;
            }
            self.place(&node, info);
            // A newcomer may be what another pod's affinity or spreading waits for.
            self.pending.wake_if(now, |p| {
                p.pod.spec.as_ref().is_some_and(|s| {
                    s.topology_spread_constraints.is_some()
                        || s.affinity.as_ref().is_some_and(|a| a.pod_affinity.is_some())
                })
            });
        } else if filter::is_ours(&pod) {
            if !self.assumed.contains(&uid) {
                let made = |p: &Pod| p.status.as_ref().and_then(|s| s.resource_claim_statuses.clone());
                let changed = old.is_none_or(|o| {
                    o.spec != pod.spec || o.metadata.labels != pod.metadata.labels || made(o) != made(&pod)
                });
                self.pending.put(Arc::new(PodInfo::new(pod)), changed);
            }
        } else {
            self.pending.remove(&uid);
            self.snapshot.nominated.remove(&uid);
        }
    }

    fn node_changed(&mut self, old: Option<&Node>, new: Option<Arc<Node>>, now: Instant) {
        let Some(node) = new else {
            if let Some(old) = old {
                self.snapshot.nodes.remove(old.name());
            }
            return;
        };
        let relevant = old.is_none_or(|o| {
            let taken = |n: &Node| n.status.as_ref().and_then(|s| s.allocatable.clone());
            o.spec != node.spec || o.metadata.labels != node.metadata.labels || taken(o) != taken(&node)
        });
        let name = node.name().to_owned();
        if let Some(info) = self.snapshot.nodes.get_mut(&name) {
            info.set_node(node);
        } else {
            let mut info = NodeInfo::new(node);
            for pod in self
                .context
                .pods
                .filter(|p| pods::node_name(p) == Some(&name) && !pods::is_terminal(p))
            {
                self.placed.insert(pod.uid().to_owned(), name.clone());
                info.add(Arc::new(PodInfo::new(pod)));
            }
            self.snapshot.nodes.insert(name, info);
        }
        if relevant {
            self.pending.wake(now);
        }
    }

    fn place(&mut self, node: &str, pod: Arc<PodInfo>) {
        let uid = pod.pod.uid().to_owned();
        if let Some(before) = self.placed.insert(uid.clone(), node.to_owned())
            && before != node
            && let Some(info) = self.snapshot.nodes.get_mut(&before)
        {
            info.remove(&uid);
        }
        if let Some(info) = self.snapshot.nodes.get_mut(node) {
            info.add(pod);
        }
    }

    fn unplace(&mut self, uid: &str, now: Instant) {
        if let Some(node) = self.placed.remove(uid) {
            if let Some(info) = self.snapshot.nodes.get_mut(&node) {
                info.remove(uid);
            }
            self.pending.wake(now);
        }
    }

    fn schedule(&mut self, pod: &Arc<PodInfo>) {
        let uid = pod.pod.uid();
        let devices = devices::look(&self.context, &pod.pod);
        if devices == Devices::Waits {
            self.pending.failed(uid, Instant::now());
            return;
        }
        match self.decide(pod, devices) {
            Ok((node, needs)) => {
                self.snapshot.nominated.remove(uid);
                self.pending.remove(uid);
                self.assumed.insert(uid.to_owned());
                self.place(&node, Arc::clone(pod));
                let origins = self.snapshot.nodes.get(&node);
                let origins = origins.and_then(|node| volumes::on_demand(&needs, node).ok());
                let origins = origins.unwrap_or_default();
                let (context, pod, sender) =
                    (Arc::clone(&self.context), Arc::clone(pod), self.sender.clone());
                self.writes.spawn(async move {
                    if let Err(error) = bind::bind(&context, &pod, &node, origins).await {
                        bind::report_error(&context, &pod, &error);
                        drop(sender.send(News::BindFailed(pod)));
                    }
                });
            }
            Err(Refusal {
                message,
                keeps_nomination,
                plan,
            }) => {
                self.pending.failed(uid, Instant::now());
                let before = self.snapshot.nominated.get(uid).map(|(node, _)| node.clone());
                let nominated = plan
                    .as_ref()
                    .map(|p| p.node.clone())
                    .or(before.filter(|_| keeps_nomination));
                match &nominated {
                    Some(node) => {
                        self.snapshot
                            .nominated
                            .insert(uid.to_owned(), (node.clone(), Arc::clone(pod)));
                    }
                    None => {
                        self.snapshot.nominated.remove(uid);
                    }
                }
                let (context, pod) = (Arc::clone(&self.context), Arc::clone(pod));
                self.writes.spawn(async move {
                    bind::report_unschedulable(&context, &pod, &message, nominated.as_deref()).await;
                    if let Some(plan) = plan {
                        bind::evict(&context, &pod, &plan).await;
                    }
                });
            }
        }
    }

    fn decide(&self, pod: &Arc<PodInfo>, devices: Devices) -> Result<(String, Vec<Need>), Refusal> {
        if self.snapshot.nodes.is_empty() {
            return Err(Refusal {
                message: "no nodes available to schedule pods".into(),
                keeps_nomination: false,
                plan: None,
            });
        }
        let total = self.snapshot.nodes.len();
        let mut needs = match volumes::needs(&self.context, &pod.pod) {
            Ok(needs) => needs,
            Err(reason) => {
                // What comes after asks for what an earlier step would have noted: upstream says that it has not been found.
                let message = format!("0/{total} nodes are available: {reason}. not found");
                return Err(Refusal {
                    message,
                    keeps_nomination: false,
                    plan: None,
                });
            }
        };
        let mut deallocation = "no new claims to deallocate";
        match devices {
            Devices::Refused(reason) => {
                let nodes = format!("0/{total} nodes are available:");
                let message = format!(
                    "{nodes} {reason}. {deallocation}, preemption: {nodes} {total} Preemption is not helpful for scheduling."
                );
                return Err(Refusal {
                    message,
                    keeps_nomination: false,
                    plan: None,
                });
            }
            Devices::Wanted => {
                deallocation = "still not schedulable";
                needs.push(Need::Devices);
            }
            Devices::None | Devices::Waits => {}
        }
        needs.extend(Attached::look(&self.context, &self.snapshot, &pod.pod).map(Need::Counted));
        let mut failures = BTreeMap::new();
        let mut fitting = Vec::new();
        for (name, node) in &self.snapshot.nodes {
            match check_with_nominated(pod, &needs, node, &self.snapshot) {
                Ok(()) => fitting.push(node),
                Err(reason) => {
                    failures.insert(name.clone(), reason);
                }
            }
        }
        if let Some((wanted, _)) = self.snapshot.nominated.get(pod.pod.uid())
            && let Some(node) = fitting.iter().find(|n| n.name() == wanted)
        {
            return Ok((node.name().to_owned(), needs));
        }
        if let Some(best) = score::best(pod, &fitting, &self.snapshot) {
            return Ok((best.name().to_owned(), needs));
        }
        let message = explain(total, &failures);
        let budgets = if pod.priority() > i32::MIN {
            self.context.budgets.all()
        } else {
            Vec::new()
        };
        match preempt::plan(pod, &needs, &failures, &self.snapshot, &budgets) {
            Ok(plan) => Err(Refusal {
                message,
                keeps_nomination: false,
                plan: Some(plan),
            }),
            Err(none) => Err(Refusal {
                // Before preemption comes the plugin of ResourceClaims (dynamicresources.go, PostFilter).
                message: format!("{message} {deallocation}, preemption: {}", none.words),
                keeps_nomination: none.keeps_nomination,
                plan: None,
            }),
        }
    }
}

/// Why a pod stays pending, and what will be done about it.
struct Refusal {
    message: String,
    /// The node that it has been promised before stays promised.
    keeps_nomination: bool,
    plan: Option<preempt::Plan>,
}

/// Room that has been freed for a more important pod is not there for others (RunFilterPluginsWithNominatedPods of framework/runtime/framework.go),
/// neither now nor when others are thought to have left.
fn check_with_nominated(
    pod: &PodInfo,
    needs: &[Need],
    node: &NodeInfo,
    snapshot: &Snapshot,
) -> Result<(), Reason> {
    let expected: Vec<_> = snapshot
        .nominated
        .values()
        .filter(|(name, other)| {
            name == node.name() && other.pod.uid() != pod.pod.uid() && other.priority() >= pod.priority()
        })
        .collect();
    if !expected.is_empty() {
        let mut full = node.clone();
        for (_, other) in expected {
            full.add(Arc::clone(other));
        }
        check(pod, needs, &full, snapshot)?;
    }
    check(pod, needs, node, snapshot)
}

/// All filters, in upstream's order.
fn check(pod: &PodInfo, needs: &[Need], node: &NodeInfo, snapshot: &Snapshot) -> Result<(), Reason> {
    filter::filter(pod, node)?;
    volumes::alone(needs, node, snapshot)?;
    volumes::counted(needs, node)?;
    volumes::filter(needs, node)?;
    volumes::zone(needs, node)?;
    spread::filter(pod, node, snapshot)?;
    affinity::filter(pod, node, snapshot)?;
    if needs.iter().any(|n| matches!(n, Need::Devices)) {
        return Err(Reason::final_("cannot allocate all claims"));
    }
    Ok(())
}

/// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." (framework/types.go, FitError)
fn explain(total: usize, failures: &BTreeMap<String, Reason>) -> String {
    let mut histogram: BTreeMap<&str, usize> = BTreeMap::new();
    for text in failures.values().flat_map(|r| &r.texts) {
        *histogram.entry(text).or_insert(0) += 1;
    }
    let mut reasons: Vec<String> = histogram
        .into_iter()
        .map(|(text, n)| format!("{n} {text}"))
        .collect();
    reasons.sort();
    format!("0/{total} nodes are available: {}.", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_words() {
        let failures = BTreeMap::from([
            (
                "a".to_owned(),
                Reason {
                    texts: vec!["Insufficient cpu".into(), "Too many pods".into()],
                    resolvable: true,
                },
            ),
            ("b".to_owned(), Reason::resolvable("Insufficient cpu")),
        ]);
        assert_eq!(
            explain(2, &failures),
            "0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu."
        );
    }
}
