//! What stands between a valid request and the store (kubernetes `plugin/pkg/admission/*`), in upstream's order.
use std::sync::Arc;

use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::{Api, Call},
    json::text,
    status::Result,
};

mod escalation;
mod limits;
mod namespaces;
mod priority;
mod quota;
mod serviceaccounts;
mod storage;
mod tolerations;

pub use quota::{Charge, charge, counted};

/// Change a new object, or refuse it.
pub async fn mutate_create(
    api: &Arc<Api>,
    call: &Call,
    kind: &'static KindInfo,
    object: &mut Value,
) -> Result<()> {
    namespaces::check_create(api, kind, &call.route.namespace)?;
    match kind.plural {
        "pods" => {
            limits::apply_defaults(api, &call.route.namespace, object);
            serviceaccounts::admit_pod(api, kind, object).await?;
            priority::admit_pod(api, kind, object)?;
            tolerations::admit_pod(object);
            // `serviceAccount` is an alias that conversion fills in (pkg/apis/core/v1/conversion.go).
            let account = text(object, "/spec/serviceAccountName").to_owned();
            if !account.is_empty() {
                object["spec"]["serviceAccount"] = account.into();
            }
        }
        "priorityclasses" => priority::admit_class(api, kind, object)?,
        "persistentvolumeclaims" => storage::default_class(api, object),
        _ => {}
    }
    escalation::check(api, call, kind, object)
}

/// Refuse a new object that is too much for its namespace. What it uses is charged once it is stored.
pub fn validate_create(api: &Api, kind: &'static KindInfo, object: &Value) -> Result<Charge> {
    limits::check(api, kind, object)?;
    quota::check(api, kind, object, None)
}

/// Change an update, or refuse it.
pub fn mutate_update(api: &Api, kind: &'static KindInfo, new: &mut Value, old: &Value) -> Result<()> {
    match kind.plural {
        "pods" => priority::keep_on_update(new, old),
        "priorityclasses" => priority::admit_class(api, kind, new)?,
        _ => {}
    }
    Ok(())
}

/// Refuse an update.
pub fn validate_update(
    api: &Api,
    call: &Call,
    kind: &'static KindInfo,
    new: &Value,
    old: &Value,
) -> Result<()> {
    escalation::check_update(api, call, kind, new, old)?;
    if matches!(kind.plural, "persistentvolumeclaims" | "services") {
        quota::check(api, kind, new, Some(old))?;
    }
    Ok(())
}
