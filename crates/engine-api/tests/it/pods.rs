//! What is particular about pods: admission, binding, graceful deletion, eviction.
use serde_json::{Value, json};

use crate::common::{PODS, Server, pod, send};

async fn bound(server: &Server, name: &str) {
    server.ok("POST", PODS, &pod(name)).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}});
    server
        .ok("POST", &format!("{PODS}/{name}/binding"), &binding)
        .await;
}

#[tokio::test]
async fn admission_fills_in() {
    let server = Server::new().await;
    let made = server.ok("POST", PODS, &pod("p")).await;
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["status"]["qosClass"], "BestEffort");
    let volume = made["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"), "{volume}");
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);

    let mut unknown = pod("q");
    unknown["spec"]["priorityClassName"] = "nothing-like-it".into();
    let (code, message) = server.fails("POST", PODS, &unknown).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "pods \"q\" is forbidden: no PriorityClass with name nothing-like-it was found"
    );
    let mut account = pod("q");
    account["spec"]["serviceAccountName"] = "nobody".into();
    let (_, message) = server.fails("POST", PODS, &account).await;
    assert_eq!(
        message,
        "pods \"q\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
    let generated =
        json!({"metadata": {"generateName": "g-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = server.ok("POST", PODS, &generated).await;
    assert_eq!(made["metadata"]["name"].as_str().unwrap().len(), 7);
}

#[tokio::test]
async fn binding() {
    let server = Server::new().await;
    bound(&server, "p").await;
    let pod = server.get(&format!("{PODS}/p")).await;
    assert_eq!(pod["spec"]["nodeName"], "n");
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    let (code, message) = server
        .fails(
            "POST",
            &format!("{PODS}/p/binding"),
            &json!({"metadata": {"name": "p"}, "target": {"name": "m"}}),
        )
        .await;
    assert_eq!(code, 409);
    assert!(
        message.contains("pod p is already assigned to node \"n\""),
        "{message}"
    );
    let list = server
        .get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn"))
        .await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn binding_by_the_older_path() {
    const BINDINGS: &str = "/api/v1/namespaces/default/bindings";
    let server = Server::new().await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let (code, message) = server.fails("POST", BINDINGS, &binding).await;
    assert_eq!((code, message.as_str()), (404, "pods \"p\" not found"));
    server.ok("POST", PODS, &pod("p")).await;
    let done = server.ok("POST", BINDINGS, &binding).await;
    assert_eq!(done["status"], "Success");
    assert_eq!(server.get(&format!("{PODS}/p")).await["spec"]["nodeName"], "n");
    let (code, message) = server
        .fails("POST", BINDINGS, &json!({"target": {"name": "n"}}))
        .await;
    assert_eq!((code, message.as_str()), (400, "Name parameter required."));
    let nowhere = json!({"metadata": {"name": "p"}, "target": {"kind": "Moon"}});
    for path in [BINDINGS, "/api/v1/namespaces/default/pods/p/binding"] {
        let (code, message) = server.fails("POST", path, &nowhere).await;
        assert_eq!(
            (code, message.as_str()),
            (
                500,
                "[target.kind: Unsupported value: \"Moon\": supported values: \"Node\", \"<empty>\", target.name: Required value]"
            )
        );
    }
}

#[tokio::test]
async fn graceful_deletion() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("unbound")).await;
    server
        .ok("DELETE", &format!("{PODS}/unbound"), &Value::Null)
        .await;
    assert_eq!(
        server.code(&format!("{PODS}/unbound")).await,
        404,
        "nobody runs it: gone at once"
    );

    bound(&server, "p").await;
    let path = format!("{PODS}/p");
    let deleted = server.ok("DELETE", &path, &Value::Null).await;
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 5}))
        .await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 50}))
        .await;
    assert_eq!(
        longer["metadata"]["deletionGracePeriodSeconds"], 5,
        "a grace can only be shortened"
    );
    server
        .ok("DELETE", &path, &json!({"gracePeriodSeconds": 0}))
        .await;
    assert_eq!(server.code(&path).await, 404);
}

#[tokio::test]
async fn eviction_heeds_budgets() {
    let evicted = json!({"metadata": {"name": "p"}});
    let server = Server::new().await;
    bound(&server, "p").await;
    let running =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.ok("PATCH", &format!("{PODS}/p/status"), &running).await;
    const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}});
    server.ok("POST", BUDGETS, &budget).await;
    let status = |allowed: i64| {
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1}})
    };
    server
        .ok("PATCH", &format!("{BUDGETS}/b/status"), &status(0))
        .await;
    let (code, message) = server
        .fails("POST", &format!("{PODS}/p/eviction"), &evicted)
        .await;
    assert_eq!(code, 429);
    assert_eq!(
        message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let more = json!({"status": {"currentHealthy": 2}});
    server.ok("PATCH", &format!("{BUDGETS}/b/status"), &more).await;
    let (_, answer) = send(&server.admin, "POST", &format!("{PODS}/p/eviction"), &evicted).await;
    assert_eq!(
        answer["details"]["causes"][0]["message"],
        "The disruption budget b does not allow evicting pods currently"
    );
    let mut second = budget.clone();
    second["metadata"]["name"] = json!("c");
    server.ok("POST", BUDGETS, &second).await;
    let (code, answer) = send(&server.admin, "POST", &format!("{PODS}/p/eviction"), &evicted).await;
    assert_eq!(
        (code, &answer["reason"]),
        (500, &Value::Null),
        "more than one budget, for no reason"
    );
    server.ok("DELETE", &format!("{BUDGETS}/c"), &Value::Null).await;
    server
        .ok("PATCH", &format!("{BUDGETS}/b/status"), &status(1))
        .await;
    server.ok("POST", &format!("{PODS}/p/eviction"), &evicted).await;
    let spent = server.get(&format!("{BUDGETS}/b")).await;
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    let managers = spent["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .any(|m| m["manager"] == "kube-apiserver" && m["subresource"] == "status")
    );
    assert!(spent["status"]["disruptedPods"]["p"].is_string());
    let evicted = server.get(&format!("{PODS}/p")).await;
    assert!(evicted["metadata"]["deletionTimestamp"].is_string());
    let conditions = evicted["status"]["conditions"].as_array().unwrap();
    let told = conditions
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(
        (&told["status"], &told["reason"], &told["message"]),
        (
            &json!("True"),
            &json!("EvictionByEvictionAPI"),
            &json!("Eviction API: evicting")
        )
    );
}

#[tokio::test]
async fn what_is_missing_says_so() {
    let server = Server::new().await;
    bound(&server, "p").await;
    let (code, message) = server.fails("GET", &format!("{PODS}/p/log"), &Value::Null).await;
    assert_eq!((code, message.as_str()), (503, "no node agent is running"));
}

#[tokio::test]
async fn replication_controllers_scale() {
    let server = Server::new().await;
    const PATH: &str = "/api/v1/namespaces/default/replicationcontrollers";
    let template = json!({"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = server
        .ok(
            "POST",
            PATH,
            &json!({"metadata": {"name": "old"}, "spec": {"template": template}}),
        )
        .await;
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["metadata"]["labels"], json!({"app": "old"}));
    assert_eq!(made["status"], json!({"replicas": 0}));
    let scale = server
        .ok(
            "PATCH",
            &format!("{PATH}/old/scale"),
            &json!({"spec": {"replicas": 3}}),
        )
        .await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!(3), &json!("app=old"))
    );
    assert_eq!(
        server.get(&format!("{PATH}/old")).await["metadata"]["generation"],
        2
    );
}

#[tokio::test]
async fn new_nodes_are_not_ready() {
    let server = Server::new().await;
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let node = json!({"metadata": {"name": "n"}, "status": ready});
    let made = server.ok("POST", "/api/v1/nodes", &node).await;
    assert_eq!(
        made["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
}

#[tokio::test]
async fn pods_learn_their_zone() {
    let server = Server::new().await;
    let zone = "topology.kubernetes.io/zone";
    let node = json!({"metadata": {"name": "n", "labels": {zone: "a", "other": "x"}}});
    server.ok("POST", "/api/v1/nodes", &node).await;
    bound(&server, "p").await;
    let labels = json!({"app": "p", zone: "a"});
    assert_eq!(
        server.get(&format!("{PODS}/p")).await["metadata"]["labels"],
        labels
    );
    let mut placed = pod("q");
    placed["spec"]["nodeName"] = "n".into();
    let made = server.ok("POST", PODS, &placed).await;
    assert_eq!(made["metadata"]["labels"], json!({"app": "q", zone: "a"}));
}

#[tokio::test]
async fn label_keys_become_part_of_selectors() {
    let server = Server::new().await;
    let mut spread = pod("p");
    spread["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["app"], "labelSelector": {"matchLabels": {"x": "y"}}}]);
    let made = server.ok("POST", PODS, &spread).await;
    assert_eq!(
        made["spec"]["topologySpreadConstraints"][0]["labelSelector"],
        json!({"matchLabels": {"x": "y"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["p"]}]})
    );
    spread["metadata"]["name"] = "q".into();
    spread["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] = json!({"app": "p"});
    let (code, message) = server.fails("POST", PODS, &spread).await;
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "Pod \"q\" is invalid: spec.topologySpreadConstraints[0][0]: Invalid value: \"app\": exists in both matchLabelKeys and labelSelector"
    );
}
