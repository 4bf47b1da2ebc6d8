//! How a store is opened.
use std::path::PathBuf;

use crate::{
    disk::{Disk, RealDisk},
    error::OpenError,
    store::Store,
};

/// What a store needs to know before it opens.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder, made when missing; `None` keeps everything in memory only.
    pub dir: Option<PathBuf>,
    /// How many events are kept for watchers that start in the past.
    pub history: usize,
    /// How much the objects in those events may weigh together, as JSON text; the newest event is always kept.
    pub history_bytes: usize,
    /// How many events a watcher may fall behind before it ends with [`crate::Gone`].
    pub watch_backlog: usize,
    /// How much the objects in those events may weigh together, as JSON text.
    pub watch_backlog_bytes: usize,
    /// The log may grow to this size (or to that of the last snapshot, if larger) before a snapshot is taken.
    pub log_limit: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: None,
            history: 8192,
            history_bytes: 4 << 20,
            watch_backlog: 8192,
            watch_backlog_bytes: 16 << 20,
            log_limit: 16 << 20,
        }
    }
}

impl Config {
    /// Open the store: recover what is on disk and start the writer.
    pub fn build(self) -> Result<Store, OpenError> {
        self.build_on(Box::new(RealDisk))
    }

    pub(crate) fn build_on(self, disk: Box<dyn Disk>) -> Result<Store, OpenError> {
        Store::open(self, disk)
    }
}
