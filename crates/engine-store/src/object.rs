//! One version of one object, and what happened to it.
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// One version of one object. Never changes once it is stored.
#[derive(Debug)]
pub struct Stored {
    /// Where it is stored: `resource-prefix/namespace/name`.
    pub key: Arc<str>,
    /// The revision of the write that made this version.
    pub revision: u64,
    /// The object; its `metadata.resourceVersion` is the revision.
    pub value: Value,
    json: OnceLock<Bytes>,
}

impl Stored {
    /// A version of an object, with `metadata.resourceVersion` set to `revision`.
    pub(crate) fn new(key: Arc<str>, revision: u64, mut value: Value) -> Self {
        stamp(&mut value, revision);
        Self {
            key,
            revision,
            value,
            json: OnceLock::new(),
        }
    }

    /// The same version of the object in another form.
    #[must_use]
    pub fn with(&self, value: Value) -> Self {
        Self::new(self.key.clone(), self.revision, value)
    }

    /// The object as JSON text, serialised once and shared by everyone who asks.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| Bytes::from(self.serialise()))
    }

    /// The JSON text without keeping it.
    pub(crate) fn serialise(&self) -> Vec<u8> {
        match self.json.get() {
            Some(bytes) => bytes.to_vec(),
            None => to_json(&self.value),
        }
    }
}

/// The kind of change an [`Event`] tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key was free before.
    Added,
    /// The key held another version before.
    Modified,
    /// The key is free now.
    Deleted,
}

/// One write, as a watcher sees it.
#[derive(Debug)]
pub struct Event {
    /// The write's revision: one more than that of the event before.
    pub revision: u64,
    /// What happened.
    pub kind: EventKind,
    /// The new version; for a deletion the last version, its `resourceVersion` being the deletion's revision.
    pub object: Arc<Stored>,
    /// The version before, when there was one: tells whether an object has just left a selector.
    pub previous: Option<Arc<Stored>>,
}

/// JSON text of a value. A `Value` has string keys only and writing to memory cannot fail.
pub(crate) fn to_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let written = serde_json::to_writer(&mut out, value);
    debug_assert!(written.is_ok());
    out
}

/// Set `metadata.resourceVersion`. A value that is not an object is left alone (the store refuses those).
fn stamp(value: &mut Value, revision: u64) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    }
}
