//! gRPC health checks (grpc.health.v1) by plain HTTP/2: one request message, one answer message, the status in the trailers.
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::{Outcome, Target, connect};

/// Asks whether a service is serving.
pub async fn probe(target: &Target, port: u16, service: &str, limit: Duration) -> Outcome {
    match timeout(limit, check(target, port, service, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failure(format!(
            "timeout: health rpc did not complete within {}s",
            limit.as_secs()
        )),
    }
}

async fn check(target: &Target, port: u16, service: &str, limit: Duration) -> Outcome {
    let authority = format!("{}:{port}", target.ip);
    // Go's client tries again until the time is over and says only that.
    let unreached = || {
        Outcome::Failure(format!(
            "timeout: failed to connect service \"{authority}\" within {}s: context deadline exceeded",
            limit.as_secs()
        ))
    };
    let Ok(stream) = connect(target, None, port, limit).await else {
        return unreached();
    };
    match call(stream, &authority, service).await {
        Ok((0, message)) => match serving(&message) {
            1 => Outcome::Success,
            2 => Outcome::Failure("service unhealthy (responded with \"NOT_SERVING\")".into()),
            3 => Outcome::Failure("service unhealthy (responded with \"SERVICE_UNKNOWN\")".into()),
            _ => Outcome::Failure("service unhealthy (responded with \"UNKNOWN\")".into()),
        },
        Ok((12, _)) => Outcome::Failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".into(),
        ),
        Ok((code, _)) => Outcome::Failure(format!(
            "error: health rpc probe failed: rpc error: code = {code}"
        )),
        Err(Broken::NoHttp2) => unreached(),
        Err(Broken::Answer(why)) => Outcome::Failure(format!("error: health rpc probe failed: {why}")),
    }
}

/// Why a call came to nothing.
#[derive(Debug, PartialEq)]
enum Broken {
    /// Whoever listens does not speak the protocol.
    NoHttp2,
    /// It does, and its answer is of no use.
    Answer(String),
}

async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    authority: &str,
    service: &str,
) -> Result<(u32, Vec<u8>), Broken> {
    let useless = |why: String| Broken::Answer(why);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|_| Broken::NoHttp2)?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.36")
        .body(Full::new(Bytes::from(request_message(service))))
        .map_err(|err| useless(err.to_string()))?;
    let answer = sender.send_request(request).await.map_err(|_| Broken::NoHttp2)?;
    if answer.status() != http::StatusCode::OK {
        return Err(useless(format!("unexpected HTTP status {}", answer.status())));
    }
    let early = answer.headers().get("grpc-status").cloned();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|err| useless(err.to_string()))?;
    let late = body
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status"))
        .cloned();
    connection.abort();
    let code = late
        .or(early)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| useless("no grpc-status in the answer".to_owned()))?;
    Ok((code, body.to_bytes().to_vec()))
}

/// `HealthCheckRequest { service = 1 }` in a gRPC frame.
fn request_message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// `HealthCheckResponse { status = 1 }` out of a gRPC frame; 0 is UNKNOWN.
fn serving(frame: &[u8]) -> u8 {
    match frame.get(5..) {
        Some([0x08, status, ..]) => *status,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn messages() {
        assert_eq!(request_message(""), [0, 0, 0, 0, 0]);
        assert_eq!(request_message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 0x08, 1]), 1);
        assert_eq!(serving(&[0, 0, 0, 0, 0]), 0);
        assert_eq!(serving(&[]), 0);
    }

    #[tokio::test]
    async fn who_speaks_another_protocol_is_not_reached() {
        let (near, mut far) = tokio::io::duplex(1024);
        let other = tokio::spawn(async move {
            let _ = far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        assert_eq!(call(near, "1.2.3.4:80", "x").await, Err(Broken::NoHttp2));
        other.await.unwrap();
    }
}
