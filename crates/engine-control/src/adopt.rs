//! Which objects belong to a controller: adoption of orphans that match, release of own ones that no longer do
//! (pkg/controller/controller_ref_manager.go).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use serde_json::json;

use crate::Error;
use crate::cache::{Cache, Kind};
use crate::meta::{Meta, controller_ref};
use crate::selector;

/// The objects that `owner` controls, after adopting and releasing.
pub(crate) async fn claim<O, K>(
    owners: &Cache<O>,
    owner: &O,
    selector: &LabelSelector,
    cache: &Cache<K>,
) -> Result<Vec<Arc<K>>, Error>
where
    O: Kind + Resource<DynamicType = ()>,
    K: Kind,
{
    claim_if(owners, owner, selector, cache, |_| true).await
}

/// As `claim`, adopting only what `adoptable` allows.
pub(crate) async fn claim_if<O, K>(
    owners: &Cache<O>,
    owner: &O,
    selector: &LabelSelector,
    cache: &Cache<K>,
    adoptable: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>, Error>
where
    O: Kind + Resource<DynamicType = ()>,
    K: Kind,
{
    let matches = |object: &K| selector::matches(selector, object.m().labels.as_ref());
    let mut mine = Vec::new();
    for object in cache.controlled(owner.uid()) {
        if matches(&object) {
            mine.push(object);
        } else if !owner.deleting() {
            release(cache, &object, owner.uid()).await?;
        }
    }
    if owner.deleting() {
        return Ok(mine);
    }
    let mut confirmed = false;
    for object in cache.uncontrolled(owner.ns()) {
        if !matches(&object) || object.deleting() || !adoptable(&object) {
            continue;
        }
        if !confirmed {
            // The cache may be behind a deletion; adopting for the dead would leave dangling references.
            match owners.fetch(&owner.key()).await? {
                Some(live) if live.uid() == owner.uid() && !live.deleting() => confirmed = true,
                _ => return Ok(mine),
            }
        }
        let mut references = object.owners().to_vec();
        references.push(controller_ref(owner));
        let patch = json!({"metadata": {"uid": object.uid(), "resourceVersion": object.m().resource_version, "ownerReferences": references}});
        match cache.merge_patch(&object.key(), &patch, None).await {
            Ok(adopted) => mine.push(adopted),
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(mine)
}

async fn release<K: Kind>(cache: &Cache<K>, object: &K, owner: &str) -> Result<(), Error> {
    let references: Vec<_> = object.owners().iter().filter(|o| o.uid != owner).collect();
    let references = if references.is_empty() {
        serde_json::Value::Null
    } else {
        json!(references)
    };
    let patch = json!({"metadata": {"uid": object.uid(), "resourceVersion": object.m().resource_version, "ownerReferences": references}});
    match cache.merge_patch(&object.key(), &patch, None).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
