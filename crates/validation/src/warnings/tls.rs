//! What of a Secret's key and certificate cannot be a pair (Go's `crypto/tls` X509KeyPair, asked by `pkg/registry/core/secret/strategy.go`).
//! Certificates and keys themselves are not read.
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::field::Node;

pub(super) fn warning(data: &Node<'_>) -> Option<String> {
    let input = |field: &str| {
        let bytes = STANDARD.decode(data.get(field).text()).unwrap_or_default();
        blocks(&String::from_utf8_lossy(&bytes))
    };
    let (certificate, key) = (input("tls.crt"), input("tls.key"));
    let is_key = |kind: &str| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    if !certificate.iter().any(|kind| kind == "CERTIFICATE") {
        return Some(match certificate.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [one] if one.ends_with("PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                    .to_owned()
            }
            kinds => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
                kinds.join(" ")
            ),
        });
    }
    if key.iter().any(|kind| is_key(kind)) {
        return None;
    }
    Some(match key.as_slice() {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        kinds => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            kinds.join(" ")
        ),
    })
}

/// The types of the blocks of PEM in a text, up to the first that is none (`encoding/pem`).
fn blocks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((kind, after)) = rest
        .split_once("-----BEGIN ")
        .and_then(|(_, after)| after.split_once("-----"))
    {
        let end = format!("-----END {kind}-----");
        let Some((body, after)) = after.split_once(&end) else {
            break;
        };
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        if !body.contains(':') && STANDARD.decode(&body).is_ok() {
            found.push(kind.to_owned());
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(certificate: &str, key: &str) -> Option<String> {
        let encoded = |text: &str| Value::from(STANDARD.encode(text));
        let data = json!({"tls.crt": encoded(certificate), "tls.key": encoded(key)});
        warning(&Node::root(&data))
    }

    fn block(kind: &str) -> String {
        format!("-----BEGIN {kind}-----\nYWE=\n-----END {kind}-----\n")
    }

    #[test]
    fn pairs() {
        let (certificate, key) = (block("CERTIFICATE"), block("RSA PRIVATE KEY"));
        assert_eq!(told(&certificate, &key), None);
        let says = |certificate: &str, key: &str| told(certificate, key).unwrap();
        assert_eq!(
            says("a", "b"),
            "tls: failed to find any PEM data in certificate input"
        );
        assert_eq!(
            says(&certificate, "b"),
            "tls: failed to find any PEM data in key input"
        );
        assert!(says(&key, &certificate).ends_with("PEM inputs may have been switched"));
        assert!(says(&certificate, &certificate).starts_with("tls: found a certificate rather than a key"));
    }
}
