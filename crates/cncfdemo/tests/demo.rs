//! The whole demo, for real: images from Debian's mirror, every tier in containers, load, a killed pod, and no trace after.
//! Needs root and a package mirror.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use results::Run;
use serde_json::{Value, json};
use testkit::{Cluster, Outcome, Snapshot, State, eventually, free_port, machine};

#[path = "page/mod.rs"]
mod page;

const NAMESPACE: &str = "cncfdemo";

#[test]
fn the_whole_demo_runs_is_measured_and_leaves_nothing() {
    if testkit::skipped_without_root("the whole demo") {
        return;
    }
    let _machine = machine::alone();
    let state = State::new();
    keep_downloads(&state);
    let cluster = Cluster::new(&state, "demo");
    let before = Snapshot::take(cluster.name(), state.path());
    // The demo's own ports may be in use by somebody's own demo.
    let (app, prometheus) = (free_port(), free_port());
    let files = tempfile::tempdir().unwrap();

    let watcher = page::Watcher::open(&cluster, free_port());
    let first = start(&cluster, &files.path().join("first.html"), app, prometheus, &[]);
    if let Some(watcher) = watcher {
        watcher.close(&cluster);
    }
    let pods = every_pod_is_up(&cluster);
    every_target_is_up(prometheus);
    assert_eq!(
        testkit::http_get(&format!("127.0.0.1:{app}"), "/o/ping").map(drop),
        Ok(()),
        "the application answers on the host"
    );
    let docked = molecules_are_docked(&cluster, prometheus);
    every_panel_has_data(prometheus, docked);
    check_report(&files.path().join("first.html"));
    let phases: Vec<&str> = first["phases"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    for phase in [
        "cluster",
        "images",
        "monitor",
        "store",
        "app",
        "metrics",
        "background",
        "answer",
    ] {
        assert!(phases.contains(&phase), "no phase {phase} in {phases:?}");
    }

    // Again, and the store is to be larger: what serves goes on, and a Job moves slots to the new shard.
    let larger = ["redis.shards=4"];
    start(
        &cluster,
        &files.path().join("second.html"),
        app,
        prometheus,
        &larger,
    );
    let again = every_pod_is_up(&cluster);
    for name in ["redis-6", "redis-7"] {
        assert!(again.contains_key(name), "there is no {name} in {again:?}");
    }
    if let Some(info) = cluster.kubectl(&[
        "-n",
        NAMESPACE,
        "exec",
        "redis-0",
        "--",
        "redis-cli",
        "cluster",
        "info",
    ]) {
        assert!(
            info.contains("cluster_state:ok") && info.contains("cluster_size:4"),
            "{info}"
        );
    }
    // Jobs may run again; what serves goes on as it is.
    for (name, uid) in pods.iter().filter(|(name, _)| {
        ["tally", "redis", "prometheus"]
            .iter()
            .any(|app| name.starts_with(app))
    }) {
        if !name.contains("init") && !name.contains("create") {
            assert_eq!(again.get(name), Some(uid), "a second start has replaced {name}");
        }
    }

    let scaler = scales_early(&cluster);
    benchmark(&cluster, &files.path().join("run.html"));
    scaled_up_and_down(&cluster, &scaler);
    faults_that_nobody_waits_for_are_found_and_mended(&cluster);
    every_pod_is_up(&cluster);
    every_target_is_up(prometheus);

    cluster.run(["stop"]).success();
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    assert!(
        cluster
            .wait("the namespaces", namespaces.get_opt(NAMESPACE))
            .unwrap()
            .is_none(),
        "stop leaves the namespace"
    );
    cluster
        .run(["status"])
        .stdout_has("1 of 1 nodes Ready")
        .stdout_has("demo       not deployed: cncfdemo start")
        .success();
    cluster.destroy();
    before.assert_restored();
}

fn start(cluster: &Cluster, report: &Path, app: u16, prometheus: u16, set: &[&str]) -> Value {
    let (app, prometheus) = (
        format!("tally.port={app}"),
        format!("prometheus.port={prometheus}"),
    );
    let report = report.to_str().unwrap();
    let arguments = [
        "start",
        "--output",
        "json",
        "--load-seconds",
        "3",
        "--report",
        report,
        "--set",
        &app,
        "--set",
        &prometheus,
    ];
    let set = set.iter().flat_map(|value| ["--set", value]);
    let outcome: Outcome = cluster.run(arguments.into_iter().chain(set)).run();
    assert!(
        outcome.status.success(),
        "{outcome}\n{}\n{}",
        cluster
            .kubectl(&["get", "pods", "-A", "-o", "wide"])
            .unwrap_or_default(),
        cluster.logs()
    );
    outcome.json()
}

/// Packages are downloaded once for all runs of this build folder; they are verified each time they are used.
fn keep_downloads(state: &State) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-downloads");
    fs::create_dir_all(&kept).unwrap();
    std::os::unix::fs::symlink(kept, state.path().join("cache")).unwrap();
}

/// Name and uid of every pod of the demo; each is Ready or has done its work.
fn every_pod_is_up(cluster: &Cluster) -> BTreeMap<String, String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    eventually("every pod of the demo is up", || {
        let pods = cluster
            .wait("the pods", pods.list(&ListParams::default()))
            .map_err(|e| e.to_string())?
            .items;
        let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
        for app in [
            "prometheus",
            "pushgateway",
            "node-exporter",
            "redis-0",
            "redis-5",
            "tally",
            "metrics-adapter",
            "background",
            "wrk",
        ] {
            if !pods.iter().any(|p| name(p).starts_with(app)) {
                return Err(format!("there is no pod of {app}"));
            }
        }
        match pods.iter().find(|pod| !is_up(pod)) {
            Some(pod) => Err(format!("{}: {:?}", name(pod), pod.status)),
            None => Ok(pods
                .iter()
                .map(|p| (name(p), p.metadata.uid.clone().unwrap_or_default()))
                .collect()),
        }
    })
}

fn is_up(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready || status.phase.as_deref() == Some("Succeeded")
}

/// As Prometheus' own page of targets says.
fn every_target_is_up(port: u16) {
    eventually("every target is up", || {
        let answer = testkit::http_get(&format!("127.0.0.1:{port}"), "/api/v1/targets?state=active")?;
        let answer: Value = serde_json::from_str(&answer).map_err(|e| format!("{e}: {answer}"))?;
        let targets = answer["data"]["activeTargets"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for job in ["prometheus", "kubelet", "pods"] {
            if !targets.iter().any(|t| t["labels"]["job"] == job) {
                return Err(format!("no target of job {job}"));
            }
        }
        let down: Vec<String> = targets
            .iter()
            .filter(|t| t["health"] != "up")
            .map(|t| format!("{} is {}: {}", t["scrapeUrl"], t["health"], t["lastError"]))
            .collect();
        if down.is_empty() {
            Ok(())
        } else {
            Err(down.join("; "))
        }
    });
}

/// The background work is real: its finished dockings are counted where a person can see it. It runs on CPU that nobody asks for; on a
/// machine that has none left for minutes there is no docking, and false is returned.
fn molecules_are_docked(cluster: &Cluster, port: u16) -> bool {
    let begun = Instant::now();
    loop {
        let path = "/api/v1/query?query=background_dockings_total";
        let answer = eventually("Prometheus' answer", || {
            testkit::http_get(&format!("127.0.0.1:{port}"), path)
        });
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let counts = results
            .iter()
            .filter_map(|r| r["value"][1].as_str()?.parse::<f64>().ok());
        if counts.sum::<f64>() >= 1.0 {
            return true;
        }
        let used = engine::cpu_time(cluster.name()).expect("the cluster runs").idle;
        // A molecule takes about half a minute of it, on a slow processor some minutes.
        assert!(
            used < ENOUGH,
            "no molecule is docked after {used:?} of CPU time: {answer}"
        );
        if begun.elapsed() > Duration::from_mins(5) {
            testkit::skipped(
                "a molecule is docked",
                &format!("only {used:?} of idle CPU was to be had"),
            );
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// More CPU time than several dockings take.
const ENOUGH: Duration = Duration::from_mins(8);

fn faults_that_nobody_waits_for_are_found_and_mended(cluster: &Cluster) {
    for kind in ["network", "stress"] {
        let arguments = ["chaos", kind, "--for", "300s", "--detach"];
        cluster.run(arguments).stdout_has("for 300 s").success();
    }
    let undone = cluster.run(["chaos", "undo"]);
    undone
        .stdout_has("every packet lost")
        .stdout_has("busy loops")
        .success();
    cluster
        .run(["chaos", "undo"])
        .stdout_has("nothing is broken")
        .success();
}

/// What Grafana's panels ask is asked of the real Prometheus: every query is understood and gives at least one series.
fn every_panel_has_data(port: u16, docked: bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/grafana/config");
    let mut queries = Vec::new();
    for dashboard in ["application.json", "cluster.json"] {
        let text = fs::read_to_string(folder.join(dashboard)).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{panel} asks nothing");
            queries.extend(targets.iter().map(|t| t["expr"].as_str().unwrap().to_owned()));
        }
    }
    assert!(queries.len() > 20, "{queries:?}");
    queries.retain(|query| docked || !query.contains("background_affinity"));
    for query in queries {
        eventually(&format!("`{query}` gives a series"), || {
            let escaped: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
            let answer = testkit::http_get(
                &format!("127.0.0.1:{port}"),
                &format!("/api/v1/query?query={escaped}"),
            )?;
            let answer: Value = serde_json::from_str(&answer).map_err(|e| format!("{e}: {answer}"))?;
            let series = answer["data"]["result"].as_array().map_or(0, Vec::len);
            (series > 0).then_some(()).ok_or_else(|| answer.to_string())
        });
    }
}

/// The page is one file that needs nothing else, and the document beside it is a run.
fn check_report(html: &Path) -> Run {
    let page = fs::read_to_string(html).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") || page.starts_with("<!doctype html>"),
        "{}",
        &page[..page.len().min(200)]
    );
    assert!(page.contains("</html>"));
    for outside in ["<script src", "<link rel=\"stylesheet\"", "src=\"http", "@import"] {
        assert!(
            !page.contains(outside),
            "the page needs something else: {outside}"
        );
    }
    let document = fs::read_to_string(html.with_extension("json")).unwrap();
    let run: Run = serde_json::from_str(&document).unwrap();
    assert_eq!(run.schema, results::SCHEMA);
    assert!(
        run.load.completed > 0 && !run.load.series.is_empty(),
        "nothing was measured: {document}"
    );
    assert_eq!(
        run.load.failed,
        run.load.errors.values().sum::<u64>(),
        "every failure has a kind"
    );
    run
}

/// Tally's autoscaler, told to want a pod for every 20 requests per second, and to be quick about fewer. The metric comes from
/// Prometheus by the adapter, through the API server's aggregator.
fn scales_early(cluster: &Cluster) -> Api<HorizontalPodAutoscaler> {
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/*/tally_requests_per_second"
    );
    let client = cluster.client();
    eventually("the adapter's metric", || {
        let request = http::Request::get(path.as_str()).body(Vec::new()).unwrap();
        let list: Value = cluster
            .wait("the metric", client.request(request))
            .map_err(|e| e.to_string())?;
        let items = list["items"].as_array().map_or(0, Vec::len);
        (items >= 2).then_some(()).ok_or_else(|| list.to_string())
    });
    let scaler: Api<HorizontalPodAutoscaler> = Api::namespaced(client, NAMESPACE);
    let quick = json!({"stabilizationWindowSeconds": 5, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]});
    let metric = json!({"type": "Pods", "pods": {"metric": {"name": "tally_requests_per_second"},
        "target": {"type": "AverageValue", "averageValue": "20"}}});
    let patch = json!({"spec": {"metrics": [metric], "behavior": {"scaleDown": quick}}});
    cluster
        .wait(
            "the autoscaler",
            scaler.patch("tally", &PatchParams::default(), &Patch::Merge(&patch)),
        )
        .unwrap();
    scaler
}

/// The load has raised the replicas, and its end lowers them.
fn scaled_up_and_down(cluster: &Cluster, scaler: &Api<HorizontalPodAutoscaler>) {
    let status = || {
        let object = cluster
            .wait("the autoscaler", scaler.get("tally"))
            .map_err(|e| e.to_string())?;
        object.status.ok_or_else(|| "it has no status".to_owned())
    };
    let client = cluster.client();
    let events: Api<Event> = Api::namespaced(client, NAMESPACE);
    let rescaled = ListParams::default().fields("reason=SuccessfulRescale");
    // It looks every 15 s, and the rate that it sees is that of the last ten: the load may be over when it decides.
    eventually("the load raises the replicas", || {
        let events = cluster
            .wait("the events", events.list(&rescaled))
            .map_err(|e| e.to_string())?;
        let messages: Vec<_> = events.into_iter().filter_map(|e| e.message).collect();
        let raised = |m: &String| m.contains("pods metric tally_requests_per_second above target");
        let found = messages.iter().any(raised);
        found
            .then_some(())
            .ok_or_else(|| format!("{messages:?}, {:?}", status()))
    });
    eventually("the end of the load lowers the replicas", || {
        let status = status()?;
        let settled = status.desired_replicas == 2 && status.current_replicas == Some(2);
        settled.then_some(()).ok_or_else(|| format!("{status:?}"))
    });
    if let Some(usage) = cluster.kubectl(&["-n", NAMESPACE, "top", "pods", "--containers"]) {
        assert!(usage.contains("tally") && usage.contains("redis"), "{usage}");
    }
}

/// Ten seconds of load; a pod is killed in the fourth and a Redis master in the eighth. Every acknowledged request is in the store.
fn benchmark(cluster: &Cluster, html: &Path) {
    let page = html.to_str().unwrap();
    let arguments = [
        "benchmark",
        "--time",
        "10s",
        "--rate",
        "150",
        "--chaos",
        "pod:after=3s",
        "--chaos",
        "redis-master:after=7s",
        "--save-html",
        page,
        "--output",
        "json",
    ];
    let outcome = cluster.run(arguments).success();
    let run = check_report(html);
    let printed: Run = serde_json::from_value(outcome.json()).unwrap();
    assert_eq!(printed.id, run.id);
    assert!(
        run.missing.is_empty(),
        "not everything could be measured: {:?}",
        run.missing
    );
    let [fault, second] = run.faults.as_slice() else {
        panic!("two pods were to be killed: {:?}", run.faults)
    };
    assert!(
        fault.what.contains("tally") && second.what.contains("redis"),
        "{:?}",
        run.faults
    );
    for fault in &run.faults {
        let recovery = fault.recovery.as_ref().unwrap();
        assert!(
            recovery.died_s.is_some() && recovery.started_s.is_some() && recovery.ready_s.is_some(),
            "the killed pod was not replaced: {fault:?}\n{:?}",
            run.timeline
        );
    }
    let counted = run.counted.clone().unwrap();
    assert_eq!(
        (counted.lost(), counted.surplus()),
        (0, 0),
        "{}",
        counted.verdict()
    );
    assert_eq!(results::verify(&run), []);
    assert!(
        run.events
            .iter()
            .any(|e| e.reason == "Killing" || e.reason == "Started"),
        "{:?}",
        run.events
    );
    assert!(
        run.pods
            .iter()
            .any(|p| p.pod.starts_with("tally") && !p.samples.is_empty()),
        "no CPU of tally's pods"
    );
    assert!(
        run.load.completed > run.load.scheduled / 2,
        "half of the load failed: {:?}",
        run.load.errors
    );
}
