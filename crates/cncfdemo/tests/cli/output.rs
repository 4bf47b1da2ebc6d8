//! Data on stdout, as text or as one JSON document; everything else on stderr.
use testkit::{State, Test};

#[test]
fn the_version_is_one_line() {
    let version = env!("CARGO_PKG_VERSION");
    Test::new()
        .args(["version"])
        .stdout(format!("cncfdemo {version}\n"))
        .success();
    assert_eq!(
        Test::new().args(["version", "--output", "json"]).success().json()["version"],
        version
    );
}

#[test]
fn every_command_that_needs_no_cluster_answers_in_json() {
    let state = State::new();
    for arguments in [
        &["version"][..],
        &["status"],
        &["image", "list"],
        &["image", "prune"],
        &["destroy", "--all"],
        &["destroy", "--all", "--dry-run"],
        &["start", "--dry-run"],
    ] {
        let outcome = Test::in_state(&state)
            .args(["--output", "json"])
            .args(arguments)
            .success();
        let value = outcome.json();
        assert!(value.is_object() || value.is_array(), "{outcome}");
    }
}

#[test]
fn a_failure_leaves_stdout_empty_also_in_json() {
    let absent = format!("--name=t-absent-{}", std::process::id());
    Test::new()
        .args(["--output", "json", "destroy", &absent])
        .stdout("")
        .status(4);
}

#[test]
fn status_without_clusters_says_what_to_do() {
    Test::new()
        .args(["status"])
        .stdout("no local cluster: `cncfdemo start` makes one and deploys the demo on it\n")
        .success();
    let none = Test::new().args(["status", "--output", "json"]).success().json();
    assert_eq!(none, serde_json::json!({"clusters": [], "demo": null}));
}

#[test]
fn an_empty_image_store_says_how_to_fill_it() {
    Test::new()
        .args(["image", "list"])
        .stdout_has("cncfdemo image build")
        .success();
    Test::new()
        .args(["image", "rm", "nobody/nothing:1"])
        .stdout("")
        .stderr_has("nobody/nothing:1")
        .run();
}

#[test]
fn colours_are_for_terminals_only() {
    let outcome = Test::new()
        .args(["kubeconfig", &format!("--name=t-absent-{}", std::process::id())])
        .status(4);
    assert!(!outcome.stderr.contains('\x1b'), "{outcome}");
}
