//! Pods and clients that mean harm. Each is held to its limits, the API answers all the while, and afterwards nothing is left of them.
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Client;
use kube::api::{Api, AttachParams, DeleteParams, LogParams, PostParams, WatchParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use testkit::{Cluster, State, eventually, machine};

/// Tasks that a pod may have unless its node says otherwise.
const TASKS: usize = 4096;
const MEGABYTE: usize = 1 << 20;

/// What the hostile programs do: this test binary, mounted into a container that has nothing else.
#[test]
#[ignore = "a container's program, started by the tests below"]
fn deed() {
    match std::env::var("DEED").expect("DEED is set").as_str() {
        "tasks" => {
            let mut count = 0;
            while std::thread::Builder::new()
                .stack_size(16 << 10)
                .spawn(|| {
                    loop {
                        std::thread::park();
                    }
                })
                .is_ok()
            {
                count += 1;
                assert!(count < 50_000, "nothing holds it");
            }
            say(&format!("held at {count}\n"));
        }
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; MEGABYTE]);
                std::hint::black_box(&hoard);
            }
        }
        "disk" => fill(Path::new("/scratch/big"), 64),
        "files" => {
            for number in 0..100_000 {
                std::fs::write(format!("/scratch/{number}"), "").expect("a small file can be written");
            }
            say("100000 files\n");
        }
        "logs" => {
            let line = format!("{}\n", "x".repeat(16_000));
            for _ in 0..(70 * MEGABYTE / line.len()) {
                say(&line);
            }
            say("said all\n");
        }
        "deaf" => {
            // SIGTERM has no effect on a first process that does not ask for it.
            say("deaf\n");
        }
        other => panic!("{other} is no deed"),
    }
    loop {
        std::thread::park();
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).expect("stdout can be written");
    out.flush().expect("stdout can be written");
}

fn fill(path: &Path, megabytes: usize) {
    let mut file = std::fs::File::create(path).expect("a file can be made");
    for _ in 0..megabytes {
        file.write_all(&vec![1_u8; MEGABYTE])
            .expect("the file can be written");
    }
}

fn hostile(cluster: &Cluster, deed: &str, extra: Value) -> Pod {
    let program = std::env::current_exe().unwrap();
    let mut pod = json!({
        "metadata": {"name": deed},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "program", "hostPath": {"path": program, "type": "File"}},
                {"name": "scratch", "emptyDir": {}}],
            "containers": [{
                "name": "main", "image": cluster.state.image(), "env": [{"name": "DEED", "value": deed}],
                "command": ["/hostile", "hostile::deed", "--exact", "--ignored", "--nocapture", "--test-threads=1"],
                "volumeMounts": [{"name": "program", "mountPath": "/hostile", "readOnly": true},
                    {"name": "scratch", "mountPath": "/scratch"}],
            }],
        },
    });
    merge(&mut pod, extra);
    serde_json::from_value(pod).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for (index, value) in from.into_iter().enumerate() {
                match into.get_mut(index) {
                    Some(slot) => merge(slot, value),
                    None => into.push(value),
                }
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

fn phase(pod: Option<&Pod>) -> &str {
    pod.and_then(|p| p.status.as_ref()?.phase.as_deref())
        .unwrap_or_default()
}

/// Asks the API for something small again and again until dropped; gives how long the answers took.
struct Pulse {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Duration>>,
}

impl Pulse {
    fn start(cluster: &Cluster) -> Pulse {
        let (client, stop) = (cluster.client(), Arc::new(AtomicBool::new(false)));
        let over = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let thread = std::thread::spawn(move || {
            let namespaces: Api<Namespace> = Api::all(client);
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = runtime.block_on(namespaces.get("default"));
                assert!(answer.is_ok(), "the API does not answer: {answer:?}");
                times.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            times
        });
        Pulse { stop, thread }
    }

    /// The 50th and 99th percentile.
    fn stop(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().expect("every request was answered");
        times.sort();
        (times[times.len() / 2], times[times.len() * 99 / 100])
    }
}

/// Private memory of the engine.
fn memory(cluster: &Cluster) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", cluster.engine())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn hostile_pods_are_held_to_their_limits() {
    if testkit::skipped_without_root("hostile pods") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "hostile");
    cluster.bootstrap();
    let pods = cluster.pods();
    let (engine, daemon) = (cluster.engine(), cluster.daemon());
    let pulse = Pulse::start(&cluster);
    let limit = |list: Value| json!({"spec": {"containers": [{"resources": {"limits": list}}]}});
    let argument =
        json!({"spec": {"containers": [{"env": [{}, {"name": "BIG", "value": "x".repeat(200_000)}]}]}});
    for (deed, extra) in [
        ("tasks", json!({})),
        ("memory", limit(json!({"memory": "64Mi"}))),
        (
            "disk",
            json!({"spec": {"volumes": [null, {"emptyDir": {"sizeLimit": "16Mi"}}]}}),
        ),
        ("files", json!({})),
        ("logs", json!({})),
        ("deaf", json!({})),
    ] {
        let pod = hostile(&cluster, deed, extra);
        cluster
            .wait(deed, pods.create(&PostParams::default(), &pod))
            .unwrap();
    }
    let mut pod = hostile(&cluster, "deaf", argument);
    pod.metadata.name = Some("argument".into());
    cluster
        .wait("argument", pods.create(&PostParams::default(), &pod))
        .unwrap();

    says(&cluster, "tasks", |text| {
        let count = text.split("held at ").nth(1);
        let count = count.and_then(|rest| rest.trim().parse::<usize>().ok());
        count.is_some_and(|count| (TASKS - 100..TASKS).contains(&count))
    });
    let pod = cluster.until("memory", |p: Option<&Pod>| phase(p) == "Failed");
    let end = terminated(&pod);
    assert_eq!(
        (end["exitCode"].as_i64(), end["reason"].as_str()),
        (Some(137), Some("OOMKilled"))
    );
    let pod = cluster.until("disk", |p: Option<&Pod>| phase(p) == "Failed");
    let status = pod.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("Evicted"));
    assert_eq!(
        status.message.as_deref(),
        Some("Usage of EmptyDir volume \"scratch\" exceeds the limit \"16Mi\". ")
    );
    says(&cluster, "files", |text| text.contains("100000 files"));
    says(&cluster, "logs", |text| text.contains("said all"));
    let node = format!("nodes/{}-1/pods", cluster.name());
    let logs: u64 = walk(&cluster.folder().join(node))
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("/log"))
        .map(|(_, bytes)| bytes)
        .sum();
    assert!(logs <= 55 * MEGABYTE as u64, "{logs} bytes of logs on disk");
    let pod = cluster.until("argument", |p: Option<&Pod>| {
        p.is_some_and(|p| terminated(p)["exitCode"].is_number())
    });
    assert_ne!(terminated(&pod)["exitCode"], 0, "{pod:?}");

    let begun = Instant::now();
    for deed in ["deaf", "tasks", "files", "logs", "memory", "disk", "argument"] {
        cluster.wait("all go", async {
            let found = pods.delete(deed, &DeleteParams::default()).await.unwrap();
            let uid = found.left().and_then(|p| p.metadata.uid).unwrap_or_default();
            await_condition(pods.clone(), deed, is_deleted(&uid))
                .await
                .unwrap();
        });
    }
    let took = begun.elapsed();
    let (half, most) = pulse.stop();
    eprintln!("API under hostile pods: p50 {half:?}, p99 {most:?}; all deleted after {took:?}");
    assert!(most < Duration::from_secs(2), "p99 {most:?}");
    assert_eq!(
        (cluster.engine(), cluster.daemon()),
        (engine, daemon),
        "neither died"
    );
    let left = cluster.processes(&format!("{}-1", cluster.name()));
    assert_eq!(left, [0; 0]);
}

/// Waits until a pod has said something.
fn says(cluster: &Cluster, name: &str, is: impl Fn(&str) -> bool) {
    let tail = LogParams {
        tail_lines: Some(3),
        ..LogParams::default()
    };
    eventually(name, || {
        let text = cluster.wait("its log", cluster.pods().logs(name, &tail));
        let text = text.map_err(|e| e.to_string())?;
        is(&text)
            .then_some(())
            .ok_or_else(|| text.chars().take(500).collect())
    });
}

fn terminated(pod: &Pod) -> Value {
    let status = serde_json::to_value(pod.status.clone().unwrap_or_default()).unwrap();
    status["containerStatuses"][0]["state"]["terminated"].clone()
}

fn walk(dir: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().map_or(0, |meta| meta.len())));
        }
    }
    found
}

/// What the engine may keep of what it had under its worst clients, in bytes: its allocator does not give everything back.
const RETAINED: u64 = 150 * MEGABYTE as u64;

#[test]
fn hostile_clients_are_refused_or_dropped() {
    if testkit::skipped_without_root("hostile clients") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "clients");
    cluster.bootstrap();
    cluster.pod("server", &["serve", "background"]);
    let before = memory(&cluster);
    let pulse = Pulse::start(&cluster);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let annotated = |bytes: usize| {
        let mut map = ConfigMap::default();
        map.metadata.name = Some("big".into());
        map.metadata.annotations = Some([("a".to_owned(), "x".repeat(bytes))].into());
        map
    };
    for (bytes, code, text) in [
        (10 * MEGABYTE, 413, "Request entity too large"),
        (300_000, 422, "may not be more than 262144 bytes"),
    ] {
        let map = annotated(bytes);
        match cluster.wait("a big object", maps.create(&PostParams::default(), &map)) {
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, code, "{bytes}");
                assert!(status.message.contains(text), "{}", status.message);
            }
            other => panic!("{bytes} bytes of annotations: {other:?}"),
        }
    }
    flood(&cluster, &maps);
    spam(&cluster);
    let (half, most) = pulse.stop();
    let after = eventually("its memory", || {
        let now = memory(&cluster);
        (now < before + RETAINED)
            .then_some(now)
            .ok_or_else(|| format!("{before} bytes before, {now} now"))
    });
    eprintln!(
        "API under hostile clients: p50 {half:?}, p99 {most:?}; engine {before} bytes before, {after} after"
    );
    assert!(most < Duration::from_secs(2), "p99 {most:?}");
}

/// Watches that nobody reads, while a lot is written.
fn flood(cluster: &Cluster, maps: &Api<ConfigMap>) {
    const WATCHES: usize = 40;
    const WRITES: usize = 100;
    let clients: Vec<Client> = (0..10).map(|_| cluster.client()).collect();
    let watches = cluster.wait("watches", async {
        let mut open = Vec::new();
        for number in 0..WATCHES {
            let maps: Api<ConfigMap> = Api::namespaced(clients[number % clients.len()].clone(), "default");
            let watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
            open.push(watch.boxed());
        }
        open
    });
    cluster.wait("writes", async {
        for number in 0..WRITES {
            let mut map = ConfigMap::default();
            map.metadata.name = Some(format!("fill-{number}"));
            map.data = Some([("x".to_owned(), "x".repeat(100_000))].into());
            maps.create(&PostParams::default(), &map).await.unwrap();
        }
    });
    let during = memory(cluster);
    assert!(
        during < 300 * MEGABYTE as u64,
        "{WATCHES} watches that nobody reads hold {during} bytes"
    );
    drop(watches);
    cluster.wait("deletes", async {
        for number in 0..WRITES {
            let name = format!("fill-{number}");
            maps.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    });
}

/// Many processes started in one container.
fn spam(cluster: &Cluster) {
    let pods = cluster.pods();
    let daemon = cluster.daemon();
    let descriptors = || std::fs::read_dir(format!("/proc/{daemon}/fd")).map_or(0, Iterator::count);
    let before = descriptors();
    let ok = cluster.wait("execs", async {
        let one = |_| {
            let pods = pods.clone();
            async move {
                let mut process = pods
                    .exec("server", ["/cncfdemo", "version"], &AttachParams::default())
                    .await
                    .ok()?;
                let status = process.take_status()?.await?;
                (status.status.as_deref() == Some("Success")).then_some(())
            }
        };
        futures::stream::iter(0..200)
            .map(one)
            .buffer_unordered(20)
            .filter_map(std::future::ready)
            .count()
            .await
    });
    assert_eq!(ok, 200);
    eventually("its descriptors", || {
        let now = descriptors();
        (now <= before + 2)
            .then_some(())
            .ok_or_else(|| format!("{before} before, {now} now"))
    });
}
