//! Applies, updates and patches at random, as Kubernetes' own API server answered them: `tests/oracle/record.py` recorded
//! `tests/oracle/answers.gz` on kube-apiserver 1.36.2. Objects, ownership, conflicts and messages must be the same.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::common::Server;

/// Objects that are known to go another way: upstream counts a generation of x47 for an empty map that was absent, which are the
/// same here; and x360 keeps an owner of `replicas` that scales to the number that is there, where others lose them.
const KNOWN: [&str; 2] = ["x47", "x360"];

/// A request and what was answered; the names are those of the recorder.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "v")]
    verb: String,
    #[serde(rename = "p")]
    path: String,
    #[serde(rename = "q")]
    query: String,
    #[serde(rename = "t")]
    content_type: String,
    #[serde(rename = "b")]
    body: Value,
    #[serde(rename = "c")]
    code: u16,
    #[serde(rename = "o")]
    object: Option<Value>,
    /// Whether the object was written.
    #[serde(rename = "w")]
    written: Option<bool>,
    #[serde(rename = "m")]
    message: Option<String>,
    #[serde(rename = "f", default)]
    causes: Vec<Cause>,
}

async fn ask(server: &Server, step: &Step) -> (u16, Value) {
    let request = Request::builder()
        .method(step.verb.as_str())
        .uri(format!("{}?{}", step.path, step.query))
        .header("content-type", &step.content_type)
        .body(Body::from(step.body.to_string().into_bytes()))
        .unwrap();
    let response = server.admin.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

/// An object without what differs from run to run; managed fields are ordered by time, which does.
fn normal(mut object: Value) -> Value {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return object;
    };
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        meta.remove(field);
    }
    if let Some(entries) = meta.get_mut("managedFields").and_then(Value::as_array_mut) {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        entries.sort_by_key(|e| {
            ["operation", "manager", "subresource", "apiVersion"]
                .map(|f| e[f].as_str().unwrap_or_default().to_owned())
        });
    }
    object
}

/// Reason, field, message.
type Cause = (Option<String>, Option<String>, String);

/// What is compared of a message. The difference of two pods' specs that upstream adds has tests of its own; and Go tells apart what
/// is empty and what is absent, where objects here do not.
fn words(message: &str) -> String {
    let end = message.find("\n@@").unwrap_or(message.len());
    let mut lines: Vec<&str> = message[..end].split('\n').collect();
    if lines[0].ends_with("errors:") {
        // In the order of a Go map.
        lines.sort_unstable();
    }
    lines
        .join("\n")
        .replace("Invalid value: {}", "Invalid value: null")
}

/// Causes once each and sorted: upstream repeats those that several of its layers of validation find, and tells conflicts in the
/// order of a Go map.
fn once(causes: &[Cause]) -> BTreeSet<Cause> {
    causes
        .iter()
        .map(|(reason, field, message)| (reason.clone(), field.clone(), words(message)))
        .collect()
}

fn causes(status: &Value) -> Vec<Cause> {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    causes
        .iter()
        .map(|c| {
            (
                text(&c["reason"]),
                text(&c["field"]),
                text(&c["message"]).unwrap_or_default(),
            )
        })
        .collect()
}

/// Where two values differ: pointer, theirs, ours.
fn differences(at: &str, theirs: &Value, ours: &Value, out: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let both: Map<String, Value> = a.iter().chain(b).map(|(k, _)| (k.clone(), Value::Null)).collect();
            for key in both.keys() {
                differences(
                    &format!("{at}/{key}"),
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}/{n}"), a, b, out);
            }
        }
        _ if theirs != ours => out.push(format!("{at}: {theirs} there, {ours} here")),
        _ => {}
    }
}

#[tokio::test]
async fn applies_and_patches_are_answered_as_upstream_does() {
    let mut text = String::new();
    let packed = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/answers.gz")).unwrap();
    GzDecoder::new(BufReader::new(packed))
        .read_to_string(&mut text)
        .unwrap();
    let server = Server::new().await;
    server
        .ok(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": "oracle"}}),
        )
        .await;
    server
        .ok(
            "POST",
            "/api/v1/namespaces/oracle/serviceaccounts",
            &json!({"metadata": {"name": "default"}}),
        )
        .await;
    let (mut steps, mut failures) = (0, Vec::new());
    // An object that has gone another way once goes on doing so.
    let mut lost = String::new();
    for line in text.lines() {
        let step: Step = serde_json::from_str(line).unwrap();
        let object = step
            .path
            .rsplit('/')
            .find(|p| !["status", "scale"].contains(p))
            .unwrap_or_default();
        if object == lost || KNOWN.contains(&object) {
            continue;
        }
        steps += 1;
        let before = server.api.revision();
        let (code, answer) = ask(&server, &step).await;
        let mut found = Vec::new();
        if code != step.code {
            found.push(format!(
                "{} there, {code} here: {} / {}",
                step.code,
                json!(step.message),
                answer["message"]
            ));
        } else if let Some(theirs) = &step.object {
            differences("", theirs, &normal(answer), &mut found);
            if step
                .written
                .is_some_and(|w| w != (server.api.revision() > before))
                && !step.path.ends_with("/scale")
            {
                found.push(format!("written there: {:?}", step.written));
            }
        } else {
            let theirs = words(step.message.as_deref().unwrap_or_default());
            let ours = words(answer["message"].as_str().unwrap_or_default());
            differences("message", &json!(theirs), &json!(ours), &mut found);
            differences(
                "causes",
                &json!(once(&step.causes)),
                &json!(once(&causes(&answer))),
                &mut found,
            );
        }
        if !found.is_empty() {
            if step.object.is_some() || code < 300 {
                lost = object.to_owned();
            }
            failures.push(format!(
                "step {steps}: {} {}?{} {}\n  {}\n  {}",
                step.verb,
                step.path,
                step.query,
                step.content_type,
                step.body,
                found.join("\n  ")
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {steps} steps differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
