//! Versions of custom kinds that a webhook turns into one another.
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::{
    admission::{Hooks, hooks},
    common::{Server, send},
};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn path(version: &str) -> String {
    format!("/apis/example.com/{version}/namespaces/default/tabs")
}

/// v1 has `host` and `port`, v2 has both in `address`.
fn turn(path: &str, request: &Value) -> Value {
    let uid = &request["uid"];
    let answer = |response: Value| json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
    if path == "/broken" {
        return answer(json!({"uid": uid, "result": {"status": "Failed", "message": "cannot"}}));
    }
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let turned = request["objects"].as_array().unwrap().iter().map(|object| {
        let mut object = object.clone();
        object["apiVersion"] = wanted.into();
        let spec = &object["spec"];
        object["spec"] = if wanted.ends_with("v2") {
            json!({"address": format!("{}:{}", spec["host"].as_str().unwrap(), spec["port"].as_str().unwrap())})
        } else {
            let (host, port) = spec["address"].as_str().unwrap().split_once(':').unwrap();
            json!({"host": host, "port": port})
        };
        object
    });
    let turned: Vec<Value> = turned.collect();
    answer(json!({"uid": uid, "result": {"status": "Success"}, "convertedObjects": turned}))
}

fn definition(hooks: &Hooks, at: &str) -> Value {
    let texts = |names: &[&str]| -> Value {
        let properties: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect();
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}})
    };
    json!({"metadata": {"name": "tabs.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "tabs", "kind": "Tab"},
        "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": hooks.url(at), "conversionReviewVersions": ["v1"]}},
        "versions": [{"name": "v1", "served": true, "storage": false, "schema": texts(&["host", "port"])},
            {"name": "v2", "served": true, "storage": true, "schema": texts(&["address"])}]}})
}

fn tab(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Tab", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_sees_its_own_form() {
    let (server, hooks) = (Server::new().await, hooks(turn).await);
    server.ok("POST", DEFINITIONS, &definition(&hooks, "/turn")).await;
    let (v1, v2) = (path("v1"), path("v2"));
    let made = server
        .ok("POST", &v1, &tab("v1", "a", json!({"host": "h", "port": "1"})))
        .await;
    assert_eq!(
        (&made["apiVersion"], &made["spec"]),
        (&json!("example.com/v1"), &json!({"host": "h", "port": "1"}))
    );
    server
        .ok("POST", &v2, &tab("v2", "b", json!({"address": "i:2"})))
        .await;
    let (a, b) = (json!({"address": "h:1"}), json!({"host": "i", "port": "2"}));
    assert_eq!(server.get(&format!("{v2}/a")).await["spec"], a);
    assert_eq!(server.get(&format!("{v1}/b")).await["spec"], b);
    let list = server.get(&v1).await;
    assert_eq!(list["items"][1]["spec"], b);
    assert_eq!(list["items"][1]["apiVersion"], "example.com/v1");
    // A change in one version is seen in the other.
    let changed = server
        .ok("PATCH", &format!("{v1}/a"), &json!({"spec": {"port": "9"}}))
        .await;
    assert_eq!(changed["spec"], json!({"host": "h", "port": "9"}));
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(
        server.get(&format!("{v2}/a")).await["spec"],
        json!({"address": "h:9"})
    );
    // And so is what is watched.
    let request = http::Request::get(format!("{v1}?watch=true&timeoutSeconds=1"))
        .body(kube::client::Body::empty())
        .unwrap();
    let frames = server
        .admin
        .send(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let specs: Vec<Value> = frames
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<Value>(line).unwrap()["object"]["spec"].clone())
        .collect();
    assert_eq!(specs, [json!({"host": "h", "port": "9"}), b]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_cannot_says_why() {
    let (server, hooks) = (Server::new().await, hooks(turn).await);
    server
        .ok("POST", DEFINITIONS, &definition(&hooks, "/broken"))
        .await;
    server
        .ok("POST", &path("v2"), &tab("v2", "b", json!({"address": "i:2"})))
        .await;
    let (code, status) = send(&server.admin, "GET", &format!("{}/b", path("v1")), &Value::Null).await;
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (
            500,
            "Internal error occurred: conversion webhook for example.com/v2, Kind=Tab failed: cannot"
        )
    );
}
