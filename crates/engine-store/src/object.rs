//! One version of one object, and what happened to it.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

/// One version of one object. Never changes once it is stored.
///
/// It is at hand as a tree, as JSON text or as both: a tree takes ten times the room of its text, so [`crate::Store::rest`] gives up a tree
/// that nobody asks for, and the next who asks has the text parsed. What a deletion leaves is made of the version before when it is asked for.
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

/// What [`crate::Store::rest`] has given up of one object. To be dropped by another thread than the one that calls it: small pieces that a
/// thread frees are the first that it gets again (glibc's `tcache`), and the next texts would lie among the pieces of others after all.
#[derive(Debug)]
pub struct Worn {
    _tree: Arc<Value>,
    _text: Option<Bytes>,
}

/// At least one of the first three is there.
#[derive(Debug, Default)]
struct Forms {
    tree: Option<Arc<Value>>,
    json: Option<Bytes>,
    /// Of a deletion that nobody has asked for: the version before, which differs in its revision only.
    last: Option<Arc<Stored>>,
    /// Whether the text is where it shall stay (see [`Stored::rest`]).
    settled: bool,
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
                wanted: true,
                ..Forms::default()
            }),
        }
    }

    /// What the deletion of `last` at `revision` leaves.
    pub(crate) fn deleted(last: Arc<Self>, revision: u64) -> Self {
        Self {
            key: last.key.clone(),
            revision,
            weight: last.weight,
            forms: Mutex::new(Forms {
                last: Some(last),
                ..Forms::default()
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
        forms.tree(self.revision).clone()
    }

    /// The object for one look: a tree that is not at hand is made and not kept. For who looks at many objects one after the other.
    pub fn look(&self) -> Arc<Value> {
        let mut forms = self.forms();
        match (&forms.tree, &forms.json) {
            (None, Some(json)) => {
                let json = json.clone();
                drop(forms);
                Arc::new(from_json(&json))
            }
            _ => forms.tree(self.revision).clone(),
        }
    }

    /// The object as JSON text, serialised once and shared by everyone who asks.
    pub fn json(&self) -> Bytes {
        self.forms().json(self.revision).clone()
    }

    /// The JSON text without keeping it.
    pub(crate) fn serialise(&self) -> Bytes {
        let mut forms = self.forms();
        match &forms.json {
            Some(json) => json.clone(),
            None => to_json(forms.tree(self.revision)).into(),
        }
    }

    /// Keep the text only, unless somebody has asked for the tree since the last time. What was given up, if anything was.
    ///
    /// The text is copied the first time: allocators keep what one thread allocates together, so texts that stay for long lie close to each
    /// other if one thread does this, instead of each holding a page that is otherwise empty. (`Bytes` made of a `Vec` allocates its count of
    /// holders in the thread that takes the second hold.)
    pub(crate) fn rest(&self) -> Option<Worn> {
        let mut forms = self.forms();
        if std::mem::take(&mut forms.wanted) {
            return None;
        }
        forms.tree.as_ref()?;
        let mut moved = None;
        if !forms.settled {
            let text = Bytes::from_owner(Box::<[u8]>::from(&**forms.json(self.revision)));
            moved = forms.json.replace(text);
            forms.settled = true;
        }
        let tree = forms.tree.take()?;
        Some(Worn {
            _tree: tree,
            _text: moved,
        })
    }

    fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forms {
    fn tree(&mut self, revision: u64) -> &Arc<Value> {
        let Self { tree, json, last, .. } = self;
        tree.get_or_insert_with(|| {
            Arc::new(match (json, last.take()) {
                (None, Some(last)) => {
                    let mut value = Value::clone(&last.value());
                    stamp(&mut value, revision);
                    value
                }
                (json, _) => from_json(json.as_deref().unwrap_or_default()),
            })
        })
    }

    fn json(&mut self, revision: u64) -> &Bytes {
        if self.json.is_none() {
            // In no more room than it needs: it may be kept for long.
            let text = to_json(self.tree(revision)).into_boxed_slice();
            self.json = Some(text.into());
        }
        self.json.get_or_insert_default()
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
        assert!(stored.rest().is_none());
        assert!(tree.upgrade().is_some(), "somebody has just asked for it");
        assert!(stored.rest().is_some());
        assert!(tree.upgrade().is_none());
        assert!(stored.rest().is_none());
        let seen = Arc::downgrade(&stored.look());
        assert!(seen.upgrade().is_none(), "nobody keeps what was looked at");
        let text = r#"{"data":{"n":1},"metadata":{"resourceVersion":"7"}}"#;
        assert_eq!(stored.json(), text);
        assert_eq!(stored.look().to_string(), text);
        assert_eq!(stored.value().to_string(), text);
        assert!(Arc::ptr_eq(&stored.look(), &stored.value()));
    }

    #[test]
    fn what_a_deletion_leaves_is_the_version_before_at_its_own_revision() {
        let last = Arc::new(Stored::new("/a".into(), 7, json!({"data": {"n": 1}}), 12));
        let text = r#"{"data":{"n":1},"metadata":{"resourceVersion":"9"}}"#;
        for rested in [false, true] {
            if rested {
                last.rest();
                assert!(last.rest().is_some());
            }
            let asked = [
                |s: &Stored| s.json().to_vec(),
                |s: &Stored| s.serialise().to_vec(),
                |s: &Stored| s.value().to_string().into_bytes(),
            ];
            for ask in asked {
                let deleted = Stored::deleted(last.clone(), 9);
                assert!(
                    deleted.rest().is_none(),
                    "there is no tree that nobody has asked for"
                );
                assert_eq!(ask(&deleted), text.as_bytes());
                deleted.rest();
                deleted.rest();
                assert_eq!(ask(&deleted), text.as_bytes());
                assert_eq!((deleted.weight, &*deleted.key), (12, "/a"));
            }
        }
        assert_eq!(last.json(), text.replace('9', "7"));
    }
}
