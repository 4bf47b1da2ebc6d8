//! Watches and lists against a model.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::{contents, object};
use crate::{Config, Event, EventKind, Gone, Precondition, Store};

const PREFIXES: [&str; 4] = ["", "/a/", "/a/1", "/b/"];

/// What a client knows: key to (revision, JSON).
type View = BTreeMap<String, (u64, String)>;

fn view(store: &Store, prefix: &str) -> View {
    contents(store)
        .into_iter()
        .filter(|(key, ..)| key.starts_with(prefix))
        .map(|(key, revision, json)| (key, (revision, json)))
        .collect()
}

/// Apply an event to a view, checking that it fits.
fn follow(view: &mut View, event: &Event) {
    let key = event.object.key.to_string();
    let json = String::from_utf8(event.object.json().to_vec()).unwrap();
    assert_eq!(event.object.value().to_string(), json);
    assert_eq!(event.object.revision, event.revision);
    let before = match event.kind {
        EventKind::Deleted => view.remove(&key),
        _ => view.insert(key, (event.revision, json)),
    };
    let previous = event.previous.as_ref().map(|p| p.revision);
    assert_eq!(before.map(|b| b.0), previous);
    assert_eq!(event.kind == EventKind::Added, previous.is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Delete(u8),
    /// Start a watcher of a prefix from the list just taken.
    Watch(usize),
    /// Start a watcher of a prefix some revisions back.
    WatchPast(usize, u64),
    /// Let one watcher catch up and compare.
    CatchUp(usize),
    Stop(usize),
    /// Give memory back.
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..30u8).prop_map(Step::Put),
        4 => (0..30u8).prop_map(Step::Delete),
        2 => (0..4usize).prop_map(Step::Watch),
        2 => (0..4usize, 0..40u64).prop_map(|(p, back)| Step::WatchPast(p, back)),
        3 => (0..8usize).prop_map(Step::CatchUp),
        1 => (0..8usize).prop_map(Step::Stop),
        2 => Just(Step::Rest),
    ]
}

fn key(n: u8) -> String {
    format!("/{}/{}", ["a", "b"][usize::from(n % 2)], n / 2)
}

/// Each watcher's view, fed by its events alone, equals the list whenever it has caught up; lists of the past equal
/// what was listed then, or are gone.
async fn run(steps: Vec<Step>, history: usize) {
    let store = Config {
        history,
        watch_backlog: 100_000,
        ..Config::default()
    }
    .build()
    .unwrap();
    let mut past: HashMap<u64, View> = HashMap::from([(0, View::new())]);
    let mut watchers = Vec::new();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(k) => {
                store
                    .put(&key(k), object(n as u64), Precondition::None)
                    .await
                    .unwrap();
                past.insert(store.revision(), view(&store, ""));
            }
            Step::Delete(k) => {
                if store.delete(&key(k), Precondition::None).await.is_ok() {
                    past.insert(store.revision(), view(&store, ""));
                }
            }
            Step::Watch(p) => {
                let prefix = PREFIXES[p];
                let watch = store.watch(prefix, store.revision()).unwrap();
                watchers.push((prefix, watch, view(&store, prefix)));
            }
            Step::WatchPast(p, back) => {
                let (prefix, from) = (PREFIXES[p], store.revision().saturating_sub(back));
                let then: View = past[&from]
                    .clone()
                    .into_iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .collect();
                match (store.watch(prefix, from), store.list_at(prefix, from)) {
                    (Ok(watch), Ok(listed)) => {
                        let listed: View = listed
                            .items
                            .iter()
                            .map(|o| {
                                (
                                    o.key.to_string(),
                                    (o.revision, String::from_utf8(o.json().to_vec()).unwrap()),
                                )
                            })
                            .collect();
                        assert_eq!(listed, then);
                        watchers.push((prefix, watch, then));
                    }
                    (Err(gone), Err(also)) => {
                        assert_eq!(gone, also);
                        assert_eq!(
                            gone,
                            Gone {
                                requested: from,
                                oldest: store.oldest()
                            }
                        );
                        assert!(from < store.oldest());
                    }
                    (watch, list) => panic!("{watch:?} but {list:?}"),
                }
            }
            Step::CatchUp(w) => {
                if let Some((prefix, watch, seen)) = watchers.get_mut(w) {
                    while watch.caught_up().is_none() {
                        follow(seen, &watch.next().await.unwrap().unwrap());
                    }
                    assert_eq!(watch.caught_up(), Some(store.revision()));
                    assert_eq!(*seen, view(&store, prefix));
                }
            }
            Step::Stop(w) => {
                if w < watchers.len() {
                    watchers.swap_remove(w);
                }
            }
            Step::Rest => {
                store.rest();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_watchers_view_equals_the_list(steps in prop::collection::vec(step(), 1..120), history in 1..60usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps, history));
    }
}

/// Watchers that start and stop while many write: nobody misses anything or sees anything twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_gap_under_concurrent_writes() {
    let store = Config {
        history: 100_000,
        history_bytes: usize::MAX,
        ..Config::default()
    }
    .build()
    .unwrap();
    let writers: Vec<_> = (0..8u64)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..300 {
                    store
                        .put(&format!("/a/{}", n % 40), object(w), Precondition::None)
                        .await
                        .unwrap();
                    if n % 9 == 0 {
                        store
                            .delete(&format!("/a/{}", n % 40), Precondition::None)
                            .await
                            .ok();
                    }
                }
            })
        })
        .collect();
    let watchers: Vec<_> = (0..20)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(w * 700)).await;
                let listed = store.list("/a/");
                let mut seen: View = listed
                    .items
                    .iter()
                    .map(|o| {
                        (
                            o.key.to_string(),
                            (o.revision, String::from_utf8(o.json().to_vec()).unwrap()),
                        )
                    })
                    .collect();
                let mut watch = store.watch("/a/", listed.revision).unwrap();
                let mut last = listed.revision;
                while last < 2400 {
                    let event = watch.next().await.unwrap().unwrap();
                    assert_eq!(event.revision, last + 1);
                    last = event.revision;
                    follow(&mut seen, &event);
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(watchers) {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_watcher_is_told_that_it_is_too_slow() {
    let store = Config {
        watch_backlog: 10,
        ..Config::default()
    }
    .build()
    .unwrap();
    let mut watch = store.watch("/a", 0).unwrap();
    let mut quick = store.watch("/a", 0).unwrap();
    for n in 0..15 {
        store.put("/a", object(n), Precondition::None).await.unwrap();
        assert_eq!(quick.next().await.unwrap().unwrap().revision, n + 1);
    }
    for n in 1..=10 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, n);
    }
    assert_eq!(watch.next().await.unwrap().unwrap_err().requested, 10);
    assert!(watch.next().await.is_none());
    assert_eq!(watch.caught_up(), None);
}

#[tokio::test]
async fn a_slow_watcher_of_large_objects_is_cut_off_earlier() {
    let store = Config {
        watch_backlog_bytes: 1000,
        ..Config::default()
    }
    .build()
    .unwrap();
    let mut watch = store.watch("/a", 0).unwrap();
    for _ in 0..5 {
        let large = serde_json::json!({"fill": "x".repeat(400), "metadata": {}});
        store.put("/a", large, Precondition::None).await.unwrap();
    }
    for n in 1..=2 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, n);
    }
    assert_eq!(watch.next().await.unwrap().unwrap_err().requested, 2);
}

#[tokio::test]
async fn history_is_bounded_by_weight_too() {
    let store = Config {
        history_bytes: 1000,
        ..Config::default()
    }
    .build()
    .unwrap();
    for n in 0..100 {
        store.put("/a", object(n), Precondition::None).await.unwrap();
    }
    assert!((80..100).contains(&store.oldest()), "{}", store.oldest());
    for _ in 0..100 {
        store.put("/a", object(1), Precondition::None).await.unwrap();
        store.delete("/a", Precondition::None).await.unwrap();
    }
    let (oldest, newest) = (store.oldest(), store.revision());
    assert!(
        newest - oldest < 20,
        "what is deleted weighs too: {oldest} to {newest}"
    );
    let gone = store.watch("/a", 5).unwrap_err();
    assert_eq!(
        gone.to_string(),
        format!("too old resource version: 5 ({})", store.oldest())
    );
}

#[tokio::test]
async fn a_watch_ends_with_the_store_and_waits_without_work() {
    let store = Config::default().build().unwrap();
    let mut future = store.watch("/a", 100).unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), future.next()).await;
    assert!(waiting.is_err(), "nothing happened");
    store.put("/a", object(1), Precondition::None).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), future.next()).await;
    assert!(waiting.is_err(), "revision 1 comes before the start of the watch");
    drop(store);
    assert!(future.next().await.is_none());
}

#[tokio::test]
async fn versions_share_their_key() {
    let store = Config::default().build().unwrap();
    let first = store.put("/a", object(1), Precondition::None).await.unwrap();
    let second = store.put("/a", object(2), Precondition::None).await.unwrap();
    assert!(Arc::ptr_eq(&first.key, &second.key));
}
