//! Continue tokens: the revision a list is pinned to and the key it goes on after.
use base64::{DecodeError, Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::status::{ApiError, Result};

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The revision of the whole list.
    pub revision: u64,
    /// The last key that was given.
    pub after: String,
}

impl Continuation {
    /// The token.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD
            .encode(json!({"v": "cncfdemo/v1", "rv": self.revision, "after": self.after}).to_string())
    }

    /// From a token.
    pub fn decode(token: &str) -> Result<Self> {
        let why = |why: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bad = || why("unable to decode");
        let token = token.trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                _ => token.len().saturating_sub(1),
            };
            why(&format!("illegal base64 data at input byte {at}"))
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        match (value["v"].as_str(), value["rv"].as_u64(), value["after"].as_str()) {
            (Some("cncfdemo/v1"), Some(revision), Some(after)) => Ok(Self {
                revision,
                after: after.to_owned(),
            }),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let token = Continuation {
            revision: 7,
            after: "pods/ns/a".into(),
        };
        assert_eq!(Continuation::decode(&token.encode()).unwrap(), token);
        assert_eq!(Continuation::decode("!!").unwrap_err().code, 400);
    }
}
