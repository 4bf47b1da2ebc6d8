//! One version of one object, and what happened to it.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

/// One version of one object. Never changes once it is stored.
///
/// It is at hand as a tree, as JSON text or as both: a tree takes ten times the room of its text, so [`crate::Store::rest`] gives up a tree
/// that nobody asks for, and the next who asks has the text parsed.
#[derive(Debug)]
pub struct Stored {
    /// Where it is stored: `resource-prefix/namespace/name`.
    pub key: Arc<str>,
    /// The revision of the write that made this version.
    pub revision: u64,
    /// The object's length as JSON text, in bytes, as it was given to the store.
    pub(crate) weight: usize,
    forms: Mutex<Forms>,
}

/// At least one of the two is there.
#[derive(Debug)]
struct Forms {
    tree: Option<Arc<Value>>,
    json: Option<Bytes>,
    /// Whether somebody has asked for the tree since the last [`Stored::rest`].
    wanted: bool,
}

impl Stored {
    /// A version of an object, with `metadata.resourceVersion` set to `revision`.
    pub(crate) fn new(key: Arc<str>, revision: u64, mut value: Value, weight: usize) -> Self {
        stamp(&mut value, revision);
        Self {
            key,
            revision,
            weight,
            forms: Mutex::new(Forms {
                tree: Some(Arc::new(value)),
                json: None,
                wanted: true,
            }),
        }
    }

    /// The same version of the object in another form.
    #[must_use]
    pub fn with(&self, value: Value) -> Self {
        Self::new(self.key.clone(), self.revision, value, self.weight)
    }

    /// The object; its `metadata.resourceVersion` is the revision.
    pub fn value(&self) -> Arc<Value> {
        let mut forms = self.forms();
        forms.wanted = true;
        let Forms { tree, json, .. } = &mut *forms;
        tree.get_or_insert_with(|| Arc::new(from_json(json.as_deref().unwrap_or_default())))
            .clone()
    }

    /// The object as JSON text, serialised once and shared by everyone who asks.
    pub fn json(&self) -> Bytes {
        self.forms().json().clone()
    }

    /// The JSON text without keeping it.
    pub(crate) fn serialise(&self) -> Bytes {
        let forms = self.forms();
        match (&forms.json, &forms.tree) {
            (Some(json), _) => json.clone(),
            (None, tree) => to_json(tree.as_deref().unwrap_or(&Value::Null)).into(),
        }
    }

    /// Keep the text only, unless somebody has asked for the tree since the last time. Whether there was a tree to give up.
    pub(crate) fn rest(&self) -> bool {
        let mut forms = self.forms();
        let resting = !std::mem::take(&mut forms.wanted) && forms.tree.is_some();
        if resting {
            forms.json();
            forms.tree = None;
        }
        resting
    }

    fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forms {
    fn json(&mut self) -> &Bytes {
        let Self { tree, json, .. } = self;
        // In no more room than it needs: it may be kept for long.
        json.get_or_insert_with(|| {
            to_json(tree.as_deref().unwrap_or(&Value::Null))
                .into_boxed_slice()
                .into()
        })
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

/// A value from the JSON text that [`to_json`] made of it.
fn from_json(json: &[u8]) -> Value {
    let value = serde_json::from_slice(json);
    debug_assert!(value.is_ok(), "the store's own text is not JSON");
    value.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_that_nobody_asks_for_goes_and_comes_back() {
        let stored = Stored::new("/a".into(), 7, json!({"data": {"n": 1}}), 0);
        let tree = Arc::downgrade(&stored.value());
        assert!(!stored.rest());
        assert!(tree.upgrade().is_some(), "somebody has just asked for it");
        assert!(stored.rest());
        assert!(tree.upgrade().is_none());
        assert!(!stored.rest());
        let text = r#"{"data":{"n":1},"metadata":{"resourceVersion":"7"}}"#;
        assert_eq!(stored.json(), text);
        assert_eq!(stored.value().to_string(), text);
    }
}
