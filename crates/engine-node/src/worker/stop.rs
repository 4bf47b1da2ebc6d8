//! Ending containers: one that is unhealthy, or all of a pod in the right order (pkg/kubelet/kuberuntime, killContainer and
//! terminationOrdering).
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Done, Life, Worker, adopt};
use crate::model::{KillReason, Role, specs};
use crate::probe;
use crate::shared::Shared;

/// Even without any grace a container has this long to react to its signal (minimumGracePeriodInSeconds).
const MIN_GRACE: Duration = Duration::from_secs(2);
/// How long SIGKILL may take to show before the runtime is asked again.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

struct Job {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    name: String,
    id: String,
    grace: Duration,
    pre_stop: Option<(LifecycleHandler, probe::Target)>,
    after: Vec<CancellationToken>,
    signal: i32,
    exited: CancellationToken,
    kill_by: watch::Receiver<Option<Instant>>,
}

impl Worker {
    /// Kills a container that failed a probe.
    pub(super) fn kill_unhealthy(&mut self, index: usize, reason: KillReason, again: bool) {
        let Some((container, role)) = specs(&self.pod).nth(index) else {
            return;
        };
        let (what, probe) = match reason {
            KillReason::Liveness => ("liveness", &container.liveness_probe),
            KillReason::Startup => ("startup", &container.startup_probe),
        };
        let grace = probe
            .as_ref()
            .and_then(|probe| probe.termination_grace_period_seconds);
        let kind = if role == Role::Main {
            "Container"
        } else {
            "Init container"
        };
        let tail = if again && role == Role::Main {
            ", will be restarted"
        } else {
            ""
        };
        let message = format!("{kind} {} failed {what} probe{tail}", container.name);
        let name = container.name.clone();
        self.stop_probes(&name, None);
        self.kill(index, message, grace, Vec::new());
    }

    /// Begins to end one container.
    pub(super) fn kill(
        &mut self,
        index: usize,
        message: String,
        grace: Option<i64>,
        after: Vec<CancellationToken>,
    ) {
        let Some((container, _)) = specs(&self.pod).nth(index) else {
            return;
        };
        let pre_stop = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.clone());
        let pre_stop = pre_stop.and_then(|hook| Some((hook, self.target(index)?)));
        let Some(instance) = self.units[index]
            .current
            .as_ref()
            .filter(|instance| instance.running_since().is_some())
        else {
            return;
        };
        let spec = self.pod.spec.as_ref();
        // A pod that is deleted has the grace of its deletion, whatever else is said.
        let grace = self
            .pod
            .metadata
            .deletion_grace_period_seconds
            .or(grace)
            .or(spec.and_then(|spec| spec.termination_grace_period_seconds))
            .unwrap_or(30);
        let dir = crate::container::attempt_dir(&self.pod_dir, &container.name, instance.attempt);
        let job = Job {
            shared: Arc::clone(&self.shared),
            pod: Arc::clone(&self.pod),
            name: container.name.clone(),
            id: instance.id.clone(),
            grace: Duration::from_secs(grace.max(0) as u64),
            pre_stop,
            after,
            signal: stop_signal(container, adopt::recall_stop_signal(&dir).as_deref()),
            exited: instance.exited.clone(),
            kill_by: self.kill_by.subscribe(),
        };
        self.units[index].stopping = true;
        self.shared
            .recorder
            .pod(&job.pod, Some(&job.name), false, "Killing", message);
        let ended = async move {
            job.run().await;
            Done::Stopped(index)
        };
        self.operate(ended, move |_| Done::NotStopped(index));
    }

    /// Ends the pod: main containers at once, sidecars after them in reverse order.
    pub(super) fn end(&mut self) {
        self.life = Life::Ending;
        for (index, hook) in self.hooks.drain() {
            hook.abort();
            self.units[index].starting = false;
        }
        let names: Vec<String> = self.units.iter().map(|unit| unit.name.clone()).collect();
        for name in &names {
            self.stop_probes(name, Some(probe::Kind::Liveness));
            self.stop_probes(name, Some(probe::Kind::Startup));
        }
        let token = |index: usize| {
            self.units[index]
                .current
                .as_ref()
                .filter(|i| i.running_since().is_some())
                .map(|i| i.exited.clone())
        };
        let mut jobs: Vec<(usize, Vec<CancellationToken>)> = Vec::new();
        let mains: Vec<CancellationToken> = (0..self.units.len())
            .filter(|index| self.units[*index].role == Role::Main)
            .filter_map(token)
            .collect();
        let mut later: Option<CancellationToken> = None;
        for index in (0..self.units.len()).rev() {
            let Some(own) = token(index) else { continue };
            if self.units[index].role == Role::Sidecar {
                jobs.push((index, mains.iter().cloned().chain(later.take()).collect()));
                later = Some(own);
            } else {
                jobs.push((index, Vec::new()));
            }
        }
        for (index, after) in jobs {
            if !self.units[index].stopping {
                let message = format!("Stopping container {}", self.units[index].name);
                self.kill(index, message, None, after);
            }
        }
    }
}

impl Job {
    async fn run(mut self) {
        let deadline = Instant::now() + self.grace;
        let exited = self.exited.clone();
        if !self.grace.is_zero() {
            if let Some((hook, target)) = self.pre_stop.take() {
                tokio::select! {
                    result = probe::hook(&hook, &target) => if let Err(why) = result {
                        self.hook_failed(&why);
                    },
                    () = exited.cancelled() => return,
                    () = self.over(deadline) => if hook.sleep.is_none() {
                        // Upstream's fails when the container is killed under it; who sleeps is not in the container.
                        self.hook_failed("not completed in the grace period");
                    },
                }
            }
            for other in std::mem::take(&mut self.after) {
                tokio::select! {
                    () = other.cancelled() => {}
                    () = exited.cancelled() => return,
                    () = self.over(deadline) => break,
                }
            }
        }
        if exited.is_cancelled() {
            return;
        }
        if let Err(err) = self.shared.runtime.signal(&self.id, self.signal).await {
            tracing::debug!(id = self.id, %err, "signal not sent");
        }
        let deadline = deadline.max(Instant::now() + MIN_GRACE);
        tokio::select! {
            () = exited.cancelled() => return,
            () = self.over(deadline) => {}
        }
        loop {
            match self.shared.runtime.kill_all(&self.id).await {
                Ok(()) => {}
                Err(engine_runtime::Error::NotFound(_)) => return,
                Err(err) => tracing::warn!(id = self.id, %err, "container not killed"),
            }
            tokio::select! {
                () = exited.cancelled() => return,
                () = tokio::time::sleep(KILL_PATIENCE) => {}
            }
        }
    }

    fn hook_failed(&self, why: &str) {
        tracing::warn!(id = self.id, why, "preStop hook failed");
        self.shared.recorder.pod(
            &self.pod,
            Some(&self.name),
            true,
            "FailedPreStopHook",
            "PreStopHook failed",
        );
    }

    /// Completes at the deadline, or earlier if the grace was shortened meanwhile.
    async fn over(&self, deadline: Instant) {
        let mut kill_by = self.kill_by.clone();
        loop {
            let until = kill_by
                .borrow_and_update()
                .map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = kill_by.changed() => if changed.is_err() {
                    tokio::time::sleep_until(until).await;
                    return;
                },
            }
        }
    }
}

/// `lifecycle.stopSignal`, or the image's, or SIGTERM.
fn stop_signal(container: &Container, image: Option<&str>) -> i32 {
    let own = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    own.or(image).and_then(parse_signal).unwrap_or(libc::SIGTERM)
}

fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_uppercase();
    let name = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    if let Some(offset) = name.strip_prefix("SIGRTMIN") {
        let offset: i32 = if offset.is_empty() {
            0
        } else {
            offset.trim_start_matches('+').parse().ok()?
        };
        return Some(libc::SIGRTMIN() + offset).filter(|signal| *signal <= libc::SIGRTMAX());
    }
    name.parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        assert_eq!(parse_signal("SIGQUIT"), Some(3));
        assert_eq!(parse_signal("term"), Some(15));
        assert_eq!(parse_signal("9"), Some(9));
        assert_eq!(parse_signal("SIGRTMIN+3"), Some(libc::SIGRTMIN() + 3));
        assert_eq!(parse_signal("nonsense"), None);
    }
}
