//! The server by its front door, without a socket.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its helpers fail"
)]
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use results::Run;
use results_web::{Config, Query, Store, Summary, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const TOKEN: &str = "a-token-of-a-test";
const RUN: &str = include_str!("../../results/tests/data/run-of-0.1.0.json");

struct Server {
    router: axum::Router,
    store: Arc<Store>,
    _folder: tempfile::TempDir,
}

fn server(per_minute: u32) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("runs.db")).unwrap());
    let config = Config {
        token: TOKEN.to_owned(),
        largest: 1 << 20,
        per_minute,
    };
    Server {
        router: router(store.clone(), config),
        store,
        _folder: folder,
    }
}

impl Server {
    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn submit(&self, text: &str) -> (StatusCode, String) {
        self.ask("POST", "/api/v1/runs", Some(TOKEN), text.to_owned())
            .await
    }

    async fn total(&self) -> u64 {
        let (_, text) = self.ask("GET", "/api/v1/runs", None, Body::empty()).await;
        serde_json::from_str::<Value>(&text).unwrap()["total"]
            .as_u64()
            .unwrap()
    }
}

/// The recorded run with another id and start, and with the fault's figures as they are computed now.
fn run(id: &str, started: &str) -> String {
    let mut run = Run::read(RUN).unwrap();
    let full = run.load.full_seconds().to_vec();
    run.faults.iter_mut().for_each(|f| f.measure(&full));
    (run.id, run.started) = (id.to_owned(), started.to_owned());
    serde_json::to_string(&run).unwrap()
}

#[tokio::test]
async fn a_run_is_kept_listed_found_shown_and_compared() {
    let server = server(100);
    let (one, two) = (
        run("one", "2026-11-22T20:00:00Z"),
        run("two", "2026-11-22T21:00:00Z"),
    );
    assert_eq!(server.submit(&one).await.0, StatusCode::CREATED);
    assert_eq!(server.submit(&one).await.0, StatusCode::OK);
    assert_eq!(server.submit(&two).await.0, StatusCode::CREATED);
    // The same id with another content is no second version.
    assert_eq!(
        server.submit(&run("one", "2026-11-22T20:00:01Z")).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(server.total().await, 2);
    let (_, list) = server
        .ask("GET", "/api/v1/runs?q=LOCAL%20two&limit=1", None, Body::empty())
        .await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list["total"], &list["runs"][0]["id"]),
        (&json!(1), &json!("two"))
    );
    let (_, document) = server.ask("GET", "/api/v1/runs/one", None, Body::empty()).await;
    assert_eq!(Run::read(&document).unwrap(), Run::read(&one).unwrap());
    for page in [
        "/",
        "/?q=two&sort=p99",
        "/runs/one",
        "/compare?base=one&other=two",
        "/openapi.json",
    ] {
        let (status, text) = server.ask("GET", page, None, Body::empty()).await;
        assert_eq!(status, StatusCode::OK, "{page}: {text:.200}");
    }
    assert_eq!(
        server.ask("GET", "/runs/three", None, Body::empty()).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        server
            .ask("GET", "/api/v1/runs?sort=x", None, Body::empty())
            .await
            .0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn what_is_malformed_unauthorised_too_large_or_too_often_is_refused_and_not_kept() {
    let server = server(2_500);
    let sound = run("sound", "2026-11-22T20:00:00Z");
    assert_eq!(
        server.ask("POST", "/api/v1/runs", None, sound.clone()).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        server
            .ask("POST", "/api/v1/runs", Some("wrong"), sound.clone())
            .await
            .0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        server.submit(&"x".repeat(2 << 20)).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    // Two thousand ways to be wrong: cut short, a byte gone, a headline altered, a part of another type.
    let value: Value = serde_json::from_str(&sound).unwrap();
    let keys: Vec<String> = value["load"].as_object().unwrap().keys().cloned().collect();
    for i in 0..2_000usize {
        let bad = match i % 4 {
            0 => sound[..(i * 7919) % (sound.len() - 1)].to_owned(),
            1 => {
                let mut altered = value.clone();
                altered["load"]["latency"]["p99_ms"] = json!(i as f64 + 0.5);
                altered.to_string()
            }
            2 => {
                let mut altered = value.clone();
                altered["load"][&keys[i % keys.len()]] = json!({"not": "this"});
                altered.to_string()
            }
            _ => {
                let mut altered = value.clone();
                altered["id"] = json!(format!("../{i}"));
                altered.to_string()
            }
        };
        let (status, text) = server.submit(&bad).await;
        assert!(
            status == StatusCode::BAD_REQUEST && text.contains("error"),
            "{i}: {status} {text} for {bad:.300}"
        );
    }
    assert_eq!(server.total().await, 0);
    // A slow machine needs more than a minute for all of the above, and then counts anew.
    let mut refused = false;
    for _ in 0..10_000 {
        refused = server.submit("{}").await.0 == StatusCode::TOO_MANY_REQUESTS;
        if refused {
            break;
        }
    }
    assert!(refused, "there is no end to submissions");
    assert_eq!(server.submit(&sound).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(server.total().await, 0);
}

#[tokio::test]
async fn a_demo_is_new_told_of_stopped_and_finished_once() {
    let server = server(100);
    let ask = async |method: &'static str, path: &'static str, body: Value| {
        server.ask(method, path, Some(TOKEN), body.to_string()).await
    };
    assert_eq!(
        ask("POST", "/api/v1/demos", json!({"id": "d", "cloud": "local"}))
            .await
            .0,
        StatusCode::CREATED
    );
    assert_eq!(
        ask("POST", "/api/v1/demos", json!({"id": "d"})).await.0,
        StatusCode::CONFLICT
    );
    let (_, told) = ask("PUT", "/api/v1/demos/d", json!({"pods": 14})).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["data"], &told["state"]),
        (&json!({"cloud": "local", "pods": 14}), &json!("running"))
    );
    assert_eq!(
        ask("POST", "/api/v1/demos/d/finish", json!({})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        ask("POST", "/api/v1/demos/d/finish", json!({})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        ask("POST", "/api/v1/demos/d/stop", json!({})).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(
        ask("PUT", "/api/v1/demos/d", json!({"pods": 1})).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(ask("PUT", "/api/v1/demos/e", json!({})).await.0, StatusCode::OK);
    assert_eq!(server.store.demos().unwrap().len(), 2);
    assert_eq!(
        server.ask("PUT", "/api/v1/demos/e", None, "{}").await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn what_was_kept_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let kept = Run::read(&run("kept", "2026-11-22T20:00:00Z")).unwrap();
    Store::open(&path).unwrap().add(&kept).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.get("kept").unwrap(), kept);
    assert_eq!(store.list(&Query::default()).unwrap().total, 1);
}

/// Every path of the OpenAPI document is answered by a handler, and every handler is in the document.
#[tokio::test]
async fn the_openapi_document_and_the_routes_agree() {
    let server = server(100);
    for (path, operations) in results_web::openapi()["paths"].as_object().unwrap() {
        for method in operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|_| path != "/api/v1/events")
        {
            let path = path.replace("{id}", "x");
            let (status, text) = server.ask(&method.to_uppercase(), &path, Some(TOKEN), "{}").await;
            let routed = status != StatusCode::METHOD_NOT_ALLOWED && !text.contains("page of that address");
            assert!(routed, "{method} {path}: {status} {text:.200}");
        }
    }
}

/// Whatever is asked for in whatever order: the list has what a look at every run finds, part by part.
#[tokio::test]
async fn searches_filters_and_orders_agree_with_a_look_at_every_run() {
    let server = server(1);
    let recorded = Run::read(RUN).unwrap();
    for n in 0..60_i32 {
        let mut run = recorded.clone();
        run.id = format!("{}-{n}", ["alpha", "beta", "gamma"][n as usize % 3]);
        run.started = format!("2026-11-{:02}T{:02}:00:00Z", 1 + n * 7 % 20, n % 24);
        run.program.version = format!("0.{}.0", n % 4);
        if n % 5 == 0 {
            run.target.cluster = None;
        }
        run.load.throughput = f64::from(n * 37 % 101);
        run.load.latency.p50_ms = f64::from(n * 53 % 97);
        run.load.latency.p99_ms = f64::from(n * 71 % 89);
        server.store.add(&run).unwrap();
    }
    let all = Query {
        limit: Some(500),
        ..Query::default()
    };
    let all = server.store.list(&all).unwrap().runs;
    assert_eq!(all.len(), 60);

    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let mut found = 0;
    for (number, q) in [
        "",
        "alpha",
        "2026-11",
        "ALPHA benchmark",
        "beta-1 0.3.0",
        "nothing",
    ]
    .iter()
    .cycle()
    .take(600)
    .enumerate()
    {
        let pick = |step: usize, of: &[&'static str]| some(of[number / 6 / step % of.len()]);
        let query = Query {
            q: (*q).to_owned(),
            provider: pick(1, &["", "local", "address"]),
            version: pick(3, &["", "0.1.0"]),
            from: pick(2, &["", "2026-11-05"]),
            until: pick(5, &["", "2026-11-15T12:00:00Z"]),
            sort: pick(1, &["", "throughput", "p50", "p99"]),
            reverse: number % 5 == 0,
            offset: number % 7,
            limit: Some(1 + number % 11),
        };
        let mut expected: Vec<&Summary> = all
            .iter()
            .filter(|run| {
                let text = format!(
                    "{} {} {} {} {}",
                    run.id, run.started, run.version, run.provider, run.command
                );
                let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
                q.split(' ')
                    .all(|word| text.to_lowercase().contains(&word.to_lowercase()))
                    && is(&query.provider, &run.provider)
                    && is(&query.version, &run.version)
                    && query.from.as_ref().is_none_or(|from| run.started >= *from)
                    && query.until.as_ref().is_none_or(|until| run.started < *until)
            })
            .collect();
        let (by, down): (fn(&Summary) -> f64, bool) = match query.sort.as_deref() {
            Some("throughput") => (|run| run.throughput, true),
            Some("p50") => (|run| run.p50_ms, false),
            Some("p99") => (|run| run.p99_ms, false),
            _ => (
                |run| run.started.parse::<jiff::Timestamp>().unwrap().as_second() as f64,
                true,
            ),
        };
        expected.sort_by(|a, b| by(a).total_cmp(&by(b)));
        if down != query.reverse {
            expected.reverse();
        }
        let page = server.store.list(&query).unwrap();
        assert_eq!(page.total, expected.len(), "{query:?}");
        let part: Vec<&Summary> = expected
            .into_iter()
            .skip(query.offset)
            .take(query.limit.unwrap())
            .collect();
        let keys = |runs: &[&Summary]| runs.iter().map(|run| by(run)).collect::<Vec<f64>>();
        assert_eq!(
            keys(&page.runs.iter().collect::<Vec<_>>()),
            keys(&part),
            "{query:?}"
        );
        found += page.runs.len();
    }
    assert!(found > 500, "most questions found nothing: {found}");
}
