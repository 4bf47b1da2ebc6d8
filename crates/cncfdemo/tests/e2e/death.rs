//! `kill -9` of the engine, of the runtime daemon, of both: containers go on, nothing acknowledged is lost.
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use testkit::{Cluster, State, machine};

/// What must not change when the engine dies: the container's process, its start, its restarts.
#[derive(Debug, PartialEq)]
struct Life {
    processes: Vec<i32>,
    uid: Option<String>,
    container: Option<String>,
    restarts: i32,
}

fn life(cluster: &Cluster, pod: &Pod) -> Life {
    let status = pod.status.clone().unwrap_or_default();
    let container = status
        .container_statuses
        .unwrap_or_default()
        .pop()
        .expect("one container");
    Life {
        processes: cluster.processes(&format!("{}-1", cluster.name())),
        uid: pod.metadata.uid.clone(),
        container: container.container_id,
        restarts: container.restart_count,
    }
}

fn serves(pod: &Pod) {
    let ip = pod
        .status
        .as_ref()
        .and_then(|s| s.pod_ip.clone())
        .expect("an address");
    assert_eq!(
        testkit::http_get(&format!("{ip}:9102"), "/healthz").unwrap(),
        "ok"
    );
}

fn has_a_pod(name: &str) -> (Cluster, Pod, Life) {
    let cluster = Cluster::new(&State::shared(), name);
    cluster.bootstrap();
    let pod = cluster.pod("server", &["serve", "background"]);
    let life = life(&cluster, &pod);
    assert!(
        !life.processes.is_empty(),
        "the container has a process in the node's cgroup"
    );
    (cluster, pod, life)
}

/// Another pod comes and the first goes: the whole way through engine, daemon and network works again.
fn works(cluster: &Cluster) {
    serves(&cluster.pod("second", &["serve", "background"]));
    let pods = cluster.pods();
    let deleted = cluster.wait("a pod goes", async {
        let uid = pods.get("server").await?.metadata.uid.unwrap_or_default();
        pods.delete("server", &DeleteParams::default()).await?;
        kube::runtime::wait::await_condition(
            pods.clone(),
            "server",
            kube::runtime::conditions::is_deleted(&uid),
        )
        .await
        .map_err(|e| kube::Error::Service(Box::new(e)))
    });
    deleted.unwrap_or_else(|e| panic!("{e}\n{}", cluster.logs()));
}

#[test]
fn containers_survive_the_engine() {
    if testkit::skipped_without_root("kill -9 of the engine") {
        return;
    }
    let _machine = machine::shared();
    let (cluster, pod, before) = has_a_pod("engine");
    let old = cluster.engine();
    testkit::kill(old);
    serves(&pod);
    cluster.new_engine(old);
    let adopted = cluster.ready("server");
    assert_eq!(life(&cluster, &adopted), before);
    serves(&adopted);
    works(&cluster);
}

#[test]
fn containers_survive_the_runtime_daemon() {
    if testkit::skipped_without_root("kill -9 of the runtime daemon") {
        return;
    }
    let _machine = machine::shared();
    let (cluster, pod, before) = has_a_pod("daemon");
    let old = cluster.daemon();
    testkit::kill(old);
    serves(&pod);
    testkit::eventually("another daemon", || {
        let daemon = cluster.daemon();
        (daemon != old)
            .then_some(())
            .ok_or_else(|| "it is still the old one".to_owned())
    });
    assert_eq!(life(&cluster, &cluster.ready("server")), before);
    works(&cluster);
}

#[test]
fn containers_survive_both_and_bootstrap_mends() {
    if testkit::skipped_without_root("kill -9 of engine and daemon") {
        return;
    }
    let _machine = machine::shared();
    let (cluster, pod, before) = has_a_pod("both");
    // Neither can start the other again when both are stopped before either dies.
    let both = [cluster.engine(), cluster.daemon()];
    for pid in both {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }
    both.into_iter().for_each(testkit::kill);
    testkit::eventually("both are gone", || {
        let left = cluster.processes("system");
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    });
    serves(&pod);
    let mended = cluster.bootstrap();
    assert_eq!(mended["created"], false);
    assert_eq!(life(&cluster, &cluster.ready("server")), before);
    works(&cluster);
}

/// How often the engine is killed under writes, unless `CRASH_ROUNDS` says otherwise (`just crash`).
const ROUNDS: usize = 5;
const WRITERS: usize = 4;
/// A writer deletes its oldest map when it has more of them, so that the store stays small in however many rounds.
const KEPT: usize = 20;

/// Several clients write and delete over HTTPS while the engine is killed again and again. What was acknowledged holds, all of it,
/// and what is there is whole.
#[test]
fn acknowledged_writes_survive() {
    if testkit::skipped_without_root("kill -9 under writes") {
        return;
    }
    let rounds = std::env::var("CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "writes");
    cluster.bootstrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let work = Arc::new(Work::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let maps = Api::namespaced(cluster.client(), "default");
            cluster.spawn(write(writer, work.clone(), maps))
        })
        .collect();
    for round in 0..rounds {
        cluster.wait(&format!("round {round}"), async {
            // In the midst of writing, sooner in one round and later in another.
            work.more(20 + round * 37 % 211).await;
            let old = cluster.engine();
            testkit::kill(old);
            while cluster.engine() == old {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            work.more(1).await;
        });
    }
    work.stop.store(true, Ordering::Relaxed);
    let wrote: Vec<Wrote> = writers
        .into_iter()
        .map(|writer| cluster.wait("a writer", writer).unwrap())
        .collect();
    let there = cluster
        .wait("the list", maps.list(&ListParams::default()))
        .unwrap();
    let ours = there
        .into_iter()
        .filter(|map| map.metadata.name.as_ref().is_some_and(|n| n.starts_with('w')));
    let there: BTreeSet<String> = ours
        .map(|map| {
            let name = map.metadata.name.unwrap();
            assert_eq!(map.data, Some(content(&name)), "{name} is there by half");
            name
        })
        .collect();
    let lost: Vec<&String> = wrote
        .iter()
        .flat_map(|w| &w.kept)
        .filter(|n| !there.contains(*n))
        .collect();
    assert!(lost.is_empty(), "acknowledged writes are lost: {lost:?}");
    let back: Vec<&String> = wrote
        .iter()
        .flat_map(|w| &w.deleted)
        .filter(|n| there.contains(*n))
        .collect();
    assert!(back.is_empty(), "what was deleted is back: {back:?}");
    let [kept, deleted] =
        [|w: &Wrote| w.kept.len(), |w: &Wrote| w.deleted.len()].map(|n| wrote.iter().map(n).sum::<usize>());
    assert!(deleted > 0 && kept > 0, "{kept} kept, {deleted} deleted");
    eprintln!(
        "{rounds} times kill -9 of the engine, {} acknowledged writes of {WRITERS} clients: {kept} maps are there and whole, {deleted} \
         are deleted",
        work.acknowledged.load(Ordering::Relaxed)
    );
}

/// What the test and its writers share.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    /// Creations and deletions that were answered with success.
    acknowledged: AtomicUsize,
}

impl Work {
    /// Waits for so many more acknowledged writes.
    async fn more(&self, count: usize) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + count;
        while self.acknowledged.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What one writer was told; a map that it tried to delete without being told of success is in neither.
#[derive(Default)]
struct Wrote {
    kept: VecDeque<String>,
    deleted: Vec<String>,
}

fn content(name: &str) -> std::collections::BTreeMap<String, String> {
    [
        ("first".to_owned(), name.to_owned()),
        ("last".to_owned(), name.to_owned()),
    ]
    .into()
}

/// Creates maps until told to stop, and deletes the oldest beyond [`KEPT`].
async fn write(writer: usize, work: Arc<Work>, maps: Api<ConfigMap>) -> Wrote {
    let mut wrote = Wrote::default();
    for number in 0.. {
        if work.stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("w{writer}-{number}");
        let mut map = ConfigMap {
            data: Some(content(&name)),
            ..ConfigMap::default()
        };
        map.metadata.name = Some(name.clone());
        // An error is the engine that is away: nothing is known of this map.
        if maps.create(&PostParams::default(), &map).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        work.acknowledged.fetch_add(1, Ordering::Relaxed);
        wrote.kept.push_back(name);
        let oldest = if wrote.kept.len() > KEPT {
            wrote.kept.pop_front()
        } else {
            None
        };
        if let Some(oldest) = oldest
            && maps.delete(&oldest, &DeleteParams::default()).await.is_ok()
        {
            work.acknowledged.fetch_add(1, Ordering::Relaxed);
            wrote.deleted.push(oldest);
        }
    }
    wrote
}
