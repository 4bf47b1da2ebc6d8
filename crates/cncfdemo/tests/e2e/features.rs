//! Pods that ask for more than a container: a port of their node, somebody who looks into them, confinement.
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::{Cluster, State, machine};

#[test]
fn ports_of_nodes_and_containers_for_debugging() {
    if testkit::skipped_without_root("host ports, ephemeral containers") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "features");
    cluster.bootstrap();
    let pods = cluster.pods();
    let image = cluster.state.image();
    let create = |pod: Value| {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        cluster
            .wait("a pod", pods.create(&PostParams::default(), &pod))
            .unwrap()
    };
    create(json!({
        "metadata": {"name": "server"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": image, "args": ["serve", "background"], "ports": [{"containerPort": 9102, "hostPort": 18080}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 9102}, "periodSeconds": 1},
        }]},
    }));
    let pod = cluster.ready("server");
    let node = pod.status.unwrap().host_ip.unwrap();
    assert_eq!(
        testkit::http_get(&format!("{node}:18080"), "/healthz").unwrap(),
        "ok"
    );

    let debug = |name: &str, target: &str| {
        let patch = json!({"spec": {"ephemeralContainers": [{
            "name": name, "image": image, "args": ["version"], "targetContainerName": target}]}});
        let parameters = PatchParams::default();
        cluster.wait(
            "the patch",
            pods.patch_ephemeral_containers("server", &parameters, &Patch::Strategic(patch)),
        )
    };
    for (count, name) in [(1, "looker"), (2, "again")] {
        debug(name, "main").unwrap();
        let looked = cluster.until("server", |pod: Option<&Pod>| {
            let status = serde_json::to_value(pod.and_then(|p| p.status.clone())).unwrap();
            let list = status["ephemeralContainerStatuses"].as_array();
            let done = |s: &&Value| s["state"]["terminated"]["exitCode"] == 0 && s["restartCount"] == 0;
            list.is_some_and(|list| list.iter().filter(done).count() == count)
        });
        assert!(testkit::is_ready(&looked), "the pod itself goes on");
    }
    let said = LogParams {
        container: Some("looker".into()),
        ..LogParams::default()
    };
    assert_eq!(
        cluster.wait("its log", pods.logs("server", &said)).unwrap(),
        format!("cncfdemo {}\n", env!("CARGO_PKG_VERSION"))
    );
    let refused = debug("another", "nobody").unwrap_err().to_string();
    assert!(
        refused.contains("targetContainerName: Not found: \"nobody\""),
        "{refused}"
    );

    create(json!({
        "metadata": {"name": "armoured"},
        "spec": {"containers": [{"name": "main", "image": image, "args": ["version"],
            "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}]},
    }));
    let pod = cluster.until("armoured", |pod: Option<&Pod>| {
        pod.and_then(|p| p.status.as_ref()?.phase.as_deref()) == Some("Failed")
    });
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("AppArmor"));
}

#[test]
fn what_is_not_enforced_is_said() {
    if testkit::skipped_without_root("warnings") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "warnings");
    cluster.bootstrap();
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "none"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
    let request = http::Request::post("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies")
        .header("content-type", "application/json")
        .body(policy.to_string().into_bytes().into())
        .unwrap();
    let client = cluster.client();
    let answer = cluster.wait("the answer", client.send(request)).unwrap();
    assert_eq!(answer.status(), 201);
    let warning = answer.headers().get("warning").map(|v| v.to_str().unwrap());
    assert!(
        warning.is_some_and(|text| text.contains("does not enforce them")),
        "{warning:?}"
    );
}
