//! What parts of the API server say in the status of objects.
use std::sync::Arc;

use engine_store::{Precondition, WriteError};
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{api::Api, custom, time};

/// Writes what `say` makes of an object, again if somebody else has written it meanwhile; `None` is nothing to say.
pub async fn settle(
    api: &Arc<Api>,
    kind: &'static KindInfo,
    key: &str,
    say: impl Fn(&Value) -> Option<Value>,
) {
    while let Some(stored) = api.store.get(key) {
        let Some(new) = say(&stored.value()) else {
            return;
        };
        match api
            .write(kind, &stored.key, new, Precondition::Revision(stored.revision))
            .await
        {
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => return tracing::debug!(%error, key, "an object does not get its status"),
            Ok(_) => return,
        }
    }
}

/// The object with this status, applied by `writer`.
pub fn applied(kind: &KindInfo, object: &Value, writer: &str, status: &Value) -> Option<Value> {
    applied_part(kind, object, writer, "status", &json!({"status": status}))
}

/// Notes that `writer` has made the object what it is, from what it was before.
pub fn updated(kind: &KindInfo, old: Option<&Value>, object: &mut Value, writer: &str, subresource: &str) {
    let manager = ::patch::Manager {
        name: writer,
        api_version: &kind.api_version(),
        subresource,
        time: &time::now(),
    };
    custom::with_typing(kind, |typing| {
        ::patch::track_update(typing, old, object, &manager);
    });
}

/// The object with this part of it, applied by `writer` to a subresource.
pub fn applied_part(
    kind: &KindInfo,
    object: &Value,
    writer: &str,
    subresource: &str,
    part: &Value,
) -> Option<Value> {
    let mut applied = part.clone();
    applied["apiVersion"] = kind.api_version().into();
    applied["kind"] = kind.kind.into();
    applied["metadata"] = json!({"name": object["metadata"]["name"]});
    let manager = ::patch::Manager {
        name: writer,
        api_version: &kind.api_version(),
        subresource,
        time: &time::now(),
    };
    custom::with_typing(kind, |typing| {
        ::patch::apply(typing, Some(object), &applied, &manager, true)
    })
    .ok()
}
