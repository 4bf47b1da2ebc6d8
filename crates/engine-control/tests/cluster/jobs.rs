use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true, pod_spec};

fn job(name: &str, command: &str, spec: Value) -> Value {
    let mut template = pod_spec(command);
    template["restartPolicy"] = json!("Never");
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": template}}});
    for (key, value) in spec.as_object().unwrap() {
        job["spec"][key] = value.clone();
    }
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn completions() {
    let cluster = Cluster::start().await;
    cluster
        .create(job("three", "true", json!({"completions": 3, "parallelism": 2})))
        .await;
    let done = cluster
        .becomes("batch/v1/Job", "three", |j| is_true(j, "Complete"))
        .await;
    let status = &done["status"];
    assert_eq!(
        (&status["succeeded"], &status["failed"], &status["active"]),
        (&json!(3), &Value::Null, &Value::Null)
    );
    assert_eq!((&status["ready"], &status["terminating"]), (&json!(0), &json!(0)));
    assert!(status["completionTime"].is_string() && is_true(&done, "SuccessCriteriaMet"));
    assert_eq!(
        condition(&done, "Complete").unwrap()["reason"],
        "CompletionsReached"
    );
    let pods = cluster.list("v1/Pod").await;
    assert_eq!(pods.len(), 3);
    assert!(
        pods.iter().all(|p| p["metadata"]["finalizers"].is_null()),
        "finished pods are let go"
    );
    cluster
        .event_comes("three", "Normal Completed Job completed")
        .await;
    cluster
        .delete("batch/v1/Job", "three", DeleteParams::background())
        .await;
    cluster.list_becomes("v1/Pod", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_reach_the_pods() {
    let cluster = Cluster::start().await;
    cluster
        .create(job(
            "idx",
            "true",
            json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed"}),
        ))
        .await;
    let done = cluster
        .becomes("batch/v1/Job", "idx", |j| is_true(j, "Complete"))
        .await;
    assert_eq!(
        (&done["status"]["completedIndexes"], &done["status"]["succeeded"]),
        (&json!("0,1"), &json!(2))
    );
    let pods = cluster.list("v1/Pod").await;
    let mut hosts: Vec<&str> = pods
        .iter()
        .map(|p| p["spec"]["hostname"].as_str().unwrap())
        .collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["idx-0", "idx-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_job_forgets_the_indexes_that_it_had() {
    let cluster = Cluster::start().await;
    cluster
        .create(job(
            "idx",
            "sleep",
            json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}),
        ))
        .await;
    let pods = cluster
        .list_becomes("v1/Pod", |pods| {
            pods.len() == 3 && pods.iter().all(|p| p["status"]["phase"] == "Running")
        })
        .await;
    let last = pods.iter().find(|p| p["spec"]["hostname"] == "idx-2").unwrap();
    let succeeded = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    cluster
        .api("v1/Pod", "t")
        .patch_status(
            last["metadata"]["name"].as_str().unwrap(),
            &PatchParams::default(),
            &succeeded,
        )
        .await
        .unwrap();
    cluster
        .becomes("batch/v1/Job", "idx", |j| {
            j["status"]["completedIndexes"] == "2" && j["status"]["succeeded"] == 1
        })
        .await;
    cluster
        .patch(
            "batch/v1/Job",
            "idx",
            json!({"spec": {"completions": 2, "parallelism": 2}}),
        )
        .await;
    cluster
        .becomes("batch/v1/Job", "idx", |j| {
            j["status"]["completedIndexes"].is_null() && j["status"]["succeeded"].is_null()
        })
        .await;
    // Made larger again, it runs that one again.
    cluster
        .patch(
            "batch/v1/Job",
            "idx",
            json!({"spec": {"completions": 3, "parallelism": 3}}),
        )
        .await;
    cluster
        .becomes("batch/v1/Job", "idx", |j| {
            j["status"]["active"] == 3 && j["status"]["succeeded"].is_null()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_without_retries() {
    let cluster = Cluster::start().await;
    cluster
        .create(job("fails", "false", json!({"backoffLimit": 0})))
        .await;
    let done = cluster
        .becomes("batch/v1/Job", "fails", |j| is_true(j, "Failed"))
        .await;
    assert_eq!(done["status"]["failed"], 1);
    assert_eq!(
        condition(&done, "Failed").unwrap()["reason"],
        "BackoffLimitExceeded"
    );
    assert!(is_true(&done, "FailureTarget"));
    assert_eq!(
        done["status"]["conditions"].as_array().unwrap().last().unwrap()["type"],
        "Failed"
    );
    cluster
        .event_comes(
            "fails",
            "Warning BackoffLimitExceeded Job has reached the specified backoff limit",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadline_and_suspension() {
    let cluster = Cluster::start().await;
    cluster
        .create(job("late", "sleep", json!({"activeDeadlineSeconds": 1})))
        .await;
    cluster
        .create(job("held", "true", json!({"suspend": true})))
        .await;
    let held = cluster
        .becomes("batch/v1/Job", "held", |j| is_true(j, "Suspended"))
        .await;
    assert!(held["status"]["startTime"].is_null());
    let late = cluster
        .becomes("batch/v1/Job", "late", |j| is_true(j, "Failed"))
        .await;
    assert_eq!(condition(&late, "Failed").unwrap()["reason"], "DeadlineExceeded");
    assert!(
        cluster.list("v1/Pod").await.is_empty(),
        "the pod that ran on has been removed"
    );
    cluster
        .patch("batch/v1/Job", "held", json!({"spec": {"suspend": false}}))
        .await;
    let done = cluster
        .becomes("batch/v1/Job", "held", |j| is_true(j, "Complete"))
        .await;
    assert_eq!(condition(&done, "Suspended").unwrap()["reason"], "JobResumed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_try_waits_ten_seconds() {
    let cluster = Cluster::start().await;
    cluster
        .create(job("fails", "false", json!({"backoffLimit": 1})))
        .await;
    let done = cluster
        .becomes("batch/v1/Job", "fails", |j| is_true(j, "Failed"))
        .await;
    assert_eq!(done["status"]["failed"], 2);
    // By what the API says, since nobody knows when a test is told.
    let time = |t: &Value| t.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut pods = cluster.list("v1/Pod").await;
    pods.sort_by_key(|p| time(&p["metadata"]["creationTimestamp"]));
    let [first, second] = pods.as_slice() else {
        panic!("{pods:#?}");
    };
    let ended = time(&first["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"]);
    let waited = time(&second["metadata"]["creationTimestamp"]).duration_since(ended);
    assert!(waited.as_secs() >= 10, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_has_not_failed() {
    let cluster = Cluster::start().await;
    cluster
        .create(job("held", "sleep", json!({"completions": 6, "parallelism": 6})))
        .await;
    cluster
        .becomes("batch/v1/Job", "held", |j| j["status"]["ready"] == 6)
        .await;
    let spec = |field: &str, value: Value| json!({"spec": {field: value}});
    cluster
        .patch("batch/v1/Job", "held", spec("parallelism", json!(1)))
        .await;
    cluster
        .becomes("batch/v1/Job", "held", |j| {
            j["status"]["active"] == 1 && j["status"]["terminating"] == 0
        })
        .await;
    cluster
        .patch("batch/v1/Job", "held", spec("suspend", json!(true)))
        .await;
    let held = cluster
        .becomes("batch/v1/Job", "held", |j| {
            is_true(j, "Suspended") && j["status"]["terminating"] == 0
        })
        .await;
    assert!(held["status"]["failed"].is_null(), "{held:#}");
    // So nothing delays the pods when it goes on: six failures would, by more than five minutes.
    cluster
        .patch("batch/v1/Job", "held", spec("suspend", json!(false)))
        .await;
    let resumed = cluster
        .becomes("batch/v1/Job", "held", |j| j["status"]["ready"] == 1)
        .await;
    assert!(resumed["status"]["failed"].is_null(), "{resumed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_policy_ends_the_others_without_blame() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededCount": 1}]}});
    cluster.create(job("one", "sleep", spec)).await;
    cluster
        .becomes("batch/v1/Job", "one", |j| j["status"]["ready"] == 3)
        .await;
    let pods = cluster.list("v1/Pod").await;
    let first = pods[0]["metadata"]["name"].as_str().unwrap();
    let succeeded: kube::core::DynamicObject = cluster
        .api("v1/Pod", "t")
        .patch_status(
            first,
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"phase": "Succeeded"}})),
        )
        .await
        .unwrap();
    let index = &succeeded.metadata.annotations.unwrap()["batch.kubernetes.io/job-completion-index"];
    let done = cluster
        .becomes("batch/v1/Job", "one", |j| is_true(j, "Complete"))
        .await;
    assert_eq!(condition(&done, "Complete").unwrap()["reason"], "SuccessPolicy");
    let status = &done["status"];
    assert_eq!(
        (
            &status["succeeded"],
            &status["failed"],
            &status["completedIndexes"]
        ),
        (&json!(1), &Value::Null, &json!(index))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_index_is_kept_until_its_replacement_knows() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
    cluster.create(job("idx", "false", spec)).await;
    cluster
        .list_becomes("v1/Pod", |pods| {
            pods.iter().any(|p| p["status"]["phase"] == "Failed")
        })
        .await;
    cluster
        .becomes("batch/v1/Job", "idx", |j| j["status"]["active"].is_null())
        .await;
    let pods = cluster.list("v1/Pod").await;
    assert_eq!(
        pods[0]["metadata"]["finalizers"],
        json!(["batch.kubernetes.io/job-tracking"])
    );
    let done = cluster
        .becomes("batch/v1/Job", "idx", |j| is_true(j, "Failed"))
        .await;
    assert_eq!(
        (&done["status"]["failed"], &done["status"]["failedIndexes"]),
        (&json!(2), &json!("0"))
    );
    let mut counts: Vec<String> = cluster
        .list("v1/Pod")
        .await
        .iter()
        .map(|p| p["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"].to_string())
        .collect();
    counts.sort();
    assert_eq!(counts, ["\"0\"", "\"1\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_that_were_ended_have_not_failed() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0,
        "maxFailedIndexes": 0});
    cluster.create(job("idx", "sleep", spec)).await;
    cluster
        .becomes("batch/v1/Job", "idx", |j| j["status"]["ready"] == 3)
        .await;
    let pods = cluster.list("v1/Pod").await;
    let index = |p: &Value| p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1";
    let name = pods.iter().find(|p| index(p)).unwrap()["metadata"]["name"].as_str();
    cluster
        .api("v1/Pod", "t")
        .patch_status(
            name.unwrap(),
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"phase": "Failed"}})),
        )
        .await
        .unwrap();
    let done = cluster
        .becomes("batch/v1/Job", "idx", |j| is_true(j, "Failed"))
        .await;
    assert_eq!(
        (&done["status"]["failed"], &done["status"]["failedIndexes"]),
        (&json!(3), &json!("1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failed_index_is_an_empty_list() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
    cluster.create(job("per-index", "sleep", spec)).await;
    cluster
        .becomes("batch/v1/Job", "per-index", |j| {
            j["status"]["failedIndexes"] == ""
        })
        .await;
}
