//! ValidatingAdmissionPolicies.
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod, send, warned};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn policy(name: &str, resources: &[&str], spec: Value) -> Value {
    let mut all = json!({"matchConstraints": {"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "DELETE"], "resources": resources}]}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": all})
}

fn binding(name: &str, policy: &str, spec: Value) -> Value {
    let mut all = json!({"policyName": policy, "validationActions": ["Deny"]});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": all})
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

async fn with(spec: Value, bound: Value) -> Server {
    let server = Server::new().await;
    let (code, made, warnings) = warned(
        &server.admin,
        "POST",
        POLICIES,
        &policy("p", &["configmaps"], spec),
    )
    .await;
    assert_eq!((code, warnings), (201, Vec::<String>::new()), "{made}");
    assert_eq!(made["status"], json!({}), "types are looked at by somebody else");
    server.ok("POST", BINDINGS, &binding("b", "p", bound)).await;
    server
}

#[tokio::test]
async fn words_of_refusals() {
    let validations = json!([
        {"expression": "!has(object.data) || object.data.all(k, k.startsWith('a'))"},
        {"expression": "object.metadata.name != 'bad'", "message": "bad name", "reason": "Forbidden"},
        {"expression": "variables.size < 3", "messageExpression": "'%d is too many'.format([variables.size])"},
        {"expression": "object.data.a != 'x'"},
    ]);
    let variables = json!([{"name": "data", "expression": "has(object.data) ? object.data : {}"}, {"name": "size", "expression": "size(variables.data)"}]);
    let server = with(
        json!({"validations": validations, "variables": variables}),
        json!({}),
    )
    .await;
    let by = |name: &str| {
        format!(
            "configmaps \"{name}\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
        )
    };
    for (object, code, reason, message) in [
        (
            map("m", json!({"b": "1"})),
            422,
            "Invalid",
            "failed expression: !has(object.data) || object.data.all(k, k.startsWith('a'))",
        ),
        (map("bad", json!({"a": "1"})), 403, "Forbidden", "bad name"),
        (
            map("m", json!({"a": "1", "a1": "", "a2": ""})),
            422,
            "Invalid",
            "3 is too many",
        ),
        (
            map("m", json!({"a": "x"})),
            422,
            "Invalid",
            "failed expression: object.data.a != 'x'",
        ),
        (
            map("m", json!({"a1": "x"})),
            422,
            "Invalid",
            "expression 'object.data.a != 'x'' resulted in error: no such key: a",
        ),
    ] {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let (is, status) = send(&server.admin, "POST", MAPS, &object).await;
        let wanted = format!("{}{message}", by(&name));
        assert_eq!(
            (is, status["reason"].as_str(), status["message"].as_str()),
            (code, Some(reason), Some(wanted.as_str()))
        );
        let cause = status["details"]["causes"][0]["message"].as_str().unwrap();
        assert!(cause.starts_with("ValidatingAdmissionPolicy 'p'"), "{cause}");
    }
    server.ok("POST", MAPS, &map("m", json!({"a": "1"}))).await;
    server.ok("DELETE", &format!("{BINDINGS}/b"), &Value::Null).await;
    server.ok("POST", MAPS, &map("bad", json!({}))).await;
}

#[tokio::test]
async fn warned_and_not_refused() {
    let server = with(
        json!({"validations": [{"expression": "false", "message": "no"}]}),
        json!({"validationActions": ["Warn", "Audit"]}),
    )
    .await;
    let (code, _, warnings) = warned(&server.admin, "POST", MAPS, &map("m", json!({}))).await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]
    );
}

#[tokio::test]
async fn parameters() {
    let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let spec = json!({"paramKind": kind, "validations": [{"expression": "params == null || size(object.data) <= int(params.data.most)",
        "messageExpression": "'at most ' + params.data.most"}],
        "matchConditions": [{"name": "not-params", "expression": "!object.metadata.name.startsWith('params')"}]});
    let reference = json!({"name": "params", "namespace": "default", "parameterNotFoundAction": "Deny"});
    let server = with(spec, json!({"paramRef": reference})).await;
    let (_, message) = server.fails("POST", MAPS, &map("m", json!({"a": ""}))).await;
    assert!(
        message.ends_with("denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"),
        "{message}"
    );
    // The parameters themselves are not judged by what they say, but have to be there.
    let path = format!("{BINDINGS}/b");
    let lenient = |reference: Value| json!({"spec": {"paramRef": reference}});
    server
        .ok(
            "PATCH",
            &path,
            &lenient(json!({"parameterNotFoundAction": "Allow"})),
        )
        .await;
    server
        .ok("POST", MAPS, &map("params", json!({"most": "1"})))
        .await;
    server.ok("POST", MAPS, &map("m", json!({"a": ""}))).await;
    let (_, message) = server
        .fails("POST", MAPS, &map("n", json!({"a": "", "b": ""})))
        .await;
    assert!(message.ends_with("denied request: at most 1"), "{message}");
    server
        .ok(
            "PATCH",
            &format!("{MAPS}/params"),
            &json!({"metadata": {"labels": {"x": "y"}}, "data": {"most": "2"}}),
        )
        .await;
    server
        .ok(
            "PATCH",
            &path,
            &lenient(json!({"name": null, "selector": {"matchLabels": {"x": "y"}}})),
        )
        .await;
    server
        .ok("POST", MAPS, &map("n", json!({"a": "", "b": ""})))
        .await;
}

#[tokio::test]
async fn who_asks_and_where() {
    let validations = json!([
        {"expression": "request.userInfo.username == 'admin' || authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
            "message": "no secrets"},
        {"expression": "!has(namespaceObject.metadata.labels.closed)", "message": "closed"},
        {"expression": "request.operation != 'DELETE' || oldObject.data.a != 'kept'", "message": "kept"},
        {"expression": "request.operation != 'UPDATE' || object.data == oldObject.data", "message": "fixed"},
    ]);
    let server = with(json!({"validations": validations}), json!({})).await;
    let role = json!({"metadata": {"name": "maps"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]});
    let bind = json!({"metadata": {"name": "maps"}, "subjects": [{"kind": "User", "name": "jane"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maps"}});
    server
        .ok("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)
        .await;
    server
        .ok(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &bind,
        )
        .await;
    let jane = server.api.client("jane", &[], "test/1");
    let (code, status) = send(&jane, "POST", MAPS, &map("m", json!({}))).await;
    assert_eq!(code, 422);
    assert!(
        status["message"].as_str().unwrap().ends_with("no secrets"),
        "{status}"
    );
    server.ok("POST", MAPS, &map("m", json!({"a": "kept"}))).await;
    for (method, body, why) in [
        ("DELETE", Value::Null, "kept"),
        ("PATCH", json!({"data": {"b": "1"}}), "fixed"),
    ] {
        let (_, message) = server.fails(method, &format!("{MAPS}/m"), &body).await;
        assert!(message.ends_with(why), "{message}");
    }
    server
        .ok(
            "PATCH",
            "/api/v1/namespaces/default",
            &json!({"metadata": {"labels": {"closed": "yes"}}}),
        )
        .await;
    let (_, message) = server.fails("POST", MAPS, &map("o", json!({}))).await;
    assert!(message.ends_with("closed"), "{message}");
}

#[tokio::test]
async fn failures_are_heeded_or_not() {
    let broken = json!({"validations": [{"expression": "object.data.nothing == 'a'"}]});
    let server = with(broken.clone(), json!({})).await;
    assert_eq!(server.fails("POST", MAPS, &map("m", json!({}))).await.0, 422);
    let mut lenient = broken;
    lenient["failurePolicy"] = "Ignore".into();
    let server = with(lenient, json!({})).await;
    server.ok("POST", MAPS, &map("m", json!({}))).await;
    // A policy of many variables that double costs what it may, and no more.
    let mut variables = vec![json!({"name": "v0", "expression": "'0123456789'"})];
    for n in 1..60 {
        variables.push(json!({"name": format!("v{n}"), "expression": format!("variables.v{} + variables.v{}", n - 1, n - 1)}));
    }
    let server = with(
        json!({"variables": variables, "validations": [{"expression": "size(variables.v59) > 0"}]}),
        json!({}),
    )
    .await;
    let (code, message) = server.fails("POST", MAPS, &map("m", json!({}))).await;
    assert_eq!(code, 422);
    assert!(message.contains("cost"), "{message}");
}

#[tokio::test]
async fn only_what_is_bound() {
    let server = with(
        json!({"validations": [{"expression": "false"}]}),
        json!({"matchResources": {"namespaceSelector": {"matchLabels": {"strict": "yes"}},
            "excludeResourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], "resourceNames": ["free"]}]}}),
    )
    .await;
    server.ok("POST", MAPS, &map("m", json!({}))).await;
    server
        .ok(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": "s", "labels": {"strict": "yes"}}}),
        )
        .await;
    let there = "/api/v1/namespaces/s/configmaps";
    assert_eq!(server.fails("POST", there, &map("m", json!({}))).await.0, 422);
    server.ok("POST", there, &map("free", json!({}))).await;
    server.ok("POST", PODS, &pod("p")).await;
}

#[tokio::test]
async fn expressions_are_checked() {
    let server = Server::new().await;
    let refused = async |spec: Value| {
        server
            .fails("POST", POLICIES, &policy("p", &["pods"], spec))
            .await
    };
    for (spec, wanted) in [
        (
            json!({"validations": [{"expression": "object.x ="}]}),
            "spec.validations[0].expression: Invalid value: \"object.x =\": compilation failed: ERROR: <input>:1:10: Syntax error",
        ),
        (
            json!({"validations": [{"expression": "1 + 1"}]}),
            "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool but got int",
        ),
        (
            json!({"validations": [{"expression": "request.nothing == ''"}]}),
            "undefined field 'nothing'",
        ),
        (
            json!({"validations": [{"expression": "variables.b"}], "variables": [{"name": "a", "expression": "true"}]}),
            "undefined field 'b'",
        ),
        (
            json!({"validations": [{"expression": "params.x"}]}),
            "undeclared reference to 'params' (in container '')",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "authorizer.path('/').check('get').reason()"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"authorizer.path('/').check('get').reason()\": compilation failed: \
             ERROR: <input>:1:1: undeclared reference to 'authorizer'",
        ),
        (
            json!({"validations": [{"expression": "true"}], "variables": [{"name": " ", "expression": ""}]}),
            "spec.variables[0].name: Required value: name is not specified, spec.variables[0].expression: Required value: expression is \
             not specified",
        ),
        (
            json!({"auditAnnotations": [{"key": "a b", "valueExpression": "''"}, {"key": "a b", "valueExpression": ""}]}),
            "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified, spec.auditAnnotations[1].key: \
             Duplicate value: \"a b\"",
        ),
        (
            json!({"validations": []}),
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            json!({"auditAnnotations": [{"key": "a", "valueExpression": "1"}]}),
            "must evaluate to one of [string null] but got int",
        ),
    ] {
        let (code, message) = refused(spec).await;
        assert_eq!(code, 422);
        assert!(message.contains(wanted), "{message}");
    }
}

#[tokio::test]
async fn a_variable_that_means_itself_is_an_error() {
    let variables = json!([{"name": "a", "expression": "1"}, {"name": "a", "expression": "variables.a + 1"}]);
    let server = with(
        json!({"variables": variables, "validations": [{"expression": "variables.a == 2"}]}),
        json!({}),
    )
    .await;
    let (code, message) = server.fails("POST", MAPS, &map("m", json!({}))).await;
    assert_eq!(code, 422);
    assert!(
        message.ends_with("composited variable \"a\" refers to itself"),
        "{message}"
    );
}
