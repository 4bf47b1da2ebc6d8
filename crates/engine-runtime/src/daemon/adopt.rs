//! A new daemon finds what an earlier one left.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;

use super::container::{Container, open_fifos};
use super::{Daemon, Source};
use crate::proto::{ContainerSpec, Exit, Id, Status};
use crate::worker::State;
use crate::{Result, sys};

/// How long workers of an earlier daemon are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a process may take to become its program once it was told to; one that was not told never does.
const LONGEST_START: Duration = Duration::from_secs(1);

impl Daemon {
    pub(super) fn adopt(&mut self) {
        self.adopt_engine();
        let _ = std::fs::remove_dir_all(self.paths.execs());
        if let Err(error) = std::fs::create_dir_all(self.paths.execs()) {
            tracing::warn!(%error, "cannot make the folder for exec");
        }
        self.outlive_workers();
        self.see_starts_through();
        self.end_older();
        for id in names(&self.paths.containers()) {
            self.adopt_container(&id);
        }
    }

    /// Waits for the ends of all workers of an earlier daemon: they are killed with it, but in the middle of a system call that takes a
    /// while, and what is made by it would appear after the cleaning. What they cloned may have their lock as well.
    fn outlive_workers(&self) {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = rustix::fs::flock(&self.sign, FlockOperation::NonBlockingLockExclusive) {
            if Instant::now() >= end {
                tracing::warn!(%error, "workers of an earlier daemon do not end");
                break;
            }
            for id in names(&self.paths.containers()) {
                let files = self.paths.files(&id, Path::new(""));
                if !files.state().exists()
                    && let Some(spec) = read::<ContainerSpec>(&files.spec())
                {
                    let _ = self.layout.kill(&spec.cgroup);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Err(error) = rustix::fs::flock(&self.sign, FlockOperation::NonBlockingLockShared) {
            tracing::warn!(%error, "cannot lock the sign of workers");
        }
    }

    /// Who asked for a start may have been told that it is done although the process has only been told to become the program.
    fn see_starts_through(&self) {
        let end = Instant::now() + LONGEST_START;
        let mut waiting: Vec<i32> = names(&self.paths.containers())
            .iter()
            .filter_map(|id| read::<State>(&self.paths.files(id, Path::new("")).state()))
            .filter(|state| sys::is_alive(state.pid, state.start_time))
            .map(|state| state.pid)
            .collect();
        loop {
            waiting.retain(|pid| is_waiting(*pid));
            if waiting.is_empty() || Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Daemons before the one that has `live/` kept all files of a container in its folder on disk, and a link to that. Such containers
    /// are ended; whoever wants them starts them again.
    fn end_older(&mut self) {
        let old = self.paths.run().join("containers");
        for id in names(&old) {
            if let Ok(dir) = std::fs::read_link(old.join(&id))
                && let Some(spec) = read::<ContainerSpec>(&dir.join("spec.json"))
            {
                tracing::warn!(%id, "ending a container of an older version");
                self.clean(id, dir, spec.cgroup);
            }
        }
        for folder in ["containers", "oci", "execs"] {
            let _ = std::fs::remove_dir_all(self.paths.run().join(folder));
        }
    }

    fn adopt_container(&mut self, id: &Id) {
        let unknown = self.paths.files(id, Path::new(""));
        let Some(spec) = read::<ContainerSpec>(&unknown.spec()) else {
            tracing::warn!(%id, "forgetting a container whose creation was not begun");
            let _ = unknown.forget();
            return;
        };
        let files = self.paths.files(id, &spec.dir);
        let mut container = Container::new(&spec);
        if let Some(exit) = read::<Exit>(&files.exit()) {
            container.status = Status::Exited;
            container.started_at = exit.started_at;
            container.exit = Some(exit);
            self.containers.insert(id.clone(), container);
            return;
        }
        let state = read::<State>(&files.state());
        if let Some(state) = state {
            container.started_at = state.started_at;
            container.status = Status::Running;
            container.pid = state.pid;
            // A zombie too: whoever reaps it makes the kernel tell us its code.
            if sys::start_time(state.pid) == Some(state.start_time) && !is_waiting(state.pid) {
                match self.adopt_running(id, container, &spec) {
                    Ok(()) => return tracing::info!(%id, pid = state.pid, "container adopted"),
                    Err(error) => tracing::error!(%id, %error, "cannot adopt a container; killing it"),
                }
                container = Container::new(&spec);
                container.started_at = state.started_at;
                container.status = Status::Running;
            }
            let _ = self.layout.kill(&spec.cgroup);
            container.pid = 0;
            self.containers.insert(id.clone(), container);
            return self.exited(id, None);
        }
        // The daemon died while it was being created; whoever asked was told that the answer is lost.
        let _ = self.layout.kill(&spec.cgroup);
        self.clean(id.clone(), spec.dir, spec.cgroup);
    }

    fn adopt_running(&mut self, id: &Id, mut container: Container, spec: &ContainerSpec) -> Result<()> {
        let pidfd = sys::pidfd_open(container.pid)
            .map_err(|e| crate::Error::io(format!("open process {}", container.pid), e))?;
        if spec.tty {
            tracing::warn!(%id, "the terminal of a container was lost with the earlier daemon");
        } else {
            open_fifos(spec, &self.paths.files(id, &spec.dir), &mut container)?;
            if spec.stdin && spec.stdin_once {
                // It ended with the daemon that held it.
                container.stdin = None;
            }
        }
        let token = self.watch(&pidfd, Source::Adopted(id.clone()), EventFlags::IN)?;
        container.adopted = Some(token);
        container.pidfd = Some(pidfd);
        self.containers.insert(id.clone(), container);
        self.watch_outputs(id);
        Ok(())
    }
}

/// Whether the process has not become the container's program yet: nobody is left to tell it to.
fn is_waiting(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.starts_with("youki:["))
}

/// What is in a folder, if that exists.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
