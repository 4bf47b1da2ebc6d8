//! All containers of a pod begin anew in place because one ended with a code for which its rules ask that (`RestartAllContainers`;
//! pkg/kubelet/kuberuntime, ContainersToReset). Volumes, network and address stay.
use jiff::Timestamp;

use super::{Worker, adopt};
use crate::container;
use crate::model::{Instance, Role, State, Terminated, Unit, Waiting};
use crate::status::{ANEW, TAKEN_AWAY};

impl Worker {
    /// Kills what runs without grace; when nothing does, forgets all instances, so that the pod is begun as for the first time.
    pub(super) fn begin_all_anew(&mut self) {
        let counts = |unit: &Unit| unit.role != Role::Ephemeral;
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            if counts(unit) && unit.is_running() && !unit.stopping {
                self.kill(index, "killing".to_owned(), Some(0), Vec::new());
            }
        }
        let busy = |unit: &Unit| unit.is_running() || unit.starting || unit.stopping;
        if self.units.iter().any(|unit| counts(unit) && busy(unit)) {
            return;
        }
        for unit in self.units.iter_mut().filter(|unit| counts(unit)) {
            let Some(mut instance) = unit.current.take() else {
                continue;
            };
            let end = taken_away();
            instance.state = State::Exited(end.clone());
            forget(unit, &instance, end);
            let dir = container::attempt_dir(&self.pod_dir, &unit.name, instance.attempt);
            adopt::Record::of(&instance).write(&dir);
            let runtime = self.shared.runtime.clone();
            tokio::spawn(async move {
                if let Err(err) = runtime.remove(&instance.id).await {
                    tracing::warn!(id = instance.id, %err, "container not removed");
                }
            });
        }
        self.restarting = false;
    }
}

fn forget(unit: &mut Unit, instance: &Instance, end: Terminated) {
    unit.base = instance.attempt + 1;
    unit.previous = Some(end);
    unit.waiting = Some(Waiting {
        reason: ANEW.to_owned(),
        message: TAKEN_AWAY.to_owned(),
    });
    unit.not_before = None;
}

/// How it is told: neither when it began nor when it ended is known of what is gone.
fn taken_away() -> Terminated {
    Terminated {
        code: 137,
        signal: None,
        reason: ANEW.to_owned(),
        message: TAKEN_AWAY.to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        container_id: String::new(),
    }
}
