//! Background work gives way when a foreground needs its room, and is back when the room is.
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;
use testkit::{Cluster, State, eventually, machine};

#[test]
fn background_gives_way_and_returns() {
    if testkit::skipped_without_root("priorities") {
        return;
    }
    let _machine = machine::shared();
    let state = State::shared();
    let cluster = Cluster::new(&state, "priorities");
    state.image();
    cluster.bootstrap();
    classes(&cluster);
    // Two of them do not fit.
    let cpu = allocatable(&cluster) * 6 / 10;

    deploy(&cluster, "background", cpu);
    let first = ready(&cluster, "background");
    runs_alone(&cluster, true);
    deploy(&cluster, "foreground", cpu);
    ready(&cluster, "foreground");
    runs_alone(&cluster, false);
    let waiting = eventually("the background waits for room", || {
        let pods = pods(&cluster, "background");
        match pods.as_slice() {
            [pod] if name(pod) != first && !testkit::is_ready(pod) => Ok(pod.clone()),
            other => Err(format!("{:?}", other.iter().map(name).collect::<Vec<_>>())),
        }
    });
    let why = eventually("the scheduler says why", || {
        let pod = pods(&cluster, "background")
            .into_iter()
            .find(|p| name(p) == name(&waiting));
        let conditions = pod.and_then(|p| p.status?.conditions).unwrap_or_default();
        let scheduled = conditions.into_iter().find(|c| c.type_ == "PodScheduled");
        scheduled
            .and_then(|c| c.message)
            .ok_or_else(|| "nothing yet".to_owned())
    });
    // It may not preempt anybody itself.
    assert!(why.contains("Insufficient cpu"), "{why}");

    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    cluster
        .wait(
            "the foreground goes",
            deployments.delete("foreground", &DeleteParams::background()),
        )
        .unwrap();
    let again = ready(&cluster, "background");
    assert_eq!(again, name(&waiting), "the pod that waited is the one that runs");
}

/// Waits until one process is on the node, which runs on CPU time that nobody else asks for, or does not.
fn runs_alone(cluster: &Cluster, is_idle: bool) {
    eventually("one process on the node", || {
        let found = on_idle_cpu(cluster);
        (found == [is_idle])
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    });
}

/// Of each process on the node, whether it runs on CPU time that nobody else asks for.
fn on_idle_cpu(cluster: &Cluster) -> Vec<bool> {
    let idle = |pid: &i32| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(":/cncfdemo-idle/")
    };
    let found = cluster
        .processes(&format!("{}-1", cluster.name()))
        .iter()
        .map(idle)
        .collect();
    // Since Linux 5.15; before that it is the smallest weight.
    for controller in ["", "cpu", "cpu,cpuacct"] {
        let group = format!("/sys/fs/cgroup/{controller}/cncfdemo-idle/cpu.idle");
        if let Ok(set) = std::fs::read_to_string(group) {
            assert_eq!(set.trim(), "1");
        }
    }
    found
}

fn classes(cluster: &Cluster) {
    let classes: Api<PriorityClass> = Api::all(cluster.client());
    for (name, value, policy) in [
        ("background", -10, "Never"),
        ("foreground", 1000, "PreemptLowerPriority"),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "preemptionPolicy": policy,
        });
        let class = serde_json::from_value(class).unwrap();
        cluster
            .wait(
                "a class is created",
                classes.create(&PostParams::default(), &class),
            )
            .unwrap();
    }
}

/// Millicores that pods of the only node may ask for.
fn allocatable(cluster: &Cluster) -> u64 {
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = cluster
        .wait("the nodes", nodes.list(&ListParams::default()))
        .unwrap();
    let status = nodes.items[0].status.clone().unwrap_or_default();
    let cpu = status.allocatable.unwrap_or_default()["cpu"].0.clone();
    match cpu.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap(),
        None => cpu.parse::<u64>().unwrap() * 1000,
    }
}

/// A Deployment and class of this name, with one pod that asks for so many millicores.
fn deploy(cluster: &Cluster, name: &str, cpu: u64) {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "priorityClassName": name,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "main", "image": cluster.state.image(), "args": ["serve", "boinc-exporter"],
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 9102}, "periodSeconds": 1},
                        "resources": {"requests": {"cpu": format!("{cpu}m")}},
                    }],
                },
            },
        },
    });
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    let deployment = serde_json::from_value(deployment).unwrap();
    cluster
        .wait(
            "a deployment is created",
            deployments.create(&PostParams::default(), &deployment),
        )
        .unwrap();
}

fn pods(cluster: &Cluster, of: &str) -> Vec<Pod> {
    let listed = cluster.pods();
    let wanted = ListParams::default().labels(&format!("app={of}"));
    cluster.wait("the pods", listed.list(&wanted)).unwrap().items
}

/// The name of its pod, once that is Ready.
fn ready(cluster: &Cluster, of: &str) -> String {
    eventually(&format!("{of} is Ready"), || {
        let pods = pods(cluster, of);
        let found = pods.iter().find(|pod| testkit::is_ready(pod)).map(name);
        found.ok_or_else(|| format!("{:?}", pods.iter().map(|p| p.status.clone()).collect::<Vec<_>>()))
    })
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}
