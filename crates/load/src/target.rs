use std::net::{SocketAddr, ToSocketAddrs as _};

/// An `http://` URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `HOST:PORT` as it goes into the Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// Why a URL cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
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
}

impl Target {
    /// Reads a URL such as `http://10.0.0.1:8080/i?x=1`.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        let bad = || TargetError::Url(url.to_owned());
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
    pub fn resolve(&self) -> Result<SocketAddr, TargetError> {
        let with_port = if self.host.contains(':') {
            self.host.clone()
        } else {
            format!("{}:80", self.host)
        };
        let failed = |source| TargetError::Resolve {
            host: with_port.clone(),
            source,
        };
        let mut found = with_port.to_socket_addrs().map_err(failed)?;
        found
            .next()
            .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
    }
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
