//! Watches and host ports against an API server's side of the conversation, without root: the transport is in memory,
//! the sockets are real.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    convert::Infallible,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use engine_net::{Catalog, HostPorts};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long anything may take; a bound for what is broken. So often is looked meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
const TRIES: u32 = 6000;

type Answer = Response<UnsyncBoxBody<bytes::Bytes, Infallible>>;

/// What was written, and a way to send watch events of services.
struct Api {
    written: Mutex<Vec<(String, String, Value)>>,
    listed: Mutex<Value>,
    events: Mutex<Option<mpsc::UnboundedSender<Value>>>,
}

impl Api {
    fn client(listed: Value) -> (Arc<Self>, kube::Client) {
        let api = Arc::new(Self {
            written: Mutex::default(),
            listed: Mutex::new(listed),
            events: Mutex::default(),
        });
        let own = Arc::clone(&api);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&own);
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        (api, kube::Client::new(service, "default"))
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let (path, query) = (
            parts.uri.path().to_owned(),
            parts.uri.query().unwrap_or_default().to_owned(),
        );
        let is_services = path == "/api/v1/services";
        if query.contains("watch=true") {
            let (sender, receiver) = mpsc::unbounded_channel::<Value>();
            if is_services {
                *self.events.lock().unwrap() = Some(sender);
            } else {
                // Nothing happens to slices, but the watch stays.
                std::mem::forget(sender);
            }
            let lines = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
            let frames = futures::StreamExt::map(lines, |event| {
                Ok::<_, Infallible>(http_body::Frame::data(format!("{event}\n").into_bytes().into()))
            });
            return Response::new(StreamBody::new(frames).boxed_unsync());
        }
        if parts.method == "GET" {
            let items = if is_services {
                self.listed.lock().unwrap().clone()
            } else {
                json!([])
            };
            let kind = if is_services {
                "ServiceList"
            } else {
                "EndpointSliceList"
            };
            let version = if is_services { "v1" } else { "discovery.k8s.io/v1" };
            return json_response(&json!({"kind": kind, "apiVersion": version,
                "metadata": {"resourceVersion": "1"}, "items": items}));
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        self.written
            .lock()
            .unwrap()
            .push((parts.method.to_string(), path, value.clone()));
        let answer = if parts.method == "PATCH" {
            json!({"metadata": {"name": "x"}})
        } else {
            value
        };
        json_response(&answer)
    }

    async fn find(&self, what: impl Fn(&(String, String, Value)) -> bool) -> Value {
        for _ in 0..TRIES {
            if let Some(found) = self
                .written
                .lock()
                .unwrap()
                .iter()
                .rev()
                .find(|written| what(written))
            {
                return found.2.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not written: {:?}", self.written.lock().unwrap());
    }

    async fn send(&self, event: Value) {
        for _ in 0..TRIES {
            if let Some(sender) = &*self.events.lock().unwrap() {
                sender.send(event).unwrap();
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody watches");
    }
}

fn json_response(value: &Value) -> Answer {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(value.to_string().into_bytes()).boxed_unsync())
        .unwrap()
}

fn service(name: &str, kind: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "2"},
        "spec": {"type": kind, "clusterIP": "127.0.0.77", "ports": [{"name": "web", "port": port}]}})
}

/// A listener below the ports that the kernel gives to connections and to whoever wants any: what is let go of stays free.
fn bound() -> TcpListener {
    let first = 12_000 + std::process::id() % 16_000;
    let mut listeners =
        (first..first + 4_000).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port as u16)));
    listeners.find_map(Result::ok).unwrap()
}

#[tokio::test]
async fn ports_are_bound_told_and_given_back() {
    let taken = bound();
    let taken_port = taken.local_addr().unwrap().port();
    let free_port = bound().local_addr().unwrap().port();
    // Stands for the ClusterIP: another address of the loopback network.
    let target = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 77), free_port)).unwrap();

    let listed = json!([
        service("free", "LoadBalancer", free_port),
        service("blocked", "LoadBalancer", taken_port)
    ]);
    let (api, client) = Api::client(listed);
    let (catalog, watching) = Catalog::watch(&client);
    let ports = HostPorts::start(Arc::clone(&catalog), client);

    let status = api
        .find(|(_, path, _)| path.ends_with("/services/free/status"))
        .await;
    assert_eq!(
        status,
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1", "ipMode": "Proxy"}]}}})
    );
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, free_port)).unwrap();
    let carried = tokio::task::spawn_blocking(move || target.accept().map(|_| target))
        .await
        .unwrap();
    let target = carried.unwrap();

    let event = api
        .find(|(_, path, _)| path.ends_with("/namespaces/shop/events"))
        .await;
    let message = event["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("127.0.0.1:{taken_port}/TCP")),
        "{message}"
    );
    assert!(
        message.contains(&format!("(pid {})", std::process::id())),
        "{message}"
    );
    assert_eq!(
        (&event["type"], &event["involvedObject"]["name"]),
        (&json!("Warning"), &json!("blocked"))
    );
    assert_eq!(event["involvedObject"]["uid"], "uid-blocked");

    // It changes: the port is free now, and is taken.
    drop(taken);
    let mut changed = service("blocked", "LoadBalancer", taken_port);
    changed["spec"]["ports"][0]["name"] = json!("other");
    api.send(json!({"type": "MODIFIED", "object": changed})).await;
    let is_bound = |(_, path, body): &(String, String, Value)| {
        path.ends_with("/services/blocked/status") && body["status"]["loadBalancer"]["ingress"] != json!([])
    };
    api.find(is_bound).await;

    // One that is no LoadBalancer any more gives its port back and loses its status.
    api.send(json!({"type": "MODIFIED", "object": service("free", "ClusterIP", free_port)}))
        .await;
    let told = |(_, path, body): &(String, String, Value)| {
        path.ends_with("/services/free/status") && body["status"]["loadBalancer"]["ingress"] == json!([])
    };
    api.find(told).await;
    drop(target);
    // Its listener ends with its task, when that has its turn.
    for _ in 0..TRIES {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, free_port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, free_port)).unwrap();

    drop(ports);
    watching.abort();
}

#[tokio::test]
async fn a_watch_that_ends_starts_over_and_forgets_what_is_gone() {
    let (api, client) = Api::client(json!([service("one", "ClusterIP", 1)]));
    let (catalog, watching) = Catalog::watch(&client);
    tokio::time::timeout(PATIENCE, catalog.synced()).await.unwrap();
    assert!(format!("{catalog:?}").contains("uid-one"));
    *api.listed.lock().unwrap() = json!([service("two", "ClusterIP", 1)]);
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "message": "gone", "code": 410});
    api.send(json!({"type": "ERROR", "object": gone})).await;
    for _ in 0..TRIES {
        let state = format!("{catalog:?}");
        if state.contains("uid-two") && !state.contains("uid-one") {
            watching.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{catalog:?}");
}
