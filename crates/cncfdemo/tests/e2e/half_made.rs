//! A bootstrap that is killed half-way leaves nothing that `destroy` does not find, and nothing that stops another one.
use std::time::Duration;

use testkit::{Cluster, Snapshot, State, machine};

#[test]
fn destroy_clears_up_after_a_bootstrap_killed_anywhere() {
    if testkit::skipped_without_root("a bootstrap killed half-way") {
        return;
    }
    let _machine = machine::alone();
    let state = State::new();
    let cluster = Cluster::new(&state, "half");
    let before = Snapshot::take(cluster.name(), state.path());
    // A bootstrap takes some 100 to 500 ms. The wait is the point at which it dies, not a synchronisation.
    for milliseconds in [0, 2, 5, 10, 20, 35, 60, 90, 140, 220, 350, 600] {
        let bootstrap = cluster.run(["bootstrap", "local"]).spawn();
        std::thread::sleep(Duration::from_millis(milliseconds));
        bootstrap.kill();
        let outcome = cluster.run(["destroy"]).run();
        // 4: it had not come to anything yet.
        assert!(
            matches!(outcome.status.code(), Some(0 | 4)),
            "killed after {milliseconds} ms: {outcome}"
        );
        before.assert_restored();
    }
}

#[test]
fn bootstrap_goes_on_where_a_killed_one_stopped() {
    if testkit::skipped_without_root("bootstrap after a killed bootstrap") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "resume");
    for milliseconds in [1, 8, 30, 70, 150] {
        let bootstrap = cluster.run(["bootstrap", "local"]).spawn();
        std::thread::sleep(Duration::from_millis(milliseconds));
        bootstrap.kill();
    }
    cluster.bootstrap();
    cluster.pod("once", &["version"]);
}
