//! Kinds that clients define.
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::common::{Server, send, until, warned};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {"group": "stable.example.com", "scope": "Namespaced",
        "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.labelSelector"}},
            "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["cronSpec"], "properties": {
                    "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
                    "image": {"type": "string", "default": "busybox"},
                    "replicas": {"type": "integer", "minimum": 1, "maximum": 10}}},
                "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}}}
            }}}}]}})
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec})
}

async fn defined() -> Server {
    let server = Server::new().await;
    server.ok("POST", DEFINITIONS, &definition()).await;
    server
}

#[tokio::test]
async fn an_object_is_pruned_defaulted_and_validated() {
    let server = defined().await;
    let spec = json!({"cronSpec": "* * * * */5", "replicas": 3, "other": 1});
    let (code, made, warnings) = warned(&server.admin, "POST", TABS, &tab("a", spec.clone())).await;
    assert_eq!(
        (code, warnings),
        (201, vec!["unknown field \"spec.other\"".to_owned()])
    );
    assert_eq!(
        made["spec"],
        json!({"cronSpec": "* * * * */5", "image": "busybox", "replicas": 3})
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let strict = format!("{TABS}?fieldValidation=Strict");
    let (code, message) = server.fails("POST", &strict, &tab("b", spec)).await;
    assert_eq!(code, 400);
    assert!(
        message.contains("strict decoding error: unknown field \"spec.other\""),
        "{message}"
    );
    let bad = tab("b", json!({"cronSpec": "x", "replicas": 99}));
    let (code, message) = server.fails("POST", TABS, &bad).await;
    assert_eq!(
        (code, message.as_str()),
        (
            422,
            "CronTab.stable.example.com \"b\" is invalid: [spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match \
             '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$', spec.replicas: Invalid value: 99: spec.replicas in body should be less \
             than or equal to 10]"
        )
    );
    let (_, message) = server.fails("POST", TABS, &tab("b", json!({}))).await;
    assert!(message.ends_with("spec.cronSpec: Required value"), "{message}");
}

#[tokio::test]
async fn appliers_share_a_list_by_its_keys() {
    let server = Server::new().await;
    let mut definition = definition();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"]["ports"] = json!({"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port"], "items": {"type": "object", "required": ["port"],
            "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}}});
    server.ok("POST", DEFINITIONS, &definition).await;
    let resource = ApiResource {
        group: "stable.example.com".into(),
        version: "v1".into(),
        api_version: "stable.example.com/v1".into(),
        kind: "CronTab".into(),
        plural: "crontabs".into(),
    };
    let tabs: Api<DynamicObject> = Api::namespaced_with(server.admin.clone(), "default", &resource);
    let apply = async |who: &str, ports: Value| {
        let applied = Patch::Apply(tab("a", json!({"cronSpec": "* * * * *", "ports": ports})));
        tabs.patch("a", &PatchParams::apply(who), &applied).await
    };
    apply("one", json!([{"port": 80, "name": "web"}])).await.unwrap();
    let both = apply("two", json!([{"port": 443}])).await.unwrap();
    assert_eq!(
        both.data["spec"]["ports"],
        json!([{"port": 80, "name": "web"}, {"port": 443}])
    );
    let refused = apply("two", json!([{"port": 80, "name": "http"}]))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            409,
            "Apply failed with 1 conflict: conflict with \"one\": .spec.ports[port=80].name"
        )
    );
    let left = apply("one", json!([])).await.unwrap();
    assert_eq!(left.data["spec"]["ports"], json!([{"port": 443}]));
}

#[tokio::test]
async fn status_and_scale_are_apart() {
    let server = defined().await;
    let path = format!("{TABS}/a");
    let spec = json!({"cronSpec": "* * * * *", "replicas": 1});
    let mut new = tab("a", spec.clone());
    new["status"] = json!({"replicas": 7});
    let made = server.ok("POST", TABS, &new).await;
    assert!(made.get("status").is_none());
    let patch = json!({"status": {"replicas": 1, "labelSelector": "a=b"}, "spec": {"replicas": 5}});
    let changed = server.ok("PATCH", &format!("{path}/status"), &patch).await;
    assert_eq!(
        (&changed["status"]["replicas"], &changed["spec"]["replicas"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(changed["metadata"]["generation"], 1);
    let scaled = server
        .ok(
            "PATCH",
            &format!("{path}/scale"),
            &json!({"spec": {"replicas": 4}}),
        )
        .await;
    assert_eq!(scaled["spec"]["replicas"], 4);
    assert_eq!(scaled["status"], json!({"replicas": 1, "selector": "a=b"}));
    let asked = |accept: &str| {
        let request = http::Request::get(format!("{path}/scale")).header("accept", accept);
        request.body(Vec::new()).unwrap()
    };
    // It has no other form than that of custom resources.
    let either = asked("application/vnd.kubernetes.protobuf, application/json");
    let scale = server.admin.request::<Value>(either).await.unwrap();
    assert_eq!(scale["spec"]["replicas"], 4);
    let table = asked("application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = server.admin.request::<Value>(table).await.unwrap();
    assert_eq!(
        table["columnDefinitions"][1]["description"],
        "Number of desired replicas"
    );
    let now = server.get(&path).await;
    assert_eq!(
        (&now["spec"]["replicas"], &now["metadata"]["generation"]),
        (&json!(4), &json!(2))
    );
    // As Kubernetes 1.36.2 answers: its server of custom resources knows little of scales.
    let whole = |replicas: Value| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": replicas}});
    let scale = format!("{path}/scale");
    let other = json!({"metadata": {"uid": "x"}, "spec": {"replicas": 4}});
    server.ok("PATCH", &scale, &other).await;
    let (code, said) = server.fails("PUT", &scale, &whole("1".into())).await;
    assert_eq!(code, 400);
    assert!(
        said.starts_with("no kind is registered for the type v1.Scale in scheme"),
        "{said}"
    );
    let (code, said) = server.fails("POST", &scale, &whole(1.into())).await;
    assert_eq!(
        (code, said.as_str()),
        (
            405,
            "create is not supported on resources of kind \"crontabs.stable.example.com\""
        )
    );
}

#[tokio::test]
async fn discovery_knows_it_and_forgets_it() {
    let server = defined().await;
    let list = server.get("/apis/stable.example.com/v1").await;
    assert_eq!(list["resources"][0]["name"], "crontabs");
    assert_eq!(list["resources"][0]["shortNames"], json!(["ct"]));
    assert_eq!(server.get(TABS).await["kind"], "CronTabList");
    server
        .ok("POST", TABS, &tab("a", json!({"cronSpec": "* * * * *"})))
        .await;
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let conditions = until(&server, &path, |_, d| !d["status"]["conditions"][1].is_null()).await;
    assert_eq!(conditions["status"]["conditions"][1]["type"], "Established");
    assert_eq!(conditions["status"]["acceptedNames"]["listKind"], "CronTabList");
    let owners = conditions["metadata"]["managedFields"].as_array().unwrap();
    let said = owners.iter().find(|o| o["manager"] == "kube-apiserver").unwrap();
    assert_eq!(said["subresource"], "status");
    assert!(
        !said["fieldsV1"]["f:status"]["f:acceptedNames"].is_null(),
        "{said}"
    );
    let service = "/apis/apiregistration.k8s.io/v1/apiservices/v1.stable.example.com";
    let registered = until(&server, service, |code, _| code == 200).await;
    assert_eq!(registered["spec"]["groupPriorityMinimum"], 1000);
    assert_eq!(registered["status"]["conditions"][0]["reason"], "Local");
    server.ok("DELETE", &path, &Value::Null).await;
    until(&server, &path, |code, _| code == 404).await;
    // The definition is gone first, then what it defined.
    until(&server, TABS, |code, _| code == 404).await;
    until(&server, "/apis/stable.example.com", |code, _| code == 404).await;
    until(&server, service, |code, _| code == 404).await;
}

#[tokio::test]
async fn a_changed_schema_holds_from_the_next_request_on() {
    let server = defined().await;
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let good = tab("a", json!({"cronSpec": "* * * * *", "replicas": 9}));
    server.ok("POST", TABS, &good).await;
    let at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/maximum";
    for most in [5, 20, 5] {
        let mut changed = server.get(&path).await;
        *changed.pointer_mut(at).unwrap() = most.into();
        server.ok("PUT", &path, &changed).await;
        let mut other = good.clone();
        other["metadata"]["name"] = format!("b{most}").into();
        let (code, _) = send(&server.admin, "POST", &format!("{TABS}?dryRun=All"), &other).await;
        assert_eq!(code, if most < 9 { 422 } else { 201 });
    }
}

#[tokio::test]
async fn bad_definitions_are_refused() {
    let server = Server::new().await;
    let refused = async |change: fn(&mut Value)| {
        let mut bad = definition();
        change(&mut bad);
        let (code, message) = server.fails("POST", DEFINITIONS, &bad).await;
        assert_eq!(code, 422);
        message
    };
    let named = refused(|d| d["metadata"]["name"] = "a.b".into()).await;
    assert!(
        named.contains("metadata.name: Invalid value: \"a.b\": must be spec.names.plural+\".\"+spec.group")
    );
    let scope = refused(|d| d["spec"]["scope"] = "Global".into()).await;
    assert!(scope.contains(
        "spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\""
    ));
    let stored = refused(|d| d["spec"]["versions"][0]["storage"] = false.into()).await;
    assert!(stored.contains("must have exactly one version marked as storage version"));
}

#[tokio::test]
async fn nothing_is_created_while_the_definition_goes() {
    let server = defined().await;
    let mut held = tab("a", json!({"cronSpec": "* * * * */5"}));
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    server.ok("POST", TABS, &held).await;
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    server.ok("DELETE", &path, &Value::Null).await;
    until(&server, &path, |_, d| {
        let conditions = d["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|c| {
            c["type"] == "Terminating"
                && c["reason"] == "InstanceDeletionInProgress"
                && c["message"] == "CustomResource deletion is in progress"
        })
    })
    .await;
    let (code, message) = server
        .fails("POST", TABS, &tab("b", json!({"cronSpec": "* * * * */5"})))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "crontabs.stable.example.com \"b\" is forbidden: create not allowed while custom resource definition is terminating"
        )
    );
    let freed = json!({"metadata": {"finalizers": null}});
    server.ok("PATCH", &format!("{TABS}/a"), &freed).await;
    until(&server, &path, |code, _| code == 404).await;
}

/// As Kubernetes 1.36.2 answers.
#[tokio::test]
async fn metadata_of_objects_within() {
    const WRAPS: &str = "/apis/wraps.example.com/v1/namespaces/default/wraps";
    let server = Server::new().await;
    let inner = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"metadata": {"name": "wraps.wraps.example.com"}, "spec": {"group": "wraps.example.com", "scope": "Namespaced",
        "names": {"plural": "wraps", "kind": "Wrap"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"list": {"type": "array", "items": inner}}}}}]}});
    server
        .ok(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await;
    let wrap = |metadata: Value| {
        json!({"apiVersion": "wraps.example.com/v1", "kind": "Wrap", "metadata": {"name": "w"},
            "list": [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata}]})
    };
    for (metadata, code, told) in [
        (
            json!({"labels": {"a": 5}}),
            400,
            "Wrap in version \"v1\" cannot be handled as a Wrap: list[0].metadata: Invalid value: {\"labels\":{\"a\":5}}: json: cannot unmarshal \
             number into Go struct field ObjectMeta.labels of type string",
        ),
        (
            json!("x"),
            400,
            "Wrap in version \"v1\" cannot be handled as a Wrap: list[0].metadata: Invalid value: \"x\": json: cannot unmarshal string into Go \
             value of type v1.ObjectMeta",
        ),
        (
            json!({"foo": 1}),
            400,
            "Wrap in version \"v1\" cannot be handled as a Wrap: strict decoding error: unknown field \"list[0].metadata.foo\"",
        ),
        (
            json!({"namespace": "x y"}),
            422,
            "Wrap.wraps.example.com \"w\" is invalid: list[0].metadata.namespace: Invalid value: \"x y\": a lowercase RFC 1123 label must \
             consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
             '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
    ] {
        let (found, said) = server
            .fails(
                "POST",
                &format!("{WRAPS}?fieldValidation=Strict"),
                &wrap(metadata),
            )
            .await;
        assert_eq!((found, said.as_str()), (code, told));
    }
    let odd = json!({"labels": {"a": null}, "annotations": null, "creationTimestamp": null, "foo": 1});
    let made = server.ok("POST", WRAPS, &wrap(odd)).await;
    assert_eq!(made["list"][0]["metadata"], json!({"labels": {"a": ""}}));
}
