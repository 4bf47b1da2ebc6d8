use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true, pod_spec, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_loses_its_pods() {
    // So long that a machine with much else to do renews a lease in time.
    let cluster = Cluster::with(&[("node-1", "4"), ("node-2", "4")], 8, &["node-1"]).await;
    let mut spec = pod_spec("sleep");
    // Tolerates a lost node for a second, not for the default five minutes.
    spec["tolerations"] = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 4,
            "selector": {"matchLabels": {"app": "rs"}}, "template": {"metadata": {"labels": {"app": "rs"}}, "spec": spec}}}))
        .await;
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
    cluster
        .event_comes(
            "node-2",
            "Normal NodeNotReady Node node-2 status is now: NodeNotReady",
        )
        .await;
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
    cluster
        .event_comes("b", "Normal NoPods No matching pods found")
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
        "jobTemplate": {"spec": {"template": {"spec": spec}}}}})
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
    cluster
        .event_begins("c", "Normal SuccessfulCreate Created job c-")
        .await;
    cluster
        .event_begins("c", "Normal SawCompletedJob Saw completed job: c-")
        .await;
    // Only now, so that it is not gone before its end has been seen.
    let jobs = cluster.list("batch/v1/Job").await;
    let limit = json!({"spec": {"ttlSecondsAfterFinished": 1}});
    cluster
        .patch("batch/v1/Job", text(&jobs[0]["metadata"]["name"]), limit)
        .await;
    cluster.list_becomes("batch/v1/Job", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_cannot_be_reckoned_allows_nothing() {
    let cluster = Cluster::start().await;
    let budget = |name: &str, spec: Value| json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec});
    let pod = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": pod_spec("sleep")});
    cluster.create(pod("bare")).await;
    let mut owned = pod("owned");
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "u", "controller": true}]);
    cluster.create(owned).await;
    for name in ["bare", "owned"] {
        cluster
            .becomes("v1/Pod", name, |p| p["status"]["phase"] == "Running")
            .await;
        let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}});
        cluster.create(budget(name, spec)).await;
    }
    let said = "Warning UnmanagedPods Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{\
        app: bare,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB cannot \
        be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field \
        of the PDB to an integer value.";
    cluster.event_comes("bare", said).await;
    let failed = cluster
        .becomes("policy/v1/PodDisruptionBudget", "owned", |b| {
            condition(b, "DisruptionAllowed").is_some_and(|c| c["reason"] == "SyncFailed")
        })
        .await;
    let told = condition(&failed, "DisruptionAllowed").unwrap();
    assert_eq!(
        (&told["status"], &told["message"]),
        (
            &json!("False"),
            &json!("no matches for kind \"Thing\" in version \"example.com/v1\"")
        )
    );
    cluster
        .event_comes(
            "owned",
            "Warning CalculateExpectedPodCountFailed Failed to calculate the number of expected pods: \
             no matches for kind \"Thing\" in version \"example.com/v1\"",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_somebody_else_made_is_not_a_run() {
    let cluster = Cluster::start().await;
    let mut object = cron("0 0 31 2 *");
    object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sleep"]);
    let made = cluster.create(object).await;
    cluster
        .event_comes(
            "c",
            "Warning InvalidSchedule invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second",
        )
        .await;
    let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": made["metadata"]["uid"], "controller": true}]);
    let mut job = made["spec"]["jobTemplate"].clone();
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    job["metadata"] = json!({"name": "mine", "ownerReferences": owner});
    cluster.create(job).await;
    cluster
        .event_comes(
            "c",
            "Warning UnexpectedJob Saw a job that the controller did not create or forgot: mine",
        )
        .await;
    let cron = cluster.get("batch/v1/CronJob", "c").await;
    assert!(cron["status"]["active"].is_null(), "{cron:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_were_missed_are_told() {
    let cluster = Cluster::start().await;
    let mut object = cron("0 0 1 1 *");
    object["spec"]["suspend"] = json!(true);
    object["spec"]["startingDeadlineSeconds"] = json!(24 * 3600 * 800);
    cluster.create(object).await;
    let year = |back: i64| {
        let now = Timestamp::now() - SignedDuration::from_hours(24 * 365 * back);
        now.strftime("%Y-02-01T00:00:00Z").to_string()
    };
    let patch = json!({"status": {"lastScheduleTime": year(2)}});
    cluster
        .api("batch/v1/CronJob", "t")
        .patch_status("c", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let seen = cluster
        .patch(
            "batch/v1/CronJob",
            "c",
            json!({"spec": {"suspend": false, "schedule": "0 * * * *"}}),
        )
        .await;
    assert!(!seen.is_null());
    cluster
        .event_comes(
            "c",
            "Warning TooManyMissedTimes too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taint_that_goes_in_time_is_forgiven() {
    let cluster = Cluster::start().await;
    let mut spec = pod_spec("sleep");
    spec["tolerations"] =
        json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    cluster
        .create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
        .await;
    spec["tolerations"][0]["tolerationSeconds"] = json!(1);
    cluster
        .create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": spec}))
        .await;
    for name in ["p", "q"] {
        cluster
            .becomes("v1/Pod", name, |p| p["status"]["phase"] == "Running")
            .await;
    }
    let tainted = |taints: Value| Patch::Merge(json!({"spec": {"taints": taints}}));
    let nodes = cluster.api("v1/Node", "");
    let taint = json!([{"key": "k", "effect": "NoExecute"}]);
    nodes
        .patch("node-1", &PatchParams::default(), &tainted(taint))
        .await
        .unwrap();
    // Another tolerates it for a second, also where nobody wrote since when it is there; the taint has been seen by both then.
    cluster
        .event_comes("q", "Normal TaintManagerEviction Marking for deletion Pod t/q")
        .await;
    nodes
        .patch("node-1", &PatchParams::default(), &tainted(json!([])))
        .await
        .unwrap();
    cluster
        .event_comes("p", "Normal TaintManagerEviction Cancelling deletion of Pod t/p")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_beyond_the_limit_goes_without_a_word() {
    let cluster = Cluster::start().await;
    let mut object = cron("0 0 1 1 *");
    object["spec"]["successfulJobsHistoryLimit"] = json!(0);
    cluster.create(object).await;
    let past = json!({"status": {"lastScheduleTime": "2020-01-01T00:00:00Z"}});
    cluster
        .api("batch/v1/CronJob", "t")
        .patch_status("c", &PatchParams::default(), &Patch::Merge(&past))
        .await
        .unwrap();
    let over = cluster
        .becomes("batch/v1/CronJob", "c", |c| {
            c["status"]["lastSuccessfulTime"].is_string() && c["status"]["active"].is_null()
        })
        .await;
    assert_ne!(over["status"]["lastScheduleTime"], "2020-01-01T00:00:00Z");
    cluster.list_becomes("batch/v1/Job", <[Value]>::is_empty).await;
    let created = "Normal SuccessfulCreate Created job ";
    let job = cluster.event_begins("c", created).await.replace(created, "");
    // It is told after the Job has gone.
    let deleted = format!("Normal SuccessfulDelete Deleted job {job}");
    cluster.event_comes("c", &deleted).await;
    let events = cluster.events("c").await;
    assert!(
        !events.iter().any(|e| e.contains("SawCompletedJob")),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_what_has_no_scale_says_so() {
    let cluster = Cluster::start().await;
    let template = json!({"metadata": {"labels": {"app": "j"}}, "spec": pod_spec("sleep")});
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}});
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    cluster.create(job).await;
    cluster.list_becomes("v1/Pod", |pods| pods.len() == 1).await;
    for name in ["b", "c"] {
        cluster
            .create(
                json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
                "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "j"}}}}),
            )
            .await;
    }
    for name in ["b", "c"] {
        cluster
            .event_comes(
                name,
                "Warning CalculateExpectedPodCountFailed Failed to calculate the number of expected pods: \
                 jobs.batch does not implement the scale subresource",
            )
            .await;
    }
    let pods = cluster.list("v1/Pod").await;
    let pod = text(&pods[0]["metadata"]["name"]);
    cluster
        .patch("v1/Pod", pod, json!({"metadata": {"labels": {"more": "y"}}}))
        .await;
    let told = format!(
        "Warning MultiplePodDisruptionBudgets Pod \"t\"/{pod:?} matches multiple PodDisruptionBudgets.  Chose \"b\" arbitrarily."
    );
    cluster.event_comes(pod, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_pods_that_look_abroad() {
    let cluster = Cluster::start().await;
    for (name, most) in [("abroad", "1"), ("none", "0")] {
        let scope = if name == "none" {
            "PriorityClass"
        } else {
            "CrossNamespacePodAffinity"
        };
        cluster
            .create(
                json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
                "spec": {"hard": {"pods": most}, "scopes": [scope]}}),
            )
            .await;
        cluster
            .becomes("v1/ResourceQuota", name, |q| q["status"]["used"]["pods"] == "0")
            .await;
    }
    let pod = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec("sleep")});
    cluster.create(pod("plain")).await;
    let mut abroad = pod("abroad");
    let term = json!({"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {"matchLabels": {"no": "such"}}});
    abroad["spec"]["affinity"] =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    cluster.create(abroad).await;
    cluster
        .becomes("v1/ResourceQuota", "abroad", |q| {
            q["status"]["used"]["pods"] == "1"
        })
        .await;
    assert_eq!(
        cluster.get("v1/ResourceQuota", "none").await["status"]["used"]["pods"],
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_attributes_stays_as_long_as_a_claim_wants_it() {
    const CLASS: &str = "storage.k8s.io/v1/VolumeAttributesClass";
    let cluster = Cluster::start().await;
    let made = cluster
        .create(json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "fast"},
            "driverName": "a.b", "parameters": {"iops": "1"}}))
        .await;
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["kubernetes.io/vac-protection"])
    );
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "volumeAttributesClassName": "fast",
            "resources": {"requests": {"storage": "1Gi"}}}}),
        )
        .await;
    // By which the controllers have seen that it wants one.
    cluster
        .event_comes(
            "c",
            "Warning ProvisioningFailed storageclass.storage.k8s.io \"none\" not found",
        )
        .await;
    let classes = cluster.api(CLASS, "");
    classes.delete("fast", &DeleteParams::default()).await.unwrap();
    // A change of the claim has the class looked at again.
    cluster
        .patch(
            "v1/PersistentVolumeClaim",
            "c",
            json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    assert!(classes.get_opt("fast").await.unwrap().is_some());
    cluster
        .delete("v1/PersistentVolumeClaim", "c", DeleteParams::default())
        .await;
    cluster.until("fast", CLASS, "", "fast", Value::is_null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_volume_goes_with_its_claim() {
    let cluster = Cluster::start().await;
    let (volume, claim) = ("v1/PersistentVolume", "v1/PersistentVolumeClaim");
    let spec = json!({"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", "hostPath": {"path": "/x"}});
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec}),
        )
        .await;
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "v", "resources": {"requests": {"storage": "1Mi"}}});
    cluster
        .create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec}))
        .await;
    let bound = |o: &Value| o["status"]["phase"] == "Bound";
    cluster.becomes(claim, "c", bound).await;
    let stays = cluster
        .until("bound", volume, "", "v", |v| {
            bound(v) && v["metadata"]["finalizers"] == json!(["kubernetes.io/pv-protection"])
        })
        .await;
    assert!(stays["metadata"]["deletionTimestamp"].is_null());
    cluster
        .api(volume, "")
        .delete("v", &DeleteParams::default())
        .await
        .unwrap();
    // A claim comes after, as in a file that is deleted from its top.
    cluster.delete(claim, "c", DeleteParams::default()).await;
    cluster.until("gone", volume, "", "v", Value::is_null).await;
}
