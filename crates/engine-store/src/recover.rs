//! From files back to memory when a store is opened.
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::Config,
    disk::Disk,
    error::OpenError,
    frame::{BadHeader, FileKind, Found, HEADER, Record, VERSION, read_frame, read_header, records},
    memory::Memory,
    object::{Event, EventKind, Stored},
    segment::{Files, Segment, numbered},
    snapshot,
};

/// What was found when a store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The revision of the snapshot that was read.
    pub snapshot: Option<u64>,
    /// How many writes were replayed from logs.
    pub replayed: u64,
    /// The newest revision.
    pub revision: u64,
    /// The unfinished end of the log that was cut off.
    pub torn: Option<TornTail>,
}

/// The end of a log that was cut off because its last frame was not whole. No write in a whole frame is lost by that; an
/// acknowledged write was whole on disk, so it can be in here only if the disk lost it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log.
    pub path: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// How much was cut off.
    pub bytes: u64,
    /// Where the bytes were put aside; `None` when that was not possible (a full disk must not keep the store from opening).
    pub kept: Option<PathBuf>,
}

/// Recover `config.dir`; without one, start empty with no files.
pub(crate) fn open(
    config: &Config,
    disk: Box<dyn Disk>,
) -> Result<(Memory, Option<Files>, Recovery), OpenError> {
    let mut memory = Memory::new(config.history, config.history_bytes);
    let mut recovery = Recovery::default();
    let Some(dir) = &config.dir else {
        return Ok((memory, None, recovery));
    };
    let disk: Arc<dyn Disk> = disk.into();
    let lock = prepare(dir)?;

    let mut snapshot_bytes = 0;
    if let Some((revision, path)) = numbered(dir, "snapshot-").map_err(OpenError::io(dir))?.pop() {
        snapshot_bytes = snapshot::read(&path, revision, &mut memory)?;
        recovery.snapshot = Some(revision);
    }
    let logs = numbered(dir, "log-").map_err(OpenError::io(dir))?;
    let last = logs.len().saturating_sub(1);
    let mut log_bytes = 0;
    let mut end = None;
    for (index, (first, path)) in logs.into_iter().enumerate() {
        let bytes = fs::read(&path).map_err(OpenError::io(&path))?;
        let replay = Replay {
            path: &path,
            first,
            bytes: &bytes,
            last: index == last,
        };
        let (sound, revision) = replay.run(&mut memory, &mut recovery)?;
        log_bytes += sound as u64;
        // Without the log that followed it (removed by hand, say) an older one must not be continued with a gap.
        end = (revision == memory.revision()).then_some((path, sound, bytes));
    }
    let segment = match end {
        Some((path, sound, bytes)) => {
            let torn = sound < bytes.len();
            if torn {
                recovery.torn = Some(put_aside(disk.as_ref(), &path, sound, &bytes));
            }
            Segment::resume(disk.as_ref(), path.clone(), sound as u64, torn).map_err(OpenError::io(path))?
        }
        None => Segment::create(disk.as_ref(), dir, memory.revision() + 1).map_err(OpenError::io(dir))?,
    };
    recovery.revision = memory.revision();
    if let Some(torn) = &recovery.torn {
        tracing::warn!(log = %torn.path.display(), offset = torn.offset, bytes = torn.bytes,
            "cut off the unfinished end of the store's log");
    }
    let files = Files {
        disk,
        dir: dir.clone(),
        segment,
        log_bytes,
        snapshot_bytes,
        _lock: lock,
    };
    Ok((memory, Some(files), recovery))
}

/// Make the folder, take its lock, remove what an interruption left half-written.
fn prepare(dir: &Path) -> Result<File, OpenError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(OpenError::io(dir))?;
    let path = dir.join("lock");
    let mut options = fs::OpenOptions::new();
    let lock = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(OpenError::io(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
    }
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let path = entry.map_err(OpenError::io(dir))?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            fs::remove_file(&path).map_err(OpenError::io(&path))?;
        }
    }
    Ok(lock)
}

/// Keep the torn bytes beside the log: they may be of use to somebody who looks into what happened.
fn put_aside(disk: &dyn Disk, log: &Path, sound: usize, bytes: &[u8]) -> TornTail {
    let kept = log.with_extension(format!("torn-at-{sound}"));
    let result = disk.create(&kept).and_then(|mut file| {
        file.append(&bytes[sound..])?;
        file.sync()
    });
    if let Err(error) = &result {
        tracing::warn!(file = %kept.display(), %error, "cannot put the unfinished end of the store's log aside");
        // Half of it would be of no use to anybody.
        let _ = disk.remove(&kept);
    }
    TornTail {
        path: log.to_owned(),
        offset: sound as u64,
        bytes: (bytes.len() - sound) as u64,
        kept: result.is_ok().then_some(kept),
    }
}

/// Check a file's header and return the revision in it.
pub(crate) fn check_header(kind: FileKind, path: &Path, bytes: &[u8]) -> Result<u64, OpenError> {
    read_header(kind, bytes).map_err(|bad| match bad {
        BadHeader::Newer(found) => OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            known: VERSION,
        },
        BadHeader::Damaged(what) => OpenError::Corrupt {
            path: path.to_owned(),
            offset: 0,
            what: what.to_owned(),
        },
    })
}

/// One log on its way back to memory.
struct Replay<'a> {
    path: &'a Path,
    first: u64,
    bytes: &'a [u8],
    last: bool,
}

impl Replay<'_> {
    /// Replay the log and return where its sound part ends, and with which revision.
    fn run(&self, memory: &mut Memory, recovery: &mut Recovery) -> Result<(usize, u64), OpenError> {
        if check_header(FileKind::Log, self.path, self.bytes)? != self.first {
            return Err(self.corrupt(12, "the revision is not the one in the file's name"));
        }
        if self.first > memory.revision() + 1 {
            return Err(self.missing(memory.revision() + 1, self.first));
        }
        let mut offset = HEADER;
        let mut revision = self.first - 1;
        loop {
            let (payload, next) = match read_frame(self.bytes, offset) {
                Found::End => return Ok((offset, revision)),
                Found::Torn if self.last => return Ok((offset, revision)),
                Found::Torn => return Err(self.corrupt(offset, "the log is cut short, but others follow it")),
                Found::Corrupt(what) => return Err(self.corrupt(offset, what)),
                Found::Frame { payload, next } => (payload, next),
            };
            for record in records(payload) {
                let record = record.map_err(|what| self.corrupt(offset, what))?;
                revision += 1;
                let found = match &record {
                    Record::Put { revision, .. } | Record::Delete { revision, .. } => *revision,
                    Record::End { .. } => return Err(self.corrupt(offset, "a snapshot's record in a log")),
                };
                if found != revision {
                    return Err(self.missing(revision, found));
                }
                // A log may begin before the snapshot, when it could not be removed after the snapshot was taken.
                if revision > memory.revision() {
                    self.apply(offset, record, memory)?;
                    recovery.replayed += 1;
                }
            }
            offset = next;
        }
    }

    fn apply(&self, offset: usize, record: Record, memory: &mut Memory) -> Result<(), OpenError> {
        let event = match record {
            Record::Put {
                revision,
                key,
                value,
                json_len,
            } => {
                let previous = memory.get(&key).cloned();
                let kind = if previous.is_some() {
                    EventKind::Modified
                } else {
                    EventKind::Added
                };
                let key = previous
                    .as_ref()
                    .map_or_else(|| key.as_str().into(), |p| p.key.clone());
                Event {
                    revision,
                    kind,
                    object: Arc::new(Stored::new(key, revision, value, json_len)),
                    previous,
                }
            }
            Record::Delete { revision, key } => {
                let Some(previous) = memory.get(&key).cloned() else {
                    return Err(self.corrupt(offset, "something is deleted that does not exist"));
                };
                Event {
                    revision,
                    kind: EventKind::Deleted,
                    object: Arc::new(Stored::deleted(previous.clone(), revision)),
                    previous: Some(previous),
                }
            }
            Record::End { .. } => return Err(self.corrupt(offset, "a snapshot's record in a log")),
        };
        memory.apply(Arc::new(event));
        Ok(())
    }

    fn corrupt(&self, offset: usize, what: &str) -> OpenError {
        OpenError::Corrupt {
            path: self.path.to_owned(),
            offset: offset as u64,
            what: what.to_owned(),
        }
    }

    fn missing(&self, expected: u64, found: u64) -> OpenError {
        OpenError::MissingRevision {
            path: self.path.to_owned(),
            expected,
            found,
        }
    }
}
