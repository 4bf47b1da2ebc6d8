//! Who may do what, and who may grant it.
use serde_json::json;

use super::*;

fn attributes(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
    Attributes {
        verb: verb.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        name: name.into(),
        namespace: "ns".into(),
        ..Attributes::default()
    }
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> Rule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Rule {
        verbs: owned(verbs),
        groups: owned(groups),
        resources: owned(resources),
        names: owned(names),
        urls: Vec::new(),
    }
}

#[test]
fn rules_that_others_hold_together() {
    let own = [
        rule(&["get", "list"], &[""], &["pods", "*/log"], &[]),
        rule(&["list", "watch"], &["", "apps"], &["*"], &[]),
        rule(&["get"], &["apps"], &["deployments"], &["a", "b"]),
    ];
    for (wanted, held) in [
        (rule(&["get", "list", "watch"], &[""], &["pods"], &[]), true),
        (rule(&["get", "watch"], &["apps"], &["pods"], &[]), false),
        (rule(&["get", "list"], &[""], &["pods", "pods/log"], &["x"]), true),
        (
            rule(&["list"], &["", "apps"], &["pods", "replicasets", "*"], &[]),
            true,
        ),
        (rule(&["list"], &["", "apps", "batch"], &["pods"], &[]), false),
        (rule(&["get"], &["apps"], &["deployments"], &["b", "a"]), true),
        (rule(&["get"], &["apps"], &["deployments"], &["a", "c"]), false),
        (rule(&["get"], &["apps"], &["deployments"], &[]), false),
        (rule(&["get"], &[""], &["*/log"], &[]), true),
        (rule(&["get"], &[""], &["*/exec"], &[]), false),
        (rule(&["*"], &[""], &["pods"], &[]), false),
    ] {
        assert_eq!(wanted.is_held_by(&own), held, "{wanted:?}");
        assert!(wanted.is_held_by(&Rule::all()), "{wanted:?}");
    }
    let paths = |urls: &[&str]| Rule {
        verbs: vec!["get".to_owned()],
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..Rule::nothing()
    };
    assert!(paths(&["/healthz", "/api/v1"]).is_held_by(&[paths(&["/healthz"]), paths(&["/api*"])]));
    assert!(!paths(&["/healthz", "/apis"]).is_held_by(&[paths(&["/healthz"]), paths(&["/api"])]));
}

/// 10^16 rights, of which a list would be longer than any memory.
#[test]
fn a_rule_is_not_multiplied_out() {
    let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let wide = Rule {
        verbs: many.clone(),
        groups: many.clone(),
        resources: many.clone(),
        names: many,
        urls: Vec::new(),
    };
    assert!(wide.is_held_by(&Rule::all()));
    assert!(wide.is_held_by(std::slice::from_ref(&wide)));
    assert!(!wide.is_held_by(&[rule(&["*"], &["*"], &["*"], &["0"])]));
}

#[tokio::test]
async fn roles_and_bindings() {
    let store = engine_store::Config::default().build().unwrap();
    let rbac = Rbac::default();
    let user = User::new("system:serviceaccount:ns:sa", Vec::<String>::new());
    assert!(!rbac.allowed(&store, &user, &attributes("get", "pods", "", "p")));
    let group = "rbac.authorization.k8s.io";
    let put = |key: String, value| {
        let store = store.clone();
        async move {
            store
                .put(&key, value, engine_store::Precondition::None)
                .await
                .map(|_| ())
        }
    };
    put(
        format!("roles.{group}/ns/r"),
        json!({"metadata": {"name": "r", "namespace": "ns"}, "rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/log"], "resourceNames": ["p"]}]}),
    )
    .await
    .unwrap();
    put(
        format!("rolebindings.{group}/ns/b"),
        json!({"metadata": {"name": "b", "namespace": "ns"}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "ns"}]}),
    )
    .await
    .unwrap();
    rbac.changed();
    assert!(rbac.allowed(&store, &user, &attributes("get", "pods", "", "p")));
    assert!(rbac.allowed(&store, &user, &attributes("get", "pods", "log", "p")));
    assert!(!rbac.allowed(&store, &user, &attributes("get", "pods", "exec", "p")));
    assert!(!rbac.allowed(&store, &user, &attributes("get", "pods", "", "q")));
    assert!(!rbac.allowed(&store, &user, &attributes("list", "pods", "", "p")));
    let elsewhere = Attributes {
        namespace: "other".into(),
        ..attributes("get", "pods", "", "p")
    };
    assert!(!rbac.allowed(&store, &user, &elsewhere));
    let decided = rbac.decide(&store, &user, &attributes("get", "pods", "", "p"));
    assert_eq!(
        decided.reason,
        "RBAC: allowed by RoleBinding \"b/ns\" of Role \"r\" to ServiceAccount \"sa/ns\""
    );
    put(
        format!("clusterrolebindings.{group}/c"),
        json!({"metadata": {"name": "c"}, "roleRef": {"kind": "ClusterRole", "name": "gone"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "ns"}]}),
    )
    .await
    .unwrap();
    rbac.changed();
    let decided = rbac.decide(&store, &user, &elsewhere);
    assert_eq!(
        decided.reason,
        "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"
    );
    assert_eq!(
        elsewhere.refusal(&user),
        "User \"system:serviceaccount:ns:sa\" cannot get resource \"pods\" in API group \"\" in the namespace \"other\""
    );
    assert!(rbac.allowed(&store, &User::new("root", ["system:masters"]), &elsewhere));
}
