//! How the front proxy is recognised: `kube-system/extension-apiserver-authentication`, as the API server publishes it
//! (apiserver `pkg/server/options/authentication_dynamic_request_header.go`).
use std::sync::Arc;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use crate::Error;

/// How requests are taken in; `None` until the API server has said whom to trust.
pub type Trusted = watch::Receiver<Option<Arc<Trust>>>;

/// Whom to trust.
pub struct Trust {
    /// TLS with our certificate, asking for one of the front proxy's authority.
    pub tls: Arc<ServerConfig>,
    /// Names that the front proxy may have; any when empty.
    pub names: Vec<String>,
}

/// Follows the ConfigMap as long as somebody listens.
pub fn follow(client: Client) -> Result<Trusted, Error> {
    let own = Own::make()?;
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, "kube-system");
        let config = watcher::Config::default().fields("metadata.name=extension-apiserver-authentication");
        let mut objects = std::pin::pin!(watcher(maps, config).default_backoff().applied_objects());
        loop {
            let next = tokio::select! {
                next = objects.try_next() => next,
                () = sender.closed() => return,
            };
            match next {
                Ok(Some(map)) => match own.trust(&map) {
                    Ok(trust) => {
                        tracing::info!(names = ?trust.names, "the front proxy is known");
                        sender.send_replace(Some(Arc::new(trust)));
                    }
                    Err(error) => tracing::warn!(error, "extension-apiserver-authentication is of no use"),
                },
                Ok(None) => return,
                // The watcher begins anew by itself.
                Err(error) => tracing::warn!(%error, "extension-apiserver-authentication cannot be read"),
            }
        }
    });
    Ok(receiver)
}

/// The serving certificate, made at each start: nobody verifies it but by the key's owner saying so in the APIService.
struct Own {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Own {
    fn make() -> Result<Self, Error> {
        let failed = |e: rcgen::Error| Error::Certificate(e.to_string());
        let names = vec!["metrics-adapter".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(failed)?;
        Ok(Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        })
    }

    fn trust(&self, map: &ConfigMap) -> Result<Trust, String> {
        let data = map.data.as_ref().ok_or("it is empty")?;
        let authority = data
            .get("requestheader-client-ca-file")
            .ok_or("it names no authority of the front proxy")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|e| e.to_string())?;
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        let names = data.get("requestheader-allowed-names");
        let names: Vec<String> = names
            .map(|names| serde_json::from_str(names))
            .transpose()
            .map_err(|e| format!("requestheader-allowed-names: {e}"))?
            .unwrap_or_default();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .allow_unauthenticated()
            .build()
            .map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut tls = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(|e| e.to_string())?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Trust {
            tls: Arc::new(tls),
            names,
        })
    }
}

impl Trust {
    /// Whether a certificate that TLS has verified is the front proxy's.
    pub fn is_front_proxy(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
            return false;
        };
        let name = certificate.subject().iter_common_name().next();
        let name = name.and_then(|n| n.as_str().ok()).unwrap_or_default();
        self.names.is_empty() || self.names.iter().any(|allowed| allowed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_that_are_allowed() {
        let own = Own::make().unwrap();
        let authority = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap();
        let map = |data: serde_json::Value| -> ConfigMap {
            serde_json::from_value(serde_json::json!({"data": data})).unwrap()
        };
        assert!(own.trust(&map(serde_json::json!({}))).is_err());
        let pem = authority.cert.pem();
        let trust = own
            .trust(&map(serde_json::json!({"requestheader-client-ca-file": pem,
                "requestheader-allowed-names": "[\"front-proxy-client\"]"})))
            .unwrap();
        assert!(!trust.is_front_proxy(authority.cert.der()));
        let anyone = own
            .trust(&map(serde_json::json!({"requestheader-client-ca-file": pem})))
            .unwrap();
        assert!(anyone.is_front_proxy(authority.cert.der()));
    }
}
