//! Requests that do not end in an object being stored: deletions, connections, and subresources with objects of their own.
use std::sync::Arc;

use schema::KindInfo;
use serde_json::{Value, json};

use super::{Asked, mutate, validate};
use crate::{
    admission::node_restriction::{Request, is_restricted, restrict},
    api::{Api, Call},
    convert, keys,
    registry::{body, delete::DeleteOptions},
    reviews::loose,
    status::Result,
};

/// Asks about the deletion of an object, if it is there (apiserver `endpoints/handlers/delete.go`).
pub async fn deletion(
    api: &Arc<Api>,
    call: &Call,
    kind: &'static KindInfo,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
) -> Result<()> {
    if api.dynamic.is_idle() && !is_restricted(&call.user) {
        return Ok(());
    }
    let stored = convert::stored(kind);
    let Some(found) = api.store.get(&keys::key(stored, namespace, name)) else {
        return Ok(());
    };
    let found = found.value();
    let old = convert::from_stored(kind, &found);
    let by_node = Request {
        operation: "DELETE",
        kind,
        subresource: "",
        namespace,
        name,
        new: &Value::Null,
        old: &old,
    };
    restrict(api, call, &by_node)?;
    if api.dynamic.is_idle() {
        return Ok(());
    }
    let asked = || Asked {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dry_run: options.is_dry_run(),
        options: said(call),
        ..Asked::of(call, "DELETE", kind, Value::Null, old.clone().into_owned())
    };
    mutate(api, asked).await?;
    validate(api, asked).await
}

/// The `DeleteOptions` of a request.
fn said(call: &Call) -> Value {
    let mut options = loose(call, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    options["kind"] = "DeleteOptions".into();
    options["apiVersion"] = "meta.k8s.io/v1".into();
    options
}

/// Asks about a subresource that is not a part of its object.
pub async fn subresource(api: &Arc<Api>, call: &Call, kind: &'static KindInfo) -> Result<()> {
    if api.dynamic.is_idle() && !is_restricted(&call.user) {
        return Ok(());
    }
    let own = kind
        .subresource_table
        .iter()
        .find(|s| s.name == call.route.subresource);
    let typed = |mut object: Value| {
        if let Some(own) = own {
            let version = if own.group.is_empty() {
                own.version.to_owned()
            } else {
                format!("{}/{}", own.group, own.version)
            };
            object["kind"] = own.kind.into();
            object["apiVersion"] = version.into();
        }
        object
    };
    let (operation, object, old) = match (call.route.subresource.as_str(), call.route.verb) {
        ("binding" | "eviction" | "token", "create") => (
            "CREATE",
            typed(body::of_subresource(call, kind, &call.route.subresource)?),
            Value::Null,
        ),
        ("finalize", "update") => {
            let old = api.fetch(kind, "", &call.route.name)?;
            (
                "UPDATE",
                loose(call, kind.definition)?,
                Value::clone(&old.value()),
            )
        }
        ("exec" | "attach" | "portforward" | "proxy", _) => ("CONNECT", typed(connection(call)), Value::Null),
        _ => return Ok(()),
    };
    if operation != "CONNECT" {
        let by_node = Request {
            operation,
            kind,
            subresource: &call.route.subresource,
            namespace: &call.route.namespace,
            name: &call.route.name,
            new: &object,
            old: &old,
        };
        restrict(api, call, &by_node)?;
    }
    if api.dynamic.is_idle() {
        return Ok(());
    }
    let asked = || Asked::of(call, operation, kind, object.clone(), old.clone());
    mutate(api, asked).await?;
    validate(api, asked).await
}

/// What the parameters of a connection say, as `PodExecOptions` and its like have it.
fn connection(call: &Call) -> Value {
    let mut options = json!({});
    for field in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.get(field).is_some() {
            options[field] = call.query.truth(field).into();
        }
    }
    for field in ["container", "path"] {
        if let Some(value) = call.query.get(field) {
            options[field] = value.into();
        }
    }
    let command = call.query.all("command");
    if !command.is_empty() {
        options["command"] = json!(command);
    }
    let ports: Vec<i64> = call
        .query
        .all("ports")
        .iter()
        .filter_map(|port| port.parse().ok())
        .collect();
    if !ports.is_empty() {
        options["ports"] = json!(ports);
    }
    options
}
