//! Objects: create, read, update, patch, delete, list.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, reopened, send};

#[tokio::test]
async fn life_of_a_config_map() {
    let server = Server::new().await;
    let made = server
        .ok(
            "POST",
            MAPS,
            &json!({"metadata": {"name": "a"}, "data": {"x": "1"}}),
        )
        .await;
    assert_eq!(made["kind"], "ConfigMap");
    assert!(made["metadata"]["uid"].as_str().unwrap().len() == 36);
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "test");
    let (code, message) = server
        .fails("POST", MAPS, &json!({"metadata": {"name": "a"}}))
        .await;
    assert_eq!((code, message.as_str()), (409, "configmaps \"a\" already exists"));

    let path = format!("{MAPS}/a");
    let mut changed = server.get(&path).await;
    assert_eq!(changed, made);
    changed["data"]["x"] = "2".into();
    let updated = server.ok("PUT", &path, &changed).await;
    assert_ne!(
        updated["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    let (code, message) = server.fails("PUT", &path, &changed).await;
    assert_eq!(code, 409);
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
    let unchanged = server.ok("PUT", &path, &updated).await;
    assert_eq!(
        unchanged["metadata"]["resourceVersion"], updated["metadata"]["resourceVersion"],
        "a no-op writes nothing"
    );

    let dry = server
        .ok(
            "PATCH",
            &format!("{path}?dryRun=All"),
            &json!({"data": {"x": "9"}}),
        )
        .await;
    assert_eq!(dry["data"]["x"], "9");
    assert_eq!(server.get(&path).await["data"]["x"], "2");
    let patched = server
        .ok("PATCH", &path, &json!({"data": {"x": null, "y": "3"}}))
        .await;
    assert_eq!(patched["data"], json!({"y": "3"}));

    let wrong = json!({"preconditions": {"uid": "other"}});
    assert_eq!(server.fails("DELETE", &path, &wrong).await.0, 409);
    let status = server.ok("DELETE", &path, &Value::Null).await;
    assert_eq!(status["status"], "Success");
    let (code, message) = server.fails("GET", &path, &Value::Null).await;
    assert_eq!((code, message.as_str()), (404, "configmaps \"a\" not found"));
}

#[tokio::test]
async fn finalizers_hold() {
    let server = Server::new().await;
    let path = format!("{MAPS}/f");
    server
        .ok(
            "POST",
            MAPS,
            &json!({"metadata": {"name": "f", "finalizers": ["example.com/hold"]}}),
        )
        .await;
    let deleted = server.ok("DELETE", &path, &Value::Null).await;
    assert!(deleted["metadata"]["deletionTimestamp"].is_string());
    assert!(server.get(&path).await["metadata"]["deletionTimestamp"].is_string());
    server
        .ok("PATCH", &path, &json!({"metadata": {"finalizers": null}}))
        .await;
    assert_eq!(server.code(&path).await, 404);

    server.ok("POST", MAPS, &json!({"metadata": {"name": "f"}})).await;
    server
        .ok("DELETE", &path, &json!({"propagationPolicy": "Foreground"}))
        .await;
    assert_eq!(
        server.get(&path).await["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
}

#[tokio::test]
async fn pages_are_of_one_revision() {
    let server = Server::new().await;
    for index in 0..7 {
        server
            .ok("POST", MAPS, &json!({"metadata": {"name": format!("m{index}")}}))
            .await;
    }
    let first = server.get(&format!("{MAPS}?limit=3")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    server.ok("DELETE", &format!("{MAPS}/m4"), &Value::Null).await;
    server
        .ok("POST", MAPS, &json!({"metadata": {"name": "m3b"}}))
        .await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{MAPS}?limit=10&continue={token}")).await;
    let names: Vec<_> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["m3", "m4", "m5", "m6"]);
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert!(rest["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn selectors_and_tables() {
    let server = Server::new().await;
    for (name, tier) in [("a", "front"), ("b", "back")] {
        server
            .ok(
                "POST",
                MAPS,
                &json!({"metadata": {"name": name, "labels": {"tier": tier}}}),
            )
            .await;
    }
    let names = |list: Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(server.get(&format!("{MAPS}?labelSelector=tier%3Dback")).await),
        ["b"]
    );
    assert_eq!(
        names(
            server
                .get(&format!("{MAPS}?fieldSelector=metadata.name%3Da"))
                .await
        ),
        ["a"]
    );
    let (code, message) = server
        .fails(
            "GET",
            &format!("{MAPS}?fieldSelector=spec.nope%3Dc2"),
            &Value::Null,
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        message,
        "\"spec.nope\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
    let request = http::Request::get(MAPS)
        .header(
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )
        .body(vec![])
        .unwrap();
    let table: Value = server.admin.request(request).await.unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn strictness_and_bad_bodies() {
    let server = Server::new().await;
    let body = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "imagee": "x"}]}});
    let (code, message) = server
        .fails("POST", &format!("{PODS}?fieldValidation=Strict"), &body)
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        message,
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imagee\""
    );
    let (code, _) = server
        .fails(
            "POST",
            MAPS,
            &json!({"metadata": {"name": "x"}, "data": {"a": 7}}),
        )
        .await;
    assert_eq!(code, 400);
    let (code, _) = server
        .fails(
            "POST",
            MAPS,
            &json!({"kind": "Secret", "metadata": {"name": "x"}}),
        )
        .await;
    assert_eq!(code, 400);
    let nothing = send(&server.admin, "GET", "/apis/nothing/v1/things", &Value::Null).await;
    assert_eq!(nothing, (404, json!("404 page not found\n")));
    let large =
        json!({"metadata": {"name": "l"}, "data": {"x": "y".repeat(1 << 20), "z": "y".repeat(700 << 10)}});
    assert!(server.fails("POST", MAPS, &large).await.0 >= 413);
    let huge = json!({"metadata": {"name": "h"}, "data": {"x": "y".repeat(4 << 20)}});
    assert_eq!(server.fails("POST", MAPS, &huge).await.0, 413);
}

#[tokio::test]
async fn namespaces() {
    let server = Server::new().await;
    let (code, message) = server
        .fails(
            "POST",
            "/api/v1/namespaces/none/configmaps",
            &json!({"metadata": {"name": "a"}}),
        )
        .await;
    assert_eq!((code, message.as_str()), (404, "namespaces \"none\" not found"));
    assert_eq!(
        server
            .fails("DELETE", "/api/v1/namespaces/default", &Value::Null)
            .await
            .0,
        403
    );
    let made = server
        .ok("POST", "/api/v1/namespaces", &json!({"metadata": {"name": "n"}}))
        .await;
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(made["status"]["phase"], "Active");
    let deleted = server.ok("DELETE", "/api/v1/namespaces/n", &Value::Null).await;
    assert_eq!(deleted["status"]["phase"], "Terminating");
    let (code, message) = server
        .fails(
            "POST",
            "/api/v1/namespaces/n/configmaps",
            &json!({"metadata": {"name": "a"}}),
        )
        .await;
    assert_eq!(code, 403);
    assert!(
        message.contains("unable to create new content in namespace n because it is being terminated"),
        "{message}"
    );
    server
        .ok(
            "PUT",
            "/api/v1/namespaces/n/finalize",
            &json!({"metadata": {"name": "n"}, "spec": {}}),
        )
        .await;
    assert_eq!(server.code("/api/v1/namespaces/n").await, 404);
}

#[tokio::test]
async fn service_addresses() {
    let server = Server::new().await;
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let a = server
        .ok("POST", SERVICES, &service("a", json!({"ports": [{"port": 80}]})))
        .await;
    let ip = a["spec"]["clusterIP"].as_str().unwrap();
    assert_eq!(a["spec"]["clusterIPs"], json!([ip]));
    assert_eq!(a["spec"]["ipFamilies"], json!(["IPv4"]));
    let (code, message) = server
        .fails(
            "POST",
            SERVICES,
            &service("b", json!({"clusterIP": ip, "ports": [{"port": 80}]})),
        )
        .await;
    assert_eq!(code, 422);
    assert!(message.contains("provided IP is already allocated"), "{message}");
    let port = |number: u16| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]});
    server.ok("POST", SERVICES, &service("c", port(31234))).await;
    let (code, message) = server.fails("POST", SERVICES, &service("d", port(31234))).await;
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "Service \"d\" is invalid: spec.ports[0].nodePort: Invalid value: 31234: provided port is already allocated"
    );
    // An update without the address keeps it; a deleted service gives its port back.
    let kept = server
        .ok(
            "PUT",
            &format!("{SERVICES}/a"),
            &service("a", json!({"ports": [{"port": 81}]})),
        )
        .await;
    assert_eq!(kept["spec"]["clusterIP"], ip);
    server.ok("DELETE", &format!("{SERVICES}/c"), &Value::Null).await;
    server.ok("POST", SERVICES, &service("d", port(31234))).await;
    let none = server
        .ok("POST", SERVICES, &service("h", json!({"clusterIP": "None"})))
        .await;
    assert_eq!(none["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test]
async fn scale_and_generation() {
    let server = Server::new().await;
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
    let body = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    server.ok("POST", DEPLOYMENTS, &body).await;
    let scale = server.get(&format!("{DEPLOYMENTS}/d/scale")).await;
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["status"]["selector"], "a=b");
    let scale = server
        .ok(
            "PATCH",
            &format!("{DEPLOYMENTS}/d/scale"),
            &json!({"spec": {"replicas": 5}}),
        )
        .await;
    assert_eq!(scale["spec"]["replicas"], 5);
    let deployment = server.get(&format!("{DEPLOYMENTS}/d")).await;
    assert_eq!(deployment["metadata"]["generation"], 2);
    let status = server
        .ok(
            "PATCH",
            &format!("{DEPLOYMENTS}/d/status"),
            &json!({"status": {"replicas": 1}, "spec": {"replicas": 9}}),
        )
        .await;
    assert_eq!(
        status["spec"]["replicas"], 5,
        "the status endpoint changes the status only"
    );
    assert_eq!(status["status"]["replicas"], 1);
    assert_eq!(status["metadata"]["generation"], 2);
    let main = server
        .ok(
            "PATCH",
            &format!("{DEPLOYMENTS}/d"),
            &json!({"status": {"replicas": 7}}),
        )
        .await;
    assert_eq!(
        main["status"]["replicas"], 1,
        "the object's endpoint leaves the status alone"
    );
}

#[tokio::test]
async fn quota_counts() {
    let server = Server::new().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1", "configmaps": "1"}}});
    server
        .ok("POST", "/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    server.ok("POST", PODS, &pod("a")).await;
    let (code, message) = server.fails("POST", PODS, &pod("b")).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    assert_eq!(
        server
            .fails("POST", MAPS, &json!({"metadata": {"name": "b"}}))
            .await
            .0,
        403
    );
    assert_eq!(
        server.get("/api/v1/namespaces/default/resourcequotas/q").await["status"]["used"]["pods"],
        "1"
    );
    server.ok("DELETE", &format!("{PODS}/a"), &Value::Null).await;
    server.ok("POST", PODS, &pod("b")).await;
}

#[tokio::test]
async fn two_versions_of_one_object() {
    let server = Server::new().await;
    let v1 = json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}});
    server
        .ok(
            "POST",
            "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
            &v1,
        )
        .await;
    let v2 = server
        .get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h")
        .await;
    assert_eq!(v2["apiVersion"], "autoscaling/v2");
    assert_eq!(
        v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        60
    );
    let list = server
        .get("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers")
        .await;
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 60);
}

#[tokio::test]
async fn discovery_and_health() {
    let server = Server::new().await;
    assert_eq!(server.get("/api").await["versions"], json!(["v1"]));
    let groups = server.get("/apis").await;
    assert!(
        groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|g| g["name"] == "apps")
    );
    let core = server.get("/api/v1").await;
    assert!(
        core["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["name"] == "pods/exec")
    );
    assert_eq!(server.get("/readyz").await, json!("ok"));
    assert!(
        server
            .get("/livez?verbose")
            .await
            .as_str()
            .unwrap()
            .contains("[+]ping ok")
    );
    assert_eq!(server.get("/version").await["major"], "1");
    assert!(
        server
            .get("/metrics")
            .await
            .as_str()
            .unwrap()
            .contains("apiserver_request_total")
    );
    assert_eq!(send(&server.admin, "POST", "/version", &Value::Null).await.0, 405);
}

#[tokio::test]
async fn survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = || engine_api::Config {
        store_dir: Some(dir.path().to_owned()),
        ..engine_api::Config::default()
    };
    let uid = {
        let server = Server::with(config()).await;
        server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await["metadata"]["uid"].clone()
    };
    let api = reopened(config()).await;
    let admin = api.client("admin", &["system:masters"], "test");
    let (_, found) = send(&admin, "GET", &format!("{MAPS}/a"), &Value::Null).await;
    assert_eq!(found["metadata"]["uid"], uid);
}

#[tokio::test]
async fn what_upstream_refuses_is_refused() {
    let server = Server::new().await;
    let config = json!({"metadata": {"name": "s"}, "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "auths: {}"}});
    let (code, message) = server
        .fails("POST", "/api/v1/namespaces/default/secrets", &config)
        .await;
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "Secret \"s\" is invalid: data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'a' looking \
         for beginning of value"
    );
    const SCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let mut scaler = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "behavior": {"scaleDown": {"policies": []}}}});
    let (_, message) = server.fails("POST", SCALERS, &scaler).await;
    assert_eq!(
        message,
        "HorizontalPodAutoscaler.autoscaling \"h\" is invalid: [spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify \
         API group, spec.behavior.scaleDown.policies: Required value: must specify at least one Policy]"
    );
    scaler["spec"]["scaleTargetRef"]["apiVersion"] = "apps/v1".into();
    scaler["spec"]["behavior"]["scaleDown"]["policies"] = Value::Null;
    let made = server.ok("POST", SCALERS, &scaler).await;
    assert_eq!(
        made["spec"]["behavior"]["scaleDown"]["policies"][0]["type"],
        "Percent"
    );
}

#[tokio::test]
async fn old_clients_orphan_the_pods_of_jobs() {
    let server = Server::new().await;
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    for name in ["silent", "background"] {
        let job = json!({"metadata": {"name": name}, "spec": {"template": template}});
        server.ok("POST", JOBS, &job).await;
    }
    let marked = server.ok("DELETE", &format!("{JOBS}/silent"), &Value::Null).await;
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
    let again = server.ok("DELETE", &format!("{JOBS}/silent"), &Value::Null).await;
    assert_eq!(again["metadata"]["finalizers"], json!(["orphan"]));
    server
        .ok(
            "DELETE",
            &format!("{JOBS}/background"),
            &json!({"propagationPolicy": "Background"}),
        )
        .await;
    assert_eq!(server.code(&format!("{JOBS}/background")).await, 404);
}

#[tokio::test]
async fn a_job_without_labels_has_those_of_its_pods() {
    let server = Server::new().await;
    let path = "/apis/batch/v1/namespaces/default/jobs";
    let job = |name: &str, meta: Value, template: Value| {
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"});
        let mut job =
            json!({"metadata": meta, "spec": {"template": {"metadata": {"labels": template}, "spec": spec}}});
        job["metadata"]["name"] = name.into();
        job
    };
    let labels = |made: &Value| -> Vec<String> {
        let all = made["metadata"]["labels"].as_object().into_iter().flatten();
        all.map(|(label, _)| label.clone()).collect()
    };
    let generated = [
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "controller-uid",
        "job-name",
    ];
    let left_out = server
        .ok("POST", path, &job("a", json!({}), json!({"app": "x"})))
        .await;
    assert_eq!(labels(&left_out), [&["app"], &generated[..]].concat());
    let bare = server.ok("POST", path, &job("b", json!({}), Value::Null)).await;
    assert_eq!(labels(&bare), generated);
    // Who says which, gets these, also where they are the same.
    let own = json!({"labels": {"app": "x"}});
    let said = server.ok("POST", path, &job("c", own, json!({"app": "x"}))).await;
    assert_eq!(labels(&said), ["app"]);
    let none = json!({"metadata": {"labels": null}});
    let patched = server.ok("PATCH", &format!("{path}/c"), &none).await;
    assert_eq!(labels(&patched), [&["app"], &generated[..]].concat());
}
