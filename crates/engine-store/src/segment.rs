//! The log file that is being written.
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Disk, DiskFile},
    frame::{FileKind, HEADER, header},
};

/// The end of the log. After a failed write the file is cut back to what is known to be durable before anything else
/// is appended; as long as that fails too, so do the writes.
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    file: Box<dyn DiskFile>,
    durable: u64,
    dirty: bool,
}

impl Segment {
    /// A new log whose first record will have `revision`. It appears under its name only with a whole header.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, revision: u64) -> io::Result<Self> {
        let path = log_path(dir, revision);
        let temporary = path.with_extension("tmp");
        let result = (|| {
            let mut file = disk.create(&temporary)?;
            file.append(&header(FileKind::Log, revision))?;
            file.sync()?;
            disk.rename(&temporary, &path)?;
            Ok(file)
        })();
        match result {
            Ok(file) => Ok(Self {
                path,
                file,
                durable: HEADER as u64,
                dirty: false,
            }),
            Err(error) => {
                // What is left is removed at the next opening, if it cannot be removed now.
                let _ = disk.remove(&temporary);
                Err(error)
            }
        }
    }

    /// Go on with an existing log that is sound up to `length`; what comes after is cut off.
    pub(crate) fn resume(disk: &dyn Disk, path: PathBuf, length: u64, torn: bool) -> io::Result<Self> {
        let file = disk.open(&path)?;
        let mut segment = Self {
            path,
            file,
            durable: length,
            dirty: torn,
        };
        segment.repair()?;
        Ok(segment)
    }

    /// Append a frame, durable on return.
    pub(crate) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.repair()?;
        self.dirty = true;
        let written = self.file.append(frame).and_then(|()| self.file.sync());
        match written {
            Ok(()) => {
                self.dirty = false;
                self.durable += frame.len() as u64;
                Ok(())
            }
            Err(error) => {
                // At once, so that a full disk gets its room back and a crash finds no half a frame. If it does not
                // work now, the next write tries again.
                let _ = self.repair();
                Err(error)
            }
        }
    }

    fn repair(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.truncate(self.durable)?;
            self.file.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.durable
    }
}

/// The files of an open store: what the writer needs to write and to take snapshots.
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) segment: Segment,
    /// Bytes in all logs that the last snapshot does not cover.
    pub(crate) log_bytes: u64,
    pub(crate) snapshot_bytes: u64,
    /// Held as long as the store is open; the kernel lets go of it with the process.
    pub(crate) _lock: std::fs::File,
}

pub(crate) fn log_path(dir: &Path, revision: u64) -> PathBuf {
    dir.join(format!("log-{revision:020}"))
}

pub(crate) fn snapshot_path(dir: &Path, revision: u64) -> PathBuf {
    dir.join(format!("snapshot-{revision:020}"))
}

/// Files of the store in its folder with the revision in their names, oldest first.
pub(crate) fn numbered(dir: &Path, prefix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if let Some(revision) = digits.filter(|d| d.len() == 20).and_then(|d| d.parse().ok()) {
            found.push((revision, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
