//! From nothing to a pod that answers, and back to nothing.
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, AttachParams, AttachedProcess, ListParams, LogParams};
use testkit::{Cluster, Snapshot, State, machine};
use tokio::io::AsyncReadExt as _;

#[test]
fn a_cluster_comes_works_and_goes_without_a_trace() {
    if testkit::skipped_without_root("a cluster's life") {
        return;
    }
    let _machine = machine::alone();
    let state = State::new();
    let cluster = Cluster::new(&state, "life");
    state.image();
    let before = Snapshot::take(cluster.name(), state.path());

    let made = cluster.bootstrap();
    assert_eq!(
        (&made["created"], &made["nodes"]),
        (&true.into(), &1.into()),
        "{made}"
    );
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = cluster
        .wait("the nodes", nodes.list(&ListParams::default()))
        .unwrap();
    assert_eq!(nodes.items.len(), 1);

    let pod = cluster.pod("server", &["serve", "background"]);
    let address = format!("{}:9102", ip(&pod));
    assert_eq!(testkit::http_get(&address, "/healthz").unwrap(), "ok");
    exec(&cluster);
    logs(&cluster);
    kubectl(&cluster);

    // The snapshot sees all that a cluster is; otherwise the comparison below would prove nothing.
    let during = before.difference(&Snapshot::take(cluster.name(), state.path()));
    for category in [
        "mounts",
        "network namespaces",
        "links",
        "routes",
        "cgroups",
        "processes",
        "files",
    ] {
        assert!(
            during.has_come(category),
            "a running cluster adds no {category}? {during}"
        );
    }
    cluster.destroy();
    before.assert_restored();
    cluster
        .run(["destroy"])
        .stderr_has("there is no local cluster")
        .status(4);
    before.assert_restored();
}

fn ip(pod: &Pod) -> String {
    pod.status
        .as_ref()
        .and_then(|s| s.pod_ip.clone())
        .expect("a Ready pod has an address")
}

fn exec(cluster: &Cluster) {
    let pods = cluster.pods();
    let said = cluster.wait("exec", async {
        let mut process: AttachedProcess = pods
            .exec("server", ["/cncfdemo", "version"], &AttachParams::default())
            .await
            .expect("exec is accepted");
        let mut said = String::new();
        process
            .stdout()
            .expect("stdout")
            .read_to_string(&mut said)
            .await
            .expect("stdout can be read");
        let status = process
            .take_status()
            .expect("a status")
            .await
            .expect("a status comes");
        assert_eq!(status.status.as_deref(), Some("Success"), "{status:?}");
        said
    });
    assert_eq!(said, format!("cncfdemo {}\n", env!("CARGO_PKG_VERSION")));
}

fn logs(cluster: &Cluster) {
    cluster.pod("once", &["version"]);
    let pods = cluster.pods();
    let said = cluster
        .wait("logs", pods.logs("once", &LogParams::default()))
        .unwrap();
    assert_eq!(said, format!("cncfdemo {}\n", env!("CARGO_PKG_VERSION")));
}

fn kubectl(cluster: &Cluster) {
    let Some(nodes) = cluster.kubectl(&["get", "nodes"]) else {
        return;
    };
    assert!(
        nodes.contains(&format!("{}-1", cluster.name())) && nodes.contains(" Ready "),
        "{nodes}"
    );
    let image = cluster.state.image();
    cluster.kubectl(&[
        "run",
        "by-kubectl",
        "--image",
        &image,
        "--restart=Never",
        "--",
        "version",
    ]);
    cluster.kubectl(&[
        "wait",
        "--for=jsonpath={.status.phase}=Succeeded",
        "pod/by-kubectl",
        "--timeout=180s",
    ]);
    assert_eq!(
        cluster.kubectl(&["logs", "by-kubectl"]).unwrap(),
        format!("cncfdemo {}\n", env!("CARGO_PKG_VERSION"))
    );
    let said = cluster
        .kubectl(&["exec", "server", "--", "/cncfdemo", "version"])
        .unwrap();
    assert_eq!(said, format!("cncfdemo {}\n", env!("CARGO_PKG_VERSION")));
    assert!(
        cluster
            .kubectl(&["describe", "pod", "server"])
            .unwrap()
            .contains("Started")
    );
    assert!(
        cluster
            .kubectl(&["get", "pods", "-A", "-o", "wide"])
            .unwrap()
            .contains("server")
    );
    cluster.kubectl(&["delete", "pod", "by-kubectl"]);
}
