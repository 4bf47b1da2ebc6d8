//! HTTP proxies to pods, services and nodes (kubernetes `pkg/registry/core/{pod,service,node}/rest`).
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use schema::KindInfo;
use serde_json::Value;
use streaming::{Duplex, StreamError, Target};
use tokio_rustls::TlsConnector;

use crate::{
    abrupt::Abrupt,
    aggregation::{Trust, client_tls},
    answer::{self, Body},
    api::{Api, Call},
    auth::impersonate,
    json::{list, text},
    status::{ApiError, Result},
    streams::stream_error,
};

/// The port of node agents.
const KUBELET_PORT: u16 = 10250;

impl Api {
    /// `proxy` of a pod, a service or a node.
    pub async fn proxy(&self, call: &Call, kind: &'static KindInfo) -> Result<Response<Body>> {
        if call.headers.contains_key(header::UPGRADE) {
            return Err(ApiError::unsupported(
                "upgraded connections through proxies are not supported; use port-forward",
            ));
        }
        let (scheme, name, port) = split(&call.route.name)
            .ok_or_else(|| ApiError::bad_request(format!("invalid proxy request \"{}\"", call.route.name)))?;
        let namespace = call.route.namespace.as_str();
        let connection = match kind.plural {
            "nodes" => {
                let node = self.fetch(kind, "", name)?;
                let port = if port.is_empty() {
                    KUBELET_PORT
                } else {
                    number(port)?
                };
                self.node_connection(&node.value(), name, port).await?
            }
            plural => {
                if scheme == "https" {
                    return Err(ApiError::unsupported(format!(
                        "{plural}/proxy speaks http only here, not https"
                    )));
                }
                let (pod, port) = if plural == "pods" {
                    let pod = self.fetch(kind, namespace, name)?;
                    let port = if port.is_empty() {
                        first_port(&pod.value()).unwrap_or(80)
                    } else {
                        number(port)?
                    };
                    (pod, port)
                } else {
                    self.endpoint(kind, namespace, name, port)?
                };
                let target = Target {
                    namespace: namespace.to_owned(),
                    pod: text(&pod.value(), "/metadata/name").to_owned(),
                    uid: text(&pod.value(), "/metadata/uid").to_owned(),
                    node: text(&pod.value(), "/spec/nodeName").to_owned(),
                    container: String::new(),
                };
                if target.node.is_empty() {
                    return Err(ApiError::bad_request(format!(
                        "pod {} does not have a host assigned",
                        target.pod
                    )));
                }
                self.node_streams()?
                    .port_forward(&target, port)
                    .await
                    .map_err(|error| unreachable(text(&pod.value(), "/status/podIP"), port, error))?
            }
        };
        forward(call, name, connection).await
    }

    /// A TLS connection to a node's agent, as the API server's own client.
    async fn node_connection(&self, node: &Value, name: &str, port: u16) -> Result<Box<dyn Duplex>> {
        let unreachable = |e: &dyn std::fmt::Display| {
            ApiError::new(
                503,
                "ServiceUnavailable",
                format!("error trying to reach service: node {name}: {e}"),
            )
        };
        let address = list(node, "/status/addresses")
            .iter()
            .find(|a| a["type"] == "InternalIP")
            .and_then(|a| text(a, "/address").parse::<IpAddr>().ok())
            .ok_or_else(|| unreachable(&"it has no address"))?;
        let network = self
            .network
            .get()
            .ok_or_else(|| unreachable(&"the pod network is not up yet"))?;
        let trust = Trust::Authority(self.config.ca_pem.as_bytes());
        let tls = client_tls(trust, self.config.node_client.as_ref()).map_err(|e| unreachable(&e))?;
        let server = ServerName::try_from(name.to_owned()).map_err(|e| unreachable(&e))?;
        let stream = network
            .connect(SocketAddr::new(address, port))
            .await
            .map_err(|e| unreachable(&e))?;
        let stream = TlsConnector::from(tls)
            .connect(server, stream)
            .await
            .map_err(|e| unreachable(&e))?;
        Ok(Box::new(Abrupt(stream)))
    }

    /// A ready pod behind a service, and its port.
    fn endpoint(
        &self,
        kind: &'static KindInfo,
        namespace: &str,
        name: &str,
        port: &str,
    ) -> Result<(std::sync::Arc<engine_store::Stored>, u16)> {
        let service = self.fetch(kind, namespace, name)?;
        let service = service.value();
        let ports = list(&service, "/spec/ports");
        let wanted = ports
            .iter()
            .find(|p| {
                port.is_empty()
                    || text(p, "/name") == port
                    || p["port"].as_u64().is_some_and(|n| port.parse() == Ok(n))
            })
            .ok_or_else(|| {
                ApiError::new(
                    503,
                    "ServiceUnavailable",
                    match port.parse::<u16>() {
                        Ok(port) => format!("no service port {port} found for service {name:?}"),
                        Err(_) => format!("no service port {port:?} found for service {name:?}"),
                    },
                )
            })?;
        let none = || {
            ApiError::new(
                503,
                "ServiceUnavailable",
                format!("no endpoints available for service {name:?}"),
            )
        };
        let slices = self
            .store
            .list(&format!("endpointslices.discovery.k8s.io/{namespace}/"))
            .items;
        for slice in slices.iter().map(|s| s.value()) {
            let slice = &*slice;
            if text(slice, "/metadata/labels/kubernetes.io~1service-name") != name {
                continue;
            }
            let Some(number) = list(slice, "/ports")
                .iter()
                .find(|p| text(p, "/name") == text(wanted, "/name"))
                .and_then(|p| p["port"].as_u64())
                .and_then(|p| u16::try_from(p).ok())
            else {
                continue;
            };
            for endpoint in list(slice, "/endpoints") {
                if endpoint["conditions"]["ready"] != true {
                    continue;
                }
                let pod = crate::keys::core("pods", namespace, text(endpoint, "/targetRef/name"));
                if let Some(pod) = self.store.get(&pod) {
                    return Ok((pod, number));
                }
            }
        }
        Err(none())
    }
}

/// A pod that does not answer, in the words of Go's dialer.
fn unreachable(ip: &str, port: u16, error: StreamError) -> ApiError {
    if error.code != 500 {
        return stream_error(error);
    }
    let why = if error.message.contains("connection refused") {
        format!("dial tcp {ip}:{port}: connect: connection refused")
    } else {
        error.message
    };
    let message = format!("error trying to reach service: {why}");
    ApiError::new(503, "ServiceUnavailable", message)
}

/// `[scheme:]name[:port]`.
fn split(raw: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = raw.split(':').collect();
    match parts.as_slice() {
        [name] => Some(("", name, "")),
        [name, port] => Some(("", name, port)),
        [scheme @ ("" | "http" | "https"), name, port] => Some((scheme, name, port)),
        _ => None,
    }
}

fn number(port: &str) -> Result<u16> {
    port.parse()
        .ok()
        .filter(|p| *p > 0)
        .ok_or_else(|| ApiError::bad_request(format!("invalid port \"{port}\"")))
}

fn first_port(pod: &Value) -> Option<u16> {
    let ports = list(pod, "/spec/containers")
        .iter()
        .flat_map(|c| list(c, "/ports"));
    ports
        .filter_map(|p| p["containerPort"].as_u64())
        .find_map(|p| u16::try_from(p).ok())
}

/// Headers that belong to one hop.
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "authorization",
];

/// What goes on to the next hop.
pub fn onward(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in HOP {
        kept.remove(name);
    }
    // Whose place was taken is settled: who reads this on the way would ask whether *that* user may take it.
    let settled = headers
        .keys()
        .filter(|name| impersonate::is_header(name.as_str()));
    for name in settled {
        kept.remove(name);
    }
    kept
}

async fn forward(call: &Call, host: &str, connection: Box<dyn Duplex>) -> Result<Response<Body>> {
    let failed = |e: hyper::Error| {
        ApiError::new(
            503,
            "ServiceUnavailable",
            format!("error trying to reach service: {e}"),
        )
    };
    let (mut sender, running) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
        .await
        .map_err(failed)?;
    tokio::spawn(running);
    let path = if call.route.rest.is_empty() {
        "/"
    } else {
        &call.route.rest
    };
    let query = call.query.raw();
    let uri: Uri = if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
    .parse()
    .map_err(|_| ApiError::bad_request("invalid proxy path"))?;
    let mut request = Request::new(answer::full(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = onward(&call.headers);
    let host = http::HeaderValue::from_str(host).map_err(|_| ApiError::bad_request("invalid name"))?;
    request.headers_mut().insert(header::HOST, host);
    let response = sender.send_request(request).await.map_err(failed)?;
    let (mut parts, body) = response.into_parts();
    parts.headers = onward(&parts.headers);
    parts.extensions.clear();
    parts.version = http::Version::default();
    Ok(Response::from_parts(
        parts,
        body.map_err(Into::into).boxed_unsync(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(split("web"), Some(("", "web", "")));
        assert_eq!(split("web:http"), Some(("", "web", "http")));
        assert_eq!(split("https:web:443"), Some(("https", "web", "443")));
        assert_eq!(split("ftp:web:21"), None);
    }

    #[test]
    fn refusals() {
        let error = StreamError {
            code: 500,
            message: "failed to connect: connect: connection refused".into(),
        };
        let error = unreachable("10.0.0.1", 80, error);
        assert_eq!((error.code, error.reason), (503, "ServiceUnavailable"));
        assert_eq!(
            error.message,
            "error trying to reach service: dial tcp 10.0.0.1:80: connect: connection refused"
        );
    }
}
