//! State folders of other versions: an older one is opened, a newer one refused, a damaged one reported.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret, Service};
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use testkit::{Cluster, State, machine};

/// Puts the kept folder in the cluster's place; gives the path of its log.
fn unpack(cluster: &Cluster) -> PathBuf {
    let archive = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/e2e/data/state-format-1.tar.xz"
    );
    let folder = cluster.folder();
    fs::create_dir_all(&folder).unwrap();
    let tar = Command::new("tar")
        .args(["--strip-components=1", "-xJf", archive, "-C"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(tar.success());
    change(cluster, |plan| plan["name"] = cluster.name().into());
    folder.join("store/log-00000000000000000001")
}

fn change(cluster: &Cluster, with: impl FnOnce(&mut Value)) {
    let path = cluster.folder().join("cluster.json");
    let mut plan = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    with(&mut plan);
    fs::write(&path, plan.to_string()).unwrap();
}

#[test]
fn state_of_an_older_version_is_opened() {
    if testkit::skipped_without_root("an older version's state") {
        return;
    }
    let _machine = machine::alone();
    let cluster = Cluster::new(&State::new(), "older");
    unpack(&cluster);
    let begun = cluster.run(["bootstrap", "local"]).run();
    if begun.stderr.contains("is taken") || begun.stderr.contains("already routed elsewhere") {
        // Its addresses and port are part of it, and somebody else on this machine has them now.
        return testkit::skipped("an older version's state", begun.stderr.trim());
    }
    assert!(begun.status.success(), "{begun}");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "kept");
    let map = cluster.wait("the map", maps.get("kept")).unwrap();
    assert_eq!(map.data.unwrap()["a"], "3");
    assert_eq!(cluster.wait("gone", maps.get_opt("gone")).unwrap(), None);
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), "kept");
    let secret = cluster.wait("the secret", secrets.get("kept")).unwrap();
    assert_eq!(secret.data.unwrap()["s"].0, b"t");
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "kept");
    cluster.wait("the deployment", deployments.get("kept")).unwrap();
    let services: Api<Service> = Api::namespaced(cluster.client(), "kept");
    cluster.wait("the service", services.get("kept")).unwrap();
    // And it goes on from there. The nodes are named after the cluster, and this one has another name than the kept one had.
    let nodes: Api<Node> = Api::all(cluster.client());
    let now = DeleteParams::default();
    let gone = nodes.delete("format-1-1", &now);
    cluster.wait("the node of the old name", gone).unwrap();
    cluster.pod("server", &["serve", "background"]);
    cluster.destroy();
}

#[test]
fn state_of_a_newer_version_is_refused() {
    if testkit::skipped_without_root("a newer version's state") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::new(), "newer");
    unpack(&cluster);
    change(&cluster, |plan| plan["format"] = json!(99));
    cluster
        .run(["bootstrap", "local"])
        .stdout("")
        .stderr_has("was written in state format 99, this program understands up to 1")
        .status(1);
    fs::remove_dir_all(cluster.folder()).unwrap();
}

#[test]
fn a_damaged_log_is_reported_and_not_accepted() {
    if testkit::skipped_without_root("a damaged log") {
        return;
    }
    let _machine = machine::alone();
    let cluster = Cluster::new(&State::new(), "damaged");
    let log = unpack(&cluster);
    // Addresses and port that are free: only the log is to be at fault.
    let free = Cluster::new(&cluster.state, "free");
    let plan = free.run(["bootstrap", "local", "--plan", "--output", "json"]);
    let plan = plan.success().json();
    change(&cluster, |changed| {
        for field in ["index", "api_port"] {
            changed[field] = plan["plan"][field].clone();
        }
    });
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let refused = cluster.run(["bootstrap", "local"]).stdout("").run();
    assert!(!refused.status.success(), "{refused}");
    assert!(refused.stderr.contains("is damaged at offset"), "{refused}");
    cluster.destroy();
}
