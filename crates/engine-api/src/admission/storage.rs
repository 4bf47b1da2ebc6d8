//! DefaultStorageClass, PersistentVolumeClaimResize and StorageObjectInUseProtection.
use std::{cmp::Reverse, sync::Arc};

use engine_store::Stored;
use kube_types::Quantity;
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::Api,
    json::{set, text},
    status::{ApiError, Result},
};

const CLASSES: &str = "storageclasses.storage.k8s.io/";

const IS_DEFAULT: [&str; 2] = [
    "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
    "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
];

/// A claim that names no class gets the default one; an empty name means none is wanted.
pub fn default_class(api: &Api, claim: &mut Value) {
    if claim
        .pointer("/spec/storageClassName")
        .is_some_and(|c| !c.is_null())
    {
        return;
    }
    let classes = api.store.list(CLASSES).items;
    if let Some(class) = newest_default(&classes, |class| {
        IS_DEFAULT.iter().any(|a| text(class, a) == "true")
    }) {
        set(claim, &["spec", "storageClassName"], class);
    }
}

/// The name of the newest of those that are a default, and of them the first by name (`pkg/volume/util/storageclass.go` GetDefaultClass).
pub fn newest_default(classes: &[Arc<Stored>], is_default: impl Fn(&Value) -> bool) -> Option<String> {
    let defaults = classes.iter().map(|c| c.value()).filter(|c| is_default(c));
    let name = |class: &Value| text(class, "/metadata/name").to_owned();
    let made = |class: &Value| text(class, "/metadata/creationTimestamp").to_owned();
    defaults
        .max_by_key(|c| (made(c), Reverse(name(c))))
        .map(|c| name(&c))
}

/// Only what is bound, and of a class that says so, grows (PersistentVolumeClaimResize,
/// `plugin/pkg/admission/storage/persistentvolume/resize/admission.go`).
pub fn check_resize(api: &Api, kind: &'static KindInfo, new: &Value, old: &Value) -> Result<()> {
    let size =
        |claim: &Value| -> Option<Quantity> { text(claim, "/spec/resources/requests/storage").parse().ok() };
    match (size(old), size(new)) {
        (Some(old), Some(new)) if new > old => {}
        (None, Some(new)) if new.sign() > 0 => {}
        _ => return Ok(()),
    }
    let refuse = |why: &str| Err(ApiError::forbidden(kind, text(new, "/metadata/name"), why));
    if text(old, "/status/phase") != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = |claim: &Value| match text(
        claim,
        "/metadata/annotations/volume.beta.kubernetes.io~1storage-class",
    ) {
        "" => text(claim, "/spec/storageClassName").to_owned(),
        annotated => annotated.to_owned(),
    };
    let grows = !class(new).is_empty()
        && class(new) == class(old)
        && api
            .store
            .get(&format!("{CLASSES}{}", class(new)))
            .is_some_and(|class| class.value()["allowVolumeExpansion"] == true);
    if grows {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

/// What is in use is not removed: the protection controllers take this finalizer away.
pub fn protect(object: &mut Value, finalizer: &str) {
    let finalizers = &mut object["metadata"]["finalizers"];
    match finalizers {
        Value::Array(list) if list.iter().any(|f| f == finalizer) => {}
        Value::Array(list) => list.push(finalizer.into()),
        other => *other = vec![finalizer].into(),
    }
}
