use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// At a constant rate in requests per second, whatever the server does.
    Open {
        /// Requests per second, over all threads.
        rate: f64,
    },
    /// The next request on a connection as soon as its answer is there.
    Closed,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to connect.
    pub address: SocketAddr,
    /// Complete HTTP/1.1 requests, sent in turn.
    pub requests: Arc<[Vec<u8>]>,
    /// When to send.
    pub mode: Mode,
    /// How long to send.
    pub duration: Duration,
    /// Connections over all threads.
    pub connections: u32,
    /// Threads.
    pub threads: u32,
    /// A request that takes longer counts as failed, and its connection is made anew.
    pub timeout: Duration,
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not an `http://` URL.
    #[error("`{0}` cannot be loaded: expected http://HOST[:PORT][/PATH]")]
    Url(String),
    /// The host has no address.
    #[error("failed to resolve {host}: {source}")]
    Resolve {
        /// Host and port.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// A number makes no sense.
    #[error("{0}")]
    Number(&'static str),
    /// An event loop could not be made or failed.
    #[error("failed to run an event loop: {0}")]
    Loop(#[from] std::io::Error),
}

impl Plan {
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let rate_fits = match self.mode {
            Mode::Open { rate } => rate.is_finite() && rate > 0.0,
            Mode::Closed => true,
        };
        match () {
            () if !rate_fits => Err(PlanError::Number(
                "the rate must be a positive number of requests per second",
            )),
            () if self.connections == 0 || self.threads == 0 => Err(PlanError::Number(
                "at least one connection and one thread are needed",
            )),
            () if self.requests.is_empty() => Err(PlanError::Number("there is no request to send")),
            () => Ok(()),
        }
    }
}

/// An `http://` URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `HOST:PORT` as it goes into the Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Reads a URL such as `http://10.0.0.1:8080/i?x=1`.
    pub fn parse(url: &str) -> Result<Target, PlanError> {
        let bad = || PlanError::Url(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(bad)?;
        let (host, path) = rest
            .split_once('/')
            .map_or((rest, "/".to_owned()), |(h, p)| (h, format!("/{p}")));
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('@') {
            return Err(bad());
        }
        Ok(Target {
            host: host.to_owned(),
            path,
        })
    }

    /// The first address that the host has.
    pub fn resolve(&self) -> Result<SocketAddr, PlanError> {
        let with_port = if self.host.contains(':') {
            self.host.clone()
        } else {
            format!("{}:80", self.host)
        };
        let failed = |source| PlanError::Resolve {
            host: with_port.clone(),
            source,
        };
        let mut found = with_port.to_socket_addrs().map_err(failed)?;
        found
            .next()
            .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
    }
}

/// A complete request with keep-alive. `body` makes it a form POST.
pub fn http_request(host: &str, path_and_query: &str, body: Option<&str>) -> Vec<u8> {
    match body {
        None => format!("GET {path_and_query} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        Some(body) => format!(
            "POST {path_and_query} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_or_refused() {
        let target = Target::parse("http://a:1/i?x=/").unwrap();
        assert_eq!((target.host.as_str(), target.path.as_str()), ("a:1", "/i?x=/"));
        assert_eq!(Target::parse("http://a").unwrap().path, "/");
        for bad in ["https://a", "a:1", "http://", "http://u@a/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
