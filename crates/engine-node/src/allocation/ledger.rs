//! Who has been promised what on this node, and which resizes wait (pkg/kubelet/allocation/allocation_manager.go). Pure.
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use engine_runtime::proto::Limits;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube_types::pod_resources::{Actual, Amounts};
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition, IN_PROGRESS, PENDING};
use super::granted::Granted;
use crate::admission::predicate;
use crate::downward::Facts;
use crate::resources::{self, Qos};

/// What of a pod outlives the agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What it was promised.
    pub allocated: Granted,
    /// What is in force of it, where anything runs.
    pub actuated: Granted,
    /// Limits of its cgroup.
    pub group: Limits,
    /// Cgroups are being written: they may be as they were, or as they will be, or between.
    #[serde(default)]
    pub unsettled: bool,
}

/// A pod of this node.
#[derive(Debug, Clone)]
struct Entry {
    desired: Arc<Pod>,
    kept: Kept,
    pending: Option<Condition>,
    progress: Option<Condition>,
    /// It takes nothing any more.
    over: bool,
}

/// An event to be written about a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// A warning.
    pub warning: bool,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// What has become of a pod's resize.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Which pod.
    pub uid: String,
    /// The pod as it wants to be.
    pub pod: Arc<Pod>,
    /// What there is to be told of it.
    pub said: Option<Said>,
    /// It was promised what it asks for.
    pub granted: bool,
}

/// What does not fit: reason of the refusal (`OutOfcpu`) and message.
pub type Misfit = (String, String);

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Ledger {
    pods: HashMap<String, Entry>,
    queue: Vec<String>,
    capacity: Amounts,
    most_pods: i64,
}

impl Ledger {
    /// A ledger for a node that has this.
    pub fn new(facts: &Facts, most_pods: i64) -> Self {
        let capacity = [
            ("cpu", kube_types::Quantity::from_milli(facts.cpu_milli)),
            ("memory", kube_types::Quantity::from_bytes(facts.memory)),
            (
                "ephemeral-storage",
                kube_types::Quantity::from_bytes(facts.storage),
            ),
        ];
        Self {
            capacity: capacity.map(|(name, amount)| (name.to_owned(), amount)).into(),
            most_pods,
            ..Self::default()
        }
    }

    /// A pod comes; `kept` is what an agent before this one has promised it. What it asks for beyond that waits for [`Ledger::retry`].
    pub fn add(&mut self, uid: &str, desired: &Arc<Pod>, kept: Option<Kept>) {
        let kept = kept.unwrap_or_else(|| Kept {
            allocated: Granted::of(desired),
            actuated: Granted::in_force(desired),
            group: resources::pod_limits(desired, None),
            unsettled: false,
        });
        let waits = !kept.allocated.is_same(&Granted::of(desired));
        let entry = Entry {
            pending: Condition::told(desired, PENDING).filter(|_| waits),
            progress: Condition::told(desired, IN_PROGRESS),
            desired: Arc::clone(desired),
            kept,
            over: false,
        };
        self.pods.insert(uid.to_owned(), entry);
        if waits {
            self.push(uid);
        }
    }

    /// Another form of a pod; whether there is something to decide.
    pub fn update(&mut self, uid: &str, desired: &Arc<Pod>) -> bool {
        let Some(entry) = self.pods.get_mut(uid) else {
            return false;
        };
        let asked = Granted::of(desired);
        let is_resize = !asked.is_same(&Granted::of(&entry.desired));
        entry.desired = Arc::clone(desired);
        if !is_resize || entry.over {
            return false;
        }
        if entry.kept.allocated.is_same(&asked) {
            // Taken back before it was granted.
            entry.pending = None;
            self.queue.retain(|other| other != uid);
            return false;
        }
        self.push(uid);
        true
    }

    fn push(&mut self, uid: &str) {
        if !self.queue.iter().any(|other| other == uid) {
            self.queue.push(uid.to_owned());
        }
    }

    /// A pod is gone; whether others may profit.
    pub fn remove(&mut self, uid: &str) -> bool {
        self.queue.retain(|other| other != uid);
        self.pods.remove(uid).is_some() && self.is_waited_for()
    }

    /// A pod needs nothing any more, and nothing is said of its resizes; whether others may profit.
    pub fn end(&mut self, uid: &str) -> bool {
        self.queue.retain(|other| other != uid);
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| !entry.over) else {
            return false;
        };
        entry.over = true;
        (entry.pending, entry.progress) = (None, None);
        self.is_waited_for()
    }

    fn is_waited_for(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What is known of a pod.
    pub fn kept(&self, uid: &str) -> Option<&Kept> {
        self.pods.get(uid).map(|entry| &entry.kept)
    }

    /// Notes what is in force of a pod now; whether others may profit.
    pub fn note(&mut self, uid: &str, change: impl FnOnce(&mut Kept)) -> bool {
        let Some(entry) = self.pods.get_mut(uid) else {
            return false;
        };
        let before = taken(entry);
        change(&mut entry.kept);
        let after = taken(entry);
        let less = |name: &str| after.get(name) < before.get(name);
        (less("cpu") || less("memory")) && self.is_waited_for()
    }

    /// The two conditions of a pod.
    pub fn conditions(&self, uid: &str) -> (Option<&Condition>, Option<&Condition>) {
        let entry = self.pods.get(uid);
        entry.map_or((None, None), |entry| {
            (entry.pending.as_ref(), entry.progress.as_ref())
        })
    }

    /// A resize is being carried out, or it failed to be: `reason` and `message`. The generation that it was granted for stays, and so does
    /// what went wrong before until it is over. Whether anything is new, and the generation (SetPodResizeInProgressCondition).
    pub fn progress(&mut self, uid: &str, reason: &str, message: &str, now: Timestamp) -> (bool, i64) {
        let Some(entry) = self.pods.get_mut(uid) else {
            return (false, 0);
        };
        let old = entry.progress.as_ref();
        let own = entry.desired.metadata.generation.unwrap_or_default();
        let generation = old.map_or(own, |old| old.generation);
        let (reason, message) = match old {
            Some(old) if reason.is_empty() && message.is_empty() => {
                (old.reason.as_str(), old.message.as_str())
            }
            _ => (reason, message),
        };
        let is_new = old.is_none_or(|old| old.reason != reason || old.message != message);
        if is_new {
            entry.progress = Some(Condition::next(old, reason, message, generation, now));
        }
        (is_new, generation)
    }

    /// The resize is done; the generation that it was for, if one was under way.
    pub fn done(&mut self, uid: &str) -> Option<i64> {
        Some(self.pods.get_mut(uid)?.progress.take()?.generation)
    }

    /// Decides on all resizes that wait, the most urgent first.
    pub fn retry(&mut self, now: Timestamp) -> Vec<Verdict> {
        let mut waiting: Vec<String> = std::mem::take(&mut self.queue);
        waiting.retain(|uid| self.pods.get(uid).is_some_and(|entry| !entry.over));
        waiting.sort_by_key(|uid| self.pods.get(uid).map(urgency));
        let mut verdicts = Vec::new();
        for uid in waiting {
            if let Some(verdict) = self.decide(&uid, now) {
                verdicts.push(verdict);
            }
        }
        verdicts
    }

    /// handlePodResourcesResize.
    fn decide(&mut self, uid: &str, now: Timestamp) -> Option<Verdict> {
        let pod = Arc::clone(&self.pods.get(uid)?.desired);
        let misfit = self.misfit(uid, &pod);
        let entry = self.pods.get_mut(uid)?;
        let generation = pod.metadata.generation.unwrap_or_default();
        let verdict = |said, granted| Verdict {
            uid: uid.to_owned(),
            pod: Arc::clone(&pod),
            said,
            granted,
        };
        let Some((reason, message)) = misfit else {
            entry.kept.allocated = Granted::of(&pod);
            entry.pending = None;
            entry.progress = Some(Condition::next(None, "", "", generation, now));
            let said = Said {
                warning: false,
                reason: "ResizeStarted",
                message: condition::message("Pod resize started", &pod, generation, ""),
            };
            return Some(verdict(Some(said), true));
        };
        // A node can give what its pods do not have: nothing is infeasible that admission has let through.
        let old = entry.pending.as_ref();
        let is_new = old.is_none_or(|old| old.reason != "Deferred" || old.generation != generation);
        let said = is_new.then(|| Said {
            warning: true,
            reason: "ResizeDeferred",
            message: condition::message(&format!("Pod resize {reason}"), &pod, generation, &message),
        });
        let changed = old.is_none_or(|old| is_new || old.message != message);
        if changed {
            entry.pending = Some(Condition::next(old, "Deferred", &message, generation, now));
        }
        self.push(uid);
        changed.then(|| verdict(said, false))
    }

    /// Why a pod cannot have what it asks for beside the others (pkg/kubelet/lifecycle/predicate.go, generalFilter).
    pub fn misfit(&self, uid: &str, pod: &Pod) -> Option<Misfit> {
        let others = || {
            self.pods
                .iter()
                .filter(|(other, entry)| *other != uid && !entry.over)
        };
        let count = others().count() as i64;
        if count + 1 > self.most_pods {
            return Some(shortage("pods", 1, count, self.most_pods));
        }
        let wanted = resources::totals(pod, |_| None).requests();
        let others: Vec<Amounts> = others().map(|(_, entry)| taken(entry)).collect();
        let shown = |name: &str, amount: &kube_types::Quantity| match name {
            "cpu" => amount.milli_value(),
            _ => amount.value(),
        };
        ["cpu", "memory", "ephemeral-storage"]
            .into_iter()
            .find_map(|name| {
                let amount = |amounts: &Amounts| amounts.get(name).map_or(0, |amount| shown(name, amount));
                let (asked, capacity) = (amount(&wanted), amount(&self.capacity));
                let used: i64 = others.iter().map(amount).sum();
                (asked > 0 && asked > capacity - used).then(|| shortage(name, asked, used, capacity))
            })
            .or_else(|| self.clash(uid, pod))
    }

    /// A port of the node that another pod has (pkg/scheduler/framework/plugins/nodeports, Fits).
    fn clash(&self, uid: &str, pod: &Pod) -> Option<Misfit> {
        let wanted = host_ports(pod);
        if wanted.is_empty() {
            return None;
        }
        let mut others = self
            .pods
            .iter()
            .filter(|(other, entry)| *other != uid && !entry.over);
        let any = |ip: &str| ip == "0.0.0.0";
        let same =
            |a: &HostPort, b: &HostPort| (&a.1, a.2) == (&b.1, b.2) && (a.0 == b.0 || any(&a.0) || any(&b.0));
        others
            .any(|(_, entry)| {
                host_ports(&entry.desired)
                    .iter()
                    .any(|used| wanted.iter().any(|w| same(w, used)))
            })
            .then(|| {
                predicate(
                    "NodePorts",
                    "node(s) didn't have free ports for the requested pod ports",
                )
            })
    }
}

/// Address, protocol and number of a port of the node.
type HostPort = (String, String, i32);

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let ports = resources::containers(pod).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let or = |text: &Option<String>, other: &str| {
                let text = text.clone().filter(|text| !text.is_empty());
                text.unwrap_or_else(|| other.to_owned())
            };
            let number = port.host_port.filter(|number| *number > 0)?;
            Some((or(&port.host_ip, "0.0.0.0"), or(&port.protocol, "TCP"), number))
        })
        .collect()
}

/// What a pod takes: what it was promised or what is in force, whichever is more.
fn taken(entry: &Entry) -> Amounts {
    let pod = entry.kept.allocated.applied(&entry.desired);
    let actuated = &entry.kept.actuated;
    let actual = |requirements: &k8s_openapi::api::core::v1::ResourceRequirements| Actual {
        requests: resources::amounts(requirements.requests.as_ref()),
        limits: resources::amounts(requirements.limits.as_ref()),
        allocated: Amounts::new(),
    };
    let mut totals = resources::totals(&pod, |name| actuated.containers.get(name).map(actual));
    if let Some(own) = &mut totals.pod {
        own.actual = actuated.pod.as_ref().map(actual);
    }
    totals.requests()
}

fn shortage(name: &str, asked: i64, used: i64, capacity: i64) -> Misfit {
    (
        format!("OutOf{name}"),
        format!(
            "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
        ),
    )
}

/// Resizes that ask for no more come first, then priority, then guaranteed pods, then who has waited longest (sortPendingResizes).
fn urgency(entry: &Entry) -> (bool, Reverse<i32>, bool, Timestamp) {
    let requests = |pod: &Pod| resources::totals(pod, |_| None).requests();
    let before = requests(&entry.kept.allocated.applied(&entry.desired));
    let after = requests(&entry.desired);
    let more = |name: &str| after.get(name) > before.get(name);
    let priority = entry.desired.spec.as_ref().and_then(|spec| spec.priority);
    (
        more("cpu") || more("memory"),
        Reverse(priority.unwrap_or(0)),
        resources::qos(&entry.desired) != Qos::Guaranteed,
        entry
            .pending
            .as_ref()
            .map_or(Timestamp::MAX, |pending| pending.since),
    )
}
