//! HTTPS with a client certificate, one connection per client: no pool, no retries, little CPU, so that what is measured
//! is the server. (A pooled client would also share one HTTP/2 connection, which many clients do not.)
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Door {
    connector: TlsConnector,
    address: SocketAddr,
    host: String,
}

impl Door {
    /// Reads a kubeconfig with one cluster and one user, both with their data inline.
    pub fn open(kubeconfig: &Path) -> anyhow::Result<Door> {
        let text = std::fs::read_to_string(kubeconfig)?;
        let config: Value = serde_saphyr::from_str(&text)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let data = |from: &Value, key: &str| {
            let text = from[key]
                .as_str()
                .with_context(|| format!("the kubeconfig has no {key}"))?;
            anyhow::Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
        };
        let server = cluster["server"]
            .as_str()
            .context("the kubeconfig has no server")?;
        let host = server
            .strip_prefix("https://")
            .context("the server is not https")?
            .trim_end_matches('/')
            .to_owned();
        let address: SocketAddr = host.parse().with_context(|| format!("{host} is no address"))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&data(cluster, "certificate-authority-data")?) {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_slice_iter(&data(user, "client-certificate-data")?)
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&data(user, "client-key-data")?)?;
        let mut tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Door {
            connector: TlsConnector::from(Arc::new(tls)),
            address,
            host,
        })
    }

    /// A new connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self
            .connector
            .connect(ServerName::from(self.address.ip()), stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            host: self.host.clone(),
        })
    }
}

/// A keep-alive connection.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Sends a request and gives the answer's head with its body still to come.
    pub async fn begin(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Incoming)> {
        self.send(method, path, "application/json", body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Incoming)> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::USER_AGENT, "bench/1")
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body))
    }

    /// Sends a request and gives the whole body of an answer that is a success.
    pub async fn call(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let (status, body) = self.begin(method, path, body).await?;
        whole(path, status, body).await
    }

    /// Gets something in the form that is asked for.
    pub async fn get_as(&mut self, accept: &str, path: &str) -> anyhow::Result<Bytes> {
        let (status, body) = self.send(Method::GET, path, accept, Bytes::new()).await?;
        whole(path, status, body).await
    }
}

/// The whole body of an answer that is a success.
async fn whole(path: &str, status: StatusCode, body: Incoming) -> anyhow::Result<Bytes> {
    let body = body.collect().await?.to_bytes();
    if !status.is_success() {
        bail!(
            "{path} answered {status}: {}",
            String::from_utf8_lossy(&body[..body.len().min(300)])
        );
    }
    Ok(body)
}
