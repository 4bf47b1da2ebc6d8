//! Writes; what they return is in the cache when they return.

use std::sync::Arc;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::ObjectList;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Cache, Kind};
use crate::Error;
use crate::meta::{Key, Meta};

impl<K: Kind> Cache<K> {
    /// Whether a deleted object in this form has nothing left to wait for. Namespaces have finalizers of their own.
    fn is_released(&self, object: &K) -> bool {
        let meta = object.m();
        meta.deletion_timestamp.is_some()
            && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
            && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
            && K::kind(&self.kind) != "Namespace"
    }

    fn keep(&self, object: K) -> Arc<K> {
        let arc = Arc::new(object.clone());
        if self.is_released(&object) {
            // Removed by this very write: the last finalizer is gone.
            self.remove(&object.key(), object.uid(), object.rv(), false);
        } else {
            self.upsert(object, false);
        }
        arc
    }

    pub async fn create(&self, object: &K) -> Result<Arc<K>, Error> {
        self.create_value(object.ns(), object).await
    }

    /// Creates from anything that serialises to the kind, for fields that the typed form cannot express.
    pub async fn create_value(&self, namespace: &str, object: &impl Serialize) -> Result<Arc<K>, Error> {
        let mut value = serde_json::to_value(object)?;
        self.typed(&mut value);
        let body = serde_json::to_vec(&value)?;
        let request = self
            .request(Some(namespace))
            .create(&PostParams::default(), body)
            .map_err(Error::request)?;
        Ok(self.keep(self.client.request::<K>(request).await?))
    }

    /// Replaces the whole object.
    pub async fn replace_value(&self, key: &Key, object: &impl Serialize) -> Result<Arc<K>, Error> {
        let mut value = serde_json::to_value(object)?;
        self.typed(&mut value);
        let body = serde_json::to_vec(&value)?;
        let request = self
            .request(Some(&key.namespace))
            .replace(&key.name, &PostParams::default(), body)
            .map_err(Error::request)?;
        Ok(self.keep(self.client.request::<K>(request).await?))
    }

    fn typed(&self, value: &mut Value) {
        if let Value::Object(map) = value {
            map.entry("apiVersion")
                .or_insert_with(|| K::api_version(&self.kind).into_owned().into());
            map.entry("kind")
                .or_insert_with(|| K::kind(&self.kind).into_owned().into());
        }
    }

    /// Sends what differs between the two as a merge patch, on the condition that nobody wrote in between. Nothing
    /// is sent when nothing differs.
    pub async fn update(&self, old: &K, new: &K) -> Result<Option<Arc<K>>, Error> {
        self.send_difference(old, new, None).await
    }

    /// As `update`, for the status.
    pub async fn update_status(&self, old: &K, new: &K) -> Result<Option<Arc<K>>, Error> {
        self.send_difference(old, new, Some("status")).await
    }

    async fn send_difference(
        &self,
        old: &K,
        new: &K,
        subresource: Option<&str>,
    ) -> Result<Option<Arc<K>>, Error> {
        let Some(mut patch) = merge_difference(&serde_json::to_value(old)?, &serde_json::to_value(new)?)
        else {
            return Ok(None);
        };
        patch["metadata"]["resourceVersion"] = old.m().resource_version.clone().into();
        self.merge_patch(&old.key(), &patch, subresource).await.map(Some)
    }

    /// Sends a JSON merge patch as it is.
    pub async fn merge_patch(
        &self,
        key: &Key,
        patch: &Value,
        subresource: Option<&str>,
    ) -> Result<Arc<K>, Error> {
        let request = self.request(Some(&key.namespace));
        let (pp, patch) = (PatchParams::default(), Patch::Merge(patch));
        let request = match subresource {
            None => request.patch(&key.name, &pp, &patch),
            Some(subresource) => request.patch_subresource(subresource, &key.name, &pp, &patch),
        };
        Ok(self.keep(self.client.request::<K>(request.map_err(Error::request)?).await?))
    }

    /// Applies fields, whoever owned them before.
    pub async fn apply(&self, key: &Key, mut fields: Value, manager: &str) -> Result<Arc<K>, Error> {
        self.typed(&mut fields);
        let request = self.request(Some(&key.namespace));
        let (pp, patch) = (PatchParams::apply(manager).force(), Patch::Apply(fields));
        let request = request.patch(&key.name, &pp, &patch);
        Ok(self.keep(self.client.request::<K>(request.map_err(Error::request)?).await?))
    }

    /// Applies fields of the status, whoever owned them before.
    pub async fn apply_status(&self, key: &Key, fields: &Value, manager: &str) -> Result<Arc<K>, Error> {
        let request = self.request(Some(&key.namespace));
        let (pp, patch) = (PatchParams::apply(manager).force(), Patch::Apply(fields));
        let request = request.patch_subresource("status", &key.name, &pp, &patch);
        Ok(self.keep(self.client.request::<K>(request.map_err(Error::request)?).await?))
    }

    /// Sets or removes a finalizer; an object that is gone needs none.
    pub async fn hold(&self, object: &K, finalizer: &str, wanted: bool) -> Result<(), Error> {
        if object.has_finalizer(finalizer) == wanted {
            return Ok(());
        }
        let mut updated = object.clone();
        let finalizers = updated.meta_mut().finalizers.get_or_insert_default();
        if wanted {
            finalizers.push(finalizer.to_owned());
        } else {
            finalizers.retain(|f| f != finalizer);
        }
        match self.update(object, &updated).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Deletes the object if it is still this one; one that is gone already is no error.
    pub async fn delete(&self, object: &K) -> Result<(), Error> {
        self.delete_with(&object.key(), object.uid(), &DeleteParams::default())
            .await
    }

    pub async fn delete_propagating(&self, object: &K, policy: PropagationPolicy) -> Result<(), Error> {
        let dp = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        self.delete_with(&object.key(), object.uid(), &dp).await
    }

    pub async fn delete_with(&self, key: &Key, uid: &str, dp: &DeleteParams) -> Result<(), Error> {
        let mut dp = dp.clone();
        dp.preconditions.get_or_insert_with(|| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let request = self
            .request(Some(&key.namespace))
            .delete(&key.name, &dp)
            .map_err(Error::request)?;
        match self.client.request::<Value>(request).await {
            Ok(answer) => {
                // The object, when it is only marked; a Status, or the last state of a pod that had no grace left.
                match serde_json::from_value::<K>(answer) {
                    Ok(object) if !object.name().is_empty() && object.uid() == uid => {
                        let stays = object.deleting() && !self.is_released(&object);
                        if stays {
                            self.upsert(object, false);
                        } else {
                            self.remove(key, uid, 0, false);
                        }
                    }
                    _ => self.remove(key, uid, 0, false),
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.remove(key, uid, 0, false);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all of a namespace from the server, past the cache.
    pub async fn fetch_all(&self, namespace: &str) -> Result<Vec<K>, Error> {
        let request = self.request(Some(namespace)).list(&ListParams::default());
        let list: ObjectList<K> = self.client.request(request.map_err(Error::request)?).await?;
        Ok(list.items)
    }

    /// Reads from the server, past the cache.
    pub async fn fetch(&self, key: &Key) -> Result<Option<K>, Error> {
        let request = self
            .request(Some(&key.namespace))
            .get(&key.name, &kube::api::GetParams::default())
            .map_err(Error::request)?;
        match self.client.request::<K>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The merge patch (RFC 7396) that turns `old` into `new`; `None` when they are equal.
fn merge_difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(before) => {
                if let Some(difference) = merge_difference(before, value) {
                    patch.insert(key.clone(), difference);
                }
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn difference_is_minimal() {
        let old = json!({"a": 1, "b": {"c": 1, "d": [1]}, "e": 2});
        let new = json!({"a": 1, "b": {"c": 2, "d": [1]}, "f": 3});
        assert_eq!(
            merge_difference(&old, &new),
            Some(json!({"b": {"c": 2}, "e": null, "f": 3}))
        );
        assert_eq!(merge_difference(&old, &old), None);
    }
}
