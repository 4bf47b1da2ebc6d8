//! Watches: order, selectors, bookmarks, what is too old.
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::common::{MAPS, PATIENCE, PODS, Server, pod};

struct Watch {
    body: Body,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(server: &Server, query: &str) -> Self {
        Self::of(server, MAPS, query).await
    }

    async fn of(server: &Server, path: &str, query: &str) -> Self {
        let request = Request::get(format!("{path}?watch=1{query}"))
            .body(Body::empty())
            .unwrap();
        let response = server.admin.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap();
            self.buffer
                .extend_from_slice(&frame.expect("the watch ended").unwrap().into_data().unwrap());
        }
    }

    async fn told(&mut self) -> (String, String) {
        let event = self.next().await;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn told(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn every_change_in_order() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let mut watch = Watch::open(&server, "").await;
    assert_eq!(watch.told().await, told("ADDED", "a"));
    server
        .ok("PATCH", &format!("{MAPS}/a"), &json!({"data": {"x": "1"}}))
        .await;
    assert_eq!(watch.told().await, told("MODIFIED", "a"));
    let revision = server.api.revision();
    server.ok("DELETE", &format!("{MAPS}/a"), &Value::Null).await;
    let deleted = watch.next().await;
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(
        deleted["object"]["metadata"]["resourceVersion"],
        server.api.revision().to_string()
    );
    let mut from_then = Watch::open(&server, &format!("&resourceVersion={revision}")).await;
    assert_eq!(from_then.next().await, deleted);
}

#[tokio::test]
async fn a_pod_is_said_to_have_no_time_left_before_it_is_gone() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("a")).await;
    let mut watch = Watch::of(&server, PODS, "").await;
    assert_eq!(watch.told().await, told("ADDED", "a"));
    let answer = server
        .ok("DELETE", &format!("{PODS}/a"), &json!({"gracePeriodSeconds": 0}))
        .await;
    let (marked, gone) = (watch.next().await, watch.next().await);
    for (event, kind) in [(&marked, "MODIFIED"), (&gone, "DELETED")] {
        let meta = &event["object"]["metadata"];
        assert_eq!(event["type"], kind);
        assert_eq!(meta["deletionGracePeriodSeconds"], 0);
        assert_eq!(meta["generation"], 2);
    }
    // The answer is as it was when it went.
    assert_eq!(answer, gone["object"]);
    assert_ne!(
        marked["object"]["metadata"]["resourceVersion"],
        answer["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn leaving_a_selector_is_a_deletion() {
    let server = Server::new().await;
    let mut watch = Watch::open(&server, "&labelSelector=a%3Db").await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "x"}})).await;
    server
        .ok(
            "PATCH",
            &format!("{MAPS}/x"),
            &json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    assert_eq!(watch.told().await, told("ADDED", "x"));
    server
        .ok(
            "PATCH",
            &format!("{MAPS}/x"),
            &json!({"metadata": {"labels": {"a": "c"}}}),
        )
        .await;
    let gone = watch.next().await;
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(
        gone["object"]["metadata"]["labels"]["a"], "b",
        "as it was when it last matched"
    );
    assert_eq!(
        gone["object"]["metadata"]["resourceVersion"],
        server.api.revision().to_string()
    );
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = Watch::open(&server, query).await;
    assert_eq!(watch.told().await, told("ADDED", "a"));
    let bookmark = watch.next().await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
}

#[tokio::test]
async fn too_old_and_too_new() {
    let server = Server::with(engine_api::Config {
        history: 4,
        ..engine_api::Config::default()
    })
    .await;
    for index in 0..10 {
        server
            .ok("POST", MAPS, &json!({"metadata": {"name": format!("m{index}")}}))
            .await;
    }
    let mut watch = Watch::open(&server, "&resourceVersion=1").await;
    let error = watch.next().await;
    assert_eq!(
        (error["type"].as_str(), error["object"]["code"].as_i64()),
        (Some("ERROR"), Some(410))
    );
    let (code, message) = server
        .fails("GET", &format!("{MAPS}?resourceVersion=99999"), &Value::Null)
        .await;
    assert_eq!(code, 504);
    assert!(message.contains("Too large resource version: 99999"), "{message}");
}

#[tokio::test]
async fn from_a_revision_that_has_not_come_yet() {
    let server = Server::new().await;
    let next = server.api.revision() + 1;
    let mut watch = Watch::open(&server, &format!("&resourceVersion={next}")).await;
    let path = format!("{MAPS}?resourceVersion={next}");
    let (list, ()) = tokio::join!(server.get(&path), async {
        for name in ["too-early", "in-time"] {
            server
                .ok("POST", MAPS, &json!({"metadata": {"name": name}}))
                .await;
        }
    });
    assert!(
        !list["items"].as_array().unwrap().is_empty(),
        "a list waits for it"
    );
    assert_eq!(watch.told().await, told("ADDED", "in-time"));
}

/// Whoever asks for bookmarks hears when the objects that are there have been told, also without asking for these (1.36's default).
#[tokio::test]
async fn the_end_of_the_initial_objects_is_told() {
    let server = Server::new().await;
    let mut watch = Watch::open(&server, "&allowWatchBookmarks=true").await;
    let bookmark = watch.next().await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    assert_eq!(bookmark["object"]["metadata"]["annotations"], annotations);
}

#[tokio::test]
async fn a_watch_ends_when_it_should() {
    let server = Server::new().await;
    let mut watch = Watch::open(&server, "&timeoutSeconds=1").await;
    let end = tokio::time::timeout(PATIENCE, watch.body.frame())
        .await
        .expect("it goes on");
    assert!(end.is_none());
}

#[tokio::test]
async fn kube_rs_watcher_follows() {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, ResourceExt, runtime::watcher};
    let server = Server::new().await;
    let api: Api<ConfigMap> = Api::namespaced(server.admin.clone(), "default");
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = std::pin::pin!(watcher(api.clone(), config));
        let mut names = Vec::new();
        server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
        while let Some(event) = tokio::time::timeout(PATIENCE, events.next()).await.unwrap() {
            match event.unwrap() {
                watcher::Event::InitApply(object) => names.push(object.name_any()),
                watcher::Event::InitDone => {
                    server.ok("DELETE", &format!("{MAPS}/a"), &Value::Null).await;
                }
                watcher::Event::Delete(object) => {
                    names.push(format!("-{}", object.name_any()));
                    break;
                }
                watcher::Event::Init | watcher::Event::Apply(_) => {}
            }
        }
        assert_eq!(names, ["a", "-a"]);
    }
}
