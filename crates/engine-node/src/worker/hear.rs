//! What a worker makes of what it hears: messages, exits, probes, operations that ended.
use std::sync::Arc;
use std::time::Duration;

use engine_runtime::proto::Exit;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{Done, Life, Message, Worker, adopt};
use crate::model::{KillReason, State, Unit, specs};
use crate::{container, policy, probe};

impl Worker {
    pub(super) fn hear(&mut self, message: Message) {
        match message {
            Message::Update(pod) => {
                let changed = self.pod.metadata.labels != pod.metadata.labels
                    || self.pod.metadata.annotations != pod.metadata.annotations;
                self.volumes_stale |= changed;
                if let (Some(was), Some(is)) = (
                    self.pod.metadata.deletion_grace_period_seconds,
                    pod.metadata.deletion_grace_period_seconds,
                ) && is < was
                {
                    let soon = tokio::time::Instant::now() + Duration::from_secs(is.max(0) as u64);
                    self.kill_by.send_replace(Some(soon));
                }
                self.shared.book.update(&self.uid, &pod);
                let before = images(&self.pod);
                self.take(pod);
                let added = specs(&self.pod).skip(self.units.len());
                let added: Vec<Unit> = added.map(|(c, role)| Unit::new(&c.name, role)).collect();
                self.units.extend(added);
                self.forget_other_images(&before);
            }
            Message::Gone => {
                self.gone = true;
                self.shared.book.end(&self.uid);
            }
            Message::Granted => self.take(Arc::clone(&self.desired)),
            Message::Exit(exit) => self.exited(exit),
            Message::Probe(report) => self.probed(&report),
            Message::Evict(why) => self.evict(why),
        }
    }

    /// What crashed with another image does not hold back the new one: upstream counts by what a container is made of
    /// (GetBackoffKey in pkg/kubelet/kuberuntime).
    fn forget_other_images(&mut self, before: &[Option<String>]) {
        for ((image, unit), before) in images(&self.pod).into_iter().zip(&mut self.units).zip(before) {
            if image != *before && !unit.starting && !unit.is_running() {
                unit.backoff.reset();
                unit.waiting = None;
                unit.not_before = None;
            }
        }
    }

    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Network(Ok(network)) => {
                self.network_busy = false;
                self.network = Some(network);
                self.network_retry = None;
            }
            Done::Network(Err(why)) => {
                self.network_busy = false;
                self.network_retry = Some(Timestamp::now() + SignedDuration::from_secs(1));
                let message = format!("Failed to create pod sandbox: {why}");
                self.shared
                    .recorder
                    .pod(&self.pod, None, true, "FailedCreatePodSandBox", message);
            }
            Done::Volumes(result, refresh_at) => self.volumes_done(result, refresh_at),
            Done::Changed => {
                self.volumes_stale = true;
                self.volumes_retry = None;
                for unit in &mut self.units {
                    if unit
                        .waiting
                        .as_ref()
                        .is_some_and(|waiting| waiting.reason == "CreateContainerConfigError")
                    {
                        unit.not_before = None;
                    }
                }
                self.watch_objects();
            }
            Done::Began(index, result) => self.began(index, result),
            Done::Hooked(index, result) if self.hooks.contains_key(&index) => self.hooked(index, result),
            Done::Hooked(..) => {}
            Done::Stopped(index) => self.units[index].stopping = false,
            Done::NotStopped(index) => {
                self.units[index].stopping = false;
                // A pod that is wanted will be looked at again; one that ends has asked all its containers only once.
                if self.life == Life::Ending {
                    let message = format!("Stopping container {}", self.units[index].name);
                    self.kill(index, message, None, Vec::new());
                }
            }
            Done::Resized(pod, result) => self.resized(&pod, result),
            Done::TornDown(result) => {
                if let Err(why) = result {
                    tracing::warn!(pod = self.label(), why, "clean-up is not complete");
                }
                self.network = None;
                self.life = Life::Over;
                // What is over needs no watches.
                if let Some(task) = self.watching.take() {
                    task.abort();
                }
                if let Ok(mut volumes) = self.volumes.try_lock() {
                    volumes.release();
                }
            }
            Done::Published(result) => self.published(result),
            Done::Deleted(result) => self.deletion_done(result),
        }
    }

    /// A container has ended.
    pub(super) fn exited(&mut self, exit: Exit) {
        let Some(index) = self
            .units
            .iter()
            .position(|unit| unit.current.as_ref().is_some_and(|i| i.id == exit.id))
        else {
            self.early_exits.insert(exit.id.clone(), exit);
            return;
        };
        let unit = &mut self.units[index];
        let Some(instance) = unit
            .current
            .as_mut()
            .filter(|instance| instance.running_since().is_some())
        else {
            return;
        };
        let spec = specs(&self.pod).nth(index).map(|(container, _)| container);
        let end = adopt::terminated(&self.pod_dir, spec, instance, &exit);
        let all_anew = spec.is_some_and(|spec| policy::restarts_all(spec, end.code));
        instance.state = State::Exited(end);
        instance.exited.cancel();
        adopt::Record::of(instance).write(&container::attempt_dir(
            &self.pod_dir,
            &unit.name,
            instance.attempt,
        ));
        unit.started = false;
        unit.ready = false;
        unit.unhealthy = None;
        unit.waiting = None;
        unit.not_before = None;
        let name = unit.name.clone();
        self.stop_probes(&name, None);
        self.restarting |= all_anew && self.life == Life::Active;
        if let Some(hook) = self.hooks.get(&index) {
            // Its process has gone with the container.
            hook.abort();
            self.hooked(index, Err("the container has ended".to_owned()));
        }
    }

    fn probed(&mut self, report: &probe::Report) {
        let Some(index) = self.units.iter().position(|unit| unit.name == report.container) else {
            return;
        };
        let unit = &mut self.units[index];
        let current = unit
            .current
            .as_ref()
            .is_some_and(|instance| instance.attempt == report.attempt && instance.running_since().is_some());
        if !current {
            return;
        }
        match (report.kind, report.success) {
            (probe::Kind::Readiness, ready) => unit.ready = ready,
            (probe::Kind::Startup, true) => {
                unit.started = true;
                self.start_probes(index);
            }
            (probe::Kind::Startup, false) => unit.unhealthy = Some(KillReason::Startup),
            (probe::Kind::Liveness, false) => unit.unhealthy = Some(KillReason::Liveness),
            (probe::Kind::Liveness, true) => {}
        }
    }
}

fn images(pod: &Pod) -> Vec<Option<String>> {
    specs(pod).map(|(container, _)| container.image.clone()).collect()
}
