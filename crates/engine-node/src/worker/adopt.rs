//! What an attempt leaves on disk, and how a worker finds its pod again after the engine was started anew: running containers go on,
//! ended ones are known, nothing is restarted for it.
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use engine_runtime::proto::{Exit, Info, Status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Life, Network, Worker, containers_dir};
use crate::model::{Instance, RunAs, State, Terminated, specs};
use crate::{container, logs, policy, status};

const FILE: &str = "record.json";
const STOP_SIGNAL: &str = "stop-signal";
/// MaxContainerTerminationMessageLength, and the rest of upstream's limits (pkg/kubelet/container/runtime.go).
const MAX_MESSAGE: u64 = 4096;
const MAX_LOG_MESSAGE: usize = 2048;
const MAX_LOG_LINES: usize = 80;

/// An attempt as it is kept in its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    id: String,
    attempt: u32,
    image: String,
    image_id: String,
    user: Option<RunAs>,
    started_at: Option<Timestamp>,
    end: Option<End>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct End {
    code: i32,
    signal: Option<i32>,
    reason: String,
    message: String,
    started_at: Timestamp,
    finished_at: Timestamp,
}

impl Record {
    /// Of an instance.
    pub fn of(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            attempt: instance.attempt,
            image: instance.image.clone(),
            image_id: instance.image_id.clone(),
            user: instance.user.clone(),
            started_at: instance.running_since(),
            end: instance.terminated().map(|end| End {
                code: end.code,
                signal: end.signal,
                reason: end.reason.clone(),
                message: end.message.clone(),
                started_at: end.started_at,
                finished_at: end.finished_at,
            }),
        }
    }

    /// Writes it; what cannot be written only shows after the engine is started anew.
    pub fn write(&self, dir: &Path) {
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|bytes| {
                fs::create_dir_all(dir)?;
                let temporary = dir.join(".record.json");
                fs::write(&temporary, bytes)?;
                fs::rename(temporary, dir.join(FILE))
            });
        if let Err(err) = written {
            tracing::warn!(dir = %dir.display(), %err, "container record not written");
        }
    }

    fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }

    fn instance(self) -> Instance {
        let container_id = format!("{}{}", status::SCHEME, self.id);
        let exited = CancellationToken::new();
        let state = match self.end {
            Some(end) => {
                exited.cancel();
                State::Exited(Terminated {
                    code: end.code,
                    signal: end.signal,
                    reason: end.reason,
                    message: end.message,
                    started_at: end.started_at,
                    finished_at: end.finished_at,
                    container_id,
                })
            }
            None => State::Running {
                started_at: self.started_at.unwrap_or(Timestamp::UNIX_EPOCH),
            },
        };
        Instance {
            attempt: self.attempt,
            id: self.id,
            state,
            image: self.image,
            image_id: self.image_id,
            user: self.user,
            exited,
        }
    }
}

impl Worker {
    /// Takes over what an engine before this one has left.
    pub(super) fn adopt(&mut self, known: &[Info]) {
        let old = self.pod.status.clone().unwrap_or_default();
        let over = matches!(old.phase.as_deref(), Some("Succeeded" | "Failed"));
        let specs: Vec<Container> = specs(&self.pod).map(|(container, _)| container.clone()).collect();
        let mut exits = Vec::new();
        let mut alive = false;
        for (index, spec) in specs.iter().enumerate() {
            let mut attempts = attempts(&self.pod_dir, &spec.name);
            let Some((_, latest)) = attempts.pop_last() else {
                continue;
            };
            let unit = &mut self.units[index];
            unit.previous = attempts
                .pop_last()
                .and_then(|(_, record)| record.instance().terminated().cloned());
            let mut instance = latest.instance();
            if instance.running_since().is_some() {
                match known.iter().find(|info| info.id == instance.id) {
                    Some(Info { exit: Some(exit), .. }) => exits.push(exit.clone()),
                    Some(info) if info.status != Status::Exited => {
                        alive = true;
                        instance.state = State::Running {
                            started_at: nanos(info.started_at),
                        };
                    }
                    _ => exits.push(lost(&instance)),
                }
                let known = old
                    .container_statuses
                    .iter()
                    .chain(&old.init_container_statuses)
                    .flatten();
                let before = known.into_iter().find(|status| status.name == spec.name);
                let same = before.filter(|status| {
                    status.container_id.as_deref() == Some(&format!("{}{}", status::SCHEME, instance.id))
                });
                unit.started = same
                    .and_then(|status| status.started)
                    .unwrap_or(spec.startup_probe.is_none());
                unit.ready = same.map_or(spec.readiness_probe.is_none(), |status| status.ready);
            }
            // A crash loop goes on where it was: one step for each restart, the last when this attempt began.
            let began = instance
                .running_since()
                .or(instance.terminated().map(|end| end.started_at));
            for _ in 0..instance.attempt.min(6) {
                unit.backoff.next(began.unwrap_or_else(Timestamp::now));
            }
            unit.current = Some(instance);
        }
        if over {
            // Its story is told; what may be left of it is taken away.
            self.life = Life::TearingDown;
            self.tear_down();
            return;
        }
        for exit in exits {
            self.exited(exit);
        }
        self.restarting |= specs.iter().zip(&self.units).any(|(spec, unit)| {
            unit.exit_code()
                .is_some_and(|code| policy::restarts_all(spec, code))
        });
        if let Some(pod) = self.shared.net.pod(&self.uid) {
            self.network = Some(Network {
                ip: pod.ip.into(),
                netns: pod.netns.clone(),
            });
            self.volumes_ready = alive;
            // Completes what may be missing, and says so if it cannot be had.
            self.attach();
        } else if self.is_host_network() && alive {
            let netns = self.shared.net.namespace().path().to_owned();
            self.network = Some(Network {
                ip: self.shared.node_ip,
                netns,
            });
            self.volumes_ready = true;
        } else if self.units.iter().any(|unit| unit.current.is_some()) {
            self.begin_anew();
        }
        for index in 0..self.units.len() {
            if self.units[index].is_running() {
                self.start_probes(index);
            }
        }
    }

    /// The machine was started anew: the pod's network is gone, its containers with it. As upstream with a new sandbox, everything is
    /// begun again including init containers, unless the pod may not be restarted.
    fn begin_anew(&mut self) {
        let never = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref())
            == Some("Never");
        if never {
            return;
        }
        for unit in &mut self.units {
            if let Some(instance) = unit.current.take() {
                unit.base = instance.attempt + 1;
                unit.previous = instance.terminated().cloned();
            }
        }
        let _ = fs::remove_dir_all(self.pod_dir.join("volumes"));
    }
}

/// All attempts of a container that left a record, by number.
fn attempts(pod_dir: &Path, container: &str) -> BTreeMap<u32, Record> {
    let entries = fs::read_dir(containers_dir(pod_dir).join(container));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, Record::read(&entry.path())?))
        })
        .collect()
}

/// The end of a container that nobody saw.
fn lost(instance: &Instance) -> Exit {
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    let started = instance
        .running_since()
        .and_then(|at| i64::try_from(at.as_nanosecond()).ok())
        .unwrap_or(0);
    Exit {
        id: instance.id.clone(),
        code: 137,
        signal: None,
        started_at: started,
        finished_at: now,
        oom_killed: false,
        unknown: true,
    }
}

/// A time of the runtime's.
pub fn nanos(at: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What status says of an exit.
pub fn terminated(pod_dir: &Path, spec: Option<&Container>, instance: &Instance, exit: &Exit) -> Terminated {
    let reason = match exit {
        Exit { oom_killed: true, .. } => "OOMKilled",
        Exit { unknown: true, .. } => "ContainerStatusUnknown",
        Exit { code: 0, .. } => "Completed",
        _ => "Error",
    };
    let started = instance.running_since().unwrap_or_else(|| nanos(exit.started_at));
    let mut message = String::new();
    if let Some(spec) = spec {
        message = tail_of_file(&container::termination_file(
            pod_dir,
            &spec.name,
            instance.attempt,
        ));
        let from_log = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if message.is_empty() && from_log && exit.code != 0 {
            let log = container::log_path(pod_dir, &spec.name, instance.attempt);
            message = logs::tail_text(&log, MAX_LOG_LINES, MAX_LOG_MESSAGE);
        }
    }
    if message.is_empty() && exit.unknown {
        message = "The container ended while nobody watched it".into();
    }
    Terminated {
        code: exit.code,
        signal: exit.signal,
        reason: reason.into(),
        message,
        started_at: started,
        finished_at: nanos(exit.finished_at),
        container_id: format!("{}{}", status::SCHEME, exit.id),
    }
}

/// The last part of what the container wrote there.
fn tail_of_file(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_MESSAGE)))?;
        let mut bytes = Vec::new();
        file.take(MAX_MESSAGE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Keeps the image's stop signal beside the container: the image may be gone by then.
pub fn remember_stop_signal(dir: &Path, signal: Option<&str>) {
    if let Some(signal) = signal.filter(|signal| !signal.is_empty()) {
        let _ = fs::write(dir.join(STOP_SIGNAL), signal);
    }
}

/// The image's stop signal.
pub fn recall_stop_signal(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(STOP_SIGNAL)).ok()
}
