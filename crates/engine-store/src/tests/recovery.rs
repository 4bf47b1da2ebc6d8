//! What comes back after closing, tearing and damaging the files.
use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{contents, object, open};
use crate::{Config, OpenError, Precondition, Store, WriteError};

/// A closed store with a few writes, and its log.
async fn written(dir: &Path) -> (Vec<(String, u64, String)>, PathBuf) {
    let store = open(dir);
    for n in 0..4 {
        store
            .put(&format!("/a/{n}"), object(n), Precondition::Absent)
            .await
            .unwrap();
    }
    store.delete("/a/2", Precondition::None).await.unwrap();
    store
        .put("/a/1", object(99), Precondition::Revision(2))
        .await
        .unwrap();
    let before = contents(&store);
    drop(store);
    (before, dir.join("log-00000000000000000001"))
}

#[tokio::test]
async fn everything_is_there_again() {
    let dir = TempDir::new().unwrap();
    let (before, _) = written(dir.path()).await;
    let store = open(dir.path());
    assert_eq!(contents(&store), before);
    assert_eq!(store.revision(), 6);
    assert_eq!(store.recovery().replayed, 6);
    assert_eq!(store.recovery().torn, None);
    let found = store.get("/a/1").unwrap();
    assert_eq!(found.value()["metadata"]["resourceVersion"], "6");
    // A watcher from before the restart goes on where it was.
    let mut watch = store.watch("/a/", 4).unwrap();
    let deleted = watch.next().await.unwrap().unwrap();
    assert_eq!((deleted.revision, &*deleted.object.key), (5, "/a/2"));
    assert_eq!(deleted.object.value()["metadata"]["resourceVersion"], "5");
    assert_eq!(
        deleted.previous.as_ref().unwrap().value()["metadata"]["resourceVersion"],
        "3"
    );
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 6);
}

#[tokio::test]
async fn preconditions() {
    let store = Config::default().build().unwrap();
    let first = store.put("/a", object(1), Precondition::Absent).await.unwrap();
    let exists = store.put("/a", object(2), Precondition::Absent).await;
    assert!(matches!(exists, Err(WriteError::Exists { .. })));
    let second = store
        .put("/a", object(2), Precondition::Revision(first.revision))
        .await
        .unwrap();
    let conflict = store
        .put("/a", object(3), Precondition::Revision(first.revision))
        .await;
    assert!(matches!(
        conflict,
        Err(WriteError::Conflict {
            expected: 1,
            found: 2,
            ..
        })
    ));
    let conflict = store.delete("/a", Precondition::Revision(first.revision)).await;
    assert!(matches!(conflict, Err(WriteError::Conflict { .. })));
    let gone = store
        .delete("/a", Precondition::Revision(second.revision))
        .await
        .unwrap();
    assert_eq!(gone.value()["metadata"]["resourceVersion"], "3");
    assert_eq!(gone.value()["data"]["n"], "2");
    assert!(matches!(
        store.delete("/a", Precondition::None).await,
        Err(WriteError::NotFound { .. })
    ));
    let missing = store.put("/a", object(1), Precondition::Revision(2)).await;
    assert!(matches!(missing, Err(WriteError::NotFound { .. })));
    let text = store.put("/a", "text".into(), Precondition::None).await;
    assert!(matches!(text, Err(WriteError::NotAnObject { .. })));
    assert_eq!(store.revision(), 3, "what is refused has no revision");
}

/// Of many who want to change the same version exactly one wins, also within one batch.
#[tokio::test]
async fn compare_and_swap_has_one_winner() {
    let store = Config::default().build().unwrap();
    for round in 0..20 {
        let expected = store
            .get("/a")
            .map_or(Precondition::Absent, |o| Precondition::Revision(o.revision));
        let tries = (0..50).map(|n| store.put("/a", object(n), expected));
        let won = futures::future::join_all(tries)
            .await
            .into_iter()
            .flatten()
            .count();
        assert_eq!(won, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_off_and_reported() {
    let source = TempDir::new().unwrap();
    let (_, log) = written(source.path()).await;
    let before_last = {
        // The state and the length of the log before its last frame.
        let dir = TempDir::new().unwrap();
        let store = open(dir.path());
        for n in 0..4 {
            store
                .put(&format!("/a/{n}"), object(n), Precondition::Absent)
                .await
                .unwrap();
        }
        store.delete("/a/2", Precondition::None).await.unwrap();
        let state = contents(&store);
        drop(store);
        (
            state,
            fs::read(dir.path().join("log-00000000000000000001"))
                .unwrap()
                .len(),
        )
    };
    let bytes = fs::read(&log).unwrap();
    for cut in before_last.1 + 1..bytes.len() {
        for zeros in [0, 5, 4096] {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join(log.file_name().unwrap());
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&path, &torn).unwrap();
            let store = open(dir.path());
            assert_eq!(contents(&store), before_last.0, "cut at {cut}, {zeros} zeros");
            let report = store.recovery().torn.clone().unwrap();
            assert_eq!(report.offset as usize, before_last.1);
            assert_eq!(report.bytes as usize, torn.len() - before_last.1);
            assert_eq!(fs::read(report.kept.unwrap()).unwrap(), torn[before_last.1..]);
            // And it goes on from there.
            store.put("/b", object(1), Precondition::Absent).await.unwrap();
            let state = contents(&store);
            drop(store);
            let store = open(dir.path());
            assert_eq!((contents(&store), store.recovery().torn.clone()), (state, None));
        }
    }
}

#[tokio::test]
async fn no_flipped_bit_goes_unnoticed() {
    let source = TempDir::new().unwrap();
    let (before, log) = written(source.path()).await;
    let bytes = fs::read(&log).unwrap();
    for at in 0..bytes.len() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(log.file_name().unwrap());
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        match (Config {
            dir: Some(dir.path().to_owned()),
            ..Config::default()
        })
        .build()
        {
            // Only the last frame may go, and not silently.
            Ok(store) => {
                let torn = store
                    .recovery()
                    .torn
                    .clone()
                    .unwrap_or_else(|| panic!("byte {at}: unnoticed"));
                assert!(at as u64 >= torn.offset, "byte {at}: cut at {}", torn.offset);
                assert_eq!(store.revision(), 5);
                assert_ne!(contents(&store), before);
            }
            Err(OpenError::Corrupt {
                path: named, offset, ..
            }) => {
                assert_eq!(named, path);
                assert!(offset <= at as u64, "byte {at}: reported at {offset}");
            }
            Err(OpenError::NewerVersion { .. }) => assert!((8..12).contains(&at), "byte {at}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
        assert_eq!(
            fs::read(&path).unwrap().len().min(damaged.len()),
            fs::read(&path).unwrap().len()
        );
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let (_, log) = written(dir.path()).await;
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] = 9;
    fs::write(&log, bytes).unwrap();
    let error = (Config {
        dir: Some(dir.path().to_owned()),
        ..Config::default()
    })
    .build()
    .unwrap_err();
    let wanted = format!(
        "{} has format version 9, this program knows versions up to 1",
        log.display()
    );
    assert_eq!(error.to_string(), wanted);
}

#[tokio::test]
async fn a_missing_log_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (_, log) = written(dir.path()).await;
    fs::rename(&log, dir.path().join("log-00000000000000000003")).unwrap();
    let error = (Config {
        dir: Some(dir.path().to_owned()),
        ..Config::default()
    })
    .build()
    .unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn two_processes_cannot_have_it_open() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let second = (Config {
        dir: Some(dir.path().to_owned()),
        ..Config::default()
    })
    .build();
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    drop(store);
    open(dir.path());
}

fn small_logs(dir: &Path) -> Store {
    Config {
        dir: Some(dir.to_owned()),
        log_limit: 2048,
        ..Config::default()
    }
    .build()
    .unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn snapshots_replace_logs() {
    let dir = TempDir::new().unwrap();
    let mut store = small_logs(dir.path());
    for n in 0..400 {
        let key = format!("/a/{}", n % 17);
        if n % 5 == 4 {
            store.delete(&key, Precondition::None).await.ok();
        } else {
            store.put(&key, object(n), Precondition::None).await.unwrap();
        }
        if n % 90 == 89 {
            let before = (store.revision(), contents(&store));
            drop(store);
            store = small_logs(dir.path());
            assert_eq!((store.revision(), contents(&store)), before);
        }
    }
    let before = (store.revision(), contents(&store));
    drop(store);
    let names = files(dir.path());
    let snapshots: Vec<_> = names.iter().filter(|n| n.starts_with("snapshot-")).collect();
    assert_eq!(snapshots.len(), 1, "{names:?}");
    assert!(
        !names.contains(&"log-00000000000000000001".to_owned()),
        "{names:?}"
    );
    // A damaged snapshot is an error that names it, at every byte of its first frame's header and some of its contents.
    let path = dir.path().join(snapshots[0]);
    let bytes = fs::read(&path).unwrap();
    for at in (0..40).chain((40..bytes.len()).step_by(13)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = (Config {
            dir: Some(dir.path().to_owned()),
            ..Config::default()
        })
        .build()
        .unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "byte {at}: {error}"
        );
    }
    for cut in [0, 10, 30, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = (Config {
            dir: Some(dir.path().to_owned()),
            ..Config::default()
        })
        .build()
        .unwrap_err();
        assert!(
            matches!(error, OpenError::Corrupt { .. }),
            "cut at {cut}: {error}"
        );
    }
    fs::write(&path, bytes).unwrap();
    let store = open(dir.path());
    assert_eq!((store.revision(), contents(&store)), before);
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("store");
    written(&dir).await;
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for name in files(&dir) {
        assert_eq!(
            fs::metadata(dir.join(&name)).unwrap().permissions().mode() & 0o777,
            0o600,
            "{name}"
        );
    }
}
