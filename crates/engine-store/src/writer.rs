//! The thread that owns the files: group commit, publication, snapshots.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, TryRecvError},
    },
    thread::JoinHandle,
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    error::WriteError,
    frame::FrameWriter,
    object::{Event, EventKind, Stored},
    segment::{Files, Segment},
    snapshot,
    store::{Precondition, Shared},
};

/// One write that somebody waits for.
pub(crate) struct Request {
    pub(crate) key: Box<str>,
    pub(crate) change: Change,
    pub(crate) precondition: Precondition,
    pub(crate) done: oneshot::Sender<Result<Arc<Stored>, WriteError>>,
}

pub(crate) enum Change {
    Put { value: Value, json: Vec<u8> },
    Delete,
}

/// A batch is closed at this many writes or bytes, so that nobody waits long for the others.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    files: Option<Files>,
    log_limit: u64,
    /// The size of the logs at which the next snapshot is due.
    due: u64,
    snapshot: Option<(JoinHandle<()>, Receiver<Option<u64>>)>,
    frame: FrameWriter,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, files: Option<Files>, log_limit: u64) -> Self {
        let due = files
            .as_ref()
            .map_or(u64::MAX, |files| log_limit.max(files.snapshot_bytes));
        Self {
            shared,
            files,
            log_limit,
            due,
            snapshot: None,
            frame: FrameWriter::new(),
        }
    }

    /// Serve requests until no handle is left.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            self.commit(first, requests);
            self.take_snapshot();
        }
    }

    /// Write what is waiting as one frame, then publish, then acknowledge.
    fn commit(&mut self, first: Request, requests: &Receiver<Request>) {
        let mut batch = Batch::new(self.shared.read().revision(), &mut self.frame);
        let mut next = Some(first);
        while let Some(request) = next {
            batch.add(request, &self.shared);
            if batch.answers.len() >= BATCH || batch.frame.len() >= BATCH_BYTES {
                break;
            }
            next = requests.try_recv().ok();
        }
        let Batch { events, answers, .. } = batch;
        if let Err((path, source)) = self.append() {
            tracing::error!(log = %path.display(), error = %source, "a write to the store's log failed");
            let source = Arc::new(source);
            for (done, _) in answers {
                // A refusal may rest on a write that has failed now: nobody learns of that one.
                let _ = done.send(Err(WriteError::Disk {
                    path: path.clone(),
                    source: source.clone(),
                }));
            }
            return;
        }
        if !events.is_empty() {
            self.shared.publish(&events);
        }
        for (done, answer) in answers {
            // Whoever asked may be gone.
            let _ = done.send(answer);
        }
    }

    /// Write the frame, if there is anything in it.
    fn append(&mut self) -> Result<(), (PathBuf, std::io::Error)> {
        let result = match &mut self.files {
            Some(files) if !self.frame.is_empty() => {
                let before = files.segment.len();
                let result = files.segment.append(self.frame.finish());
                files.log_bytes += files.segment.len() - before;
                result.map_err(|error| (files.segment.path.clone(), error))
            }
            _ => Ok(()),
        };
        self.frame.clear();
        result
    }

    /// Begin a snapshot when one is due. It is written in a thread of its own while writes go on in a new log.
    fn take_snapshot(&mut self) {
        let Some(files) = &mut self.files else { return };
        if let Some((_, result)) = &self.snapshot {
            match result.try_recv() {
                Ok(size) => {
                    if let Some(size) = size {
                        files.snapshot_bytes = size;
                        files.log_bytes = files.segment.len();
                        self.due = self.log_limit.max(size);
                    }
                    self.snapshot = None;
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.snapshot = None,
            }
        }
        if files.log_bytes < self.due {
            return;
        }
        // If this one fails, the next is due when the log has grown by as much again.
        self.due = files.log_bytes + self.log_limit;
        let (revision, objects) = {
            let memory = self.shared.read();
            (memory.revision(), memory.objects().cloned().collect::<Vec<_>>())
        };
        match Segment::create(files.disk.as_ref(), &files.dir, revision + 1) {
            Ok(segment) => files.segment = segment,
            Err(error) => {
                tracing::warn!(dir = %files.dir.display(), %error, "cannot begin a new log; going on with the old one");
                return;
            }
        }
        let (disk, dir) = (files.disk.clone(), files.dir.clone());
        let (sender, result) = mpsc::channel();
        let work = move || {
            let written = snapshot::write(disk.as_ref(), &dir, revision, &objects);
            if let Err(error) = &written {
                tracing::warn!(dir = %dir.display(), revision, %error, "cannot write a snapshot; the logs are kept");
            }
            // Nobody listens when the store is being closed.
            let _ = sender.send(written.ok());
        };
        match std::thread::Builder::new()
            .name("store-snapshot".to_owned())
            .spawn(work)
        {
            Ok(thread) => self.snapshot = Some((thread, result)),
            Err(error) => tracing::warn!(%error, "cannot start a thread for a snapshot; the logs are kept"),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((thread, _)) = self.snapshot.take() {
            let ended = thread.join();
            debug_assert!(ended.is_ok(), "the store's snapshot panicked");
        }
        self.shared.close();
    }
}

type Answer = (
    oneshot::Sender<Result<Arc<Stored>, WriteError>>,
    Result<Arc<Stored>, WriteError>,
);

/// Writes that will become durable together.
struct Batch<'a> {
    frame: &'a mut FrameWriter,
    revision: u64,
    /// What the batch itself has changed: later writes in it must see the earlier ones.
    changed: HashMap<Arc<str>, Option<Arc<Stored>>>,
    events: Vec<Arc<Event>>,
    answers: Vec<Answer>,
}

impl<'a> Batch<'a> {
    fn new(revision: u64, frame: &'a mut FrameWriter) -> Self {
        Self {
            frame,
            revision,
            changed: HashMap::new(),
            events: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn add(&mut self, request: Request, shared: &Shared) {
        let Request {
            key,
            change,
            precondition,
            done,
        } = request;
        let previous = match self.changed.get(&*key) {
            Some(changed) => changed.clone(),
            None => shared.read().get(&key).cloned(),
        };
        let answer = check(&key, previous.as_ref(), &change, precondition)
            .map(|()| self.stage(&key, change, previous));
        self.answers.push((done, answer));
    }

    fn stage(&mut self, key: &str, change: Change, previous: Option<Arc<Stored>>) -> Arc<Stored> {
        self.revision += 1;
        let revision = self.revision;
        // One allocation for a key, however many versions it has; made here, where all that stays as long is allocated.
        let key = previous
            .as_ref()
            .map_or_else(|| key.into(), |previous| previous.key.clone());
        let (kind, object) = match (change, &previous) {
            (Change::Put { value, json }, _) => {
                self.frame.put(revision, &key, &json);
                let kind = if previous.is_some() {
                    EventKind::Modified
                } else {
                    EventKind::Added
                };
                (kind, Stored::new(key.clone(), revision, value, json.len()))
            }
            (Change::Delete, last) => {
                self.frame.delete(revision, &key);
                let object = match last {
                    Some(last) => Stored::deleted(last.clone(), revision),
                    None => Stored::new(key.clone(), revision, Value::Null, 0),
                };
                (EventKind::Deleted, object)
            }
        };
        let object = Arc::new(object);
        let now = (kind != EventKind::Deleted).then(|| object.clone());
        self.changed.insert(key, now);
        self.events.push(Arc::new(Event {
            revision,
            kind,
            object: object.clone(),
            previous,
        }));
        object
    }
}

fn check(
    key: &str,
    stored: Option<&Arc<Stored>>,
    change: &Change,
    precondition: Precondition,
) -> Result<(), WriteError> {
    let key = || key.into();
    match (stored, precondition) {
        (Some(_), Precondition::Absent) => Err(WriteError::Exists { key: key() }),
        (Some(stored), Precondition::Revision(expected)) if stored.revision != expected => {
            Err(WriteError::Conflict {
                key: key(),
                expected,
                found: stored.revision,
            })
        }
        (None, Precondition::Revision(_)) => Err(WriteError::NotFound { key: key() }),
        (None, _) if matches!(change, Change::Delete) => Err(WriteError::NotFound { key: key() }),
        _ => Ok(()),
    }
}
