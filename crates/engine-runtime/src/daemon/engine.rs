//! Keeps the engine running as long as `run/enabled` exists.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use serde::{Deserialize, Serialize};

use super::{Daemon, Source};
use crate::sys;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An engine that lived this long did not fail at its start.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// The engine's process.
#[derive(Default)]
pub struct Engine {
    /// Its pid; 0 when there is none.
    pub pid: i32,
    started: Option<Instant>,
    pause: Option<Duration>,
    /// When it is started again.
    pub restart_at: Option<Instant>,
    /// How often it was.
    pub restarts: u64,
    /// Of an engine that is not our child.
    watched: Option<(OwnedFd, u64)>,
}

/// `run/engine.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: i32,
    start_time: u64,
}

impl Daemon {
    /// Starts the engine if it should run and does not.
    pub(super) fn keep_engine(&mut self) {
        self.engine.restart_at = None;
        if self.engine.pid != 0 || self.config.engine_argv.is_empty() {
            return;
        }
        if !self.paths.run().join("enabled").exists() {
            return;
        }
        if self.engine.started.is_some() {
            self.engine.restarts += 1;
        }
        match self.start_engine() {
            Ok(pid) => {
                self.engine.pid = pid;
                self.engine.started = Some(Instant::now());
                tracing::info!(pid, "engine started");
                let record = Record {
                    pid,
                    start_time: sys::start_time(pid).unwrap_or_default(),
                };
                let path = self.paths.run().join("engine.json");
                if let Err(error) =
                    sys::write_atomically(&path, &serde_json::to_vec(&record).unwrap_or_default())
                {
                    tracing::warn!(%error, "cannot record the engine's process");
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot start the engine");
                self.engine.started = Some(Instant::now());
                self.schedule();
            }
        }
    }

    fn start_engine(&self) -> std::io::Result<i32> {
        let log = self.config.cluster_dir.join("engine.log");
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        let [program, arguments @ ..] = &self.config.engine_argv[..] else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()?;
        // Its end is seen by the loop, which reaps all children.
        Ok(child.id() as i32)
    }

    /// An engine that an earlier daemon started goes on.
    pub(super) fn adopt_engine(&mut self) {
        let path = self.paths.run().join("engine.json");
        let Some(record) = std::fs::read(path)
            .ok()
            .and_then(|b| serde_json::from_slice::<Record>(&b).ok())
        else {
            return;
        };
        let Ok(pidfd) = sys::pidfd_open(record.pid) else {
            return;
        };
        if !sys::is_alive(record.pid, record.start_time) {
            return;
        }
        match self.watch(&pidfd, Source::Engine, EventFlags::IN) {
            Ok(token) => {
                self.engine.pid = record.pid;
                self.engine.started = Some(Instant::now());
                self.engine.watched = Some((pidfd, token));
                tracing::info!(pid = record.pid, "engine adopted");
            }
            Err(error) => tracing::error!(%error, "cannot watch the engine"),
        }
    }

    pub(super) fn engine_ended(&mut self) {
        if let Some((pidfd, token)) = self.engine.watched.take() {
            self.unwatch(token, &pidfd);
        }
        tracing::warn!(pid = self.engine.pid, "engine ended");
        self.engine.pid = 0;
        let _ = std::fs::remove_file(self.paths.run().join("engine.json"));
        self.schedule();
    }

    fn schedule(&mut self) {
        let lived = self.engine.started.map_or(Duration::ZERO, |s| s.elapsed());
        let pause = match self.engine.pause {
            Some(last) if lived < LONG_LIFE => (last * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.engine.pause = Some(pause);
        self.engine.restart_at = Some(Instant::now() + pause);
    }
}
