//! Odd requests, as Kubernetes 1.36.2 answers them.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, send, warned};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";

fn template(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

#[tokio::test]
async fn a_name_that_is_taken() {
    let server = Server::new().await;
    let named = json!({"metadata": {"name": "a", "generateName": "g-"}});
    server.ok("POST", MAPS, &named).await;
    let (code, said) = send(&server.admin, "POST", MAPS, &named).await;
    assert_eq!(
        (code, said["message"].as_str().unwrap()),
        (
            409,
            "configmaps \"a\" already exists, the server was not able to generate a unique name for the object"
        )
    );
    assert_eq!(
        said["details"],
        json!({"name": "a", "kind": "configmaps", "retryAfterSeconds": 1})
    );
}

#[tokio::test]
async fn preconditions_that_nothing_meets() {
    let server = Server::new().await;
    let made = server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let path = format!("{MAPS}/a");
    let (code, said) = server
        .fails("DELETE", &path, &json!({"preconditions": {"uid": ""}}))
        .await;
    assert_eq!(
        (code, said),
        (
            409,
            format!(
                "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition () does not match the UID in record \
                 ({uid}). The object might have been deleted and then recreated"
            )
        )
    );
    for refused in [
        "a?uid=x",
        "a?resourceVersion=1",
        "?labelSelector=!x&resourceVersion=0",
    ] {
        let path = format!(
            "{MAPS}{}{refused}",
            if refused.starts_with('?') { "" } else { "/" }
        );
        assert_eq!(
            server.fails("DELETE", &path, &Value::Null).await.0,
            409,
            "{refused}"
        );
    }
    let body = json!({"metadata": {"name": "a", "uid": "x"}});
    let (code, said) = server.fails("PUT", &path, &body).await;
    assert_eq!(
        (code, said),
        (
            409,
            format!(
                "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, Key: \
                 /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, \
                 UID in object meta: {uid}"
            )
        )
    );
    let gone = server
        .ok("DELETE", &format!("{path}?uid={uid}"), &Value::Null)
        .await;
    assert_eq!(gone["status"], "Success");
}

#[tokio::test]
async fn a_collection_is_answered_as_it_was_listed() {
    let server = Server::new().await;
    let made = server.ok("POST", PODS, &pod("a")).await;
    for path in [format!("{PODS}?dryRun=All"), PODS.to_owned()] {
        let answer = server.ok("DELETE", &path, &Value::Null).await;
        assert_eq!(answer["items"][0]["metadata"], made["metadata"], "{path}");
    }
    assert_eq!(server.get(PODS).await["items"], json!([]));
}

#[tokio::test]
async fn evictions_and_bindings_with_conditions() {
    let server = Server::new().await;
    let made = server.ok("POST", PODS, &pod("a")).await;
    let (uid, version) = (
        made["metadata"]["uid"].as_str().unwrap(),
        made["metadata"]["resourceVersion"].as_str().unwrap(),
    );
    let evict = |options: Value| json!({"metadata": {"name": "a"}, "deleteOptions": options});
    for (query, options, code, told) in [
        (
            "",
            json!({"propagationPolicy": "Nope"}),
            422,
            "Unsupported value: \"Nope\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
        ),
        (
            "?dryRun=All",
            json!({"dryRun": ["x"]}),
            500,
            "Non-matching dry-run options in request and content: [All] and [x]",
        ),
    ] {
        let path = format!("{PODS}/a/eviction{query}");
        let (found, said) = server.fails("POST", &path, &evict(options)).await;
        assert_eq!(found, code);
        assert!(said.contains(told), "{said}");
    }
    let bind = |metadata: Value| json!({"metadata": metadata, "target": {"name": "n"}});
    for (query, metadata, told) in [
        (
            "?dryRun=All",
            json!({"name": "a", "resourceVersion": "1"}),
            format!(
                "Key: /pods/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ResourceVersion in precondition: 1, \
                 ResourceVersion in object meta: {version}"
            ),
        ),
        (
            "",
            json!({"name": "a", "uid": "x"}),
            format!(
                "Key: /registry/pods/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, \
                 UID in object meta: {uid}"
            ),
        ),
    ] {
        let (code, said) = server
            .fails("POST", &format!("{PODS}/a/binding{query}"), &bind(metadata))
            .await;
        assert_eq!(
            (code, said),
            (
                409,
                format!(
                    "Operation cannot be fulfilled on pods \"a\": StorageError: invalid object, Code: 4, {told}"
                )
            )
        );
    }
}

#[tokio::test]
async fn versions_that_are_served_no_more() {
    let server = Server::new().await;
    for (version, told) in [
        (
            "extensions/v1beta1",
            "the API version in the data (extensions/v1beta1) does not match the expected API version (apps/v1)",
        ),
        (
            "apps/v1beta3",
            "Deployment in version \"v1beta3\" cannot be handled as a Deployment: no kind \"Deployment\" is registered for version \
             \"apps/v1beta3\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
        ),
    ] {
        let body = json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "d"}});
        let (code, said) = server.fails("POST", DEPLOYMENTS, &body).await;
        assert_eq!((code, said.as_str()), (400, told));
    }
}

#[tokio::test]
async fn what_is_said_to_be_empty() {
    let server = Server::new().await;
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template(&json!({}))}});
    let (_, said) = server.fails("POST", DEPLOYMENTS, &deployment).await;
    assert_eq!(
        said,
        "Deployment.apps \"d\" is invalid: spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`"
    );
    let mut odd = pod("a");
    odd["spec"]["overhead"] = json!({});
    let (code, said) = server.fails("POST", PODS, &odd).await;
    assert_eq!(
        (code, said.as_str()),
        (
            403,
            "pods \"a\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        )
    );
    let mut made = pod("a");
    made["spec"]["nodeSelector"] = json!({"a": "b"});
    made["spec"]["containers"][0]["command"] = json!(["x"]);
    server.ok("POST", PODS, &made).await;
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "i:1", "command": []}]}});
    let (_, said) = server.fails("PATCH", &format!("{PODS}/a"), &patch).await;
    assert!(said.contains("\n+   \"Command\": [],\n"), "{said}");
    // Where upstream compares all too closely, it is another generation each time.
    let policy = json!({"metadata": {"name": "p"}, "spec": {"podSelector": {}, "ingress": []}});
    let policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    server.ok("POST", policies, &policy).await;
    for generation in [2, 3] {
        let put = server.ok("PUT", &format!("{policies}/p"), &policy).await;
        assert_eq!(put["metadata"]["generation"], generation);
    }
    // Stored, it is like what is not there.
    let node = json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": []}]}});
    for query in ["?dryRun=All", ""] {
        let made = server
            .ok("POST", &format!("/apis/storage.k8s.io/v1/csinodes{query}"), &node)
            .await;
        assert_eq!(made["spec"]["drivers"][0].get("topologyKeys"), Some(&Value::Null));
    }
}

#[tokio::test]
async fn status_that_leaves_out_what_was_observed() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("a")).await;
    let path = format!("{PODS}/a/status");
    let observed = json!({"status": {"observedGeneration": 5, "conditions": [{"type": "A", "status": "True", "observedGeneration": 4}]}});
    server.ok("PATCH", &path, &observed).await;
    let left =
        json!({"status": {"observedGeneration": null, "conditions": [{"type": "A", "status": "False"}]}});
    let status = server.ok("PATCH", &path, &left).await["status"].take();
    assert_eq!(status["observedGeneration"], 5);
    assert_eq!(status["conditions"][0]["observedGeneration"], 4);
    // Whoever left it out does not own it any more.
    let owners = server.get(&format!("{PODS}/a")).await["metadata"]["managedFields"].take();
    let owned = &owners
        .as_array()
        .unwrap()
        .iter()
        .find(|o| o["subresource"] == "status")
        .unwrap()["fieldsV1"]["f:status"];
    assert!(
        owned["f:conditions"].is_object() && owned.get("f:observedGeneration").is_none(),
        "{owners}"
    );
}

#[tokio::test]
async fn an_ephemeral_container_that_is_changed() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("a")).await;
    let path = format!("{PODS}/a/ephemeralcontainers");
    let with = |image: &str| json!({"spec": {"ephemeralContainers": [{"name": "e", "image": image}]}});
    server.ok("PATCH", &path, &with("i")).await;
    let (_, said) = server.fails("PATCH", &path, &with("j")).await;
    assert_eq!(
        said,
        "Pod \"a\" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be changed\n\
         @@ -1,6 +1,6 @@\n {\n  \"Name\": \"e\",\n- \"Image\": \"i\",\n+ \"Image\": \"j\",\n  \"Command\": null,\n  \"Args\": null,\n  \
         \"WorkingDir\": \"\",\n"
    );
}

/// Upstream looks at the template that there was.
#[tokio::test]
async fn a_replication_controller_is_warned_of_late() {
    let server = Server::new().await;
    let mut controller = json!({"metadata": {"name": "c"}, "spec": {"replicas": 0, "selector": {"a": "b"}, "template": template(&json!({"a": "b"}))}});
    server.ok("POST", CONTROLLERS, &controller).await;
    let path = format!("{CONTROLLERS}/c");
    let warning = "spec.template.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply";
    controller["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    for warnings in [vec![], vec![warning]] {
        controller["spec"]["template"]["spec"]["containers"][0]["image"] =
            format!("i:{}", warnings.len() + 2).into();
        assert_eq!(warned(&server.admin, "PUT", &path, &controller).await.2, warnings);
    }
}

#[tokio::test]
async fn who_owns_what_and_which_generation_it_is() {
    let server = Server::new().await;
    // What is filled in from another field is nobody's.
    let source = json!({"kind": "PersistentVolumeClaim", "name": "other"});
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}},
        "dataSource": source}});
    let made = server
        .ok(
            "POST",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            &claim,
        )
        .await;
    assert_eq!(made["spec"]["dataSourceRef"]["name"], source["name"]);
    let owned = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert!(
        owned.get("f:dataSource").is_some() && owned.get("f:dataSourceRef").is_none(),
        "{owned}"
    );
    // Labels of a slice are part of what it is, annotations are not.
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": []});
    server.ok("POST", slices, &slice).await;
    for (field, generation) in [("labels", 2), ("annotations", 2)] {
        let patch = json!({"metadata": {field: {"x": "y"}}});
        let now = server.ok("PATCH", &format!("{slices}/s"), &patch).await;
        assert_eq!(now["metadata"]["generation"], generation, "{field}");
    }
    // Status leaves the metadata alone, and its writer does not own it.
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = json!({"metadata": {"name": "p"}, "spec": {"validations": [{"expression": "true"}], "matchConstraints": {"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]}}});
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let service = json!({"metadata": {"name": "v1.odd.example.com"}, "spec": {"group": "odd.example.com", "version": "v1",
        "groupPriorityMinimum": 1000, "versionPriority": 10, "insecureSkipTLSVerify": true, "service": {"name": "n", "namespace": "default"}}});
    for (path, object) in [(policies, policy), (services, service)] {
        server.ok("POST", path, &object).await;
        let path = format!(
            "{path}/{}/status?fieldManager=s",
            object["metadata"]["name"].as_str().unwrap()
        );
        let patch = json!({"metadata": {"labels": {"x": "y"}}, "status": {"conditions": [
            {"type": "A", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let now = server.ok("PATCH", &path, &patch).await;
        assert!(now["metadata"].get("labels").is_none(), "{now}");
        let owners = now["metadata"]["managedFields"].as_array().unwrap();
        let owned = &owners.iter().find(|o| o["manager"] == "s").unwrap()["fieldsV1"];
        assert!(owned.get("f:metadata").is_none(), "{owned}");
    }
}
