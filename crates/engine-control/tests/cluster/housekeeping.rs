use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true, pod_spec, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_loses_its_pods() {
    let cluster = Cluster::with(&[("node-1", "4"), ("node-2", "4")], 2).await;
    let mut spec = pod_spec("sleep");
    // Tolerates a lost node for a second, not for the default five minutes.
    spec["tolerations"] = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 4,
            "selector": {"matchLabels": {"app": "rs"}}, "template": {"metadata": {"labels": {"app": "rs"}}, "spec": spec}}}))
        .await;
    let beating = cluster.keep_alive("node-1");
    cluster
        .becomes("apps/v1/ReplicaSet", "rs", |s| s["status"]["readyReplicas"] == 4)
        .await;
    let lost = cluster
        .until("node-2", "v1/Node", "", "node-2", |n| {
            condition(n, "Ready").is_some_and(|c| c["status"] == "Unknown")
                && n["spec"]["taints"].as_array().is_some_and(|t| t.len() == 2)
        })
        .await;
    assert_eq!(
        condition(&lost, "Ready").unwrap()["message"],
        "Kubelet stopped posting node status."
    );
    let moved = |pods: &[Value]| {
        pods.len() == 4
            && pods
                .iter()
                .all(|p| p["spec"]["nodeName"] == "node-1" && p["status"]["phase"] == "Running")
    };
    cluster.list_becomes("v1/Pod", moved).await;
    // The node that kept reporting is left alone, and the other is welcome again.
    let alive = cluster.until("node-1", "v1/Node", "", "node-1", |_| true).await;
    assert!(is_true(&alive, "Ready") && alive["spec"]["taints"].is_null());
    let back = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": Timestamp::now()}]}});
    cluster
        .api("v1/Node", "")
        .patch_status("node-2", &PatchParams::default(), &Patch::Merge(&back))
        .await
        .unwrap();
    cluster
        .until("node-2", "v1/Node", "", "node-2", |n| {
            n["spec"]["taints"].is_null()
        })
        .await;
    beating.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_budgets_are_counted() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
            "spec": {"hard": {"pods": "10", "requests.cpu": "2", "configmaps": "5", "count/deployments.apps": "3"}}}))
        .await;
    cluster
        .create(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}))
        .await;
    let mut spec = pod_spec("sleep");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3,
            "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}}))
        .await;
    let expected =
        json!({"pods": "3", "requests.cpu": "300m", "configmaps": "1", "count/deployments.apps": "1"});
    cluster
        .becomes("v1/ResourceQuota", "q", |q| q["status"]["used"] == expected)
        .await;
    let budget = cluster
        .becomes("policy/v1/PodDisruptionBudget", "b", |b| {
            b["status"]["disruptionsAllowed"] == 1
        })
        .await;
    let status = &budget["status"];
    assert_eq!(
        (
            &status["currentHealthy"],
            &status["desiredHealthy"],
            &status["expectedPods"]
        ),
        (&json!(3), &json!(2), &json!(3))
    );
    assert_eq!(
        condition(&budget, "DisruptionAllowed").unwrap()["reason"],
        "SufficientPods"
    );
    cluster
        .patch("apps/v1/Deployment", "web", json!({"spec": {"replicas": 0}}))
        .await;
    cluster
        .becomes("v1/ResourceQuota", "q", |q| q["status"]["used"]["pods"] == "0")
        .await;
    cluster
        .becomes("policy/v1/PodDisruptionBudget", "b", |b| {
            b["status"]["disruptionsAllowed"] == 0
        })
        .await;
}

fn cron(schedule: &str) -> Value {
    let mut spec = pod_spec("true");
    spec["restartPolicy"] = json!("Never");
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": schedule, "timeZone": "Etc/UTC",
        "jobTemplate": {"spec": {"ttlSecondsAfterFinished": 1, "template": {"spec": spec}}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_catches_up_and_its_job_goes_in_time() {
    let cluster = Cluster::start().await;
    // Suspended until its last run lies in the past, so that exactly one time is due.
    let mut object = cron("0 0 1 1 *");
    object["spec"]["suspend"] = json!(true);
    cluster.create(object).await;
    let last = Timestamp::now() - SignedDuration::from_hours(24 * 400);
    let last = Timestamp::from_second(last.as_second()).unwrap();
    let patch = json!({"status": {"lastScheduleTime": last}});
    cluster
        .api("batch/v1/CronJob", "t")
        .patch_status("c", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    cluster
        .patch("batch/v1/CronJob", "c", json!({"spec": {"suspend": false}}))
        .await;
    let ran = cluster
        .becomes("batch/v1/CronJob", "c", |c| {
            c["status"]["lastSuccessfulTime"].is_string()
        })
        .await;
    assert!(text(&ran["status"]["lastScheduleTime"]).ends_with("-01-01T00:00:00Z"));
    assert!(ran["status"]["active"].is_null());
    cluster.list_becomes("batch/v1/Job", <[Value]>::is_empty).await;
    let events = cluster.events("c").await;
    assert!(
        events
            .iter()
            .any(|e| e.starts_with("Normal SuccessfulCreate Created job c-")),
        "{events:#?}"
    );
    assert!(
        events
            .iter()
            .any(|e| e.starts_with("Normal SawCompletedJob Saw completed job: c-")),
        "{events:#?}"
    );
}
