//! A machine that cannot host a cluster: one list of what is missing and how to mend it, before anything is changed.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use testkit::{State, Test};

#[test]
fn without_root_the_list_comes_first_and_nothing_is_changed() {
    let state = State::new();
    // A copy where anybody may read it: the checkout may lie in root's home.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("cncfdemo");
    // Not by this process: children of tests beside this one would hold it open for writing, and it could not be run.
    let copied = std::process::Command::new("cp")
        .arg(testkit::program())
        .arg(&program)
        .status();
    assert!(copied.is_ok_and(|s| s.success()), "the program can be copied");
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nobody: &[&str] = if testkit::is_root() {
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    } else {
        &[]
    };
    for arguments in [
        &["bootstrap", "local"][..],
        &["bootstrap", "local", "--plan"],
        &["start"],
    ] {
        let outcome = Test::in_state(&state)
            .by(nobody)
            .program(&program)
            .args(arguments)
            .stdout("")
            .status(3);
        let said = &outcome.stderr;
        assert!(
            said.contains("FAIL  root") && said.contains("fix") && said.contains("sudo"),
            "{outcome}"
        );
        assert!(
            said.trim_end()
                .ends_with("error: this machine cannot host a local cluster yet"),
            "{outcome}"
        );
    }
    assert_eq!(
        fs::read_dir(state.path()).unwrap().count(),
        0,
        "something was written"
    );
}

#[test]
fn a_full_disk_is_found_before_anything_is_written() {
    if testkit::skipped_without_root("a small file system as the state folder") {
        return;
    }
    let state = State::new();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(state.path())
        .status();
    assert!(mounted.is_ok_and(|s| s.success()), "a tmpfs can be mounted");
    let outcome = Test::in_state(&state).args(["bootstrap", "local"]).run();
    let written = fs::read_dir(state.path()).unwrap().count();
    let unmounted = std::process::Command::new("umount").arg(state.path()).status();
    assert!(unmounted.is_ok_and(|s| s.success()));
    assert_eq!(outcome.status.code(), Some(3), "{outcome}");
    assert!(
        outcome.stderr.contains("FAIL  engine-disk-space")
            && outcome.stderr.contains("choose a --state-dir on another disk"),
        "{outcome}"
    );
    assert_eq!(written, 0, "something was written");
}
