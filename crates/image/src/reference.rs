//! Image names as people write them, and their full form.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

/// A normalised image reference: `busybox` is `docker.io/library/busybox:latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host (and port).
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in that registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` only for a reference by digest alone.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference pins one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name under which the store keeps it: with the tag, without the digest.
    pub fn tagged(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.name()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// The rules of distribution/reference: a first component with a dot, a colon or `localhost` is a registry; anything else
    /// belongs to docker.io, and there a name of one component to `library/`.
    fn from_str(input: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Reference {
            input: input.to_owned(),
            reason: reason.to_owned(),
        };
        let (rest, digest) = match input.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(digest.parse().map_err(|_| bad("the digest is not sha256:HEX"))?),
            ),
            None => (input, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let fine = tag.len() <= 128
                && tag.starts_with(word)
                && tag.chars().all(|c| word(c) || c == '.' || c == '-');
            if !fine {
                return Err(bad("a tag is up to 128 letters, digits, `_`, `.` and `-`"));
            }
        }
        let (registry, repository) = match rest.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.chars().any(|c| c.is_ascii_uppercase()) =>
            {
                (first, rest.to_owned())
            }
            Some(_) => ("docker.io", rest.to_owned()),
            None => ("docker.io", format!("library/{rest}")),
        };
        let registry = if registry == "index.docker.io" {
            "docker.io"
        } else {
            registry
        };
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let (host, port) = match registry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        };
        let v6 = |host: &str| {
            (host.strip_prefix('['))
                .and_then(|h| h.strip_suffix(']'))
                .is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok())
        };
        let host = (!host.is_empty() && host.chars().all(word)) || v6(host);
        if !host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(bad("the registry is not a host name"));
        }
        let component = |part: &str| {
            let inside =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.chars().all(inside) && part.starts_with(edge) && part.ends_with(edge) && !part.contains("..")
        };
        if rest.is_empty() || repository.len() > 255 || !repository.split('/').all(component) {
            return Err(bad(
                "a name is lower-case letters, digits, and `.`, `_`, `-` between them, parts separated by `/`",
            ));
        }
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (input, full) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.36", "docker.io/library/busybox:1.36".to_owned()),
            ("prom/prometheus", "docker.io/prom/prometheus:latest".to_owned()),
            (
                "index.docker.io/library/redis:7",
                "docker.io/library/redis:7".to_owned(),
            ),
            ("demo.local/busybox:1", "demo.local/busybox:1".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/x/y", "localhost:5000/x/y:latest".to_owned()),
            (
                &format!("busybox@sha256:{hex}"),
                format!("docker.io/library/busybox@sha256:{hex}"),
            ),
            (&format!("a.b/c:1@sha256:{hex}"), format!("a.b/c:1@sha256:{hex}")),
        ] {
            assert_eq!(input.parse::<Reference>().unwrap().to_string(), full, "{input}");
        }
    }

    #[test]
    fn refuses() {
        for input in [
            "",
            ":",
            "Busybox",
            "a/../b",
            "/a",
            "a//b",
            "a:b:c/d",
            "x:-y",
            "x@sha256:12",
            "-x",
            "x y",
            "a.b/",
        ] {
            assert!(input.parse::<Reference>().is_err(), "{input}");
        }
    }
}
