//! What a namespace's labels forbid and warn of.
use std::sync::{Arc, Mutex};

use engine_api::{AuditEvent, Config};
use serde_json::{Value, json};

use crate::common::{Server, pod, send, warned};

const PREFIX: &str = "pod-security.kubernetes.io";

/// A namespace `s` with these labels.
async fn labelled(server: &Server, labels: &[(&str, &str)]) {
    let labels: serde_json::Map<_, _> = labels
        .iter()
        .map(|(key, value)| (format!("{PREFIX}/{key}"), json!(value)))
        .collect();
    let namespace = json!({"metadata": {"name": "s", "labels": labels}});
    server.ok("POST", "/api/v1/namespaces", &namespace).await;
    let account = json!({"metadata": {"name": "default"}});
    server
        .ok("POST", "/api/v1/namespaces/s/serviceaccounts", &account)
        .await;
}

const PODS: &str = "/api/v1/namespaces/s/pods";

/// What the restricted level says of a pod that is not hardened.
const NOT_HARDENED: &str = "allowPrivilegeEscalation != false (container \"c\" must set \
    securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
    securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
    securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
    securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";

fn hardened(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    pod
}

fn deployment() -> Value {
    let labels = json!({"app": "d"});
    json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn what_is_enforced_is_refused() {
    let server = Server::new().await;
    labelled(&server, &[("enforce", "restricted")]).await;
    for path in [PODS.to_owned(), format!("{PODS}?dryRun=All")] {
        let (code, status, warnings) = warned(&server.admin, "POST", &path, &pod("p")).await;
        assert_eq!(code, 403);
        assert_eq!(
            status["message"],
            format!("pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": {NOT_HARDENED}")
        );
        assert_eq!(status["reason"], "Forbidden");
        assert_eq!(status["details"], json!({"name": "p", "kind": "pods"}));
        assert!(
            warnings.is_empty(),
            "what is refused is not warned of: {warnings:?}"
        );
    }
    server.ok("POST", PODS, &hardened("p")).await;

    // A name that is taken is told after what is not allowed, as upstream's registry does.
    let (code, _) = server.fails("POST", PODS, &pod("p")).await;
    assert_eq!(code, 403);
    assert_eq!(server.fails("POST", PODS, &hardened("p")).await.0, 409);
}

#[tokio::test]
async fn older_standards_hold_where_they_are_asked_for() {
    let server = Server::new().await;
    labelled(&server, &[("enforce", "baseline"), ("enforce-version", "v1.33")]).await;
    let mut probed = pod("p");
    probed["spec"]["containers"][0]["livenessProbe"] =
        json!({"httpGet": {"host": "other.example", "port": 80}});
    server.ok("POST", PODS, &probed).await;
    let newer = json!({"metadata": {"labels": {format!("{PREFIX}/enforce-version"): "v1.34"}}});
    server.ok("PATCH", "/api/v1/namespaces/s", &newer).await;
    probed["metadata"]["name"] = "q".into();
    let (_, message) = server.fails("POST", PODS, &probed).await;
    assert_eq!(
        message,
        "pods \"q\" is forbidden: violates PodSecurity \"baseline:v1.34\": probe or lifecycle host (container \"c\" uses probe or \
         lifecycle host \"other.example\")"
    );
}

#[tokio::test]
async fn workloads_are_warned_of() {
    let server = Server::new().await;
    labelled(&server, &[("enforce", "restricted"), ("warn", "restricted")]).await;
    let would = format!("would violate PodSecurity \"restricted:latest\": {NOT_HARDENED}");
    let path = "/apis/apps/v1/namespaces/s/deployments";
    let (code, _, warnings) = warned(&server.admin, "POST", path, &deployment()).await;
    assert_eq!((code, warnings), (201, vec![would.clone()]));
    let (code, _, warnings) = warned(
        &server.admin,
        "PATCH",
        &format!("{path}/d"),
        &json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    assert_eq!((code, warnings), (200, vec![would.clone()]));
    let more = json!({"spec": {"replicas": 2}});
    let (code, _, warnings) = warned(&server.admin, "PATCH", &format!("{path}/d/scale"), &more).await;
    assert_eq!((code, warnings), (200, vec![]), "scaling is not looked at");

    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}});
    let path = "/apis/batch/v1/namespaces/s/cronjobs";
    let (code, _, warnings) = warned(&server.admin, "POST", path, &cron).await;
    assert_eq!((code, warnings), (201, vec![would]));
}

#[tokio::test]
async fn pods_are_warned_of_and_noted() {
    let events: Arc<Mutex<Vec<AuditEvent>>> = Arc::default();
    let heard = events.clone();
    let server = Server::with(Config {
        audit: Some(Arc::new(move |event: &AuditEvent| {
            heard.lock().unwrap().push(event.clone());
        })),
        ..Config::default()
    })
    .await;
    let labels = [
        ("enforce", "baseline"),
        ("audit", "restricted"),
        ("warn", "restricted"),
        ("warn-version", "v1.25"),
    ];
    labelled(&server, &labels).await;
    let (code, _, warnings) = warned(&server.admin, "POST", PODS, &pod("p")).await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        [format!(
            "would violate PodSecurity \"restricted:v1.25\": {NOT_HARDENED}"
        )]
    );
    let last = events.lock().unwrap().last().unwrap().clone();
    assert_eq!(
        json!(last.annotations),
        json!({
            format!("{PREFIX}/enforce-policy"): "baseline:latest",
            format!("{PREFIX}/audit-violations"): format!("would violate PodSecurity \"restricted:latest\": {NOT_HARDENED}"),
        })
    );
    // An update is looked at when it brings another image.
    let path = format!("{PODS}/p");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, _, warnings) = warned(&server.admin, "PATCH", &path, &label).await;
    assert_eq!((code, warnings), (200, vec![]));
    assert!(events.lock().unwrap().last().unwrap().annotations.is_empty());
    let mut image = server.get(&path).await;
    image["spec"]["containers"][0]["image"] = "i:2".into();
    let (code, _, warnings) = warned(&server.admin, "PUT", &path, &image).await;
    assert_eq!((code, warnings.len()), (200, 1));
}

#[tokio::test]
async fn containers_for_debugging_are_looked_at() {
    let server = Server::new().await;
    labelled(&server, &[("enforce", "baseline")]).await;
    server.ok("POST", PODS, &pod("p")).await;
    let debugger = |privileged: bool| {
        json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "i", "imagePullPolicy": "Always",
            "terminationMessagePolicy": "File", "securityContext": {"privileged": privileged}}]}})
    };
    let path = format!("{PODS}/p/ephemeralcontainers");
    let (code, message) = server.fails("PATCH", &path, &debugger(true)).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"d\" must not set \
         securityContext.privileged=true)"
    );
    server.ok("PATCH", &path, &debugger(false)).await;
}

#[tokio::test]
async fn labels_must_mean_something() {
    let server = Server::new().await;
    let bad = json!({"metadata": {"name": "s", "labels": {format!("{PREFIX}/enforce"): "strict", format!("{PREFIX}/warn-version"): "1.25"}}});
    let (code, status) = send(&server.admin, "POST", "/api/v1/namespaces", &bad).await;
    assert_eq!(code, 422);
    assert_eq!(
        status["message"],
        "Namespace \"s\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of \
         privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.25\": must be \
         \"latest\" or \"v1.x\"]"
    );
    assert_eq!(
        status["details"]["causes"][0],
        json!({"reason": "FieldValueInvalid", "field": "metadata.labels[pod-security.kubernetes.io/enforce]",
            "message": "Invalid value: \"strict\": must be one of privileged, baseline, restricted"})
    );
    labelled(&server, &[]).await;
    let (code, message) = server.fails("PATCH", "/api/v1/namespaces/s", &bad).await;
    assert_eq!(code, 422);
    assert!(message.starts_with("Namespace \"s\" is invalid: "), "{message}");
}

#[tokio::test]
async fn pods_that_are_there_already_are_told_of() {
    let server = Server::new().await;
    labelled(&server, &[]).await;
    for name in ["b", "a", "c"] {
        server.ok("POST", PODS, &pod(name)).await;
    }
    let mut host = hardened("h");
    host["spec"]["hostNetwork"] = true.into();
    server.ok("POST", PODS, &host).await;
    server.ok("POST", PODS, &hardened("fine")).await;
    let set = async |key: &str, value: &str| {
        let labels = json!({"metadata": {"labels": {format!("{PREFIX}/{key}"): value}}});
        let (code, _, warnings) = warned(&server.admin, "PATCH", "/api/v1/namespaces/s", &labels).await;
        assert_eq!(code, 200);
        warnings
    };
    assert_eq!(set("warn", "restricted").await, [""; 0], "nothing is enforced");
    assert_eq!(
        set("enforce", "baseline").await,
        [
            "existing pods in namespace \"s\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "h: host namespaces",
        ]
    );
    assert_eq!(
        set("enforce", "restricted").await,
        [
            "existing pods in namespace \"s\" violate the new PodSecurity enforce level \"restricted:latest\"",
            "a (and 2 other pods): allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile",
            "h: host namespaces",
        ]
    );
    assert_eq!(set("enforce", "baseline").await, [""; 0], "less than before");
    assert_eq!(set("enforce-version", "v1.30").await.len(), 2, "another version");
}
