//! `namespaces/finalize`: the namespace controller has emptied a namespace.
use std::sync::Arc;

use engine_store::{Precondition, WriteError};
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::{Api, Call, storage_error},
    json::{self, text},
    keys,
    registry::{Output, body, update::finished},
    status::{ApiError, Result},
};

impl Api {
    /// Replace `spec.finalizers`; the last one gone removes the namespace.
    pub async fn finalize(self: &Arc<Self>, call: &Call, kind: &'static KindInfo) -> Result<Output> {
        let wanted: Value = body::named(call, kind)?;
        let name = call.route.name.as_str();
        let key = keys::key(kind, "", name);
        let version = text(&wanted, "/metadata/resourceVersion");
        loop {
            let stored = self.fetch(kind, "", name)?;
            if !version.is_empty() && version != text(&stored.value(), "/metadata/resourceVersion") {
                return Err(ApiError::modified(kind, name));
            }
            let mut new = Value::clone(&stored.value());
            json::restore(&mut new, &wanted, &["spec", "finalizers"]);
            if json::list(&new, "/spec/finalizers").is_empty() {
                json::remove(&mut new, &["spec", "finalizers"]);
            }
            let causes = validation::validate_update(kind.definition, "finalize", &stored.value(), &new);
            if !causes.is_empty() {
                return Err(ApiError::invalid_kind(kind, name, &causes));
            }
            let revision = Precondition::Revision(stored.revision);
            let written = if finished(kind, &new) {
                self.erase(kind, &key, revision).await.map(|_| Output::made(new))
            } else {
                self.write(kind, &key, new, revision).await.map(Output::Stored)
            };
            match written {
                Ok(output) => return Ok(output),
                Err(WriteError::Conflict { .. } | WriteError::NotFound { .. }) => {}
                Err(other) => return Err(storage_error(&other)),
            }
        }
    }
}
