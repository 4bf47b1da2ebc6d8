//! DefaultStorageClass and StorageObjectInUseProtection.
use serde_json::Value;

use crate::{
    api::Api,
    json::{set, text},
};

const IS_DEFAULT: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";

/// A claim that names no class gets the default one; an empty name means none is wanted.
pub fn default_class(api: &Api, claim: &mut Value) {
    if claim
        .pointer("/spec/storageClassName")
        .is_some_and(|c| !c.is_null())
    {
        return;
    }
    let classes = api.store.list("storageclasses.storage.k8s.io/").items;
    let defaults = classes.iter().filter(|c| text(&c.value(), IS_DEFAULT) == "true");
    // The newest, should there be several (plugin/pkg/admission/storage/storageclass/setdefault).
    if let Some(class) = defaults.max_by_key(|c| text(&c.value(), "/metadata/creationTimestamp").to_owned()) {
        set(
            claim,
            &["spec", "storageClassName"],
            text(&class.value(), "/metadata/name"),
        );
    }
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
