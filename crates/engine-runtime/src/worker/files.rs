//! The files in a container's folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Names below a container's folder.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// Of the container in this folder.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    /// Where the overlay is mounted.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// The writable layer.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// overlayfs' own.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// FIFO, if the container has stdin.
    pub fn stdin(&self) -> PathBuf {
        self.dir.join("stdin")
    }

    /// FIFO.
    pub fn stdout(&self) -> PathBuf {
        self.dir.join("stdout")
    }

    /// FIFO.
    pub fn stderr(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    /// Socket by which a terminal's master arrives.
    pub fn console(&self) -> PathBuf {
        self.dir.join("console.sock")
    }

    /// OCI configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// What was asked for.
    pub fn spec(&self) -> PathBuf {
        self.dir.join("spec.json")
    }

    /// First process: pid and start time.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// How it ended.
    pub fn exit(&self) -> PathBuf {
        self.dir.join("exit.json")
    }
}

/// `state.json`: written by the worker just before the program starts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct State {
    /// First process.
    pub pid: i32,
    /// Its start in clock ticks since boot.
    pub start_time: u64,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
}
