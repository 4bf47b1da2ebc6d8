//! Which labels are a node's own to set, and what its pods may refer to.
use serde_json::json;

use super::*;

#[test]
fn labels_of_kubernetes_are_not_for_nodes() {
    for (label, forbidden) in [
        ("foo", false),
        ("example.com/a", false),
        ("kubernetes.io/hostname", false),
        ("kubernetes.io/other", true),
        ("a.k8s.io/b", true),
        ("fork8s.io/b", false),
        ("node-role.kubernetes.io/control-plane", true),
        ("node.kubernetes.io/any", false),
        ("a.kubelet.kubernetes.io/any", false),
        ("node-restriction.kubernetes.io/a", true),
        ("a.node-restriction.kubernetes.io/a", true),
    ] {
        assert_eq!(is_forbidden(label), forbidden, "{label}");
    }
}

#[test]
fn mirror_pods_refer_to_nothing() {
    let of = |spec: Value| refers(&json!({"spec": spec}));
    let volume = |source: Value| of(json!({"volumes": [source]}));
    assert_eq!(of(json!({})), Ok(None));
    assert_eq!(volume(json!({"name": "v", "hostPath": {"path": "/"}})), Ok(None));
    assert_eq!(
        of(json!({"serviceAccountName": "a"})),
        Ok(Some("serviceaccounts"))
    );
    assert_eq!(
        volume(json!({"secret": {"secretName": "a"}})),
        Ok(Some("secrets"))
    );
    assert_eq!(
        volume(json!({"configMap": {}})),
        Ok(Some("configmaps (via configmap volumes)"))
    );
    assert_eq!(
        volume(json!({"projected": {"sources": [{"downwardAPI": {}}, {"serviceAccountToken": {}}]}})),
        Ok(Some("serviceaccounts (via projected volumes)"))
    );
    assert_eq!(
        volume(json!({"name": "v"})),
        Err("unknown volume type for volume  \"v\"".to_owned())
    );
}

#[test]
fn what_says_the_same_is_the_same() {
    let one = json!({"a": [], "b": {"c": "1Gi"}, "d": null});
    let other = json!({"b": {"c": "1024Mi"}});
    assert!(same(&bare(one), &bare(other.clone())));
    assert!(!same(&other, &json!({"b": {"c": "1Mi"}})));
}
