//! Bad input and a machine in a bad way: the message each gives.
use std::fs;
use std::net::TcpListener;
use std::process::Command;

use testkit::{Cluster, State, Test, machine};

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    if testkit::skipped_without_root("a taken API port") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::new(), "port");
    let port = testkit::free_port().to_string();
    let taken = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let bootstrap = || cluster.run(["bootstrap", "local", "--api-port", &port]);
    bootstrap()
        .stdout("")
        .stderr_has(format!("port {port} on 127.0.0.1 is taken"))
        .stderr_has("free it or choose another --api-port")
        .status(1);
    drop(taken);
    bootstrap().success();
    cluster.destroy();
}

#[test]
fn a_mirror_that_cannot_be_reached_is_named() {
    let _machine = machine::shared();
    // Nothing listens there.
    let proxy = format!("http://127.0.0.1:{}", testkit::free_port());
    let outcome = Test::new()
        .env("http_proxy", &proxy)
        .env("https_proxy", &proxy)
        .env("no_proxy", "")
        .env("NO_PROXY", "")
        .args(["image", "build", "pushgateway"])
        .stdout("")
        .status(1);
    let said = outcome.stderr.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("error: failed to build image `pushgateway`: "),
        "{outcome}"
    );
    assert!(said.contains("http"), "it names the address: {outcome}");
}

#[test]
fn unknown_images_and_recipes_are_named() {
    let _machine = machine::shared();
    Test::new()
        .args(["image", "build", "nobody"])
        .stdout("")
        .stderr_has("nobody")
        .status(1);
    Test::new()
        .args(["image", "export", "nobody/nothing:1", "/dev/null"])
        .stdout("")
        .stderr_has("nobody/nothing:1")
        .run();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("broken.tar");
    fs::write(&archive, "this is no archive").unwrap();
    Test::new()
        .args(["image", "import", archive.to_str().unwrap()])
        .stdout("")
        .stderr_has("broken.tar")
        .status(1);
}

#[test]
fn manifests_are_checked_by_the_server_and_answered_in_its_words() {
    if testkit::skipped_without_root("a manifest with a typing error") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "typo");
    cluster.bootstrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replcas: 2\n  \
                      selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
                      spec: {containers: [{name: web, image: x}]}\n";
    let typo = file("typo.yaml", deployment);
    cluster
        .run(["create", "-f", &typo])
        .stdout("")
        .stderr_has("unknown field \"spec.replcas\"")
        .status(1);
    let invalid = file(
        "invalid.yaml",
        &deployment
            .replace("replcas", "replicas")
            .replace("app: web}}\n  template", "app: other}}\n  template"),
    );
    cluster
        .run(["create", "-f", &invalid])
        .stdout("")
        .stderr_has("`selector` does not match template `labels`")
        .status(1);
    let kind = file(
        "kind.yaml",
        "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: web}\n",
    );
    cluster
        .run(["create", "-f", &kind])
        .stdout("")
        .stderr_has("no kind Deploymnet in apps/v1")
        .status(1);
    let good = file(
        "good.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: once}\n",
    );
    cluster
        .run(["create", "-f", &good, "--dry-run"])
        .stdout_has("(server dry run)")
        .success();
    cluster
        .run(["create", "-f", &good])
        .stdout("configmap/once created\n")
        .success();
    cluster
        .run(["create", "-f", &good])
        .stdout("")
        .stderr_has("\"once\" already exists")
        .status(1);
    let made = cluster
        .run([
            "--output",
            "json",
            "create",
            "configmap",
            "other",
            "--from-literal=a=1",
        ])
        .success()
        .json();
    assert_eq!(made[0]["data"]["a"], "1");
}

/// A state folder on a small file system that runs full under a living cluster: writes are refused in words, nothing that
/// was acknowledged is lost, and space makes it work again.
#[test]
fn a_disk_that_runs_full_refuses_writes_and_recovers() {
    if testkit::skipped_without_root("a full disk") {
        return;
    }
    let _machine = machine::shared();
    let state = State::new();
    let small = Tmpfs::mount(&state, "1200m");
    {
        let cluster = Cluster::new(&state, "full");
        cluster.bootstrap();
        cluster
            .run(["create", "configmap", "before", "--from-literal=a=1"])
            .success();
        let ballast = state.path().join("ballast");
        // Whatever is left, to the last block.
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .status();
        assert!(!filled.unwrap().success(), "the file system is full");
        let big = "x".repeat(100_000);
        let refused = (0..20)
            .map(|n| {
                cluster
                    .run([
                        "create",
                        "configmap",
                        &format!("c{n}"),
                        &format!("--from-literal=a={big}"),
                    ])
                    .run()
            })
            .find(|o| !o.status.success());
        let refused = refused.expect("a full disk takes no more writes");
        assert!(
            refused.stderr.to_lowercase().contains("no space left"),
            "{}",
            refused.stderr.replace(&big, "…")
        );
        fs::remove_file(ballast).unwrap();
        testkit::eventually("writes are taken again", || {
            let outcome = cluster
                .run(["create", "configmap", "after", "--from-literal=a=1"])
                .run();
            let taken = outcome.status.success() || outcome.stderr.contains("already exists");
            taken.then_some(()).ok_or_else(|| outcome.to_string())
        });
        let old = cluster.engine();
        testkit::kill(old);
        cluster.new_engine(old);
        for name in ["before", "after"] {
            cluster
                .run(["create", "configmap", name])
                .stderr_has("already exists")
                .status(1);
        }
        cluster.destroy();
    }
    drop(small);
}

/// A small file system over a state folder, unmounted when dropped.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(state: &State, size: &str) -> Tmpfs {
        let path = state.path().to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .status();
        assert!(mounted.is_ok_and(|s| s.success()), "a tmpfs can be mounted");
        Tmpfs(path)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // The folder's removal reports what is left.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
