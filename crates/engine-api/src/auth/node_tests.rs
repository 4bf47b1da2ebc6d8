//! What the Node authorizer says, in upstream's words (seen on 1.36.2).
use engine_store::{Precondition, Store};
use kube_types::FieldSelector;
use serde_json::{Value, json};

use super::*;

async fn store() -> Store {
    let store = engine_store::Config::default().build().unwrap();
    let pod = |name: &str, node: &str, mut spec: Value, annotations: Value| {
        spec["nodeName"] = node.into();
        json!({"metadata": {"name": name, "namespace": "ns", "annotations": annotations}, "spec": spec})
    };
    let own = json!({"serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}], "envFrom": [{"configMapRef": {"name": "whole"}}]}],
        "volumes": [{"name": "a", "secret": {"secretName": "volume"}}, {"name": "b", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "c", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "d", "projected": {"sources": [{"secret": {"name": "part"}}, {"configMap": {"name": "part"}}]}}],
        "resourceClaims": [{"name": "r", "resourceClaimName": "devices"}]});
    let foreign = json!({"volumes": [{"name": "a", "secret": {"secretName": "foreign"}}]});
    let mirror = json!({"volumes": [{"name": "a", "secret": {"secretName": "mirrored"}}]});
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "ns", "name": "claim"},
        "csi": {"nodePublishSecretRef": {"namespace": "other", "name": "publish"}, "controllerPublishSecretRef": {"namespace": "other", "name": "attach"}}}});
    for (key, object) in [
        ("pods/ns/own", pod("own", "n", own, Value::Null)),
        ("pods/ns/foreign", pod("foreign", "m", foreign, Value::Null)),
        (
            "pods/ns/mirror",
            pod("mirror", "n", mirror, json!({"kubernetes.io/config.mirror": "x"})),
        ),
        ("persistentvolumes/pv", volume),
        (
            "volumeattachments.storage.k8s.io/own",
            json!({"metadata": {}, "spec": {"nodeName": "n"}}),
        ),
        (
            "volumeattachments.storage.k8s.io/foreign",
            json!({"metadata": {}, "spec": {"nodeName": "m"}}),
        ),
    ] {
        store.put(key, object, Precondition::None).await.unwrap();
    }
    store
}

/// Verb, resource (with its group after a dot and its subresource after a slash), namespace, name.
fn attributes(what: &str) -> Attributes {
    let words: Vec<&str> = what.split(' ').collect();
    let (resource, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let fields: FieldSelector = word(4).parse().unwrap();
    Attributes {
        verb: words[0].to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: word(2).trim_matches('-').to_owned(),
        name: word(3).trim_matches('-').to_owned(),
        path: String::new(),
        fields: fields.requirements().to_vec(),
    }
}

#[tokio::test]
async fn nodes_see_what_their_pods_name() {
    let store = store().await;
    let node = User::new("system:node:n", [NODES]);
    let none = "no relationship found between node 'n' and this object";
    for (what, refusal) in [
        ("get secrets ns volume", None),
        ("watch secrets ns pull", None),
        ("list secrets ns env", None),
        ("get secrets ns part", None),
        ("get secrets ns foreign", Some(none)),
        ("get secrets ns mirrored", Some(none)),
        ("get secrets other publish", None),
        ("get secrets other attach", Some(none)),
        ("list secrets ns", Some("No Object name found")),
        (
            "list secrets",
            Some("can only read namespaced object of this type"),
        ),
        (
            "update secrets ns volume",
            Some("can only read resources of this type"),
        ),
        ("get configmaps ns whole", None),
        ("get configmaps ns part", None),
        ("get configmaps ns env", Some(none)),
        ("get persistentvolumeclaims ns claim", None),
        ("get persistentvolumeclaims ns own-c", None),
        ("get persistentvolumeclaims ns other", Some(none)),
        (
            "list persistentvolumeclaims ns",
            Some("can only get individual resources of this type"),
        ),
        ("patch persistentvolumeclaims/status ns claim", None),
        (
            "get persistentvolumeclaims/status ns claim",
            Some("can only get/update/patch this type"),
        ),
        ("get persistentvolumes - pv", None),
        ("get persistentvolumes - other", Some(none)),
        ("get resourceclaims.resource.k8s.io ns devices", None),
        ("get volumeattachments.storage.k8s.io - own", None),
        ("get volumeattachments.storage.k8s.io - foreign", Some(none)),
        ("get serviceaccounts ns sa", None),
        ("create serviceaccounts/token ns sa", None),
        ("create serviceaccounts/token ns other", Some(none)),
        ("get pods ns own", None),
        ("get pods ns mirror", None),
        ("get pods ns foreign", Some(none)),
        (
            "list pods",
            Some("can only list/watch pods with spec.nodeName field selector"),
        ),
        ("list pods - - spec.nodeName=n", None),
        (
            "list pods - - spec.nodeName!=n",
            Some("can only list/watch pods with spec.nodeName field selector"),
        ),
        ("create pods/eviction ns foreign", None),
        ("patch pods ns own", Some("")),
        ("get nodes - n", None),
        (
            "get nodes - m",
            Some("node 'n' cannot read 'm', only its own Node object"),
        ),
        (
            "list nodes",
            Some("node 'n' cannot read all nodes, only its own Node object"),
        ),
        ("update nodes/status - m", None),
        ("delete nodes - n", Some("")),
        ("get leases.coordination.k8s.io kube-node-lease n", None),
        (
            "get leases.coordination.k8s.io kube-node-lease m",
            Some("can only access node lease with the same name as the requesting node"),
        ),
        (
            "get leases.coordination.k8s.io ns n",
            Some("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        ("patch csinodes.storage.k8s.io - n", None),
        ("create resourceslices.resource.k8s.io", None),
        (
            "deletecollection resourceslices.resource.k8s.io - - spec.nodeName=n",
            None,
        ),
        ("list services", None),
        ("create events.events.k8s.io ns", None),
        ("list namespaces", Some("")),
    ] {
        let decided = decide(&store, &node, &attributes(what));
        let said = (!decided.allowed).then_some(decided.reason.as_str());
        assert_eq!(said, refusal, "{what}");
    }
    let anybody = User::new("system:node:n", [] as [&str; 0]);
    assert_eq!(
        decide(&store, &anybody, &attributes("get nodes - n")),
        Decision::default()
    );
    let nameless = decide(
        &store,
        &User::new("system:node:", [NODES]),
        &attributes("get nodes - n"),
    );
    assert_eq!(nameless.reason, "unknown node for user \"system:node:\"");
}
