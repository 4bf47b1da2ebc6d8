//! What everything in this crate shares.
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use engine_store::{Precondition, Store, Stored, WriteError};
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use schema::KindInfo;
use serde_json::Value;
use streaming::NodeStreams;

use crate::{
    auth::{rbac::Rbac, tokens::Tokens},
    config::{BuildError, Config},
    keys,
    metrics::Metrics,
    query::Query,
    route::Route,
    status::{ApiError, Result},
    user::User,
};

/// The largest object that is stored (etcd's default `--max-request-bytes`).
const MAX_OBJECT: usize = 1536 * 1024;

/// The API server's state.
pub struct Api {
    pub config: Config,
    pub store: Store,
    pub tokens: Tokens,
    pub rbac: Rbac,
    pub metrics: Metrics,
    pub streams: OnceLock<Arc<dyn NodeStreams>>,
    pub node_proxy: OnceLock<Arc<dyn crate::proxy::NodeProxy>>,
    /// Held while a Service is given addresses and ports.
    pub services: tokio::sync::Mutex<()>,
    /// Held while something that a quota counts is created.
    pub quotas: tokio::sync::Mutex<()>,
}

/// One request, authenticated.
pub struct Call {
    pub route: Route,
    pub query: Query,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub user: User,
    pub upgrade: Mutex<Option<OnUpgrade>>,
    pub warnings: Mutex<Vec<String>>,
}

impl Call {
    /// Say something in a Warning header, once.
    pub fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&message) {
            warnings.push(message);
        }
    }

    /// The field manager: the parameter, or what the client calls itself.
    pub fn manager(&self) -> String {
        if let Some(name) = self.query.get("fieldManager") {
            return name.to_owned();
        }
        let agent = self
            .headers
            .get(http::header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let name: String = agent
            .split('/')
            .next()
            .unwrap_or_default()
            .chars()
            .take(128)
            .collect();
        if name.is_empty() {
            "unknown".to_owned()
        } else {
            name
        }
    }

    /// Whether nothing is to be written.
    pub fn dry_run(&self) -> bool {
        self.query.get("dryRun").is_some()
    }
}

impl Api {
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let store = engine_store::Config {
            dir: config.store_dir.clone(),
            history: config.history,
            ..engine_store::Config::default()
        }
        .build()?;
        Ok(Self {
            tokens: Tokens::new(&config.issuer, &config.service_account_keys)?,
            config,
            store,
            rbac: Rbac::default(),
            metrics: Metrics::default(),
            streams: OnceLock::new(),
            node_proxy: OnceLock::new(),
            services: tokio::sync::Mutex::default(),
            quotas: tokio::sync::Mutex::default(),
        })
    }

    /// The stored object, or 404.
    pub fn fetch(&self, kind: &'static KindInfo, namespace: &str, name: &str) -> Result<Arc<Stored>> {
        self.store
            .get(&keys::key(kind, namespace, name))
            .ok_or_else(|| ApiError::not_found(kind, name))
    }

    /// Refuse an object that is larger than etcd would take.
    pub fn check_size(value: &Value) -> Result<()> {
        if text_size(value) > MAX_OBJECT {
            return Err(ApiError::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit of a stored object is {MAX_OBJECT}"),
            ));
        }
        Ok(())
    }

    /// Write to the store; a failed precondition comes back as such.
    pub async fn write(
        &self,
        kind: &KindInfo,
        key: &str,
        value: Value,
        precondition: Precondition,
    ) -> Result<Arc<Stored>, WriteError> {
        let written = self.store.put(key, value, precondition).await;
        self.note_write(kind);
        written
    }

    /// Remove from the store.
    pub async fn erase(
        &self,
        kind: &KindInfo,
        key: &str,
        precondition: Precondition,
    ) -> Result<Arc<Stored>, WriteError> {
        let removed = self.store.delete(key, precondition).await;
        self.note_write(kind);
        removed
    }

    fn note_write(&self, kind: &KindInfo) {
        if kind.group == "rbac.authorization.k8s.io" {
            self.rbac.changed();
        }
    }
}

/// About the length of the JSON text, without making it.
fn text_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(|v| text_size(v) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + 4 + text_size(v)).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

/// A write error that is not about a precondition.
pub fn storage_error(error: &WriteError) -> ApiError {
    tracing::error!(%error, "store refused a write");
    ApiError::internal(error)
}
