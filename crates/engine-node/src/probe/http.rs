//! HTTP probes and hooks (pkg/probe/http): certificates are not checked, redirects to the same host are followed.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::pki_types::ServerName;
use streaming::AnyCertificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::{MAX_OUTPUT, Outcome, Target, connect, http_port};

const MAX_REDIRECTS: usize = 10;

/// Asks and judges by the status code.
pub async fn probe(target: &Target, get: &HTTPGetAction, limit: Duration) -> Outcome {
    let url = match address(target, get) {
        Ok(url) => url,
        Err(why) => return Outcome::Errored(why),
    };
    match timeout(limit, fetch(target, get, url.clone(), limit)).await {
        Ok(Ok(code)) if (200..400).contains(&code) => Outcome::Success,
        Ok(Ok(code)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
        Ok(Err(why)) => Outcome::Failure(format!("Get \"{url}\": {why}")),
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// A hook: any answer is fine.
pub async fn get(target: &Target, get: &HTTPGetAction, limit: Option<Duration>) -> Result<(), String> {
    let url = address(target, get)?;
    let limit = limit.unwrap_or(Duration::from_mins(1));
    match timeout(limit, fetch(target, get, url, limit)).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err("no answer in time".into()),
    }
}

fn address(target: &Target, get: &HTTPGetAction) -> Result<Uri, String> {
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let port = http_port(get, &target.container)?;
    let host = get
        .host
        .clone()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| match target.ip {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        });
    let path = get.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{host}:{port}{slash}{path}")
        .parse()
        .map_err(|err| format!("invalid URL: {err}"))
}

async fn fetch(target: &Target, get: &HTTPGetAction, mut url: Uri, limit: Duration) -> Result<u16, String> {
    let first_host = url.host().map(str::to_owned);
    for _ in 0..MAX_REDIRECTS {
        let (code, location) = once(target, get, &url, limit).await?;
        let Some(location) = location.filter(|_| (300..400).contains(&code)) else {
            return Ok(code);
        };
        let Some(next) = join(&url, &location) else {
            return Ok(code);
        };
        if next.host().map(str::to_owned) != first_host {
            return Ok(code);
        }
        url = next;
    }
    Err("stopped after 10 redirects".into())
}

fn join(base: &Uri, location: &str) -> Option<Uri> {
    let parsed: Uri = location.parse().ok()?;
    if parsed.scheme().is_some() {
        return Some(parsed);
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    format!("{}://{}{path}", base.scheme_str()?, base.authority()?)
        .parse()
        .ok()
}

async fn once(
    target: &Target,
    get: &HTTPGetAction,
    url: &Uri,
    limit: Duration,
) -> Result<(u16, Option<String>), String> {
    let tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = connect(target, Some(host), port, limit).await?;
    if !tls {
        return exchange(stream, get, url).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|err| err.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(trusting()?)
        .connect(name, stream)
        .await
        .map_err(|err| handshake(&err))?;
    exchange(stream, get, url).await
}

/// A failed handshake as Go words it.
fn handshake(err: &std::io::Error) -> String {
    let inner = err
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // Whoever answers in no records at all is taken for what it mostly is.
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        _ => err.to_string(),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    get: &HTTPGetAction,
    url: &Uri,
) -> Result<(u16, Option<String>), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|err| err.to_string())?;
    let connection = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path);
    let (mut host, mut agent, mut accept) = (None, false, false);
    for extra in get.http_headers.iter().flatten() {
        match extra.name.to_lowercase().as_str() {
            "host" => {
                host = Some(extra.value.clone());
                continue;
            }
            "user-agent" => agent = true,
            "accept" => accept = true,
            _ => {}
        }
        if !extra.value.is_empty() {
            request = request.header(&extra.name, &extra.value);
        }
    }
    let host = host.unwrap_or_else(|| url.authority().map(ToString::to_string).unwrap_or_default());
    request = request
        .header(header::HOST, host)
        .header(header::CONNECTION, "close");
    if !agent {
        request = request.header(header::USER_AGENT, "kube-probe/1.36");
    }
    if !accept {
        request = request.header(header::ACCEPT, "*/*");
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|err| err.to_string())?;
    let answer = sender.send_request(request).await.map_err(|err| {
        if err.is_incomplete_message() {
            "EOF".into()
        } else {
            err.to_string()
        }
    })?;
    let code = answer.status().as_u16();
    let location = answer
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    // The body is read as upstream does (up to 10 KiB), so that the server does not see a broken connection.
    let _ = Limited::new(answer.into_body(), MAX_OUTPUT).collect().await;
    connection.abort();
    Ok((code, location))
}

/// A probe asks whether the server answers, not who it is.
fn trusting() -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_where_tls_was_asked_for() {
        use tokio::io::AsyncWriteExt as _;
        let (near, mut far) = tokio::io::duplex(1024);
        let other = tokio::spawn(async move {
            let _ = far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            far
        });
        let name = ServerName::try_from("a.b").unwrap();
        let tls = tokio_rustls::TlsConnector::from(trusting().unwrap());
        let err = tls.connect(name, near).await.unwrap_err();
        assert_eq!(handshake(&err), "http: server gave HTTP response to HTTPS client");
        drop(other.await.unwrap());
    }

    #[test]
    fn redirects_are_joined() {
        let base: Uri = "http://10.0.0.1:8080/a/b?x=1".parse().unwrap();
        assert_eq!(
            join(&base, "/login").unwrap().to_string(),
            "http://10.0.0.1:8080/login"
        );
        assert_eq!(join(&base, "c").unwrap().to_string(), "http://10.0.0.1:8080/a/c");
        assert_eq!(join(&base, "https://other/x").unwrap().host(), Some("other"));
    }
}
