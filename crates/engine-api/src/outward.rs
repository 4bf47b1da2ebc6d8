//! Calls to webhooks: HTTPS to a service of the cluster, or to a URL (apiserver `pkg/util/webhook/client.go`, client-go `rest/request.go`).
use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use streaming::Duplex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    abrupt::Abrupt,
    aggregation::{Trust, client_tls},
    answer,
    api::Api,
    json::{number, text},
    keys,
};

/// The longest answer that is read.
const LONGEST: usize = 16 * 1024 * 1024;

/// Whom to call, as a `clientConfig` says.
#[derive(Debug)]
pub struct Target {
    place: Place,
    /// What the certificate has to be of.
    host: String,
    port: u16,
    path: String,
    trust: Result<Arc<ClientConfig>, String>,
}

#[derive(Debug)]
enum Place {
    Service { namespace: String, name: String },
    Url,
}

impl Target {
    /// From `url` or `service`, and `caBundle`.
    pub fn of(config: &Value) -> Self {
        let trust = trust(text(config, "/caBundle"));
        if config["service"].is_object() {
            let (namespace, name) = (text(config, "/service/namespace"), text(config, "/service/name"));
            let port = number(config, "/service/port").unwrap_or(443);
            return Self {
                host: format!("{name}.{namespace}.svc"),
                port: u16::try_from(port).unwrap_or(443),
                path: rooted(text(config, "/service/path")),
                place: Place::Service {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                },
                trust,
            };
        }
        let url = text(config, "/url");
        let rest = url.strip_prefix("https://").unwrap_or(url);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // An address of IPv6 has colons of its own.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(443)),
            _ => (authority, 443),
        };
        Self {
            place: Place::Url,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: rooted(path),
            trust,
        }
    }

    /// Host and port; an address of IPv6 is in brackets.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn url(&self, timeout: Duration) -> String {
        let authority = self.authority();
        let host = match &self.place {
            Place::Url => authority.strip_suffix(":443").unwrap_or(&authority),
            Place::Service { .. } => &authority,
        };
        format!("https://{host}{}?timeout={}s", self.path, timeout.as_secs())
    }
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// Those of the bundle; without one, those that the world trusts.
fn trust(bundle: &str) -> Result<Arc<ClientConfig>, String> {
    if bundle.is_empty() {
        let mut roots = RootCertStore::empty();
        for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            roots.add(certificate.clone()).map_err(|e| e.to_string())?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        return Ok(Arc::new(config));
    }
    let pem = STANDARD.decode(bundle).map_err(|e| format!("caBundle: {e}"))?;
    let unusable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
    if CertificateDer::pem_slice_iter(&pem).next().is_none() {
        return Err(unusable());
    }
    client_tls(Trust::Authority(&pem), None).map_err(|_| unusable())
}

/// Why TLS failed, as Go words the common reasons.
fn tls_failure(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let why = match why {
                rustls::CertificateError::UnknownIssuer => {
                    "certificate signed by unknown authority".to_owned()
                }
                rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                    "certificate has expired or is not yet valid".to_owned()
                }
                other => other.to_string(),
            };
            format!("tls: failed to verify certificate: x509: {why}")
        }
        _ => error.to_string(),
    }
}

fn dial_failure(address: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

impl Api {
    /// Posts a document and yields the one that is answered. An error is worded as the client of upstream words it.
    pub async fn post(&self, target: &Target, body: &Value, timeout: Duration) -> Result<Value, String> {
        let url = target.url(timeout);
        let asked = self.exchange(target, &url, body.to_string().into());
        let answered = match tokio::time::timeout(timeout, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(Failed::Transport("context deadline exceeded".to_owned())),
        };
        answered.map_err(|failed| match failed {
            Failed::Transport(why) => format!("Post {url:?}: {why}"),
            Failed::Answer(why) => why,
        })
    }

    async fn exchange(&self, target: &Target, url: &str, body: Bytes) -> Result<Value, Failed> {
        let stream = self.reach(target).await?;
        let tls = target.trust.clone()?;
        let host = target.host.as_str();
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{host}: {e}"))?;
        let stream = TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .map_err(|e| tls_failure(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(Abrupt(stream)))
            .await
            .map_err(|e| e.to_string())?;
        let connection = tokio::spawn(connection);
        let path_and_query = url.splitn(4, '/').nth(3).unwrap_or_default();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/{path_and_query}"))
            .header(header::HOST, target.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(answer::full(body))
            .map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string());
        let answered = match response {
            Ok(response) => read(response).await,
            Err(why) => Err(Failed::Transport(why)),
        };
        connection.abort();
        answered
    }

    async fn reach(&self, target: &Target) -> Result<Box<dyn Duplex>, String> {
        match &target.place {
            Place::Service { namespace, name } => {
                if self.store.get(&keys::core("services", namespace, name)).is_none() {
                    return Err(format!("service {name:?} not found"));
                }
                let address = self.service_endpoint(namespace, name, target.port.into())?;
                let network = self.network.get().ok_or("the pod network is not up yet")?;
                network
                    .connect(address)
                    .await
                    .map_err(|e| dial_failure(&address.to_string(), &e))
            }
            Place::Url => match TcpStream::connect((target.host.as_str(), target.port)).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(e) => Err(dial_failure(&format!("{}:{}", target.host, target.port), &e)),
            },
        }
    }
}

/// Who failed.
enum Failed {
    /// Nobody answered.
    Transport(String),
    /// The answer is none.
    Answer(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Transport(why)
    }
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Value, Failed> {
    let code = response.status();
    let body = Limited::new(response.into_body(), LONGEST)
        .collect()
        .await
        .map_err(|e| Failed::Transport(e.to_string()))?
        .to_bytes();
    if code.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|e| Failed::Answer(format!("couldn't get version/kind; json parse error: {e}")));
    }
    // apimachinery `api/errors/errors.go` NewGenericServerResponse.
    Err(Failed::Answer(match code.as_u16() {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the request".to_owned(),
        500..=599 => {
            let said = String::from_utf8_lossy(&body);
            let said = if said.trim().is_empty() { "unknown" } else { said.trim() };
            format!("an error on the server ({said:?}) has prevented the request from succeeding")
        }
        other => format!("the server responded with the status code {other} but did not return more information"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets() {
        let url = |config: Value| Target::of(&config).url(Duration::from_secs(10));
        assert_eq!(
            url(json!({"service": {"namespace": "n", "name": "s", "path": "/a"}})),
            "https://s.n.svc:443/a?timeout=10s"
        );
        assert_eq!(
            url(json!({"url": "https://h.example/x/y"})),
            "https://h.example/x/y?timeout=10s"
        );
        assert_eq!(
            url(json!({"url": "https://127.0.0.1:8443"})),
            "https://127.0.0.1:8443/?timeout=10s"
        );
        let v6 = Target::of(&json!({"url": "https://[::1]:8443/a"}));
        assert_eq!((v6.host.as_str(), v6.port), ("::1", 8443));
        assert_eq!(v6.url(Duration::from_secs(1)), "https://[::1]:8443/a?timeout=1s");
        assert_eq!(
            url(json!({"url": "https://[::1]/a"})),
            "https://[::1]/a?timeout=10s"
        );
        let bad = Target::of(&json!({"url": "https://h", "caBundle": STANDARD.encode("nonsense")}));
        assert!(bad.trust.is_err());
    }
}
