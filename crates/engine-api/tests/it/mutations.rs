//! MutatingAdmissionPolicies.
use serde_json::{Value, json};

use crate::common::{MAPS, Server};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn policy(name: &str, mutations: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["", "apps"],
            "apiVersions": ["v1"], "resources": ["configmaps", "deployments"]}]},
        "reinvocationPolicy": "Never", "mutations": mutations}})
}

fn configuration(expression: &str) -> Value {
    json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}])
}

fn patch(expression: &str) -> Value {
    json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}])
}

async fn bind(server: &Server, policy: &Value, spec: Value) {
    let name = policy["metadata"]["name"].as_str().unwrap();
    server
        .ok("POST", &format!("{GROUP}/mutatingadmissionpolicies"), policy)
        .await;
    let mut binding = json!({"metadata": {"name": name}, "spec": spec});
    binding["spec"]["policyName"] = name.into();
    server
        .ok(
            "POST",
            &format!("{GROUP}/mutatingadmissionpolicybindings"),
            &binding,
        )
        .await;
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

#[tokio::test]
async fn configurations_are_merged_and_steps_applied() {
    let server = Server::new().await;
    let mut first = policy(
        "a",
        configuration(
            "Object{metadata: Object.metadata{labels: {'by': variables.who}}, data: {'b': object.data.a}}",
        ),
    );
    first["spec"]["variables"] = json!([{"name": "who", "expression": "request.userInfo.username"}]);
    first["spec"]["matchConditions"] = json!([{"name": "c", "expression": "object.metadata.name != 'free'"}]);
    bind(&server, &first, json!({})).await;
    // Sees what the first has made.
    let second = "'b' in object.data ? [JSONPatch{op: 'test', path: '/data/b', value: '1'}, \
                  JSONPatch{op: 'add', path: '/metadata/annotations', value: {'k8s.io/x': 'y'}}] : []";
    bind(&server, &policy("b", patch(second)), json!({})).await;
    let made = server.ok("POST", MAPS, &map("m")).await;
    assert_eq!(made["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(made["metadata"]["labels"], json!({"by": "admin"}));
    assert_eq!(made["metadata"]["annotations"], json!({"k8s.io/x": "y"}));
    let free = server.ok("POST", MAPS, &map("free")).await;
    assert_eq!(free["data"], json!({"a": "1"}));
    // A test that fails takes the whole patch away.
    let mut other = map("n");
    other["data"]["a"] = "2".into();
    let made = server.ok("POST", MAPS, &other).await;
    assert_eq!(
        (&made["data"]["b"], &made["metadata"]["annotations"]),
        (&json!("2"), &Value::Null)
    );
}

#[tokio::test]
async fn lists_are_merged_by_their_keys_and_atomic_ones_are_refused() {
    let server = Server::new().await;
    let add = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [\
               Object.spec.template.spec.containers{name: 'side', image: 's:1'}]}}}}";
    bind(&server, &policy("side", configuration(add)), json!({})).await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
    };
    let made = server.ok("POST", deployments, &deployment("d")).await;
    let containers = made["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let names: Vec<_> = containers.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "side"]);
    // What was added is defaulted as what was sent.
    assert_eq!(containers[1]["terminationMessagePath"], "/dev/termination-log");
    let atomic = "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'c': 'd'}}}}";
    bind(&server, &policy("worse", configuration(atomic)), json!({})).await;
    let (code, message) = server.fails("POST", deployments, &deployment("e")).await;
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "policy 'worse' with binding 'worse' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic \
             arrays, maps or structs: .spec.selector"
        )
    );
}

#[tokio::test]
async fn failures_refuse_unless_they_are_ignored_and_params_are_seen() {
    let server = Server::new().await;
    let mut wrong = policy("wrong", configuration("Object{data: {'c': object.data.nope}}"));
    wrong["spec"]["failurePolicy"] = "Ignore".into();
    bind(&server, &wrong, json!({})).await;
    let mut with = policy("with", configuration("Object{data: {'p': params.data.p}}"));
    with["spec"]["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let reference = json!({"name": "params", "namespace": "default", "parameterNotFoundAction": "Allow"});
    bind(&server, &with, json!({"paramRef": reference})).await;
    let before = server.ok("POST", MAPS, &map("before")).await;
    assert_eq!(before["data"], json!({"a": "1"}));
    let mut params = map("params");
    params["data"] = json!({"p": "q"});
    server.ok("POST", MAPS, &params).await;
    assert_eq!(server.ok("POST", MAPS, &map("after")).await["data"]["p"], "q");
    let strict = policy("wrong2", configuration("Object{data: {'c': object.data.nope}}"));
    bind(&server, &strict, json!({})).await;
    let (code, message) = server.fails("POST", MAPS, &map("x")).await;
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "policy 'wrong2' with binding 'wrong2' denied request: expression 'Object{data: {'c': object.data.nope}}' resulted in error: \
         no such key: nope"
    );
}

#[tokio::test]
async fn who_wants_to_sees_what_came_after() {
    let server = Server::new().await;
    let count = "Object{data: {'seen': string(size(object.data))}}";
    let mut again = policy("a", configuration(count));
    again["spec"]["reinvocationPolicy"] = "IfNeeded".into();
    bind(&server, &again, json!({})).await;
    bind(
        &server,
        &policy("b", configuration("Object{data: {'late': 'x'}}")),
        json!({}),
    )
    .await;
    let made = server.ok("POST", MAPS, &map("m")).await;
    assert_eq!(made["data"], json!({"a": "1", "late": "x", "seen": "3"}));
}

#[tokio::test]
async fn what_is_no_policy() {
    let server = Server::new().await;
    let path = format!("{GROUP}/mutatingadmissionpolicies");
    for (spoilt, wanted) in [
        (
            policy("p", configuration("'text'")),
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"'text'\": must evaluate to Object but got string",
        ),
        (
            policy("p", patch("[1]")),
            "spec.mutations[0].jsonPatch.expression: Invalid value: \"[1]\": must evaluate to list(JSONPatch) but got list(int)",
        ),
        (
            policy("p", json!([])),
            "spec.mutations: Required value: mutations must contain at least one item",
        ),
        (
            policy(
                "p",
                json!([{"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}]),
            ),
            "[spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch, \
             spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch]",
        ),
    ] {
        let (code, message) = server.fails("POST", &path, &spoilt).await;
        let wanted =
            format!("MutatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: {wanted}");
        assert_eq!((code, message), (422, wanted));
    }
    let mut deletes = policy("p", configuration("Object{}"));
    deletes["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["DELETE"]);
    let (_, message) = server.fails("POST", &path, &deletes).await;
    assert!(
        message.ends_with("spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"CREATE\", \"UPDATE\""),
        "{message}"
    );
}
