//! A container's files.

use std::path::PathBuf;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where they are. What grows with the container is on disk; what only matters while it runs is in memory, whose files cost less to make
/// and to remove, and which a reboot empties.
#[derive(Debug, Clone)]
pub struct Files {
    disk: PathBuf,
    live: PathBuf,
}

impl Files {
    /// Of a container with this folder on disk and this one in memory.
    pub fn new(disk: PathBuf, live: PathBuf) -> Self {
        Self { disk, live }
    }

    /// The folder in memory.
    pub fn live(&self) -> PathBuf {
        self.live.clone()
    }

    /// Removes the folder in memory; fine if there is none. What may still be mounted on `rootfs` is somebody's: it is not gone into.
    pub fn forget(&self) -> Result<()> {
        let failed = |e| Error::io(format!("remove {}", self.live.display()), e);
        let absent_is_fine = |result: io::Result<()>| match result {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        };
        let entries = match fs::read_dir(&self.live) {
            Ok(entries) => entries,
            Err(e) => return absent_is_fine(Err(e)),
        };
        absent_is_fine(fs::remove_dir(self.rootfs()))?;
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path != self.rootfs() {
                absent_is_fine(fs::remove_file(path))?;
            }
        }
        absent_is_fine(fs::remove_dir(&self.live))
    }

    /// The writable layer; on disk.
    pub fn upper(&self) -> PathBuf {
        self.disk.join("upper")
    }

    /// overlayfs' own, beside the writable layer.
    pub fn work(&self) -> PathBuf {
        self.disk.join("work")
    }

    /// Where the overlay is mounted.
    pub fn rootfs(&self) -> PathBuf {
        self.live.join("rootfs")
    }

    /// FIFO, if the container has stdin.
    pub fn stdin(&self) -> PathBuf {
        self.live.join("stdin")
    }

    /// FIFO.
    pub fn stdout(&self) -> PathBuf {
        self.live.join("stdout")
    }

    /// FIFO.
    pub fn stderr(&self) -> PathBuf {
        self.live.join("stderr")
    }

    /// Socket by which a terminal's master arrives.
    pub fn console(&self) -> PathBuf {
        self.live.join("console.sock")
    }

    /// OCI configuration.
    pub fn config(&self) -> PathBuf {
        self.live.join("config.json")
    }

    /// What was asked for.
    pub fn spec(&self) -> PathBuf {
        self.live.join("spec.json")
    }

    /// First process: pid and start time.
    pub fn state(&self) -> PathBuf {
        self.live.join("state.json")
    }

    /// How it ended.
    pub fn exit(&self) -> PathBuf {
        self.live.join("exit.json")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_root_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("rt-files-{}", std::process::id()));
        let files = Files::new(folder.join("disk"), folder.join("live"));
        fs::create_dir_all(files.rootfs().join("data")).expect("create");
        fs::write(files.spec(), "{}").expect("write");
        files.forget().expect_err("something is there");
        assert!(files.rootfs().join("data").exists() && files.spec().exists());
        fs::remove_dir(files.rootfs().join("data")).expect("remove");
        files.forget().expect("removed");
        files.forget().expect("nothing to do");
        assert!(!files.live().exists());
        fs::remove_dir(folder).expect("empty");
    }
}
