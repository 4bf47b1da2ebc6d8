//! Pods that are resized in place: the limits of running containers, read where the kernel has them.
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::{Cluster, State, machine};

/// What a pod with one container asks for.
fn asked(cpu: [&str; 2], memory: [&str; 2]) -> Value {
    json!({"requests": {"cpu": cpu[0], "memory": memory[0]}, "limits": {"cpu": cpu[1], "memory": memory[1]}})
}

fn create(cluster: &Cluster, name: &str, resources: &Value, policy: &Value) -> Pod {
    let probe = json!({"httpGet": {"path": "/healthz", "port": 9102}, "periodSeconds": 1});
    let container = json!({"name": "main", "image": cluster.state.image(), "args": ["serve", "background"],
        "readinessProbe": probe, "resources": resources, "resizePolicy": policy});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    let pods = cluster.pods();
    cluster
        .wait("a pod", pods.create(&PostParams::default(), &pod))
        .unwrap();
    cluster.ready(name)
}

fn resize(cluster: &Cluster, name: &str, resources: &Value) -> kube::Result<Pod> {
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}});
    let (pods, parameters) = (cluster.pods(), PatchParams::default());
    let patch = Patch::Strategic(patch);
    let answer = pods.patch_subresource("resize", name, &parameters, &patch);
    cluster.wait("a resize", answer)
}

/// The status of a pod's container, and its conditions by type.
fn shown(pod: &Pod) -> (Value, Value) {
    let status = serde_json::to_value(&pod.status).unwrap();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Value = conditions
        .into_iter()
        .map(|c| (c["type"].as_str().unwrap_or_default().to_owned(), c))
        .collect();
    (status["containerStatuses"][0].clone(), conditions)
}

/// Waits until the pod's container runs with what it asks for and nothing more is said of resizes.
fn resized(cluster: &Cluster, name: &str, resources: &Value) -> Value {
    let wanted = resources.clone();
    let pod = cluster.until(name, move |pod: Option<&Pod>| {
        let Some(pod) = pod else { return false };
        let (container, conditions) = shown(pod);
        container["resources"] == wanted
            && container["allocatedResources"] == wanted["requests"]
            && container["ready"] == true
            && conditions["PodResizeInProgress"].is_null()
            && conditions["PodResizePending"].is_null()
            && pod.status.as_ref().and_then(|s| s.observed_generation) == pod.metadata.generation
    });
    shown(&pod).0
}

/// Waits for a condition with a reason.
fn condition(cluster: &Cluster, name: &str, kind: &'static str, reason: &'static str) -> Value {
    let pod = cluster.until(name, move |pod: Option<&Pod>| {
        pod.is_some_and(|pod| shown(pod).1[kind]["reason"] == reason)
    });
    shown(&pod).1[kind].clone()
}

/// CPU per period and memory of the pod's container and of the pod, as the kernel has them.
fn kernel(cluster: &Cluster, pod: &Pod) -> [[String; 2]; 2] {
    let uid = pod.metadata.uid.as_ref().unwrap();
    let class = pod
        .status
        .as_ref()
        .unwrap()
        .qos_class
        .as_ref()
        .unwrap()
        .to_lowercase();
    let below = format!("{}-1/{class}/pod{uid}/main", cluster.name());
    let pid = cluster.processes(&below)[0];
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let of = |controller: &str, up: bool| {
        let line = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = line
            .into_iter()
            .find(|parts| unified || parts[1].split(',').any(|c| c == controller));
        let path = found.unwrap()[2].trim_start_matches('/').to_owned();
        let root = if unified { "" } else { controller };
        let mut folder = std::path::Path::new("/sys/fs/cgroup").join(root).join(path);
        if up {
            folder.pop();
        }
        let files = match (controller, unified) {
            ("cpu", true) => ["cpu.max", "cpu.max"],
            ("cpu", false) => ["cpu.cfs_quota_us", "cpu.cfs_period_us"],
            (_, true) => ["memory.max", "memory.max"],
            (_, false) => ["memory.limit_in_bytes", "memory.limit_in_bytes"],
        };
        let text = std::fs::read_to_string(folder.join(files[0])).unwrap();
        text.split_whitespace().next().unwrap_or_default().to_owned()
    };
    [false, true].map(|up| ["cpu", "memory"].map(|controller| of(controller, up)))
}

fn limits(cpu: &str, memory: u64) -> [[String; 2]; 2] {
    let both = [cpu.to_owned(), memory.to_string()];
    [both.clone(), both]
}

/// Reasons of the events about a pod, in order of their first time.
fn reasons(cluster: &Cluster, name: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(cluster.client(), "default");
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let mut found = cluster.wait("events", events.list(&about)).unwrap().items;
    found.sort_by_key(|event| event.metadata.name.clone());
    found.into_iter().filter_map(|event| event.reason).collect()
}

/// Waits until so many events about a pod have this reason: they are written beside what they tell of.
fn told(cluster: &Cluster, name: &str, reason: &str, times: usize) {
    testkit::eventually(reason, || {
        let told = reasons(cluster, name);
        let count = told.iter().filter(|one| *one == reason).count();
        (count == times).then_some(()).ok_or_else(|| format!("{told:?}"))
    });
}

const MI: u64 = 1 << 20;

#[test]
fn running_containers_get_other_limits() {
    if testkit::skipped_without_root("resizing pods in place") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "resize");
    cluster.bootstrap();
    let small = asked(["100m", "500m"], ["64Mi", "128Mi"]);
    let pod = create(&cluster, "p", &small, &Value::Null);
    let first = resized(&cluster, "p", &small);
    assert_eq!(kernel(&cluster, &pod), limits("50000", 128 * MI));
    let processes = cluster.processes(&format!("{}-1", cluster.name()));
    let status = serde_json::to_value(&cluster.ready("p").status).unwrap();
    assert_eq!(status["resources"], small, "of the pod as a whole");
    assert_eq!(status["allocatedResources"], small["requests"]);

    let large = asked(["200m", "1"], ["96Mi", "256Mi"]);
    let answer = resize(&cluster, "p", &large).unwrap();
    assert_eq!(answer.metadata.generation, Some(2));
    let second = resized(&cluster, "p", &large);
    assert_eq!(kernel(&cluster, &pod), limits("100000", 256 * MI));
    let mixed = asked(["150m", "400m"], ["64Mi", "512Mi"]);
    resize(&cluster, "p", &mixed).unwrap();
    resized(&cluster, "p", &mixed);
    assert_eq!(kernel(&cluster, &pod), limits("40000", 512 * MI));
    resize(&cluster, "p", &small).unwrap();
    let last = resized(&cluster, "p", &small);
    assert_eq!(kernel(&cluster, &pod), limits("50000", 128 * MI));
    for status in [&second, &last] {
        for field in ["restartCount", "containerID", "state"] {
            assert_eq!(status[field], first[field], "{field}");
        }
    }
    assert_eq!(cluster.processes(&format!("{}-1", cluster.name())), processes);
    for reason in ["ResizeStarted", "ResizeCompleted"] {
        told(&cluster, "p", reason, 3);
    }

    // A limit below what is in use is not written, until it is above it again.
    let tiny = asked(["100m", "500m"], ["64Ki", "64Ki"]);
    resize(&cluster, "p", &tiny).unwrap();
    let failed = condition(&cluster, "p", "PodResizeInProgress", "Error");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "cannot decrease memory limits: [attempting to set pod memory limit (65536) below current usage ("
        ),
        "{message}"
    );
    assert_eq!(kernel(&cluster, &pod), limits("50000", 128 * MI));
    resize(&cluster, "p", &small).unwrap();
    resized(&cluster, "p", &small);
    testkit::eventually("the failure's event", || {
        let told = reasons(&cluster, "p");
        let is_told = told.iter().any(|reason| reason == "ResizeError");
        is_told.then_some(()).ok_or_else(|| format!("{told:?}"))
    });

    // kubectl knows the way, too.
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": large}]}}).to_string();
    if cluster
        .kubectl(&["patch", "pod", "p", "--subresource", "resize", "--patch", &patch])
        .is_some()
    {
        resized(&cluster, "p", &large);
    }
}

#[test]
fn a_policy_may_ask_for_a_restart() {
    if testkit::skipped_without_root("resizing pods with a restart") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "resize-restart");
    cluster.bootstrap();
    let small = asked(["100m", "500m"], ["64Mi", "128Mi"]);
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let pod = create(&cluster, "p", &small, &policy);
    let cpu = asked(["200m", "1"], ["64Mi", "128Mi"]);
    resize(&cluster, "p", &cpu).unwrap();
    assert_eq!(resized(&cluster, "p", &cpu)["restartCount"], 0);
    for (count, memory) in [(1, 256), (2, 96)] {
        let both = asked(["200m", "1"], ["64Mi", &format!("{memory}Mi")]);
        resize(&cluster, "p", &both).unwrap();
        let status = resized(&cluster, "p", &both);
        assert_eq!(status["restartCount"], count, "at once, without back-off");
        assert!(status["lastState"]["terminated"].is_object());
        assert_eq!(kernel(&cluster, &pod), limits("100000", memory * MI));
    }
}

#[test]
fn what_does_not_fit_waits_also_for_a_new_engine() {
    if testkit::skipped_without_root("resizes that wait") {
        return;
    }
    // Others must not take what this one counts with.
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "resize-wait");
    cluster.bootstrap();
    // As the node sees the machine: a limit on the CPU time of this test is not the node's.
    let nodes: Api<Node> = Api::all(cluster.client());
    let name = format!("{}-1", cluster.name());
    let node = cluster.wait("the node", nodes.get(&name)).unwrap();
    let capacity = node.status.unwrap().capacity.unwrap();
    let cpus: usize = capacity["cpu"].0.parse().unwrap();
    let most = format!("{}m", cpus * 1000 - 300);
    let of = |cpu: &str| asked([cpu, cpu], ["64Mi", "64Mi"]);
    create(&cluster, "big", &of(&most), &Value::Null);
    let pod = create(&cluster, "p", &of("100m"), &Value::Null);

    // More than the node has is refused by admission.
    let refused = resize(&cluster, "p", &of("1000")).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("pods \"p\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 1000000, allocatable:"),
        "{text}"
    );
    // What others have is waited for.
    resize(&cluster, "p", &of("500m")).unwrap();
    let waiting = condition(&cluster, "p", "PodResizePending", "Deferred");
    let all = cpus * 1000;
    let message = format!(
        "Node didn't have enough resource: cpu, requested: 500, used: {}, capacity: {all}",
        all - 300
    );
    assert_eq!(waiting["message"], message);
    assert_eq!(waiting["observedGeneration"], 2);
    assert_eq!(kernel(&cluster, &pod), limits("10000", 64 * MI));
    let pods = cluster.pods();
    let extra = serde_json::from_value(
        json!({"metadata": {"name": "extra"}, "spec": {"nodeName": format!("{}-1", cluster.name()),
        "containers": [{"name": "c", "image": cluster.state.image(), "resources": of("250m")}]}}),
    );
    cluster
        .wait("a pod", pods.create(&PostParams::default(), &extra.unwrap()))
        .unwrap();
    let rejected = cluster.until("extra", |pod: Option<&Pod>| {
        pod.and_then(|p| p.status.as_ref()?.phase.as_deref()) == Some("Failed")
    });
    assert_eq!(rejected.status.unwrap().reason.as_deref(), Some("OutOfcpu"));

    let engine = cluster.engine();
    testkit::kill(engine);
    let engine = cluster.new_engine(engine);
    let again = condition(&cluster, "p", "PodResizePending", "Deferred");
    assert_eq!(again["lastTransitionTime"], waiting["lastTransitionTime"]);
    assert_eq!(kernel(&cluster, &pod), limits("10000", 64 * MI));
    cluster
        .wait("the other goes", pods.delete("big", &DeleteParams::default()))
        .unwrap();
    assert_eq!(resized(&cluster, "p", &of("500m"))["restartCount"], 0);
    assert_eq!(kernel(&cluster, &pod), limits("50000", 64 * MI));

    // Killed as soon as the wish is written: the next engine carries it out.
    resize(&cluster, "p", &of("800m")).unwrap();
    testkit::kill(engine);
    let engine = cluster.new_engine(engine);
    assert_eq!(resized(&cluster, "p", &of("800m"))["restartCount"], 0);
    assert_eq!(kernel(&cluster, &pod), limits("80000", 64 * MI));
    // And a new engine with nothing to do changes nothing.
    testkit::kill(engine);
    cluster.new_engine(engine);
    // Its agent has been at work.
    cluster.pod("after", &["version"]);
    assert_eq!(resized(&cluster, "p", &of("800m"))["restartCount"], 0);
    assert_eq!(kernel(&cluster, &pod), limits("80000", 64 * MI));
}
