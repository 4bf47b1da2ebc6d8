//! Service-account tokens: ES256 JWTs, bound to a service account and optionally to a pod, node or secret
//! (kubernetes `pkg/serviceaccount/claims.go`).
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use serde_json::{Value, json};

use crate::config::BuildError;

/// Who issues the tokens that Secrets carry, and what these say (kubernetes `pkg/serviceaccount/legacy.go`).
const SECRETS_ISSUER: &str = "kubernetes/serviceaccount";
const SECRETS_NAMESPACE: &str = "kubernetes.io/serviceaccount/namespace";
const SECRETS_SECRET: &str = "kubernetes.io/serviceaccount/secret.name";
const SECRETS_ACCOUNT: &str = "kubernetes.io/serviceaccount/service-account.name";
const SECRETS_UID: &str = "kubernetes.io/serviceaccount/service-account.uid";

/// Signs with the first key and verifies with all.
pub struct Tokens {
    issuer: String,
    keys: Vec<Key>,
    random: SystemRandom,
}

struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

/// What a token says, once its signature, times and issuer hold.
#[derive(Debug, Clone)]
pub struct Claims(pub Value);

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In a few words, for the log.
    pub why: &'static str,
    /// What a client is told of it, in upstream's words; often nothing.
    pub told: String,
}

impl Refused {
    /// A refusal with words for the client.
    pub fn telling(why: &'static str, told: impl Into<String>) -> Self {
        Self {
            why,
            told: told.into(),
        }
    }
}

impl From<&'static str> for Refused {
    fn from(why: &'static str) -> Self {
        Self::telling(why, "")
    }
}

/// What a token says that a Secret carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretClaims<'a> {
    /// Of Secret and service account.
    pub namespace: &'a str,
    /// Service account.
    pub account: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Secret.
    pub secret: &'a str,
}

/// What goes into a new token.
#[derive(Debug, Clone, Default)]
pub struct Grant<'a> {
    /// Namespace of the service account.
    pub namespace: &'a str,
    /// Service account.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// (claim, name, uid) of what the token is bound to: `pod`, `node`, `secret`.
    pub bound: Vec<(&'static str, String, String)>,
    /// Audiences; never empty.
    pub audiences: Vec<String>,
    /// Seconds of validity.
    pub seconds: i64,
    /// Seconds after which its use is told of, if that comes first.
    pub stale_after: Option<i64>,
}

impl Tokens {
    /// Read PKCS#8 PEM keys.
    pub fn new(issuer: &str, pems: &[String]) -> Result<Self, BuildError> {
        let random = SystemRandom::new();
        let mut keys = Vec::new();
        for pem in pems {
            let der = pem_body(pem, "PRIVATE KEY")
                .ok_or(BuildError::ServiceAccountKey("not a PKCS#8 PEM".into()))?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random)
                .map_err(|e| BuildError::ServiceAccountKey(e.to_string()))?;
            let hash = digest::digest(&digest::SHA256, pair.public_key().as_ref());
            keys.push(Key {
                id: URL_SAFE_NO_PAD.encode(hash),
                pair,
            });
        }
        if keys.is_empty() {
            return Err(BuildError::ServiceAccountKey("there is none".into()));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            keys,
            random,
        })
    }

    /// The issuer, which is the API server's audience too.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A signed token and the id it carries (`jti`).
    pub fn sign(&self, grant: &Grant<'_>, now: i64) -> Option<String> {
        let key = self.keys.first()?;
        let mut kubernetes = json!({
            "namespace": grant.namespace,
            "serviceaccount": {"name": grant.name, "uid": grant.uid},
        });
        for (claim, name, uid) in &grant.bound {
            kubernetes[*claim] = json!({"name": name, "uid": uid});
        }
        if let Some(seconds) = grant.stale_after {
            kubernetes["warnafter"] = (now + seconds).into();
        }
        let claims = json!({
            "aud": grant.audiences, "exp": now + grant.seconds, "iat": now, "nbf": now, "iss": self.issuer,
            "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": kubernetes,
            "sub": format!("system:serviceaccount:{}:{}", grant.namespace, grant.name),
        });
        self.signed(key, &claims)
    }

    /// A token for a Secret (kubernetes `pkg/serviceaccount/legacy.go` LegacyClaims): without audience and end.
    pub fn sign_for_secret(&self, namespace: &str, account: &str, uid: &str, secret: &str) -> Option<String> {
        let key = self.keys.first()?;
        let claims = json!({
            "iss": SECRETS_ISSUER, "sub": format!("system:serviceaccount:{namespace}:{account}"),
            SECRETS_NAMESPACE: namespace, SECRETS_SECRET: secret, SECRETS_ACCOUNT: account, SECRETS_UID: uid,
        });
        self.signed(key, &claims)
    }

    fn signed(&self, key: &Key, claims: &Value) -> Option<String> {
        let header = json!({"alg": "ES256", "kid": key.id});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = key.pair.sign(&self.random, signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token whose signature, issuer, audience and times hold. An empty list of audiences means the
    /// API server's own.
    pub fn verify(&self, token: &str, audiences: &[String], now: i64) -> Result<Claims, Refused> {
        let (signed, signature) = token.rsplit_once('.').ok_or("not a token")?;
        let (header, payload) = signed.split_once('.').ok_or("not a token")?;
        let part = |raw: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(raw).map_err(|_| "not base64")?;
            serde_json::from_slice::<Value>(&bytes).map_err(|_| "not JSON")
        };
        let header = part(header)?;
        if header["alg"] != "ES256" {
            return Err("unknown signature algorithm".into());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "not base64")?;
        let key = self
            .keys
            .iter()
            .find(|k| header["kid"] == k.id.as_str())
            .ok_or("unknown key")?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| {
                // The words of upstream's library.
                Refused::telling(
                    "wrong signature",
                    "go-jose/go-jose: error in cryptographic primitive",
                )
            })?;
        let claims = part(payload)?;
        let claims = Claims(claims);
        if claims.secret().is_some() {
            // Made for the API server, which they need not say.
            return if audiences.is_empty() || audiences.contains(&self.issuer) {
                Ok(claims)
            } else {
                Err(unfit(&[&self.issuer], audiences))
            };
        }
        let Claims(claims) = claims;
        if claims["iss"] != self.issuer.as_str() {
            return Err("wrong issuer".into());
        }
        if claims["exp"].as_i64().is_none_or(|exp| exp <= now) {
            return Err(Refused::telling(
                "token has expired",
                "service account token has expired",
            ));
        }
        // One minute of leeway, as upstream's jwt library gives.
        if claims["nbf"].as_i64().is_some_and(|nbf| nbf > now + 60) {
            return Err(Refused::telling(
                "token is not valid yet",
                "service account token is not valid yet",
            ));
        }
        let claims = Claims(claims);
        let wanted = |a: &str| {
            if audiences.is_empty() {
                a == self.issuer
            } else {
                audiences.iter().any(|w| w == a)
            }
        };
        if !claims.audiences().iter().any(|a| wanted(a)) {
            let own = [self.issuer.clone()];
            let wanted = if audiences.is_empty() { &own[..] } else { audiences };
            return Err(unfit(&claims.audiences(), wanted));
        }
        Ok(claims)
    }

    /// Who issues tokens, and where their keys are (`/.well-known/openid-configuration`; kubernetes `pkg/serviceaccount/openidmetadata.go`).
    pub fn configuration(&self, advertised: Option<(std::net::Ipv4Addr, u16)>) -> String {
        let at = advertised.map_or_else(
            || self.issuer.clone(),
            |(ip, port)| format!("https://{ip}:{port}"),
        );
        let [issuer, keys] = [self.issuer.clone(), format!("{at}/openid/v1/jwks")].map(Value::from);
        format!(
            r#"{{"issuer":{issuer},"jwks_uri":{keys},"response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}}"#
        )
    }

    /// The public keys (`/openid/v1/jwks`).
    pub fn jwks(&self) -> Value {
        let keys = self.keys.iter().map(|key| {
            let point = key.pair.public_key().as_ref();
            let (x, y) = point.get(1..65).unwrap_or(&[0; 64]).split_at(32);
            json!({"use": "sig", "kty": "EC", "kid": key.id, "crv": "P-256", "alg": "ES256",
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    }
}

impl Claims {
    /// Audiences.
    pub fn audiences(&self) -> Vec<&str> {
        crate::json::strings(&self.0, "/aud")
    }

    /// A string below `kubernetes.io`, such as `/serviceaccount/name`.
    pub fn kubernetes(&self, pointer: &str) -> &str {
        self.0
            .get("kubernetes.io")
            .map(|k| crate::json::text(k, pointer))
            .unwrap_or_default()
    }

    /// What the token says, if it is one that a Secret carries.
    pub fn secret(&self) -> Option<SecretClaims<'_>> {
        let own = |name: &str| self.0.get(name).and_then(Value::as_str).unwrap_or_default();
        (self.0["iss"] == SECRETS_ISSUER).then(|| SecretClaims {
            namespace: own(SECRETS_NAMESPACE),
            account: own(SECRETS_ACCOUNT),
            uid: own(SECRETS_UID),
            secret: own(SECRETS_SECRET),
        })
    }

    /// The token's id.
    pub fn id(&self) -> &str {
        crate::json::text(&self.0, "/jti")
    }
}

/// The refusal of a token that is good, but for others (kubernetes `pkg/serviceaccount/jwt.go`).
fn unfit(own: &[&str], wanted: &[String]) -> Refused {
    let quoted = |list: &mut dyn Iterator<Item = &str>| {
        let quoted: Vec<String> = list.map(|a| format!("{a:?}")).collect();
        format!("[{}]", quoted.join(" "))
    };
    let (own, wanted) = (
        quoted(&mut own.iter().copied()),
        quoted(&mut wanted.iter().map(String::as_str)),
    );
    Refused::telling(
        "token audiences do not fit",
        format!("token audiences {own} is invalid for the target audiences {wanted}"),
    )
}

/// The bytes of the first PEM block whose label ends with `label`.
pub fn pem_body(pem: &str, label: &str) -> Option<Vec<u8>> {
    let begin = pem.find(&format!("{label}-----"))?;
    let body = &pem[begin + label.len() + 5..];
    let body = &body[..body.find("-----END")?];
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pkcs8.as_ref())
        );
        Tokens::new("https://issuer", &[pem]).unwrap()
    }

    #[test]
    fn signs_and_verifies() {
        let tokens = tokens();
        let grant = Grant {
            namespace: "ns",
            name: "sa",
            uid: "u",
            audiences: vec!["https://issuer".into()],
            seconds: 600,
            ..Grant::default()
        };
        let token = tokens.sign(&grant, 1000).unwrap();
        let claims = tokens.verify(&token, &[], 1001).unwrap();
        assert_eq!(claims.kubernetes("/serviceaccount/name"), "sa");
        assert_eq!(
            tokens.verify(&token, &[], 1600).unwrap_err().why,
            "token has expired"
        );
        assert_eq!(
            tokens.verify(&token, &["x".into()], 1001).unwrap_err().told,
            "token audiences [\"https://issuer\"] is invalid for the target audiences [\"x\"]"
        );
        let carried = tokens.sign_for_secret("ns", "sa", "u", "s").unwrap();
        let claims = tokens.verify(&carried, &[], 1001).unwrap();
        assert_eq!(claims.secret().unwrap().secret, "s");
        assert!(tokens.verify(&carried, &["x".into()], 1001).is_err());
        let mut forged = token.clone().into_bytes();
        let middle = forged.len() / 2;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert!(
            tokens
                .verify(&String::from_utf8(forged).unwrap(), &[], 1001)
                .is_err()
        );
        assert!(self::tokens().verify(&token, &[], 1001).is_err());
    }
}
