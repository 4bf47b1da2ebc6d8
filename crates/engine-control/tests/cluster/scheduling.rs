use std::time::Instant;

use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, condition, is_true, pod_spec, text};

fn pod(name: &str, more: Value) -> Value {
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec("sleep")});
    for (key, value) in more.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn asks(name: &str, cpu: &str, more: Value) -> Value {
    let mut pod = pod(name, more);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_says_why_and_fits_later() {
    let cluster = Cluster::start().await;
    cluster.create(asks("huge", "5000", json!({}))).await;
    cluster
        .create(pod("sel", json!({"nodeSelector": {"no": "such"}})))
        .await;
    let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let huge = cluster
        .becomes("v1/Pod", "huge", |p| {
            condition(p, "PodScheduled").is_some_and(|c| c["message"] == message)
        })
        .await;
    let why = condition(&huge, "PodScheduled").unwrap();
    assert_eq!(
        (&why["status"], &why["reason"]),
        (&json!("False"), &json!("Unschedulable"))
    );
    cluster
        .event_comes("huge", &format!("Warning FailedScheduling {message}"))
        .await;
    cluster
        .becomes("v1/Pod", "sel", |p| condition(p, "PodScheduled").is_some())
        .await;
    // A node that has the label makes it fit.
    cluster.add_node("node-2", "1").await;
    let labels = json!({"metadata": {"labels": {"no": "such"}}});
    cluster
        .api("v1/Node", "")
        .patch(
            "node-2",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(&labels),
        )
        .await
        .unwrap();
    let placed = cluster
        .becomes("v1/Pod", "sel", |p| p["status"]["phase"] == "Running")
        .await;
    assert_eq!(placed["spec"]["nodeName"], "node-2");
    cluster
        .event_comes("sel", "Normal Scheduled Successfully assigned t/sel to node-2")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_important_push_out_the_unimportant() {
    let cluster = Cluster::with_nodes(&[("node-1", "1")]).await;
    for (name, value) in [("low", 1), ("high", 1000)] {
        cluster.create(json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value})).await;
    }
    cluster
        .create(asks("victim", "800m", json!({"priorityClassName": "low"})))
        .await;
    cluster
        .becomes("v1/Pod", "victim", |p| p["status"]["phase"] == "Running")
        .await;
    cluster
        .create(asks("vip", "800m", json!({"priorityClassName": "high"})))
        .await;
    cluster
        .becomes("v1/Pod", "vip", |p| p["status"]["phase"] == "Running")
        .await;
    assert!(cluster.get("v1/Pod", "victim").await.is_null());
    let vip = cluster.get("v1/Pod", "vip").await;
    let said = format!(
        "Normal Preempted Preempted by pod {} on node node-1",
        text(&vip["metadata"]["uid"])
    );
    cluster.event_comes("victim", &said).await;
    let events = cluster.list("v1/Event").await;
    let event = events.iter().find(|e| e["reason"] == "Preempted").unwrap();
    // Seen on 1.36.2, though the scheduler names the preemptor.
    assert!(event["related"].is_null(), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_not_there_and_a_node_that_is_full_are_told() {
    let cluster = Cluster::with_nodes(&[("node-1", "1"), ("node-2", "1")]).await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}]);
    cluster.create(pod("claims", json!({"volumes": volumes}))).await;
    let only = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]);
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": only}}});
    cluster
        .create(asks("held", "2", json!({"affinity": affinity})))
        .await;
    for (name, message) in [
        (
            "claims",
            "0/2 nodes are available: persistentvolumeclaim \"nope\" not found. not found",
        ),
        (
            "held",
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. no new claims to \
             deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        ),
    ] {
        cluster
            .becomes("v1/Pod", name, |p| {
                condition(p, "PodScheduled").is_some_and(|c| c["message"] == message)
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_behind_a_gate_says_since_when() {
    let cluster = Cluster::start().await;
    let gated = cluster
        .create(pod("gated", json!({"schedulingGates": [{"name": "a/b"}]})))
        .await;
    let why = condition(&gated, "PodScheduled").unwrap();
    assert_eq!(
        (&why["reason"], &why["message"]),
        (
            &json!("SchedulingGated"),
            &json!("Scheduling is blocked due to non-empty scheduling gates")
        )
    );
    assert!(why["lastTransitionTime"].is_string() && why["lastProbeTime"].is_null());
    cluster
        .patch("v1/Pod", "gated", json!({"spec": {"schedulingGates": null}}))
        .await;
    cluster
        .becomes("v1/Pod", "gated", |p| p["status"]["phase"] == "Running")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_spreads_and_freed_room_is_used() {
    let cluster = Cluster::with_nodes(&[("node-1", "4"), ("node-2", "4")]).await;
    let start = Instant::now();
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": {"replicas": 50,
            "selector": {"matchLabels": {"app": "rs"}}, "template": {"metadata": {"labels": {"app": "rs"}}, "spec": asks("x", "100m", json!({}))["spec"]}}}))
        .await;
    cluster
        .becomes("apps/v1/ReplicaSet", "rs", |s| s["status"]["readyReplicas"] == 50)
        .await;
    eprintln!("50 pods placed and ready after {:?}", start.elapsed());
    let pods = cluster.list("v1/Pod").await;
    let on_first = pods.iter().filter(|p| p["spec"]["nodeName"] == "node-1").count();
    assert!(
        (20..=30).contains(&on_first),
        "{on_first} of 50 on the first of two equal nodes"
    );
    cluster.create(asks("big", "3", json!({}))).await;
    cluster
        .becomes("v1/Pod", "big", |p| condition(p, "PodScheduled").is_some())
        .await;
    cluster
        .delete("apps/v1/ReplicaSet", "rs", DeleteParams::background())
        .await;
    cluster
        .becomes("v1/Pod", "big", |p| p["status"]["phase"] == "Running")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_its_pod_and_goes_with_its_folder() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local-path-2"},
            "provisioner": "cncfdemo.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}))
        .await;
    cluster
        .create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "storageClassName": "local-path-2", "resources": {"requests": {"storage": "1Gi"}}}}))
        .await;
    cluster
        .event_comes(
            "data",
            "Normal WaitForFirstConsumer waiting for first consumer to be created before binding",
        )
        .await;
    cluster
        .create(pod(
            "user",
            json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}),
        ))
        .await;
    cluster
        .becomes("v1/Pod", "user", |p| p["status"]["phase"] == "Running")
        .await;
    // The scheduler waits for the claim's volume, not for its phase, which comes after.
    let claim = cluster
        .becomes("v1/PersistentVolumeClaim", "data", |c| {
            c["status"]["phase"] == "Bound"
        })
        .await;
    assert_eq!(claim["status"]["capacity"]["storage"], "1Gi");
    let volume = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
    let path = cluster
        .api("v1/PersistentVolume", "")
        .get(&volume)
        .await
        .unwrap()
        .data["spec"]["hostPath"]["path"]
        .clone();
    assert_eq!(path, format!("/var/lib/test/volumes/{volume}_t_data"));
    // In use, so it stays until the pod has gone.
    cluster
        .delete("v1/PersistentVolumeClaim", "data", DeleteParams::default())
        .await;
    assert!(!cluster.get("v1/PersistentVolumeClaim", "data").await.is_null());
    cluster.delete("v1/Pod", "user", DeleteParams::default()).await;
    cluster
        .becomes("v1/PersistentVolumeClaim", "data", Value::is_null)
        .await;
    cluster
        .until("volume", "v1/PersistentVolume", "", &volume, Value::is_null)
        .await;
    assert_eq!(
        cluster.removed.lock().unwrap().as_slice(),
        [std::path::PathBuf::from(path.as_str().unwrap())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_there_is_bound_without_a_word_of_the_node() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "wait"},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
        )
        .await;
    let storage = json!({"storage": "1Mi"});
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {"capacity": storage,
            "accessModes": ["ReadWriteOnce"], "storageClassName": "wait", "hostPath": {"path": "/x"}}}),
        )
        .await;
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "wait", "resources": {"requests": storage}}}),
        )
        .await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
    cluster.create(pod("p", json!({"volumes": volumes}))).await;
    cluster
        .becomes("v1/Pod", "p", |p| p["status"]["phase"] == "Running")
        .await;
    let claim = cluster.get("v1/PersistentVolumeClaim", "c").await;
    assert_eq!(
        claim["metadata"]["annotations"],
        json!({"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"})
    );
    // It is the scheduler that ties the volume to the claim.
    let volume = cluster.api("v1/PersistentVolume", "").get("v").await.unwrap();
    let managers = volume.metadata.managed_fields.unwrap();
    let of_spec = managers.iter().filter(|m| m.subresource.is_none());
    let of_spec: Vec<_> = of_spec.filter_map(|m| m.manager.as_deref()).collect();
    assert!(
        of_spec.contains(&"kube-scheduler") && !of_spec.contains(&"kube-controller-manager"),
        "{of_spec:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_holds_as_many_volumes_as_its_driver_says() {
    let cluster = Cluster::start().await;
    let limit = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "node-1"},
        "spec": {"drivers": [{"name": "x.y", "nodeID": "n", "allocatable": {"count": 1}}]}});
    cluster.create(limit).await;
    for name in ["a", "b"] {
        let volume = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "csi": {"driver": "x.y", "volumeHandle": name}, "claimRef": {"namespace": "t", "name": name}});
        cluster
            .create(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume}))
            .await;
        let claim = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}}});
        cluster
            .create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim}))
            .await;
        cluster
            .becomes("v1/PersistentVolumeClaim", name, |c| {
                c["status"]["phase"] == "Bound"
            })
            .await;
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]);
        cluster.create(pod(name, json!({"volumes": volumes}))).await;
        let full = "0/1 nodes are available: 1 node(s) exceed max volume count. no new claims to deallocate, preemption: 0/1 nodes are \
                    available: 1 No preemption victims found for incoming pod.";
        cluster
            .becomes("v1/Pod", name, |p| match name {
                "a" => is_true(p, "PodScheduled"),
                _ => condition(p, "PodScheduled").is_some_and(|c| c["message"] == full),
            })
            .await;
    }
    cluster.delete("v1/Pod", "a", DeleteParams::default()).await;
    cluster
        .becomes("v1/Pod", "b", |p| is_true(p, "PodScheduled"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_devices_is_made_and_fits_nowhere() {
    let cluster = Cluster::start().await;
    let class = serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": {}})).unwrap();
    let classes = cluster.api("resource.k8s.io/v1/DeviceClass", "");
    classes.create(&PostParams::default(), &class).await.unwrap();
    for (name, class) in [("good", "c"), ("bad", "nope")] {
        cluster
            .create(json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": name},
                "spec": {"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": class}}]}}}}))
            .await;
    }
    for template in ["good", "bad", "none"] {
        let claims = json!([{"name": "x", "resourceClaimTemplateName": template}]);
        cluster
            .create(asks(template, "1m", json!({"resourceClaims": claims})))
            .await;
    }
    let nobody = "0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    for (pod, told) in [
        ("good", format!("FailedScheduling 0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: {nobody}")),
        ("bad", format!("FailedScheduling 0/1 nodes are available: request r: device class nope does not exist. no new claims to deallocate, preemption: {nobody}")),
        ("none", "FailedResourceClaimCreation PodResourceClaim x: resource claim template \"none\": resourceclaimtemplate.resource.k8s.io \"none\" not found".into()),
    ] {
        cluster.event_comes(pod, &format!("Warning {told}")).await;
    }
    let good = cluster.get("v1/Pod", "good").await;
    let claim = text(&good["status"]["resourceClaimStatuses"][0]["resourceClaimName"]);
    let claim = cluster.get("resource.k8s.io/v1/ResourceClaim", claim).await;
    assert_eq!(claim["metadata"]["generateName"], "good-x-");
    assert_eq!(
        claim["metadata"]["ownerReferences"][0]["uid"],
        good["metadata"]["uid"]
    );
    // The one whose claim is not there waits without a word.
    assert!(condition(&cluster.get("v1/Pod", "none").await, "PodScheduled").is_none());
    for pod in ["good", "bad"] {
        cluster.delete("v1/Pod", pod, DeleteParams::default()).await;
    }
    cluster
        .list_becomes("resource.k8s.io/v1/ResourceClaim", <[Value]>::is_empty)
        .await;
}
