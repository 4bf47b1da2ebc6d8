//! Facts of a cluster: lists from its API, ends of certificates, and what a short-lived pod saw.
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use preflight::cluster::ClusterFacts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;

use super::{Stop, probe};
use crate::cli::Doctor;
use crate::cluster;
use crate::exit::Interrupted;
use crate::settings::Settings;

/// Asks a cluster.
pub async fn collect(args: &Doctor, settings: &Settings, stop: &Stop) -> anyhow::Result<ClusterFacts> {
    let client = cluster::client(settings).await?;
    let mut facts = tokio::select! {
        facts = lists(&client) => facts?,
        () = stop.wait() => return Err(Interrupted.into()),
    };
    facts.certificates = certificates(settings).await;
    if let Some(image) = &args.probe_image {
        facts.probe = Some(probe::run(&client, image, stop).await?);
    }
    Ok(facts)
}

async fn lists(client: &Client) -> anyhow::Result<ClusterFacts> {
    let version = client.apiserver_version().await?;
    let mut unseen = BTreeMap::new();
    let mut get = async |path: &str| -> Vec<Value> {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        match all(client, path).await {
            Ok(items) => items,
            Err(e) => {
                unseen.insert(name, e.to_string());
                Vec::new()
            }
        }
    };
    let mut facts = ClusterFacts {
        version: version.git_version,
        nodes: get("/api/v1/nodes").await,
        pods: get("/api/v1/pods").await,
        services: get("/api/v1/services").await,
        events: get("/api/v1/events").await,
        endpoint_slices: get("/apis/discovery.k8s.io/v1/endpointslices").await,
        deployments: get("/apis/apps/v1/deployments").await,
        daemon_sets: get("/apis/apps/v1/daemonsets").await,
        disruption_budgets: get("/apis/policy/v1/poddisruptionbudgets").await,
        ..ClusterFacts::default()
    };
    facts.unseen = unseen;
    Ok(facts)
}

/// A list with all its pages.
async fn all(client: &Client, path: &str) -> Result<Vec<Value>, kube::Error> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let request = http::Request::get(format!("{path}?limit=500&continue={token}"))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        let mut page: Value = client.request(request).await?;
        if let Some(Value::Array(list)) = page.get_mut("items").map(Value::take) {
            items.extend(list);
        }
        // Tokens are base64 for URLs, so they need no escaping.
        token = page
            .pointer("/metadata/continue")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if token.is_empty() {
            return Ok(items);
        }
    }
}

/// The ends of the API server's certificate and of the user's own.
async fn certificates(settings: &Settings) -> BTreeMap<String, i64> {
    let mut ends = BTreeMap::new();
    let Ok(config) = cluster::config(settings).await else {
        return ends;
    };
    if let Some(data) = &config.auth_info.client_certificate_data {
        use base64::Engine as _;
        let pem = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap_or_default();
        ends.extend(host::certificate_end(&pem).map(|end| ("kubeconfig user".to_owned(), end)));
    } else if let Some(pem) = config
        .auth_info
        .client_certificate
        .as_ref()
        .and_then(|path| std::fs::read(path).ok())
    {
        ends.extend(host::certificate_end(&pem).map(|end| ("kubeconfig user".to_owned(), end)));
    }
    let url = config.cluster_url;
    if let (Some(host_name), true) = (url.host().map(str::to_owned), url.scheme_str() == Some("https")) {
        let port = url.port_u16().unwrap_or(443);
        let end = tokio::task::spawn_blocking(move || server_certificate(&host_name, port))
            .await
            .ok()
            .flatten();
        ends.extend(
            end.and_then(|der| host::certificate_end(&der))
                .map(|end| ("API server".to_owned(), end)),
        );
    }
    ends
}

/// Looks at a server's certificate without trusting it; nothing is sent over the connection.
fn server_certificate(host_name: &str, port: u16) -> Option<Vec<u8>> {
    use std::net::ToSocketAddrs as _;
    let address = (host_name.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .ok()?
        .next()?;
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(3)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    let seen = Arc::new(Looker::default());
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host_name.trim_matches(['[', ']']).to_owned()).ok()?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).ok()?;
    // It ends with the verifier's refusal, after it has seen the certificate.
    let _ = connection.complete_io(&mut socket);
    seen.certificate.lock().ok()?.take()
}

/// Keeps the certificate and refuses every server.
#[derive(Debug, Default)]
struct Looker {
    certificate: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut kept) = self.certificate.lock() {
            *kept = Some(end_entity.to_vec());
        }
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
