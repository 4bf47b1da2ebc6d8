//! `kill -9` of the engine, of the runtime daemon, of both: containers go on, nothing acknowledged is lost.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// How often the engine is killed under writes.
const ROUNDS: usize = 5;

/// Several clients write while the engine is killed again and again. What was acknowledged is there, all of it.
#[test]
fn acknowledged_writes_survive() {
    if testkit::skipped_without_root("kill -9 under writes") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "writes");
    cluster.bootstrap();
    let stop = Arc::new(AtomicBool::new(false));
    let client = cluster.client();
    let acknowledged = cluster.wait("writers and a killer", async {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (stop, maps) = (
                    stop.clone(),
                    Api::<ConfigMap>::namespaced(client.clone(), "default"),
                );
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let mut map = ConfigMap::default();
                        map.metadata.name = Some(format!("w{writer}-{number}"));
                        match maps.create(&PostParams::default(), &map).await {
                            Ok(made) => done.push(made.metadata.name.unwrap()),
                            // The engine is away: not acknowledged, so nothing is known of this one.
                            Err(_) => tokio::task::yield_now().await,
                        }
                    }
                    done
                })
            })
            .collect();
        let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
        let count = || async {
            maps.list(&ListParams::default())
                .await
                .map_or(0, |l| l.items.len())
        };
        for _ in 0..ROUNDS {
            // In the midst of writing: at least twenty more than before are there.
            let before = count().await;
            while count().await < before + 20 {
                tokio::task::yield_now().await;
            }
            let old = cluster.engine();
            testkit::kill(old);
            while cluster.engine() == old || count().await == 0 {
                tokio::task::yield_now().await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        acknowledged
    });
    let maps = Api::<ConfigMap>::namespaced(cluster.client(), "default");
    let there = cluster
        .wait("the list", maps.list(&ListParams::default()))
        .unwrap();
    let there: std::collections::BTreeSet<String> =
        there.into_iter().filter_map(|m| m.metadata.name).collect();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|name| !there.contains(*name))
        .collect();
    assert!(
        acknowledged.len() >= 20 * ROUNDS,
        "only {} writes",
        acknowledged.len()
    );
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}
