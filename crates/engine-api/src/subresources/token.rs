//! `serviceaccounts/token`: TokenRequest (kubernetes `pkg/registry/core/serviceaccount/storage/token.go`).
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    auth::tokens::Grant,
    json::{number, set, strings, text},
    keys,
    registry::body,
    status::{ApiError, Result},
    time,
};

const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
/// What pods ask for unless they say otherwise; by such a token they stay known for a year, since programs of old do not read it anew
/// (`WarnOnlyBoundTokenExpirationSeconds` and `ExpirationExtensionSeconds` of `pkg/serviceaccount/claims.go`).
const PROJECTED: i64 = 60 * 60 + 7;
const YEAR: i64 = 365 * 24 * 60 * 60;

impl Api {
    /// Issue a token.
    pub fn request_token(&self, call: &Call, accounts: &'static KindInfo) -> Result<Value> {
        let mut request = body::of_subresource(call, accounts, "token")?;
        body::owned(
            call,
            &body::kind_of_subresource(accounts, "token"),
            "token",
            &mut request,
        );
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        check_names(&request, namespace, name)?;
        let account = self.fetch(accounts, namespace, name)?.value();
        let (uid, asked) = (text(&account, "/metadata/uid"), text(&request, "/metadata/uid"));
        if !asked.is_empty() && asked != uid {
            return Err(mismatch(
                "TokenRequest.authentication.k8s.io",
                name,
                &format!(
                    "the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
                ),
            ));
        }
        let seconds = number(&request, "/spec/expirationSeconds").unwrap_or(3600);
        let refuse = |field: &str, message: String| {
            let cause = validation::Cause {
                reason: "FieldValueInvalid",
                field: field.to_owned(),
                message,
            };
            Err(ApiError::invalid(
                "authentication.k8s.io",
                "TokenRequest",
                "",
                &[cause],
            ))
        };
        if seconds < SHORTEST {
            return refuse(
                "spec.expirationSeconds",
                format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes"),
            );
        }
        if seconds > LONGEST {
            return refuse(
                "spec.expirationSeconds",
                format!("Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds"),
            );
        }
        let mut grant = Grant {
            namespace,
            name,
            uid,
            audiences: strings(&request, "/spec/audiences")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            seconds,
            ..Grant::default()
        };
        if grant.audiences.is_empty() {
            grant.audiences.push(self.tokens.issuer().to_owned());
        }
        if request["spec"]["boundObjectRef"].is_object() {
            self.bind_token(&request["spec"]["boundObjectRef"], namespace, name, &mut grant)?;
        }
        let own = grant.audiences.iter().all(|a| a == self.tokens.issuer());
        if seconds == PROJECTED && own && grant.bound.iter().any(|(claim, ..)| *claim == "pod") {
            (grant.seconds, grant.stale_after) = (YEAR, Some(seconds));
        }
        let now = time::unix();
        let token = self
            .tokens
            .sign(&grant, now)
            .ok_or_else(|| ApiError::internal("cannot sign a token"))?;
        set(&mut request, &["kind"], "TokenRequest");
        set(&mut request, &["apiVersion"], "authentication.k8s.io/v1");
        let owners = request["metadata"]["managedFields"].take();
        set(
            &mut request,
            &["metadata"],
            json!({"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": time::now(), "managedFields": owners}),
        );
        set(&mut request, &["spec", "audiences"], json!(grant.audiences));
        set(&mut request, &["spec", "expirationSeconds"], seconds);
        set(
            &mut request,
            &["status"],
            json!({"token": token, "expirationTimestamp": time::later(seconds)}),
        );
        Ok(request)
    }

    fn bind_token(
        &self,
        reference: &Value,
        namespace: &str,
        account: &str,
        grant: &mut Grant<'_>,
    ) -> Result<()> {
        let (kind, name) = (text(reference, "/kind"), text(reference, "/name"));
        let (claim, plural, scope) = match kind {
            "Pod" => ("pod", "pods", namespace),
            "Secret" => ("secret", "secrets", namespace),
            "Node" => ("node", "nodes", ""),
            other => {
                let (group, version) = match text(reference, "/apiVersion").split_once('/') {
                    Some((group, version)) => (group, version),
                    None => ("", text(reference, "/apiVersion")),
                };
                return Err(ApiError::bad_request(format!(
                    "cannot bind token to object of type {group}/{version}, Kind={other}"
                )));
            }
        };
        let bound = self
            .store
            .get(&keys::core(plural, scope, name))
            .ok_or_else(|| ApiError::not_found_named(plural, name))?;
        let bound = bound.value();
        let uid = text(&bound, "/metadata/uid");
        let wanted = text(reference, "/uid");
        if !wanted.is_empty() && wanted != uid {
            return Err(mismatch(
                kind,
                name,
                &format!(
                    "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been \
                     deleted and then recreated"
                ),
            ));
        }
        grant.bound.push((claim, name.to_owned(), uid.to_owned()));
        if claim == "pod" {
            if text(&bound, "/spec/serviceAccountName") != account {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = text(&bound, "/spec/nodeName");
            if let Some(found) = self
                .store
                .get(&keys::core("nodes", "", node))
                .filter(|_| !node.is_empty())
            {
                grant.bound.push((
                    "node",
                    node.to_owned(),
                    text(&found.value(), "/metadata/uid").to_owned(),
                ));
            }
        }
        Ok(())
    }
}

/// Name and namespace need not be said; if they are, they are those of the path.
fn check_names(request: &Value, namespace: &str, name: &str) -> Result<()> {
    for (field, wanted) in [("name", name), ("namespace", namespace)] {
        let said = request["metadata"][field].as_str().unwrap_or_default();
        if !said.is_empty() && said != wanted {
            let cause = validation::Cause {
                reason: "FieldValueInvalid",
                field: format!("metadata.{field}"),
                message: format!(
                    "Invalid value: {said:?}: must match the service account {field} if specified"
                ),
            };
            return Err(ApiError::invalid(
                "authentication.k8s.io",
                "TokenRequest",
                name,
                &[cause],
            ));
        }
    }
    Ok(())
}

/// 409 for the uid of an object that is not the one that is there.
fn mismatch(what: &str, name: &str, why: &str) -> ApiError {
    let (kind, group) = what.split_once('.').unwrap_or((what, ""));
    let mut details = json!({"name": name, "kind": kind});
    if !group.is_empty() {
        details["group"] = group.into();
    }
    ApiError {
        details: Some(details),
        ..ApiError::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {what} {name:?}: {why}"),
        )
    }
}
