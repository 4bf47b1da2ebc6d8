//! The adapter behind the aggregator of a real API server. Prometheus is played by its answers; the demo's test has the real one.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use engine_api::{ApiServer, ClientIdentity, Config, FrontProxy, Network};
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use streaming::Duplex;
use tokio::net::{TcpListener, TcpStream};

/// How long anything may take; a bound for broken code, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
[[custom]]
name = "rps"
resource = "pods"
kind = "Pod"
label = "pod"
query = 'custom{namespace="$namespace",pod=~"$names"$selector}'
[[external]]
name = "queue"
query = 'external{namespace="$namespace"$selector}'
[resource]
window_seconds = 15
container_cpu = 'cpu{namespace="$namespace",pod=~"$names"}'
container_memory = 'memory{namespace="$namespace",pod=~"$names"}'
node_cpu = 'nothing'
node_memory = 'nothing'
"#;

struct Loopback;

#[async_trait]
impl Network for Loopback {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Duplex>> {
        Ok(Box::new(TcpStream::connect(("127.0.0.1", address.port())).await?))
    }
}

fn front_proxy() -> FrontProxy {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "front-proxy-client");
    let certificate = params.signed_by(&key, &issuer).unwrap();
    FrontProxy {
        ca_pem,
        identity: ClientIdentity {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        },
    }
}

/// Answers each query with samples of two pods; their value says how long the query was.
async fn prometheus() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |request: Request<hyper::body::Incoming>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let samples: Vec<Value> = ["web-1", "web-2", "other"]
            .iter()
            .filter(|pod| query.contains(*pod) || query.contains("external"))
            .map(|pod| {
                let labels = json!({"namespace": "default", "pod": pod, "container": "c"});
                json!({"metric": labels, "value": [1_700_000_000, "2.5"]})
            })
            .collect();
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": samples}});
        Ok::<_, io::Error>(Response::new(body.to_string()))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    });
    format!("http://{address}")
}

async fn call(client: &Client, method: &str, path: &str, body: Value) -> Result<Value, kube::Error> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    client.request(request).await
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    call(client, "GET", path, Value::Null).await
}

/// An API server that knows the adapter at this port, and two pods.
async fn cluster(port: u16) -> (ApiServer, Client) {
    let config = Config {
        service_account_keys: vec![KeyPair::generate().unwrap().serialize_pem()],
        front_proxy: Some(front_proxy()),
        ..Config::default()
    };
    let api = config.build().await.unwrap();
    api.set_network(Arc::new(Loopback));
    let client = api.client("admin", &["system:masters"], "test/1");
    let namespaced = "/api/v1/namespaces/default";
    let post = async |path: &str, body: Value| {
        call(&client, "POST", path, body).await.unwrap();
    };
    post(
        &format!("{namespaced}/serviceaccounts"),
        json!({"metadata": {"name": "default"}}),
    )
    .await;
    for name in ["web-1", "web-2", "other"] {
        let app = name.split('-').next().unwrap();
        post(
            &format!("{namespaced}/pods"),
            json!({"metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        )
        .await;
    }
    post(
        &format!("{namespaced}/services"),
        json!({"metadata": {"name": "adapter"}, "spec": {"ports": [{"port": 443}]}}),
    )
    .await;
    post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        json!({"metadata": {"name": "adapter", "labels": {"kubernetes.io/service-name": "adapter"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"name": "", "port": port}]})).await;
    for (version, group) in [("v1beta2", "custom"), ("v1beta1", "external")] {
        let group = format!("{group}.metrics.k8s.io");
        post(
            "/apis/apiregistration.k8s.io/v1/apiservices",
            json!({"metadata": {"name": format!("{version}.{group}")},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "adapter"}}}),
        )
        .await;
    }
    (api, client)
}

/// What is there as soon as the aggregator has found the adapter for its group.
async fn found(client: &Client, path: &str) -> Value {
    let begun = Instant::now();
    loop {
        match get(client, path).await {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{path}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_through_the_api_server_and_no_other_way() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    let (api, client) = cluster(port).await;
    let adapter = metrics_adapter::Config {
        listen: address,
        prometheus: prometheus().await,
        rules: metrics_adapter::Rules::parse("rules", RULES).unwrap(),
        client: api.client("adapter", &["system:masters"], "adapter/1"),
    };
    tokio::spawn(adapter.run_on(listener, std::future::pending()));

    let custom = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default";
    let path = format!("{custom}/pods/*/rps?labelSelector=app%3Dweb");
    let items = found(&client, &path).await;
    let values: Vec<(&Value, &Value)> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["describedObject"]["name"], &item["value"]))
        .collect();
    let value = json!("2500m");
    assert_eq!(values, [(&json!("web-1"), &value), (&json!("web-2"), &value)]);
    let one = get(&client, &format!("{custom}/pods/other/rps")).await.unwrap();
    assert_eq!(one["items"][0]["describedObject"]["name"], "other");
    let missing = get(&client, &format!("{custom}/pods/*/nope")).await.unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("the server could not find the metric nope for pods"),
        "{missing}"
    );

    let external = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue?labelSelector=a%3Db";
    let items = found(&client, external).await;
    assert_eq!(items["kind"], "ExternalMetricValueList");
    assert_eq!(items["items"].as_array().unwrap().len(), 3);
    let resources = get(&client, "/apis/custom.metrics.k8s.io/v1beta2").await.unwrap();
    assert_eq!(resources["resources"][0]["name"], "pods/rps");

    // Whoever has no certificate of the front proxy is nobody, whatever the headers say.
    let direct = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let address = format!("https://127.0.0.1:{port}");
    let health = direct.get(format!("{address}/readyz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let refused = direct
        .get(format!("{address}{path}"))
        .header("x-remote-user", "admin")
        .header("x-remote-group", "system:masters")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
}
