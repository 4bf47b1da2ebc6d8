//! Answers as upstream 1.36.2 gave them to the same requests, side by side.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, send, warned};

#[tokio::test]
async fn items_of_lists_say_no_kind() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let list = server.get(MAPS).await;
    assert_eq!(list["kind"], "ConfigMapList");
    assert!(list["items"][0].get("kind").is_none() && list["items"][0].get("apiVersion").is_none());
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
}

#[tokio::test]
async fn bodies_that_are_something_else() {
    let server = Server::new().await;
    let refused = async |body: Value| server.fails("POST", MAPS, &body).await.1;
    assert_eq!(
        refused(json!([])).await,
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot \
         unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
         \"json:\\\"kind,omitempty\\\"\" } (5b5d)"
    );
    assert_eq!(
        refused(json!({"kind": "Pod", "apiVersion": "v1"})).await,
        "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion"
    );
    assert_eq!(
        refused(json!({"kind": "ConfigMap", "apiVersion": "v2"})).await,
        "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in \
         scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
    );
}

#[tokio::test]
async fn deletions() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let other = json!({"preconditions": {"uid": "other"}});
    let (_, message) = server.fails("DELETE", &format!("{MAPS}/a"), &other).await;
    assert!(
        message.starts_with(
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other)"
        ),
        "{message}"
    );
    server.ok("POST", PODS, &pod("p")).await;
    let gone = server.ok("DELETE", &format!("{PODS}/p"), &Value::Null).await;
    assert_eq!(gone["metadata"]["deletionGracePeriodSeconds"], 0);
    let jobs = "/apis/batch/v1/namespaces/default/jobs/none";
    let (code, _, warnings) = warned(&server.admin, "DELETE", jobs, &Value::Null).await;
    assert_eq!((code, warnings.len()), (404, 1));
    let quiet = json!({"propagationPolicy": "Orphan"});
    assert!(warned(&server.admin, "DELETE", jobs, &quiet).await.2.is_empty());
}

#[tokio::test]
async fn options_and_selectors() {
    let server = Server::new().await;
    let (code, _) = send(&server.admin, "GET", &format!("{MAPS}?dryRun=x"), &Value::Null).await;
    assert_eq!(code, 200, "reading has no such option");
    let (_, message) = server
        .fails("DELETE", &format!("{MAPS}/a?dryRun=x"), &Value::Null)
        .await;
    assert!(message.starts_with("DeleteOptions.meta.k8s.io"), "{message}");
    let jobs = "/apis/batch/v1/jobs?fieldSelector=x=y";
    let (_, message) = server.fails("GET", jobs, &Value::Null).await;
    assert_eq!(message, "field label \"x\" not supported for Job");
    server
        .get("/api/v1/replicationcontrollers?fieldSelector=status.replicas=0")
        .await;
    let (_, message) = server
        .fails("GET", &format!("{MAPS}?limit=99999999999999999999"), &Value::Null)
        .await;
    assert_eq!(
        message,
        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
    );
}
