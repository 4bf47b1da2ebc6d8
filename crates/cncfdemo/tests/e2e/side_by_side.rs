//! Bootstrap again, and more than one cluster.
use std::os::unix::fs::PermissionsExt as _;

use k8s_openapi::api::core::v1::Pod;
use testkit::{Cluster, State, machine};

fn address(pod: &Pod) -> String {
    format!(
        "{}:9102",
        pod.status
            .as_ref()
            .and_then(|s| s.pod_ip.clone())
            .expect("a Ready pod has an address")
    )
}

#[test]
fn bootstrap_again_finds_the_cluster_and_changes_nothing() {
    if testkit::skipped_without_root("bootstrap twice") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "again");
    let first = cluster.bootstrap();
    let (engine, daemon) = (cluster.engine(), cluster.daemon());
    let second = cluster.bootstrap();
    assert_eq!(
        (&first["created"], &second["created"]),
        (&true.into(), &false.into())
    );
    assert_eq!(first["server"], second["server"]);
    assert_eq!(
        (cluster.engine(), cluster.daemon()),
        (engine, daemon),
        "it runs on"
    );
    cluster
        .run(["bootstrap", "local", "--nodes", "3"])
        .stderr_has("exists with 1 node(s), 3 asked for: destroy it first, or choose another --name")
        .status(1);
    // Secrets are for their owner only.
    for file in ["kubeconfig", "pki/ca.key", "pki/sa.key"] {
        let mode = std::fs::metadata(cluster.folder().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
    let printed = cluster.run(["kubeconfig"]).success().stdout;
    assert_eq!(
        printed,
        std::fs::read_to_string(cluster.folder().join("kubeconfig")).unwrap()
    );
    let status = cluster.run(["status", "--output", "json"]).success().json();
    assert!(
        status["clusters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["name"] == cluster.name()),
        "{status}"
    );
}

#[test]
fn two_clusters_live_side_by_side_and_one_goes_without_the_other() {
    if testkit::skipped_without_root("two clusters") {
        return;
    }
    // What goes leaves its addresses to whoever comes next: nobody must, while they are asked.
    let _machine = machine::alone();
    let state = State::shared();
    let (a, b) = (Cluster::new(&state, "side-a"), Cluster::new(&state, "side-b"));
    let (made_a, made_b) = (a.bootstrap(), b.bootstrap());
    assert_ne!(made_a["server"], made_b["server"]);
    let (pod_a, pod_b) = (
        a.pod("server", &["serve", "background"]),
        b.pod("server", &["serve", "background"]),
    );
    assert_ne!(address(&pod_a), address(&pod_b));
    for pod in [&pod_a, &pod_b] {
        assert_eq!(testkit::http_get(&address(pod), "/healthz").unwrap(), "ok");
    }
    a.destroy();
    assert_eq!(
        testkit::http_get(&address(&pod_b), "/healthz").unwrap(),
        "ok",
        "the other goes on"
    );
    assert!(
        testkit::http_get(&address(&pod_a), "/healthz").is_err(),
        "this one is gone"
    );
}

/// A cluster's cgroups and link are found by its name alone, so a name is taken for the whole machine.
#[test]
fn a_name_in_another_state_folder_is_not_ours_to_destroy() {
    if testkit::skipped_without_root("one name, two state folders") {
        return;
    }
    let _machine = machine::shared();
    let ours = Cluster::new(&State::shared(), "owner");
    ours.bootstrap();
    let (engine, pod) = (ours.engine(), ours.pod("server", &["serve", "background"]));
    let stranger = State::new();
    let run = |arguments: &[&str]| {
        testkit::Test::in_state(&stranger)
            .args(["--name", ours.name()])
            .args(arguments)
            .run()
    };
    let destroyed = run(&["destroy"]);
    assert_eq!(
        ours.engine(),
        engine,
        "destroy in another state folder ended this cluster: {destroyed}"
    );
    assert_eq!(testkit::http_get(&address(&pod), "/healthz").unwrap(), "ok");
    assert!(!destroyed.status.success(), "{destroyed}");
    let made = run(&["bootstrap", "local"]);
    assert!(!made.status.success(), "two clusters of one name: {made}");
    assert!(
        made.stderr.contains(ours.state.path().to_str().unwrap()),
        "it says whose the name is: {made}"
    );
    assert_eq!(ours.engine(), engine);
    assert_eq!(testkit::http_get(&address(&pod), "/healthz").unwrap(), "ok");
}
