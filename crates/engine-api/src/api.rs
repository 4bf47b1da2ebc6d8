//! What everything in this crate shares.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use engine_store::{Precondition, Store, Stored, WriteError};
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use schema::KindInfo;
use serde_json::Value;
use streaming::NodeStreams;
use validation::Cause;

use crate::{
    admission::Dynamic,
    aggregation::{Network, Remotes},
    auth::{impersonate::Modes, rbac::Rbac, tokens::Tokens},
    config::{BuildError, Config},
    custom::{self, Customs},
    keys,
    metrics::Metrics,
    openapi,
    query::Query,
    registry::addresses,
    resource_metrics::MetricsSource,
    route::Route,
    status::{ApiError, Result},
    user::User,
};

/// The largest object that is stored (etcd's default `--max-request-bytes`).
const MAX_OBJECT: usize = 1536 * 1024;

/// The deepest object that is stored. What reads JSON here, the store's log first of all, stops at 128 levels, and a list puts two
/// around an object.
const MAX_DEPTH: usize = 120;

/// So many warnings are kept of a request; more would not fit into its answer.
const MAX_WARNINGS: usize = 512;

/// The API server's state.
pub struct Api {
    pub config: Config,
    pub started: jiff::Timestamp,
    pub store: Store,
    pub tokens: Tokens,
    pub rbac: Rbac,
    /// How users took somebody's place last.
    pub modes: Modes,
    pub metrics: Metrics,
    pub streams: OnceLock<Arc<dyn NodeStreams>>,
    pub network: OnceLock<Arc<dyn Network>>,
    pub metrics_source: OnceLock<Arc<dyn MetricsSource>>,
    pub remotes: Remotes,
    pub customs: Arc<Customs>,
    /// Documents that clients asked for.
    pub described: openapi::Cache,
    /// Where requests belong.
    pub flows: crate::classify::Flows,
    /// Webhooks and policies.
    pub dynamic: Dynamic,
    /// Held while a Service is given addresses and ports.
    pub services: tokio::sync::Mutex<()>,
    /// Held while something that a quota counts is created.
    pub quotas: tokio::sync::Mutex<()>,
}

/// One request, authenticated.
pub struct Call {
    pub route: Route,
    pub query: Query,
    /// The path as it came, still encoded.
    pub path: String,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub user: User,
    pub upgrade: Mutex<Option<OnUpgrade>>,
    pub warnings: Mutex<Vec<String>>,
    /// The empty lists and maps that the body, or what a patch made of an object, says.
    pub empties: Mutex<Vec<(String, Value)>>,
    /// What the audit log is told of it by admission.
    pub annotations: Mutex<BTreeMap<String, String>>,
}

impl Call {
    /// Say something in a Warning header, once.
    pub fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&message) {
            warnings.push(message);
        }
    }

    /// What is wrong with an object, as upstream shows it: with the empty lists and maps that were said, which `again` is asked of. They
    /// change what is shown, not what is wrong, but with definitions of custom resources.
    pub fn shown(
        &self,
        kind: &KindInfo,
        causes: Vec<Cause>,
        object: &Value,
        again: impl Fn(&Value) -> Vec<Cause>,
    ) -> Vec<Cause> {
        let empties = self.empties.lock().unwrap_or_else(PoisonError::into_inner);
        // Schemas may not even have dependencies that are empty.
        let matter = kind.group == "apiextensions.k8s.io";
        if causes.is_empty() && !matter || empties.is_empty() {
            return causes;
        }
        let mut said = object.clone();
        let shown: Vec<_> = empties
            .iter()
            .filter(|(at, _)| !matter || at.ends_with("/dependencies"))
            .cloned()
            .collect();
        schema::put_empties(&mut said, &shown);
        let shown = again(&said);
        let places =
            |causes: &[Cause]| -> Vec<_> { causes.iter().map(|c| (c.reason, c.field.clone())).collect() };
        if matter || places(&shown) == places(&causes) {
            shown
        } else {
            causes
        }
    }

    /// Whether the body says an empty list or map at this place, or below it where that ends in a slash, and nothing has filled it since.
    pub fn says_empty(&self, pointer: &str, object: &Value) -> bool {
        let empties = self.empties.lock().unwrap_or_else(PoisonError::into_inner);
        let below = pointer.ends_with('/');
        empties
            .iter()
            .filter(|(at, _)| at == pointer || below && at.starts_with(pointer))
            .any(|(at, _)| object.pointer(at).is_none_or(Value::is_null))
    }

    /// Tell the audit log something of Pod Security.
    pub fn annotate(&self, key: &str, value: impl Into<String>) {
        self.note(format!("{}{key}", pod_security::LABEL_PREFIX), value.into());
    }

    /// Tell the audit log something; what was said first under a key stands.
    pub fn note(&self, key: String, value: String) {
        let mut annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.entry(key).or_insert(value);
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

    /// The same request, about another object.
    pub fn about(&self, resource: &str, name: &str) -> Self {
        Self {
            route: Route {
                resource: resource.to_owned(),
                name: name.to_owned(),
                ..self.route.clone()
            },
            query: self.query.clone(),
            path: self.path.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            user: self.user.clone(),
            upgrade: Mutex::default(),
            warnings: Mutex::default(),
            empties: Mutex::default(),
            annotations: Mutex::default(),
        }
    }

    /// The kind that the parameters of the request are decoded as.
    pub fn options_kind(&self) -> &'static str {
        match self.route.verb {
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            "delete" | "deletecollection" => "DeleteOptions",
            _ => "CreateOptions",
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
            started: jiff::Timestamp::now(),
            store,
            rbac: Rbac::default(),
            modes: Modes::default(),
            metrics: Metrics::default(),
            streams: OnceLock::new(),
            network: OnceLock::new(),
            metrics_source: OnceLock::new(),
            remotes: Remotes::default(),
            customs: Arc::default(),
            described: openapi::Cache::default(),
            flows: crate::classify::Flows::default(),
            dynamic: Dynamic::default(),
            services: tokio::sync::Mutex::default(),
            quotas: tokio::sync::Mutex::default(),
        })
    }

    /// The kind served at this group, version and plural.
    pub fn kind(&self, group: &str, version: &str, plural: &str) -> Option<&'static KindInfo> {
        schema::by_resource(group, version, plural)
            .or_else(|| self.customs.by_resource(group, version, plural))
    }

    /// The stored object, or 404.
    pub fn fetch(&self, kind: &'static KindInfo, namespace: &str, name: &str) -> Result<Arc<Stored>> {
        self.store
            .get(&keys::key(kind, namespace, name))
            .ok_or_else(|| ApiError::not_found(kind, name))
    }

    /// Refuse an object that is larger than etcd would take, or that could not be read back.
    pub fn check_storable(value: &Value) -> Result<()> {
        let depth = kube_types::depth(value);
        if depth > MAX_DEPTH {
            return Err(ApiError::bad_request(format!(
                "the object, its managed fields included, is nested {depth} levels deep; at most {MAX_DEPTH} are stored"
            )));
        }
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
        if custom::is(kind) {
            self.customs.removed.notify_one();
        } else if let Ok(gone) = &removed {
            match kind.plural {
                "services" => addresses::release_left(self, None, &gone.value()).await,
                "ipaddresses" => addresses::made_again(self, &gone.value()).await,
                _ => {}
            }
        }
        removed
    }

    fn note_write(&self, kind: &KindInfo) {
        if kind.group == "rbac.authorization.k8s.io" {
            self.rbac.changed();
        }
        if kind.plural == "customresourcedefinitions" && !custom::is(kind) {
            self.customs.refresh(&self.store);
        }
        if kind.group == "admissionregistration.k8s.io" {
            self.dynamic.refresh(&self.store);
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
