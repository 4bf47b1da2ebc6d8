//! Carrying out what the pod was promised: limits of cgroups that are written while containers run, and containers that are started again
//! for it (pkg/kubelet/kubelet.go, SyncPod; pkg/kubelet/kuberuntime, doPodResizeAction).
use std::collections::BTreeMap;
use std::sync::Arc;

use engine_runtime::proto::Limits;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio_util::sync::CancellationToken;

use super::{Done, Worker, due, in_order};
use crate::allocation::{self, Granted, Kept};
use crate::model::{Unit, specs};
use crate::resize::{self, Resource, Target};
use crate::resources;
use crate::shared::Shared;

/// When a resize that failed is tried again (backOffPeriod of upstream's pod workers).
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// A running container that gets other limits.
struct Update {
    name: String,
    cgroup: String,
    limits: Limits,
    resources: ResourceRequirements,
    exited: CancellationToken,
}

/// One resize, as far as no container is started again for it.
struct Job {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    uid: String,
    cgroup: String,
    group: Limits,
    updates: Vec<Update>,
}

impl Worker {
    /// The pod's desired form is new, or what it was promised.
    pub(super) fn take(&mut self, desired: Arc<Pod>) {
        self.desired = in_order(desired, &self.units);
        let promised = self.shared.book.promised(&self.uid, &self.desired);
        if Granted::of(&promised) != Granted::of(&self.pod) {
            self.whole = resources::whole(&promised);
            // The downward API tells of requests and limits.
            self.volumes_stale = true;
            (self.resize_open, self.resize_retry) = (true, None);
        }
        self.pod = promised;
    }

    /// Tells of a resize that goes on or has come to its end.
    pub(super) fn tell_resize(&mut self) {
        let kept = self.shared.book.kept(&self.uid);
        let Some(kept) = kept.filter(|_| self.resize_open) else {
            return;
        };
        self.forget_what_ended(&kept);
        if resize::is_in_progress(&self.pod, &self.units, &kept) {
            self.shared.book.progress(&self.uid, "", "");
        } else if self.is_settled(&kept) {
            self.resize_open = false;
            if let Some(generation) = self.shared.book.done(&self.uid) {
                let message = allocation::message("Pod resize completed", &self.pod, generation, "");
                self.shared
                    .recorder
                    .pod(&self.pod, None, false, "ResizeCompleted", message);
            }
        }
    }

    fn is_settled(&self, kept: &Kept) -> bool {
        let turning = |unit: &Unit| unit.starting || unit.stopping || unit.replaced && unit.waiting.is_none();
        let stale = resize::is_stale(&self.whole.group, &kept.group);
        let busy = self.resizing || kept.unsettled || stale || self.units.iter().any(turning);
        !busy && resize::changes(&self.pod, &self.units, kept, false).is_empty()
    }

    /// Begins what there is to do; whether containers may be started meanwhile.
    pub(super) fn resize(&mut self, now: Timestamp) -> bool {
        let kept = self.shared.book.kept(&self.uid);
        let Some(kept) = kept.filter(|_| self.resize_open) else {
            return true;
        };
        let changes = resize::changes(&self.pod, &self.units, &kept, kept.unsettled);
        let stale = resize::is_stale(&self.whole.group, &kept.group);
        if !self.resizing && !kept.unsettled && !stale && changes.is_empty() {
            return true;
        }
        for change in changes.iter().filter(|change| change.restart) {
            let unit = &mut self.units[change.index];
            if !unit.stopping && !unit.starting {
                unit.replaced = true;
                let message = format!("Container {} resize requires restart", unit.name);
                self.kill(change.index, message, None, Vec::new());
            }
        }
        // The old ones make room before the pod's limits change.
        let ending = self.units.iter().any(|unit| unit.replaced && unit.is_running());
        if self.resizing || ending {
            return false;
        }
        if !due(self.resize_retry, now) {
            return true;
        }
        let settled = |change: &&resize::Change| {
            let unit = &self.units[change.index];
            !change.restart && !unit.starting && !unit.stopping
        };
        let updates: Vec<Update> = changes
            .iter()
            .filter(settled)
            .filter_map(|change| self.update(change.index))
            .collect();
        if updates.is_empty() && !stale && !kept.unsettled {
            return true;
        }
        let job = Job {
            shared: Arc::clone(&self.shared),
            pod: Arc::clone(&self.pod),
            uid: self.uid.clone(),
            cgroup: self.pod_cgroup(),
            group: self.whole.group.clone(),
            updates,
        };
        self.resizing = true;
        let pod = Arc::clone(&self.pod);
        let again = Arc::clone(&pod);
        self.operate(async move { Done::Resized(pod, job.run().await) }, move |why| {
            Done::Resized(again, Err(why))
        });
        false
    }

    /// What does not run takes what it was promised, and is started with that.
    fn forget_what_ended(&self, kept: &Kept) {
        let idle: Vec<&Unit> = self
            .units
            .iter()
            .filter(|unit| !unit.is_running() && !unit.starting)
            .collect();
        let stale = |unit: &&Unit| {
            let actuated = kept.actuated.containers.get(&unit.name);
            actuated.is_some_and(|actuated| *actuated != allocation::in_force(&self.pod, &unit.name))
        };
        let names: Vec<&str> = idle
            .iter()
            .copied()
            .filter(stale)
            .map(|unit| unit.name.as_str())
            .collect();
        if !names.is_empty() {
            self.shared.book.note(&self.uid, |kept| {
                for name in names {
                    let resources = allocation::in_force(&self.pod, name);
                    kept.actuated.containers.insert(name.to_owned(), resources);
                }
            });
        }
    }

    /// A container runs with what it was given when its start began.
    pub(super) fn note_started(&mut self, index: usize) {
        let unit = &mut self.units[index];
        unit.replaced = false;
        let (Some(given), name) = (unit.given.take(), unit.name.clone()) else {
            return;
        };
        self.resize_open |= given != allocation::in_force(&self.pod, &name);
        self.shared.book.note(&self.uid, |kept| {
            if kept.actuated.containers.contains_key(&name) {
                kept.actuated.containers.insert(name, given);
            }
        });
    }

    fn update(&self, index: usize) -> Option<Update> {
        let (container, _) = specs(&self.pod).nth(index)?;
        let instance = self.units[index].current.as_ref()?;
        Some(Update {
            name: container.name.clone(),
            cgroup: format!("{}/{}", self.pod_cgroup(), container.name),
            limits: resources::container_limits(&self.pod, container),
            resources: allocation::in_force(&self.pod, &container.name),
            exited: instance.exited.clone(),
        })
    }

    pub(super) fn resized(&mut self, pod: &Pod, result: Result<(), String>) {
        self.resizing = false;
        match result {
            Ok(()) => self.resize_retry = None,
            // Something else is wanted by now.
            Err(_) if Granted::of(pod) != Granted::of(&self.pod) => self.resize_retry = None,
            Err(why) => {
                self.resize_retry = Some(Timestamp::now() + RETRY);
                let (is_new, generation) = self.shared.book.progress(&self.uid, "Error", &why);
                if is_new {
                    let message = allocation::message("Pod resize error", &self.pod, generation, &why);
                    self.shared
                        .recorder
                        .pod(&self.pod, None, true, "ResizeError", message);
                }
            }
        }
    }
}

impl Job {
    async fn run(self) -> Result<(), String> {
        let layout = &self.shared.layout;
        let now = layout.limits(&self.cgroup);
        let before: Vec<Limits> = self
            .updates
            .iter()
            .map(|update| layout.limits(&update.cgroup))
            .collect();
        let containers: Vec<_> = self
            .updates
            .iter()
            .zip(&before)
            .map(|(update, now)| {
                let usage = layout.usage(&update.cgroup).memory;
                (update.name.as_str(), now.clone(), update.limits.clone(), usage)
            })
            .collect();
        let usage = layout.usage(&self.cgroup).memory;
        if let Some(why) = resize::memory_refusal((&now, &self.group), usage, &containers) {
            return Err(why);
        }
        // Whoever comes after a crash cannot know how far this went.
        self.shared.book.note(&self.uid, |kept| kept.unsettled = true);
        let limits: Vec<_> = self
            .updates
            .iter()
            .zip(before)
            .map(|(update, now)| (now, update.limits.clone()))
            .collect();
        for resource in [Resource::Memory, Resource::Cpu] {
            for (target, limits) in resize::writes(resource, (&now, &self.group), &limits) {
                self.write(target, limits).await?;
            }
            self.shared.book.note(&self.uid, |kept| self.note(kept, resource));
        }
        self.shared.book.note(&self.uid, |kept| kept.unsettled = false);
        Ok(())
    }

    async fn write(&self, target: Target, limits: Limits) -> Result<(), String> {
        let update = match target {
            Target::Pod => None,
            Target::Container(index) => self.updates.get(index),
        };
        let cgroup = update.map_or(&self.cgroup, |update| &update.cgroup);
        match self.shared.runtime.set_limits(cgroup, limits).await {
            // It has ended meanwhile, and what it leaves needs no limits.
            Err(_) if update.is_some_and(|update| update.exited.is_cancelled()) => Ok(()),
            result => result.map_err(|err| err.to_string()),
        }
    }

    /// Notes what is in force now of one of the two.
    fn note(&self, kept: &mut Kept, resource: Resource) {
        let name = match resource {
            Resource::Memory => "memory",
            Resource::Cpu => "cpu",
        };
        for update in &self.updates {
            let own = kept.actuated.containers.entry(update.name.clone()).or_default();
            carry_over(own, &update.resources, name);
        }
        let whole = self.pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        if let Some(whole) = whole {
            carry_over(kept.actuated.pod.get_or_insert_default(), whole, name);
        }
        match resource {
            Resource::Memory => kept.group.memory = self.group.memory.or(kept.group.memory),
            Resource::Cpu => {
                kept.group.cpu_shares = self.group.cpu_shares.or(kept.group.cpu_shares);
                kept.group.cpu_quota = self.group.cpu_quota.or(kept.group.cpu_quota);
                kept.group.cpu_period = self.group.cpu_period.or(kept.group.cpu_period);
            }
        }
    }
}

/// One resource of requests and limits.
fn carry_over(to: &mut ResourceRequirements, from: &ResourceRequirements, name: &str) {
    let one = |to: &mut Option<BTreeMap<String, Quantity>>, from: &Option<BTreeMap<String, Quantity>>| {
        if let Some(amount) = from.as_ref().and_then(|from| from.get(name)) {
            to.get_or_insert_default().insert(name.to_owned(), amount.clone());
        }
    };
    one(&mut to.requests, &from.requests);
    one(&mut to.limits, &from.limits);
}
