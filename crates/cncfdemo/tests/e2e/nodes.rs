//! Nodes that are stopped and cut off: their pods move, they come back by themselves, and nothing of what they ran is left.
use std::collections::BTreeSet;
use std::time::Duration;

use engine::Paths;
use engine::chaos::{self, State as Is};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use testkit::{Cluster, Snapshot, State, eventually, machine};

const REPLICAS: usize = 3;
/// Longer than anything here takes: who comes back earlier was told to.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn pods_leave_a_lost_node_which_comes_back_clean() {
    if testkit::skipped_without_root("loss of nodes") {
        return;
    }
    let _machine = machine::alone();
    let state = State::new();
    let cluster = Cluster::new(&state, "loss");
    let image = state.image();
    let before = Snapshot::take(cluster.name(), state.path());
    let grace = ["--node-monitor-grace-period", "10s"];
    let tolerations = [
        "--default-not-ready-toleration-seconds=1",
        "--default-unreachable-toleration-seconds=1",
    ];
    let arguments = ["bootstrap", "local", "--nodes", "3"];
    cluster
        .run(arguments.into_iter().chain(grace).chain(tolerations))
        .success();
    cluster
        .run(["bootstrap", "local", "--node-monitor-grace-period", "11s"])
        .stderr_has("exists with --node-monitor-grace-period 10 s, 11 s asked for")
        .status(1);
    deploy(&cluster, &image);

    let paths = Paths::new(state.path(), cluster.name()).unwrap();
    let how_is = |node: &str| {
        let all = cluster.wait("the nodes", chaos::nodes(&paths)).unwrap();
        all.into_iter().find(|n| n.name == node).unwrap().state
    };

    // Stopped: all that ran there is dead.
    let victim = node_of(&spread(&cluster, &BTreeSet::new())[0]);
    let done = cluster
        .wait("stop", chaos::stop_node(&paths, &victim, LONG))
        .unwrap();
    assert_eq!(done.state, Is::Stopped);
    assert_eq!(cluster.processes(&victim), [0; 0]);
    let refused = cluster.wait("cut", chaos::cut_node(&paths, &victim, LONG));
    assert!(refused.unwrap_err().to_string().contains("is stopped until"));
    spread(&cluster, &[victim.clone()].into());
    cluster
        .wait("restore", chaos::restore_node(&paths, &victim))
        .unwrap();
    is_clean(&cluster, &victim);

    // Cut off: it goes on and cannot be reached, also not for a new engine.
    let lost = spread(&cluster, &BTreeSet::new()).remove(0);
    let victim = node_of(&lost);
    cluster
        .wait("cut", chaos::cut_node(&paths, &victim, LONG))
        .unwrap();
    let address = lost.status.as_ref().and_then(|s| s.pod_ip.clone()).unwrap();
    assert!(testkit::http_get(&format!("{address}:9102"), "/healthz").is_err());
    spread(&cluster, &[victim.clone()].into());
    let old = cluster.engine();
    testkit::kill(old);
    cluster.new_engine(old);
    eventually("the control socket", || {
        cluster
            .wait("the nodes", chaos::nodes(&paths))
            .map_err(|e| e.to_string())
    });
    assert_eq!(how_is(&victim), Is::Cut);
    assert!(!cluster.processes(&victim).is_empty(), "its pod goes on");
    assert!(testkit::http_get(&format!("{address}:9102"), "/healthz").is_err());
    cluster
        .wait("restore", chaos::restore_node(&paths, &victim))
        .unwrap();
    is_clean(&cluster, &victim);

    // Nobody restores it, and the engine that was asked is dead: it comes back all the same.
    let short = Duration::from_secs(3);
    cluster
        .wait("stop", chaos::stop_node(&paths, &victim, short))
        .unwrap();
    testkit::kill(cluster.engine());
    eventually("the end of the outage", || {
        let all = cluster.wait("the nodes", chaos::nodes(&paths));
        let all = all.map_err(|e| e.to_string())?;
        let up = all.iter().all(|node| node.state == Is::Up);
        up.then_some(()).ok_or_else(|| format!("{all:?}"))
    });
    is_clean(&cluster, &victim);

    cluster.destroy();
    before.assert_restored();
}

fn deploy(cluster: &Cluster, image: &str) {
    let labels = json!({"app": "moving"});
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "moving"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels}}],
            "containers": [{"name": "main", "image": image, "args": ["serve", "background"],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 9102}, "periodSeconds": 1}}],
        }}},
    }));
    let api: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    let parameters = PostParams::default();
    let created = api.create(&parameters, deployment.as_ref().unwrap());
    cluster.wait("the deployment", created).unwrap();
}

/// Waits until all replicas are Ready on nodes other than these, and gives them.
fn spread(cluster: &Cluster, without: &BTreeSet<String>) -> Vec<Pod> {
    let pods = cluster.pods();
    eventually("all replicas on other nodes", || {
        let list = cluster.wait("the pods", pods.list(&ListParams::default()));
        let list = list.map_err(|e| e.to_string())?.items;
        let ready: Vec<Pod> = list
            .iter()
            .filter(|p| testkit::is_ready(p) && p.metadata.deletion_timestamp.is_none())
            .filter(|p| !without.contains(&node_of(p)))
            .cloned()
            .collect();
        (ready.len() == REPLICAS).then_some(ready).ok_or_else(|| {
            let places = list.iter().map(|p| (node_of(p), testkit::is_ready(p)));
            format!("{:?}", places.collect::<Vec<_>>())
        })
    })
}

fn node_of(pod: &Pod) -> String {
    pod.spec
        .as_ref()
        .and_then(|s| s.node_name.clone())
        .unwrap_or_default()
}

/// Waits until the node runs exactly what the API says that it runs: no process, cgroup, network or folder more.
fn is_clean(cluster: &Cluster, node: &str) {
    let nodes: Api<Node> = Api::all(cluster.client());
    eventually("a Ready node", || {
        let found = cluster.wait("the node", nodes.get(node));
        let found = found.map_err(|e| e.to_string())?;
        let ready = found.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let ready = ready
            .into_iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        let taints = found.spec.unwrap_or_default().taints.unwrap_or_default();
        (ready && taints.is_empty())
            .then_some(())
            .ok_or_else(|| format!("{taints:?}"))
    });
    let pods = cluster.pods();
    let number = node.rsplit('-').next().unwrap();
    eventually("a clean node", || {
        let list = cluster.wait("the pods", pods.list(&ListParams::default()));
        let list = list.map_err(|e| e.to_string())?.items;
        if list.len() != REPLICAS {
            return Err(format!("{} pods", list.len()));
        }
        let wanted: BTreeSet<String> = list
            .iter()
            .filter(|pod| node_of(pod) == node)
            .filter_map(|pod| pod.metadata.uid.clone())
            .collect();
        let names = |folder: &str, prefix: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(cluster.folder().join(folder));
            let names = entries.into_iter().flatten().flatten();
            let names = names.filter_map(|e| e.file_name().into_string().ok());
            let own = names.filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned()));
            own.map(|name| name.rsplit('.').next().unwrap_or_default().to_owned())
                .collect()
        };
        let folders = names(&format!("nodes/{node}/pods"), "");
        let networks = names("run/netns", &format!("pod.{number}."));
        let processes = cluster.processes(node);
        let clean = folders == wanted && networks == wanted && processes.is_empty() == wanted.is_empty();
        clean.then_some(()).ok_or_else(|| {
            format!("wanted {wanted:?}: folders {folders:?}, networks {networks:?}, processes {processes:?}")
        })
    });
}
