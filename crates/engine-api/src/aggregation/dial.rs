//! Connections to the servers behind APIServices: a ready endpoint of the service, TLS, and this server's certificate.
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rand::seq::IndexedRandom as _;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use streaming::AnyCertificate;
use tokio_rustls::TlsConnector;

use super::{ClientIdentity, Remote, trusted::Trusted};
use crate::{
    abrupt::Abrupt,
    answer::Body,
    api::Api,
    json::{list, number, text},
    keys,
};

/// The service of an APIService: namespace, name, port.
pub fn service(spec: &Value) -> (&str, &str, i64) {
    (
        text(spec, "/service/namespace"),
        text(spec, "/service/name"),
        number(spec, "/service/port").unwrap_or(443),
    )
}

/// Whom a TLS client trusts, and as whom it shows itself.
pub fn client_tls(trust: Trust<'_>, identity: Option<&ClientIdentity>) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder();
    let provider = builder.crypto_provider().clone();
    let builder = match trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        Trust::Authority(pem) => {
            let listed = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| format!("the certificate authority: {e}"))?;
            let trusted =
                Trusted::new(listed, provider).map_err(|e| format!("the certificate authority: {e}"))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(trusted))
        }
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.cert_pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| format!("the client certificate: {e}"))?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
                .map_err(|e| format!("the client key: {e}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| format!("the client certificate: {e}"))?
        }
    };
    Ok(Arc::new(config))
}

/// Whom a TLS client trusts.
pub enum Trust<'a> {
    /// Whoever answers: `insecureSkipTLSVerify`.
    Anybody,
    /// Who has a certificate of this authority (PEM).
    Authority(&'a [u8]),
}

impl Api {
    /// Sends a request to the server behind an APIService. The error is worded for a condition or a body of a 503.
    pub async fn ask_remote(
        &self,
        remote: &Remote,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, String> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        use http_body_util::BodyExt as _;
        let (namespace, name, port) = service(&remote.spec);
        let address = self.service_endpoint(namespace, name, port)?;
        let bundle = STANDARD
            .decode(text(&remote.spec, "/caBundle"))
            .map_err(|e| format!("caBundle: {e}"))?;
        let trust = if remote.spec["insecureSkipTLSVerify"] == true {
            Trust::Anybody
        } else {
            Trust::Authority(&bundle)
        };
        let identity = self.config.front_proxy.as_ref().map(|p| &p.identity);
        let tls = client_tls(trust, identity)?;
        let host = format!("{name}.{namespace}.svc");
        let server_name = ServerName::try_from(host.clone()).map_err(|e| format!("{host}: {e}"))?;
        let network = self
            .network
            .get()
            .ok_or_else(|| "the pod network is not up yet".to_owned())?;
        let failed = |what: &str, e: &dyn std::fmt::Display| format!("{what} tcp {address}: {e}");
        let stream = network.connect(address).await.map_err(|e| failed("dial", &e))?;
        let stream = TlsConnector::from(tls)
            .connect(server_name, stream)
            .await
            .map_err(|e| failed("tls", &e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(Abrupt(stream)))
            .await
            .map_err(|e| failed("http", &e))?;
        tokio::spawn(connection);
        let authority = http::HeaderValue::from_str(&host).map_err(|e| failed("http", &e))?;
        request.headers_mut().insert(http::header::HOST, authority);
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| failed("http", &e))?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// An address of a ready endpoint of a service's port; one of several at random.
    pub fn service_endpoint(&self, namespace: &str, name: &str, port: i64) -> Result<SocketAddr, String> {
        let service = self
            .store
            .get(&keys::core("services", namespace, name))
            .ok_or_else(|| format!("service/{name} in {namespace:?} is not present"))?;
        let service = service.value();
        let port_name = list(&service, "/spec/ports")
            .iter()
            .find(|p| p["port"].as_i64() == Some(port))
            .map(|p| text(p, "/name"))
            .ok_or_else(|| format!("service/{name} in {namespace:?} is not listening on port {port}"))?;
        let found = self.endpoint_addresses(namespace, name, port_name);
        found
            .choose(&mut rand::rng())
            .copied()
            .ok_or_else(|| format!("no endpoints available for service {name:?}"))
    }

    /// Every ready address of a service's named port.
    pub fn endpoint_addresses(&self, namespace: &str, name: &str, port_name: &str) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for slice in self.slices_of(namespace, name) {
            let Some(port) = list(&slice.value(), "/ports")
                .iter()
                .find(|p| text(p, "/name") == port_name)
                .and_then(|p| p["port"].as_u64())
                .and_then(|p| u16::try_from(p).ok())
            else {
                continue;
            };
            for endpoint in list(&slice.value(), "/endpoints") {
                if endpoint["conditions"]["ready"] == false {
                    continue;
                }
                let addresses = list(endpoint, "/addresses").iter().filter_map(Value::as_str);
                found.extend(
                    addresses
                        .filter_map(|a| a.parse::<IpAddr>().ok())
                        .map(|ip| SocketAddr::new(ip, port)),
                );
            }
        }
        found
    }

    /// The endpoint slices of a service.
    pub fn slices_of(&self, namespace: &str, name: &str) -> Vec<Arc<engine_store::Stored>> {
        let mut slices = self
            .store
            .list(&format!("endpointslices.discovery.k8s.io/{namespace}/"))
            .items;
        slices.retain(|s| text(&s.value(), "/metadata/labels/kubernetes.io~1service-name") == name);
        slices
    }
}

/// A GET of a path, as `user` in `groups`.
pub fn get(path: &str) -> Result<Request<Body>, String> {
    let uri: Uri = path.parse().map_err(|e| format!("{path}: {e}"))?;
    let mut request = Request::new(crate::answer::full(""));
    *request.uri_mut() = uri;
    Ok(request)
}
