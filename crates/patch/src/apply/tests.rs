//! Server-side apply as recorded on upstream Kubernetes 1.36 (conformance case 03), and rules of the documentation.
use serde_json::{Value, json};

use super::{Manager, apply, apply_scale, track_scale, track_update};
use crate::PatchError;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const POD: &str = "io.k8s.api.core.v1.Pod";
const SERVICE: &str = "io.k8s.api.core.v1.Service";

fn manager<'a>(name: &'a str, api_version: &'a str, subresource: &'a str, time: &'a str) -> Manager<'a> {
    Manager {
        name,
        api_version,
        subresource,
        time,
    }
}

/// A tiny API server for one object.
struct Server {
    definition: &'static str,
    object: Option<Value>,
    clock: u32,
}

impl Server {
    fn new(definition: &'static str) -> Self {
        Self {
            definition,
            object: None,
            clock: 0,
        }
    }

    fn api_version(&self) -> &'static str {
        if self.definition == DEPLOYMENT {
            "apps/v1"
        } else {
            "v1"
        }
    }

    fn time(&mut self) -> String {
        self.clock += 1;
        format!("2026-11-22T20:00:{:02}Z", self.clock)
    }

    fn store(&mut self, mut object: Value) {
        schema::normalise(self.definition, &mut object).unwrap();
        schema::set_defaults(self.definition, &mut object);
        object["metadata"]["uid"] = "u".into();
        self.object = Some(object);
    }

    fn apply(&mut self, name: &str, config: &Value, force: bool) -> Result<(), PatchError> {
        let time = self.time();
        let manager = manager(name, self.api_version(), "", &time);
        let object = apply(self.definition, self.object.as_ref(), config, &manager, force)?;
        self.store(object);
        Ok(())
    }

    fn write(&mut self, name: &str, subresource: &str, change: impl FnOnce(&mut Value)) {
        let time = self.time();
        let mut object = self.object.clone().unwrap_or_else(|| json!({}));
        change(&mut object);
        schema::normalise(self.definition, &mut object).unwrap();
        schema::set_defaults(self.definition, &mut object);
        let manager = manager(name, self.api_version(), subresource, &time);
        match &self.object {
            Some(old) if subresource == "scale" => {
                track_scale(old, &mut object, &["spec", "replicas"], &manager);
            }
            old => track_update(self.definition, old.as_ref(), &mut object, &manager),
        }
        self.store(object);
    }

    /// Apply a Scale of so many replicas.
    fn scale(&mut self, name: &str, replicas: u32, force: bool) -> Result<(), PatchError> {
        let time = self.time();
        let manager = manager(name, self.api_version(), "scale", &time);
        let mut object = self.object().clone();
        let scale = |replicas: &Value| {
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"},
            "spec": {"replicas": replicas}})
        };
        let path = ["spec", "replicas"];
        let (live, applied) = (scale(&object["spec"]["replicas"]), scale(&replicas.into()));
        let (new, owners) = apply_scale(&object, &live, &path, &applied, &manager, force)?;
        object["spec"]["replicas"] = new["spec"]["replicas"].clone();
        object["metadata"]["managedFields"] = owners;
        self.store(object);
        Ok(())
    }

    fn object(&self) -> &Value {
        self.object.as_ref().unwrap()
    }

    /// `MANAGER OPERATION FIELDS` lines, as the conformance case prints them.
    fn owners(&self) -> Vec<String> {
        let entries = self.object()["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        entries
            .iter()
            .map(|e| {
                format!(
                    "{} {} {}",
                    text(&e["manager"]),
                    text(&e["operation"]),
                    e["fieldsV1"]
                )
            })
            .collect()
    }
}

fn deployment(replicas: Option<i64>) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "demo.local/busybox:1", "ports": [{"containerPort": 80}]}]}}}
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

fn conflicts(error: PatchError) -> Vec<String> {
    match error {
        PatchError::Conflict(conflicts) => conflicts
            .into_iter()
            .map(|c| format!("{}: {}", c.message, c.field))
            .collect(),
        other => panic!("{other}"),
    }
}

const TEMPLATE: &str = r#""f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}"#;

/// The whole of conformance case 03, byte for byte.
#[test]
fn two_appliers_and_a_controller() {
    let mut server = Server::new(DEPLOYMENT);
    server.apply("kubectl", &deployment(Some(0)), false).unwrap();
    server.write("kube-controller-manager", "status", |d| {
        d["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m",
            "lastUpdateTime": "2026-11-22T20:00:00Z", "lastTransitionTime": "2026-11-22T20:00:00Z"});
        d["status"] = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2,
            "terminatingReplicas": 0, "conditions": [condition("Available"), condition("Progressing")]});
    });
    let other = deployment(Some(2));
    let error = server.apply("other", &other, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.replicas"
    );
    server.apply("other", &other, true).unwrap();
    assert_eq!(
        server.owners(),
        [
            format!(r#"kubectl Apply {{"f:spec":{{{TEMPLATE}}}"#),
            format!(r#"other Apply {{"f:spec":{{"f:replicas":{{}},{TEMPLATE}}}"#),
            r#"kube-controller-manager Update {"f:metadata":{"f:annotations":{".":{},"f:deployment.kubernetes.io/revision":{}}},"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Progressing\"}":{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}}},"f:observedGeneration":{},"f:replicas":{},"f:terminatingReplicas":{},"f:unavailableReplicas":{},"f:updatedReplicas":{}}}"#.to_owned(),
        ]
    );
    server.apply("kubectl", &deployment(None), false).unwrap();
    assert_eq!(server.object()["spec"]["replicas"], 2, "somebody else owns them");
    server.write("kubectl", "scale", |d| d["spec"]["replicas"] = 0.into());
    server.apply("other", &other, false).unwrap();
    let error = server.apply("kubectl", &deployment(Some(0)), false).unwrap_err();
    assert_eq!(conflicts(error), [r#"conflict with "other": .spec.replicas"#]);
}

#[test]
fn scaling_takes_the_replicas() {
    let mut server = Server::new(DEPLOYMENT);
    server.apply("kubectl", &deployment(Some(1)), false).unwrap();
    server.write("hpa", "scale", |d| d["spec"]["replicas"] = 5.into());
    assert_eq!(
        server.owners(),
        [
            format!(r#"kubectl Apply {{"f:spec":{{{TEMPLATE}}}"#),
            r#"hpa Update {"f:spec":{"f:replicas":{}}}"#.to_owned()
        ]
    );
    let error = server.apply("kubectl", &deployment(Some(1)), false).unwrap_err();
    assert_eq!(
        conflicts(error),
        [r#"conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas"#]
    );
}

#[test]
fn an_applied_scale_owns_the_replicas() {
    let mut server = Server::new(DEPLOYMENT);
    server.apply("kubectl", &deployment(Some(1)), false).unwrap();
    let error = server.scale("hpa", 5, false).unwrap_err();
    assert_eq!(conflicts(error), [r#"conflict with "kubectl": .spec.replicas"#]);
    // The same number is shared.
    server.scale("hpa", 1, false).unwrap();
    let owners = [
        r#"hpa Apply {"f:spec":{"f:replicas":{}}}"#.to_owned(),
        format!(r#"kubectl Apply {{"f:spec":{{"f:replicas":{{}},{TEMPLATE}}}"#),
    ];
    assert_eq!(server.owners(), owners);
    server.scale("hpa", 5, true).unwrap();
    assert_eq!(server.object()["spec"]["replicas"], 5);
    assert_eq!(
        server.owners(),
        [
            r#"hpa Apply {"f:spec":{"f:replicas":{}}}"#.to_owned(),
            format!(r#"kubectl Apply {{"f:spec":{{{TEMPLATE}}}"#),
        ]
    );
    let entry = &server.object()["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["apiVersion"], &entry["subresource"]),
        (&"apps/v1".into(), &"scale".into())
    );
    let error = server.apply("kubectl", &deployment(Some(1)), false).unwrap_err();
    assert_eq!(
        conflicts(error),
        [r#"conflict with "hpa" with subresource "scale": .spec.replicas"#]
    );
}

#[test]
fn what_is_no_longer_applied_goes() {
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    let mut server = Server::new(CONFIG_MAP);
    server
        .apply("kubectl", &map(json!({"a": "1", "b": "2"})), false)
        .unwrap();
    assert_eq!(
        server.owners(),
        [r#"kubectl Apply {"f:data":{"f:a":{},"f:b":{}}}"#]
    );
    server.apply("kubectl", &map(json!({"a": "1"})), false).unwrap();
    assert_eq!(server.object()["data"], json!({"a": "1"}));
    // Co-owned: it stays when one of the two lets go, and goes with the second.
    server
        .apply("other", &map(json!({"a": "1", "c": "3"})), false)
        .unwrap();
    server.apply("kubectl", &map(json!({})), false).unwrap();
    assert_eq!(server.object()["data"], json!({"a": "1", "c": "3"}));
    server.apply("other", &map(json!({"c": "3"})), false).unwrap();
    assert_eq!(server.object()["data"], json!({"c": "3"}));
    server
        .apply(
            "other",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}),
            false,
        )
        .unwrap();
    assert_eq!(server.object().get("data"), None);
}

#[test]
fn an_unchanged_apply_changes_nothing() {
    let mut server = Server::new(DEPLOYMENT);
    server.apply("kubectl", &deployment(Some(1)), false).unwrap();
    let before = server.object().clone();
    server.apply("kubectl", &deployment(Some(1)), false).unwrap();
    assert_eq!(server.object(), &before, "not even the time");
    server.write("kubectl", "", |_| {});
    assert_eq!(server.object(), &before);
}

/// What an ordinary create looks like: `kubectl create deployment` on upstream.
#[test]
fn a_created_object_belongs_to_its_creator() {
    let mut server = Server::new(DEPLOYMENT);
    server.write("kubectl-create", "", |d| {
        *d = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
        });
    });
    let wanted = r#"kubectl-create Update {"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}}}"#;
    assert_eq!(server.owners(), [wanted]);
    let entry = &server.object()["metadata"]["managedFields"][0];
    assert_eq!(entry["apiVersion"], "apps/v1");
    assert_eq!(entry["fieldsType"], "FieldsV1");
    assert_eq!(entry["time"], "2026-11-22T20:00:01Z");
    assert_eq!(entry.get("subresource"), None);
}

#[test]
fn an_update_takes_what_it_changes() {
    let mut server = Server::new(CONFIG_MAP);
    let base = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
    server.write("one", "", |d| *d = base);
    assert_eq!(
        server.owners(),
        [r#"one Update {"f:data":{".":{},"f:a":{},"f:b":{}}}"#]
    );
    server.write("two", "", |d| d["data"] = json!({"a": "9"}));
    assert_eq!(
        server.owners(),
        [
            r#"one Update {"f:data":{}}"#,
            r#"two Update {"f:data":{"f:a":{}}}"#
        ],
        "removed fields belong to nobody"
    );
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "0"}});
    let error = server.apply("three", &config, false).unwrap_err();
    assert_eq!(conflicts(error), [r#"conflict with "two" using v1: .data.a"#]);
    // Applying the same value is no conflict: the field is shared.
    let same =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "9"}});
    server.apply("three", &same, false).unwrap();
    assert!(
        server
            .owners()
            .contains(&r#"two Update {"f:data":{"f:a":{}}}"#.to_owned())
    );
    // A list of one empty entry forgets everything.
    server.write("four", "", |d| d["metadata"]["managedFields"] = json!([{}]));
    assert!(server.owners().is_empty());
    server.write("four", "", |d| d["data"]["z"] = "1".into());
    assert!(server.owners().is_empty(), "not tracked until somebody applies");
    server
        .apply(
            "five",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"y": "1"}}),
            false,
        )
        .unwrap();
    assert_eq!(
        server.owners(),
        [
            r#"five Apply {"f:data":{"f:y":{}}}"#,
            r#"before-first-apply Update {"f:data":{".":{},"f:a":{},"f:z":{}}}"#
        ]
    );
}

#[test]
fn lists_are_merged_by_their_keys() {
    let mut server = Server::new(SERVICE);
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    server
        .apply("one", &service(json!([{"port": 80, "name": "http"}])), false)
        .unwrap();
    server
        .apply(
            "two",
            &service(json!([{"port": 80, "protocol": "UDP", "name": "quic"}])),
            false,
        )
        .unwrap();
    let names: Vec<_> = server.object()["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(
        names,
        ["http", "quic"],
        "the same port with another protocol is another element"
    );
    server.apply("one", &service(json!([])), false).unwrap();
    assert_eq!(server.object()["spec"]["ports"].as_array().unwrap().len(), 1);
    let twice = service(json!([{"port": 80}, {"port": 80, "protocol": "TCP"}]));
    let error = server.apply("one", &twice, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to create typed patch object (/s; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]"
    );
}

#[test]
fn sets_and_the_order_of_lists() {
    let pod = |finalizers: Value, containers: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": finalizers},
               "spec": {"containers": containers}})
    };
    let mut server = Server::new(POD);
    let container = |name: &str| json!({"name": name, "image": "i"});
    server
        .apply(
            "one",
            &pod(
                json!(["x.io/a", "x.io/b"]),
                json!([container("a"), container("b")]),
            ),
            false,
        )
        .unwrap();
    server
        .apply(
            "two",
            &pod(
                json!(["x.io/c"]),
                json!([container("c"), container("b"), container("d")]),
            ),
            false,
        )
        .unwrap();
    let names: Vec<_> = server.object()["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(names, ["a", "c", "b", "d"]);
    assert_eq!(
        server.object()["metadata"]["finalizers"],
        json!(["x.io/a", "x.io/b", "x.io/c"])
    );
    assert!(
        server.owners()[1].contains(r#""f:finalizers":{"v:\"x.io/c\"":{}}"#),
        "{:?}",
        server.owners()
    );
}

/// `kubectl apply --server-side` on what `kubectl apply` made.
#[test]
fn the_annotation_of_client_side_apply_is_honoured() {
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": value}});
    let mut server = Server::new(CONFIG_MAP);
    server.write("kubectl-client-side-apply", "", |d| {
        *d = map("1");
        d["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": map("1").to_string()});
    });
    assert!(matches!(
        server.apply("someone", &map("2"), false),
        Err(PatchError::Conflict(_))
    ));
    server.apply("kubectl", &map("2"), false).unwrap();
    assert_eq!(server.object()["data"]["a"], "2");
    let last =
        &server.object()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        *last,
        r#"{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"m"}}"#.to_owned()
            + "\n"
    );
    server.write("editor", "", |d| d["data"]["a"] = "3".into());
    assert!(
        matches!(
            server.apply("kubectl", &map("4"), false),
            Err(PatchError::Conflict(_))
        ),
        "changed since"
    );
}

#[test]
fn old_writers_are_merged() {
    let mut server = Server::new(CONFIG_MAP);
    server.write("w0", "", |d| *d = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v"}}));
    for n in 1..15 {
        server.write(&format!("w{n}"), "", |d| d["data"][format!("k{n}")] = "v".into());
    }
    let owners = server.owners();
    assert_eq!(owners.len(), 10);
    assert!(
        owners[0].starts_with(r#"ancient-changes Update {"f:data":{".":{},"f:k":{},"f:k1":{}"#),
        "{}",
        owners[0]
    );
}

#[test]
fn what_cannot_be_applied() {
    let mut server = Server::new(CONFIG_MAP);
    let wrong = json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let error = server.apply("one", &wrong, false).unwrap_err().to_string();
    assert_eq!(
        error,
        "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"
    );
    let fields =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "managedFields": []}});
    assert_eq!(
        server.apply("one", &fields, false).unwrap_err().to_string(),
        "metadata.managedFields must be nil"
    );
}

/// Seen on 1.36.2: an applied `null` of a list that Go always writes is owned as one field, and stands when it is applied again, also by
/// who applied entries before (the fuzz target `managed` found where not).
#[test]
fn lists_that_are_null_converge() {
    for (definition, version, kind, full, null) in [
        (
            "io.k8s.api.storage.v1.CSINode",
            "storage.k8s.io/v1",
            "CSINode",
            json!({"drivers": [{"name": "a.b", "nodeID": "x"}]}),
            json!({"drivers": null}),
        ),
        (
            POD,
            "v1",
            "Pod",
            json!({"containers": [{"name": "a", "image": "b"}]}),
            json!({"containers": null}),
        ),
    ] {
        let manager = manager("alice", version, "", "2026-01-01T00:00:00Z");
        let wish = |spec: &Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec});
        let full = apply(definition, None, &wish(&full), &manager, false).unwrap();
        for before in [None, Some(&full)] {
            let once = apply(definition, before, &wish(&null), &manager, false).unwrap();
            assert!(once["spec"].is_object(), "{once}");
            let again = apply(definition, Some(&once), &wish(&null), &manager, false).unwrap();
            assert_eq!(again, once, "{kind}");
        }
    }
}

/// What is stored has no empty lists upstream, so that nobody owns one that was there before the first apply (the fuzz target `patches`).
#[test]
fn an_empty_list_is_nobodys_before_the_first_apply() {
    let wish =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}});
    let manager = manager("alice", "v1", "", "2026-01-01T00:00:00Z");
    let live =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": null}});
    let once = apply(POD, Some(&live), &wish, &manager, false).unwrap();
    assert_eq!(once["metadata"].get("managedFields"), None);
    let again = apply(POD, Some(&once), &wish, &manager, false).unwrap();
    assert_eq!(again["metadata"].get("managedFields"), None);
    let volumes = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "annotations": {}},
        "spec": {"containers": [{"name": "a", "args": []}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    let own = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {"a": "b"}}});
    let applied = apply(POD, Some(&volumes), &own, &manager, false).unwrap();
    let fields = applied["metadata"]["managedFields"].to_string();
    assert!(fields.contains("f:emptyDir") && !fields.contains("f:args") && !fields.contains("f:annotations"));
}

/// The strategies of signing requests, as 1.36.2 was seen to own them.
#[test]
fn who_approves_a_signing_request_does_not_issue() {
    const DEFINITION: &str = "io.k8s.api.certificates.v1.CertificateSigningRequest";
    let live = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "x"},
        "spec": {"request": "", "signerName": "a/b"}});
    let owners = |subresource: &str, status: Value| {
        let wish = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": "x"}, "status": status});
        let manager = manager("x", "certificates.k8s.io/v1", subresource, "2026-01-01T00:00:00Z");
        let applied = apply(DEFINITION, Some(&live), &wish, &manager, false).unwrap();
        applied["metadata"].get("managedFields").cloned()
    };
    let conditions = json!({"conditions": [{"type": "Other", "status": "True"}]});
    assert_eq!(owners("", conditions.clone()), None);
    assert_eq!(owners("status", conditions.clone()), None);
    let approved = owners("approval", conditions).unwrap();
    assert_eq!(approved.as_array().map(Vec::len), Some(1));
    assert_eq!(owners("approval", json!({"certificate": "eA=="})), None);
    assert!(owners("status", json!({"certificate": "eA=="})).is_some());
}

/// Seen on 1.36.2: elements that nobody owns stay under an applied `null`, until the same is applied again.
#[test]
fn a_null_list_takes_what_nobody_owns_the_second_time() {
    let bob = json!([{"manager": "bob", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}}]);
    let live = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "labels": {"x": "1"}, "managedFields": bob},
        "secrets": [{"name": "s"}]});
    let wish =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "secrets": null});
    let manager = manager("alice", "v1", "", "2026-01-01T00:00:00Z");
    let definition = "io.k8s.api.core.v1.ServiceAccount";
    let once = apply(definition, Some(&live), &wish, &manager, false).unwrap();
    assert_eq!(once["secrets"], live["secrets"]);
    let again = apply(definition, Some(&once), &wish, &manager, false).unwrap();
    assert_eq!(again.get("secrets"), None);
}

/// As 1.36.2 was seen to keep them: JSON that no struct holds is what was applied, with its nulls.
#[test]
fn nulls_stay_in_json_that_is_free() {
    let wish = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x", "labels": null},
        "revision": 0, "data": {"metadata": null, "x": [null]}});
    let manager = manager("x", "apps/v1", "", "2026-01-01T00:00:00Z");
    let definition = "io.k8s.api.apps.v1.ControllerRevision";
    let applied = apply(definition, None, &wish, &manager, false).unwrap();
    assert_eq!(applied["data"], wish["data"]);
    assert_eq!(applied["metadata"].get("labels"), None);
    assert_eq!(
        apply(definition, Some(&applied), &wish, &manager, false).unwrap(),
        applied
    );
}
