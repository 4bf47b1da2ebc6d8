//! The node's HTTPS endpoint on port 10250: metrics, statistics, pods. Callers show a client certificate of the cluster's authority or
//! a bearer token, which the API server reviews; it is asked whether they may (pkg/kubelet/server, authentication by x509 and
//! webhook, authorisation by webhook).
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};
use crate::stats::{Source, text};

/// The kubelet's port.
pub const PORT: u16 = 10250;
/// How long a decision of the API server is trusted.
const TRUST: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
const MAX_DECISIONS: usize = 1024;

/// Opens the port in the node's namespace.
pub fn listen(source: &Source) -> Result<TcpListener> {
    let address = SocketAddr::new(source.shared.node_ip, PORT);
    let bind = |err| Error::Net {
        what: "listen for metrics",
        source: err,
    };
    let listener = source.shared.net.namespace().bind_tcp(address).map_err(bind)?;
    TcpListener::from_std(listener).map_err(|err| Error::file("listen on", address.to_string(), err))
}

/// Serves until it is dropped.
pub async fn serve(source: Source, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    let server = Arc::new(Server {
        source,
        decisions: Mutex::default(),
    });
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(err) => {
                // Out of descriptors, say: not a reason to spin.
                tracing::warn!(%err, "metrics connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, server) = (acceptor.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                return;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let user = certificates.and_then(|all| user_of(all.first()?));
            let service = service_fn(move |request| {
                let (server, user) = (Arc::clone(&server), user.clone());
                async move { Ok::<_, Infallible>(server.handle(request, user).await) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The user of a client certificate, which the TLS layer has verified: common name and organisations.
fn user_of(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let mut groups: Vec<String> = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned))
        .collect();
    groups.push("system:authenticated".to_owned());
    Some(UserInfo {
        username: Some(name.to_owned()),
        groups: Some(groups),
        ..UserInfo::default()
    })
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Credential {
    /// By a bearer token.
    Token(String),
    /// By a certificate: name and groups.
    Certificate(String, Vec<String>),
}

/// A decision by credential and subresource, and until when it holds.
type Decisions = HashMap<(Credential, &'static str), (Instant, Option<Refusal>)>;

#[derive(Debug, Clone)]
struct Refusal {
    code: StatusCode,
    message: String,
}

struct Server {
    source: Source,
    decisions: Mutex<Decisions>,
}

impl Server {
    async fn handle(&self, request: Request<Incoming>, user: Option<UserInfo>) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        let Some(subresource) = subresource(&path) else {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        let authorization = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = authorization
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim);
        let credential = match (user, token) {
            (Some(user), _) => {
                Credential::Certificate(user.username.unwrap_or_default(), user.groups.unwrap_or_default())
            }
            (None, Some(token)) if !token.is_empty() => Credential::Token(token.to_owned()),
            _ => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        };
        if let Some(refusal) = self.decide(credential, subresource).await {
            return plain(refusal.code, &refusal.message);
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        let (code, kind, body) = self.source.answer(&path).await;
        respond(code, kind, body)
    }

    async fn decide(&self, credential: Credential, subresource: &'static str) -> Option<Refusal> {
        let key = (credential, subresource);
        let now = Instant::now();
        if let Some((until, decision)) = self.lock().get(&key)
            && now < *until
        {
            return decision.clone();
        }
        let decision = self.ask(&key.0, subresource).await;
        let mut decisions = self.lock();
        if decisions.len() >= MAX_DECISIONS {
            decisions.retain(|_, (until, _)| now < *until);
            if decisions.len() >= MAX_DECISIONS {
                decisions.clear();
            }
        }
        decisions.insert(key, (now + TRUST, decision.clone()));
        decision
    }

    async fn ask(&self, credential: &Credential, subresource: &'static str) -> Option<Refusal> {
        let client = &self.source.shared.client;
        let refuse = |code, message: &str| {
            Some(Refusal {
                code,
                message: message.to_owned(),
            })
        };
        let user = match credential {
            Credential::Certificate(name, groups) => UserInfo {
                username: Some(name.clone()),
                groups: Some(groups.clone()),
                ..UserInfo::default()
            },
            Credential::Token(token) => match self.review(token).await {
                Some(user) => user,
                None => return refuse(StatusCode::UNAUTHORIZED, "Unauthorized"),
            },
        };
        let name = user.username.clone().unwrap_or_default();
        // As upstream's fine-grained kubelet authorisation: the narrow subresource, or else the wide one.
        for wanted in [subresource, "proxy"] {
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: user.username.clone(),
                    groups: user.groups.clone(),
                    uid: user.uid.clone(),
                    resource_attributes: Some(ResourceAttributes {
                        verb: Some("get".into()),
                        version: Some("v1".into()),
                        resource: Some("nodes".into()),
                        subresource: Some(wanted.into()),
                        name: Some(self.source.shared.node_name.clone()),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
            match reviews.create(&PostParams::default(), &review).await {
                Ok(SubjectAccessReview {
                    status: Some(status), ..
                }) if status.allowed => return None,
                Ok(_) => {}
                Err(err) => {
                    tracing::warn!(%err, "access not reviewed");
                    return refuse(StatusCode::INTERNAL_SERVER_ERROR, "Authorization error");
                }
            }
            if matches!(subresource, "metrics" | "stats") {
                break;
            }
        }
        refuse(
            StatusCode::FORBIDDEN,
            &format!("Forbidden (user={name}, verb=get, resource=nodes, subresource(s)=[{subresource}])"),
        )
    }

    /// The owner of a token, if it is good.
    async fn review(&self, token: &str) -> Option<UserInfo> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.source.shared.client.clone());
        match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => {
                let status = review.status.filter(|s| s.authenticated == Some(true))?;
                Some(status.user.unwrap_or_default())
            }
            Err(err) => {
                tracing::warn!(%err, "token not reviewed");
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Answers a GET: code, content type, body. Whoever calls this has decided who may.
    pub async fn answer(&self, path: &str) -> (StatusCode, &'static str, String) {
        const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
        const JSON: &str = "application/json";
        let (kind, body) = match path {
            "/healthz" => ("text/plain; charset=utf-8", "ok".to_owned()),
            "/metrics" => (TEXT, text::own(&self.read().await, self.pods().len())),
            "/metrics/cadvisor" => (TEXT, text::cadvisor(&self.read().await)),
            "/metrics/resource" => (TEXT, text::resource(&self.read().await)),
            // Nothing of what upstream counts about its probes is counted here.
            "/metrics/probes" => (TEXT, String::new()),
            "/stats/summary" => (JSON, self.read().await.summary().to_string()),
            "/pods" => {
                let pods = self.pods();
                let items: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
                (
                    JSON,
                    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
                        .to_string(),
                )
            }
            _ => {
                return (
                    StatusCode::NOT_FOUND,
                    "text/plain; charset=utf-8",
                    "404 page not found\n".into(),
                );
            }
        };
        (StatusCode::OK, kind, body)
    }
}

/// What a path is to authorisation; `None` when it does not exist.
fn subresource(path: &str) -> Option<&'static str> {
    match path {
        "/metrics" | "/metrics/cadvisor" | "/metrics/resource" | "/metrics/probes" => Some("metrics"),
        "/stats/summary" => Some("stats"),
        "/pods" => Some("pods"),
        "/healthz" => Some("healthz"),
        _ => None,
    }
}

fn plain(code: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(code, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
