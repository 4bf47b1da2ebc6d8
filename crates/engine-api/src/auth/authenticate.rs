//! From credentials to a user.
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine_store::{Precondition, Stored};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    api::Api,
    auth::tokens::{Claims, Refused, SecretClaims},
    json::{self, text},
    keys,
    registry::meta,
    said, time,
    user::User,
};

/// The label of a Secret whose token is no longer taken.
const INVALID_SINCE: &str = "/metadata/labels/kubernetes.io~1legacy-token-invalid-since";

/// The label that says when its token was used last.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

/// The user of a verified client certificate: common name and organisations.
pub fn from_certificate(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|o| o.as_str().ok())
        .map(str::to_owned);
    let mut user = User::new(name, groups);
    let digest = hex::encode(Sha256::digest(der));
    user.extra.insert(
        "authentication.kubernetes.io/credential-id".to_owned(),
        vec![format!("X509SHA256={digest}")],
    );
    Some(user)
}

impl Api {
    /// The user of a request: its certificate's if it has one, else its bearer token's. `None` without credentials,
    /// an error with bad ones.
    pub fn authenticate(&self, certificate: Option<&User>, headers: &HeaderMap) -> Result<Option<User>, ()> {
        if let Some(user) = certificate {
            return Ok(Some(user.clone()));
        }
        if let Some(token) = headers.get(header::AUTHORIZATION).and_then(bearer) {
            return self
                .token_user(&token, &[])
                .map(|(user, _)| Some(user))
                .map_err(drop);
        }
        // Browsers and the JavaScript client send the token of a WebSocket as a protocol.
        if let Some(token) = websocket_token(headers) {
            return self
                .token_user(&token, &[])
                .map(|(user, _)| Some(user))
                .map_err(drop);
        }
        Ok(None)
    }

    /// The user of a token, if it is good and everything it is bound to still exists, and the audiences that fit.
    ///
    /// # Errors
    /// Why it is not taken (kubernetes `pkg/serviceaccount/claims.go` Validate).
    pub fn token_user(&self, token: &str, audiences: &[String]) -> Result<(User, Vec<String>), Refused> {
        let claims = self
            .tokens
            .verify(token, audiences, time::unix())
            .inspect_err(|refused| tracing::debug!(refused.why, "token refused"))?;
        if let Some(said) = claims.secret() {
            let user = self.user_of_secret(token, said)?;
            return Ok((user, vec![self.tokens.issuer().to_owned()]));
        }
        let namespace = claims.kubernetes("/namespace");
        let name = claims.kubernetes("/serviceaccount/name");
        let uid = claims.kubernetes("/serviceaccount/uid");
        self.account_is(namespace, name, uid)?;
        if !self.bound_exists(&claims, namespace) {
            return Err(Refused::telling(
                "what the token is bound to is gone",
                "service account token has been invalidated",
            ));
        }
        let mut user = account_user(namespace, name, uid);
        let mut extra = |key: &str, value: String| {
            if !value.is_empty() {
                user.extra
                    .insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
            }
        };
        extra("credential-id", format!("JTI={}", claims.id()));
        for kind in ["pod", "node"] {
            extra(
                &format!("{kind}-name"),
                claims.kubernetes(&format!("/{kind}/name")).to_owned(),
            );
            extra(
                &format!("{kind}-uid"),
                claims.kubernetes(&format!("/{kind}/uid")).to_owned(),
            );
        }
        let fitting = claims
            .audiences()
            .into_iter()
            .filter(|a| {
                if audiences.is_empty() {
                    *a == self.tokens.issuer()
                } else {
                    audiences.iter().any(|w| w == a)
                }
            })
            .map(str::to_owned)
            .collect();
        Ok((user, fitting))
    }

    /// The service account of a token has to be there still, and the very one.
    fn account_is(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Refused> {
        let account = self.store.get(&keys::core("serviceaccounts", namespace, name));
        let account = account.ok_or_else(|| {
            Refused::telling(
                "the service account is gone",
                format!("serviceaccounts {name:?} not found"),
            )
        })?;
        let account = account.value();
        let own = text(&account, "/metadata/uid");
        if own != uid {
            return Err(Refused::telling(
                "the service account is another",
                format!("service account UID ({own}) does not match claim ({uid})"),
            ));
        }
        Ok(())
    }

    /// The user of a token that a Secret carries: the Secret has to hold this very token still (kubernetes
    /// `pkg/serviceaccount/legacy.go` Validate).
    fn user_of_secret(&self, token: &str, said: SecretClaims<'_>) -> Result<User, Refused> {
        let secret = self
            .store
            .get(&keys::core("secrets", said.namespace, said.secret));
        let Some(secret) = secret.filter(|secret| !meta::deleting(&secret.value())) else {
            return Err(Refused::telling(
                "the Secret is gone",
                "Token has been invalidated",
            ));
        };
        let held = STANDARD
            .decode(text(&secret.value(), "/data/token"))
            .unwrap_or_default();
        if held != token.as_bytes() {
            return Err(Refused::telling(
                "the Secret holds another token",
                "Token does not match server's copy",
            ));
        }
        self.account_is(said.namespace, said.account, said.uid)?;
        self.note_use(&secret);
        if !text(&secret.value(), INVALID_SINCE).is_empty() {
            let SecretClaims {
                namespace,
                secret,
                account,
                ..
            } = said;
            return Err(Refused::telling(
                "the Secret is marked as invalid",
                format!(
                    "the token in secret {namespace}/{secret} for service account {namespace}/{account} has been marked invalid. Use tokens \
                     from the TokenRequest API or manually created secret-based tokens, or remove the \
                     'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token"
                ),
            ));
        }
        Ok(account_user(said.namespace, said.account, said.uid))
    }

    /// A Secret says on which day its token was used last (kubernetes `pkg/serviceaccount/legacy.go` patchSecretWithLastUsedDate). Nobody
    /// waits for that.
    fn note_use(&self, secret: &Arc<Stored>) {
        let held = secret.value();
        let label = &held["metadata"]["labels"][LAST_USED];
        let (today, tomorrow) = (time::today(), time::date_in(1));
        if *label == today.as_str() || *label == tomorrow.as_str() {
            return;
        }
        let Some(kind) = schema::by_resource("", "v1", "secrets") else {
            return;
        };
        let (store, secret) = (self.store.clone(), secret.clone());
        tokio::spawn(async move {
            let old = secret.value();
            let mut new = Value::clone(&old);
            json::set(&mut new, &["metadata", "labels", LAST_USED], today);
            said::updated(kind, Some(&old), &mut new, "kube-apiserver", "");
            // Whoever wrote meanwhile is not waited for: the next use is noted.
            let unchanged = Precondition::Revision(secret.revision);
            if let Err(error) = store.put(&secret.key, new, unchanged).await {
                tracing::debug!(%error, key = %secret.key, "the use of a token was not noted");
            }
        });
    }

    fn bound_exists(&self, claims: &Claims, namespace: &str) -> bool {
        // A token of a pod is bound to the pod; its node is told for information only.
        let bound = if claims.kubernetes("/pod/name").is_empty() {
            "node"
        } else {
            "pod"
        };
        for (claim, plural, namespace) in [
            ("pod", "pods", namespace),
            ("secret", "secrets", namespace),
            ("node", "nodes", ""),
        ] {
            let name = claims.kubernetes(&format!("/{claim}/name"));
            if name.is_empty() || (claim == "node" && bound == "pod") {
                continue;
            }
            let uid = claims.kubernetes(&format!("/{claim}/uid"));
            let found = self.store.get(&keys::core(plural, namespace, name));
            if found.is_none_or(|o| text(&o.value(), "/metadata/uid") != uid) {
                return false;
            }
        }
        true
    }
}

/// The token of an `Authorization` header. Another scheme, or none, is no credential and no bad one either (apiserver
/// `authentication/request/bearertoken/bearertoken.go`).
fn bearer(value: &HeaderValue) -> Option<String> {
    let value = String::from_utf8_lossy(value.as_bytes());
    let mut parts = value.trim().splitn(3, ' ');
    let (scheme, token) = (parts.next()?, parts.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

fn account_user(namespace: &str, name: &str, uid: &str) -> User {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ];
    let mut user = User::new(format!("system:serviceaccount:{namespace}:{name}"), groups);
    uid.clone_into(&mut user.uid);
    user
}

fn websocket_token(headers: &HeaderMap) -> Option<String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let encoded = protocols
        .split(',')
        .find_map(|p| p.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            (" bearer abc  ", Some("abc")),
            ("Bearer a b c", Some("a")),
            ("Bearer j\u{fc}rgen", Some("j\u{fc}rgen")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Bearer  abc", None),
            ("Basic YTpi", None),
        ] {
            let header = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            assert_eq!(bearer(&header).as_deref(), token, "{value}");
        }
    }
}
