//! The handle: reads straight from memory, writes through the writer thread.
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    config::Config,
    disk::Disk,
    error::{Gone, OpenError, WriteError},
    memory::Memory,
    object::{Event, Stored, Worn, to_json},
    recover::{self, Recovery},
    watch::{Backlog, Watch, Watchers},
    writer::{Change, Request, Writer},
};

/// What must be true of a key for a write to go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// Nothing is stored there.
    Absent,
    /// Exactly this revision is stored there.
    Revision(u64),
}

/// The objects below a prefix at one revision.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The revision that this is a picture of.
    pub revision: u64,
    /// The objects, ordered by key.
    pub items: Vec<Arc<Stored>>,
}

/// An open store. Cheap to clone; the files are closed when the last clone is gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

impl Store {
    pub(crate) fn open(config: Config, disk: Box<dyn Disk>) -> Result<Self, OpenError> {
        let (memory, files, recovery) = recover::open(&config, disk)?;
        let shared = Arc::new(Shared {
            published: AtomicU64::new(memory.revision()),
            memory: RwLock::new(memory),
            watchers: Mutex::default(),
            backlog: Backlog {
                events: config.watch_backlog,
                bytes: config.watch_backlog_bytes,
            },
            open: AtomicBool::new(true),
            recovery,
        });
        let (requests, waiting) = mpsc::channel();
        let writer = Writer::new(shared.clone(), files, config.log_limit);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&waiting))
            .map_err(OpenError::io(
                config.dir.as_deref().unwrap_or(Path::new("writer thread")),
            ))?;
        let handle = Arc::new(Handle {
            requests: Some(requests),
            thread: Some(thread),
        });
        Ok(Self { shared, handle })
    }

    /// What recovery found when the store was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.shared.recovery
    }

    /// The revision of the newest durable write.
    pub fn revision(&self) -> u64 {
        self.shared.read().revision()
    }

    /// The oldest revision after which [`Store::watch`] can start.
    pub fn oldest(&self) -> u64 {
        self.shared.read().oldest()
    }

    /// The newest version of one object.
    pub fn get(&self, key: &str) -> Option<Arc<Stored>> {
        self.shared.read().get(key).cloned()
    }

    /// All objects whose keys start with `prefix`, ordered by key.
    pub fn list(&self, prefix: &str) -> Snapshot {
        let memory = self.shared.read();
        Snapshot {
            revision: memory.revision(),
            items: memory.list(prefix),
        }
    }

    /// What [`Store::list`] gave at `revision`, as long as the events since then are at hand. A revision that has not
    /// come yet gives the newest.
    pub fn list_at(&self, prefix: &str, revision: u64) -> Result<Snapshot, Gone> {
        let memory = self.shared.read();
        let items = memory.list_at(prefix, revision)?;
        Ok(Snapshot {
            revision: revision.min(memory.revision()),
            items,
        })
    }

    /// How many keys start with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.shared.read().count(prefix)
    }

    /// Give memory back: of every version whose tree nobody has asked for since the last call, only the JSON text is kept (see
    /// [`Stored`]). To be called now and then, always by the same thread, in whose part of the allocator's memory the texts then lie together;
    /// it serialises what has no text yet, so not by one that must answer. What was given up is for another thread to drop.
    pub fn rest(&self) -> Vec<Worn> {
        // The lock is not held meanwhile.
        let versions: Vec<_> = self.shared.read().versions().cloned().collect();
        versions.iter().filter_map(|version| version.rest()).collect()
    }

    /// Whether at least so many keys start with `prefix`; no more of them are looked at.
    pub fn has(&self, prefix: &str, least: usize) -> bool {
        self.shared.read().has(prefix, least)
    }

    /// Store an object; `metadata.resourceVersion` is set to the write's revision. Returns once it is durable and visible.
    /// Dropping the future does not take the write back.
    pub async fn put(
        &self,
        key: &str,
        value: Value,
        precondition: Precondition,
    ) -> Result<Arc<Stored>, WriteError> {
        let metadata = value
            .as_object()
            .map(|object| object.get("metadata").is_none_or(Value::is_object));
        if metadata != Some(true) {
            return Err(WriteError::NotAnObject { key: key.into() });
        }
        // Serialised here, in the caller's thread, so that the writer has little to do but write.
        let json = to_json(&value);
        self.write(key, Change::Put { value, json }, precondition).await
    }

    /// Remove an object and return its last version, with the deletion's revision as `resourceVersion`.
    pub async fn delete(&self, key: &str, precondition: Precondition) -> Result<Arc<Stored>, WriteError> {
        self.write(key, Change::Delete, precondition).await
    }

    async fn write(
        &self,
        key: &str,
        change: Change,
        precondition: Precondition,
    ) -> Result<Arc<Stored>, WriteError> {
        let (done, answer) = oneshot::channel();
        let request = Request {
            key: key.into(),
            change,
            precondition,
            done,
        };
        let requests = self.handle.requests.as_ref().ok_or(WriteError::Closed)?;
        requests.send(request).map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Every event after revision `after` on the keys that start with `prefix`.
    pub fn watch(&self, prefix: &str, after: u64) -> Result<Watch, Gone> {
        Watch::start(self.shared.clone(), &self.shared.watchers, prefix, after)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let memory = self.shared.read();
        f.debug_struct("Store")
            .field("revision", &memory.revision())
            .field("objects", &memory.len())
            .finish_non_exhaustive()
    }
}

/// What readers, watchers and the writer share.
pub(crate) struct Shared {
    memory: RwLock<Memory>,
    /// Taken before `memory` when both are needed.
    pub(crate) watchers: Mutex<Watchers>,
    published: AtomicU64,
    backlog: Backlog,
    open: AtomicBool,
    recovery: Recovery,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision up to which every watcher was told.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Make durable events visible, in order.
    pub(crate) fn publish(&self, events: &[Arc<Event>]) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                memory.apply(event.clone());
            }
        }
        for event in events {
            watchers.publish(event, self.backlog);
            self.published.store(event.revision, Ordering::Release);
        }
    }

    /// No write comes any more: the watches end.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        *self.watchers.lock().unwrap_or_else(PoisonError::into_inner) = Watchers::default();
    }
}

/// The writer thread, ended with the last handle.
struct Handle {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // Waiting makes sure that the folder may be opened again at once.
            let ended = thread.join();
            debug_assert!(ended.is_ok(), "the store's writer panicked");
        }
    }
}
