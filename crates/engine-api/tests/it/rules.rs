//! Rules in CEL of custom resources, from the definition to the refusal.
use serde_json::{Value, json};

use crate::common::{Server, warned};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ROUTES: &str = "/apis/example.com/v1/namespaces/default/routes";

fn definition(rules: Value) -> Value {
    json!({"metadata": {"name": "routes.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "routes", "kind": "Route"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "x-kubernetes-validations": rules, "properties": {
                    "host": {"type": "string", "maxLength": 64}, "port": {"type": "integer"}, "mode": {"type": "string", "enum": ["a", "b"]}}},
                "status": {"type": "object", "properties": {"phase": {"type": "string",
                    "x-kubernetes-validations": [{"rule": "!(oldSelf == 'Done' && self != 'Done')", "message": "is done"}]}}}}}}}]}})
}

fn route(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Route", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn objects_are_held_against_rules() {
    let server = Server::new().await;
    let rules = json!([{"rule": "!has(self.port) || self.port > 0", "message": "port must be positive"},
        {"rule": "!has(oldSelf.host) || self.host == oldSelf.host", "message": "host is immutable", "fieldPath": ".host"}]);
    server.ok("POST", DEFINITIONS, &definition(rules)).await;
    let (code, message) = server
        .fails("POST", ROUTES, &route("a", json!({"port": 0})))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (
            422,
            "Route.example.com \"a\" is invalid: spec: Invalid value: port must be positive"
        )
    );
    server
        .ok("POST", ROUTES, &route("a", json!({"port": 1, "host": "h"})))
        .await;
    let path = format!("{ROUTES}/a");
    let (_, message) = server
        .fails("PATCH", &path, &json!({"spec": {"host": "i"}}))
        .await;
    assert_eq!(
        message,
        "Route.example.com \"a\" is invalid: spec.host: Invalid value: host is immutable"
    );
    // What does not fit the schema is told of first.
    let (_, message) = server
        .fails("POST", ROUTES, &route("b", json!({"port": 0, "mode": "c"})))
        .await;
    assert!(
        message.contains("some validation rules were not checked because the object was invalid"),
        "{message}"
    );
    assert!(!message.contains("positive"), "{message}");
    let status = format!("{path}/status");
    server
        .ok("PATCH", &status, &json!({"status": {"phase": "Done"}}))
        .await;
    let (_, message) = server
        .fails("PATCH", &status, &json!({"status": {"phase": "Open"}}))
        .await;
    assert_eq!(
        message,
        "Route.example.com \"a\" is invalid: status.phase: Invalid value: \"Open\": is done"
    );
}

#[tokio::test]
async fn what_was_there_before_the_rule_may_stay() {
    let server = Server::new().await;
    server.ok("POST", DEFINITIONS, &definition(json!([]))).await;
    server.ok("POST", ROUTES, &route("a", json!({"port": 0}))).await;
    let path = format!("{DEFINITIONS}/routes.example.com");
    let mut stricter = server.get(&path).await;
    stricter["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.port > 0", "message": "positive"}]);
    server.ok("PUT", &path, &stricter).await;
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, _, warnings) = warned(&server.admin, "PATCH", &format!("{ROUTES}/a"), &labelled).await;
    assert_eq!(
        (code, warnings),
        (200, vec!["spec: Invalid value: positive".to_owned()])
    );
    let (_, message) = server
        .fails("PATCH", &format!("{ROUTES}/a"), &json!({"spec": {"host": "h"}}))
        .await;
    assert_eq!(
        message,
        "Route.example.com \"a\" is invalid: spec: Invalid value: positive"
    );
}

#[tokio::test]
async fn bad_rules_are_refused_with_their_definition() {
    let server = Server::new().await;
    let (code, message) = server
        .fails(
            "POST",
            DEFINITIONS,
            &definition(json!([{"rule": "self.prot > 0"}])),
        )
        .await;
    assert_eq!(code, 422);
    assert!(
        message.contains(
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.prot \\u003e 0\""
        ) && message.contains("compilation failed: ERROR: <input>:1:5: undefined field 'prot'\n | self.prot > 0\n | ....^"),
        "{message}"
    );
    server
        .ok(
            "POST",
            DEFINITIONS,
            &definition(json!([{"rule": "self.port > 0"}])),
        )
        .await;
}
