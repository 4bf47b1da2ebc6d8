//! What stands between a valid request and the store (kubernetes `plugin/pkg/admission/*`), in upstream's order.
use std::sync::Arc;

use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::{Api, Call},
    custom,
    json::text,
    status::Result,
};

mod certificates;
mod dynamic;
mod escalation;
mod ingress;
mod limits;
mod namespaces;
mod node_restriction;
mod node_tokens;
mod nodes;
mod pod_security;
mod priority;
mod quota;
mod resize;
mod runtime_class;
mod serviceaccounts;
mod storage;
mod tolerations;
pub mod topology;

pub use certificates::{date_conditions, keep_decisions, unreadable};
pub use dynamic::{
    Asked, Dynamic, add_causes, administration, check_types, deletion, mutate, subresource, validate,
};
pub use node_restriction::{Request, restrict};
pub use quota::{Charge, charge, counted};

/// What a new object is called before it has a name: its `generateName`, or `Unknown` (apiserver `admission/errors.go`
/// extractResourceName).
fn name(object: &Value) -> &str {
    let said = ["/metadata/name", "/metadata/generateName"].map(|place| text(object, place));
    said.into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("Unknown")
}

/// NodeRestriction of a new object.
fn restrict_create(api: &Api, call: &Call, kind: &'static KindInfo, object: &Value) -> Result<()> {
    let own = call.route.name.as_str();
    let name = if own.is_empty() {
        text(object, "/metadata/name")
    } else {
        own
    };
    let request = Request {
        operation: "CREATE",
        kind,
        subresource: "",
        namespace: &call.route.namespace,
        name,
        new: object,
        old: &Value::Null,
    };
    restrict(api, call, &request)
}

/// Change a new object, or refuse it.
pub async fn mutate_create(
    api: &Arc<Api>,
    call: &Call,
    kind: &'static KindInfo,
    object: &mut Value,
) -> Result<()> {
    if custom::is(kind) {
        custom::check_create(api, kind, text(object, "/metadata/name"))?;
    }
    namespaces::check_create(api, kind, &call.route.namespace, name(object))?;
    if custom::is(kind) {
        return Ok(());
    }
    if kind.plural == "pods" {
        limits::apply_defaults(api, &call.route.namespace, object);
        serviceaccounts::admit_pod(api, kind, object).await?;
    }
    restrict_create(api, call, kind, object)?;
    match kind.plural {
        "pods" => {
            priority::admit_pod(api, kind, object)?;
            tolerations::admit_pod(&api.config, object);
            runtime_class::admit_pod(api, kind, object)?;
            topology::admit_pod(api, object);
            // `serviceAccount` is an alias that conversion fills in (pkg/apis/core/v1/conversion.go).
            let account = text(object, "/spec/serviceAccountName").to_owned();
            if !account.is_empty() {
                object["spec"]["serviceAccount"] = account.into();
            }
        }
        "nodes" => nodes::admit(object),
        "certificatesigningrequests" => certificates::sign(call, object),
        "priorityclasses" => priority::admit_class(api, kind, object)?,
        "persistentvolumeclaims" => {
            storage::default_class(api, object);
            storage::protect(object, "kubernetes.io/pvc-protection");
        }
        "ingresses" => ingress::default_class(api, object),
        "persistentvolumes" => storage::protect(object, "kubernetes.io/pv-protection"),
        "volumeattributesclasses" => storage::protect(object, "kubernetes.io/vac-protection"),
        _ => {}
    }
    escalation::check(api, call, kind, object, None)
}

/// Refuse a new object that its namespace does not allow.
pub fn validate_create(api: &Api, call: &Call, kind: &'static KindInfo, object: &Value) -> Result<()> {
    if custom::is(kind) {
        return Ok(());
    }
    if kind.plural == "pods" {
        runtime_class::check_pod(api, call, kind, object)?;
    }
    if kind.plural == "certificatesigningrequests" {
        certificates::check_subject(kind, object)?;
    }
    limits::check(api, kind, object)?;
    pod_security::check(api, call, kind, "", object, None)
}

/// Refuse a new object that is too much for its namespace. What it uses is charged once it is stored.
pub fn check_quota(api: &Api, kind: &'static KindInfo, object: &Value) -> Result<Charge> {
    quota::check(api, kind, object, None)
}

/// Change an update, or refuse it. `subresource` is empty for one of the object itself.
pub fn mutate_update(
    api: &Api,
    kind: &'static KindInfo,
    subresource: &str,
    new: &mut Value,
    old: &Value,
) -> Result<()> {
    if custom::is(kind) {
        return Ok(());
    }
    match kind.plural {
        "pods" if subresource == "resize" => limits::fill_containers(api, new, old),
        _ if !subresource.is_empty() => {}
        "pods" => {
            priority::keep_on_update(new, old);
            tolerations::admit_pod(&api.config, new);
        }
        "priorityclasses" => priority::admit_class(api, kind, new)?,
        _ => {}
    }
    Ok(())
}

/// Refuse an update. `subresource` is empty for one of the object itself.
pub fn validate_update(
    api: &Api,
    call: &Call,
    kind: &'static KindInfo,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Result<()> {
    if custom::is(kind) {
        return Ok(());
    }
    pod_security::check(api, call, kind, subresource, new, Some(old))?;
    match (kind.plural, subresource) {
        (_, "approval") => certificates::check_signer(api, call, kind, old, "approve")?,
        ("certificatesigningrequests", "status") if certificates::is_answered(new, old) => {
            certificates::check_signer(api, call, kind, old, "sign")?;
        }
        _ => {}
    }
    if subresource == "resize" {
        if text(old, "/metadata/deletionTimestamp").is_empty() {
            limits::check(api, kind, new)?;
        }
        resize::check(api, kind, new, old)?;
        quota::check(api, kind, new, Some(old))?;
    }
    if !subresource.is_empty() {
        return Ok(());
    }
    escalation::check_update(api, call, kind, new, old)?;
    if kind.plural == "persistentvolumeclaims" {
        storage::check_resize(api, kind, new, old)?;
    }
    // A pod that gets or loses a deadline is in another scope.
    let dated = |pod: &Value| !pod["spec"]["activeDeadlineSeconds"].is_null();
    if matches!(kind.plural, "persistentvolumeclaims" | "services")
        || (kind.plural == "pods" && dated(new) != dated(old))
    {
        quota::check(api, kind, new, Some(old))?;
    }
    Ok(())
}
