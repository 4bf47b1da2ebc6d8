//! Advisory file locks: one engine at a time, one bootstrap or destroy at a time.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// Held until dropped; the kernel releases it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its Drop")] File);

impl Lock {
    /// Waits for the lock.
    pub(crate) fn wait(path: &Path) -> Result<Lock, Error> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::file("open", path))?;
        Self::take(file, path)
    }

    /// Waits for the lock that a machine has once, for choices that must differ between clusters of all state roots. It
    /// lies on a folder that every machine has, so that no file comes or stays.
    pub(crate) fn machine() -> Result<Lock, Error> {
        let path = Path::new("/run");
        Self::take(File::open(path).map_err(Error::file("open", path))?, path)
    }

    fn take(file: File, path: &Path) -> Result<Lock, Error> {
        flock(&file, FlockOperation::LockExclusive).map_err(|e| Error::file("lock", path)(e.into()))?;
        Ok(Lock(file))
    }
}
