//! Object metadata: keys, owners, times.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;

/// Namespace and name; the namespace of cluster-scoped objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn of<K: Resource>(object: &K) -> Self {
        Self::meta(object.meta())
    }

    pub fn meta(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Short-hands on everything that has metadata.
pub(crate) trait Meta {
    fn m(&self) -> &ObjectMeta;

    fn key(&self) -> Key {
        Key::meta(self.m())
    }
    fn name(&self) -> &str {
        self.m().name.as_deref().unwrap_or_default()
    }
    fn ns(&self) -> &str {
        self.m().namespace.as_deref().unwrap_or_default()
    }
    fn uid(&self) -> &str {
        self.m().uid.as_deref().unwrap_or_default()
    }
    fn rv(&self) -> u64 {
        self.m()
            .resource_version
            .as_deref()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0)
    }
    fn generation(&self) -> Option<i64> {
        self.m().generation
    }
    fn label(&self, key: &str) -> Option<&str> {
        self.m().labels.as_ref()?.get(key).map(String::as_str)
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.m().annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn deleting(&self) -> bool {
        self.m().deletion_timestamp.is_some()
    }
    fn created(&self) -> Timestamp {
        self.m()
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0)
    }
    fn owners(&self) -> &[OwnerReference] {
        self.m().owner_references.as_deref().unwrap_or_default()
    }
    fn controller(&self) -> Option<&OwnerReference> {
        self.owners().iter().find(|o| o.controller == Some(true))
    }
    fn controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|o| o.uid == uid)
    }
    fn has_finalizer(&self, name: &str) -> bool {
        self.m().finalizers.iter().flatten().any(|f| f == name)
    }
}

impl<K: Resource> Meta for K {
    fn m(&self) -> &ObjectMeta {
        self.meta()
    }
}

/// The reference a controller puts on what it creates.
pub(crate) fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Now, as the API shows times: whole seconds.
pub(crate) fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Zero is left out of statuses, as by upstream's `omitempty`.
pub(crate) fn nonzero(value: i32) -> Option<i32> {
    (value != 0).then_some(value)
}

/// A count as the API's integer.
pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
