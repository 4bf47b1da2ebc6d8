//! The whole demo, for real: images from Debian's mirror, every tier in containers, load, a killed pod, and no trace after.
//! Needs root and a package mirror.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams};
use results::Run;
use serde_json::Value;
use testkit::{Cluster, Outcome, Snapshot, State, eventually, machine};

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

    let first = start(&cluster, &files.path().join("first.html"), app, prometheus);
    let pods = every_pod_is_up(&cluster);
    every_target_is_up(prometheus);
    assert_eq!(
        testkit::http_get(&format!("127.0.0.1:{app}"), "/o/ping").map(drop),
        Ok(()),
        "the application answers on the host"
    );
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
        "background",
        "answer",
    ] {
        assert!(phases.contains(&phase), "no phase {phase} in {phases:?}");
    }

    start(&cluster, &files.path().join("second.html"), app, prometheus);
    let again = every_pod_is_up(&cluster);
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

    benchmark(&cluster, &files.path().join("run.html"));
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

fn start(cluster: &Cluster, report: &Path, app: u16, prometheus: u16) -> Value {
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
    let outcome: Outcome = cluster.run(arguments).run();
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

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
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

/// Ten seconds of load, a pod killed in the fourth.
fn benchmark(cluster: &Cluster, html: &Path) {
    let page = html.to_str().unwrap();
    let arguments = [
        "benchmark",
        "--time",
        "10s",
        "--rate",
        "300",
        "--kill-pod-after",
        "3s",
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
    let [fault] = run.faults.as_slice() else {
        panic!("one pod was to be killed: {:?}", run.faults)
    };
    assert!(fault.what.contains("tally"), "{fault:?}");
    assert!(
        fault.ready_s.is_some(),
        "the killed pod was not replaced: {fault:?}"
    );
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
