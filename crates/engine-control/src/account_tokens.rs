//! Secrets of type `kubernetes.io/service-account-token` get a token of the service account that they name, and go with it
//! (pkg/controller/serviceaccount/tokens_controller.go).

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};
use crate::{Error, SecretToken, SignSecretToken};

const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let Some(sign) = context.config.sign_secret_token.clone() else {
        return;
    };
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.account_tokens.on_change(move |change| {
        if let Some(secret) = change.new {
            q.add(secret.key());
        }
    });
    let (q, all) = (Arc::clone(&queue), Arc::clone(&context.account_tokens));
    context.service_accounts.on_change(move |change| {
        if let (Some(gone), None) = (change.old, change.new) {
            for secret in all.in_namespace(gone.ns()) {
                if secret.annotation(ACCOUNT) == Some(gone.name()) {
                    q.add(secret.key());
                }
            }
        }
    });
    let context = Arc::clone(context);
    run(tasks, "tokens of service accounts", &queue, 1, move |key| {
        sync(Arc::clone(&context), Arc::clone(&sign), key)
    });
}

async fn sync(context: Arc<Context>, sign: SignSecretToken, key: Key) -> Outcome {
    let Some(secret) = context.account_tokens.get(&key) else {
        return Ok(None);
    };
    let account = Key::new(secret.ns(), secret.annotation(ACCOUNT).unwrap_or_default());
    let uid = secret.annotation(ACCOUNT_UID).unwrap_or_default();
    let fits = |found: &str| uid.is_empty() || found == uid;
    let mut found = context.service_accounts.get(&account).map(|a| a.uid().to_owned());
    if !found.as_deref().is_some_and(fits) {
        // The cache may be behind: nothing is deleted on its word.
        found = context
            .service_accounts
            .fetch(&account)
            .await?
            .map(|a| a.uid().to_owned());
    }
    let Some(uid) = found.filter(|found| fits(found)) else {
        context.account_tokens.delete(&secret).await?;
        return Ok(None);
    };
    let Some(filled) = filled(&secret, &account.name, &uid, &context.config.root_ca, &sign)? else {
        return Ok(None);
    };
    context.account_tokens.update(&secret, &filled).await?;
    Ok(None)
}

/// The Secret with what it lacks; `None` when it lacks nothing.
fn filled(
    secret: &Secret,
    account: &str,
    uid: &str,
    root_ca: &str,
    sign: &SignSecretToken,
) -> Result<Option<Secret>, Error> {
    let has = |name: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(name))
            .map(|value| value.0.as_slice())
    };
    let missing = |name: &str| has(name).is_none_or(<[u8]>::is_empty);
    let outdated = has("ca.crt") != Some(root_ca.as_bytes());
    if !outdated && !missing("namespace") && !missing("token") {
        return Ok(None);
    }
    let mut filled = secret.clone();
    let data = filled.data.get_or_insert_default();
    if outdated {
        data.insert("ca.crt".to_owned(), ByteString(root_ca.as_bytes().to_vec()));
    }
    if missing("namespace") {
        data.insert(
            "namespace".to_owned(),
            ByteString(secret.ns().as_bytes().to_vec()),
        );
    }
    if missing("token") {
        let (namespace, secret) = (secret.ns(), secret.name());
        let token = sign(&SecretToken {
            namespace,
            account,
            uid,
            secret,
        });
        let token = token
            .ok_or_else(|| Error::Invalid(format!("failed to sign a token for {namespace}/{account}")))?;
        data.insert("token".to_owned(), ByteString(token.into_bytes()));
    }
    let annotations = filled.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT.to_owned(), account.to_owned());
    annotations.insert(ACCOUNT_UID.to_owned(), uid.to_owned());
    Ok(Some(filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_filled_once() {
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": "t", "namespace": "ns",
            "annotations": {ACCOUNT: "bot"}}}))
        .unwrap();
        let sign: SignSecretToken = Arc::new(|token| Some(format!("{}/{}", token.account, token.secret)));
        let filled_once = filled(&secret, "bot", "u", "CA", &sign).unwrap().unwrap();
        let data = filled_once.data.as_ref().unwrap();
        assert_eq!(data["token"].0, b"bot/t");
        assert_eq!(data["namespace"].0, b"ns");
        assert_eq!(data["ca.crt"].0, b"CA");
        assert_eq!(filled_once.annotation(ACCOUNT_UID), Some("u"));
        assert!(filled(&filled_once, "bot", "u", "CA", &sign).unwrap().is_none());
        let renewed = filled(&filled_once, "bot", "u", "other", &sign).unwrap().unwrap();
        assert_eq!(renewed.data.unwrap()["token"].0, b"bot/t");
    }
}
