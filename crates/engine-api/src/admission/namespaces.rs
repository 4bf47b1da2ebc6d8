//! NamespaceLifecycle.
use schema::KindInfo;
use serde_json::json;

use crate::{
    api::Api,
    json::text,
    keys,
    registry::meta,
    status::{ApiError, Result},
};

/// Nothing is created in a namespace that is not there or is on its way out.
pub fn check_create(api: &Api, kind: &'static KindInfo, namespace: &str, name: &str) -> Result<()> {
    if !kind.namespaced || kind.plural == "localsubjectaccessreviews" {
        return Ok(());
    }
    let Some(found) = api.store.get(&keys::core("namespaces", "", namespace)) else {
        return Err(ApiError::not_found_named("namespaces", namespace));
    };
    if !meta::deleting(&found.value()) && text(&found.value(), "/status/phase") != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(kind, name, &why);
    if let Some(details) = &mut error.details {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
    }
    Err(error)
}
