//! Definitions get their status, and their objects go with them (apiextensions `pkg/controller/{status,establish,finalizer}`).
use std::sync::{Arc, Weak};

use engine_store::{Precondition, Stored};
use schema::KindInfo;
use serde_json::Value;

use super::{PREFIX, names};
use crate::{
    aggregation,
    api::Api,
    json::{list, set, text},
    keys,
    registry::{delete::DeleteOptions, meta},
    said,
    status::{ApiError, Result},
};

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Runs as long as the server lives.
pub async fn run(api: Weak<Api>) {
    let Some(customs) = api.upgrade().map(|api| Arc::clone(&api.customs)) else {
        return;
    };
    while let Some((mut watch, present)) = api.upgrade().and_then(|api| {
        let snapshot = api.store.list(PREFIX);
        let watch = api.store.watch(PREFIX, snapshot.revision).ok()?;
        Some((watch, snapshot.items))
    }) {
        for stored in &present {
            settle(&api, stored).await;
        }
        loop {
            let Some(there) = api.upgrade() else { return };
            aggregation::register_customs(&there).await;
            drop(there);
            tokio::select! {
                event = watch.next() => match event {
                    Some(Ok(event)) => {
                        settle(&api, &event.object).await;
                        // A name may be free now.
                        settle_refused(&api, text(&event.object.value(), "/spec/group")).await;
                    }
                    // It fell behind: look at everything again.
                    Some(Err(_)) => break,
                    None => return,
                },
                () = customs.removed.notified() => {
                    let Some(store) = api.upgrade().map(|api| api.store.list(PREFIX).items) else { return };
                    for stored in store.iter().filter(|s| meta::deleting(&s.value())) {
                        settle(&api, stored).await;
                    }
                }
            }
        }
    }
}

/// Looks again at the definitions of a group whose names were in use.
async fn settle_refused(api: &Weak<Api>, group: &str) {
    let Some(all) = api.upgrade().map(|api| api.store.list(PREFIX).items) else {
        return;
    };
    let refused = all
        .iter()
        .filter(|d| text(&d.value(), "/spec/group") == group && names::is_refused(&d.value()));
    for stored in refused {
        settle(api, stored).await;
    }
}

async fn settle(api: &Weak<Api>, seen: &Arc<Stored>) {
    let Some(api) = api.upgrade() else { return };
    let Some(current) = api.store.get(&seen.key) else {
        return;
    };
    let old = current.value();
    let next = if meta::deleting(&old) {
        let mut next = Value::clone(&old);
        names::with_condition(&mut next, in_progress());
        if next == *old {
            if !empty(&api, &old).await {
                return;
            }
            next = without_finalizer(&old);
        }
        next
    } else {
        let all = api.store.list(PREFIX).items;
        names::settled(&old, &names::Used::of(&old, &all))
    };
    let Some(kind) = schema::by_resource("apiextensions.k8s.io", "v1", "customresourcedefinitions") else {
        return;
    };
    let next = owned(kind, &old, next);
    let pinned = Precondition::Revision(current.revision);
    let gone = meta::deleting(&next) && list(&next, "/metadata/finalizers").is_empty();
    // Who wrote meanwhile is seen as an event of its own.
    let result = if gone {
        api.erase(kind, &current.key, pinned).await
    } else if next != *old {
        api.write(kind, &current.key, next, pinned).await
    } else {
        return;
    };
    if let Err(error) = result {
        tracing::debug!(%error, key = %current.key, "a definition was written meanwhile");
    }
}

/// The definition with the owner of what its status says now (`pkg/controller/status/naming_controller.go`).
fn owned(kind: &KindInfo, old: &Value, mut next: Value) -> Value {
    if next["status"] == old["status"] {
        return next;
    }
    said::updated(kind, Some(old), &mut next, "kube-apiserver", "status");
    next
}

/// What a DELETE does to a definition before it waits for its objects to go (`pkg/registry/customresourcedefinition/etcd.go`).
pub fn begin_deletion(definition: &mut Value) {
    let mut finalizers = list(definition, "/metadata/finalizers").to_vec();
    if !finalizers.iter().any(|f| f == FINALIZER) {
        finalizers.push(FINALIZER.into());
        set(definition, &["metadata", "finalizers"], finalizers);
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    let terminating = names::condition("Terminating", true, "InstanceDeletionPending", message);
    names::with_condition(definition, terminating);
}

/// Said before the first object is deleted (`pkg/controller/finalizer/crd_finalizer.go`).
fn in_progress() -> Value {
    let message = "CustomResource deletion is in progress";
    names::condition("Terminating", true, "InstanceDeletionInProgress", message)
}

/// Refuses a new object of a kind whose definition goes (`pkg/apiserver/customresource_handler.go` forbidCreateAdmission).
pub fn check_create(api: &Api, kind: &'static KindInfo, name: &str) -> Result<()> {
    let definition = api.store.get(&format!("{PREFIX}{}.{}", kind.plural, kind.group));
    let goes = |definition: &Value| {
        list(definition, "/status/conditions")
            .iter()
            .any(|c| c["type"] == "Terminating" && c["status"] == "True")
    };
    if !definition.is_some_and(|d| goes(&d.value())) {
        return Ok(());
    }
    let why = "create not allowed while custom resource definition is terminating";
    Err(ApiError::forbidden(kind, name, why))
}

fn without_finalizer(definition: &Value) -> Value {
    let mut next = definition.clone();
    let left: Vec<Value> = list(definition, "/metadata/finalizers")
        .iter()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    set(&mut next, &["metadata", "finalizers"], left);
    next
}

/// Delete all objects of the definition's kind; whether none is left. Those that wait for a finalizer are heard of when they go.
async fn empty(api: &Arc<Api>, definition: &Value) -> bool {
    let plural = text(definition, "/spec/names/plural");
    let group = text(definition, "/spec/group");
    let all = api.customs.all();
    let Some(custom) = all
        .into_iter()
        .find(|c| c.kind.group == group && c.kind.plural == plural)
    else {
        return true;
    };
    let prefix = keys::prefix(custom.kind, "");
    let options = DeleteOptions::default();
    for object in api.store.list(&prefix).items {
        if meta::deleting(&object.value()) {
            continue;
        }
        let own = |field: &str| text(&object.value(), field).to_owned();
        let (namespace, name) = (own("/metadata/namespace"), own("/metadata/name"));
        if let Err(error) = api.delete(custom.kind, &namespace, &name, &options).await {
            tracing::debug!(message = error.message, "a custom object stays");
        }
    }
    !api.store.has(&prefix, 1)
}
