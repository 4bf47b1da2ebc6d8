//! A disk that fails: what was acknowledged stays, what failed leaves no trace, and writing goes on afterwards.
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
};

use tempfile::TempDir;

use super::{contents, object, open};
use crate::{
    Config, Precondition, Store, WriteError,
    disk::{Disk, DiskFile, RealDisk},
};

/// What the disk can still do.
#[derive(Clone)]
struct Trouble {
    room: Arc<AtomicI64>,
    sync_fails: Arc<AtomicBool>,
    truncate_fails: Arc<AtomicBool>,
}

struct FailingDisk(Trouble);
struct FailingFile(Box<dyn DiskFile>, Trouble);

impl Trouble {
    fn none() -> Self {
        Self {
            room: Arc::new(AtomicI64::new(i64::MAX)),
            sync_fails: Arc::default(),
            truncate_fails: Arc::default(),
        }
    }

    fn open(&self, dir: &Path, log_limit: u64) -> Store {
        Config {
            dir: Some(dir.to_owned()),
            log_limit,
            ..Config::default()
        }
        .build_on(Box::new(FailingDisk(self.clone())))
        .unwrap()
    }
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(RealDisk.create(path)?, self.0.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(RealDisk.open(path)?, self.0.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

impl DiskFile for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.1.room.fetch_sub(bytes.len() as i64, SeqCst).max(0);
        if room >= bytes.len() as i64 {
            return self.0.append(bytes);
        }
        // As a real disk does: part of it is written.
        self.0.append(&bytes[..room as usize])?;
        self.1.room.store(0, SeqCst);
        Err(io::ErrorKind::StorageFull.into())
    }
    fn sync(&mut self) -> io::Result<()> {
        if self.1.sync_fails.load(SeqCst) {
            Err(io::Error::other("sync"))
        } else {
            self.0.sync()
        }
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.1.truncate_fails.load(SeqCst) {
            Err(io::Error::other("truncate"))
        } else {
            self.0.truncate(len)
        }
    }
}

async fn fails(store: &Store, key: &str) {
    let before = (store.revision(), contents(store));
    let result = store.put(key, object(7), Precondition::None).await;
    assert!(matches!(result, Err(WriteError::Disk { .. })), "{result:?}");
    assert_eq!(
        (store.revision(), contents(store)),
        before,
        "a failed write is not visible"
    );
}

#[tokio::test]
async fn a_full_disk_fails_the_write_only() {
    for room in 0..180 {
        let dir = TempDir::new().unwrap();
        let trouble = Trouble::none();
        let store = trouble.open(dir.path(), 1 << 20);
        let mut watch = store.watch("", 0).unwrap();
        store.put("/a", object(1), Precondition::None).await.unwrap();
        trouble.room.store(room % 90, SeqCst);
        // Also when the rest of the failed write cannot be taken back at once.
        trouble.truncate_fails.store(room >= 90, SeqCst);
        fails(&store, "/b").await;
        fails(&store, "/b").await;
        trouble.truncate_fails.store(false, SeqCst);
        trouble.room.store(i64::MAX, SeqCst);
        let third = store.put("/c", object(3), Precondition::None).await.unwrap();
        assert_eq!(third.revision, 2);
        assert_eq!(&*watch.next().await.unwrap().unwrap().object.key, "/a");
        assert_eq!(&*watch.next().await.unwrap().unwrap().object.key, "/c");
        let before = contents(&store);
        drop(store);
        let store = open(dir.path());
        assert_eq!(contents(&store), before, "room {room}");
        assert_eq!(store.recovery().torn, None, "the failed write was taken back");
    }
}

#[tokio::test]
async fn a_failed_sync_fails_the_write_only() {
    let dir = TempDir::new().unwrap();
    let trouble = Trouble::none();
    let store = trouble.open(dir.path(), 1 << 20);
    store.put("/a", object(1), Precondition::None).await.unwrap();
    trouble.sync_fails.store(true, SeqCst);
    fails(&store, "/b").await;
    fails(&store, "/b").await;
    trouble.sync_fails.store(false, SeqCst);
    store.put("/c", object(3), Precondition::None).await.unwrap();
    let before = contents(&store);
    drop(store);
    assert_eq!(contents(&open(dir.path())), before);
}

/// A refusal that rests on a write of the same batch must not be told when that write fails.
#[tokio::test]
async fn nobody_learns_of_a_write_that_failed() {
    let dir = TempDir::new().unwrap();
    let trouble = Trouble::none();
    let store = trouble.open(dir.path(), 1 << 20);
    trouble.room.store(0, SeqCst);
    let tries = (0..100).map(|n| store.put("/a", object(n), Precondition::Absent));
    for result in futures::future::join_all(tries).await {
        assert!(matches!(result, Err(WriteError::Disk { .. })), "{result:?}");
    }
    assert_eq!(store.revision(), 0);
}

#[tokio::test]
async fn a_snapshot_that_fails_is_tried_again_later() {
    let dir = TempDir::new().unwrap();
    let trouble = Trouble::none();
    let store = trouble.open(dir.path(), 1500);
    let mut refused = 0;
    for n in 0..600 {
        // Room comes and goes, as when something else fills the disk.
        trouble.room.store(if n % 7 < 3 { 150 } else { i64::MAX }, SeqCst);
        match store
            .put(&format!("/a/{}", n % 10), object(n), Precondition::None)
            .await
        {
            Ok(_) => {}
            Err(WriteError::Disk { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused < 600);
    let before = (store.revision(), contents(&store));
    drop(store);
    let store = open(dir.path());
    assert_eq!((store.revision(), contents(&store)), before);
    assert!(store.recovery().snapshot.is_some());
}

#[tokio::test]
async fn a_torn_tail_on_a_full_disk_does_not_keep_the_store_closed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.put("/a", object(1), Precondition::None).await.unwrap();
    store.put("/b", object(2), Precondition::None).await.unwrap();
    drop(store);
    let log = dir.path().join("log-00000000000000000001");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    let trouble = Trouble::none();
    trouble.room.store(0, SeqCst);
    let store = trouble.open(dir.path(), 1 << 20);
    assert_eq!(store.revision(), 1);
    assert_eq!(store.recovery().torn.as_ref().unwrap().kept, None);
    trouble.room.store(i64::MAX, SeqCst);
    store.put("/c", object(3), Precondition::None).await.unwrap();
    drop(store);
    assert_eq!(open(dir.path()).revision(), 2);
}
