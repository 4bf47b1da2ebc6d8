use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, pod_spec, text};

fn stateful(replicas: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"serviceName": "db", "replicas": replicas,
        "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec("sleep")}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_keeps_names_and_order() {
    let cluster = Cluster::start().await;
    cluster.create(stateful(2)).await;
    let set = cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["status"]["readyReplicas"] == 2 && s["status"]["currentReplicas"] == 2
        })
        .await;
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    let pod = cluster.get("v1/Pod", "db-1").await;
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("db-1"), &json!("db"))
    );
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");
    let first = cluster.get("v1/Pod", "db-0").await;
    cluster.delete("v1/Pod", "db-0", DeleteParams::default()).await;
    cluster
        .becomes("v1/Pod", "db-0", |p| {
            p["metadata"]["uid"] != first["metadata"]["uid"] && p["status"]["phase"] == "Running"
        })
        .await;
    cluster
        .patch("apps/v1/StatefulSet", "db", json!({"spec": {"replicas": 1}}))
        .await;
    cluster.becomes("v1/Pod", "db-1", Value::is_null).await;
    let one = |s: &Value| {
        ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas"]
            .iter()
            .all(|f| s["status"][f] == 1)
    };
    cluster.becomes("apps/v1/StatefulSet", "db", one).await;
    cluster
        .event_comes(
            "db",
            "Normal SuccessfulDelete Delete Pod db-1 in StatefulSet db successful",
        )
        .await;
    cluster
        .delete("apps/v1/StatefulSet", "db", DeleteParams::background())
        .await;
    cluster.list_becomes("v1/Pod", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_rolls_down_to_its_partition() {
    let cluster = Cluster::start().await;
    cluster.create(stateful(3)).await;
    let before = cluster
        .becomes("apps/v1/StatefulSet", "db", |s| s["status"]["readyReplicas"] == 3)
        .await;
    let change = |partition: i32| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}, "template": {"metadata": {"annotations": {"v": "2"}}}}});
    cluster.patch("apps/v1/StatefulSet", "db", change(2)).await;
    cluster
        .becomes("v1/Pod", "db-2", |p| {
            p["metadata"]["annotations"]["v"] == "2" && p["status"]["phase"] == "Running"
        })
        .await;
    let half = cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["status"]["updatedReplicas"] == 1 && s["status"]["readyReplicas"] == 3
        })
        .await;
    assert_eq!(
        half["status"]["currentRevision"],
        before["status"]["currentRevision"]
    );
    assert_eq!(half["status"]["currentReplicas"], 2);
    cluster.patch("apps/v1/StatefulSet", "db", change(0)).await;
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["status"]["updatedReplicas"] == 3
                && s["status"]["currentRevision"] == s["status"]["updateRevision"]
        })
        .await;
    let revisions = cluster.list("apps/v1/ControllerRevision").await;
    assert_eq!(revisions.len(), 2);
    let labels = revisions[0]["metadata"]["labels"].as_object().unwrap();
    assert_eq!(
        labels.keys().collect::<Vec<_>>(),
        ["app", "controller.kubernetes.io/hash"]
    );
    // Back again: the first revision becomes the newest.
    cluster
        .patch(
            "apps/v1/StatefulSet",
            "db",
            json!({"spec": {"template": {"metadata": {"annotations": null}}}}),
        )
        .await;
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["status"]["currentRevision"] == before["status"]["currentRevision"]
                && s["status"]["readyReplicas"] == 3
        })
        .await;
    let mut numbers: Vec<i64> = cluster
        .list("apps/v1/ControllerRevision")
        .await
        .iter()
        .map(|r| r["revision"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pod_does_not_keep_the_ones_above_from_being_replaced() {
    let cluster = Cluster::start().await;
    let mut set = stateful(2);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    // Behind a gate that is closed, so one after the other all the same.
    set["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxUnavailable": 2}});
    let set = cluster.create(set).await;
    assert_eq!(
        set["spec"]["updateStrategy"]["rollingUpdate"],
        json!({"partition": 0})
    );
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| s["status"]["readyReplicas"] == 2)
        .await;
    let broken = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    cluster
        .api("v1/Pod", "t")
        .patch_status(
            "db-0",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(&broken),
        )
        .await
        .unwrap();
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| s["status"]["readyReplicas"] == 1)
        .await;
    cluster
        .patch(
            "apps/v1/StatefulSet",
            "db",
            json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}),
        )
        .await;
    let updated = |p: &Value| p["metadata"]["annotations"]["v"] == "2";
    cluster.becomes("v1/Pod", "db-1", updated).await;
    cluster.becomes("v1/Pod", "db-0", updated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_stateful_set_outlive_its_pods() {
    let cluster = Cluster::start().await;
    let mut set = stateful(1);
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "wait", "resources": {"requests": {"storage": "1Mi"}}}}]);
    cluster
        .create(
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "wait"},
            "provisioner": "cncfdemo.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}),
        )
        .await;
    cluster.create(set).await;
    cluster
        .becomes("v1/Pod", "db-0", |p| p["status"]["phase"] == "Running")
        .await;
    // The scheduler waits for the claim's volume, not for its phase, which comes after.
    let claim = cluster
        .becomes("v1/PersistentVolumeClaim", "data-db-0", |c| {
            c["status"]["phase"] == "Bound"
        })
        .await;
    cluster
        .delete("apps/v1/StatefulSet", "db", DeleteParams::background())
        .await;
    cluster.becomes("v1/Pod", "db-0", Value::is_null).await;
    assert_eq!(
        cluster.get("v1/PersistentVolumeClaim", "data-db-0").await["metadata"]["uid"],
        claim["metadata"]["uid"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_is_on_every_node() {
    let cluster = Cluster::with_nodes(&[("node-1", "1"), ("node-2", "1")]).await;
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": {
            "selector": {"matchLabels": {"app": "ds"}}, "template": {"metadata": {"labels": {"app": "ds"}}, "spec": pod_spec("sleep")}}}))
        .await;
    let set = cluster
        .becomes("apps/v1/DaemonSet", "ds", |s| {
            s["status"]["numberAvailable"] == 2 && s["status"]["updatedNumberScheduled"] == 2
        })
        .await;
    assert_eq!(
        (
            &set["status"]["numberMisscheduled"],
            &set["status"]["numberUnavailable"]
        ),
        (&json!(0), &Value::Null)
    );
    cluster.add_node("node-3", "1").await;
    cluster
        .becomes("apps/v1/DaemonSet", "ds", |s| s["status"]["numberAvailable"] == 3)
        .await;
    cluster
        .patch(
            "apps/v1/DaemonSet",
            "ds",
            json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}),
        )
        .await;
    cluster
        .becomes("apps/v1/DaemonSet", "ds", |s| {
            s["status"]["updatedNumberScheduled"] == 3
                && s["status"]["numberAvailable"] == 3
                && s["status"]["observedGeneration"] == s["metadata"]["generation"]
        })
        .await;
    let pods = cluster.list("v1/Pod").await;
    let mut nodes: Vec<&str> = pods.iter().map(|p| text(&p["spec"]["nodeName"])).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);
    let revisions = cluster.list("apps/v1/ControllerRevision").await;
    assert_eq!(revisions.len(), 2);
    let labels = revisions[0]["metadata"]["labels"].as_object().unwrap();
    assert_eq!(
        labels.keys().collect::<Vec<_>>(),
        ["app", "controller-revision-hash"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_go_as_their_set_says() {
    let cluster = Cluster::start().await;
    let mut set = stateful(2);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] =
        json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "wait", "resources": {"requests": {"storage": "1Mi"}}}}]);
    cluster
        .create(
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "wait"},
            "provisioner": "cncfdemo.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}),
        )
        .await;
    let set = cluster.create(set).await;
    let claim = "v1/PersistentVolumeClaim";
    // The pod is made before its claim is given an owner, so either may be seen first.
    let tied = |c: &Value| c["status"]["phase"] == "Bound" && c["metadata"]["ownerReferences"].is_array();
    let owned = cluster.becomes(claim, "data-db-1", tied).await;
    assert_eq!(
        owned["metadata"]["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": set["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true}])
    );
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| s["status"]["readyReplicas"] == 2)
        .await;
    cluster
        .patch("apps/v1/StatefulSet", "db", json!({"spec": {"replicas": 1}}))
        .await;
    cluster.becomes(claim, "data-db-1", Value::is_null).await;
    // Back at once: with a claim of its own, not with what was left.
    cluster
        .patch("apps/v1/StatefulSet", "db", json!({"spec": {"replicas": 2}}))
        .await;
    cluster
        .becomes(claim, "data-db-1", |c| {
            tied(c) && c["metadata"]["uid"] != owned["metadata"]["uid"]
        })
        .await;
    cluster
        .delete("apps/v1/StatefulSet", "db", DeleteParams::background())
        .await;
    cluster.list_becomes(claim, <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_pod_is_given_its_name() {
    let cluster = Cluster::start().await;
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "labels": {"app": "db"}}});
    pod["spec"] = pod_spec("sleep");
    cluster.create(pod).await;
    let mut set = stateful(1);
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    cluster.create(set).await;
    let labels = json!({"app": "db", "apps.kubernetes.io/pod-index": "0", "statefulset.kubernetes.io/pod-name": "db-0"});
    cluster
        .becomes("v1/Pod", "db-0", |p| p["metadata"]["labels"] == labels)
        .await;
    let told = "Normal SuccessfulUpdate Update Pod db-0 in StatefulSet db successful";
    cluster.event_comes("db", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_on_its_way_out_has_to_go_first() {
    let cluster = Cluster::start().await;
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "no", "resources": {"requests": {"storage": "1Mi"}}});
    let claim = "v1/PersistentVolumeClaim";
    cluster
        .create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-db-0", "finalizers": ["example.com/hold"]}, "spec": spec}))
        .await;
    cluster.delete(claim, "data-db-0", DeleteParams::default()).await;
    // By which the controllers have seen it.
    cluster
        .becomes(claim, "data-db-0", |c| {
            c["metadata"]["finalizers"] == json!(["example.com/hold"])
        })
        .await;
    let mut set = stateful(1);
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": spec}]);
    cluster.create(set).await;
    let told =
        "Warning FailedCreate Create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted";
    cluster.event_comes("db", told).await;
    assert!(cluster.get("v1/Pod", "db-0").await.is_null());
    let release = json!({"metadata": {"finalizers": null}});
    cluster.patch(claim, "data-db-0", release).await;
    cluster.becomes("v1/Pod", "db-0", Value::is_object).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_waits_for_a_lost_node_goes() {
    let cluster = Cluster::with_nodes(&[("node-1", "1"), ("node-2", "1")]).await;
    let mut spec = pod_spec("sleep");
    spec["schedulerName"] = json!("nobody");
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": {
            "selector": {"matchLabels": {"app": "ds"}}, "template": {"metadata": {"labels": {"app": "ds"}}, "spec": spec}}}))
        .await;
    cluster.list_becomes("v1/Pod", |pods| pods.len() == 2).await;
    let nodes = cluster.api("v1/Node", "");
    nodes.delete("node-2", &DeleteParams::default()).await.unwrap();
    cluster.list_becomes("v1/Pod", |pods| pods.len() == 1).await;
}
