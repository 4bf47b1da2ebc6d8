use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::harness::{Cluster, pod_spec, text};

fn empty_deployment(name: &str, replicas: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec("sleep")}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_foreground_and_background() {
    let cluster = Cluster::start().await;
    cluster.create(empty_deployment("web", 0)).await;
    let sets = cluster.list_becomes("apps/v1/ReplicaSet", |s| s.len() == 1).await;
    assert_eq!(sets[0]["metadata"]["ownerReferences"][0]["kind"], "Deployment");
    cluster
        .delete("apps/v1/Deployment", "web", DeleteParams::orphan())
        .await;
    cluster.becomes("apps/v1/Deployment", "web", Value::is_null).await;
    let set = cluster.list("apps/v1/ReplicaSet").await.remove(0);
    assert!(set["metadata"]["ownerReferences"].is_null());
    cluster
        .delete(
            "apps/v1/ReplicaSet",
            text(&set["metadata"]["name"]),
            DeleteParams::default(),
        )
        .await;

    cluster.create(empty_deployment("front", 2)).await;
    cluster.list_becomes("v1/Pod", |p| p.len() == 2).await;
    cluster
        .delete("apps/v1/Deployment", "front", DeleteParams::foreground())
        .await;
    cluster
        .becomes("apps/v1/Deployment", "front", Value::is_null)
        .await;
    // The owner is the last to go.
    assert!(cluster.list("apps/v1/ReplicaSet").await.is_empty());
    assert!(cluster.list("v1/Pod").await.is_empty());

    cluster.create(empty_deployment("back", 2)).await;
    cluster.list_becomes("v1/Pod", |p| p.len() == 2).await;
    cluster
        .delete("apps/v1/Deployment", "back", DeleteParams::background())
        .await;
    cluster.list_becomes("v1/Pod", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dangling_owner_takes_along_and_a_second_owner_keeps() {
    let cluster = Cluster::start().await;
    let owner = cluster
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o"}}))
        .await;
    let reference =
        |name: &str, uid: &Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid});
    let child = |name: &str, owners: Vec<Value>| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "ownerReferences": owners}});
    let nobody = json!("00000000-0000-0000-0000-000000000000");
    cluster
        .create(child("dangling", vec![reference("gone", &nobody)]))
        .await;
    cluster.becomes("v1/Secret", "dangling", Value::is_null).await;
    cluster
        .create(child(
            "half",
            vec![
                reference("gone", &nobody),
                reference("o", &owner["metadata"]["uid"]),
            ],
        ))
        .await;
    cluster
        .becomes("v1/Secret", "half", |s| {
            s["metadata"]["ownerReferences"]
                .as_array()
                .is_some_and(|o| o.len() == 1)
        })
        .await;
    // The same name with another uid is another object.
    cluster
        .create(child("renamed", vec![reference("o", &nobody)]))
        .await;
    cluster.becomes("v1/Secret", "renamed", Value::is_null).await;
    cluster.delete("v1/ConfigMap", "o", DeleteParams::default()).await;
    cluster.becomes("v1/Secret", "half", Value::is_null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_takes_its_content_along() {
    let cluster = Cluster::start().await;
    cluster
        .until("root ca", "v1/ConfigMap", "t", "kube-root-ca.crt", |c| {
            c["data"]["ca.crt"] == "-----CA-----"
        })
        .await;
    cluster.create(empty_deployment("web", 2)).await;
    cluster.list_becomes("v1/Pod", |p| p.len() == 2).await;
    cluster.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}})).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("t", &DeleteParams::default()).await.unwrap();
    let stuck = cluster
        .until("namespace", "v1/Namespace", "", "t", |n| {
            crate::harness::is_true(n, "NamespaceFinalizersRemaining")
        })
        .await;
    assert_eq!(stuck["status"]["phase"], "Terminating");
    cluster.list_becomes("v1/Pod", <[Value]>::is_empty).await;
    cluster
        .patch("v1/ConfigMap", "held", json!({"metadata": {"finalizers": null}}))
        .await;
    cluster
        .until("namespace", "v1/Namespace", "", "t", Value::is_null)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_service_account_comes_back() {
    let cluster = Cluster::start().await;
    let uid = cluster.get("v1/ServiceAccount", "default").await["metadata"]["uid"].clone();
    cluster
        .delete("v1/ServiceAccount", "default", DeleteParams::default())
        .await;
    cluster
        .becomes("v1/ServiceAccount", "default", |a| {
            !a.is_null() && a["metadata"]["uid"] != uid
        })
        .await;
    let whole = |c: &Value| c["data"]["ca.crt"] == "-----CA-----";
    cluster.becomes("v1/ConfigMap", "kube-root-ca.crt", whole).await;
    cluster
        .patch(
            "v1/ConfigMap",
            "kube-root-ca.crt",
            json!({"data": {"ca.crt": "forged"}}),
        )
        .await;
    cluster.becomes("v1/ConfigMap", "kube-root-ca.crt", whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_in_another_namespace_is_none() {
    let cluster = Cluster::start().await;
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let owner: DynamicObject = serde_json::from_value(map("far")).unwrap();
    let owner = cluster
        .api("v1/ConfigMap", "default")
        .create(&PostParams::default(), &owner)
        .await
        .unwrap();
    let uid = owner.metadata.uid.unwrap();
    let mut dependent = map("near");
    dependent["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "far", "uid": uid}]);
    cluster.create(dependent).await;
    cluster.becomes("v1/ConfigMap", "near", Value::is_null).await;
    let said = format!(
        "Warning OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: t, name: far, uid: {uid}] \
         does not exist in namespace \"t\""
    );
    cluster.event_comes("near", &said).await;
    cluster
        .until("far", "v1/ConfigMap", "default", "far", |m| !m.is_null())
        .await;
}

/// The definition of a namespaced kind.
fn definition(kind: &str) -> DynamicObject {
    let plural = format!("{}s", kind.to_lowercase());
    serde_json::from_value(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind}, "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}}))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_come_and_go_hold_nobody_up() {
    let cluster = Cluster::start().await;
    let definitions = cluster.api("apiextensions.k8s.io/v1/CustomResourceDefinition", "");
    let restless = |kind: String| {
        let definitions = definitions.clone();
        async move {
            let name = format!("{}s.example.com", kind.to_lowercase());
            for _ in 0..20 {
                // Until the one before has gone.
                while definitions
                    .create(&PostParams::default(), &definition(&kind))
                    .await
                    .is_err()
                {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                definitions.delete(&name, &DeleteParams::default()).await.unwrap();
            }
        }
    };
    let restless: tokio::task::JoinSet<()> = (0..8).map(|n| restless(format!("T{n}"))).collect();
    restless.join_all().await;
    for round in 0..3 {
        let name = format!("owner-{round}");
        cluster
            .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}))
            .await;
        cluster
            .delete("v1/ConfigMap", &name, DeleteParams::orphan())
            .await;
        cluster.becomes("v1/ConfigMap", &name, Value::is_null).await;
    }
    definitions
        .create(&PostParams::default(), &definition("Last"))
        .await
        .unwrap();
    cluster
        .create(json!({"apiVersion": "example.com/v1", "kind": "Last", "metadata": {"name": "abandoned", "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner-0", "uid": "gone"}]}}))
        .await;
    cluster
        .becomes("example.com/v1/Last", "abandoned", Value::is_null)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_objects_are_owned_and_go_with_their_namespace() {
    let cluster = Cluster::start().await;
    let definitions = cluster.api("apiextensions.k8s.io/v1/CustomResourceDefinition", "");
    definitions
        .create(&PostParams::default(), &definition("Thing"))
        .await
        .unwrap();
    let thing = |name: &str, owners: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name, "ownerReferences": owners}});
    let owner = cluster.create(thing("owner", json!([]))).await;
    let reference = json!([{"apiVersion": "example.com/v1", "kind": "Thing", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    cluster.create(thing("owned", reference.clone())).await;
    cluster
        .create(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map", "ownerReferences": reference}}),
        )
        .await;
    cluster
        .delete("example.com/v1/Thing", "owner", DeleteParams::background())
        .await;
    cluster
        .becomes("example.com/v1/Thing", "owned", Value::is_null)
        .await;
    cluster.becomes("v1/ConfigMap", "map", Value::is_null).await;

    cluster.create(thing("left", json!([]))).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("t", &DeleteParams::default()).await.unwrap();
    cluster.until("t", "v1/Namespace", "", "t", Value::is_null).await;
    assert!(cluster.list("example.com/v1/Thing").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_pods_that_have_still_to_go() {
    let cluster = Cluster::start().await;
    let mut spec = pod_spec("sleep");
    spec["schedulerName"] = json!("nobody");
    spec["terminationGracePeriodSeconds"] = json!(2);
    let held = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "finalizers": ["example.com/hold"]}});
    let mut pod = held("Pod", "p");
    pod["spec"] = spec;
    cluster.create(pod).await;
    cluster.create(held("ConfigMap", "c")).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("t", &DeleteParams::default()).await.unwrap();
    let conditions = |n: &Value| {
        let all = n["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().map(|c| c["status"] == "True").collect::<Vec<_>>()
    };
    let waiting = cluster
        .until("namespace", "v1/Namespace", "", "t", |n| conditions(n).len() == 5)
        .await;
    assert_eq!(conditions(&waiting), [false; 5]);
    assert!(cluster.get("v1/ConfigMap", "c").await["metadata"]["deletionTimestamp"].is_null());
    let release = json!({"metadata": {"finalizers": null}});
    cluster.patch("v1/Pod", "p", release.clone()).await;
    let left = cluster
        .until("namespace", "v1/Namespace", "", "t", |n| {
            crate::harness::is_true(n, "NamespaceContentRemaining")
        })
        .await;
    let told = crate::harness::condition(&left, "NamespaceContentRemaining").unwrap();
    assert_eq!(
        told["message"],
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    cluster.patch("v1/ConfigMap", "c", release).await;
    cluster
        .until("namespace", "v1/Namespace", "", "t", Value::is_null)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_others_are_applied_and_own_ones_are_let_be() {
    let cluster = Cluster::start().await;
    let roles = cluster.api("rbac.authorization.k8s.io/v1/ClusterRole", "");
    let role = |name: &str, labels: Value, more: Value| {
        let mut role = json!({"metadata": {"name": name, "labels": labels},
            "rules": [{"apiGroups": [""], "resources": [name], "verbs": ["get"]}]});
        role.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(role).unwrap()
    };
    let of =
        |label: &str| json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"of": label}}]}});
    for (name, labels, more) in [
        ("alone", json!({}), of("nobody")),
        ("whole", json!({}), of("whole")),
        ("part", json!({"of": "whole"}), json!({})),
    ] {
        roles
            .create(&PostParams::default(), &role(name, labels, more))
            .await
            .unwrap();
    }
    let resource = |role: &Value| role["rules"][0]["resources"][0].clone();
    let kind = "rbac.authorization.k8s.io/v1/ClusterRole";
    cluster
        .until("whole", kind, "", "whole", |r| resource(r) == "part")
        .await;
    let whole = roles.get("whole").await.unwrap();
    assert!(whole.metadata.managed_fields.unwrap().iter().any(|m| {
        m.manager.as_deref() == Some("clusterrole-aggregation-controller")
            && m.operation.as_deref() == Some("Apply")
    }));
    // All roles are looked at by name in one step.
    let alone = serde_json::to_value(roles.get("alone").await.unwrap()).unwrap();
    assert_eq!(resource(&alone), "alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_leaves_its_revision_behind_makes_no_other() {
    let cluster = Cluster::start().await;
    cluster
        .create(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "finalizers": ["x.y/z"]},
            "spec": {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec("sleep")}}}))
        .await;
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| s["status"]["readyReplicas"] == 1)
        .await;
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    cluster.delete("apps/v1/StatefulSet", "db", orphan).await;
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["metadata"]["finalizers"] == json!(["x.y/z"])
        })
        .await;
    let changed = cluster
        .patch("apps/v1/StatefulSet", "db", json!({"spec": {"replicas": 2}}))
        .await;
    cluster
        .becomes("apps/v1/StatefulSet", "db", |s| {
            s["status"]["observedGeneration"] == changed["metadata"]["generation"]
        })
        .await;
    assert_eq!(cluster.list("apps/v1/ControllerRevision").await.len(), 1);
}
