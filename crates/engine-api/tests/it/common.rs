//! A server with keys made on the spot, and a way to send raw requests.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine_api::{ApiServer, Config};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use streaming::NodeStreams;

/// How long anything may take; a bound for broken code, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub api: ApiServer,
    pub admin: Client,
}

impl Server {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let config = Config {
            service_account_keys: vec![key.serialize_pem()],
            advertise: Some(("127.0.0.1".parse().unwrap(), 6443)),
            ..config
        };
        let api = config.build().await.unwrap();
        let admin = api.client("admin", &["system:masters"], "test/1");
        let server = Self { api, admin };
        // What the controllers would make.
        server
            .ok(
                "POST",
                "/api/v1/namespaces/default/serviceaccounts",
                &json!({"metadata": {"name": "default"}}),
            )
            .await;
        server
    }

    pub fn streams(self, streams: Arc<dyn NodeStreams>) -> Self {
        self.api.set_node_streams(streams);
        self
    }

    pub async fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, value) = send(&self.admin, method, path, body).await;
        assert!(code < 300, "{method} {path}: {code} {value}");
        value
    }

    pub async fn fails(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let (code, value) = send(&self.admin, method, path, body).await;
        assert!(code >= 400, "{method} {path} should fail: {value}");
        (code, value["message"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &Value::Null).await
    }

    pub async fn code(&self, path: &str) -> u16 {
        send(&self.admin, "GET", path, &Value::Null).await.0
    }
}

/// A server on the folder of one that is gone, or is about to: it goes away once its clients' tasks have noticed. (The default service
/// account exists already, which [`Server::with`] would trip over.)
pub async fn reopened(config: Config) -> ApiServer {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let config = Config {
        service_account_keys: vec![key.serialize_pem()],
        ..config
    };
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match config.clone().build().await {
            Ok(api) => return api,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
        }
    }
}

/// Asks until what is at the path is so, and yields it.
pub async fn until(server: &Server, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (code, found) = send(&server.admin, "GET", path, &Value::Null).await;
        if wanted(code, &found) {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{path}: gave up with {code} {found:#}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A raw request; a body that is null is not sent. Patches are merge patches.
pub async fn send(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (code, value, _) = warned(client, method, path, body).await;
    (code, value)
}

/// The same, with what the answer warns of.
pub async fn warned(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<String>) {
    let content_type = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Body::from(bytes))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response
        .headers()
        .get_all("warning")
        .iter()
        .map(warning)
        .collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    (code, value, warnings)
}

/// The text of a Warning header.
fn warning(header: &HeaderValue) -> String {
    let quoted = header.to_str().unwrap().strip_prefix("299 - \"").unwrap();
    let text = quoted.strip_suffix('"').unwrap();
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

pub fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
