//! What a reboot does to a cluster, done by hand: processes, mounts, namespaces and cgroups are gone, files are not.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use testkit::{Cluster, State, eventually, machine};

#[test]
fn pods_come_back_after_a_reboot() {
    if testkit::skipped_without_root("a reboot, simulated") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "reboot");
    cluster.bootstrap();
    let before = cluster.pod("server", &["serve", "background"]);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let mut map = ConfigMap::default();
    map.metadata.name = Some("kept".into());
    cluster
        .wait("a write", maps.create(&PostParams::default(), &map))
        .unwrap();

    reboot(&cluster);
    let ended = cluster.processes("");
    assert!(ended.is_empty(), "{ended:?}");
    assert_eq!(cluster.bootstrap()["created"], false);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    cluster.wait("what was written", maps.get("kept")).unwrap();
    let restarted = |pod: Option<&k8s_openapi::api::core::v1::Pod>| {
        let status = pod.and_then(|p| p.status.as_ref());
        let container = status.and_then(|s| s.container_statuses.as_ref()?.first());
        container.is_some_and(|c| c.restart_count > 0 && c.ready)
    };
    let after = cluster.until("server", restarted);
    assert_eq!(after.metadata.uid, before.metadata.uid, "the same pod");
    let ip = after.status.and_then(|s| s.pod_ip).expect("an address");
    eventually("the pod answers", || {
        testkit::http_get(&format!("{ip}:9102"), "/healthz")
    });
}

fn reboot(cluster: &Cluster) {
    let run = cluster.folder().join("run");
    // Everything ends at once; nobody is left to start anybody again.
    let stopped = |signal| {
        for pid in cluster.processes("") {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            // It may have ended between the list and now.
            let _ = rustix::process::kill_process(pid, signal);
        }
    };
    stopped(rustix::process::Signal::STOP);
    eventually("everything ends", || {
        stopped(rustix::process::Signal::KILL);
        let left = cluster.processes("");
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    });
    for point in mounts(&cluster.folder()).iter().rev() {
        let unmounted = Command::new("umount").arg("-l").arg(point).status().unwrap();
        assert!(unmounted.success(), "{}", point.display());
    }
    for folder in cgroups(cluster.name()).iter().rev() {
        eventually("a cgroup goes", || {
            fs::remove_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))
        });
    }
    // The kernel makes a new id at every boot; what was recorded is that of another.
    for file in ["boot_id", "runtime.boot"] {
        fs::write(run.join(file), "00000000-0000-4000-8000-000000000000\n").unwrap();
    }
}

fn mounts(below: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    points.filter(|point| point.starts_with(below)).collect()
}

/// Parents first.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.contains(" - cgroup")) {
        walk(
            &Path::new(line.split(' ').nth(4).unwrap())
                .join("cncfdemo")
                .join(name),
            &mut found,
        );
    }
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    found.push(folder.to_owned());
    for entry in entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
    {
        walk(&entry.path(), found);
    }
}
