//! What an API server needs to know before it is built.
use std::{net::Ipv4Addr, ops::RangeInclusive, path::PathBuf, sync::Arc};

use ipnet::Ipv4Net;

use crate::{
    aggregation::{self, ClientIdentity, FrontProxy},
    api::Api,
    audit::AuditEvent,
    server::ApiServer,
};

/// Hears of every finished request.
pub type AuditHook = Arc<dyn Fn(&AuditEvent) + Send + Sync>;

/// How an API server is built.
#[derive(Clone)]
pub struct Config {
    /// Where objects are kept; `None` keeps them in memory only.
    pub store_dir: Option<PathBuf>,
    /// Where service addresses come from.
    pub service_cidr: Ipv4Net,
    /// Address of the DNS service, kept free for it.
    pub dns_ip: Option<Ipv4Addr>,
    /// Where node ports come from.
    pub node_port_range: RangeInclusive<u16>,
    /// PKCS#8 PEM keys (P-256) of service-account tokens: the first signs, all verify.
    pub service_account_keys: Vec<String>,
    /// Issuer and audience of service-account tokens.
    pub issuer: String,
    /// The certificate authority of the API server, for `kube-root-ca.crt` and the cluster-info.
    pub ca_pem: String,
    /// By what extension API servers recognise this one; without it they cannot.
    pub front_proxy: Option<FrontProxy>,
    /// As whom this server shows itself to node agents.
    pub node_client: Option<ClientIdentity>,
    /// Where this API server answers: the endpoint of the service `kubernetes`.
    pub advertise: Option<(Ipv4Addr, u16)>,
    /// `gitVersion` of `/version`, such as `v1.36.2+cncfdemo`.
    pub git_version: String,
    /// Hears of every finished request.
    pub audit: Option<AuditHook>,
    /// How long pods stay on a node that is not ready, unless they say otherwise (`--default-not-ready-toleration-seconds`).
    pub not_ready_toleration_seconds: u32,
    /// The same for a node that cannot be reached (`--default-unreachable-toleration-seconds`).
    pub unreachable_toleration_seconds: u32,
    /// How many events the store keeps for watchers that start in the past.
    pub history: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store_dir: None,
            service_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 112, 0, 0), 16),
            dns_ip: None,
            node_port_range: 30000..=32767,
            service_account_keys: Vec::new(),
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            ca_pem: String::new(),
            front_proxy: None,
            node_client: None,
            advertise: None,
            git_version: "v1.36.2+cncfdemo".to_owned(),
            audit: None,
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            history: engine_store::Config::default().history,
        }
    }
}

/// Why an API server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] engine_store::OpenError),
    /// A service-account key cannot be used.
    #[error("service-account key: {0}")]
    ServiceAccountKey(String),
    /// The objects that every cluster has cannot be written.
    #[error("cannot create {what}: {message}")]
    Bootstrap {
        /// The object.
        what: String,
        /// Why.
        message: String,
    },
}

impl Config {
    /// Open the store and write the objects that every cluster has.
    pub async fn build(self) -> Result<ApiServer, BuildError> {
        let api = Arc::new(Api::new(self)?);
        crate::bootstrap::run(&api).await?;
        api.customs.refresh(&api.store);
        api.dynamic.refresh(&api.store);
        tokio::spawn(crate::custom::run(Arc::downgrade(&api)));
        tokio::spawn(aggregation::run(Arc::downgrade(&api)));
        tokio::spawn(crate::expiry::run(Arc::downgrade(&api)));
        tokio::spawn(crate::flow::run(Arc::downgrade(&api)));
        tokio::spawn(crate::admission::check_types(Arc::downgrade(&api)));
        tokio::spawn(crate::memory::run(Arc::downgrade(&api)));
        Ok(ApiServer::new(api))
    }
}
