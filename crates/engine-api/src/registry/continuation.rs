//! Continue tokens: the revision a list is pinned to and the key it goes on with, as upstream writes them (apiserver `storage/continue.go`).
use base64::{DecodeError, Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::status::{ApiError, Result};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The revision of the whole list; `None` goes on with what there is now.
    pub revision: Option<u64>,
    /// The least key that it goes on with, below the prefix of the list.
    pub start: String,
}

impl Continuation {
    /// Behind the last key that was given.
    pub fn after(revision: u64, key: &str) -> Self {
        Self {
            revision: Some(revision),
            start: format!("{key}\0"),
        }
    }

    /// The token.
    pub fn encode(&self) -> String {
        let revision = self
            .revision
            .map_or_else(|| "-1".to_owned(), |revision| revision.to_string());
        let start = Value::from(self.start.as_str());
        URL_SAFE_NO_PAD.encode(format!(r#"{{"v":"{VERSION}","rv":{revision},"start":{start}}}"#))
    }

    /// From a token.
    pub fn decode(token: &str) -> Result<Self> {
        let bad = |why: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                _ => token.len().saturating_sub(1),
            };
            bad(&format!("illegal base64 data at input byte {at}"))
        })?;
        let value = kube_types::parse_json(&bytes).map_err(|why| bad(&why))?;
        let version = value["v"].as_str().unwrap_or_default();
        if version != VERSION {
            return Err(bad(&format!(
                "server does not recognize this encoded version {version}"
            )));
        }
        let revision = value["rv"].as_i64().unwrap_or_default();
        if revision == 0 {
            return Err(bad(&format!(
                "incorrect encoded start resourceVersion (version {VERSION})"
            )));
        }
        let start = value["start"].as_str().unwrap_or_default();
        if start.is_empty() {
            return Err(bad(&format!("encoded start key empty (version {VERSION})")));
        }
        let below = start.strip_prefix('/').unwrap_or(start);
        if below.split('/').any(|step| matches!(step, "" | "." | "..")) {
            return Err(bad(start));
        }
        Ok(Self {
            revision: u64::try_from(revision).ok(),
            start: below.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let token = Continuation::after(7, "ns/a");
        assert_eq!(Continuation::decode(&token.encode()).unwrap(), token);
        let latest = Continuation {
            revision: None,
            ..token
        };
        assert_eq!(Continuation::decode(&latest.encode()).unwrap(), latest);
    }

    #[test]
    fn what_upstream_says_of_bad_ones() {
        let told = |token: &str| Continuation::decode(token).unwrap_err().message;
        let of = |json: &str| {
            told(&URL_SAFE_NO_PAD.encode(json))
                .trim_start_matches("invalid continue token: continue key is not valid: ")
                .to_owned()
        };
        assert!(told("!!").ends_with("illegal base64 data at input byte 0"));
        assert_eq!(
            of(r#"{"v":"x"}"#),
            "server does not recognize this encoded version x"
        );
        assert_eq!(
            of(r#"{"v":"meta.k8s.io/v1"}"#),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        );
        assert_eq!(
            of(r#"{"v":"meta.k8s.io/v1","rv":1}"#),
            "encoded start key empty (version meta.k8s.io/v1)"
        );
        assert_eq!(of(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../x"}"#), "../x");
        assert_eq!(of("i"), "invalid character 'i' looking for beginning of value");
    }
}
