//! Who asked for a certificate, and who may approve it (kubernetes `pkg/registry/certificates/certificates/strategy.go`,
//! `plugin/pkg/admission/certificates/{approval,subjectrestriction}`).
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    auth::rbac::Attributes,
    json::{set, text},
    status::{ApiError, Result},
};

/// A new request is its sender's.
pub fn sign(call: &Call, request: &mut Value) {
    let user = &call.user;
    let spec = &mut request["spec"];
    if let Some(spec) = spec.as_object_mut() {
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        spec.insert("username".to_owned(), user.name.as_str().into());
        if !user.uid.is_empty() {
            spec.insert("uid".to_owned(), user.uid.as_str().into());
        }
        if !user.groups.is_empty() {
            spec.insert("groups".to_owned(), json!(user.groups));
        }
        if !user.extra.is_empty() {
            spec.insert("extra".to_owned(), json!(user.extra));
        }
    }
}

/// Conditions get the times that they come without.
pub fn date_conditions(new: &mut Value, old: &Value) {
    let now = crate::time::now();
    let before = old["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let conditions = new
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if condition["lastUpdateTime"].is_null() {
            set(condition, &["lastUpdateTime"], now.as_str());
        }
        if condition["lastTransitionTime"].is_null() {
            let same = before
                .iter()
                .find(|c| c["type"] == condition["type"] && c["status"] == condition["status"]);
            let since = same
                .and_then(|c| c["lastTransitionTime"].as_str())
                .unwrap_or(&now);
            set(condition, &["lastTransitionTime"], since);
        }
    }
}

/// Approving is a right of its own, for each signer.
pub fn check_approval(api: &Api, call: &Call, kind: &'static KindInfo, old: &Value) -> Result<()> {
    let signer = text(old, "/spec/signerName");
    let domain = signer.split('/').next().unwrap_or_default();
    let may = |name: String| {
        let wanted = Attributes {
            verb: "approve".to_owned(),
            group: "certificates.k8s.io".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..Attributes::default()
        };
        api.rbac.allowed(&api.store, &call.user, &wanted)
    };
    if may(signer.to_owned()) || may(format!("{domain}/*")) {
        return Ok(());
    }
    let why = format!("user not permitted to approve requests with signerName {signer:?}");
    Err(ApiError::forbidden(kind, text(old, "/metadata/name"), why))
}
