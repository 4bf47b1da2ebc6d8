//! API aggregation: groups that another server serves (kube-aggregator `pkg/apiserver`).
//!
//! An APIService with a service hands its group version to that service. `registrar` follows the APIServices, asks each server
//! for its discovery documents and says in the condition `Available` what it found; `proxy` passes requests on, with the user in
//! headers that the server believes because of the front proxy's certificate (`dial`). `local` is what this server itself
//! registers: the groups it serves, and how extension servers recognise it.
mod dial;
mod local;
mod proxy;
mod registrar;
mod trusted;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use serde_json::Value;
use streaming::Duplex;

pub use dial::{Trust, client_tls};
pub use local::{condition as local_condition, ensure, priority, register_customs};
pub use registrar::run;

/// How the API server reaches what is inside the cluster.
#[async_trait]
pub trait Network: Send + Sync {
    /// A TCP connection to a node's or a pod's address.
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Duplex>>;
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// Certificate.
    pub cert_pem: String,
    /// PKCS #8 private key.
    pub key_pem: String,
}

/// By what extension API servers recognise this one: `--requestheader-client-ca-file` and `--proxy-client-cert-file`.
#[derive(Debug, Clone)]
pub struct FrontProxy {
    /// An authority that signs nothing else.
    pub ca_pem: String,
    /// The client certificate that it has signed.
    pub identity: ClientIdentity,
}

/// Group and version.
pub type GroupVersion = (String, String);

/// A group version that another server serves.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// `groupPriorityMinimum` and `versionPriority`.
    pub priority: (i64, i64),
    /// The APIService's spec.
    pub spec: Value,
    /// Whether its last check was passed.
    pub available: bool,
    /// `resources` of the APIResourceList that it answered last.
    pub resources: Vec<Value>,
    /// Where it serves its OpenAPI document, with the hash.
    pub openapi: Option<String>,
}

/// The group versions that other servers serve.
#[derive(Debug, Default)]
pub struct Remotes {
    all: RwLock<BTreeMap<GroupVersion, Arc<Remote>>>,
}

impl Remotes {
    /// Who serves this group version, unless it is this server.
    pub fn get(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return None;
        }
        all.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<GroupVersion, Arc<Remote>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<GroupVersion, Arc<Remote>>)) {
        change(&mut self.all.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Group and version of a path below `/apis/GROUP/VERSION` or `/openapi/v3/apis/GROUP/VERSION`.
pub fn group_version(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
    let mut parts = path.strip_prefix("/apis/")?.split('/');
    Some((
        parts.next().filter(|p| !p.is_empty())?,
        parts.next().filter(|p| !p.is_empty())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_group_versions() {
        assert_eq!(group_version("/apis/a.io/v1"), Some(("a.io", "v1")));
        assert_eq!(group_version("/apis/a.io/v1/x/y"), Some(("a.io", "v1")));
        assert_eq!(group_version("/openapi/v3/apis/a.io/v1"), Some(("a.io", "v1")));
        assert_eq!(group_version("/apis/a.io"), None);
        assert_eq!(group_version("/apis/a.io/"), None);
        assert_eq!(group_version("/api/v1/pods"), None);
    }
}
