use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true, pod_spec, text};

fn deployment(replicas: i32, command: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}}, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec(command)}}})
}

fn rolled_out(d: &Value, replicas: i64) -> bool {
    let s = &d["status"];
    s["observedGeneration"] == d["metadata"]["generation"]
        && s["updatedReplicas"] == replicas
        && s["replicas"] == replicas
        && s["availableReplicas"] == replicas
        && condition(d, "Progressing").is_some_and(|c| c["reason"] == "NewReplicaSetAvailable")
}

async fn sizes(cluster: &Cluster) -> Vec<(i64, String)> {
    let mut sizes: Vec<(i64, String)> = cluster
        .list("apps/v1/ReplicaSet")
        .await
        .iter()
        .map(|s| {
            (
                s["spec"]["replicas"].as_i64().unwrap(),
                text(&s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]).to_owned(),
            )
        })
        .collect();
    sizes.sort();
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_out_back_and_sticks() {
    let cluster = Cluster::start().await;
    cluster.create(deployment(3, "sleep")).await;
    let first = cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 3))
        .await;
    assert_eq!(
        first["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    assert_eq!(first["status"]["unavailableReplicas"], Value::Null);
    assert!(is_true(&first, "Available"));
    let set = &cluster.list("apps/v1/ReplicaSet").await[0];
    cluster
        .event_comes(
            "web",
            &format!(
                "Normal ScalingReplicaSet Scaled up replica set {} from 0 to 3",
                text(&set["metadata"]["name"])
            ),
        )
        .await;

    let env = |v: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i", "command": ["sleep"], "env": [{"name": "V", "value": v}]}]}}}});
    cluster.patch("apps/v1/Deployment", "web", env("2")).await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 3))
        .await;
    assert_eq!(sizes(&cluster).await, [(0, "1".to_owned()), (3, "2".to_owned())]);

    // Back to the first template: the old set gets the next revision and remembers its own.
    cluster
        .patch(
            "apps/v1/Deployment",
            "web",
            json!({"spec": {"template": {"spec": {"containers": pod_spec("sleep")["containers"]}}}}),
        )
        .await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 3))
        .await;
    assert_eq!(sizes(&cluster).await, [(0, "2".to_owned()), (3, "3".to_owned())]);

    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"replicas": 1}}))
        .await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 1))
        .await;
    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"paused": true}}))
        .await;
    cluster.patch("apps/v1/Deployment", "web", env("3")).await;
    let paused = cluster
        .becomes("apps/v1/Deployment", "web", |d| {
            d["status"]["observedGeneration"] == d["metadata"]["generation"]
        })
        .await;
    assert_eq!(paused["status"]["updatedReplicas"], Value::Null);
    assert_eq!(
        condition(&paused, "Progressing").unwrap()["reason"],
        "DeploymentPaused"
    );
    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"paused": null}}))
        .await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 1))
        .await;

    // A template that never starts leaves the old pod alone.
    cluster.patch("apps/v1/Deployment", "web", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "absent", "command": ["never"]}]}}}})).await;
    let stuck = cluster
        .becomes("apps/v1/Deployment", "web", |d| d["status"]["replicas"] == 2)
        .await;
    assert_eq!(
        (
            &stuck["status"]["availableReplicas"],
            &stuck["status"]["unavailableReplicas"]
        ),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recreate_never_has_both() {
    let cluster = Cluster::start().await;
    let mut d = deployment(2, "sleep");
    d["spec"]["strategy"] = json!({"type": "Recreate"});
    cluster.create(d).await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 2))
        .await;
    cluster
        .patch(
            "apps/v1/Deployment",
            "web",
            json!({"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}),
        )
        .await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| rolled_out(d, 2))
        .await;
    assert!(
        cluster
            .list("v1/Pod")
            .await
            .iter()
            .all(|p| p["metadata"]["labels"]["v"] == "2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_replaces_adopts_and_releases() {
    let cluster = Cluster::start().await;
    let mut stray =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "labels": {"app": "rs"}}});
    stray["spec"] = pod_spec("sleep");
    cluster.create(stray).await;
    // By which the controllers have seen it, and do not make one too many.
    cluster
        .becomes("v1/Pod", "stray", |p| p["status"]["phase"] == "Running")
        .await;
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 3,
            "selector": {"matchLabels": {"app": "rs"}}, "template": {"metadata": {"labels": {"app": "rs"}}, "spec": pod_spec("sleep")}}}))
        .await;
    let set = cluster
        .becomes("apps/v1/ReplicaSet", "rs", |s| s["status"]["readyReplicas"] == 3)
        .await;
    assert_eq!(set["status"]["fullyLabeledReplicas"], 3);
    let adopted = cluster.get("v1/Pod", "stray").await;
    assert_eq!(adopted["metadata"]["ownerReferences"][0]["name"], "rs");
    assert_eq!(cluster.list("v1/Pod").await.len(), 3);
    // Released by its label, and replaced.
    cluster
        .patch(
            "v1/Pod",
            "stray",
            json!({"metadata": {"labels": {"app": "other"}}}),
        )
        .await;
    cluster
        .becomes("v1/Pod", "stray", |p| p["metadata"]["ownerReferences"].is_null())
        .await;
    cluster.list_becomes("v1/Pod", |pods| pods.len() == 4).await;
    cluster.delete("v1/Pod", "stray", DeleteParams::default()).await;
    cluster
        .becomes("apps/v1/ReplicaSet", "rs", |s| s["status"]["readyReplicas"] == 3)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_controller_is_a_replica_set_of_old() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"}, "spec": {"replicas": 2,
            "template": {"metadata": {"labels": {"app": "old"}}, "spec": pod_spec("sleep")}}}))
        .await;
    let ready = cluster
        .becomes("v1/ReplicationController", "old", |c| {
            c["status"]["readyReplicas"] == 2
        })
        .await;
    assert_eq!(
        ready["spec"]["selector"],
        json!({"app": "old"}),
        "that of the template"
    );
    assert_eq!(ready["status"]["observedGeneration"], 1);
    let pods = cluster.list("v1/Pod").await;
    let owner = &pods[0]["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], pods.len()), (&json!("ReplicationController"), 2));
    let created = format!(
        "Normal SuccessfulCreate Created pod: {}",
        text(&pods[0]["metadata"]["name"])
    );
    cluster.event_comes("old", &created).await;
    cluster
        .patch(
            "v1/ReplicationController",
            "old",
            json!({"spec": {"replicas": 1}}),
        )
        .await;
    cluster
        .becomes("v1/ReplicationController", "old", |c| {
            c["status"]["replicas"] == 1 && c["status"]["observedGeneration"] == 2
        })
        .await;
    cluster.list_becomes("v1/Pod", |pods| pods.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_a_namespace_does_not_allow_are_told_of() {
    let cluster = Cluster::start().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    cluster
        .api("v1/Namespace", "")
        .patch("t", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    let mut spec = pod_spec("sleep");
    spec["hostNetwork"] = true.into();
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 1,
            "selector": {"matchLabels": {"app": "rs"}}, "template": {"metadata": {"labels": {"app": "rs"}}, "spec": spec}}}))
        .await;
    let set = cluster
        .becomes("apps/v1/ReplicaSet", "rs", |s| is_true(s, "ReplicaFailure"))
        .await;
    let failure = condition(&set, "ReplicaFailure").unwrap();
    assert_eq!(failure["reason"], "FailedCreate");
    let message = text(&failure["message"]);
    assert!(
        message.starts_with("pods \"rs-")
            && message.ends_with(
                "is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true), hostPort (container \"c\" uses hostPort 8080)"
            ),
        "{message}"
    );
    cluster
        .event_begins("rs", "Warning FailedCreate Error creating: pods \"rs-")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_says_what_it_was_sized_for() {
    let cluster = Cluster::start().await;
    cluster.create(deployment(4, "sleep")).await;
    let rolled = |replicas| move |d: &Value| rolled_out(d, replicas);
    cluster.becomes("apps/v1/Deployment", "web", rolled(4)).await;
    let most = |s: &Value| s["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"].clone();
    let surge = json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 3}}}});
    let changed = cluster.patch("apps/v1/Deployment", "web", surge).await;
    cluster
        .becomes("apps/v1/Deployment", "web", |d| {
            d["status"]["observedGeneration"] == changed["metadata"]["generation"]
        })
        .await;
    assert_eq!(most(&cluster.list("apps/v1/ReplicaSet").await[0]), "5");
    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"replicas": 5}}))
        .await;
    cluster.becomes("apps/v1/Deployment", "web", rolled(5)).await;
    assert_eq!(most(&cluster.list("apps/v1/ReplicaSet").await[0]), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_rolls_back() {
    let cluster = Cluster::start().await;
    cluster.create(deployment(1, "sleep")).await;
    let rolled = |d: &Value| rolled_out(d, 1);
    cluster.becomes("apps/v1/Deployment", "web", rolled).await;
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}});
    cluster.patch("apps/v1/Deployment", "web", change).await;
    cluster.becomes("apps/v1/Deployment", "web", rolled).await;
    let to = |revision: &str| json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": revision}}});
    cluster.patch("apps/v1/Deployment", "web", to("0")).await;
    cluster
        .event_comes(
            "web",
            "Normal DeploymentRollback Rolled back deployment \"web\" to revision 1",
        )
        .await;
    let back = cluster
        .becomes("apps/v1/Deployment", "web", |d| {
            rolled(d) && d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        })
        .await;
    assert!(back["spec"]["template"]["metadata"]["annotations"].is_null());
    assert!(back["metadata"]["annotations"]["deprecated.deployment.rollback.to"].is_null());
    cluster.patch("apps/v1/Deployment", "web", to("7")).await;
    let told = "Warning DeploymentRollbackRevisionNotFound Unable to find the revision to rollback to.";
    cluster.event_comes("web", told).await;
}
